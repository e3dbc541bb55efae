/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "net/listener.h"

typedef struct door {
    net_listener listener;
    world *w;
    mail_endpoint at;
    unsigned guests;
    unsigned last; /* of them told that there is no descriptor */
    bool closes;   /* the listener, from inside the callback */
} door;

static void on_guest(int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    door *d = arg;

    assert_int_equal(peer->ip.family, 4);
    d->guests++;
    d->last += is_last ? 1 : 0;
    d->w->sockets.ops->close(&d->w->sockets, fd);
    if (d->closes) {
        net_listener_deinit(&d->listener);
    }
}

static int door_open(door *d, world *w)
{
    int fd;
    int code;

    *d = (door){.w = w};
    fd = w->sockets.ops->listen_tcp(&w->sockets, &loopback, 0, &d->at);
    assert_true(fd >= 0);
    code = net_listener_init(&d->listener, &w->sockets, w->loop, fd, on_guest, d);
    if (code != MAIL_OK) {
        close(fd);
    }
    return code;
}

static int visit(door *d)
{
    int guest = d->w->sockets.ops->connect_tcp(&d->w->sockets, &d->at);

    assert_true(guest >= 0);
    return guest;
}

static void accepts_all_that_come(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        int guests[50]; /* more than one turn accepts */
        world w;
        door d;

        world_open(&w, kind, NULL);
        assert_int_equal(door_open(&d, &w), MAIL_OK);
        for (size_t i = 0; i < MAIL_COUNT(guests); i++) {
            guests[i] = visit(&d);
        }
        world_until(&w, d.guests == MAIL_COUNT(guests));
        for (size_t i = 0; i < MAIL_COUNT(guests); i++) {
            close(guests[i]);
        }
        net_listener_deinit(&d.listener);
        world_close(&w);
    }
}

static void can_be_closed_while_it_accepts(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        int guests[3];
        world w;
        door d;

        world_open(&w, kind, NULL);
        assert_int_equal(door_open(&d, &w), MAIL_OK);
        d.closes = true;
        for (size_t i = 0; i < MAIL_COUNT(guests); i++) {
            guests[i] = visit(&d);
        }
        world_until(&w, d.guests > 0);
        world_idle(&w);
        assert_int_equal(d.guests, 1);
        for (size_t i = 0; i < MAIL_COUNT(guests); i++) {
            close(guests[i]);
        }
        world_close(&w);
    }
}

/* HOSTILE.md, section 3: the accept loop survives EMFILE, and the client is told. */
static void without_a_descriptor_the_client_is_still_told(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        struct rlimit before;
        struct rlimit tight;
        world w;
        door d;
        int guest;
        char byte;

        world_open(&w, kind, NULL);
        assert_int_equal(door_open(&d, &w), MAIL_OK);
        guest = visit(&d);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)guest + 1;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        world_until(&w, d.guests > 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(d.last, 1);
        assert_true(d.listener.spare >= 0); /* also after the look for a next guest */
        world_until(&w, read(guest, &byte, 1) == 0);
        close(guest);
        guest = visit(&d); /* an ordinary guest again */
        world_until(&w, d.guests == 2);
        assert_int_equal(d.last, 1);
        close(guest);
        net_listener_deinit(&d.listener);
        world_close(&w);
    }
}

static void a_failing_accept_is_tried_again_later(void **state)
{
    static const struct {
        const char *name;
        int failure;
        unsigned count;
    } cases[] = {
        {"out of descriptors, with and without the spare one", -ENFILE, 2},
        {"out of memory", -ENOMEM, 2},
        {"a network error", -EPROTO, 1},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            unsigned calls;
            world w;
            door d;
            int guest;

            mail_test_case(cases[i].name);
            world_open(&w, kind, NULL);
            assert_int_equal(door_open(&d, &w), MAIL_OK);
            w.fail_at[CALL_ACCEPT] = 1;
            w.fail_count = cases[i].count;
            w.failure = cases[i].failure;
            world_hold_timers(&w);
            guest = visit(&d);
            world_until(&w, w.calls[CALL_ACCEPT] > 0);
            calls = w.calls[CALL_ACCEPT];
            world_idle(&w);
            assert_int_equal(w.calls[CALL_ACCEPT], calls); /* no busy loop meanwhile */
            world_release_timer(&w);
            world_until(&w, d.guests == 1);
            close(guest);
            net_listener_deinit(&d.listener);
            world_close(&w);
        }
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            world w;
            door d;

            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            if (door_open(&d, &w) == MAIL_OK) {
                int guest = visit(&d);

                world_until(&w, d.guests == 1);
                close(guest);
            }
            net_listener_deinit(&d.listener);
            world_close(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_all_that_come),
        cmocka_unit_test(can_be_closed_while_it_accepts),
        cmocka_unit_test(without_a_descriptor_the_client_is_still_told),
        cmocka_unit_test(a_failing_accept_is_tried_again_later),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
