/* SPDX-License-Identifier: MIT */
#include "net/world.h"

#include "net/door.h"

/* Connections that came to either of its callbacks. */
typedef struct callers {
    unsigned served;
    unsigned refused;
    net_limit limit;
} callers;

static void serve(int fd, const mail_endpoint *peer, mail_span said, void *arg)
{
    (void)fd;
    (void)peer;
    assert_int_equal(said.length, 0);
    ((callers *)arg)->served++;
}

static void refuse(int fd, const mail_endpoint *peer, net_limit limit, void *arg)
{
    (void)fd;
    (void)peer;
    ((callers *)arg)->refused++;
    ((callers *)arg)->limit = limit;
}

static net_door_options options_of(const world *w)
{
    return (net_door_options){
        .loop = w->loop,
        .net = &w->sockets,
        .serve = serve,
        .refuse = refuse,
    };
}

static void admits_so_many_until_it_is_shut(void **state)
{
    static const mail_endpoint far = {.ip = {.family = 4, .bytes = {192, 0, 2, 1}}};
    net_door_options opts;
    net_guest guests[2];
    net_limit limit;
    net_door door;
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    opts = options_of(&w);
    opts.limits.sessions = 1;
    assert_int_equal(net_door_init(&door, &opts), MAIL_OK);
    assert_int_equal(net_door_admit(&door, &far, &guests[0], &limit), MAIL_OK);
    assert_int_equal(net_door_admit(&door, &far, &guests[1], &limit), MAIL_ELIMIT);
    assert_int_equal(limit, NET_LIMIT_SESSIONS);
    assert_int_equal(door.sessions, 1);
    net_door_leave(&door, &guests[0]);
    assert_int_equal(net_door_admit(&door, &far, &guests[0], &limit), MAIL_OK);
    net_door_leave(&door, &guests[0]);
    net_door_shut(&door);
    assert_int_equal(net_door_admit(&door, &far, &guests[0], &limit), MAIL_ELIMIT);
    assert_int_equal(limit, NET_LIMIT_SESSIONS);
    assert_int_equal(door.sessions, 0);
    net_door_deinit(&door);
    world_close(&w);
}

static void counts_by_address_who_has_one(void **state)
{
    static const struct {
        const char *name;
        mail_ip ip;
        bool includes_loopback;
        net_limit want; /* of the second of a client */
    } cases[] = {
        {"another host", {.family = 4, .bytes = {192, 0, 2, 1}}, false, NET_LIMIT_CLIENT_SESSIONS},
        {"loopback", {.family = 4, .bytes = {127, 0, 0, 1}}, false, NET_LIMIT_NONE},
        {"loopback held to it",
         {.family = 4, .bytes = {127, 0, 0, 1}},
         true,
         NET_LIMIT_CLIENT_SESSIONS},
        {"a unix socket", {.family = 0}, false, NET_LIMIT_NONE},
        {"a unix socket beside loopback", {.family = 0}, true, NET_LIMIT_NONE},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_endpoint peer = {.ip = cases[i].ip};
        net_door_options opts;
        net_guest guests[2];
        net_limit limit;
        net_door door;
        world w;

        mail_test_case(cases[i].name);
        world_open(&w, WORLD_POLL, NULL);
        opts = options_of(&w);
        opts.limits.sessions_per_client = 1;
        opts.limits.includes_loopback = cases[i].includes_loopback;
        assert_int_equal(net_door_init(&door, &opts), MAIL_OK);
        assert_int_equal(net_door_admit(&door, &peer, &guests[0], &limit), MAIL_OK);
        assert_int_equal(net_door_admit(&door, &peer, &guests[1], &limit),
                         cases[i].want == NET_LIMIT_NONE ? MAIL_OK : MAIL_ELIMIT);
        assert_int_equal(limit, cases[i].want);
        if (cases[i].want == NET_LIMIT_NONE) {
            net_door_leave(&door, &guests[1]);
        }
        net_door_leave(&door, &guests[0]);
        net_door_deinit(&door);
        world_close(&w);
    }
}

static void tells_its_service_of_connections(void **state)
{
    static const mail_endpoint near = {.ip = {.family = 0}};
    static const mail_endpoint proxy = {.ip = {.family = 4, .bytes = {192, 0, 2, 1}}};
    static const mail_network proxies = {{.family = 4, .bytes = {192, 0, 2, 1}}, 32};
    callers came = {0};
    net_door_options opts;
    net_guest guest;
    net_limit limit;
    net_door door;
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    opts = options_of(&w);
    opts.limits.sessions = 1;
    opts.proxy_from = &proxies;
    opts.proxy_count = 1;
    assert_int_equal(net_door_init(&door, &opts), MAIL_OK);
    net_door_pass(&door, -1, &near, false, &came);
    assert_int_equal(came.served, 1);
    net_door_pass(&door, -1, &near, true, &came); /* the last descriptor */
    assert_int_equal(came.refused, 1);
    assert_int_equal(came.limit, NET_LIMIT_SESSIONS);
    /* There is no use in hearing for whom a proxy comes. */
    assert_int_equal(net_door_admit(&door, &near, &guest, &limit), MAIL_OK);
    net_door_pass(&door, -1, &proxy, false, &came);
    assert_int_equal(came.refused, 2);
    assert_int_equal(came.limit, NET_LIMIT_SESSIONS);
    net_door_leave(&door, &guest);
    net_door_deinit(&door);
    world_close(&w);
}

static void turns_away_with_a_word_or_without(void **state)
{
    static const mail_endpoint near = {.ip = {.family = 0}};

    (void)state;
    for (int speaks = 0; speaks < 2; speaks++) {
        mail_span words = speaks ? MAIL_SPAN("no\r\n") : MAIL_SPAN("");
        net_door_options opts;
        char heard[10];
        net_door door;
        int ends[2];
        world w;

        world_open(&w, WORLD_POLL, NULL);
        opts = options_of(&w);
        assert_int_equal(net_door_init(&door, &opts), MAIL_OK);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        net_door_turn_away(&door, ends[0], &near, NET_LIMIT_SESSIONS, words);
        assert_int_equal(read(ends[1], heard, sizeof(heard)), words.length);
        if (speaks) {
            assert_memory_equal(heard, words.data, words.length);
            assert_int_equal(read(ends[1], heard, sizeof(heard)), 0);
        }
        close(ends[1]);
        net_door_deinit(&door);
        world_close(&w);
    }
}

static void fails_cleanly_without_memory(void **state)
{
    static const mail_endpoint far = {.ip = {.family = 4, .bytes = {192, 0, 2, 1}}};
    static const mail_network proxies = {{.family = 4, .bytes = {10}}, 8};

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        net_door_options opts;
        net_guest guest;
        net_limit limit;
        net_door door;
        world w;

        world_open(&w, WORLD_POLL, NULL);
        opts = options_of(&w);
        opts.mem = &walk.mem;
        opts.proxy_from = &proxies;
        opts.proxy_count = 1;
        if (net_door_init(&door, &opts) == MAIL_OK) {
            if (net_door_admit(&door, &far, &guest, &limit) == MAIL_OK) {
                net_door_leave(&door, &guest);
            }
            assert_int_equal(limit, NET_LIMIT_NONE);
            assert_int_equal(door.sessions, 0);
        }
        net_door_deinit(&door);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admits_so_many_until_it_is_shut),
        cmocka_unit_test(counts_by_address_who_has_one),
        cmocka_unit_test(tells_its_service_of_connections),
        cmocka_unit_test(turns_away_with_a_word_or_without),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
