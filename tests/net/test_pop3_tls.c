/* SPDX-License-Identifier: MIT */
/* The POP3 service with TLS, and every way to log in. */
#include "net/pop3_kit.h"

#include <ctype.h>

#include <mail/encode.h>

#include "net/guest.h"
#include "support/certs.h"

static mail_test_tls shared;
static mail_tls_context *slow_server; /* its key is */

static int make_certificates(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, "pop.example");
    slow_server = mail_test_tls_slow_context();
    return 0;
}

static int drop_certificates(void **state)
{
    (void)state;
    mail_tls_context_unref(slow_server);
    mail_test_tls_free(&shared);
    return 0;
}

/* All log lines, one behind the other. */
typedef struct journal {
    mail_log log;
    char text[8192];
    size_t length;
} journal;

static void write_journal(mail_log_level level, const char *what, const mail_log_field *fields,
                          size_t count, void *arg)
{
    journal *jr = arg;

    assert_true(sizeof(jr->text) - jr->length > 1024);
    jr->length +=
        mail_log_print(MAIL_LOG_TEXT, 0, level, what, fields, count, jr->text + jr->length, 1000);
}

static void journal_init(journal *jr)
{
    memset(jr, 0, sizeof(*jr));
    jr->log = (mail_log){write_journal, jr, MAIL_LOG_DEBUG};
}

static void set_up_tls_with(fixture *fx, int kind, journal *jr, bool implicit,
                            mail_tls_context *context)
{
    *fx = (fixture){.tls = context};
    fx->engine.stls = true;
    fx->engine.implicit_tls = implicit;
    journal_init(jr);
    set_up_with(fx, kind, &(mail_pop3_service_options){.log = &jr->log});
}

static void set_up_tls(fixture *fx, int kind, journal *jr, bool implicit)
{
    set_up_tls_with(fx, kind, jr, implicit, shared.server);
}

/* From a connection to TLS on it. */
static void stls(fixture *fx, guest *g)
{
    int fd = dial(fx);

    say(fd, "STLS\r\n");
    expect(fx, fd, GREETING "+OK begin TLS now\r\n");
    guest_begin_tls(g, &fx->w, fd, shared.doubting);
    guest_shakes_hands(g);
}

static void close_guest(fixture *fx, guest *g)
{
    guest_close(g);
    world_until(&fx->w, mail_pop3_service_sessions(fx->service) == 0);
}

static void log_in(guest *g)
{
    guest_asks_in_tls(g, "USER alice\r\n", "+OK");
    guest_asks_in_tls(g, "PASS secret\r\n", "+OK 1 messages (5 octets)");
}

/* PO-030, PO-031 from end to end; the log tells of TLS. */
static void serves_a_session_after_stls(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;
        guest g;

        set_up_tls(&fx, kind, &jr, false);
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        stls(&fx, &g);
        guest_asks_in_tls(&g, "STLS\r\n", "-ERR TLS is on already");
        guest_asks_in_tls(&g, "CAPA\r\n", "+OK");
        guest_hears_in_tls(&g, "USER");
        guest_hears_in_tls(&g, "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN");
        while (g.length > 0) {
            guest_hears_in_tls(&g, "");
        }
        log_in(&g);
        guest_asks_in_tls(&g, "RETR 1\r\n", "+OK 5 octets");
        guest_hears_in_tls(&g, "one");
        guest_hears_in_tls(&g, ".");
        guest_asks_in_tls(&g, "DELE 1\r\n", "+OK");
        guest_asks_in_tls(&g, "QUIT\r\n", "+OK bye");
        guest_hears_the_end_in_tls(&g);
        assert_true(g.ended);
        close_guest(&fx, &g);
        assert_int_equal(count_messages(fx.store, "mail/alice"), 0);
        assert_non_null(strstr(jr.text, "user=alice tls=TLS1.3\n"));
        tear_down(&fx);
    }
}

static void shakes_hands_on_a_worker_where_that_takes_long(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;
        guest g;

        set_up_tls_with(&fx, kind, &jr, false, slow_server);
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        stls(&fx, &g);
        log_in(&g);
        guest_asks_in_tls(&g, "QUIT\r\n", "+OK bye");
        guest_hears_the_end_in_tls(&g);
        close_guest(&fx, &g);
        tear_down(&fx);
    }
}

/* RFC 8314, section 3.2 */
static void greets_inside_tls_where_that_comes_first(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;
        guest g;

        set_up_tls(&fx, kind, &jr, true);
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        guest_begin_tls(&g, &fx.w, dial(&fx), shared.doubting);
        guest_hears_in_tls(&g, "+OK pop.example POP3 server ready");
        log_in(&g);
        guest_asks_in_tls(&g, "QUIT\r\n", "+OK bye");
        guest_hears_the_end_in_tls(&g);
        assert_true(g.ended);
        close_guest(&fx, &g);
        tear_down(&fx);
    }
}

/* PO-030, HOSTILE 9: what somebody put behind STLS is neither run nor taken for TLS. */
static void drops_what_comes_in_clear_behind_stls(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;
        guest g;
        int fd;

        set_up_tls(&fx, kind, &jr, false);
        fd = dial(&fx);
        say(fd, "STLS\r\nUSER alice\r\nPASS of ev");
        expect(&fx, fd, GREETING "+OK begin TLS now\r\n");
        guest_begin_tls(&g, &fx.w, fd, shared.doubting);
        guest_shakes_hands(&g);
        guest_asks_in_tls(&g, "PASS secret\r\n", "-ERR not before USER and PASS");
        close_guest(&fx, &g);
        assert_non_null(strstr(jr.text, "input dropped"));
        assert_non_null(strstr(jr.text, "reason=\"input behind STLS\"\n"));
        tear_down(&fx);
    }
}

/* PO-016, HOSTILE 11: what is cut off inside TLS is no QUIT, however it looks. */
static void removes_nothing_when_the_connection_is_cut(void **state)
{
    static const char *const last[] = {"DELE 1\r\n", "DELE 1\r\nQUIT", "DELE 1\r\nQUIT\r"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(last); i++) {
        for (int kind = 0; kind < WORLD_LOOPS; kind++) {
            journal jr;
            fixture fx;
            guest g;

            set_up_tls(&fx, kind, &jr, false);
            put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
            stls(&fx, &g);
            log_in(&g);
            guest_asks_in_tls(&g, last[i], "+OK message 1 will be removed");
            close_guest(&fx, &g);
            assert_int_equal(count_messages(fx.store, "mail/alice"), 1);
            tear_down(&fx);
        }
    }
}

/* A client that is no client of TLS, or none at all. */
static void gives_up_on_a_handshake_that_fails(void **state)
{
    static const char *const noise[] = {"QUIT\r\n", "\x16\x03\x01\xff\xff\xff", ""};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(noise); i++) {
        for (int kind = 0; kind < WORLD_LOOPS; kind++) {
            journal jr;
            fixture fx;
            int fd;

            set_up_tls(&fx, kind, &jr, i % 2 == 0);
            fd = dial(&fx);
            if (i % 2 == 1) {
                say(fd, "STLS\r\n");
                expect(&fx, fd, GREETING "+OK begin TLS now\r\n");
            }
            say(fd, noise[i]);
            world_idle(&fx.w);
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
            world_until(&fx.w, mail_pop3_service_sessions(fx.service) == 0);
            assert_non_null(strstr(jr.text, "no tls"));
            close(fd);
            tear_down(&fx);
        }
    }
}

static void drains_in_the_middle_of_a_handshake(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;
        int fd;

        set_up_tls(&fx, kind, &jr, false);
        fd = dial(&fx);
        say(fd, "STLS\r\n");
        expect(&fx, fd, GREETING "+OK begin TLS now\r\n");
        mail_pop3_service_drain(fx.service, on_drained, &fx);
        world_until(&fx.w, fx.is_drained);
        close(fd);
        tear_down(&fx);
    }
}

static void peer_pin(const guest *g, uint8_t pin[32])
{
    mail_tls_facts facts;

    mail_tls_facts_read(g->tls, &facts);
    memcpy(pin, facts.peer_pin, sizeof(facts.peer_pin));
}

/* SIGHUP: new sessions get the new certificate, old ones go on. */
static void changes_certificates_without_losing_sessions(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_tls_context *renewed = mail_test_tls_context(&shared.renewed, NULL);
        uint8_t pins[2][32];
        guest g[2];
        journal jr;
        fixture fx;

        set_up_tls(&fx, kind, &jr, false);
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        stls(&fx, &g[0]);
        mail_pop3_service_set_tls(fx.service, renewed);
        mail_tls_context_unref(renewed);
        stls(&fx, &g[1]);
        peer_pin(&g[0], pins[0]);
        peer_pin(&g[1], pins[1]);
        assert_memory_not_equal(pins[0], pins[1], sizeof(pins[0]));
        log_in(&g[0]);
        guest_asks_in_tls(&g[0], "QUIT\r\n", "+OK bye");
        guest_close(&g[0]);
        close_guest(&fx, &g[1]);
        tear_down(&fx);
    }
}

/* PO-031: nothing is offered without a certificate, nor can it be promised from the first octet. */
static void offers_no_tls_without_a_certificate(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;
        fixture fx = {.engine = {.stls = true}};
        mail_error err;
        int ends[2];
        int fd;

        set_up_with(&fx, kind, &(mail_pop3_service_options){0});
        fd = dial(&fx);
        say(fd, "STLS\r\nCAPA\r\n");
        expect(&fx, fd, GREETING "-ERR unknown command\r\n+OK\r\nUSER\r\n");
        close(fd);
        engine.hostname = MAIL_SPAN("pop.example");
        engine.implicit_tls = true;
        assert_int_equal(mail_pop3_service_listen(fx.service, &loopback, &engine, NULL, &err),
                         MAIL_EINVAL);
        assert_non_null(strstr(err.text, "no certificate"));
        world_pair(&ends[0], &ends[1]);
        assert_int_equal(mail_pop3_service_adopt(fx.service, ends[0], &engine), MAIL_EINVAL);
        close(ends[0]);
        close(ends[1]);
        tear_down(&fx);
    }
}

/* Exchanges, in TLS, between the service and our own client halves. */

static void say_in_base64(guest *g, const char *before, mail_span message)
{
    char text[2000];
    size_t length = strlen(before);

    memcpy(text, before, length);
    length += mail_base64_encode(message, text + length);
    snprintf(text + length, sizeof(text) - length, "\r\n");
    guest_says_in_tls(g, text);
}

/* What the server says next. */
static mail_span hear_line(guest *g, char line[1000])
{
    const char *lf;
    size_t length;

    while ((lf = memchr(g->heard, '\n', g->length)) == NULL) {
        assert_true(guest_moves(g));
    }
    length = (size_t)(lf - g->heard) + 1;
    memcpy(line, g->heard, length);
    memmove(g->heard, g->heard + length, g->length - length);
    g->length -= length;
    return mail_span_of(line, length - 2);
}

static mail_sasl_client *make_client(guest *g, mail_sasl_mechanism mechanism, const char *password)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
    uint8_t binding[MAIL_TLS_BINDING_SIZE];
    mail_sasl_client *client;

    assert_int_equal(mail_tls_binding(g->tls, binding), MAIL_OK);
    opts.mechanism = mechanism;
    opts.user = MAIL_SPAN("alice");
    opts.password = mail_span_text(password);
    opts.token = mail_span_text(password);
    opts.binding = mail_span_of((const char *)binding, sizeof(binding));
    opts.plus_was_offered = true;
    assert_int_equal(mail_sasl_client_create(&client, &opts), MAIL_OK);
    return client;
}

/* Whether the server lets it in; *said is its last line. */
static bool exchange(guest *g, mail_sasl_mechanism mechanism, const char *password, char said[1000])
{
    mail_sasl_client *client = make_client(g, mechanism, password);
    char before[64];
    mail_span line;

    snprintf(before, sizeof(before), "AUTH %s", mail_sasl_mechanism_name(mechanism));
    if (mail_sasl_client_speaks_first(client)) {
        strcat(before, " ");
        assert_int_equal(mail_sasl_client_step(client, NULL), MAIL_SASL_CONTINUE);
        say_in_base64(g, before, mail_sasl_client_out(client));
    } else {
        say_in_base64(g, before, MAIL_SPAN(""));
    }
    line = hear_line(g, said);
    while (line.length >= 2 && memcmp(line.data, "+ ", 2) == 0) {
        char decoded[1000];
        mail_span challenge;
        size_t length;

        assert_int_equal(mail_base64_decode(mail_span_from(line, 2), decoded, &length), MAIL_OK);
        challenge = mail_span_of(decoded, length);
        assert_int_equal(mail_sasl_client_step(client, &challenge), MAIL_SASL_CONTINUE);
        say_in_base64(g, "", mail_sasl_client_out(client));
        line = hear_line(g, said);
    }
    said[line.length] = '\0';
    assert_true(memcmp(said, "+OK", 3) != 0 || mail_sasl_client_is_satisfied(client));
    mail_sasl_client_destroy(client);
    return memcmp(said, "+OK", 3) == 0;
}

static const mail_sasl_mechanism mechanisms[] = {
    MAIL_SASL_PLAIN,         MAIL_SASL_LOGIN,
    MAIL_SASL_SCRAM_SHA_256, MAIL_SASL_SCRAM_SHA_256_PLUS,
    MAIL_SASL_SCRAM_SHA_1,   MAIL_SASL_CRAM_MD5,
};

static void answer_login(mail_ticket ticket, const mail_sasl_question *question,
                         const mail_ip *client, void *arg)
{
    const mail_login_known *known = arg;

    (void)client;
    assert_true(question->token.length == 0 ||
                mail_span_equal(question->token, MAIL_SPAN("token of alice")));
    assert_int_equal(mail_login_answer(ticket, known), MAIL_OK);
}

/* PO-032 to PO-034, PO-024 */
static void lets_in_by_every_mechanism(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms) * WORLD_LOOPS; i++) {
        mail_sasl_mechanism mechanism = mechanisms[i / WORLD_LOOPS];
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        fixture fx = {.tls = shared.server};
        char said[1000];
        guest g;

        mail_test_case(mail_sasl_mechanism_name(mechanism));
        fx.engine.stls = true;
        fx.engine.auth_mechanisms = 1U << mechanism;
        login.delay = 1;
        set_up_with(&fx, (int)(i % WORLD_LOOPS), &(mail_pop3_service_options){.login = &login});
        stls(&fx, &g);
        assert_false(exchange(&g, mechanism, "wrong", said));
        assert_string_equal(said, "-ERR [AUTH] wrong name or password");
        assert_true(exchange(&g, mechanism, "secret", said));
        assert_string_equal(said, "+OK 0 messages (0 octets)");
        guest_asks_in_tls(&g, "AUTH PLAIN\r\n", "-ERR already logged in");
        close_guest(&fx, &g);
        tear_down(&fx);
    }
}

/* Tokens say nothing of a mailbox: who judges them does. */
static void takes_tokens_where_an_embedder_judges_them(void **state)
{
    static const mail_sasl_mechanism by_token[] = {MAIL_SASL_OAUTHBEARER, MAIL_SASL_XOAUTH2};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(by_token) * WORLD_LOOPS; i++) {
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        mail_login_known known = {
            .kind = MAIL_LOGIN_ACCEPT, .user = MAIL_SPAN("id=7"), .mailbox = MAIL_SPAN("box 7")};
        fixture fx = {.tls = shared.server};
        journal jr;
        char said[1000];
        guest g;

        mail_test_case(mail_sasl_mechanism_name(by_token[i / WORLD_LOOPS]));
        journal_init(&jr);
        fx.engine.stls = true;
        login.ask = answer_login;
        login.ask_arg = &known;
        set_up_with(&fx, (int)(i % WORLD_LOOPS),
                    &(mail_pop3_service_options){.login = &login, .log = &jr.log});
        put(fx.store, "box 7", MAIL_SPAN("one\r\n"));
        stls(&fx, &g);
        assert_true(exchange(&g, by_token[i / WORLD_LOOPS], "token of alice", said));
        assert_string_equal(said, "+OK 1 messages (5 octets)");
        close_guest(&fx, &g);
        assert_non_null(strstr(jr.text, "user=\"id=7\" tls=TLS1.3\n"));
        tear_down(&fx);
    }
}

#define NOT_OFFERED "-ERR mechanism unknown or not offered"

/* Only a certificate that can be believed, and that names somebody, makes EXTERNAL an offer. */
static void lets_in_by_certificate(void **state)
{
    static const struct {
        const char *name;
        mail_test_cert_options cert;
        bool by_authority;
        const char *said;
        const char *doubt; /* in the log; NULL: none */
    } cases[] = {
        {"good", {.address = "alice@a.example"}, true, "+OK 0 messages (0 octets)", NULL},
        {"no account",
         {.address = "eve@a.example"},
         true,
         "-ERR [AUTH] wrong name or password",
         NULL},
        {"a host", {.dns_name = "a.example"}, true, NOT_OFFERED, "it holds no e-mail address"},
        {"expired", {.address = "alice@a.example", .until = -10}, true, NOT_OFFERED, "expired"},
        {"nobody's",
         {.address = "alice@a.example"},
         false,
         NOT_OFFERED,
         "not issued by a trusted authority"},
    };
    mail_test_cert authority;
    mail_tls_context *asking;

    (void)state;
    mail_test_cert_make(&authority, &(mail_test_cert_options){.is_authority = true});
    asking = mail_test_tls_asking_context(&shared.cert, &authority);
    for (size_t i = 0; i < MAIL_COUNT(cases) * WORLD_LOOPS; i++) {
        mail_test_cert_options how = cases[i / WORLD_LOOPS].cert;
        mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
        fixture fx = {.tls = asking,
                      .users = "alice@a.example:{PLAIN}secret\n",
                      .engine = {.implicit_tls = true}};
        mail_tls_context *own;
        journal jr;
        mail_test_cert cert;
        guest g;

        mail_test_case(cases[i / WORLD_LOOPS].name);
        how.issuer = cases[i / WORLD_LOOPS].by_authority ? &authority : NULL;
        mail_test_cert_make(&cert, &how);
        own = mail_test_tls_context(&cert, NULL);
        login.delay = 1;
        journal_init(&jr);
        set_up_with(&fx, (int)(i % WORLD_LOOPS),
                    &(mail_pop3_service_options){.login = &login, .log = &jr.log});
        guest_begin_tls(&g, &fx.w, dial(&fx), own);
        guest_hears_in_tls(&g, "+OK pop.example POP3 server ready");
        guest_asks_in_tls(&g, "AUTH EXTERNAL =\r\n", cases[i / WORLD_LOOPS].said);
        close_guest(&fx, &g);
        assert_true(cases[i / WORLD_LOOPS].doubt != NULL
                        ? strstr(jr.text, cases[i / WORLD_LOOPS].doubt) != NULL
                        : strstr(jr.text, "certificate of no use") == NULL);
        tear_down(&fx);
        mail_tls_context_unref(own);
        mail_test_cert_free(&cert);
    }
    mail_tls_context_unref(asking);
    mail_test_cert_free(&authority);
}

/* PO-026: what some account could not use is not offered to any. */
static void offers_only_what_all_accounts_can_use(void **state)
{
    static const struct {
        const char *users;
        const char *offered;
    } cases[] = {
        {"a:{PLAIN}x\n", "SASL SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN\r\n"},
        {"a:{PLAIN}x\nb:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
         "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
         "\n",
         "SASL SCRAM-SHA-256 PLAIN LOGIN\r\n"},
        {"a:{PLAIN}x\nb:$6$rounds=1000$salt$abc\nc:*\n", "SASL PLAIN LOGIN\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases) * WORLD_LOOPS; i++) {
        fixture fx = {.users = cases[i / WORLD_LOOPS].users};
        char want[200];
        int fd;

        fx.engine.apop = i / WORLD_LOOPS > 0; /* nor APOP, which would show in the greeting */
        set_up_with(&fx, (int)(i % WORLD_LOOPS), &(mail_pop3_service_options){0});
        fd = dial(&fx);
        say(fd, "CAPA\r\n");
        snprintf(want, sizeof(want), GREETING "+OK\r\nUSER\r\n%s", cases[i / WORLD_LOOPS].offered);
        expect(&fx, fd, want);
        close(fd);
        tear_down(&fx);
    }
}

/* PO-001: a timestamp of its own each time. */
static void greets_with_a_timestamp_where_apop_is_asked_for(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        fixture fx = {.engine = {.apop = true}};
        char greetings[2][60] = {"", ""};

        set_up_with(&fx, kind, &(mail_pop3_service_options){0});
        for (int i = 0; i < 2; i++) {
            int fd = dial(&fx);

            world_hear(&fx.w, fd, 20, greetings[i], sizeof(greetings[i]));
            assert_memory_equal(greetings[i], "+OK <", 5);
            assert_true(isxdigit((unsigned char)greetings[i][5]));
            close(fd);
        }
        assert_string_not_equal(greetings[0], greetings[1]);
        tear_down(&fx);
    }
}

/* PO-031: TLS makes a password from afar good. */
static int accept_from_afar(const mail_sockets *net, int listener, mail_endpoint *peer)
{
    int fd = world_accept(net, listener, peer);

    peer->ip = (mail_ip){.family = 4, .bytes = {192, 0, 2, 1}};
    return fd;
}

static void takes_passwords_from_afar_inside_tls_only(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_sockets_ops ops;
        journal jr;
        fixture fx;
        guest g;
        int fd;

        set_up_tls(&fx, kind, &jr, false);
        ops = *fx.w.sockets.ops;
        ops.accept = accept_from_afar;
        fx.w.sockets.ops = &ops;
        put(fx.store, "mail/alice", MAIL_SPAN("one\r\n"));
        fd = dial(&fx);
        say(fd, "CAPA\r\nUSER alice\r\nAUTH PLAIN\r\n");
        expect(&fx, fd,
               GREETING "+OK\r\nSTLS\r\nSASL SCRAM-SHA-256 SCRAM-SHA-1\r\nTOP\r\nUIDL\r\n"
                        "RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n.\r\n"
                        "-ERR logging in needs an encrypted connection\r\n"
                        "-ERR that mechanism needs an encrypted connection\r\n");
        close(fd);
        stls(&fx, &g);
        log_in(&g);
        close_guest(&fx, &g);
        tear_down(&fx);
    }
}

/* Wherever a client hangs up, also with a login under way: nothing is left of the session. */
static void survives_the_loss_of_a_connection_at_any_point(void **state)
{
    static const char text[] = "STLS\r\nUSER alice\r\nPASS secret\r\nSTAT\r\n";

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        journal jr;
        fixture fx;

        set_up_tls(&fx, kind, &jr, false);
        for (size_t length = strlen("STLS\r\n"); length < sizeof(text); length++) {
            char part[sizeof(text)] = "";
            guest g;

            memcpy(part, text + 6, length - 6);
            stls(&fx, &g);
            if (length > 6) {
                guest_says_in_tls(&g, part);
            }
            for (size_t i = 0; i < length % 4; i++) {
                world_step(&fx.w);
            }
            close_guest(&fx, &g);
            jr.length = 0;
        }
        tear_down(&fx);
    }
}

/* Reads up to the go-ahead for TLS; false: it does not come. */
static bool hears_go_ahead(fixture *fx, int fd)
{
    size_t length = strlen(GREETING "+OK begin TLS now\r\n");
    size_t have = 0;
    char bytes[200];

    while (have < length) {
        ssize_t n = read(fd, bytes, length - have);

        if (n == 0 || (n < 0 && errno != EAGAIN) ||
            (n > 0 && memchr(bytes, '[', (size_t)n) != NULL)) { /* -ERR [SYS/TEMP] */
            return false;
        }
        have += n > 0 ? (size_t)n : 0;
        world_step(&fx->w);
    }
    return true;
}

/* A client that gives up at once when it is refused or cut off. */
static void talk_with_luck(fixture *fx)
{
    int fd = dial(fx);
    guest g;

    say(fd, "STLS\r\n");
    if (!hears_go_ahead(fx, fd)) {
        close(fd);
        return;
    }
    guest_begin_tls(&g, &fx->w, fd, shared.doubting);
    g.may_fail = true;
    while (!g.ready && guest_moves(&g)) {
    }
    if (mail_tls_room(g.tls) > 0) {
        guest_says_in_tls(&g, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nQUIT\r\n");
        guest_hears_the_end_in_tls(&g);
    }
    guest_close(&g);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            fixture fx = {.tls = shared.server, .engine = {.stls = true}};

            assert_int_equal(world_open(&fx.w, kind, NULL), MAIL_OK);
            assert_int_equal(mail_memory_store_create(&fx.store, NULL), MAIL_OK);
            assert_int_equal(mail_accounts_parse(&fx.accounts, MAIL_SPAN("alice:{PLAIN}secret"),
                                                 "users", NULL, NULL),
                             MAIL_OK);
            if (open_service(&fx, &walk.mem, &(mail_pop3_service_options){0}) == MAIL_OK) {
                talk_with_luck(&fx);
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
        cmocka_unit_test(serves_a_session_after_stls),
        cmocka_unit_test(shakes_hands_on_a_worker_where_that_takes_long),
        cmocka_unit_test(greets_inside_tls_where_that_comes_first),
        cmocka_unit_test(drops_what_comes_in_clear_behind_stls),
        cmocka_unit_test(removes_nothing_when_the_connection_is_cut),
        cmocka_unit_test(gives_up_on_a_handshake_that_fails),
        cmocka_unit_test(drains_in_the_middle_of_a_handshake),
        cmocka_unit_test(changes_certificates_without_losing_sessions),
        cmocka_unit_test(offers_no_tls_without_a_certificate),
        cmocka_unit_test(lets_in_by_every_mechanism),
        cmocka_unit_test(takes_tokens_where_an_embedder_judges_them),
        cmocka_unit_test(lets_in_by_certificate),
        cmocka_unit_test(offers_only_what_all_accounts_can_use),
        cmocka_unit_test(greets_with_a_timestamp_where_apop_is_asked_for),
        cmocka_unit_test(takes_passwords_from_afar_inside_tls_only),
        cmocka_unit_test(survives_the_loss_of_a_connection_at_any_point),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
