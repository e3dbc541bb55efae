/* SPDX-License-Identifier: MIT */
#include "net/pop3_kit.h"

#include "net/pop3_session.h"

/* PO-012, PO-015 from end to end. */
static void serves_a_session(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;
        int fd;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        put(fx.store, "mail/alice", MAIL_SPAN(".two\r\n"));
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        say(fd, "USER alice\r\n");
        expect(&fx, fd, USER_OK);
        say(fd, "PASS secret\r\n");
        expect(&fx, fd, "+OK 2 messages (11 octets)\r\n");
        say(fd, "RETR 2\r\n");
        expect(&fx, fd, "+OK 6 octets\r\n..two\r\n.\r\n");
        say(fd, "TOP 1 0\r\n");
        expect(&fx, fd, "+OK\r\none\r\n.\r\n");
        say(fd, "DELE 1\r\n");
        expect(&fx, fd, "+OK message 1 will be removed\r\n");
        say(fd, "QUIT\r\n");
        expect(&fx, fd, "+OK bye\r\n");
        expect_end(&fx, fd);
        world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 0);
        assert_int_equal(count_messages(fx.store, "mail/alice"), 1);
        tear_down(&fx);
    }
}

/* PO-027; also when the client closes its half behind QUIT. */
static void answers_everything_that_came_at_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;
        int fd;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "box of bob", MAIL_SPAN("one\r\n"));
        put(fx.store, "box of bob", MAIL_SPAN("two\r\n"));
        fd = dial(&fx);
        say(fd,
            "USER BOB\r\nPASS geheim\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        expect(&fx, fd,
               GREETING USER_OK "+OK 2 messages (10 octets)\r\n"
                                "+OK 2 messages\r\n1 1\r\n2 2\r\n.\r\n"
                                "+OK 5 octets\r\none\r\n.\r\n+OK message 1 will be removed\r\n"
                                "+OK 5 octets\r\ntwo\r\n.\r\n+OK message 2 will be removed\r\n"
                                "+OK bye\r\n");
        expect_end(&fx, fd);
        assert_int_equal(count_messages(fx.store, "box of bob"), 0);
        tear_down(&fx);
    }
}

/* PO-023: the same answer, not at once, whether the name or the password is wrong. */
static void delays_the_answer_to_a_wrong_login(void **state)
{
    static const char *const logins[] = {"USER alice\r\nPASS wrong\r\n",
                                         "USER eve\r\nPASS secret\r\n"};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        fixture fx;
        int fd;

        login.delay = 10 * MAIL_MILLISECOND;
        set_up(&fx, kind, &(mail_pop3_service_options){.login = &login});
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        for (size_t i = 0; i < MAIL_COUNT(logins); i++) {
            mail_time before = mail_loop_now(fx.w.loop);

            say(fd, logins[i]);
            expect(&fx, fd, USER_OK "-ERR [AUTH] wrong name or password\r\n");
            assert_true(mail_loop_now(fx.w.loop) - before >= (10 * MAIL_MILLISECOND << i));
        }
        say(fd, LOGIN);
        expect(&fx, fd, USER_OK "+OK 0 messages (0 octets)\r\n");
        close(fd);
        tear_down(&fx);
    }
}

/* PO-007, PO-016: the lock goes with the connection, and nothing is removed. */
static void lets_one_session_at_a_time_into_a_mailbox(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;
        int first;
        int second;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        first = dial(&fx);
        say(first, LOGIN "DELE 1\r\n");
        expect(&fx, first,
               GREETING USER_OK "+OK 1 messages (5 octets)\r\n+OK message 1 will be removed\r\n");
        second = dial(&fx);
        say(second, LOGIN);
        expect(&fx, second, GREETING USER_OK "-ERR [IN-USE] another session has this mailbox\r\n");
        close(first);
        world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 1);
        say(second, LOGIN);
        expect(&fx, second, USER_OK "+OK 1 messages (5 octets)\r\n");
        close(second);
        tear_down(&fx);
    }
}

/* HOSTILE 9: whoever reads slowly holds up nobody, and a message of any size comes whole. */
static void sends_a_large_message_to_a_slow_reader(void **state)
{
    static char text[4000000];
    static char heard[sizeof(text) + 100];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 80) {
        memset(text + i, 'a' + (int)(i / 80 % 26), 78);
        memcpy(text + i + 78, "\r\n", 2);
    }
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char *dir = mail_test_make_dir();
        mail_pop3_service_options how = {0};
        size_t prefix = strlen("+OK 4000000 octets\r\n");
        fixture fx;
        char users[4200];
        int slow;
        int other;

        assert_int_equal(mail_maildir_create(&how.store, NULL), MAIL_OK);
        set_up(&fx, kind, &how);
        snprintf(users, sizeof(users), "alice:{PLAIN}secret:%s/a\n", dir);
        mail_accounts_unref(fx.accounts);
        assert_int_equal(
            mail_accounts_parse(&fx.accounts, mail_span_text(users), "users", NULL, NULL), MAIL_OK);
        mail_pop3_service_set_accounts(fx.service, fx.accounts);
        snprintf(users, sizeof(users), "%s/a", dir);
        put(fx.store, users, mail_span_of(text, sizeof(text)));
        slow = dial(&fx);
        say(slow, LOGIN "RETR 1\r\n");
        expect(&fx, slow, GREETING USER_OK "+OK 1 messages (4000000 octets)\r\n");
        other = dial(&fx);
        say(other, "CAPA\r\nQUIT\r\n");
        expect(&fx, other, GREETING "+OK\r\nUSER\r\n");
        world_hear(&fx.w, slow, prefix + sizeof(text) + 3, heard, sizeof(heard));
        assert_memory_equal(heard, "+OK 4000000 octets\r\n", prefix);
        assert_memory_equal(heard + prefix, text, sizeof(text));
        assert_memory_equal(heard + prefix + sizeof(text), ".\r\n", 3);
        say(slow, "TOP 1 1\r\nQUIT\r\n"); /* enough after the first piece */
        expect(&fx, slow, "+OK\r\n");
        close(other);
        close(slow);
        tear_down(&fx);
        mail_test_remove_dir(dir);
    }
}

/* PO-040 */
static void goes_on_when_a_message_has_vanished(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char *dir = mail_test_make_dir();
        mail_pop3_service_options how = {0};
        char text[4200];
        fixture fx;
        int fd;

        assert_int_equal(mail_maildir_create(&how.store, NULL), MAIL_OK);
        set_up(&fx, kind, &how);
        snprintf(text, sizeof(text), "alice:{PLAIN}secret:%s/a\nbob:{PLAIN}geheim:%s/a/file\n", dir,
                 dir);
        mail_accounts_unref(fx.accounts);
        assert_int_equal(
            mail_accounts_parse(&fx.accounts, mail_span_text(text), "users", NULL, NULL), MAIL_OK);
        mail_pop3_service_set_accounts(fx.service, fx.accounts);
        snprintf(text, sizeof(text), "%s/a", dir);
        put(fx.store, text, MAIL_SPAN("one\r\n"));
        fd = dial(&fx);
        say(fd, LOGIN);
        expect(&fx, fd, GREETING USER_OK "+OK 1 messages (5 octets)\r\n");
        snprintf(text, sizeof(text), "rm %s/a/new/*; touch %s/a/file", dir, dir);
        assert_int_equal(system(text), 0);
        say(fd, "RETR 1\r\nSTAT\r\nDELE 1\r\nQUIT\r\n");
        expect(&fx, fd,
               "-ERR [SYS/TEMP] the message has vanished\r\n+OK 1 5\r\n"
               "+OK message 1 will be removed\r\n+OK bye\r\n");
        expect_end(&fx, fd);
        fd = dial(&fx);
        say(fd, "USER bob\r\nPASS geheim\r\n");
        expect(&fx, fd, GREETING USER_OK "-ERR [SYS/PERM] the mailbox can't be opened\r\n");
        close(fd);
        tear_down(&fx);
        mail_test_remove_dir(dir);
    }
}

/* Wherever a client hangs up, the session ends, the mailbox is free again, no file is lost. */
static void survives_the_loss_of_a_connection_at_any_point(void **state)
{
    static const char text[] = LOGIN "RETR 1\r\nDELE 1\r\nRETR 2\r\nQUI";

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        put(fx.store, "mail/alice", MAIL_SPAN("two\r\n"));
        for (size_t length = 0; length < sizeof(text); length++) {
            struct linger reset = {.l_onoff = 1};
            int fd = dial(&fx);

            if (length % 2 > 0) {
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            }
            assert_int_equal(write(fd, text, length), length);
            for (size_t i = 0; i < length % 5; i++) {
                world_step(&fx.w);
            }
            close(fd);
            world_step(&fx.w);
            world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 0);
        }
        assert_int_equal(count_messages(fx.store, "mail/alice"), 2);
        tear_down(&fx);
    }
}

static int accept_from_afar(const mail_sockets *net, int listener, mail_endpoint *peer)
{
    int fd = world_accept(net, listener, peer);

    peer->ip = (mail_ip){.family = 4, .bytes = {192, 0, 2, 1}};
    return fd;
}

static void move_clients_away(fixture *fx, mail_sockets_ops *ops)
{
    *ops = *fx->w.sockets.ops;
    ops->accept = accept_from_afar;
    fx->w.sockets.ops = ops;
}

/* PO-037: what a client without UTF8 could not read is told, not mangled; bodies are no matter. */
static void refuses_headers_in_utf8_without_utf8(void **state)
{
    static char long_header[40000];

    (void)state;
    memset(long_header, 'x', sizeof(long_header));
    for (size_t i = 0; i < sizeof(long_header) - 1; i += 100) {
        memcpy(long_header + i, "X: ", 3);
        memcpy(long_header + i + 98, "\r\n", 2);
    }
    memcpy(long_header + sizeof(long_header) - 20, "\xc3\xa4", 2);
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx = {.engine = {.utf8 = true}};
        int fd;

        set_up_with(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "mail/alice", MAIL_SPAN("To: j\xc3\xbcrgen@x\r\n\r\n"));
        put(fx.store, "mail/alice", MAIL_SPAN("To: a\r\n\r\n\xc3\xbc\r\n"));
        put(fx.store, "mail/alice", mail_span_of(long_header, sizeof(long_header)));
        put(fx.store, "mail/alice", MAIL_SPAN(""));
        fd = dial(&fx);
        say(fd, LOGIN "RETR 1\r\nTOP 1 0\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nQUIT\r\n");
        expect(&fx, fd,
               GREETING USER_OK "+OK 4 messages (40030 octets)\r\n"
                                "-ERR [UTF8] this message can be read after UTF8 only\r\n"
                                "-ERR [UTF8] this message can be read after UTF8 only\r\n"
                                "+OK 13 octets\r\nTo: a\r\n\r\n\xc3\xbc\r\n.\r\n"
                                "-ERR [UTF8] this message can be read after UTF8 only\r\n"
                                "+OK 0 octets\r\n.\r\n+OK bye\r\n");
        expect_end(&fx, fd);
        fd = dial(&fx);
        say(fd, "UTF8\r\n" LOGIN "RETR 1\r\nQUIT\r\n");
        expect(&fx, fd,
               GREETING "+OK UTF-8 it is\r\n" USER_OK "+OK 4 messages (40030 octets)\r\n"
                        "+OK 17 octets\r\nTo: j\xc3\xbcrgen@x\r\n\r\n.\r\n+OK bye\r\n");
        expect_end(&fx, fd);
        tear_down(&fx);
    }
}

/* PO-031, PO-023 */
static void trusts_no_password_from_afar_and_bars_who_guesses(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        mail_sockets_ops ops;
        fixture fx;
        int fd;

        login.max_failures = 1;
        login.delay = 1;
        set_up(&fx, kind, &(mail_pop3_service_options){0});
        move_clients_away(&fx, &ops);
        fd = dial(&fx);
        say(fd, "USER alice\r\n");
        expect(&fx, fd, GREETING "-ERR logging in needs an encrypted connection\r\n");
        close(fd);
        tear_down(&fx);
        set_up(&fx, kind, &(mail_pop3_service_options){.auth_insecure = true, .login = &login});
        move_clients_away(&fx, &ops);
        fd = dial(&fx);
        say(fd, "USER alice\r\nPASS wrong\r\n");
        expect(&fx, fd, GREETING USER_OK "-ERR [AUTH] wrong name or password\r\n");
        close(fd);
        fd = dial(&fx);
        say(fd, LOGIN);
        expect(&fx, fd, GREETING USER_OK "-ERR [SYS/TEMP] too many logins, try again later\r\n");
        close(fd);
        tear_down(&fx);
    }
}

static void turns_away_whom_it_has_no_place_for(void **state)
{
    static const mail_pop3_service_options limits[] = {
        {.limits = {.sessions = 1}},
        {.limits = {.sessions_per_client = 1, .includes_loopback = true}},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(limits); i++) {
            fixture fx;
            int first;
            int second;

            set_up(&fx, kind, &limits[i]);
            first = dial(&fx);
            expect(&fx, first, GREETING);
            second = dial(&fx);
            expect(&fx, second, "-ERR [SYS/TEMP] too busy, try again later\r\n");
            expect_end(&fx, second);
            say(first, "QUIT\r\n");
            expect(&fx, first, "+OK bye\r\n");
            expect_end(&fx, first);
            world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 0);
            second = dial(&fx);
            expect(&fx, second, GREETING);
            close(second);
            tear_down(&fx);
        }
    }
}

/* Who they are is remembered beyond a session, and what they met is counted. */
static void connections_have_a_rate_and_networks_a_number(void **state)
{
    static const struct {
        mail_limits limits;
        bool stays; /* the first one */
        net_limit met;
    } cases[] = {
        {{.client_connections = {1, MAIL_HOUR}}, false, NET_LIMIT_CONNECTIONS},
        {{.sessions_per_network = 1}, true, NET_LIMIT_NETWORK_SESSIONS},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_pop3_service_options how = {.limits = cases[i].limits};
            fixture fx;
            int first;
            int second;

            how.limits.includes_loopback = true;
            assert_int_equal(mail_metrics_create(&how.metrics, NULL), MAIL_OK);
            set_up(&fx, kind, &how);
            first = dial(&fx);
            expect(&fx, first, GREETING);
            if (!cases[i].stays) {
                say(first, "QUIT\r\n");
                expect(&fx, first, "+OK bye\r\n");
                expect_end(&fx, first);
            }
            second = dial(&fx);
            expect(&fx, second, "-ERR [SYS/TEMP] too busy, try again later\r\n");
            expect_end(&fx, second);
            assert_int_equal(mail_metric_value(fx.service->door.measure.met[cases[i].met]), 1);
            if (cases[i].stays) {
                close(first);
            }
            tear_down(&fx);
            mail_metrics_destroy(how.metrics);
        }
    }
}

/* HOSTILE 9: what is left of them is not kept until the session ends, nor for ever. */
static void forgets_exchanges_that_are_broken_off(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_test_walk mem;
        fixture fx = {.store = NULL};
        size_t bytes = 0;
        int fd;

        mail_test_mem_init(&mem);
        assert_int_equal(world_open(&fx.w, kind, NULL), MAIL_OK);
        assert_int_equal(mail_memory_store_create(&fx.store, NULL), MAIL_OK);
        assert_int_equal(mail_accounts_parse(&fx.accounts, MAIL_SPAN("alice:{PLAIN}secret"),
                                             "users", NULL, NULL),
                         MAIL_OK);
        fx.engine.auth_in_clear = true;
        assert_int_equal(open_service(&fx, &mem.mem, &(mail_pop3_service_options){0}), MAIL_OK);
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        for (int i = 0; i < 10; i++) {
            char heard[2] = "";

            say(fd,
                "AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiY2RlZmdo\r\n"); /* n,,n=alice,r=abcdefgh */
            expect(&fx, fd, "+ ");
            while (*heard != '\n') {
                world_hear(&fx.w, fd, 1, heard, 1);
            }
            say(fd, "*\r\n");
            expect(&fx, fd, "-ERR cancelled\r\n");
            bytes = i == 1 ? mem.bytes : bytes;
        }
        assert_in_range(mem.bytes, 0, bytes);
        close(fd);
        tear_down(&fx);
        mail_test_mem_check(&mem);
    }
}

/* PO-023: what ends a session against the client's will is counted by reason; nothing else is. */
static void counts_why_sessions_end(void **state)
{
    static const struct {
        const char *said;
        const char *heard;
        net_limit met; /* NET_LIMIT_NONE: none */
    } cases[] = {
        {"QUIT\r\n", "+OK bye\r\n", NET_LIMIT_NONE},
        {"GET / HTTP/1.1\r\n", "-ERR only POP3 is spoken here\r\n", NET_LIMIT_MANNERS},
        {"X\r\nX\r\n", "-ERR unknown command\r\n-ERR unknown command; too many errors, closing\r\n",
         NET_LIMIT_SESSION},
        {"USER alice\r\nPASS x\r\n", "+OK send PASS\r\n-ERR [AUTH] wrong name or password\r\n",
         NET_LIMIT_SESSION},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases) * WORLD_LOOPS; i++) {
        size_t n = i / WORLD_LOOPS;
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        mail_pop3_service_options how = {.login = &login};
        fixture fx = {.engine = {.max_errors = 2, .max_logins = 1}};
        int fd;

        mail_test_case(cases[n].said);
        login.delay = 1;
        assert_int_equal(mail_metrics_create(&how.metrics, NULL), MAIL_OK);
        set_up_with(&fx, (int)(i % WORLD_LOOPS), &how);
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        say(fd, cases[n].said);
        expect(&fx, fd, cases[n].heard);
        expect_end(&fx, fd);
        for (size_t limit = NET_LIMIT_NONE + 1; limit < NET_LIMITS; limit++) {
            assert_int_equal(mail_metric_value(fx.service->door.measure.met[limit]),
                             limit == cases[n].met);
        }
        assert_int_equal(mail_metric_value(fx.service->measure.sessions), 1);
        assert_int_equal(mail_metric_value(fx.service->measure.accepted), 0);
        assert_int_equal(mail_metric_value(fx.service->measure.refused),
                         strstr(cases[n].said, "PASS") != NULL);
        tear_down(&fx);
        mail_metrics_destroy(how.metrics);
    }
}

/* HOSTILE 3: our last words wait for nobody who does not want to hear them. */
static void who_does_not_read_is_not_waited_for_in_the_end(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;
        int fd;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        fx.service->last_words = MAIL_MILLISECOND;
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        fx.w.fail_at[CALL_WRITE] = fx.w.calls[CALL_WRITE] + 1; /* its window is shut */
        fx.w.fail_count = 1000000;
        fx.w.failure = -EAGAIN;
        say(fd, "QUIT\r\n");
        world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 0);
        close(fd);
        fx.w.fail_at[CALL_WRITE] = 0;
        tear_down(&fx);
    }
}

static void drains_without_removing_what_is_marked(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx;
        int fd;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        fd = dial(&fx);
        say(fd, LOGIN "DELE 1\r\n");
        expect(&fx, fd,
               GREETING USER_OK "+OK 1 messages (5 octets)\r\n+OK message 1 will be removed\r\n");
        mail_pop3_service_drain(fx.service, on_drained, &fx);
        assert_false(fx.is_drained); /* never from inside */
        world_until(&fx.w, fx.is_drained);
        expect_end(&fx, fd);
        assert_int_equal(count_messages(fx.store, "mail/alice"), 1);
        tear_down(&fx);
    }
}

static void serves_a_socket_that_it_is_given(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;
        fixture fx;
        int ours;
        int peer;

        set_up(&fx, kind, &(mail_pop3_service_options){0});
        world_pair(&ours, &peer);
        assert_int_equal(mail_pop3_service_adopt(fx.service, ours, &engine), MAIL_EINVAL);
        engine.hostname = MAIL_SPAN("pop.example");
        assert_int_equal(mail_pop3_service_adopt(fx.service, ours, &engine), MAIL_OK);
        say(peer, LOGIN "QUIT\r\n");
        expect(&fx, peer, GREETING USER_OK "+OK 0 messages (0 octets)\r\n+OK bye\r\n");
        expect_end(&fx, peer);
        tear_down(&fx);
    }
}

static void refuses_bad_options(void **state)
{
    fixture fx = {0};
    mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_service_options opts = MAIL_POP3_SERVICE_OPTIONS_INIT;
    mail_error err;

    (void)state;
    set_up(&fx, WORLD_POLL, &(mail_pop3_service_options){0});
    assert_int_equal(mail_pop3_service_create(&(mail_pop3_service *){NULL}, fx.w.loop, &opts),
                     MAIL_EINVAL);
    opts.store = fx.store;
    opts.accounts = fx.accounts;
    opts.size = 0;
    assert_int_equal(mail_pop3_service_create(&(mail_pop3_service *){NULL}, fx.w.loop, &opts),
                     MAIL_EINVAL);
    assert_int_equal(mail_pop3_service_listen(fx.service, &loopback, &engine, NULL, &err),
                     MAIL_EINVAL);
    engine.hostname = MAIL_SPAN("pop.example");
    assert_int_equal(mail_pop3_service_listen(fx.service, &fx.at, &engine, NULL, &err), MAIL_EBUSY);
    assert_non_null(strstr(err.text, "127.0.0.1:"));
    tear_down(&fx);
}

/* Reads what there is until the server closes. */
static void read_to_the_end(fixture *fx, int fd)
{
    char bytes[1024];
    ssize_t n;

    do {
        world_step(&fx->w);
        n = read(fd, bytes, sizeof(bytes));
    } while (n > 0 || (n < 0 && errno == EAGAIN));
    close(fd);
}

static void survives_every_failed_allocation(void **state)
{
    static const mail_pop3_service_options counted = {.limits = {.includes_loopback = true}};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            fixture fx = {0};

            assert_int_equal(world_open(&fx.w, kind, NULL), MAIL_OK);
            assert_int_equal(mail_memory_store_create(&fx.store, NULL), MAIL_OK);
            assert_int_equal(mail_accounts_parse(&fx.accounts, MAIL_SPAN("alice:{PLAIN}secret"),
                                                 "users", NULL, NULL),
                             MAIL_OK);
            put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
            if (open_service(&fx, &walk.mem, &counted) == MAIL_OK) {
                int fd = dial(&fx);

                say(fd, LOGIN "RETR 1\r\nDELE 1\r\nQUIT\r\n");
                read_to_the_end(&fx, fd);
            } else {
                assert_true(walk.failed);
            }
            if (fx.service != NULL) {
                tear_down(&fx);
            } else {
                mail_accounts_unref(fx.accounts);
                mail_store_destroy(fx.store);
                world_close(&fx.w);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_a_session),
        cmocka_unit_test(answers_everything_that_came_at_once),
        cmocka_unit_test(delays_the_answer_to_a_wrong_login),
        cmocka_unit_test(lets_one_session_at_a_time_into_a_mailbox),
        cmocka_unit_test(sends_a_large_message_to_a_slow_reader),
        cmocka_unit_test(goes_on_when_a_message_has_vanished),
        cmocka_unit_test(survives_the_loss_of_a_connection_at_any_point),
        cmocka_unit_test(refuses_headers_in_utf8_without_utf8),
        cmocka_unit_test(trusts_no_password_from_afar_and_bars_who_guesses),
        cmocka_unit_test(turns_away_whom_it_has_no_place_for),
        cmocka_unit_test(connections_have_a_rate_and_networks_a_number),
        cmocka_unit_test(forgets_exchanges_that_are_broken_off),
        cmocka_unit_test(counts_why_sessions_end),
        cmocka_unit_test(who_does_not_read_is_not_waited_for_in_the_end),
        cmocka_unit_test(drains_without_removing_what_is_marked),
        cmocka_unit_test(serves_a_socket_that_it_is_given),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
