/* SPDX-License-Identifier: MIT */
#include "sim/world.h"

#include "support/support.h"
#include <errno.h>

/* Two hosts; the one writes `SIZE` octets to the other, by the library's own table of sockets. */
#define SIZE 300000

typedef struct story {
    sim_world world;
    sim_loop loop;
    sim_host hosts[2];
    mail_watch *watches[3]; /* the listener, who asks, who was asked */
    int fds[3];
    char *sent;
    size_t written;
    size_t read;
    int error;
    bool ended;
    mail_timer *timer;
    unsigned ticks;
    bool has_worked;
    bool is_done;
    bool has_rung;
} story;

static const mail_ip address_a = {4, {10, 0, 0, 1}, 0};
static const mail_ip address_b = {4, {10, 0, 0, 2}, 0};

static void on_asked(unsigned events, void *arg)
{
    story *st = arg;
    char piece[5000];
    ssize_t n = st->hosts[1].sockets.ops->read(&st->hosts[1].sockets, st->fds[2], piece,
                                               1 + (size_t)sim_below(&st->world, sizeof(piece)));

    assert_int_equal(events & ~(unsigned)MAIL_READABLE, 0);
    if (n <= 0) {
        st->error = (int)n;
        st->ended = true;
        st->loop.loop.ops->watch_set(st->watches[2], 0);
        return;
    }
    assert_memory_equal(piece, st->sent + st->read, (size_t)n);
    st->read += (size_t)n;
}

static void on_listener(unsigned events, void *arg)
{
    story *st = arg;
    const mail_loop_ops *ops = st->loop.loop.ops;
    mail_endpoint peer;

    (void)events;
    st->fds[2] = st->hosts[1].sockets.ops->accept(&st->hosts[1].sockets, st->fds[0], &peer);
    assert_true(mail_ip_equal(&peer.ip, &address_a));
    assert_int_equal(ops->watch(&st->loop.loop, st->fds[2], on_asked, st, &st->watches[2]), 0);
    ops->watch_set(st->watches[2], MAIL_READABLE);
}

static void on_asker(unsigned events, void *arg)
{
    story *st = arg;
    const mail_sockets *net = &st->hosts[0].sockets;
    ssize_t n = net->ops->connect_result(net, st->fds[1]);

    assert_int_equal(events, MAIL_WRITABLE);
    if (n == 0 && st->written < SIZE) {
        n = net->ops->write(net, st->fds[1], st->sent + st->written, SIZE - st->written);
        st->written += n > 0 ? (size_t)n : 0;
    }
    if (n < 0 || st->written == SIZE) {
        st->error = n < 0 ? (int)n : st->error;
        st->loop.loop.ops->unwatch(st->watches[1]);
        st->watches[1] = NULL;
        net->ops->close(net, st->fds[1]);
    }
}

static void begin(story *st, uint64_t seed)
{
    const mail_endpoint at = {address_b, 25};
    const mail_loop_ops *ops;

    *st = (story){.sent = malloc(SIZE)};
    assert_non_null(st->sent);
    sim_world_init(&st->world, seed);
    random_fill(&st->world.random, st->sent, SIZE);
    sim_loop_init(&st->loop, &st->world);
    ops = st->loop.loop.ops;
    sim_host_init(&st->hosts[0], &st->world, "a", address_a);
    sim_host_init(&st->hosts[1], &st->world, "b", address_b);
    st->fds[0] = st->hosts[1].sockets.ops->listen_tcp(&st->hosts[1].sockets, &at, 0, NULL);
    assert_int_equal(ops->watch(&st->loop.loop, st->fds[0], on_listener, st, &st->watches[0]), 0);
    ops->watch_set(st->watches[0], MAIL_READABLE);
}

static void dial(story *st)
{
    const mail_endpoint to = {address_b, 25};
    const mail_loop_ops *ops = st->loop.loop.ops;

    st->fds[1] = st->hosts[0].sockets.ops->connect_tcp(&st->hosts[0].sockets, &to);
    assert_int_equal(ops->watch(&st->loop.loop, st->fds[1], on_asker, st, &st->watches[1]), 0);
    ops->watch_set(st->watches[1], MAIL_WRITABLE);
}

static void run(story *st, mail_duration length)
{
    sim_world_run(&st->world, st->world.now + length, NULL, NULL);
}

static void finish(story *st)
{
    const mail_loop_ops *ops = st->loop.loop.ops;

    ops->unwatch(st->watches[0]);
    ops->unwatch(st->watches[1]);
    ops->unwatch(st->watches[2]);
    st->hosts[1].sockets.ops->close(&st->hosts[1].sockets, st->fds[0]);
    if (st->watches[1] != NULL) {
        st->hosts[0].sockets.ops->close(&st->hosts[0].sockets, st->fds[1]);
    }
    if (st->watches[2] != NULL) {
        st->hosts[1].sockets.ops->close(&st->hosts[1].sockets, st->fds[2]);
    }
    sim_world_run(&st->world, st->world.now + 3 * MAIL_HOUR, NULL, NULL);
    sim_world_deinit(&st->world);
    free(st->sent);
}

static void carries_what_is_written(void **state)
{
    static const struct {
        const char *name;
        sim_net_faults faults;
    } cases[] = {
        {"a fine network", {0}},
        {"writes are cut", {.cut = 500000}},
        {"octet by octet", {.dribbled = 1000000}},
        {"slowly", {.slow = 1000000}},
        {"from far away", {.distant = 1000000}},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        story st;

        mail_test_case(cases[i].name);
        begin(&st, i);
        st.world.faults = cases[i].faults;
        dial(&st);
        run(&st, MAIL_HOUR);
        assert_int_equal(st.read, SIZE);
        assert_true(st.ended);
        assert_int_equal(st.error, 0);
        finish(&st);
    }
}

static void fails_as_it_is_told_to(void **state)
{
    static const struct {
        const char *name;
        sim_net_faults faults;
        bool b_is_down;
        int want;
        bool ends;
    } cases[] = {
        {"refused", {.refused = 1000000}, false, -ECONNREFUSED, false},
        {"no host", {0}, true, -EHOSTUNREACH, false},
        {"reset", {.reset = 1000000}, false, -ECONNRESET, true},
        {"never answered", {.unanswered = 1000000}, false, 0, false},
        {"stalled", {.stalled = 1000000}, false, 0, false},
        {"deaf", {.deaf = 1000000}, false, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        story st;

        mail_test_case(cases[i].name);
        begin(&st, i);
        st.world.faults = cases[i].faults;
        st.hosts[1].is_down = cases[i].b_is_down;
        dial(&st);
        run(&st, MAIL_HOUR);
        assert_true(st.read < SIZE);
        assert_int_equal(st.error, cases[i].want);
        assert_int_equal(st.ended, cases[i].ends);
        finish(&st);
    }
}

static void cuts_a_host_off(void **state)
{
    (void)state;
    for (int silently = 0; silently < 2; silently++) {
        story st;

        mail_test_case(silently ? "silently" : "with a reset");
        begin(&st, 1);
        st.world.faults.slow = 1000000;
        dial(&st);
        run(&st, MAIL_SECOND);
        sim_host_cut(&st.hosts[0], silently);
        run(&st, MAIL_HOUR);
        assert_true(st.read < SIZE);
        assert_int_equal(st.error, -ECONNRESET); /* what the host itself sees */
        assert_int_equal(st.ended, !silently);
        finish(&st);
    }
}

static void on_timer(void *arg)
{
    story *st = arg;

    if (++st->ticks < 3) {
        st->loop.loop.ops->timer_set(st->timer, st->world.now + MAIL_HOUR);
    }
}

static void run_work(void *arg)
{
    ((story *)arg)->has_worked = true;
}

static void on_work_done(void *arg)
{
    assert_true(((story *)arg)->has_worked);
    ((story *)arg)->is_done = true;
}

static void on_bell(void *arg)
{
    ((story *)arg)->has_rung = true;
}

static void the_loop_keeps_virtual_time(void **state)
{
    story st;
    const mail_loop_ops *ops;
    mail_time start;
    mail_bell *bell;

    (void)state;
    begin(&st, 1);
    ops = st.loop.loop.ops;
    start = st.world.now;
    assert_int_equal(ops->timer(&st.loop.loop, on_timer, &st, &st.timer), MAIL_OK);
    assert_int_equal(ops->bell(&st.loop.loop, on_bell, &st, &bell), MAIL_OK);
    assert_int_equal(ops->work(&st.loop.loop, run_work, on_work_done, &st), MAIL_OK);
    ops->timer_set(st.timer, start + MAIL_HOUR);
    ops->ring(bell);
    assert_false(st.has_rung);
    while (sim_world_step(&st.world)) {
    }
    assert_int_equal(st.ticks, 3);
    assert_int_equal(st.world.now, start + 3 * MAIL_HOUR);
    assert_true(st.is_done && st.has_rung);
    ops->untimer(st.timer);
    ops->unbell(bell);
    finish(&st);
}

static uint64_t sum_of(uint64_t seed)
{
    story st;
    uint64_t sum;

    begin(&st, seed);
    st.world.faults = (sim_net_faults){.reset = 300000, .dribbled = 300000, .cut = 100000};
    dial(&st);
    run(&st, MAIL_HOUR);
    sim_trace(&st.world, "%zu %d", st.read, st.error);
    sum = st.world.trace_sum ^ st.world.steps;
    finish(&st);
    return sum;
}

static void the_same_seed_tells_the_same_story(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_true(sum_of(seed) == sum_of(seed));
        assert_true(sum_of(seed) != sum_of(seed + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_what_is_written),
        cmocka_unit_test(fails_as_it_is_told_to),
        cmocka_unit_test(cuts_a_host_off),
        cmocka_unit_test(the_loop_keeps_virtual_time),
        cmocka_unit_test(the_same_seed_tells_the_same_story),
    };

    return mail_test_run(tests);
}
