/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "loop/timers.h"

typedef struct entry {
    loop_timers *timers;
    mail_timer *timer;
    mail_time again_at;
    unsigned calls;
} entry;

static void on_timer(void *arg)
{
    entry *e = arg;

    e->calls++;
    if (e->again_at != 0) {
        loop_timers_set(e->timers, e->timer, e->again_at);
    }
}

static void calls_only_what_is_due(void **state)
{
    loop_timers timers;
    entry entries[3] = {{.timers = &timers}, {.timers = &timers}, {.timers = &timers}};

    (void)state;
    loop_timers_init(&timers, NULL);
    assert_int_equal(loop_timers_next(&timers), MAIL_NEVER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_timers_add(&timers, NULL, on_timer, &entries[i], &entries[i].timer),
                         MAIL_OK);
        loop_timers_set(&timers, entries[i].timer, 10 * (i + 1));
    }
    assert_int_equal(loop_timers_next(&timers), 10);
    loop_timers_run(&timers, 9);
    assert_int_equal(entries[0].calls, 0);
    loop_timers_run(&timers, 20);
    assert_int_equal(entries[0].calls, 1);
    assert_int_equal(entries[1].calls, 1);
    assert_int_equal(entries[2].calls, 0);
    assert_int_equal(loop_timers_next(&timers), 30);
    for (int i = 0; i < 3; i++) {
        loop_timers_remove(&timers, entries[i].timer);
    }
    loop_timers_deinit(&timers);
}

static void a_timer_set_again_waits_for_the_next_run(void **state)
{
    loop_timers timers;
    entry e = {.timers = &timers, .again_at = 1};

    (void)state;
    loop_timers_init(&timers, NULL);
    assert_int_equal(loop_timers_add(&timers, NULL, on_timer, &e, &e.timer), MAIL_OK);
    loop_timers_set(&timers, e.timer, 5);
    loop_timers_run(&timers, 10);
    assert_int_equal(e.calls, 1);
    loop_timers_run(&timers, 10);
    assert_int_equal(e.calls, 2);
    loop_timers_remove(&timers, e.timer);
    loop_timers_deinit(&timers);
}

/* The heap has room for every timer that exists, so setting one cannot fail. */
static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk) {
        static entry entries[100];
        loop_timers timers;
        unsigned count = 0;

        loop_timers_init(&timers, &walk.mem);
        for (size_t i = 0; i < MAIL_COUNT(entries); i++) {
            entries[i] = (entry){.timers = &timers};
            if (loop_timers_add(&timers, NULL, on_timer, &entries[i], &entries[i].timer) ==
                MAIL_OK) {
                count++;
            }
        }
        for (size_t i = 0; i < MAIL_COUNT(entries); i++) {
            if (entries[i].timer != NULL) {
                loop_timers_set(&timers, entries[i].timer, (mail_time)i);
            }
        }
        loop_timers_run(&timers, 100);
        assert_true(count >= 99);
        for (size_t i = 0; i < MAIL_COUNT(entries); i++) {
            if (entries[i].timer != NULL) {
                assert_int_equal(entries[i].calls, 1);
                loop_timers_remove(&timers, entries[i].timer);
            }
        }
        loop_timers_deinit(&timers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_only_what_is_due),
        cmocka_unit_test(a_timer_set_again_waits_for_the_next_run),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
