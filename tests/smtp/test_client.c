/* SPDX-License-Identifier: MIT */
/*
 * The client engine against the transcripts in transcripts/client. What stands
 * there after `O:`, `D:` and `E:` is explained in transcripts/client/README.md.
 */
#include <mail/smtp_client.h>

#include "base/random.h"
#include "support/support.h"
#include "support/transcript.h"

typedef struct client {
    mail_smtp_client *engine;
    mail_envelope envelope;
    char *body;
    size_t body_length;
    size_t body_written;
    bool finishes; /* once it is */
    bool shows_offer;
    int code; /* what the body came to */
} client;

/* The next word of `text`, which is cut off; false at its end. */
static bool next_word(mail_span *text, mail_span *word)
{
    size_t length = 0;

    while (text->length > 0 && text->data[0] == ' ') {
        *text = mail_span_from(*text, 1);
    }
    while (length < text->length && text->data[length] != ' ') {
        length++;
    }
    *word = mail_span_first(*text, length);
    *text = mail_span_from(*text, length);
    return length > 0;
}

/* Whether `word` is `name` and what follows, such as `size=` and `100`. */
static bool has_value(mail_span word, const char *name, mail_span *value)
{
    size_t length = strlen(name);

    if (word.length < length || memcmp(word.data, name, length) != 0) {
        return false;
    }
    *value = mail_span_from(word, length);
    return true;
}

static bool is_word(mail_span word, const char *name)
{
    return mail_span_equal(word, mail_span_text(name));
}

static uint64_t number(mail_span text)
{
    char copy[32];

    assert_true(text.length < sizeof(copy));
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return strtoull(copy, NULL, 10);
}

static void set_option(mail_smtp_client_options *opts, client *cl, mail_span text)
{
    mail_span value;

    if (is_word(text, "lmtp")) {
        opts->lmtp = true;
    } else if (is_word(text, "no-pipelining")) {
        opts->no_pipelining = true;
    } else if (is_word(text, "no-chunking")) {
        opts->no_chunking = true;
    } else if (is_word(text, "tls=may")) {
        opts->tls = MAIL_SMTP_TLS_MAY;
    } else if (is_word(text, "tls=require")) {
        opts->tls = MAIL_SMTP_TLS_REQUIRE;
    } else if (is_word(text, "tls=implicit")) {
        opts->tls = MAIL_SMTP_TLS_IMPLICIT;
    } else if (is_word(text, "authenticates")) {
        opts->authenticates = true;
    } else if (is_word(text, "offer")) {
        cl->shows_offer = true;
    } else if (has_value(text, "hostname=", &value)) {
        opts->hostname = value;
    } else if (has_value(text, "max-timeout=", &value)) {
        opts->max_timeout = (mail_duration)number(value) * MAIL_SECOND;
    } else {
        fail();
    }
}

static void client_destroy(void *object)
{
    client *cl = object;

    if (cl != NULL) {
        mail_smtp_client_destroy(cl->engine);
        mail_envelope_deinit(&cl->envelope);
        free(cl->body);
        free(cl);
    }
}

/* Nonces are all the same: replies can be written down. */
static void fill_with_zeros(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 0, size);
}

static const mail_random no_chance = {fill_with_zeros, NULL};

static void *client_create(const char *const *options, size_t count, const mail_mem *mem,
                           mail_time now)
{
    mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    client *cl = calloc(1, sizeof(*cl));
    int code;

    assert_non_null(cl);
    mail_envelope_init(&cl->envelope, NULL);
    opts.mem = mem;
    opts.random = &no_chance;
    opts.hostname = MAIL_SPAN("client.example");
    for (size_t i = 0; i < count; i++) {
        set_option(&opts, cl, mail_span_text(options[i]));
    }
    code = mail_smtp_client_create(&cl->engine, &opts, now);
    if (code == MAIL_ENOMEM) {
        client_destroy(cl);
        return NULL;
    }
    assert_int_equal(code, MAIL_OK);
    return cl;
}

/* Moves as much of the body as there is room for. */
static void write_body(client *cl)
{
    mail_sink *sink = mail_smtp_client_body(cl->engine);
    size_t n;

    while (cl->body_written < cl->body_length && (n = mail_sink_room(sink)) > 0) {
        size_t rest = cl->body_length - cl->body_written;

        n = n < rest ? n : rest;
        cl->code = mail_sink_write(sink, mail_span_of(cl->body + cl->body_written, n));
        if (cl->code != MAIL_OK) {
            return;
        }
        cl->body_written += n;
    }
    if (cl->finishes && cl->body_written == cl->body_length) {
        cl->finishes = false;
        cl->code = mail_sink_finish(sink, NULL, NULL);
    }
}

static void print_outcome(char *text, size_t size, const mail_outcome *outcome)
{
    size_t length = (size_t)snprintf(text, size, " %s%s", mail_outcome_kind_name(outcome->kind),
                                     outcome->is_local ? " local" : "");

    if (outcome->reply.code != 0) {
        text[length++] = ' ';
        mail_reply_print(&outcome->reply, text + length, size - length);
    }
}

static void print_done(const client *cl, transcript_event *ev)
{
    size_t count = mail_envelope_count(&cl->envelope);

    strcpy(ev->text, "done");
    for (size_t i = 0; i < count; i++) {
        mail_outcome outcome = mail_smtp_client_outcome(cl->engine, i);
        size_t length = strlen(ev->text);

        length +=
            (size_t)snprintf(ev->text + length, sizeof(ev->text) - length, "%s", i > 0 ? " |" : "");
        print_outcome(ev->text + length, sizeof(ev->text) - length, &outcome);
    }
}

static void print_offer(const client *cl, char *text, size_t size)
{
    const mail_smtp_offer *offer = mail_smtp_client_offer(cl->engine);

    snprintf(text, size, "ready%s%s%s%s%s%s%s%s%s%s%s max=%llu rcpts=%u domains=%u mails=%u",
             offer->esmtp ? " esmtp" : "", offer->pipelining ? " pipelining" : "",
             offer->chunking ? " chunking" : "", offer->eightbit ? " 8bitmime" : "",
             offer->binary ? " binarymime" : "", offer->smtputf8 ? " smtputf8" : "",
             offer->dsn ? " dsn" : "", offer->size ? " size" : "",
             offer->starttls ? " starttls" : "", offer->requiretls ? " requiretls" : "",
             offer->enhanced ? " enhanced" : "", (unsigned long long)offer->max_size,
             offer->rcpt_max, offer->rcpt_domain_max, offer->mail_max);
}

/* With the failure, if there was one. */
static void print_closed(const client *cl, char *text, size_t size)
{
    mail_reply failure = mail_smtp_client_failure(cl->engine);
    size_t length = (size_t)snprintf(text, size, "closed");

    if (failure.code != 0) {
        text[length++] = ' ';
        mail_reply_print(&failure, text + length, size - length);
    }
}

static void take(client *cl, mail_smtp_client_event event, transcript_event *ev)
{
    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
        break;
    case MAIL_SMTP_CLIENT_READY:
        strcpy(ev->text, "ready");
        if (cl->shows_offer) {
            print_offer(cl, ev->text, sizeof(ev->text));
        }
        break;
    case MAIL_SMTP_CLIENT_BODY:
        strcpy(ev->text, "body");
        break;
    case MAIL_SMTP_CLIENT_DONE:
        print_done(cl, ev);
        break;
    case MAIL_SMTP_CLIENT_CLOSED:
        print_closed(cl, ev->text, sizeof(ev->text));
        ev->is_last = true;
        break;
    case MAIL_SMTP_CLIENT_STARTTLS:
    case MAIL_SMTP_CLIENT_AUTH:
        strcpy(ev->text, mail_smtp_client_event_name(event));
        break;
    }
}

static int client_feed(void *object, mail_time now, mail_span in, size_t *used,
                       transcript_event *ev)
{
    client *cl = object;
    mail_smtp_client_event event;
    int code = mail_smtp_client_feed(cl->engine, now, in, used, &event);

    take(cl, event, ev);
    write_body(cl);
    return code != MAIL_OK ? code : cl->code;
}

static int client_eof(void *object, mail_time now, transcript_event *ev)
{
    client *cl = object;
    mail_smtp_client_event event;
    int code = mail_smtp_client_eof(cl->engine, &event);

    (void)now;
    take(cl, event, ev);
    return code;
}

static int client_tick(void *object, mail_time now, transcript_event *ev)
{
    client *cl = object;
    mail_smtp_client_event event;
    int code = mail_smtp_client_tick(cl->engine, now, &event);

    take(cl, event, ev);
    return code;
}

static uint8_t notify_bits(mail_span text)
{
    static const char *const names[] = {"success", "failure", "delay", "never"};
    uint8_t bits = 0;

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        if (memmem(text.data, text.length, names[i], strlen(names[i])) != NULL) {
            bits |= (uint8_t)(1U << i);
        }
    }
    return bits;
}

/* `to=` comes first, its `notify=` and `orcpt=` behind it. */
static void add_recipient(client *cl, mail_span address, mail_span text)
{
    mail_recipient recipient = {.address = address};
    mail_span word;
    mail_span value;

    while (next_word(&text, &word) && !has_value(word, "to=", &value)) {
        if (has_value(word, "notify=", &value)) {
            recipient.notify = notify_bits(value);
        } else if (has_value(word, "orcpt=", &value)) {
            recipient.orcpt = value;
        }
    }
    assert_int_equal(mail_envelope_add(&cl->envelope, &recipient), MAIL_OK);
}

static void read_sender(client *cl, mail_span text)
{
    mail_span sender = MAIL_SPAN("");
    mail_span envid = MAIL_SPAN("");
    mail_span word;

    while (next_word(&text, &word)) {
        if (!has_value(word, "from=", &sender)) {
            has_value(word, "envid=", &envid);
        }
    }
    mail_envelope_reset(&cl->envelope);
    assert_int_equal(mail_envelope_set_sender(&cl->envelope, sender, envid), MAIL_OK);
}

static int begin(client *cl, mail_time now, mail_span text)
{
    mail_smtp_content content = {.size = 0};
    bool is_known = true;
    mail_span word;
    mail_span value;

    read_sender(cl, text);
    while (next_word(&text, &word)) {
        if (has_value(word, "to=", &value)) {
            add_recipient(cl, value, text);
        } else if (has_value(word, "size=", &value)) {
            content.size = number(value);
        } else if (has_value(word, "ret=", &value)) {
            cl->envelope.ret = is_word(value, "full") ? MAIL_RET_FULL : MAIL_RET_HDRS;
        } else if (is_word(word, "8bit")) {
            content.has_8bit = true;
        } else if (is_word(word, "binary")) {
            content.has_nul = true;
        } else if (is_word(word, "utf8")) {
            content.has_utf8_header = true;
        } else if (is_word(word, "smtputf8")) {
            cl->envelope.smtputf8 = true;
        } else if (is_word(word, "requiretls")) {
            cl->envelope.requiretls = true;
        } else if (is_word(word, "unknown")) {
            is_known = false;
        } else if (is_word(word, "declared-8bit")) {
            cl->envelope.body = MAIL_BODY_8BITMIME;
        }
    }
    return mail_smtp_client_begin(cl->engine, now, &cl->envelope, is_known ? &content : NULL);
}

/* Room for so many octets more of the body. */
static char *body_space(client *cl, size_t count)
{
    char *to;

    cl->body = realloc(cl->body, cl->body_length + count + 1);
    assert_non_null(cl->body);
    to = cl->body + cl->body_length;
    cl->body_length += count;
    return to;
}

/* `tls`, `tls verified`, `tls bound`: the handshake is done. */
static void start_tls(client *cl, mail_time now, mail_span text)
{
    static const char binding[32] = "0123456789abcdef0123456789abcde";
    bool is_verified = false;
    bool is_bound = false;
    mail_span word;

    while (next_word(&text, &word)) {
        is_verified |= is_word(word, "verified");
        is_bound |= is_word(word, "bound");
    }
    mail_smtp_client_tls_started(cl->engine, now,
                                 is_bound ? mail_span_of(binding, sizeof(binding)) : MAIL_SPAN(""),
                                 is_verified);
}

static unsigned mechanism_bits(mail_span names)
{
    unsigned bits = 0;

    for (unsigned i = MAIL_SASL_NONE + 1; i < MAIL_SASL_MECHANISMS; i++) {
        mail_span name = mail_span_text(mail_sasl_mechanism_name((mail_sasl_mechanism)i));

        bits |= mail_span_equal(names, name) ? 1U << i : 0;
    }
    assert_true(bits != 0);
    return bits;
}

static void authenticate(client *cl, mail_time now, mail_span text)
{
    mail_smtp_credentials credentials = {.port = 0};
    char *fill = NULL;
    mail_span word;
    mail_span value;

    while (next_word(&text, &word)) {
        if (has_value(word, "user=", &value)) {
            credentials.user = value;
        } else if (has_value(word, "authzid=", &value)) {
            credentials.authzid = value;
        } else if (has_value(word, "password=", &value)) {
            credentials.password = value;
        } else if (has_value(word, "long-password=", &value)) {
            fill = malloc(number(value));
            assert_non_null(fill);
            memset(fill, 'x', number(value));
            credentials.password = mail_span_of(fill, number(value));
        } else if (has_value(word, "token=", &value)) {
            credentials.token = value;
        } else if (has_value(word, "mechanism=", &value)) {
            credentials.mechanisms = mechanism_bits(value);
        } else if (is_word(word, "in-clear")) {
            credentials.in_clear = true;
        } else {
            fail();
        }
    }
    mail_smtp_client_authenticate(cl->engine, now, &credentials);
    free(fill);
}

static void refuse(client *cl, mail_time now, mail_span text)
{
    mail_reply why;

    assert_int_equal(mail_reply_parse(text, &why), MAIL_OK);
    mail_smtp_client_refuse(cl->engine, now, &why);
}

static int client_act(void *object, mail_time now, mail_span text)
{
    client *cl = object;
    mail_sink *sink = mail_smtp_client_body(cl->engine);
    mail_span word;

    next_word(&text, &word);
    text = text.length > 0 ? mail_span_from(text, 1) : text;
    if (is_word(word, "begin")) {
        return begin(cl, now, text);
    }
    if (is_word(word, "begin-refused")) {
        assert_int_equal(begin(cl, now, text), MAIL_EINVAL);
    } else if (is_word(word, "write")) {
        memcpy(body_space(cl, text.length), text.data, text.length);
        write_body(cl);
    } else if (is_word(word, "fill")) {
        memset(body_space(cl, number(text)), 'x', number(text));
        write_body(cl);
    } else if (is_word(word, "write-refused")) {
        assert_int_equal(mail_sink_write(sink, text), MAIL_EINVAL);
    } else if (is_word(word, "finish")) {
        cl->finishes = true;
        write_body(cl);
    } else if (is_word(word, "finish-refused")) {
        assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_EINVAL);
    } else if (is_word(word, "abort")) {
        mail_sink_abort(sink);
    } else if (is_word(word, "tls")) {
        start_tls(cl, now, text);
    } else if (is_word(word, "authenticate")) {
        authenticate(cl, now, text);
    } else if (is_word(word, "refuse")) {
        refuse(cl, now, text);
    } else if (is_word(word, "quit")) {
        mail_smtp_client_quit(cl->engine, now);
    } else {
        fail();
    }
    return cl->code;
}

static mail_span client_out(void *object)
{
    return mail_smtp_client_out(((client *)object)->engine);
}

static void client_sent(void *object, mail_time now, size_t n)
{
    client *cl = object;

    mail_smtp_client_sent(cl->engine, now, n);
    write_body(cl);
}

static unsigned client_wants(void *object)
{
    return mail_smtp_client_wants(((client *)object)->engine);
}

static mail_time client_deadline(void *object)
{
    return mail_smtp_client_deadline(((client *)object)->engine);
}

/* An end, and before it the outcomes of what was under way. */
static bool may_follow_loss(const char *text)
{
    return strncmp(text, "done", 4) == 0 || strncmp(text, "closed", 6) == 0;
}

static const transcript_engine engine = {
    .peer = 'S',
    .is_lockstep = true,
    .create = client_create,
    .destroy = client_destroy,
    .feed = client_feed,
    .eof = client_eof,
    .tick = client_tick,
    .act = client_act,
    .out = client_out,
    .sent = client_sent,
    .wants = client_wants,
    .deadline = client_deadline,
    .may_follow_loss = may_follow_loss,
};

static void replays_the_transcripts(void **state)
{
    (void)state;
    transcript_run_folder(&engine, mail_test_data("transcripts/client"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replays_the_transcripts),
    };

    return mail_test_run(tests);
}
