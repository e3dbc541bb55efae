/* SPDX-License-Identifier: MIT */
#include "party.h"

#include "net/proxies.h"
#include "net/smtp_session.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FROM_2    "\x21\x11\0\x0c\xc0\0\2\x02\xc0\0\2\x09\x12\x34\0\x19"

static const mail_network here = {{.family = 4, .bytes = {127}}, 8};
static const mail_network elsewhere = {{.family = 4, .bytes = {198, 51, 100}}, 24};

static void open_party(party *p, world *w, int kind, const mail_network *from)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;

    opts.proxy_from = from;
    opts.proxy_count = 1;
    assert_int_equal(world_open(w, kind, NULL), MAIL_OK);
    assert_int_equal(party_open(p, w, NULL, NULL, &opts), MAIL_OK);
}

static void send_all(party *p, int fd, mail_span bytes)
{
    assert_int_equal(send(fd, bytes.data, bytes.length, MSG_NOSIGNAL), bytes.length);
    world_step(p->w);
}

/* SX-040 */
static void a_listed_proxy_says_who_the_client_is(void **state)
{
    const struct {
        mail_span header;
        const char *peer; /* NULL: the proxy */
    } cases[] = {
        {MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 4660 25\r\n"), "192.0.2.1:4660"},
        {MAIL_SPAN(SIGNATURE FROM_2), "192.0.2.2:4660"},
        {MAIL_SPAN("PROXY UNKNOWN\r\n"), NULL},
        {MAIL_SPAN(SIGNATURE "\x20\0\0\0"), NULL},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            for (int piecemeal = 0; piecemeal < 2; piecemeal++) {
                world w;
                party p;
                int fd;

                open_party(&p, &w, kind, &here);
                fd = guest_open(&p);
                for (size_t at = 0; piecemeal && at + 1 < cases[i].header.length; at++) {
                    send_all(&p, fd, mail_span_of(cases[i].header.data + at, 1));
                }
                world_idle(&w);
                assert_string_equal(p.heard, ""); /* no greeting before the header */
                send_all(&p, fd,
                         piecemeal ? mail_span_from(cases[i].header, cases[i].header.length - 1)
                                   : cases[i].header);
                guest_hears(&p, fd, "220 mx.example");
                guest_asks(&p, fd, "EHLO client.example\r\n", "250");
                if (cases[i].peer != NULL) {
                    assert_string_equal(p.peer, cases[i].peer);
                } else {
                    assert_int_equal(strncmp(p.peer, "127.0.0.1:", 10), 0);
                }
                guest_asks(&p, fd, "QUIT\r\n", "221");
                guest_hears_the_end(&p, fd);
                party_end(&p);
            }
        }
    }
}

/* SX-040: what a proxy must not do ends its connection, and no session ever begins. */
static void a_bad_header_ends_it(void **state)
{
    const mail_span cases[] = {
        MAIL_SPAN("EHLO client.example\r\n"),
        MAIL_SPAN("PROXY TCP4 192.0.2.1\r\n"),
        MAIL_SPAN(SIGNATURE "\x21\x11\xff\xff"),
        MAIL_SPAN("PROXY UNKNOWN\r\nPROXY TCP4 192.0.2.1 192.0.2.9 4660 25\r\n"),
        MAIL_SPAN(SIGNATURE FROM_2 SIGNATURE FROM_2),
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            int fd;

            open_party(&p, &w, kind, &here);
            fd = guest_open(&p);
            send_all(&p, fd, cases[i]);
            guest_hears_the_end(&p, fd);
            assert_string_equal(p.heard, "");
            assert_int_equal(p.service->door.proxies.waiting_count, 0);
            party_end(&p);
        }
    }
}

/* A header of version 2 is several bad lines. */
static void hears_only_refusals(party *p, int fd)
{
    char heard[1000] = "";
    size_t length = 0;
    ssize_t n;

    do {
        world_step(p->w);
        n = read(fd, heard + length, sizeof(heard) - length - 1);
        length += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EAGAIN));
    close(fd);
    assert_true(heard[0] == '5');
    for (const char *at = strchr(heard, '\n'); at != NULL; at = strchr(at + 1, '\n')) {
        assert_true(at[1] == '5' || at[1] == '\0');
    }
}

/* SX-040: also when it comes later, and from those whose word counts for nothing. */
static void a_header_inside_a_session_ends_it(void **state)
{
    const struct {
        const mail_network *from;
        mail_span first;
        mail_span header;
    } cases[] = {
        {&here, MAIL_SPAN("PROXY UNKNOWN\r\n"), MAIL_SPAN("PROXY TCP4 192.0.2.1 ::1 1 2\r\n")},
        {&here, MAIL_SPAN("PROXY UNKNOWN\r\n"), MAIL_SPAN(SIGNATURE FROM_2)},
        {&elsewhere, MAIL_SPAN(""), MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n")},
        {&elsewhere, MAIL_SPAN(""), MAIL_SPAN(SIGNATURE FROM_2)},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            int fd;

            open_party(&p, &w, kind, cases[i].from);
            fd = guest_open(&p);
            send_all(&p, fd, cases[i].first);
            guest_hears(&p, fd, "220 mx.example");
            send_all(&p, fd, cases[i].header);
            hears_only_refusals(&p, fd);
            assert_int_equal(strncmp(p.peer, "127.0.0.1:", 10), 0);
            party_end(&p);
        }
    }
}

/* SS-053: what a client says through a proxy before it is greeted is early all the same. */
static void early_talk_behind_a_header_is_early_talk(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_party(&p, &w, kind, &here);
        fd = guest_open(&p);
        send_all(&p, fd, MAIL_SPAN("PROXY UNKNOWN\r\nEHLO client.example\r\n"));
        guest_hears(&p, fd, "220 mx.example");
        guest_hears(&p, fd, "554");
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

static void a_silent_proxy_is_not_waited_for(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_party(&p, &w, kind, &here);
        p.service->door.proxies.patience = MAIL_MILLISECOND;
        fd = guest_open(&p);
        guest_hears_the_end(&p, fd);
        assert_int_equal(p.service->door.proxies.waiting_count, 0);
        /* Nor one that goes, nor at the end. */
        p.service->door.proxies.patience = MAIL_HOUR;
        fd = guest_open(&p);
        world_until(&w, p.service->door.proxies.waiting_count == 1);
        close(fd);
        world_until(&w, p.service->door.proxies.waiting_count == 0);
        fd = guest_open(&p);
        world_until(&w, p.service->door.proxies.waiting_count == 1);
        mail_smtp_service_drain(p.service, party_drained, &p);
        world_until(&w, p.drained == 1);
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

/* The clients behind a proxy are counted each for itself, and those that wait in all. */
static void limits_hold_for_the_clients_behind_it(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
        int fd[4];
        world w;
        party p;

        opts.proxy_from = &here;
        opts.proxy_count = 1;
        opts.limits.sessions = 3;
        opts.limits.sessions_per_client = 1;
        assert_int_equal(world_open(&w, kind, NULL), MAIL_OK);
        assert_int_equal(party_open(&p, &w, NULL, NULL, &opts), MAIL_OK);
        fd[0] = guest_open(&p);
        send_all(&p, fd[0], MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n"));
        guest_hears(&p, fd[0], "220");
        fd[1] = guest_open(&p);
        send_all(&p, fd[1], MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 3 2\r\n"));
        guest_hears(&p, fd[1], "421 4.7.0");
        guest_hears_the_end(&p, fd[1]);
        fd[1] = guest_open(&p);
        send_all(&p, fd[1], MAIL_SPAN("PROXY TCP4 192.0.2.2 192.0.2.9 3 2\r\n"));
        guest_hears(&p, fd[1], "220");
        fd[2] = guest_open(&p);
        world_until(&w, p.service->door.proxies.waiting_count == 1);
        fd[3] = guest_open(&p);
        guest_hears(&p, fd[3], "421 4.3.2");
        guest_hears_the_end(&p, fd[3]);
        for (int i = 0; i < 3; i++) {
            close(fd[i]);
        }
        world_until(&w, p.opened == 0 && p.service->door.proxies.waiting_count == 0);
        party_end(&p);
    }
}

/* The loopback of another host is not ours. */
static void a_far_proxy_cannot_make_a_client_local(void **state)
{
    static const mail_endpoint far = {{.family = 4, .bytes = {198, 51, 100, 7}}, 99};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int ours;
        int peer;

        open_party(&p, &w, kind, &elsewhere);
        world_pair(&ours, &peer);
        assert_true(net_proxies_has(&p.service->door.proxies, &far));
        assert_int_equal(
            net_proxies_await(&p.service->door.proxies, ours, &far,
                              LIST_OWNER(p.service->listeners.next, smtp_listener, link)),
            MAIL_OK);
        send_all(&p, peer, MAIL_SPAN("PROXY TCP4 127.0.0.1 192.0.2.9 1 2\r\n"));
        guest_hears(&p, peer, "220");
        assert_string_equal(p.peer, "198.51.100.7:99");
        close(peer);
        world_until(&w, p.opened == 0);
        party_end(&p);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
            world w;
            party p;

            opts.proxy_from = &here;
            opts.proxy_count = 1;
            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            if (party_open(&p, &w, &walk.mem, NULL, &opts) == MAIL_OK) {
                int fd = guest_open(&p);
                char byte;

                send_all(&p, fd, MAIL_SPAN("PROXY UNKNOWN\r\nEHLO client.example\r\n"));
                while (read(fd, &byte, 1) != 0) { /* greeted or not, it comes to an end */
                    world_step(&w);
                }
                close(fd);
                party_close(&p);
            }
            world_close(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_proxy_says_who_the_client_is),
        cmocka_unit_test(a_bad_header_ends_it),
        cmocka_unit_test(a_header_inside_a_session_ends_it),
        cmocka_unit_test(early_talk_behind_a_header_is_early_talk),
        cmocka_unit_test(a_silent_proxy_is_not_waited_for),
        cmocka_unit_test(limits_hold_for_the_clients_behind_it),
        cmocka_unit_test(a_far_proxy_cannot_make_a_client_local),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
