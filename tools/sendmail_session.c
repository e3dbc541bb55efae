/* SPDX-License-Identifier: MIT */
#include "sendmail_session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <mail/drop.h>
#include <mail/header.h>
#include <mail/smtp_server.h>

/* As of other input: what has a longer header is no mail. */
#define HEADER_MAX ((size_t)1 << 20)

/* Programs keep a session open between their messages. */
#define PATIENCE MAIL_HOUR

typedef struct session {
    const sendmail_options *opts;
    const mail_submission *submission;
    const char *spool;
    mail_smtp_server *engine;
    mail_envelope envelope;
    mail_sink *sink; /* of the message under way; NULL: none, or it has failed */
    int code;        /* why it has */
    bool in_body;    /* its header is completed and written */
    mail_scan scan;
    mail_sink_memory header;
    char name[MAIL_DROP_NAME_SIZE];
    size_t stored;
} session;

static mail_time now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * MAIL_SECOND + ts.tv_nsec;
}

static mail_reply refusal_of(int code)
{
    switch (code) {
    case MAIL_EINVAL:
        return MAIL_REPLY(554, 5, 6, 0, "The header is malformed");
    case MAIL_ELIMIT:
        return MAIL_REPLY(552, 5, 3, 4, "The header is too long");
    case MAIL_ENOSPC:
        return MAIL_REPLY(452, 4, 3, 1, "No room for the message now");
    default:
        return MAIL_REPLY(451, 4, 3, 0, "The message can't be stored now");
    }
}

/* A message on its way. */

static void fail(session *ss, int code)
{
    mail_sink_abort(ss->sink);
    ss->sink = NULL;
    ss->code = code;
}

static int put(mail_sink *sink, mail_span bytes)
{
    int code = MAIL_OK;

    while (code == MAIL_OK && bytes.length > 0) {
        size_t room = mail_sink_room(sink); /* a drop always has some */
        size_t n = bytes.length < room ? bytes.length : room;

        code = mail_sink_write(sink, mail_span_first(bytes, n));
        bytes = mail_span_from(bytes, n);
    }
    return code;
}

/* The header is whole, with some of the body behind it. */
static int complete(session *ss, mail_span message)
{
    mail_span sender = mail_envelope_sender(&ss->envelope);
    mail_submission own = *ss->submission;
    mail_submitted submitted;
    mail_sink_memory out;
    int code;

    own.when = time(NULL);
    own.from = sender.length > 0 ? sender : own.from;
    mail_sink_memory_init(&out, NULL, 4 * HEADER_MAX);
    code = mail_submission_complete(&own, message, &out, NULL, &submitted, NULL);
    if (code == MAIL_OK) {
        code = put(ss->sink, mail_sink_memory_bytes(&out));
    }
    if (code == MAIL_OK) {
        code = put(ss->sink, mail_span_from(message, submitted.body));
    }
    mail_sink_memory_deinit(&out);
    return code;
}

static void end_header(session *ss)
{
    mail_span message = mail_sink_memory_bytes(&ss->header);
    int code = ss->opts->no_completion ? put(ss->sink, message) : complete(ss, message);

    mail_sink_memory_deinit(&ss->header);
    ss->in_body = true;
    if (code != MAIL_OK) {
        fail(ss, code);
    }
}

static void take_body(session *ss, mail_span body)
{
    int code;

    if (ss->sink == NULL) {
        return; /* the rest of what has failed */
    }
    code = ss->in_body ? put(ss->sink, body) : mail_sink_write(&ss->header.sink, body);
    if (code != MAIL_OK) {
        fail(ss, code);
        return;
    }
    if (!ss->in_body) {
        mail_scan_feed(&ss->scan, body);
        if (ss->scan.in_body) {
            end_header(ss);
        }
    }
}

static void drop_message(session *ss)
{
    if (ss->sink != NULL) {
        fail(ss, MAIL_ECANCELED);
    }
    mail_sink_memory_deinit(&ss->header);
}

/* What the engine asks. */

static mail_reply on_mail(session *ss, const mail_smtp_event *ev)
{
    mail_envelope_reset(&ss->envelope);
    ss->envelope.ret = ev->mail->ret;
    ss->envelope.body = ev->mail->body;
    ss->envelope.smtputf8 = ev->mail->smtputf8;
    return mail_envelope_set_sender(&ss->envelope, mail_path_text(ev->path), ev->mail->envid) ==
                   MAIL_OK
               ? (mail_reply){0}
               : refusal_of(MAIL_ENOMEM);
}

static mail_reply on_rcpt(session *ss, const mail_smtp_event *ev)
{
    const mail_recipient recipient = {
        .address = mail_path_text(ev->path),
        .orcpt = ev->rcpt->orcpt,
        .notify = ev->rcpt->notify,
    };

    return mail_envelope_add(&ss->envelope, &recipient) == MAIL_OK ? (mail_reply){0}
                                                                   : refusal_of(MAIL_ENOMEM);
}

static mail_reply on_data(session *ss)
{
    int code = mail_drop_begin(&ss->sink, ss->spool, &ss->envelope, NULL, ss->name, NULL);

    if (code != MAIL_OK) {
        ss->sink = NULL;
        return refusal_of(code);
    }
    ss->in_body = false;
    mail_scan_init(&ss->scan);
    mail_sink_memory_init(&ss->header, NULL, HEADER_MAX);
    return (mail_reply){0};
}

static mail_reply on_end(session *ss)
{
    mail_sink *sink;

    if (ss->sink != NULL && !ss->in_body) {
        end_header(ss);
    }
    sink = ss->sink;
    ss->sink = NULL;
    if (sink != NULL) {
        ss->code = mail_sink_finish(sink, NULL, NULL);
    }
    if (ss->code != MAIL_OK) {
        return refusal_of(ss->code);
    }
    ss->stored++;
    return MAIL_REPLY(250, 2, 0, 0, "Stored, and on its way");
}

/* Code 0: the ordinary answer. */
static mail_reply reply_to(session *ss, const mail_smtp_event *ev)
{
    switch (ev->type) {
    case MAIL_SMTP_EV_MAIL:
        return on_mail(ss, ev);
    case MAIL_SMTP_EV_RCPT:
        return on_rcpt(ss, ev);
    case MAIL_SMTP_EV_DATA:
        return on_data(ss);
    case MAIL_SMTP_EV_END:
        return on_end(ss);
    default:
        return (mail_reply){0};
    }
}

/* Deals with one event. MAIL_ENOMEM ends the session. */
static int handle(session *ss, const mail_smtp_event *ev)
{
    mail_reply reply;

    if (ev->type == MAIL_SMTP_EV_BODY) {
        take_body(ss, ev->body);
    } else if (ev->type == MAIL_SMTP_EV_ABORT) {
        drop_message(ss);
    }
    if (!mail_smtp_server_asks(ss->engine)) {
        return MAIL_OK;
    }
    reply = reply_to(ss, ev);
    return mail_smtp_server_answer(ss->engine, now(), reply.code != 0 ? &reply : NULL);
}

/* Standard input and output. */

static bool say(session *ss)
{
    mail_span out = mail_smtp_server_out(ss->engine);

    while (out.length > 0) {
        ssize_t n = write(STDOUT_FILENO, out.data, out.length);

        if (n < 0 && errno != EINTR) {
            return false; /* whoever hung up knows what it has been told */
        }
        mail_smtp_server_sent(ss->engine, n > 0 ? (size_t)n : 0);
        out = mail_smtp_server_out(ss->engine);
    }
    return true;
}

/* Feeds `*in` as far as it goes. False: the session is over. */
static bool pump(session *ss, mail_span *in)
{
    mail_smtp_event ev;

    do {
        size_t used;

        if (mail_smtp_server_feed(ss->engine, now(), *in, &used, &ev) != MAIL_OK ||
            handle(ss, &ev) != MAIL_OK) {
            return false;
        }
        *in = mail_span_from(*in, used);
        if (!say(ss)) {
            return false;
        }
    } while (ev.type != MAIL_SMTP_EV_NONE && ev.type != MAIL_SMTP_EV_CLOSE);
    return ev.type != MAIL_SMTP_EV_CLOSE;
}

/* Waits for input. False: there is none in time, and the peer has been told so. */
static bool wait_for_input(session *ss)
{
    struct pollfd watched = {.fd = STDIN_FILENO, .events = POLLIN};
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_NONE};

    while (ev.type != MAIL_SMTP_EV_CLOSE) {
        mail_duration left = mail_smtp_server_deadline(ss->engine) - now();
        int ready = poll(&watched, 1, left > 0 ? (int)(left / MAIL_MILLISECOND) + 1 : 0);

        if (ready > 0 || (ready < 0 && errno != EINTR)) {
            return true; /* what is wrong with it, read(2) will say */
        }
        if (mail_smtp_server_tick(ss->engine, now(), &ev) != MAIL_OK ||
            handle(ss, &ev) != MAIL_OK || !say(ss)) {
            return false;
        }
    }
    return false;
}

static int converse(session *ss, mail_error *err)
{
    static char in[65536];
    size_t held = 0;

    for (;;) {
        mail_span rest = mail_span_of(in, held);
        ssize_t n;

        if (!pump(ss, &rest)) {
            return EX_OK;
        }
        if (rest.length > 0) {
            memmove(in, rest.data, rest.length);
        }
        held = rest.length;
        if (!wait_for_input(ss)) {
            return EX_OK;
        }
        n = read(STDIN_FILENO, in + held, sizeof(in) - held);
        if (n < 0 && errno != EINTR) {
            mail_error_set(err, MAIL_EIO, "cannot read: %s", strerror(errno));
            return EX_NOINPUT;
        }
        if (n == 0) {
            return EX_OK;
        }
        held += n > 0 ? (size_t)n : 0;
    }
}

int sendmail_session(const sendmail_options *opts, const mail_submission *submission,
                     const char *spool, size_t *stored, mail_error *err)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
    session ss = {.opts = opts, .submission = submission, .spool = spool};
    int code;

    engine.hostname = submission->hostname;
    engine.allow_early_talk = true; /* scripts write all at once, and can't attack anybody */
    engine.command_timeout = PATIENCE;
    engine.error_delay = -1;
    code = mail_smtp_server_create(&ss.engine, &engine, now());
    if (code != MAIL_OK) {
        mail_error_set(err, code, "cannot begin: %s", mail_strerror(code));
        return code == MAIL_ENOMEM ? EX_OSERR : EX_CONFIG;
    }
    mail_envelope_init(&ss.envelope, NULL);
    code = converse(&ss, err);
    drop_message(&ss);
    mail_envelope_deinit(&ss.envelope);
    mail_smtp_server_destroy(ss.engine);
    *stored = ss.stored;
    return code;
}
