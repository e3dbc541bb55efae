/* SPDX-License-Identifier: MIT */
#include "loop_suite.h"

#include <mail/loop_poll.h>

static int create(void **out, const mail_mem *mem)
{
    return mail_loop_poll_create((mail_loop_poll **)out, mem);
}

static void destroy(void *self)
{
    mail_loop_poll_destroy(self);
}

static mail_loop *loop_of(void *self)
{
    return mail_loop_poll_loop(self);
}

static int run_all(void *self)
{
    return mail_loop_poll_run(self);
}

static int run_one(void *self, mail_duration timeout)
{
    return mail_loop_poll_run_once(self, timeout);
}

static void stop(void *self)
{
    mail_loop_poll_stop(self);
}

static const loop_kind kind = {create, destroy, loop_of, run_all, run_one, stop};

/* ppoll(2) counts nanoseconds: a timer comes well within the millisecond it is due in. */
static void a_timer_is_as_fine_as_the_clock(void **state)
{
    mail_duration least = MAIL_SECOND;
    world w;
    alarm_clock a;

    (void)state;
    world_open(&w);
    alarm_open(&a, &w, alarm_rang);
    for (int i = 0; i < 20; i++) {
        mail_time when = mail_loop_now(w.loop) + 100 * MAIL_MICROSECOND;

        alarm_set(&a, when);
        run(&w);
        if (mail_loop_now(w.loop) - when < least) {
            least = mail_loop_now(w.loop) - when;
        }
    }
    assert_true(least < MAIL_MILLISECOND);
    alarm_close(&a);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest more[] = {
        cmocka_unit_test(a_timer_is_as_fine_as_the_clock),
    };

    return run_loop_suite(more, MAIL_COUNT(more));
}
