/* SPDX-License-Identifier: MIT */
/* What transcripts can't say: options, timing of octets, bounds, cost in memory. */
#include <mail/smtp_client.h>

#include "support/support.h"

/* As MAIL_SPAN, where only constants may stand. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

#define START (1000 * MAIL_SECOND)

static mail_smtp_client *create(const mail_mem *mem, size_t out_bytes)
{
    mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    mail_smtp_client *cl = NULL;

    opts.mem = mem;
    opts.hostname = MAIL_SPAN("client.example");
    opts.out_bytes = out_bytes;
    assert_int_equal(mail_smtp_client_create(&cl, &opts, START), MAIL_OK);
    return cl;
}

/* Feeds `text` until it gives an event or is used up. */
static mail_smtp_client_event feed(mail_smtp_client *cl, const char *text)
{
    mail_span in = mail_span_text(text);
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_NONE;
    size_t used = 0;

    assert_int_equal(mail_smtp_client_feed(cl, START, in, &used, &event), MAIL_OK);
    return event;
}

/* All that is to be sent is sent, and read by nobody. */
static size_t flush(mail_smtp_client *cl)
{
    size_t total = 0;
    mail_span out;

    while ((out = mail_smtp_client_out(cl)).length > 0) {
        total += out.length;
        mail_smtp_client_sent(cl, START, out.length);
    }
    return total;
}

static void open_session(mail_smtp_client *cl, const char *offer)
{
    assert_int_equal(feed(cl, "220 mx.example\r\n"), MAIL_SMTP_CLIENT_NONE);
    flush(cl);
    assert_int_equal(feed(cl, offer), MAIL_SMTP_CLIENT_READY);
}

static void make_envelope(mail_envelope *envelope, size_t count)
{
    mail_envelope_init(envelope, NULL);
    assert_int_equal(
        mail_envelope_set_sender(envelope, MAIL_SPAN("a@client.example"), MAIL_SPAN("")), MAIL_OK);
    for (size_t i = 0; i < count; i++) {
        mail_recipient recipient = {.address = MAIL_SPAN("b@mx.example")};

        assert_int_equal(mail_envelope_add(envelope, &recipient), MAIL_OK);
    }
}

static void SC_003_refuses_names_that_are_none(void **state)
{
    static const struct {
        const char *name;
        mail_span hostname;
        int want;
    } cases[] = {
        {"a domain", TEXT("mx.example"), MAIL_OK},
        {"an address literal", TEXT("[192.0.2.1]"), MAIL_OK},
        {"an IPv6 literal", TEXT("[IPv6:2001:db8::1]"), MAIL_OK},
        {"nothing", TEXT(""), MAIL_EINVAL},
        {"a line end", TEXT("mx.example\r\nRSET"), MAIL_EINVAL},
        {"a blank", TEXT("mx example"), MAIL_EINVAL},
        {"a NUL", TEXT("mx\0example"), MAIL_EINVAL},
        {"an address", TEXT("192.0.2.256]"), MAIL_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
        mail_smtp_client *cl = NULL;

        mail_test_case(cases[i].name);
        opts.hostname = cases[i].hostname;
        assert_int_equal(mail_smtp_client_create(&cl, &opts, START), cases[i].want);
        mail_smtp_client_destroy(cl);
    }
    mail_smtp_client_destroy(NULL);
}

static void refuses_options_of_no_known_size(void **state)
{
    static const size_t sizes[] = {0, sizeof(mail_smtp_client_options) + 1};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(sizes); i++) {
        mail_smtp_client_options opts = {.size = sizes[i], .hostname = MAIL_SPAN("client.example")};
        mail_smtp_client *cl = NULL;

        assert_int_equal(mail_smtp_client_create(&cl, &opts, START), MAIL_EINVAL);
        assert_null(cl);
    }
}

static void does_not_take_a_reply_before_its_command_is_sent(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);

    (void)state;
    feed(cl, "220 mx.example\r\n");
    mail_smtp_client_sent(cl, START, mail_smtp_client_out(cl).length - 1);
    assert_int_equal(feed(cl, "250 mx.example\r\n"), MAIL_SMTP_CLIENT_CLOSED);
    assert_int_equal(mail_smtp_client_failure(cl).code, 451);
    assert_int_equal(mail_smtp_client_wants(cl), 0);
    mail_smtp_client_destroy(cl);
}

static void takes_no_second_reply_for_the_next_command(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, 1);
    open_session(cl, "250 mx.example\r\n");
    assert_int_equal(mail_smtp_client_begin(cl, START, &envelope, NULL), MAIL_OK);
    assert_int_equal(feed(cl, "250 forged\r\n"), MAIL_SMTP_CLIENT_DONE);
    assert_int_equal(mail_smtp_client_outcome(cl, 0).kind, MAIL_OUTCOME_UNTRIED);
    assert_int_equal(feed(cl, ""), MAIL_SMTP_CLIENT_CLOSED);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

static void SC_035_bounds_a_reply_of_endless_lines(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_NONE;
    size_t lines = 0;

    (void)state;
    feed(cl, "220 mx.example\r\n");
    flush(cl);
    while (event == MAIL_SMTP_CLIENT_NONE && lines < 100000) {
        event = feed(cl, "250-and more\r\n");
        lines++;
    }
    assert_int_equal(event, MAIL_SMTP_CLIENT_CLOSED);
    assert_true(lines < 6000);
    mail_smtp_client_destroy(cl);
}

/* RFC 2920, section 3.1: replies are read while commands wait to be sent. */
static void SC_019_reads_replies_while_its_commands_wait(void **state)
{
    enum {
        COUNT = 3000
    };
    mail_smtp_client *cl = create(NULL, 16 * 1024);
    mail_envelope envelope;
    size_t answered = 0;

    (void)state;
    make_envelope(&envelope, COUNT);
    open_session(cl, "250-mx.example\r\n250 PIPELINING\r\n");
    assert_int_equal(mail_smtp_client_begin(cl, START, &envelope, NULL), MAIL_OK);
    assert_true(mail_smtp_client_out(cl).length <= 16 * 1024);
    /* The peer reads a little, answers it, and has its answers taken each time. */
    while (answered < 1 + COUNT) {
        mail_span out = mail_smtp_client_out(cl);
        const char *end = memchr(out.data, '\n', out.length);

        assert_true((mail_smtp_client_wants(cl) & MAIL_WANTS_READ) != 0);
        assert_non_null(end);
        mail_smtp_client_sent(cl, START, (size_t)(end - out.data) + 1);
        assert_int_equal(feed(cl, "250 ok\r\n"), MAIL_SMTP_CLIENT_NONE);
        answered++;
    }
    assert_span_equal(mail_smtp_client_out(cl), "DATA\r\n");
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

/* A peer that reads all and answers nothing does not make it remember without bound. */
static void waits_when_too_many_replies_are_awaited(void **state)
{
    enum {
        COUNT = 6000
    };
    mail_smtp_client *cl = create(NULL, 0);
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, COUNT);
    open_session(cl, "250-mx.example\r\n250 PIPELINING\r\n");
    assert_int_equal(mail_smtp_client_begin(cl, START, &envelope, NULL), MAIL_OK);
    assert_true(flush(cl) < 5000 * strlen("RCPT TO:<b@mx.example>\r\n"));
    for (unsigned i = 0; i < 1 + COUNT; i++) {
        assert_int_equal(feed(cl, "250 ok\r\n"), MAIL_SMTP_CLIENT_NONE);
        flush(cl);
    }
    assert_int_equal(feed(cl, "354 go\r\n"), MAIL_SMTP_CLIENT_BODY);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

static void ends_when_nothing_is_taken_from_it(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_smtp_client_event event;

    (void)state;
    feed(cl, "220 mx.example\r\n");
    assert_int_equal(mail_smtp_client_deadline(cl), START + 3 * MAIL_MINUTE);
    mail_smtp_client_sent(cl, START + MAIL_MINUTE, 1);
    assert_int_equal(mail_smtp_client_deadline(cl), START + 4 * MAIL_MINUTE);
    mail_smtp_client_tick(cl, START + 4 * MAIL_MINUTE, &event);
    assert_int_equal(event, MAIL_SMTP_CLIENT_CLOSED);
    mail_smtp_client_destroy(cl);
}

/* The body's functions are told no time: it begins with the next tick. */
static void lets_time_begin_when_it_is_told(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_smtp_client_event event;
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, 1);
    open_session(cl, "250-mx.example\r\n250 PIPELINING\r\n");
    mail_smtp_client_begin(cl, START, &envelope, NULL);
    flush(cl);
    assert_int_equal(feed(cl, "250 ok\r\n250 ok\r\n354 go\r\n"), MAIL_SMTP_CLIENT_BODY);
    assert_int_equal(mail_smtp_client_deadline(cl), MAIL_NEVER);
    mail_sink_write(mail_smtp_client_body(cl), MAIL_SPAN("x\r\n"));
    assert_true(mail_smtp_client_deadline(cl) <= START);
    mail_smtp_client_tick(cl, START + MAIL_HOUR, &event);
    assert_int_equal(event, MAIL_SMTP_CLIENT_NONE);
    assert_int_equal(mail_smtp_client_deadline(cl), START + MAIL_HOUR + 3 * MAIL_MINUTE);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

static void SC_016_is_not_ambiguous_while_the_dot_is_unsent(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_smtp_client_event event;
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, 1);
    open_session(cl, "250-mx.example\r\n250 PIPELINING\r\n");
    mail_smtp_client_begin(cl, START, &envelope, NULL);
    flush(cl);
    feed(cl, "250 ok\r\n250 ok\r\n354 go\r\n");
    mail_sink_finish(mail_smtp_client_body(cl), NULL, NULL);
    mail_smtp_client_sent(cl, START, mail_smtp_client_out(cl).length - 1);
    mail_smtp_client_eof(cl, &event);
    assert_int_equal(event, MAIL_SMTP_CLIENT_DONE);
    assert_int_equal(mail_smtp_client_outcome(cl, 0).kind, MAIL_OUTCOME_UNTRIED);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

static void forgets_a_body_that_is_over(void **state)
{
    mail_smtp_client *cl = create(NULL, 0);
    mail_sink *body = mail_smtp_client_body(cl);
    mail_smtp_client_event event;
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, 1);
    open_session(cl, "250-mx.example\r\n250 PIPELINING\r\n");
    mail_smtp_client_begin(cl, START, &envelope, NULL);
    flush(cl);
    feed(cl, "250 ok\r\n250 ok\r\n354 go\r\n");
    mail_smtp_client_eof(cl, &event);
    assert_int_equal(mail_sink_room(body), 0);
    assert_int_equal(mail_sink_write(body, MAIL_SPAN("x")), MAIL_ECONN);
    assert_int_equal(mail_sink_finish(body, NULL, NULL), MAIL_ECONN);
    mail_sink_abort(body);
    assert_int_equal(event, MAIL_SMTP_CLIENT_DONE);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

/* The message ends where a chunk does, and nothing of it has been sent: the end waits. */
static void finishes_while_a_chunk_fills_its_room(void **state)
{
    static char text[16 * 1024];
    mail_smtp_client *cl = create(NULL, 1);
    mail_sink *body = mail_smtp_client_body(cl);
    mail_envelope envelope;

    (void)state;
    make_envelope(&envelope, 1);
    memset(text, 'x', sizeof(text));
    open_session(cl, "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    mail_smtp_client_begin(cl, START, &envelope, NULL);
    flush(cl);
    assert_int_equal(feed(cl, "250 ok\r\n250 ok\r\n"), MAIL_SMTP_CLIENT_BODY);
    assert_int_equal(mail_sink_write(body, mail_span_of(text, mail_sink_room(body))), MAIL_OK);
    assert_int_equal(mail_sink_room(body), 0);
    assert_int_equal(mail_sink_finish(body, NULL, NULL), MAIL_OK);
    mail_smtp_client_sent(cl, START, mail_smtp_client_out(cl).length);
    assert_span_equal(mail_smtp_client_out(cl), "BDAT 2 LAST\r\n\r\n");
    flush(cl);
    assert_int_equal(feed(cl, "250 chunk\r\n250 taken\r\n"), MAIL_SMTP_CLIENT_DONE);
    assert_int_equal(mail_smtp_client_outcome(cl, 0).kind, MAIL_OUTCOME_ACCEPTED);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
}

static void send_one(mail_smtp_client *cl, const mail_envelope *envelope, mail_span message)
{
    mail_smtp_content content = {.size = message.length};
    mail_sink *body = mail_smtp_client_body(cl);

    assert_int_equal(mail_smtp_client_begin(cl, START, envelope, &content), MAIL_OK);
    assert_int_equal(feed(cl, ""), MAIL_SMTP_CLIENT_BODY);
    assert_int_equal(mail_sink_write(body, message), MAIL_OK);
    assert_int_equal(mail_sink_finish(body, NULL, NULL), MAIL_OK);
    flush(cl);
    assert_int_equal(feed(cl, "250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.0.0 taken\r\n"),
                     MAIL_SMTP_CLIENT_DONE);
    assert_int_equal(mail_smtp_client_outcome(cl, 0).kind, MAIL_OUTCOME_ACCEPTED);
    assert_int_equal(feed(cl, ""), MAIL_SMTP_CLIENT_READY);
}

static void allocates_nothing_for_the_second_message(void **state)
{
    static char message[5000];
    mail_test_walk walk;
    mail_smtp_client *cl;
    mail_envelope envelope;
    size_t count;

    (void)state;
    mail_test_mem_init(&walk);
    cl = create(&walk.mem, 0);
    make_envelope(&envelope, 1);
    memset(message, 'x', sizeof(message));
    open_session(cl, "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    assert_true(walk.bytes < 4096);
    send_one(cl, &envelope, mail_span_of(message, sizeof(message)));
    count = walk.count;
    for (int i = 0; i < 100; i++) {
        send_one(cl, &envelope, mail_span_of(message, sizeof(message)));
    }
    assert_int_equal(walk.count, count);
    assert_true(walk.bytes < 24 * 1024);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
    mail_test_mem_check(&walk);
}

static void keeps_the_texts_of_many_refusals_short(void **state)
{
    enum {
        COUNT = 2000
    };
    static char refusal[1000];
    mail_test_walk walk;
    mail_smtp_client *cl;
    mail_envelope envelope;

    (void)state;
    mail_test_mem_init(&walk);
    cl = create(&walk.mem, 0);
    make_envelope(&envelope, COUNT);
    memset(refusal, 'x', sizeof(refusal) - 1);
    memcpy(refusal, "550 5.1.1 ", 10);
    memcpy(refusal + sizeof(refusal) - 3, "\r\n", 3);
    open_session(cl, "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    mail_smtp_client_begin(cl, START, &envelope, NULL);
    flush(cl);
    feed(cl, "250 ok\r\n");
    for (size_t i = 0; i < COUNT; i++) {
        feed(cl, refusal);
    }
    assert_int_equal(mail_smtp_client_outcome(cl, 0).reply.text.length, sizeof(refusal) - 13);
    assert_int_equal(mail_smtp_client_outcome(cl, COUNT - 1).reply.text.length, 100);
    assert_true(walk.bytes < 1024 * 1024);
    mail_envelope_deinit(&envelope);
    mail_smtp_client_destroy(cl);
    mail_test_mem_check(&walk);
}

static void names_everything(void **state)
{
    (void)state;
    assert_string_equal(mail_smtp_client_event_name(MAIL_SMTP_CLIENT_NONE), "none");
    assert_string_equal(mail_smtp_client_event_name(MAIL_SMTP_CLIENT_READY), "ready");
    assert_string_equal(mail_smtp_client_event_name(MAIL_SMTP_CLIENT_BODY), "body");
    assert_string_equal(mail_smtp_client_event_name(MAIL_SMTP_CLIENT_DONE), "done");
    assert_string_equal(mail_smtp_client_event_name(MAIL_SMTP_CLIENT_CLOSED), "closed");
    assert_string_equal(mail_outcome_kind_name(MAIL_OUTCOME_UNTRIED), "untried");
    assert_string_equal(mail_outcome_kind_name(MAIL_OUTCOME_ACCEPTED), "accepted");
    assert_string_equal(mail_outcome_kind_name(MAIL_OUTCOME_TRANSIENT), "transient");
    assert_string_equal(mail_outcome_kind_name(MAIL_OUTCOME_PERMANENT), "permanent");
    assert_string_equal(mail_outcome_kind_name(MAIL_OUTCOME_AMBIGUOUS), "ambiguous");
}

/* What an answer that takes time must look at: the peer does not wait for it. */
static void tells_which_answer_it_still_waits_for(void **state)
{
    mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    mail_smtp_client *cl;

    (void)state;
    opts.hostname = MAIL_SPAN("client.example");
    opts.tls = MAIL_SMTP_TLS_IMPLICIT;
    opts.authenticates = true;
    assert_int_equal(mail_smtp_client_create(&cl, &opts, START), MAIL_OK);
    assert_int_equal(feed(cl, ""), MAIL_SMTP_CLIENT_STARTTLS);
    assert_true(mail_smtp_client_awaits_tls(cl));
    mail_smtp_client_tls_started(cl, START, MAIL_SPAN(""), false);
    assert_false(mail_smtp_client_awaits_tls(cl));
    assert_int_equal(feed(cl, "220 mx.example\r\n"), MAIL_SMTP_CLIENT_NONE);
    flush(cl);
    assert_int_equal(feed(cl, "250-mx.example\r\n250 AUTH PLAIN\r\n"), MAIL_SMTP_CLIENT_AUTH);
    assert_true(mail_smtp_client_awaits_credentials(cl));
    assert_int_equal(feed(cl, "421 4.3.2 bye\r\n"), MAIL_SMTP_CLIENT_CLOSED);
    assert_false(mail_smtp_client_awaits_credentials(cl));
    mail_smtp_client_destroy(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(SC_003_refuses_names_that_are_none),
        cmocka_unit_test(refuses_options_of_no_known_size),
        cmocka_unit_test(does_not_take_a_reply_before_its_command_is_sent),
        cmocka_unit_test(takes_no_second_reply_for_the_next_command),
        cmocka_unit_test(SC_035_bounds_a_reply_of_endless_lines),
        cmocka_unit_test(SC_019_reads_replies_while_its_commands_wait),
        cmocka_unit_test(waits_when_too_many_replies_are_awaited),
        cmocka_unit_test(ends_when_nothing_is_taken_from_it),
        cmocka_unit_test(lets_time_begin_when_it_is_told),
        cmocka_unit_test(SC_016_is_not_ambiguous_while_the_dot_is_unsent),
        cmocka_unit_test(forgets_a_body_that_is_over),
        cmocka_unit_test(finishes_while_a_chunk_fills_its_room),
        cmocka_unit_test(allocates_nothing_for_the_second_message),
        cmocka_unit_test(keeps_the_texts_of_many_refusals_short),
        cmocka_unit_test(names_everything),
        cmocka_unit_test(tells_which_answer_it_still_waits_for),
    };

    return mail_test_run(tests);
}
