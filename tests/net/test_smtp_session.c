/* SPDX-License-Identifier: MIT */
/* How sessions begin and end, and how many there may be; what they carry is in test_smtp_service.c. */
#include "party.h"

#include <netinet/in.h>

static const mail_smtp_server_options plain_engine = {
    .size = sizeof(mail_smtp_server_options),
    .hostname = {"mx.example", 10},
};

static void without_a_policy_everything_is_ordinary(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
        party p = {.w = NULL};
        world w;
        int fd;

        world_open(&w, kind, NULL);
        p.w = &w;
        opts.sockets = &w.sockets;
        assert_int_equal(mail_smtp_service_create(&p.service, w.loop, &opts), MAIL_OK);
        assert_int_equal(
            mail_smtp_service_listen(p.service, &loopback, &plain_engine, NULL, &p.at, NULL),
            MAIL_OK);
        fd = guest_begins(&p);
        guest_asks(&p, fd, "for nobody\r\n.\r\n", "250 2.0.0");
        guest_asks(&p, fd, "QUIT\r\n", "221");
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

/* SS-014: a refused name changes nothing. */
static void remembers_the_name_last_accepted(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_asks(&p, fd, "HELO one.example\r\n", "250");
        guest_asks(&p, fd, "VRFY someone\r\n", "252");
        assert_string_equal(p.helo, "one.example");
        assert_false(p.esmtp);
        guest_asks(&p, fd, "EHLO two.example\r\n", "250");
        p.refuses = MAIL_SMTP_EV_HELO;
        p.reply = MAIL_REPLY(550, 5, 7, 1, "Not you");
        guest_asks(&p, fd, "HELO three.example\r\n", "550");
        guest_asks(&p, fd, "VRFY someone\r\n", "252");
        assert_string_equal(p.helo, "two.example");
        assert_true(p.esmtp);
        guest_asks(&p, fd, "QUIT\r\n", "221");
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

static void a_421_of_the_policy_ends_the_session(void **state)
{
    static const mail_smtp_event_type questions[] = {MAIL_SMTP_EV_CONNECT, MAIL_SMTP_EV_HELO};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(questions) * 2; i++) {
            bool later = i % 2 != 0;
            world w;
            party p;
            int fd;

            mail_test_case(later ? "later" : "at once");
            party_begin(&p, &w, kind);
            p.refuses = questions[i / 2];
            p.slow = later ? p.refuses : MAIL_SMTP_EV_NONE;
            p.reply = MAIL_REPLY(421, 4, 7, 0, "Go away");
            fd = guest_open(&p);
            if (i / 2 == 1) {
                guest_asks(&p, fd, "", "220");
                guest_says(&p, fd, "EHLO c.example\r\n");
            }
            if (later) {
                world_until(&w, strstr(p.heard, mail_smtp_event_name(p.slow)) != NULL);
                assert_int_equal(mail_smtp_service_answer(p.ticket, &p.reply), MAIL_OK);
            }
            guest_hears(&p, fd, "421");
            guest_hears_the_end(&p, fd);
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            party_end(&p);
        }
    }
}

/* SS-003: the refusal arrives, although the client goes on sending. */
static void the_last_reply_reaches_a_client_that_still_sends(void **state)
{
    static char more[200000];

    (void)state;
    memset(more, 'x', sizeof(more) - 1);
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        fd = guest_begins(&p);
        guest_says(&p, fd, "a bare\nline feed\r\n");
        guest_says(&p, fd, more);
        guest_hears(&p, fd, "550 5.6.0");
        guest_hears_the_end(&p, fd);
        assert_string_equal(p.heard, " CONNECT HELO MAIL RCPT DATA ABORT CLOSE");
        assert_int_equal(p.box.aborted, 1);
        world_until(&w, mail_smtp_service_sessions(p.service) == 0);
        party_end(&p);
    }
}

/* SS-044: on expiry 421 and close. */
static void a_silent_client_is_sent_away(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = plain_engine;
        world w;
        party p;
        int fd;

        engine.command_timeout = 5 * MAIL_MILLISECOND;
        world_open(&w, kind, NULL);
        assert_int_equal(party_open(&p, &w, NULL, &engine, NULL), MAIL_OK);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_hears(&p, fd, "421");
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

/* A commit that is under way counts, whether or not anybody is left to hear of it. */
static void a_finish_under_way_outlives_its_session(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int i = 0; i < 3; i++) {
            mail_test_walk mem;
            world w;
            party p;
            int fd;

            mail_test_case(i == 0   ? "the client is lost"
                           : i == 1 ? "the service is destroyed"
                                    : "the client is lost, then the service destroyed");
            mail_test_mem_init(&mem);
            world_open(&w, kind, NULL);
            assert_int_equal(party_open(&p, &w, &mem.mem, NULL, NULL), MAIL_OK);
            p.box.finish_code = MAIL_EAGAIN;
            fd = guest_begins(&p);
            guest_says(&p, fd, "text\r\n.\r\n");
            world_until(&w, p.box.finished == 1);
            if (i != 1) {
                close(fd);
                /* An open question is no time to notice; a write that fails is. */
                mail_smtp_service_drain(p.service, party_drained, &p);
                world_idle(&w);
                assert_int_equal(p.drained, 0);
            }
            if (i == 0) {
                p.box.fn(MAIL_OK, p.box.fn_arg);
                world_until(&w, p.drained == 1);
            }
            party_close(&p);
            if (i != 0) {
                p.box.fn(MAIL_OK, p.box.fn_arg);
            }
            if (i == 1) {
                close(fd);
            }
            world_close(&w);
            mail_test_mem_check(&mem);
        }
    }
}

static void more_sessions_than_allowed_are_refused(void **state)
{
    static const struct {
        const char *name;
        uint32_t max;
        uint32_t max_per_client;
        bool includes_loopback;
        const char *third;
    } cases[] = {
        {"in all", 2, 0, false, "421 4.3.2"},
        {"of one client", 0, 2, true, "421 4.7.0"},
        {"loopback is not one client", 0, 2, false, "220"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
            int fds[4];
            world w;
            party p;

            mail_test_case(cases[i].name);
            opts.limits.sessions = cases[i].max;
            opts.limits.sessions_per_client = cases[i].max_per_client;
            opts.limits.includes_loopback = cases[i].includes_loopback;
            world_open(&w, kind, NULL);
            assert_int_equal(party_open(&p, &w, NULL, NULL, &opts), MAIL_OK);
            for (size_t k = 0; k < 3; k++) {
                fds[k] = guest_open(&p);
                guest_hears(&p, fds[k], k < 2 ? "220" : cases[i].third);
            }
            close(fds[0]);
            close(fds[2]);
            world_until(&w, mail_smtp_service_sessions(p.service) == 1);
            fds[3] = guest_open(&p);
            guest_hears(&p, fds[3], "220");
            close(fds[1]);
            close(fds[3]);
            party_end(&p);
        }
    }
}

static void without_descriptors_a_client_is_told_so(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        w.fail_at[CALL_ACCEPT] = 1;
        w.failure = -EMFILE;
        fd = guest_open(&p);
        guest_hears(&p, fd, "421 4.3.2");
        guest_hears_the_end(&p, fd);
        assert_string_equal(p.heard, "");
        party_end(&p);
    }
}

/* A socket at `at`, if it is free or shared, that listens to nobody: it keeps others from there. */
static int hold_port(const mail_endpoint *at, struct sockaddr_in *where)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    *where = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(at->port)};
    memcpy(&where->sin_addr, at->ip.bytes, sizeof(where->sin_addr));
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)where, sizeof(*where)), 0);
    return fd;
}

static bool is_refused(const struct sockaddr_in *where)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int number;

    assert_true(fd >= 0);
    number = connect(fd, (const struct sockaddr *)where, sizeof(*where)) == 0 ? 0 : errno;
    close(fd);
    return number == ECONNREFUSED;
}

static void draining_lets_messages_through_and_nothing_else(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
        struct sockaddr_in where;
        world w;
        party p;
        int held;
        int idle;
        int busy;
        int asking;

        assert_int_equal(world_open(&w, kind, NULL), MAIL_OK);
        opts.share_ports = true;
        assert_int_equal(party_open(&p, &w, NULL, NULL, &opts), MAIL_OK);
        held = hold_port(&p.at, &where);
        idle = guest_open(&p);
        guest_hears(&p, idle, "220");
        busy = guest_begins(&p);
        guest_says(&p, busy, "half a message\r\n");
        p.slow = MAIL_SMTP_EV_CONNECT;
        asking = guest_open(&p);
        world_until(&w, p.opened == 3);
        mail_smtp_service_drain(p.service, party_drained, &p);
        assert_int_equal(p.drained, 0);
        guest_hears(&p, idle, "421 ");
        guest_hears_the_end(&p, idle);
        guest_says(&p, busy, "and the rest\r\n.\r\n");
        guest_hears(&p, busy, "250 2.0.0");
        guest_hears(&p, busy, "421 4.3.2");
        guest_hears_the_end(&p, busy);
        assert_int_equal(p.box.finished, 1);
        assert_int_equal(mail_smtp_service_answer(p.ticket, NULL), MAIL_OK);
        guest_hears(&p, asking, "220");
        guest_hears(&p, asking, "421 ");
        guest_hears_the_end(&p, asking);
        world_until(&w, p.drained == 1);
        world_idle(&w);
        assert_int_equal(p.drained, 1);
        /* Nobody listens any more. */
        assert_true(is_refused(&where));
        close(held);
        party_end(&p);
    }
}

static void draining_nothing_is_over_at_once_but_not_inside_the_call(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;

        party_begin(&p, &w, kind);
        mail_smtp_service_drain(p.service, party_drained, &p);
        assert_int_equal(p.drained, 0);
        world_until(&w, p.drained == 1);
        party_end(&p);
    }
}

static void destroying_tells_every_session_once(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        mail_smtp_event_type slow;
        const char *heard;
        unsigned aborted;
    } cases[] = {
        {"asking", "", MAIL_SMTP_EV_CONNECT, " CONNECT CLOSE", 0},
        {"idle", "EHLO c.example\r\n", MAIL_SMTP_EV_NONE, " CONNECT HELO CLOSE", 0},
        {"in the envelope", "EHLO c.example\r\nMAIL FROM:<>\r\n", MAIL_SMTP_EV_NONE,
         " CONNECT HELO MAIL RESET CLOSE", 0},
        {"in a message", "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\nhalf",
         MAIL_SMTP_EV_NONE, " CONNECT HELO MAIL RCPT DATA ABORT CLOSE", 1},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            int fd;

            mail_test_case(cases[i].name);
            party_begin(&p, &w, kind);
            p.slow = cases[i].slow;
            fd = guest_open(&p);
            if (i > 0) {
                guest_asks(&p, fd, "", "220");
            }
            guest_says(&p, fd, cases[i].text);
            world_until(&w, p.opened == 1);
            world_idle(&w);
            party_close(&p);
            assert_string_equal(p.heard, cases[i].heard);
            assert_int_equal(p.box.aborted, cases[i].aborted);
            close(fd);
            world_close(&w);
        }
    }
    mail_smtp_service_destroy(NULL);
}

/* SX-038: one reply for each accepted recipient. */
static void lmtp_has_a_verdict_for_each_recipient(void **state)
{
    static const struct {
        const char *name;
        bool asks;
        int write_code;
        mail_smtp_event_type slow;
        const char *wants[3];
    } cases[] = {
        {"one verdict for all",
         false,
         MAIL_OK,
         MAIL_SMTP_EV_NONE,
         {"250 2.0.0 OK", "250 2.0.0 OK", "250 2.0.0 OK"}},
        {"a sink that fails",
         false,
         MAIL_ENOSPC,
         MAIL_SMTP_EV_NONE,
         {"452 4.3.1", "452 4.3.1", "452 4.3.1"}},
        {"one each",
         true,
         MAIL_OK,
         MAIL_SMTP_EV_NONE,
         {"250 2.0.0 first", "550 5.2.2 second", "450 4.2.0 third"}},
        {"a sink that fails, and nobody is asked",
         true,
         MAIL_EIO,
         MAIL_SMTP_EV_NONE,
         {"451 4.3.0", "451 4.3.0", "451 4.3.0"}},
        {"one each, later",
         true,
         MAIL_OK,
         MAIL_SMTP_EV_END,
         {"250 2.0.0 first", "550 5.2.2 second", "450 4.2.0 third"}},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_server_options engine = plain_engine;
            world w;
            party p;
            int fd;

            mail_test_case(cases[i].name);
            engine.lmtp = true;
            world_open(&w, kind, NULL);
            assert_int_equal(party_open(&p, &w, NULL, &engine, NULL), MAIL_OK);
            p.asks_end = cases[i].asks;
            p.box.write_code = cases[i].write_code;
            p.end_replies[0] = MAIL_REPLY(250, 2, 0, 0, "first");
            p.end_replies[1] = MAIL_REPLY(550, 5, 2, 2, "second");
            p.end_replies[2] = MAIL_REPLY(450, 4, 2, 0, "third");
            fd = guest_open(&p);
            guest_hears(&p, fd, "220");
            guest_asks(&p, fd, "LHLO c.example\r\n", "250");
            guest_asks(&p, fd, "MAIL FROM:<>\r\n", "250");
            for (int k = 0; k < 3; k++) {
                guest_asks(&p, fd, "RCPT TO:<b@mx.example>\r\n", "250");
            }
            guest_asks(&p, fd, "DATA\r\n", "354");
            p.slow = cases[i].slow;
            p.heard[0] = '\0';
            guest_says(&p, fd, "text\r\n.\r\nNOOP\r\n");
            for (size_t k = 0; k < 3; k++) {
                if (cases[i].slow != MAIL_SMTP_EV_NONE) {
                    world_until(&w, strlen(p.heard) == 4 * (k + 1)); /* one more " END" */
                    world_idle(&w);
                    assert_int_equal(mail_smtp_service_answer(p.ticket, &p.end_replies[k]),
                                     MAIL_OK);
                }
                guest_hears(&p, fd, cases[i].wants[k]);
            }
            guest_hears(&p, fd, "250");
            if (cases[i].slow != MAIL_SMTP_EV_NONE) {
                mail_sink_finish(&p.box.sink, NULL, NULL);
            }
            assert_int_equal(p.box.finished + p.box.aborted, 1);
            guest_asks(&p, fd, "QUIT\r\n", "221");
            guest_hears_the_end(&p, fd);
            party_end(&p);
        }
    }
}

static void listens_on_a_unix_socket(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char *dir = mail_test_make_dir();
        char path[100];
        mail_error err;
        world w;
        party p;
        int fd;

        snprintf(path, sizeof(path), "%s/lmtp", dir);
        party_begin(&p, &w, kind);
        assert_int_equal(mail_smtp_service_listen_unix(p.service, path, &plain_engine, NULL, &err),
                         MAIL_OK);
        assert_int_equal(mail_smtp_service_listen_unix(p.service, path, &plain_engine, NULL, &err),
                         MAIL_EBUSY);
        fd = w.sockets.ops->connect_unix(&w.sockets, path);
        guest_hears(&p, fd, "220");
        guest_asks(&p, fd, "QUIT\r\n", "221");
        guest_hears_the_end(&p, fd);
        party_end(&p);
        mail_test_remove_dir(dir);
    }
}

static void serves_a_socket_that_is_handed_to_it(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options bad = plain_engine;
        mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
        world w;
        party p;
        int ours;
        int peer;

        opts.limits.sessions = 1;
        world_open(&w, kind, NULL);
        assert_int_equal(party_open(&p, &w, NULL, NULL, &opts), MAIL_OK);
        world_pair(&ours, &peer);
        bad.hostname = MAIL_SPAN("");
        assert_int_equal(mail_smtp_service_adopt(p.service, ours, &bad, NULL), MAIL_EINVAL);
        assert_int_equal(mail_smtp_service_adopt(p.service, ours, &plain_engine, NULL), MAIL_OK);
        assert_string_equal(p.heard, "");
        assert_int_equal(mail_smtp_service_adopt(p.service, ours, &plain_engine, NULL),
                         MAIL_ELIMIT);
        guest_hears(&p, peer, "220");
        guest_asks(&p, peer, "QUIT\r\n", "221");
        guest_hears_the_end(&p, peer);
        party_end(&p);
    }
}

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options bad = plain_engine;
        mail_smtp_service_options opts = {.size = 0};
        mail_error err = {.code = 0};
        mail_smtp_service *others[2];
        mail_endpoint at;
        world w;
        party p;

        world_open(&w, kind, NULL);
        assert_int_equal(mail_smtp_service_create(&others[0], w.loop, &opts), MAIL_EINVAL);
        assert_int_equal(party_open(&p, &w, NULL, NULL, NULL), MAIL_OK);
        assert_int_equal(
            mail_smtp_service_listen(p.service, &p.at, &plain_engine, NULL, NULL, &err),
            MAIL_EBUSY);
        assert_non_null(strstr(err.text, "127.0.0.1:"));
        assert_non_null(strstr(err.text, "in use"));
        /* SX-039 */
        bad.lmtp = true;
        at = (mail_endpoint){.ip = loopback.ip, .port = 25};
        assert_int_equal(mail_smtp_service_listen(p.service, &at, &bad, NULL, NULL, &err),
                         MAIL_EINVAL);
        assert_non_null(strstr(err.text, "127.0.0.1:25: LMTP"));
        bad.lmtp = false;
        bad.hostname = MAIL_SPAN("");
        assert_int_equal(mail_smtp_service_listen(p.service, &loopback, &bad, NULL, NULL, &err),
                         MAIL_EINVAL);
        bad.size = 0;
        assert_int_equal(mail_smtp_service_listen_unix(p.service, "x", &bad, NULL, &err),
                         MAIL_EINVAL);
        w.fail_at[CALL_LISTEN] = w.calls[CALL_LISTEN] + 1;
        w.failure = -EACCES;
        assert_int_equal(
            mail_smtp_service_listen(p.service, &loopback, &plain_engine, NULL, NULL, &err),
            MAIL_EPERM);
        /* Services in other threads may share the port. */
        opts = (mail_smtp_service_options)MAIL_SMTP_SERVICE_OPTIONS_INIT;
        opts.share_ports = true;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(mail_smtp_service_create(&others[i], w.loop, &opts), MAIL_OK);
            assert_int_equal(mail_smtp_service_listen(others[i], i == 0 ? &loopback : &at,
                                                      &plain_engine, NULL, &at, &err),
                             MAIL_OK);
        }
        mail_smtp_service_destroy(others[0]);
        mail_smtp_service_destroy(others[1]);
        party_end(&p);
    }
}

/* Link, engine, watch, timer and session of an idle client, all told. */
static void an_idle_session_takes_less_than_4_kilobytes(void **state)
{
    enum {
        COUNT = 200
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_test_walk mem;
        int peers[COUNT];
        size_t before;
        world w;
        party p;

        mail_test_mem_init(&mem);
        world_open(&w, kind, &mem.mem);
        assert_int_equal(party_open(&p, &w, &mem.mem, NULL, NULL), MAIL_OK);
        before = mem.bytes;
        for (size_t i = 0; i < COUNT; i++) {
            int ours;

            world_pair(&ours, &peers[i]);
            assert_int_equal(mail_smtp_service_adopt(p.service, ours, &plain_engine, NULL),
                             MAIL_OK);
            guest_hears(&p, peers[i], "220");
            guest_asks(&p, peers[i], "EHLO client.example\r\n", "250");
        }
        print_message("%zu octets a session\n", (mem.bytes - before) / COUNT);
        assert_true((mem.bytes - before) / COUNT < 4000);
        for (size_t i = 0; i < COUNT; i++) {
            close(peers[i]);
        }
        world_until(&w, mail_smtp_service_sessions(p.service) == 0);
        party_end(&p);
        mail_test_mem_check(&mem);
    }
}

/* A whole message, as far as it goes; nothing is said twice, nothing left behind. */
static void talk_if_possible(party *p)
{
    static const char all[] = "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\n"
                              "DATA\r\ntext\r\n.\r\nQUIT\r\n";
    world *w = p->w;
    mail_time limit = mail_loop_now(w->loop) + MAIL_MINUTE;
    char bytes[2000];
    size_t length = 0;
    int fd = guest_open(p);
    bool said = false;
    ssize_t n;

    do {
        world_step(w);
        assert_true(mail_loop_now(w->loop) < limit);
        n = read(fd, bytes + length, sizeof(bytes) - 1 - length);
        length += n > 0 ? (size_t)n : 0;
        bytes[length] = '\0';
        if (n > 0 && !said && strncmp(bytes, "220", 3) == 0) {
            said = true;
            send(fd, all, sizeof(all) - 1, MSG_NOSIGNAL);
        }
        bin_empty(&p->box);
        if (p->box.fn != NULL) {
            mail_finish_fn *fn = p->box.fn;

            p->box.fn = NULL;
            fn(MAIL_OK, p->box.fn_arg);
        }
    } while (n > 0 || (n < 0 && errno == EAGAIN));
    /* 250 to the message, and only then, if it was finished. */
    if (strstr(bytes, "250 2.0.0 Stored") != NULL) {
        assert_int_equal(p->box.finished, 1);
    }
    assert_true(p->box.finished + p->box.aborted <= 1);
    close(fd);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            world w;
            party p;

            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            if (party_open(&p, &w, &walk.mem, NULL, NULL) == MAIL_OK) {
                p.accepted = MAIL_SPAN("Stored");
                p.box.finish_code = MAIL_EAGAIN;
                p.box.full_every = 3;
                p.box.room = 5;
                talk_if_possible(&p);
                world_until(&w, mail_smtp_service_sessions(p.service) == 0);
                party_close(&p);
            }
            world_close(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_everything_is_ordinary),
        cmocka_unit_test(remembers_the_name_last_accepted),
        cmocka_unit_test(a_421_of_the_policy_ends_the_session),
        cmocka_unit_test(the_last_reply_reaches_a_client_that_still_sends),
        cmocka_unit_test(a_silent_client_is_sent_away),
        cmocka_unit_test(a_finish_under_way_outlives_its_session),
        cmocka_unit_test(more_sessions_than_allowed_are_refused),
        cmocka_unit_test(without_descriptors_a_client_is_told_so),
        cmocka_unit_test(draining_lets_messages_through_and_nothing_else),
        cmocka_unit_test(draining_nothing_is_over_at_once_but_not_inside_the_call),
        cmocka_unit_test(destroying_tells_every_session_once),
        cmocka_unit_test(lmtp_has_a_verdict_for_each_recipient),
        cmocka_unit_test(listens_on_a_unix_socket),
        cmocka_unit_test(serves_a_socket_that_is_handed_to_it),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(an_idle_session_takes_less_than_4_kilobytes),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
