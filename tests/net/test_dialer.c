/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "net/dialer.h"

typedef struct call {
    net_dialer dialer;
    int result;
    unsigned count;
} call;

static void on_result(int result, void *arg)
{
    call *c = arg;

    c->result = result;
    c->count++;
}

static int dial(call *c, world *w, const mail_endpoint *at, const char *path, mail_duration timeout)
{
    *c = (call){.result = 0};
    return net_dialer_init(&c->dialer, &w->sockets, w->loop, at, path, timeout, on_result, c);
}

static void gives_a_connected_descriptor(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_endpoint at;
        int listener;
        world w;
        call c;

        world_open(&w, kind, NULL);
        listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
        assert_int_equal(dial(&c, &w, &at, NULL, MAIL_MINUTE), MAIL_OK);
        assert_int_equal(c.count, 0);
        world_until(&w, c.count > 0);
        assert_true(c.result >= 0);
        assert_int_equal(write(c.result, "x", 1), 1);
        close(c.result);
        net_dialer_deinit(&c.dialer);
        close(listener);
        world_close(&w);
    }
}

static void a_failure_comes_once_and_from_the_loop(void **state)
{
    static const struct {
        const char *name;
        const char *path; /* NULL: a TCP port that nobody listens on */
        int failure;      /* made by the network; 0: a true one */
        int want;
    } cases[] = {
        {"refused", NULL, 0, -ECONNREFUSED},
        {"no such socket", "/nonexistent/socket", 0, -ENOENT},
        {"unreachable", NULL, -ENETUNREACH, -ENETUNREACH},
        {"no descriptor", NULL, -EMFILE, -EMFILE},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_endpoint at = loopback;
            world w;
            call c;
            int held;

            mail_test_case(cases[i].name);
            world_open(&w, kind, NULL);
            held = mail_test_dead_port(&at.port);
            w.failure = cases[i].failure;
            w.fail_at[CALL_CONNECT] = cases[i].failure != 0 ? 1 : 0;
            assert_int_equal(dial(&c, &w, &at, cases[i].path, MAIL_MINUTE), MAIL_OK);
            assert_int_equal(c.count, 0);
            world_until(&w, c.count > 0);
            assert_int_equal(c.result, cases[i].want);
            world_idle(&w);
            assert_int_equal(c.count, 1);
            close(held);
            world_close(&w);
        }
    }
}

/* A listener whose queue is full answers no SYN: the connection hangs as with a dead host. */
static void gives_up_when_its_time_is_over(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_endpoint at;
        int fill[8];
        int listener;
        world w;
        call c;

        world_open(&w, kind, NULL);
        listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
        assert_int_equal(listen(listener, 0), 0);
        for (size_t i = 0; i < MAIL_COUNT(fill); i++) {
            fill[i] = w.sockets.ops->connect_tcp(&w.sockets, &at);
        }
        assert_int_equal(dial(&c, &w, &at, NULL, 5 * MAIL_MILLISECOND), MAIL_OK);
        world_until(&w, c.count > 0);
        assert_int_equal(c.result, -ETIMEDOUT);
        for (size_t i = 0; i < MAIL_COUNT(fill); i++) {
            close(fill[i]);
        }
        close(listener);
        world_close(&w);
    }
}

static void can_be_given_up_at_any_time(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_endpoint at;
        int listener;
        world w;
        call c;

        world_open(&w, kind, NULL);
        listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
        for (int i = 0; i < 2; i++) {
            if (i == 1) { /* the failure is known at once, and not yet told */
                w.fail_at[CALL_CONNECT] = 2;
                w.failure = -ENETUNREACH;
            }
            assert_int_equal(dial(&c, &w, &at, NULL, MAIL_MINUTE), MAIL_OK);
            net_dialer_deinit(&c.dialer);
            net_dialer_deinit(&c.dialer);
        }
        close(listener);
        world_idle(&w);
        assert_int_equal(c.count, 0);
        world_close(&w);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            mail_endpoint at;
            int listener;
            world w;
            call c;

            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
            if (dial(&c, &w, &at, NULL, MAIL_MINUTE) == MAIL_OK) {
                world_until(&w, c.count > 0);
                close(c.result);
            }
            close(listener);
            world_close(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_a_connected_descriptor),
        cmocka_unit_test(a_failure_comes_once_and_from_the_loop),
        cmocka_unit_test(gives_up_when_its_time_is_over),
        cmocka_unit_test(can_be_given_up_at_any_time),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
