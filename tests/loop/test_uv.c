/* SPDX-License-Identifier: MIT */
#include "loop_suite.h"

#include <uv.h>

#include <mail/loop_uv.h>

static int create(void **out, const mail_mem *mem)
{
    return mail_loop_uv_create((mail_loop_uv **)out, NULL, mem);
}

static void destroy(void *self)
{
    mail_loop_uv_destroy(self);
}

static mail_loop *loop_of(void *self)
{
    return mail_loop_uv_loop(self);
}

static int run_all(void *self)
{
    return mail_loop_uv_run(self);
}

static int run_one(void *self, mail_duration timeout)
{
    return mail_loop_uv_run_once(self, timeout);
}

static void stop(void *self)
{
    mail_loop_uv_stop(self);
}

static const loop_kind kind = {create, destroy, loop_of, run_all, run_one, stop};

static void is_a_guest_on_a_loop_of_the_caller(void **state)
{
    mail_test_walk mem;
    mail_loop_uv *guest;
    uv_loop_t uv;
    world w = {0};

    (void)state;
    mail_test_mem_init(&mem);
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(mail_loop_uv_create(&guest, &uv, &mem.mem), MAIL_OK);
    assert_ptr_equal(mail_loop_uv_handle(guest), &uv);
    w.self = guest;
    w.loop = mail_loop_uv_loop(guest);
    use_everything(&w);
    mail_loop_uv_destroy(guest);
    assert_true(mem.blocks > 0); /* libuv still holds the handles */
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    mail_test_mem_check(&mem);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static void work_of_a_guest_is_done_though_it_has_left(void **state)
{
    mail_test_walk mem;
    mail_loop_uv *guest;
    uv_loop_t uv;
    world w = {0};
    unsigned done = 0;
    errand e = {.w = &w, .loop_thread = pthread_self(), .done = &done};

    (void)state;
    mail_test_mem_init(&mem);
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(mail_loop_uv_create(&guest, &uv, &mem.mem), MAIL_OK);
    w.loop = mail_loop_uv_loop(guest);
    assert_int_equal(w.loop->ops->work(w.loop, errand_run, errand_done, &e), MAIL_OK);
    mail_loop_uv_destroy(guest);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(done, 1);
    mail_test_mem_check(&mem);
    assert_int_equal(uv_loop_close(&uv), 0);
}

/* A watch whose callback rings a bell and then takes all down. */
typedef struct leaver {
    mail_loop_uv *guest;
    mail_loop *loop;
    mail_bell *bell;
    mail_watch *watch;
} leaver;

static void on_bell_of_nobody(void *arg)
{
    (void)arg;
    fail();
}

static void leave_for_good(unsigned events, void *arg)
{
    leaver *lv = arg;

    (void)events;
    lv->loop->ops->ring(lv->bell);
    lv->loop->ops->unbell(lv->bell);
    lv->loop->ops->unwatch(lv->watch);
    mail_loop_uv_destroy(lv->guest);
}

static void count_round(uv_timer_t *timer)
{
    if (++*(unsigned *)timer->data == 3) {
        uv_timer_stop(timer);
    }
}

static void a_guest_may_leave_from_within_a_callback(void **state)
{
    mail_test_walk mem;
    unsigned rounds = 0;
    uv_timer_t timer;
    uv_loop_t uv;
    leaver lv;
    int ends[2];

    (void)state;
    mail_test_mem_init(&mem);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(mail_loop_uv_create(&lv.guest, &uv, &mem.mem), MAIL_OK);
    lv.loop = mail_loop_uv_loop(lv.guest);
    assert_int_equal(lv.loop->ops->bell(lv.loop, on_bell_of_nobody, NULL, &lv.bell), MAIL_OK);
    assert_int_equal(lv.loop->ops->watch(lv.loop, ends[0], leave_for_good, &lv, &lv.watch),
                     MAIL_OK);
    lv.loop->ops->watch_set(lv.watch, MAIL_READABLE);
    assert_int_equal(write(ends[1], "x", 1), 1);
    uv_timer_init(&uv, &timer); /* the caller's loop goes on */
    timer.data = &rounds;
    uv_timer_start(&timer, count_round, 1, 1);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(rounds, 3);
    mail_test_mem_check(&mem);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    close(ends[0]);
    close(ends[1]);
}

static void does_not_keep_a_loop_of_the_caller_alive(void **state)
{
    mail_loop_uv *guest;
    uv_loop_t uv;

    (void)state;
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(mail_loop_uv_create(&guest, &uv, NULL), MAIL_OK);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    mail_loop_uv_destroy(guest);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static void refuses_a_descriptor_that_cannot_be_watched(void **state)
{
    FILE *file = tmpfile();
    mail_watch *watch;
    world w;

    (void)state;
    assert_non_null(file);
    world_open(&w);
    assert_int_equal(w.loop->ops->watch(w.loop, fileno(file), pair_seen, NULL, &watch), MAIL_ESYS);
    fclose(file);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest more[] = {
        cmocka_unit_test(is_a_guest_on_a_loop_of_the_caller),
        cmocka_unit_test(work_of_a_guest_is_done_though_it_has_left),
        cmocka_unit_test(a_guest_may_leave_from_within_a_callback),
        cmocka_unit_test(does_not_keep_a_loop_of_the_caller_alive),
        cmocka_unit_test(refuses_a_descriptor_that_cannot_be_watched),
    };

    return run_loop_suite(more, MAIL_COUNT(more));
}
