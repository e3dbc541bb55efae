/* SPDX-License-Identifier: MIT */
#include "support/smtp_server_adapter.h"

#include <inttypes.h>
#include <stdarg.h>

#include <mail/smtp_server.h>

#include "support/support.h"

typedef struct adapter {
    const mail_mem *mem;
    mail_smtp_server *srv;
    char text[512]; /* of a shutdown */
    bool paused;    /* the sink has no room: nothing is fed */
} adapter;

typedef enum kind {
    FLAG,
    NEWLINE,
    U32,
    U64,
    SECONDS,
    MECHANISM
} kind;

#define FIELD(name) offsetof(mail_smtp_server_options, name)

static const struct option {
    const char *name;
    kind kind;
    size_t offset;
} options[] = {
    {"lmtp", FLAG, FIELD(lmtp)},
    {"normalise", NEWLINE, FIELD(bare_newline)},
    {"max_message_bytes", U64, FIELD(max_message_bytes)},
    {"max_recipients", U32, FIELD(max_recipients)},
    {"max_errors", U32, FIELD(max_errors)},
    {"max_junk", U32, FIELD(max_junk)},
    {"max_commands", U32, FIELD(max_commands)},
    {"max_refused", U32, FIELD(max_refused)},
    {"max_session_bytes", U64, FIELD(max_session_bytes)},
    {"session_timeout", SECONDS, FIELD(session_timeout)},
    {"command_timeout", SECONDS, FIELD(command_timeout)},
    {"data_timeout", SECONDS, FIELD(data_timeout)},
    {"min_data_rate", U32, FIELD(min_data_rate)},
    {"no_pipelining", FLAG, FIELD(no_pipelining)},
    {"no_chunking", FLAG, FIELD(no_chunking)},
    {"no_8bitmime", FLAG, FIELD(no_8bitmime)},
    {"no_smtputf8", FLAG, FIELD(no_smtputf8)},
    {"no_dsn", FLAG, FIELD(no_dsn)},
    {"no_vrfy", FLAG, FIELD(no_vrfy)},
    {"expn", FLAG, FIELD(expn)},
    {"allow_early_talk", FLAG, FIELD(allow_early_talk)},
    {"error_delay", SECONDS, FIELD(error_delay)},
    {"starttls", FLAG, FIELD(starttls)},
    {"implicit_tls", FLAG, FIELD(implicit_tls)},
    {"requires_tls", FLAG, FIELD(requires_tls)},
    {"requiretls", FLAG, FIELD(requiretls)},
    {"auth", MECHANISM, FIELD(auth_mechanisms)},
    {"auth_in_clear", FLAG, FIELD(auth_in_clear)},
    {"auth_needs_tls", FLAG, FIELD(auth_needs_tls)},
    {"requires_auth", FLAG, FIELD(requires_auth)},
};

static void set_option(mail_smtp_server_options *opts, const char *text)
{
    char name[64] = "";
    char word[64] = "";
    uint64_t number = 0;

    sscanf(text, "%63s %" SCNu64, name, &number);
    sscanf(text, "%63s %63s", name, word);
    for (size_t i = 0; i < MAIL_COUNT(options); i++) {
        void *field = (char *)opts + options[i].offset;

        if (strcmp(options[i].name, name) != 0) {
            continue;
        }
        switch (options[i].kind) {
        case FLAG:
            *(bool *)field = true;
            break;
        case NEWLINE:
            *(mail_bare_newline *)field = MAIL_BARE_NEWLINE_NORMALISE;
            break;
        case U32:
            *(uint32_t *)field = (uint32_t)number;
            break;
        case U64:
            *(uint64_t *)field = number;
            break;
        case SECONDS:
            *(mail_duration *)field = (mail_duration)number * MAIL_SECOND;
            break;
        case MECHANISM:
            *(unsigned *)field |= 1U << mail_sasl_mechanism_parse(mail_span_text(word));
            break;
        }
        return;
    }
    print_error("no such option: %s\n", text);
    fail();
}

static void *adapter_create(const char *const *texts, size_t count, const mail_mem *mem,
                            mail_time now)
{
    mail_smtp_server_options opts = MAIL_SMTP_SERVER_OPTIONS_INIT;
    adapter *ad = calloc(1, sizeof(*ad));
    int code;

    assert_non_null(ad);
    opts.mem = mem;
    opts.hostname = MAIL_SPAN("mx.example");
    opts.error_delay = -1;
    for (size_t i = 0; i < count; i++) {
        set_option(&opts, texts[i]);
    }
    code = mail_smtp_server_create(&ad->srv, &opts, now);
    if (code == MAIL_ENOMEM) {
        free(ad);
        return NULL;
    }
    assert_int_equal(code, MAIL_OK);
    return ad;
}

static void adapter_destroy(void *engine)
{
    adapter *ad = engine;

    if (ad != NULL) {
        mail_smtp_server_destroy(ad->srv);
        free(ad);
    }
}

static void add(transcript_event *to, const char *format, ...)
{
    size_t length = strlen(to->text);
    va_list args;

    va_start(args, format);
    vsnprintf(to->text + length, sizeof(to->text) - length, format, args);
    va_end(args);
}

static void add_span(transcript_event *to, const char *name, mail_span span)
{
    if (span.length > 0) {
        add(to, " %s%.*s", name, (int)span.length, span.data);
    }
}

static void add_path(transcript_event *to, const mail_path *path)
{
    add(to, " <%.*s>", (int)path->length, path->text);
}

static void add_mail(transcript_event *to, const mail_smtp_mail *mail)
{
    static const char *const bodies[] = {"", " body=8bitmime", " body=binarymime"};
    static const char *const rets[] = {"", " ret=full", " ret=hdrs"};

    if (mail->size > 0) {
        add(to, " size=%" PRIu64, mail->size);
    }
    add(to, "%s%s%s", bodies[mail->body], mail->smtputf8 ? " smtputf8" : "", rets[mail->ret]);
    add(to, "%s", mail->requiretls ? " requiretls" : "");
    add_span(to, "envid=", mail->envid);
    add_span(to, "auth=", mail->auth);
}

static void add_rcpt(transcript_event *to, const mail_smtp_rcpt *rcpt)
{
    static const char *const words[] = {"success", "failure", "delay", "never"};
    const char *divider = " notify=";

    for (size_t i = 0; i < MAIL_COUNT(words); i++) {
        if ((rcpt->notify & 1U << i) != 0) {
            add(to, "%s%s", divider, words[i]);
            divider = ",";
        }
    }
    add_span(to, "orcpt=", rcpt->orcpt);
}

static void add_auth(transcript_event *to, const mail_sasl_question *auth)
{
    add(to, " %s", mail_sasl_mechanism_name(auth->mechanism));
    add_span(to, "user=", auth->user);
    add_span(to, "authzid=", auth->authzid);
    add_span(to, "password=", auth->password);
}

static void translate(const adapter *ad, const mail_smtp_event *ev, transcript_event *to)
{
    to->asks = mail_smtp_server_asks(ad->srv);
    if (ev->type == MAIL_SMTP_EV_BODY) {
        to->body = ev->body;
        return;
    }
    if (ev->type == MAIL_SMTP_EV_NONE) {
        assert_false(to->asks);
        return;
    }
    add(to, "%s", mail_smtp_event_name(ev->type));
    add_span(to, "", ev->name);
    add_span(to, "", ev->argument);
    if (ev->type == MAIL_SMTP_EV_HELO) {
        add(to, "%s", ev->esmtp ? " esmtp" : "");
    } else if (ev->type == MAIL_SMTP_EV_MAIL) {
        add_path(to, ev->path);
        add_mail(to, ev->mail);
    } else if (ev->type == MAIL_SMTP_EV_RCPT) {
        add_path(to, ev->path);
        add_rcpt(to, ev->rcpt);
    } else if (ev->type == MAIL_SMTP_EV_AUTH) {
        add_auth(to, ev->auth);
    } else if (ev->type == MAIL_SMTP_EV_DATA) {
        add(to, "%s", ev->by_bdat ? " by-bdat" : "");
    } else if (ev->type == MAIL_SMTP_EV_END) {
        add(to, " %" PRIu64, ev->size);
        if (ev->index > 0) {
            add(to, " index=%zu", ev->index);
        }
    } else if (ev->reply != NULL) {
        add(to, " %u%s", ev->reply->code, ev->is_consequence ? " of that" : "");
    }
    to->is_last = ev->type == MAIL_SMTP_EV_CLOSE;
}

static int adapter_feed(void *engine, mail_time now, mail_span in, size_t *used,
                        transcript_event *to)
{
    adapter *ad = engine;
    bool asked = mail_smtp_server_asks(ad->srv);
    mail_smtp_event ev;
    int code;

    if (ad->paused) {
        return MAIL_OK;
    }
    code = mail_smtp_server_feed(ad->srv, now, in, used, &ev);

    if (code == MAIL_OK && asked && ev.type == MAIL_SMTP_EV_NONE) {
        assert_int_equal(*used, 0);
        return MAIL_OK;
    }
    if (code == MAIL_OK) {
        translate(ad, &ev, to);
    }
    return code;
}

static int adapter_eof(void *engine, mail_time now, transcript_event *to)
{
    adapter *ad = engine;
    mail_smtp_event ev;
    int code = mail_smtp_server_eof(ad->srv, &ev);

    (void)now;
    translate(ad, &ev, to);
    return code;
}

static int adapter_tick(void *engine, mail_time now, transcript_event *to)
{
    adapter *ad = engine;
    mail_smtp_event ev;
    int code = mail_smtp_server_tick(ad->srv, now, &ev);

    if (code == MAIL_OK && ev.type != MAIL_SMTP_EV_NONE) {
        translate(ad, &ev, to);
    }
    return code;
}

static bool takes_word(mail_span *text, const char *word)
{
    size_t length = strlen(word);

    if (text->length < length || memcmp(text->data, word, length) != 0) {
        return false;
    }
    *text = mail_span_from(*text, length);
    return true;
}

static void shut_down(adapter *ad, mail_span text, bool force)
{
    snprintf(ad->text, sizeof(ad->text), "%.*s", (int)text.length, text.data);
    mail_smtp_server_shutdown(ad->srv, mail_span_text(ad->text), force);
}

/* RFC 9266: as good as any that a TLS session would have. */
static int start_tls(adapter *ad, mail_time now, mail_span identity)
{
    assert_true(mail_smtp_server_awaits_tls(ad->srv));
    return mail_smtp_server_tls_started(ad->srv, now, MAIL_SPAN("0123456789abcdef0123456789abcdef"),
                                        identity);
}

static int answer_auth(adapter *ad, mail_time now, mail_sasl_answer_kind how, mail_span password)
{
    mail_sasl_answer answer = {.kind = how, .password = password};

    return mail_smtp_server_answer_auth(ad->srv, now, &answer);
}

static int adapter_act(void *engine, mail_time now, mail_span text)
{
    adapter *ad = engine;
    mail_reply reply;

    if (text.length == 0) {
        return mail_smtp_server_answer(ad->srv, now, NULL);
    }
    if (takes_word(&text, "pause")) {
        ad->paused = true;
        mail_smtp_server_pause(ad->srv, now);
        return MAIL_OK;
    }
    if (takes_word(&text, "resume")) {
        ad->paused = false;
        return MAIL_OK;
    }
    if (takes_word(&text, "tls")) {
        (void)takes_word(&text, " ");
        return start_tls(ad, now, text); /* the rest is who the client's certificate names */
    }
    if (takes_word(&text, "user is ")) {
        mail_span user = mail_smtp_server_user(ad->srv);

        assert_true(mail_span_equal(user.length > 0 ? user : MAIL_SPAN("nobody"), text));
        return MAIL_OK;
    }
    if (takes_word(&text, "accept")) {
        return answer_auth(ad, now, MAIL_SASL_ACCEPT, MAIL_SPAN(""));
    }
    if (takes_word(&text, "refuse")) {
        return answer_auth(ad, now, MAIL_SASL_REFUSE, MAIL_SPAN(""));
    }
    if (takes_word(&text, "password ")) {
        return answer_auth(ad, now, MAIL_SASL_PASSWORD, text);
    }
    if (takes_word(&text, "shutdown! ")) {
        shut_down(ad, text, true);
        return MAIL_OK;
    }
    if (takes_word(&text, "shutdown ")) {
        shut_down(ad, text, false);
        return MAIL_OK;
    }
    assert_int_equal(mail_reply_parse(text, &reply), MAIL_OK);
    return mail_smtp_server_answer(ad->srv, now, &reply);
}

static mail_span adapter_out(void *engine)
{
    return mail_smtp_server_out(((adapter *)engine)->srv);
}

static void adapter_sent(void *engine, mail_time now, size_t n)
{
    (void)now;
    mail_smtp_server_sent(((adapter *)engine)->srv, n);
}

static unsigned adapter_wants(void *engine)
{
    return mail_smtp_server_wants(((adapter *)engine)->srv);
}

static mail_time adapter_deadline(void *engine)
{
    return mail_smtp_server_deadline(((adapter *)engine)->srv);
}

/* SS-029: what was not whole is dropped, and nothing else is heard of it. */
static bool may_follow_loss(const char *text)
{
    return strcmp(text, "ABORT") == 0 || strcmp(text, "RESET") == 0 || strcmp(text, "CLOSE") == 0 ||
           strncmp(text, "CLOSE ", 6) == 0;
}

const transcript_engine smtp_server_transcripts = {
    .peer = 'C',
    .create = adapter_create,
    .destroy = adapter_destroy,
    .feed = adapter_feed,
    .eof = adapter_eof,
    .tick = adapter_tick,
    .act = adapter_act,
    .out = adapter_out,
    .sent = adapter_sent,
    .wants = adapter_wants,
    .deadline = adapter_deadline,
    .may_follow_loss = may_follow_loss,
};
