/* SPDX-License-Identifier: MIT */
/* What transcripts can't show: options, memory, how much is used and held. */
#include <mail/smtp_server.h>

#include "support/support.h"

#define NOW (1000 * MAIL_SECOND)

static mail_smtp_server *create(const mail_smtp_server_options *opts)
{
    mail_smtp_server *srv = NULL;

    assert_int_equal(mail_smtp_server_create(&srv, opts, NOW), MAIL_OK);
    return srv;
}

static mail_smtp_server_options options(const mail_mem *mem)
{
    mail_smtp_server_options opts = MAIL_SMTP_SERVER_OPTIONS_INIT;

    opts.mem = mem;
    opts.hostname = MAIL_SPAN("mx.example");
    return opts;
}

/* Feeds `*in` until there is an event or no progress; what was used is cut off it. */
static mail_smtp_event next(mail_smtp_server *srv, mail_span *in)
{
    mail_smtp_event ev;
    size_t used;

    assert_int_equal(mail_smtp_server_feed(srv, NOW, *in, &used, &ev), MAIL_OK);
    *in = mail_span_from(*in, used);
    return ev;
}

static void send_all(mail_smtp_server *srv)
{
    mail_smtp_server_sent(srv, mail_smtp_server_out(srv).length);
}

static void accept(mail_smtp_server *srv)
{
    assert_int_equal(mail_smtp_server_answer(srv, NOW, NULL), MAIL_OK);
}

/* Says `text` and takes all questions; returns how many octets of body came. */
static size_t say(mail_smtp_server *srv, mail_span text)
{
    mail_smtp_event ev;
    size_t body = 0;

    do {
        ev = next(srv, &text);
        body += ev.body.length;
        if (mail_smtp_server_asks(srv)) {
            accept(srv);
        }
        send_all(srv);
    } while (ev.type != MAIL_SMTP_EV_NONE && ev.type != MAIL_SMTP_EV_CLOSE);
    assert_int_equal(text.length, 0);
    return body;
}

static mail_smtp_server *create_ready(const mail_smtp_server_options *opts)
{
    mail_smtp_server *srv = create(opts);

    say(srv, MAIL_SPAN(""));
    say(srv, MAIL_SPAN("EHLO client.example\r\n"));
    return srv;
}

static void refuses_bad_options(void **state)
{
    static char long_name[300];
    static const struct {
        const char *name;
        mail_smtp_server_options opts;
    } cases[] = {
        {"no size", {.hostname = {"mx", 2}}},
        {"a newer size", {.size = sizeof(mail_smtp_server_options) + 8, .hostname = {"mx", 2}}},
        {"no name", {.size = sizeof(mail_smtp_server_options)}},
        {"a name with CRLF",
         {.size = sizeof(mail_smtp_server_options), .hostname = {"mx\r\n250", 7}}},
        {"a name with a blank", {.size = sizeof(mail_smtp_server_options), .hostname = {"m x", 3}}},
        {"a long name", {.size = sizeof(mail_smtp_server_options), .hostname = {long_name, 256}}},
        {"fewer recipients than must be taken",
         {.size = sizeof(mail_smtp_server_options), .hostname = {"mx", 2}, .max_recipients = 99}},
        {"a delay longer than patience",
         {.size = sizeof(mail_smtp_server_options),
          .hostname = {"mx", 2},
          .error_delay = MAIL_HOUR + 1}},
        {"a negative time",
         {.size = sizeof(mail_smtp_server_options), .hostname = {"mx", 2}, .data_timeout = -1}},
    };

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_smtp_server *srv = NULL;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_smtp_server_create(&srv, &cases[i].opts, NOW), MAIL_EINVAL);
        assert_null(srv);
    }
    mail_smtp_server_destroy(NULL);
}

static void takes_options_of_a_caller_with_fewer(void **state)
{
    mail_smtp_server_options opts = options(NULL);

    (void)state;
    opts.size = offsetof(mail_smtp_server_options, expn);
    opts.expn = true;
    mail_smtp_server_destroy(create_ready(&opts));
}

static void copies_the_name(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    char name[] = "mx.example";
    mail_smtp_server *srv;
    mail_span none = MAIL_SPAN("");

    (void)state;
    opts.hostname = mail_span_text(name);
    srv = create(&opts);
    memset(name, '!', sizeof(name) - 1);
    next(srv, &none);
    accept(srv);
    assert_span_equal(mail_smtp_server_out(srv), "220 mx.example ESMTP\r\n");
    mail_smtp_server_destroy(srv);
}

static void names_every_event(void **state)
{
    (void)state;
    for (unsigned type = MAIL_SMTP_EV_NONE; type <= MAIL_SMTP_EV_CLOSE; type++) {
        assert_non_null(mail_smtp_event_name((mail_smtp_event_type)type));
    }
    assert_string_equal(mail_smtp_event_name(MAIL_SMTP_EV_CLOSE), "CLOSE");
}

static void never_is_late_when_it_may_wait_for_ever(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv;

    (void)state;
    opts.command_timeout = MAIL_NEVER;
    opts.data_timeout = MAIL_NEVER;
    opts.session_timeout = MAIL_NEVER;
    srv = create_ready(&opts);
    assert_int_equal(mail_smtp_server_deadline(srv), MAIL_NEVER);
    mail_smtp_server_destroy(srv);
}

/* Half a handshake holds a place, and says nothing of who holds it. */
static void gives_a_handshake_less_time_than_a_command(void **state)
{
    static const struct {
        const char *name;
        mail_duration timeout;
        mail_duration want;
    } cases[] = {
        {"by default", 0, MAIL_MINUTE},
        {"for ever", MAIL_NEVER, MAIL_MINUTE},
        {"shorter still", 5 * MAIL_SECOND, 5 * MAIL_SECOND},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_smtp_server_options opts = options(NULL);
        mail_smtp_server *srv;

        mail_test_case(cases[i].name);
        opts.implicit_tls = true;
        opts.command_timeout = cases[i].timeout;
        srv = create(&opts);
        assert_true(mail_smtp_server_awaits_tls(srv));
        assert_int_equal(mail_smtp_server_deadline(srv), NOW + cases[i].want);
        mail_smtp_server_destroy(srv);
    }
}

/* SS-008, SS-053: while whether to greet is still being decided. */
static void hears_who_speaks_before_the_greeting_is_decided(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv = create(&opts);
    mail_span in = MAIL_SPAN("");
    size_t used;
    mail_smtp_event ev;

    (void)state;
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_CONNECT);
    assert_int_equal(mail_smtp_server_feed(srv, NOW, MAIL_SPAN("EHLO x\r\n"), &used, &ev), MAIL_OK);
    assert_int_equal(used, 0);
    assert_int_equal(ev.type, MAIL_SMTP_EV_NONE);
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_ANSWER);
    accept(srv);
    send_all(srv);
    in = MAIL_SPAN("EHLO x\r\n");
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_CLOSE);
    assert_span_equal(mail_smtp_server_out(srv), "554 You spoke before the greeting\r\n");
    mail_smtp_server_destroy(srv);
    opts.allow_early_talk = true;
    srv = create(&opts);
    in = MAIL_SPAN("");
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_CONNECT);
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_ANSWER);
    mail_smtp_server_destroy(srv);
}

static void says_what_it_wants(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv = create(&opts);
    mail_span in = MAIL_SPAN("");

    (void)state;
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_READ);
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_CONNECT);
    assert_true(mail_smtp_server_asks(srv));
    /* Who speaks before the greeting is to be heard; that once is enough. */
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_ANSWER | MAIL_WANTS_READ);
    assert_int_equal(mail_smtp_server_deadline(srv), MAIL_NEVER);
    accept(srv);
    assert_false(mail_smtp_server_asks(srv));
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_READ | MAIL_WANTS_WRITE);
    assert_int_equal(mail_smtp_server_deadline(srv), NOW + 5 * MAIL_MINUTE);
    send_all(srv);
    in = MAIL_SPAN("QUIT\r\n");
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_CLOSE);
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_WRITE);
    send_all(srv);
    assert_int_equal(mail_smtp_server_wants(srv), 0);
    assert_int_equal(mail_smtp_server_deadline(srv), MAIL_NEVER);
    in = MAIL_SPAN("NOOP\r\n");
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_NONE);
    assert_int_equal(in.length, 6);
    mail_smtp_server_destroy(srv);
}

/* HOSTILE 3: a client that never reads replies. */
static void takes_no_more_commands_while_its_replies_are_not_read(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv;
    static char noops[6 * 1000];
    mail_span in;

    (void)state;
    opts.max_junk = 10000;
    srv = create_ready(&opts);
    for (size_t i = 0; i < 1000; i++) {
        memcpy(noops + 6 * i, "NOOP\r\n", 6);
    }
    in = mail_span_of(noops, sizeof(noops));
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_NONE);
    assert_in_range(mail_smtp_server_out(srv).length, 2048, 2100);
    assert_true(in.length > 0);
    assert_int_equal(mail_smtp_server_wants(srv), MAIL_WANTS_WRITE);
    while (in.length > 0) {
        send_all(srv);
        assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_NONE);
    }
    mail_smtp_server_destroy(srv);
}

/* Bodies come in slices as large as the input allows, whatever lines are in them. */
static void hands_a_body_on_in_one_slice(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv = create_ready(&opts);
    static char text[100000];
    mail_span in = mail_span_of(text, sizeof(text));
    mail_smtp_event ev;

    (void)state;
    say(srv, MAIL_SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"));
    for (size_t i = 0; i + 100 <= sizeof(text); i += 100) {
        memset(text + i, 'x', 98);
        memcpy(text + i + 98, "\r\n", 2);
    }
    ev = next(srv, &in);
    assert_int_equal(ev.type, MAIL_SMTP_EV_BODY);
    assert_ptr_equal(ev.body.data, text);
    assert_int_equal(ev.body.length, sizeof(text));
    assert_int_equal(in.length, 0);
    mail_smtp_server_destroy(srv);
}

static const char message[] = "MAIL FROM:<alice@client.example> SIZE=300 BODY=8BITMIME\r\n"
                              "RCPT TO:<bob@mx.example>\r\n"
                              "RCPT TO:<carol@mx.example> NOTIFY=NEVER\r\n"
                              "RSET\r\n"
                              "MAIL FROM:<alice@client.example> ENVID=x RET=HDRS\r\n"
                              "RCPT TO:<bob@mx.example> ORCPT=rfc822;bob\r\n"
                              "DATA\r\n"
                              "Subject: one\r\n\r\n..dot\r\ntext\r\n.\r\n"
                              "MAIL FROM:<alice@client.example>\r\n"
                              "RCPT TO:<bob@mx.example>\r\n"
                              "BDAT 5\r\n12345BDAT 5 LAST\r\n67890"
                              "NOOP\r\nFOO\r\nVRFY bob\r\nHELP\r\n";

static void allocates_nothing_in_the_long_run(void **state)
{
    mail_smtp_server_options opts;
    mail_smtp_server *srv;
    mail_test_walk walk;
    size_t count;

    (void)state;
    mail_test_mem_init(&walk);
    opts = options(&walk.mem);
    opts.error_delay = -1;
    srv = create_ready(&opts);
    say(srv, mail_span_text(message));
    count = walk.count;
    for (unsigned i = 0; i < 1000; i++) {
        say(srv, mail_span_text(message));
    }
    assert_int_equal(walk.count, count);
    mail_smtp_server_destroy(srv);
    mail_test_mem_check(&walk);
}

static void holds_little_while_it_waits(void **state)
{
    mail_smtp_server_options opts;
    mail_smtp_server *srv;
    mail_test_walk walk;

    (void)state;
    mail_test_mem_init(&walk);
    opts = options(&walk.mem);
    srv = create_ready(&opts);
    say(srv, mail_span_text(message));
    assert_in_range(walk.bytes, 1, 1536);
    mail_smtp_server_destroy(srv);
    mail_test_mem_check(&walk);
}

/* The sink may have to be given a little at a time: then a little is fed. */
static void hands_on_no_more_than_it_was_fed(void **state)
{
    mail_smtp_server_options opts = options(NULL);
    mail_smtp_server *srv;
    mail_span in = MAIL_SPAN("a\nb\rc\r\n..\r\n.\r\n");

    (void)state;
    opts.bare_newline = MAIL_BARE_NEWLINE_NORMALISE;
    srv = create_ready(&opts);
    say(srv, MAIL_SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"));
    while (!mail_smtp_server_asks(srv)) {
        mail_span part = mail_span_first(in, in.length < 3 ? in.length : 3);
        size_t offered = part.length;
        mail_smtp_event ev = next(srv, &part);

        in = mail_span_from(in, offered - part.length);
        assert_in_range(ev.body.length, 0, offered + 2);
    }
    assert_int_equal(in.length, 0);
    mail_smtp_server_destroy(srv);
}

/* For the peer to hear of a wrong password only when it has waited. */
static void holds_a_refusal_back_as_long_as_it_is_told(void **state)
{
    const mail_sasl_answer refusal = {.kind = MAIL_SASL_REFUSE};
    const mail_time later = NOW + 5 * MAIL_SECOND;
    mail_smtp_server_options opts = options(NULL);
    mail_span in = MAIL_SPAN("AUTH PLAIN AHVzZXIAcGVuY2ls\r\nNOOP\r\n");
    mail_smtp_server *srv;
    mail_smtp_event ev;

    (void)state;
    opts.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    opts.auth_in_clear = true;
    srv = create(&opts);
    say(srv, MAIL_SPAN(""));
    say(srv, MAIL_SPAN("EHLO client.example\r\n"));
    assert_false(mail_smtp_server_authenticates(srv));
    ev = next(srv, &in);
    assert_int_equal(ev.type, MAIL_SMTP_EV_AUTH);
    assert_true(mail_smtp_server_authenticates(srv));
    assert_int_equal(mail_smtp_server_answer_auth(srv, NOW, &refusal), MAIL_OK);
    assert_false(mail_smtp_server_authenticates(srv));
    mail_smtp_server_delay(srv, later);
    mail_smtp_server_delay(srv, NOW + 1); /* does not come any sooner */
    assert_int_equal(mail_smtp_server_out(srv).length, 0);
    assert_int_equal(mail_smtp_server_deadline(srv), later);
    assert_int_equal(next(srv, &in).type, MAIL_SMTP_EV_NONE);
    assert_span_equal(in, "NOOP\r\n");
    assert_int_equal(mail_smtp_server_tick(srv, later, &ev), MAIL_OK);
    assert_span_equal(mail_smtp_server_out(srv), "535 5.7.8 Authentication failed\r\n");
    send_all(srv);
    mail_smtp_server_delay(srv, later + MAIL_SECOND); /* what is gone is gone */
    say(srv, in);
    assert_int_equal(mail_smtp_server_out(srv).length, 0);
    mail_smtp_server_destroy(srv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(takes_options_of_a_caller_with_fewer),
        cmocka_unit_test(copies_the_name),
        cmocka_unit_test(names_every_event),
        cmocka_unit_test(hears_who_speaks_before_the_greeting_is_decided),
        cmocka_unit_test(says_what_it_wants),
        cmocka_unit_test(gives_a_handshake_less_time_than_a_command),
        cmocka_unit_test(never_is_late_when_it_may_wait_for_ever),
        cmocka_unit_test(takes_no_more_commands_while_its_replies_are_not_read),
        cmocka_unit_test(hands_a_body_on_in_one_slice),
        cmocka_unit_test(hands_on_no_more_than_it_was_fed),
        cmocka_unit_test(holds_a_refusal_back_as_long_as_it_is_told),
        cmocka_unit_test(allocates_nothing_in_the_long_run),
        cmocka_unit_test(holds_little_while_it_waits),
    };

    return mail_test_run(tests);
}
