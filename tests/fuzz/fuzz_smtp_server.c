/* SPDX-License-Identifier: MIT */
/*
 * The first octet chooses options, the rest is what a client says. It is said in
 * one piece, in small ones and octet by octet: what comes of it must be the same. What goes
 * out must be lines of replies, and every transaction must end in one way.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <mail/smtp_server.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct session {
    mail_smtp_server *srv;
    char *log; /* what came of it */
    size_t length;
    size_t capacity;
    size_t questions;
    size_t column; /* in the line of output under way */
    bool in_transaction;
    bool in_message;
} session;

static void note(session *se, const char *what, mail_span text)
{
    size_t n = strlen(what);

    if (se->log == NULL || se->capacity < se->length + n + text.length) {
        se->capacity = (se->length + n + text.length) * 2 + 64;
        se->log = realloc(se->log, se->capacity);
        CHECK(se->log != NULL);
    }
    memcpy(se->log + se->length, what, n);
    if (text.length > 0) {
        memcpy(se->log + se->length + n, text.data, text.length);
    }
    se->length += n + text.length;
}

/* Every line is a code, a hyphen or blank, and printable text, of at most 512 octets. */
static void check_out(session *se, mail_span out)
{
    for (size_t i = 0; i < out.length; i++) {
        char c = out.data[i];

        if (se->column < 3) {
            CHECK(c >= '0' && c <= '9');
        } else if (se->column == 3 && c != '\r') {
            CHECK(c == ' ' || c == '-');
        } else {
            CHECK((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
        }
        CHECK(se->column < 512);
        se->column = c == '\n' ? 0 : se->column + 1;
    }
}

static void drain(session *se)
{
    mail_span out = mail_smtp_server_out(se->srv);

    check_out(se, out);
    note(se, "", out);
    mail_smtp_server_sent(se->srv, out.length);
}

/* Takes most, refuses some; the same in each manner of saying it. */
static void answer(session *se, const mail_smtp_event *ev)
{
    static const mail_sasl_answer accept = {.kind = MAIL_SASL_ACCEPT};
    static const mail_reply refused = {450, {4, 7, 1}, {"Not\nnow\x1b", 8}};
    bool refuses = ev->type != MAIL_SMTP_EV_CONNECT && se->questions++ % 7 == 5;

    if (ev->type == MAIL_SMTP_EV_MAIL && !refuses) {
        CHECK(!se->in_transaction);
        se->in_transaction = true;
    } else if (ev->type == MAIL_SMTP_EV_DATA) {
        se->in_message = !refuses;
    } else if (ev->type == MAIL_SMTP_EV_END) {
        CHECK(se->in_message == (ev->index == 0)); /* LMTP asks more than once */
        se->in_message = false;
        se->in_transaction = false;
    }
    if (ev->type == MAIL_SMTP_EV_AUTH && !refuses) {
        note(se, "user ", ev->auth->user);
        CHECK(mail_smtp_server_answer_auth(se->srv, 0, &accept) == MAIL_OK);
        return;
    }
    CHECK(mail_smtp_server_answer(se->srv, 0, refuses ? &refused : NULL) == MAIL_OK);
}

static void check_event(session *se, const mail_smtp_event *ev)
{
    switch (ev->type) {
    case MAIL_SMTP_EV_RCPT:
    case MAIL_SMTP_EV_DATA:
        CHECK(se->in_transaction && !se->in_message);
        break;
    case MAIL_SMTP_EV_BODY:
        CHECK(se->in_message && ev->body.length > 0);
        note(se, "", ev->body);
        return;
    case MAIL_SMTP_EV_ABORT:
        CHECK(se->in_message);
        se->in_message = false;
        se->in_transaction = false;
        break;
    case MAIL_SMTP_EV_RESET:
        CHECK(se->in_transaction && !se->in_message);
        se->in_transaction = false;
        break;
    case MAIL_SMTP_EV_CLOSE:
        CHECK(!se->in_transaction);
        break;
    default:
        break;
    }
    note(se, mail_smtp_event_name(ev->type), ev->name);
    note(se, " ", ev->argument);
    if (ev->path != NULL) {
        note(se, "<", mail_path_text(ev->path));
    }
}

static bool take(session *se, const mail_smtp_event *ev)
{
    drain(se);
    if (ev->type == MAIL_SMTP_EV_NONE) {
        return false;
    }
    check_event(se, ev);
    if (mail_smtp_server_asks(se->srv)) {
        answer(se, ev);
        drain(se);
    }
    if (mail_smtp_server_awaits_tls(se->srv)) {
        CHECK(mail_smtp_server_tls_started(se->srv, 0, (mail_span){0}, MAIL_SPAN("a@b.example")) ==
              MAIL_OK);
    }
    return ev->type != MAIL_SMTP_EV_CLOSE;
}

static mail_smtp_server *create(uint8_t bits)
{
    mail_smtp_server_options opts = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_smtp_server *srv = NULL;

    opts.hostname = MAIL_SPAN("mx.example");
    opts.lmtp = (bits & 1) != 0;
    opts.bare_newline = (bits & 2) != 0 ? MAIL_BARE_NEWLINE_NORMALISE : MAIL_BARE_NEWLINE_REJECT;
    opts.max_message_bytes = (bits & 4) != 0 ? 20 : 0;
    opts.no_chunking = (bits & 8) != 0;
    opts.expn = (bits & 16) != 0;
    opts.no_8bitmime = (bits & 32) != 0;
    opts.max_errors = (bits & 64) != 0 ? 3 : 1000;
    if ((bits & 192) == 64) { /* limits that a session meets */
        opts.max_commands = 30;
        opts.max_refused = 2;
        opts.max_session_bytes = 2000;
    }
    opts.error_delay = -1;
    if ((bits & 128) != 0) {
        opts.starttls = true;
        opts.requiretls = true;
        opts.auth_mechanisms =
            1U << MAIL_SASL_PLAIN | 1U << MAIL_SASL_LOGIN | 1U << MAIL_SASL_EXTERNAL;
        opts.requires_auth = !opts.lmtp;
    }
    CHECK(mail_smtp_server_create(&srv, &opts, 0) == MAIL_OK);
    return srv;
}

/* A session in which at most `piece` octets come at a time. */
static session run(uint8_t bits, mail_span in, size_t piece)
{
    session se = {.srv = create(bits)};
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_NONE};
    size_t offered = 0;
    size_t used;
    bool goes_on = true;

    do {
        CHECK(mail_smtp_server_feed(se.srv, 0, mail_span_of(in.data, offered), &used, &ev) ==
              MAIL_OK);
        CHECK(used <= offered);
        in = mail_span_from(in, used);
        offered -= used;
        goes_on = take(&se, &ev) || (ev.type == MAIL_SMTP_EV_NONE && used > 0);
        if (!goes_on && ev.type == MAIL_SMTP_EV_NONE && offered < in.length) {
            offered += piece < in.length - offered ? piece : in.length - offered;
            goes_on = true;
        }
    } while (goes_on);
    while (ev.type != MAIL_SMTP_EV_CLOSE) {
        CHECK(mail_smtp_server_eof(se.srv, &ev) == MAIL_OK);
        take(&se, &ev);
    }
    CHECK(mail_smtp_server_wants(se.srv) == 0);
    mail_smtp_server_destroy(se.srv);
    return se;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7};
    session whole;

    if (size == 0 || size > 100000) {
        return 0;
    }
    whole = run(data[0], mail_span_of(data + 1, size - 1), size);
    for (size_t i = 0; i < MAIL_COUNT(pieces); i++) {
        session cut = run(data[0], mail_span_of(data + 1, size - 1), pieces[i]);

        CHECK(mail_span_equal(mail_span_of(whole.log, whole.length),
                              mail_span_of(cut.log, cut.length)));
        free(cut.log);
    }
    free(whole.log);
    return 0;
}
