/* SPDX-License-Identifier: MIT */
#ifndef TESTS_LOOP_SUITE_H
#define TESTS_LOOP_SUITE_H

#include "support/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mail/loop.h>

/*
 * What every adapter must do: the same tests for each. The program that
 * includes this defines `kind` and ends with `return run_loop_suite();`.
 */
typedef struct loop_kind {
    int (*create)(void **out, const mail_mem *mem);
    void (*destroy)(void *self);
    mail_loop *(*loop)(void *self);
    int (*run)(void *self);
    int (*run_once)(void *self, mail_duration timeout);
    void (*stop)(void *self);
} loop_kind;

static const loop_kind kind;

/* One loop under test, with memory that is counted. */
typedef struct world {
    mail_test_walk mem;
    void *self;
    mail_loop *loop;
    bool inside; /* a call of ours into the loop: no callback may come */
} world;

static void world_open(world *w)
{
    *w = (world){0};
    mail_test_mem_init(&w->mem);
    assert_int_equal(kind.create(&w->self, &w->mem.mem), MAIL_OK);
    w->loop = kind.loop(w->self);
}

static void world_close(world *w)
{
    kind.destroy(w->self);
    mail_test_mem_check(&w->mem);
}

static void run(world *w)
{
    assert_int_equal(kind.run(w->self), MAIL_OK);
}

static void run_once(world *w, mail_duration timeout)
{
    assert_int_equal(kind.run_once(w->self, timeout), MAIL_OK);
}

/* A pair of connected sockets and a watch on the first. */
typedef struct pair {
    world *w;
    int ends[2];
    mail_watch *watch;
    struct pair *other; /* unwatched by our callback */
    unsigned seen;
    unsigned calls;
} pair;

static void pair_seen(unsigned events, void *arg)
{
    pair *p = arg;

    assert_false(p->w->inside);
    p->seen |= events;
    p->calls++;
}

static void pair_open(pair *p, world *w, mail_watch_fn *fn)
{
    *p = (pair){.w = w};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->ends),
                     0);
    assert_int_equal(w->loop->ops->watch(w->loop, p->ends[0], fn, p, &p->watch), MAIL_OK);
}

static void pair_interest(pair *p, unsigned interest)
{
    p->w->inside = true;
    p->w->loop->ops->watch_set(p->watch, interest);
    p->w->inside = false;
}

static void pair_unwatch(pair *p)
{
    p->w->inside = true;
    p->w->loop->ops->unwatch(p->watch);
    p->w->inside = false;
    p->watch = NULL;
}

static void pair_close(pair *p)
{
    pair_unwatch(p);
    close(p->ends[0]);
    close(p->ends[1]);
}

static void pair_send(pair *p)
{
    assert_int_equal(write(p->ends[1], "x", 1), 1);
}

static void watches_what_it_is_told_to(void **state)
{
    static const struct {
        const char *name;
        unsigned interest;
        bool has_bytes;
        unsigned want;
    } cases[] = {
        {"nothing", 0, true, 0},
        {"reading, nothing there", MAIL_READABLE, false, 0},
        {"reading", MAIL_READABLE, true, MAIL_READABLE},
        {"writing", MAIL_WRITABLE, true, MAIL_WRITABLE},
        {"both, nothing there", MAIL_READABLE | MAIL_WRITABLE, false, MAIL_WRITABLE},
        {"both", MAIL_READABLE | MAIL_WRITABLE, true, MAIL_READABLE | MAIL_WRITABLE},
    };
    world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        pair p;

        mail_test_case(cases[i].name);
        pair_open(&p, &w, pair_seen);
        if (cases[i].has_bytes) {
            pair_send(&p);
        }
        pair_interest(&p, cases[i].interest);
        run_once(&w, 0);
        assert_int_equal(p.seen, cases[i].want);
        pair_close(&p);
    }
    world_close(&w);
}

static void tells_again_while_it_lasts(void **state)
{
    world w;
    pair p;

    (void)state;
    world_open(&w);
    pair_open(&p, &w, pair_seen);
    pair_send(&p);
    pair_interest(&p, MAIL_READABLE);
    run_once(&w, 0);
    run_once(&w, 0);
    assert_int_equal(p.calls, 2);
    pair_interest(&p, 0);
    run_once(&w, 0);
    assert_int_equal(p.calls, 2);
    pair_interest(&p, MAIL_READABLE);
    run_once(&w, 0);
    assert_int_equal(p.calls, 3);
    pair_close(&p);
    world_close(&w);
}

static void end_of_file_is_readable_and_silent_without_interest(void **state)
{
    world w;
    pair p;

    (void)state;
    world_open(&w);
    pair_open(&p, &w, pair_seen);
    close(p.ends[1]);
    run_once(&w, 0);
    assert_int_equal(p.calls, 0);
    pair_interest(&p, MAIL_READABLE);
    run_once(&w, 0);
    assert_int_equal(p.seen, MAIL_READABLE);
    p.ends[1] = dup(p.ends[0]);
    pair_close(&p);
    world_close(&w);
}

/* An error on a socket (here that nobody hears us there) is news each round until it is read. */
static void an_error_is_readable_and_told_again(void **state)
{
    struct sockaddr_storage at = {.ss_family = AF_INET};
    socklen_t length = sizeof(at);
    world w;
    pair p;

    (void)state;
    world_open(&w);
    p = (pair){.w = &w};
    /* A port that is ours and hears nobody but itself refuses what comes from others. */
    p.ends[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    p.ends[1] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ((struct sockaddr *)&at)->sa_family = AF_INET;
    assert_int_equal(bind(p.ends[1], (struct sockaddr *)&at, 16), 0);
    assert_int_equal(getsockname(p.ends[1], (struct sockaddr *)&at, &length), 0);
    assert_int_equal(connect(p.ends[1], (struct sockaddr *)&at, length), 0);
    assert_int_equal(connect(p.ends[0], (struct sockaddr *)&at, length), 0);
    assert_int_equal(w.loop->ops->watch(w.loop, p.ends[0], pair_seen, &p, &p.watch), MAIL_OK);
    pair_interest(&p, MAIL_READABLE);
    run_once(&w, 0);
    assert_int_equal(p.calls, 0);
    assert_int_equal(write(p.ends[0], "x", 1), 1);
    run_once(&w, MAIL_SECOND);
    run_once(&w, MAIL_SECOND);
    assert_int_equal(p.seen, MAIL_READABLE);
    assert_int_equal(p.calls, 2);
    pair_close(&p);
    world_close(&w);
}

/* Both are ready in the same round, and whichever is called first sees to it by `fn` that no other is. */
static void only_one_is_called(mail_watch_fn *fn)
{
    world w;
    pair a;
    pair b;

    world_open(&w);
    pair_open(&a, &w, fn);
    pair_open(&b, &w, fn);
    a.other = &b;
    b.other = &a;
    pair_send(&a);
    pair_send(&b);
    pair_interest(&a, MAIL_READABLE);
    pair_interest(&b, MAIL_READABLE);
    run(&w);
    assert_int_equal(a.calls + b.calls, 1);
    pair_close(&a);
    pair_close(&b);
    world_close(&w);
}

static void unwatch_other(unsigned events, void *arg)
{
    pair *p = arg;

    (void)events;
    p->calls++;
    pair_unwatch(p->other);
    pair_unwatch(p);
}

static void unwatching_inside_a_callback_silences_at_once(void **state)
{
    (void)state;
    only_one_is_called(unwatch_other);
}

static void drop_interest_of_other(unsigned events, void *arg)
{
    pair *p = arg;

    (void)events;
    p->calls++;
    pair_interest(p->other, 0);
    pair_interest(p, 0);
}

static void an_interest_dropped_in_the_round_is_not_served(void **state)
{
    (void)state;
    only_one_is_called(drop_interest_of_other);
}

/* Closes the other's descriptor and watches a new, silent socket under the same number. */
static void replace_other(unsigned events, void *arg)
{
    pair *p = arg;
    pair *other = p->other;
    int number = other->ends[0];

    (void)events;
    p->calls++;
    pair_unwatch(other);
    close(other->ends[0]);
    close(other->ends[1]);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, other->ends), 0);
    if (other->ends[0] != number) {
        assert_int_equal(dup2(other->ends[0], number), number);
        close(other->ends[0]);
        other->ends[0] = number;
    }
    assert_int_equal(
        p->w->loop->ops->watch(p->w->loop, number, replace_other, other, &other->watch), MAIL_OK);
    pair_interest(other, MAIL_READABLE);
    pair_interest(p, 0);
}

static void a_reused_descriptor_gets_no_old_events(void **state)
{
    world w;
    pair a;
    pair b;

    (void)state;
    world_open(&w);
    pair_open(&a, &w, replace_other);
    pair_open(&b, &w, replace_other);
    a.other = &b;
    b.other = &a;
    pair_send(&a);
    pair_send(&b);
    pair_interest(&a, MAIL_READABLE);
    pair_interest(&b, MAIL_READABLE);
    run_once(&w, 0);
    run_once(&w, 0);
    assert_int_equal(a.calls + b.calls, 1);
    pair_close(&a);
    pair_close(&b);
    world_close(&w);
}

static void many_watches_come_and_go(void **state)
{
    static pair pairs[100];
    size_t before = mail_test_descriptors();
    world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < MAIL_COUNT(pairs); i++) {
        pair_open(&pairs[i], &w, pair_seen);
        pair_send(&pairs[i]);
        pair_interest(&pairs[i], MAIL_READABLE);
    }
    run_once(&w, 0);
    for (size_t i = 0; i < MAIL_COUNT(pairs); i += 2) {
        pair_close(&pairs[i]);
    }
    run_once(&w, 0);
    for (size_t i = 0; i < MAIL_COUNT(pairs); i++) {
        assert_int_equal(pairs[i].calls, i % 2 == 0 ? 1 : 2);
        if (i % 2 != 0) {
            pair_close(&pairs[i]);
        }
    }
    world_close(&w);
    assert_int_equal(mail_test_descriptors(), before);
}

/* Timers */

typedef struct alarm_clock {
    world *w;
    mail_timer *timer;
    struct alarm_clock *other;
    mail_time when;
    mail_time *last; /* the instant of the timer called before */
    unsigned calls;
} alarm_clock;

static void alarm_rang(void *arg)
{
    alarm_clock *a = arg;

    assert_false(a->w->inside);
    assert_true(mail_loop_now(a->w->loop) >= a->when);
    if (a->last != NULL) {
        assert_true(a->when >= *a->last);
        *a->last = a->when;
    }
    a->calls++;
}

static void alarm_open(alarm_clock *a, world *w, mail_timer_fn *fn)
{
    *a = (alarm_clock){.w = w};
    assert_int_equal(w->loop->ops->timer(w->loop, fn, a, &a->timer), MAIL_OK);
}

static void alarm_set(alarm_clock *a, mail_time when)
{
    a->when = when;
    a->w->inside = true;
    a->w->loop->ops->timer_set(a->timer, when);
    a->w->inside = false;
}

static void alarm_close(alarm_clock *a)
{
    a->w->loop->ops->untimer(a->timer);
    a->timer = NULL;
}

static void timers_come_in_order_once_and_never_early(void **state)
{
    static alarm_clock alarms[200];
    mail_time last = 0;
    mail_time start;
    world w;

    (void)state;
    world_open(&w);
    start = mail_loop_now(w.loop);
    for (size_t i = 0; i < MAIL_COUNT(alarms); i++) {
        alarm_open(&alarms[i], &w, alarm_rang);
        alarms[i].last = &last;
        /* 0 to 5 ms ahead, in an order without pattern, with equal instants, in odd nanoseconds */
        alarm_set(&alarms[i], start + (mail_time)(i * 7919 % 100) * 50021);
    }
    run(&w);
    for (size_t i = 0; i < MAIL_COUNT(alarms); i++) {
        assert_int_equal(alarms[i].calls, 1);
        alarm_close(&alarms[i]);
    }
    world_close(&w);
}

static void a_timer_can_be_moved_and_unset(void **state)
{
    mail_time start;
    world w;
    alarm_clock a;
    alarm_clock b;

    (void)state;
    world_open(&w);
    alarm_open(&a, &w, alarm_rang);
    alarm_open(&b, &w, alarm_rang);
    start = mail_loop_now(w.loop);
    alarm_set(&a, start + MAIL_HOUR);
    alarm_set(&a, start + MAIL_MILLISECOND);
    alarm_set(&b, start);
    alarm_set(&b, MAIL_NEVER);
    run(&w);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 0);
    alarm_set(&a, start); /* long past: comes in the next round */
    assert_int_equal(a.calls, 1);
    run(&w);
    assert_int_equal(a.calls, 2);
    alarm_close(&a);
    alarm_close(&b);
    world_close(&w);
}

static void remove_other_alarm(void *arg)
{
    alarm_clock *a = arg;

    a->calls++;
    alarm_close(a->other);
    alarm_close(a);
}

static void a_timer_removed_by_another_is_not_called(void **state)
{
    mail_time start;
    world w;
    alarm_clock a;
    alarm_clock b;

    (void)state;
    world_open(&w);
    alarm_open(&a, &w, remove_other_alarm);
    alarm_open(&b, &w, remove_other_alarm);
    a.other = &b;
    b.other = &a;
    start = mail_loop_now(w.loop);
    alarm_set(&a, start);
    alarm_set(&b, start);
    run(&w);
    assert_int_equal(a.calls + b.calls, 1);
    world_close(&w);
}

static void again_at_once(void *arg)
{
    alarm_clock *a = arg;

    a->calls++;
    assert_true(a->calls < 1000);
    alarm_set(a, mail_loop_now(a->w->loop));
}

static void unset_alarm(unsigned events, void *arg)
{
    pair *p = arg;

    (void)events;
    p->calls++;
    kind.stop(p->w->self);
}

static void a_timer_that_sets_itself_to_now_starves_nobody(void **state)
{
    world w;
    alarm_clock a;
    pair p;

    (void)state;
    world_open(&w);
    alarm_open(&a, &w, again_at_once);
    pair_open(&p, &w, unset_alarm);
    pair_send(&p);
    pair_interest(&p, MAIL_READABLE);
    alarm_set(&a, mail_loop_now(w.loop));
    run(&w);
    assert_int_equal(p.calls, 1);
    assert_true(a.calls > 0);
    alarm_close(&a);
    pair_close(&p);
    world_close(&w);
}

/* Bells */

typedef struct tower {
    world *w;
    mail_bell *bell;
    struct tower *other;
    atomic_uint rings;
    unsigned enough; /* stops the loop once so many rings are seen */
    unsigned calls;
} tower;

static void tower_heard(void *arg)
{
    tower *t = arg;

    assert_false(t->w->inside);
    t->calls++;
    if (atomic_load(&t->rings) >= t->enough) {
        kind.stop(t->w->self);
    }
}

static void tower_open(tower *t, world *w, mail_bell_fn *fn)
{
    memset(t, 0, sizeof(*t));
    t->w = w;
    assert_int_equal(w->loop->ops->bell(w->loop, fn, t, &t->bell), MAIL_OK);
}

static void tower_ring(tower *t)
{
    atomic_fetch_add(&t->rings, 1);
    t->w->loop->ops->ring(t->bell);
}

static void many_rings_are_one_call(void **state)
{
    world w;
    tower t;

    (void)state;
    world_open(&w);
    tower_open(&t, &w, tower_heard);
    t.enough = 3;
    w.inside = true;
    for (int i = 0; i < 3; i++) {
        tower_ring(&t);
    }
    w.inside = false;
    run(&w);
    run_once(&w, 0);
    assert_int_equal(t.calls, 1);
    w.loop->ops->unbell(t.bell);
    world_close(&w);
}

#define RINGERS 4
#define RINGS   500

static void *ring_often(void *arg)
{
    for (int i = 0; i < RINGS; i++) {
        tower_ring(arg);
    }
    return NULL;
}

static void the_last_ring_of_any_thread_is_heard(void **state)
{
    pthread_t threads[RINGERS];
    world w;
    tower t;

    (void)state;
    world_open(&w);
    tower_open(&t, &w, tower_heard);
    t.enough = RINGERS * RINGS;
    for (size_t i = 0; i < RINGERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ring_often, &t), 0);
    }
    run(&w);
    for (size_t i = 0; i < RINGERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_in_range(t.calls, 1, RINGERS * RINGS);
    w.loop->ops->unbell(t.bell);
    world_close(&w);
}

static tower *signalled;

static void on_signal(int number)
{
    (void)number;
    tower_ring(signalled);
}

static void a_signal_handler_may_ring(void **state)
{
    world w;
    tower t;

    (void)state;
    world_open(&w);
    tower_open(&t, &w, tower_heard);
    t.enough = 1;
    signalled = &t;
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    run(&w);
    signal(SIGUSR1, SIG_DFL);
    assert_int_equal(t.calls, 1);
    w.loop->ops->unbell(t.bell);
    world_close(&w);
}

/* Rings twice by itself and once in a signal's handler, of which nothing is heard before it returns. */
static void ring_from_inside(void *arg)
{
    tower *t = arg;

    t->w->inside = true;
    tower_ring(t);
    raise(SIGUSR1);
    tower_ring(t);
    t->w->inside = false;
}

static void a_callback_may_ring(void **state)
{
    mail_timer *timer;
    world w;
    tower t;

    (void)state;
    world_open(&w);
    tower_open(&t, &w, tower_heard);
    assert_int_equal(w.loop->ops->timer(w.loop, ring_from_inside, &t, &timer), MAIL_OK);
    w.loop->ops->timer_set(timer, w.loop->ops->now(w.loop));
    t.enough = 3;
    signalled = &t;
    signal(SIGUSR1, on_signal);
    run(&w);
    signal(SIGUSR1, SIG_DFL);
    run_once(&w, 0);
    assert_int_equal(t.calls, 1);
    w.loop->ops->untimer(timer);
    w.loop->ops->unbell(t.bell);
    world_close(&w);
}

/* Rings itself again, for as long as is wanted: once a round, so that others have their turn. */
static void ring_again(void *arg)
{
    tower *t = arg;

    t->calls++;
    if (t->calls < t->enough) {
        tower_ring(t);
    }
}

static void a_bell_may_ring_itself(void **state)
{
    world w;
    tower t;

    (void)state;
    world_open(&w);
    tower_open(&t, &w, ring_again);
    t.enough = 3;
    tower_ring(&t);
    for (unsigned i = 1; i <= 3; i++) {
        run_once(&w, MAIL_SECOND);
        assert_int_equal(t.calls, i);
    }
    run_once(&w, 0);
    assert_int_equal(t.calls, 3);
    w.loop->ops->unbell(t.bell);
    world_close(&w);
}

static void remove_other_bell(void *arg)
{
    tower *t = arg;

    t->calls++;
    t->w->loop->ops->unbell(t->other->bell);
    t->w->loop->ops->unbell(t->bell);
}

static void a_bell_removed_by_another_is_not_called(void **state)
{
    world w;
    tower a;
    tower b;

    (void)state;
    world_open(&w);
    tower_open(&a, &w, remove_other_bell);
    tower_open(&b, &w, remove_other_bell);
    a.other = &b;
    b.other = &a;
    tower_ring(&a);
    tower_ring(&b);
    run(&w);
    assert_int_equal(a.calls + b.calls, 1);
    world_close(&w);
}

/* Work */

typedef struct errand {
    world *w;
    pthread_t loop_thread;
    pthread_barrier_t *meet;
    bool ran;
    unsigned *done;
} errand;

static void errand_run(void *arg)
{
    errand *e = arg;

    assert_false(pthread_equal(pthread_self(), e->loop_thread));
    if (e->meet != NULL) {
        pthread_barrier_wait(e->meet);
    }
    e->ran = true;
}

static void errand_done(void *arg)
{
    errand *e = arg;

    assert_true(pthread_equal(pthread_self(), e->loop_thread));
    assert_false(e->w->inside);
    assert_true(e->ran);
    (*e->done)++;
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
    static errand errands[50];
    unsigned done = 0;
    world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < MAIL_COUNT(errands); i++) {
        errands[i] = (errand){.w = &w, .loop_thread = pthread_self(), .done = &done};
        w.inside = true;
        assert_int_equal(w.loop->ops->work(w.loop, errand_run, errand_done, &errands[i]), MAIL_OK);
        w.inside = false;
    }
    run(&w);
    assert_int_equal(done, MAIL_COUNT(errands));
    world_close(&w);
}

static void two_jobs_run_at_the_same_time(void **state)
{
    pthread_barrier_t meet;
    errand errands[2];
    unsigned done = 0;
    world w;

    (void)state;
    world_open(&w);
    pthread_barrier_init(&meet, NULL, 2);
    for (size_t i = 0; i < 2; i++) {
        errands[i] = (errand){.w = &w, .loop_thread = pthread_self(), .meet = &meet, .done = &done};
        assert_int_equal(w.loop->ops->work(w.loop, errand_run, errand_done, &errands[i]), MAIL_OK);
    }
    run(&w);
    assert_int_equal(done, 2);
    pthread_barrier_destroy(&meet);
    world_close(&w);
}

static void work_under_way_is_done_before_the_loop_goes(void **state)
{
    static errand errands[50];
    unsigned done = 0;
    world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < MAIL_COUNT(errands); i++) {
        errands[i] = (errand){.w = &w, .loop_thread = pthread_self(), .done = &done};
        assert_int_equal(w.loop->ops->work(w.loop, errand_run, errand_done, &errands[i]), MAIL_OK);
    }
    world_close(&w);
    assert_int_equal(done, MAIL_COUNT(errands));
}

/* Rounds */

static void run_ends_when_nothing_is_left(void **state)
{
    world w;
    pair p;

    (void)state;
    world_open(&w);
    run(&w);
    pair_open(&p, &w, pair_seen);
    run(&w);
    assert_int_equal(p.calls, 0);
    pair_close(&p);
    w.loop->ops->unwatch(NULL);
    w.loop->ops->untimer(NULL);
    w.loop->ops->unbell(NULL);
    world_close(&w);
}

static void a_round_waits_no_longer_than_told(void **state)
{
    mail_time start;
    world w;
    alarm_clock a;

    (void)state;
    world_open(&w);
    alarm_open(&a, &w, alarm_rang);
    alarm_set(&a, mail_loop_now(w.loop) + MAIL_HOUR);
    run_once(&w, 0);
    start = mail_loop_now(w.loop);
    run_once(&w, 3 * MAIL_MILLISECOND);
    for (int i = 0; i < 3; i++) { /* also when the time is over before the wait begins */
        for (int calls = 0; calls < 20000; calls++) {
            getppid();
        }
        run_once(&w, MAIL_MILLISECOND);
    }
    run_once(&w, 0);
    assert_true(mail_loop_now(w.loop) - start >= 2 * MAIL_MILLISECOND);
    assert_true(mail_loop_now(w.loop) - start < MAIL_MINUTE);
    assert_int_equal(a.calls, 0);
    alarm_close(&a);
    world_close(&w);
}

static void watch_now(unsigned events, void *arg)
{
    pair *p = arg;
    mail_time now = mail_loop_now(p->w->loop);
    mail_time later = now;

    (void)events;
    p->calls++;
    /* The clock goes on, the round's instant does not. */
    for (int i = 0; i < 100000 && later == now; i++) {
        later = mail_loop_now(p->w->loop);
    }
    assert_int_equal(later, now);
}

static void now_is_the_start_of_the_round(void **state)
{
    world w;
    pair p;

    (void)state;
    world_open(&w);
    pair_open(&p, &w, watch_now);
    pair_interest(&p, MAIL_WRITABLE);
    run_once(&w, 0);
    assert_int_equal(p.calls, 1);
    pair_close(&p);
    world_close(&w);
}

/* Makes and uses one of each; what could not be made is left out. */
static void use_everything(world *w)
{
    static const mail_duration patience = 2 * MAIL_MILLISECOND;
    const mail_loop_ops *ops = w->loop->ops;
    alarm_clock a = {.w = w};
    unsigned done = 0;
    errand e = {.w = w, .loop_thread = pthread_self(), .done = &done};
    bool works = ops->work(w->loop, errand_run, errand_done, &e) == MAIL_OK;
    pair pairs[20];
    tower t;

    memset(&t, 0, sizeof(t));
    t.w = w;
    for (size_t i = 0; i < MAIL_COUNT(pairs); i++) {
        pair *p = &pairs[i];

        *p = (pair){.w = w};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->ends), 0);
        if (ops->watch(w->loop, p->ends[0], pair_seen, p, &p->watch) == MAIL_OK) {
            pair_interest(p, MAIL_WRITABLE);
        }
    }
    if (ops->timer(w->loop, alarm_rang, &a, &a.timer) == MAIL_OK) {
        alarm_set(&a, mail_loop_now(w->loop));
    }
    if (ops->bell(w->loop, tower_heard, &t, &t.bell) == MAIL_OK) {
        tower_ring(&t);
    }
    while (works && done == 0) {
        run_once(w, patience);
    }
    run_once(w, 0);
    run_once(w, 0);
    assert_int_equal(a.calls, a.timer != NULL ? 1 : 0);
    assert_int_equal(t.calls, t.bell != NULL ? 1 : 0);
    for (size_t i = 0; i < MAIL_COUNT(pairs); i++) {
        assert_int_equal(pairs[i].calls != 0, pairs[i].watch != NULL);
        pair_close(&pairs[i]);
    }
    ops->untimer(a.timer);
    ops->unbell(t.bell);
}

static void survives_every_failed_allocation(void **state)
{
    size_t before = mail_test_descriptors();

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        world w = {0};
        int code = kind.create(&w.self, &walk.mem);

        if (code != MAIL_OK) {
            assert_int_equal(code, MAIL_ENOMEM);
            continue;
        }
        w.loop = kind.loop(w.self);
        use_everything(&w);
        kind.destroy(w.self);
        assert_int_equal(mail_test_descriptors(), before);
    }
    kind.destroy(NULL);
}

static int run_loop_suite(const struct CMUnitTest *more, size_t more_count)
{
    const struct CMUnitTest suite[] = {
        cmocka_unit_test(watches_what_it_is_told_to),
        cmocka_unit_test(tells_again_while_it_lasts),
        cmocka_unit_test(end_of_file_is_readable_and_silent_without_interest),
        cmocka_unit_test(an_error_is_readable_and_told_again),
        cmocka_unit_test(unwatching_inside_a_callback_silences_at_once),
        cmocka_unit_test(an_interest_dropped_in_the_round_is_not_served),
        cmocka_unit_test(a_reused_descriptor_gets_no_old_events),
        cmocka_unit_test(many_watches_come_and_go),
        cmocka_unit_test(timers_come_in_order_once_and_never_early),
        cmocka_unit_test(a_timer_can_be_moved_and_unset),
        cmocka_unit_test(a_timer_removed_by_another_is_not_called),
        cmocka_unit_test(a_timer_that_sets_itself_to_now_starves_nobody),
        cmocka_unit_test(many_rings_are_one_call),
        cmocka_unit_test(the_last_ring_of_any_thread_is_heard),
        cmocka_unit_test(a_signal_handler_may_ring),
        cmocka_unit_test(a_callback_may_ring),
        cmocka_unit_test(a_bell_may_ring_itself),
        cmocka_unit_test(a_bell_removed_by_another_is_not_called),
        cmocka_unit_test(work_runs_elsewhere_and_is_done_here),
        cmocka_unit_test(two_jobs_run_at_the_same_time),
        cmocka_unit_test(work_under_way_is_done_before_the_loop_goes),
        cmocka_unit_test(run_ends_when_nothing_is_left),
        cmocka_unit_test(a_round_waits_no_longer_than_told),
        cmocka_unit_test(now_is_the_start_of_the_round),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    int failed = mail_test_run(suite);

    return failed +
           (more_count > 0 ? _cmocka_run_group_tests("more", more, more_count, NULL, NULL) : 0);
}

#endif
