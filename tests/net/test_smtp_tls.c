/* SPDX-License-Identifier: MIT */
/* The SMTP service with TLS, and who talks to it over a socket. */
#include "party.h"

#include "net/guest.h"
#include "support/certs.h"

static mail_test_tls shared;
static mail_tls_context *slow_server; /* its key is */

static int set_up(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, "mx.example");
    slow_server = mail_test_tls_slow_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_tls_context_unref(slow_server);
    mail_test_tls_free(&shared);
    return 0;
}

static int tls_party_open_with(party *p, world *w, mail_tls_context *context,
                               mail_smtp_server_options *engine, mail_smtp_service_options *opts)
{
    int code;

    engine->hostname = MAIL_SPAN("mx.example");
    engine->starttls = true;
    opts->sockets = &w->sockets;
    opts->on_event = party_event;
    opts->refusal = party_refusal;
    opts->arg = p;
    *p = (party){.w = w, .has_bin = true};
    code = mail_smtp_service_create(&p->service, w->loop, opts);
    if (code == MAIL_OK) {
        mail_smtp_service_set_tls(p->service, context);
        code = mail_smtp_service_listen(p->service, &loopback, engine, NULL, &p->at, NULL);
        if (code != MAIL_OK) {
            mail_smtp_service_destroy(p->service);
        }
    }
    return code;
}

static int tls_party_open(party *p, world *w, const mail_mem *mem, mail_smtp_server_options *engine)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;

    opts.mem = mem;
    return tls_party_open_with(p, w, shared.server, engine, &opts);
}

/* The same in a world of its own. */
static void tls_party_begin(party *p, world *w, int kind, mail_smtp_server_options *engine)
{
    assert_int_equal(world_open(w, kind, NULL), MAIL_OK);
    assert_int_equal(tls_party_open(p, w, NULL, engine), MAIL_OK);
}

/* Up to the handshake. */
static void starttls(guest *g, party *p)
{
    int fd = guest_open(p);

    guest_hears(p, fd, "220 mx.example");
    guest_asks(p, fd, "EHLO client.example\r\n", "250");
    guest_asks(p, fd, "STARTTLS\r\n", "220");
    guest_begin_tls(g, p->w, fd, shared.doubting);
    guest_shakes_hands(g);
}

/* SX-007, SX-009: in the middle of a session. */
static void takes_a_message_after_starttls(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        char bytes[100];
        guest g;
        world w;
        party p;

        tls_party_begin(&p, &w, kind, &engine);
        p.box.bytes = bytes;
        p.box.keep = sizeof(bytes);
        starttls(&g, &p);
        guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "503");
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        assert_string_equal(p.tls_version, "TLS1.3");
        guest_asks_in_tls(&g, "STARTTLS\r\n", "503");
        guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "250");
        guest_asks_in_tls(&g, "RCPT TO:<b@mx.example>\r\n", "250");
        guest_asks_in_tls(&g, "DATA\r\n", "354");
        guest_says_in_tls(&g, "Subject: hi\r");
        guest_says_in_tls(&g, "\n\r\nte");
        guest_says_in_tls(&g, "xt\r\n.\r");
        guest_asks_in_tls(&g, "\n", "250");
        assert_span_equal(mail_span_of(bytes, p.box.length), "Subject: hi\r\n\r\ntext\r\n");
        guest_asks_in_tls(&g, "QUIT\r\n", "221");
        guest_hears_the_end_in_tls(&g);
        assert_true(g.ended);
        guest_close(&g);
        party_end(&p);
    }
}

static void greets_inside_tls_where_that_comes_first(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        guest g;
        world w;
        party p;

        engine.implicit_tls = true;
        tls_party_begin(&p, &w, kind, &engine);
        guest_begin_tls(&g, &w, guest_open(&p), shared.doubting);
        guest_hears_in_tls(&g, "220 mx.example");
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        guest_asks_in_tls(&g, "QUIT\r\n", "221");
        guest_hears_the_end_in_tls(&g);
        guest_close(&g);
        assert_string_equal(p.heard, " CONNECT HELO CLOSE");
        party_end(&p);
    }
}

static void binds_logins_to_the_session_where_they_may_be(void **state)
{
    static const struct {
        const char *name;
        unsigned mechanisms;
        const char *want;
    } cases[] = {
        {"offered", 1U << MAIL_SASL_SCRAM_SHA_256 | 1U << MAIL_SASL_SCRAM_SHA_256_PLUS, "334"},
        {"not offered", 1U << MAIL_SASL_SCRAM_SHA_256, "504"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        guest g;
        world w;
        party p;

        mail_test_case(cases[i].name);
        engine.auth_mechanisms = cases[i].mechanisms;
        tls_party_begin(&p, &w, 0, &engine);
        starttls(&g, &p);
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        guest_asks_in_tls(&g, "AUTH SCRAM-SHA-256-PLUS\r\n", cases[i].want);
        guest_close(&g);
        world_until(&w, p.opened == 0);
        party_close(&p);
        world_close(&w);
    }
}

/* SX-008: what somebody put behind STARTTLS is neither run nor taken for TLS. */
static void drops_and_reports_input_behind_starttls(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        guest g;
        world w;
        party p;
        int fd;

        tls_party_begin(&p, &w, kind, &engine);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220 mx.example");
        guest_asks(&p, fd, "EHLO client.example\r\n", "250");
        guest_asks(&p, fd, "STARTTLS\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<x@", "220");
        guest_begin_tls(&g, &w, fd, shared.doubting);
        guest_shakes_hands(&g);
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        guest_asks_in_tls(&g, "RCPT TO:<b@mx.example>\r\n", "503");
        assert_string_equal(p.heard, " CONNECT HELO REFUSED HELO REFUSED");
        guest_close(&g);
        world_until(&w, p.opened == 0);
        party_end(&p);
    }
}

/* What lies behind the handshake in one write with it is not lost on the way to a worker and back. */
static void shakes_hands_on_a_worker_where_that_takes_long(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int implicit = 0; implicit < 2; implicit++) {
            mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
            mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
            guest g;
            world w;
            party p;

            world_open(&w, kind, NULL);
            engine.implicit_tls = implicit;
            engine.allow_early_talk = true;
            assert_int_equal(tls_party_open_with(&p, &w, slow_server, &engine, &opts), MAIL_OK);
            if (implicit) {
                guest_begin_tls(&g, &w, guest_open(&p), shared.doubting);
                guest_hears_in_tls(&g, "220 mx.example");
            } else {
                starttls(&g, &p);
            }
            guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
            guest_asks_in_tls(&g, "QUIT\r\n", "221");
            guest_hears_the_end_in_tls(&g);
            guest_close(&g);
            party_close(&p);
            world_close(&w);
        }
    }
}

/* By a client that goes, and by the service that does. */
static void ends_while_a_worker_shakes_hands(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int client_goes = 0; client_goes < 2; client_goes++) {
            mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
            mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
            mail_span hello;
            guest g;
            world w;
            party p;

            world_open(&w, kind, NULL);
            engine.implicit_tls = true;
            assert_int_equal(tls_party_open_with(&p, &w, slow_server, &engine, &opts), MAIL_OK);
            guest_begin_tls(&g, &w, guest_open(&p), shared.doubting);
            hello = mail_tls_out(g.tls);
            assert_int_equal(write(g.fd, hello.data, hello.length), hello.length);
            world_until(&w, mail_smtp_service_sessions(p.service) == 1);
            if (client_goes) {
                guest_close(&g);
                world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            }
            party_close(&p);
            if (!client_goes) {
                guest_close(&g);
            }
            world_close(&w);
        }
    }
}

/* A cut without close_notify, and an orderly end, in the middle of a message. */
static void a_cut_never_ends_a_message(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int orderly = 0; orderly < 2; orderly++) {
            mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
            guest g;
            world w;
            party p;

            tls_party_begin(&p, &w, kind, &engine);
            starttls(&g, &p);
            guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
            guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "250");
            guest_asks_in_tls(&g, "RCPT TO:<b@mx.example>\r\n", "250");
            guest_asks_in_tls(&g, "DATA\r\n", "354");
            guest_says_in_tls(&g, "Subject: hi\r\n\r\ntext\r\n.");
            if (orderly) {
                mail_tls_close(g.tls);
                guest_moves(&g);
            }
            guest_close(&g);
            world_until(&w, p.opened == 0);
            assert_int_equal(p.box.finished, 0);
            assert_int_equal(p.box.aborted, 1);
            party_end(&p);
        }
    }
}

static void ends_a_session_whose_handshake_fails(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        world w;
        party p;
        int fd;

        engine.implicit_tls = true;
        tls_party_begin(&p, &w, kind, &engine);
        fd = guest_open(&p);
        guest_says(&p, fd, "EHLO client.example\r\n");
        world_until(&w, p.opened == 0 && p.heard[0] != '\0');
        assert_string_equal(p.heard, " CLOSE");
        close(fd);
        assert_int_equal(mail_smtp_service_sessions(p.service), 0);
        party_end(&p);
    }
}

static void does_not_wait_for_handshakes_when_it_ends(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        world w;
        party p;
        int fd;

        engine.implicit_tls = true;
        tls_party_begin(&p, &w, kind, &engine);
        fd = guest_open(&p);
        world_until(&w, mail_smtp_service_sessions(p.service) == 1);
        mail_smtp_service_drain(p.service, party_drained, &p);
        world_until(&w, p.drained == 1);
        close(fd);
        party_end(&p);
    }
}

static void a_new_certificate_serves_sessions_to_come(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        mail_tls_context *renewed = mail_test_tls_context(&shared.renewed, NULL);
        mail_tls_facts facts[3];
        guest g[3];
        world w;
        party p;

        tls_party_begin(&p, &w, kind, &engine);
        starttls(&g[0], &p);
        mail_smtp_service_set_tls(p.service, renewed);
        mail_tls_context_unref(renewed);
        starttls(&g[1], &p);
        guest_asks_in_tls(&g[0], "EHLO client.example\r\n", "250");
        guest_asks_in_tls(&g[1], "EHLO client.example\r\n", "250");
        for (int i = 0; i < 2; i++) {
            mail_tls_facts_read(g[i].tls, &facts[i]);
            guest_close(&g[i]);
        }
        assert_memory_not_equal(facts[0].peer_pin, facts[1].peer_pin, 32);
        world_until(&w, p.opened == 0);
        party_end(&p);
    }
}

/* SX-012 to SX-017: who it is, inside TLS only. */
static void learns_who_the_client_is(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        guest g;
        world w;
        party p;
        int fd;

        engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
        engine.requires_auth = true;
        tls_party_begin(&p, &w, kind, &engine);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220 mx.example");
        guest_asks(&p, fd, "EHLO client.example\r\n", "250");
        guest_asks(&p, fd, "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n", "538");
        close(fd);
        starttls(&g, &p);
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "530");
        guest_asks_in_tls(&g, "AUTH PLAIN AHVzZXIAZXJhc2Vy\r\n", "535");
        guest_asks_in_tls(&g, "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n", "235");
        guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "250");
        assert_string_equal(p.authenticated, "user");
        guest_close(&g);
        world_until(&w, p.opened == 0);
        party_end(&p);
    }
}

/* A client with a certificate of its own. */
static void shows_a_certificate(int kind, mail_tls_context *asking, const mail_test_cert *cert,
                                const char *said, const char *user)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
    mail_tls_context *own = mail_test_tls_context(cert, NULL);
    guest g;
    world w;
    party p;

    world_open(&w, kind, NULL);
    login.delay = 1;
    opts.login = &login;
    assert_int_equal(mail_accounts_parse(&opts.accounts,
                                         MAIL_SPAN("alice@a.example:{EXTERNAL}\nbob@a.example:*\n"),
                                         "users", NULL, NULL),
                     MAIL_OK);
    engine.implicit_tls = true;
    engine.auth_mechanisms = 1U << MAIL_SASL_EXTERNAL | 1U << MAIL_SASL_PLAIN;
    engine.error_delay = -1;
    assert_int_equal(tls_party_open_with(&p, &w, asking, &engine, &opts), MAIL_OK);
    guest_begin_tls(&g, &w, guest_open(&p), own);
    guest_hears_in_tls(&g, "220 mx.example");
    guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
    guest_asks_in_tls(&g, "AUTH EXTERNAL =\r\n", said);
    guest_asks_in_tls(&g, "MAIL FROM:<a@client.example>\r\n", "250");
    assert_string_equal(p.authenticated, user);
    guest_close(&g);
    world_until(&w, p.opened == 0);
    party_end(&p);
    mail_accounts_unref(opts.accounts);
    mail_tls_context_unref(own);
}

/* SX-012: only a certificate that can be believed, and that names somebody, makes EXTERNAL an offer. */
static void lets_in_by_certificate(void **state)
{
    static const struct {
        const char *name;
        mail_test_cert_options cert;
        bool by_authority;
        const char *said;
        const char *user;
    } cases[] = {
        {"good", {.address = "alice@A.example"}, true, "235 2.7.0", "alice@a.example"},
        {"no account", {.address = "eve@a.example"}, true, "535 5.7.8", ""},
        {"no login", {.address = "bob@a.example"}, true, "535 5.7.8", ""},
        {"a host", {.dns_name = "alice@a.example"}, true, "504 5.5.4", ""},
        {"expired", {.address = "alice@a.example", .until = -10}, true, "504 5.5.4", ""},
        {"nobody's", {.address = "alice@a.example"}, false, "504 5.5.4", ""},
    };
    mail_test_cert authority;
    mail_tls_context *asking;

    (void)state;
    mail_test_cert_make(&authority, &(mail_test_cert_options){.is_authority = true});
    asking = mail_test_tls_asking_context(&shared.cert, &authority);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_cert_options how = cases[i].cert;
        mail_test_cert cert;

        mail_test_case(cases[i].name);
        how.issuer = cases[i].by_authority ? &authority : NULL;
        mail_test_cert_make(&cert, &how);
        for (int kind = 0; kind < WORLD_LOOPS; kind++) {
            shows_a_certificate(kind, asking, &cert, cases[i].said, cases[i].user);
        }
        mail_test_cert_free(&cert);
    }
    mail_tls_context_unref(asking);
    mail_test_cert_free(&authority);
}

static void wants_a_certificate_before_it_listens_for_tls(void **state)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_smtp_service *service;
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    engine.hostname = MAIL_SPAN("mx.example");
    engine.implicit_tls = true;
    assert_int_equal(mail_smtp_service_create(&service, w.loop, &opts), MAIL_OK);
    assert_int_equal(mail_smtp_service_listen(service, &loopback, &engine, NULL, NULL, NULL),
                     MAIL_EINVAL);
    mail_smtp_service_destroy(service);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_message_after_starttls),
        cmocka_unit_test(greets_inside_tls_where_that_comes_first),
        cmocka_unit_test(binds_logins_to_the_session_where_they_may_be),
        cmocka_unit_test(drops_and_reports_input_behind_starttls),
        cmocka_unit_test(shakes_hands_on_a_worker_where_that_takes_long),
        cmocka_unit_test(ends_while_a_worker_shakes_hands),
        cmocka_unit_test(a_cut_never_ends_a_message),
        cmocka_unit_test(ends_a_session_whose_handshake_fails),
        cmocka_unit_test(does_not_wait_for_handshakes_when_it_ends),
        cmocka_unit_test(a_new_certificate_serves_sessions_to_come),
        cmocka_unit_test(learns_who_the_client_is),
        cmocka_unit_test(lets_in_by_certificate),
        cmocka_unit_test(wants_a_certificate_before_it_listens_for_tls),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
