/* SPDX-License-Identifier: MIT */
#include "party.h"

#include "net/smtp_session.h"

static const mail_smtp_server_options plain_engine = {
    .size = sizeof(plain_engine),
    .hostname = {"mx.example", 10},
};

/* A party whose loopback guests are held to limits, which are counted. */
static void open_limited(party *p, world *w, int kind, const mail_limits *limits,
                         const mail_smtp_server_options *engine)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;

    opts.limits = *limits;
    opts.limits.includes_loopback = true;
    assert_int_equal(mail_metrics_create(&opts.metrics, NULL), MAIL_OK);
    assert_int_equal(world_open(w, kind, NULL), MAIL_OK);
    assert_int_equal(party_open(p, w, NULL, engine, &opts), MAIL_OK);
    p->has_bin = false;
}

/* All guests are gone; the limit was met so often. */
static void close_limited(party *p, world *w, net_limit limit, uint64_t times)
{
    mail_metrics *metrics = p->service->opts.metrics;

    world_until(w, mail_smtp_service_sessions(p->service) == 0);
    for (net_limit i = NET_LIMIT_NONE + 1; i < NET_LIMITS; i++) {
        assert_int_equal(mail_metric_value(p->service->door.measure.met[i]),
                         i == limit ? times : 0);
    }
    party_close(p);
    mail_metrics_destroy(metrics);
    world_close(w);
}

static int greeted(party *p)
{
    int fd = guest_open(p);

    guest_hears(p, fd, "220");
    guest_asks(p, fd, "EHLO client.example\r\n", "250");
    return fd;
}

static void leave(party *p, int fd)
{
    guest_asks(p, fd, "QUIT\r\n", "221");
    guest_hears_the_end(p, fd);
}

static void connections_have_a_rate(void **state)
{
    static const mail_limits limits = {.client_connections = {2, MAIL_HOUR}};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_limited(&p, &w, kind, &limits, NULL);
        leave(&p, greeted(&p));
        leave(&p, greeted(&p));
        fd = guest_open(&p);
        guest_hears(&p, fd, "421 4.7.0 Too many connections from you");
        guest_hears_the_end(&p, fd);
        close_limited(&p, &w, NET_LIMIT_CONNECTIONS, 1);
    }
}

static void a_network_has_so_many_sessions(void **state)
{
    static const mail_limits limits = {.sessions_per_network = 2};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        int fds[3];
        world w;
        party p;

        open_limited(&p, &w, kind, &limits, NULL);
        fds[0] = greeted(&p);
        fds[1] = greeted(&p);
        fds[2] = guest_open(&p);
        guest_hears(&p, fds[2], "421 4.7.0");
        guest_hears_the_end(&p, fds[2]);
        leave(&p, fds[0]);
        leave(&p, fds[1]);
        close_limited(&p, &w, NET_LIMIT_NETWORK_SESSIONS, 1);
    }
}

/* The session goes on: what is refused now may come later. */
static void messages_have_a_rate_beyond_a_session(void **state)
{
    static const mail_limits limits = {.client_messages = {2, MAIL_HOUR}};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_limited(&p, &w, kind, &limits, NULL);
        for (int i = 0; i < 2; i++) {
            fd = greeted(&p);
            guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "250");
            leave(&p, fd);
        }
        fd = greeted(&p);
        p.heard[0] = '\0';
        guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "450 4.7.1 Too many messages");
        assert_string_equal(p.heard, " REFUSED");
        guest_asks(&p, fd, "RCPT TO:<b@mx.example>\r\n", "503");
        guest_asks(&p, fd, "NOOP\r\n", "250");
        leave(&p, fd);
        close_limited(&p, &w, NET_LIMIT_MESSAGES, 1);
    }
}

static void recipients_have_a_rate(void **state)
{
    static const mail_limits limits = {.client_recipients = {2, MAIL_HOUR}};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_limited(&p, &w, kind, &limits, NULL);
        fd = greeted(&p);
        guest_says(&p, fd,
                   "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@mx.example>\r\n"
                   "RCPT TO:<c@mx.example>\r\nRCPT TO:<d@mx.example>\r\nDATA\r\n");
        guest_hears(&p, fd, "250");
        guest_hears(&p, fd, "250");
        guest_hears(&p, fd, "250");
        guest_hears(&p, fd, "450 4.7.1 Too many recipients");
        guest_hears(&p, fd, "354"); /* those that were taken stand */
        guest_asks(&p, fd, "text\r\n.\r\n", "250");
        leave(&p, fd);
        close_limited(&p, &w, NET_LIMIT_RECIPIENTS, 1);
    }
}

static void who_has_logged_in_is_counted_by_name(void **state)
{
    static const mail_limits limits = {.client_messages = {1, MAIL_HOUR},
                                       .account_messages = {2, MAIL_HOUR}};
    mail_smtp_server_options engine = plain_engine;

    (void)state;
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    engine.auth_in_clear = true;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_limited(&p, &w, kind, &limits, &engine);
        for (int i = 0; i < 2; i++) {
            fd = greeted(&p);
            guest_asks(&p, fd, "AUTH PLAIN AGFubmEAcGVuY2ls\r\n", "235");
            guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "250");
            leave(&p, fd);
        }
        fd = greeted(&p);
        guest_asks(&p, fd, "AUTH PLAIN AGFubmEAcGVuY2ls\r\n", "235");
        guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "450 4.7.1");
        leave(&p, fd);
        fd = greeted(&p); /* the client's own is untouched */
        guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        leave(&p, fd);
        close_limited(&p, &w, NET_LIMIT_MESSAGES, 1);
    }
}

/* SS-008, SS-053 */
static void who_speaks_before_the_greeting_is_refused(void **state)
{
    static const mail_limits limits = {0};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int deciding = 0; deciding < 2; deciding++) {
            world w;
            party p;
            int fd;

            open_limited(&p, &w, kind, &limits, NULL);
            p.slow = deciding ? MAIL_SMTP_EV_CONNECT : MAIL_SMTP_EV_NONE;
            fd = guest_open(&p);
            if (deciding) {
                world_until(&w, p.opened == 1);
            } else {
                /* It lies there when the connection is accepted: no step before it was sent. */
                while (send(fd, "EHLO client.example\r\n", 21, MSG_NOSIGNAL) < 0) {
                    assert_true(errno == EAGAIN || errno == ENOTCONN);
                }
            }
            if (deciding) {
                guest_says(&p, fd, "EHLO client.example\r\n");
                world_idle(&w);
                mail_smtp_service_answer(p.ticket, NULL);
            }
            guest_hears(&p, fd, "220");
            guest_hears(&p, fd, "554 You spoke before the greeting");
            guest_hears_the_end(&p, fd);
            assert_null(strstr(p.heard, "HELO"));
            close_limited(&p, &w, NET_LIMIT_MANNERS, 1);
        }
    }
}

/* A policy may bear it. */
static void early_talk_may_be_borne(void **state)
{
    static const mail_limits limits = {0};
    mail_smtp_server_options engine = plain_engine;

    (void)state;
    engine.allow_early_talk = true;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        open_limited(&p, &w, kind, &limits, &engine);
        p.slow = MAIL_SMTP_EV_CONNECT;
        fd = guest_open(&p);
        world_until(&w, p.opened == 1);
        guest_says(&p, fd, "EHLO client.example\r\nQUIT\r\n");
        mail_smtp_service_answer(p.ticket, NULL);
        guest_hears(&p, fd, "220");
        guest_hears(&p, fd, "250");
        guest_hears(&p, fd, "221");
        guest_hears_the_end(&p, fd);
        close_limited(&p, &w, NET_LIMIT_NONE, 0);
    }
}

/* HOSTILE 3: slots come back from those who are slow with a command, and with our last words. */
static void who_drips_or_does_not_read_is_not_waited_for(void **state)
{
    static const mail_limits limits = {0};
    mail_smtp_server_options engine = plain_engine;

    (void)state;
    engine.command_timeout = 30 * MAIL_MILLISECOND;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int reads = 0; reads < 2; reads++) {
            char byte;
            world w;
            party p;
            int fd;

            open_limited(&p, &w, kind, &limits, &engine);
            p.service->last_words = MAIL_MILLISECOND;
            if (!reads) { /* the peer's window stays shut */
                w.fail_at[CALL_WRITE] = 1;
                w.fail_count = 1000000;
                w.failure = -EAGAIN;
            }
            fd = guest_open(&p);
            world_until(&w, mail_smtp_service_sessions(p.service) == 1);
            if (reads) {
                guest_hears(&p, fd, "220");
            }
            while (mail_smtp_service_sessions(p.service) == 1) { /* a command, octet by octet */
                if (reads) {
                    (void)!send(fd, "N", 1, MSG_NOSIGNAL);
                }
                world_idle(&w);
            }
            while (read(fd, &byte, 1) > 0) {
            }
            close(fd);
            close_limited(&p, &w, NET_LIMIT_TIME, 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_have_a_rate),
        cmocka_unit_test(a_network_has_so_many_sessions),
        cmocka_unit_test(messages_have_a_rate_beyond_a_session),
        cmocka_unit_test(recipients_have_a_rate),
        cmocka_unit_test(who_has_logged_in_is_counted_by_name),
        cmocka_unit_test(who_speaks_before_the_greeting_is_refused),
        cmocka_unit_test(early_talk_may_be_borne),
        cmocka_unit_test(who_drips_or_does_not_read_is_not_waited_for),
    };

    return mail_test_run(tests);
}
