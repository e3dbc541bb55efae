/* SPDX-License-Identifier: MIT */
#include "smtp/server.h"

#include <assert.h>

#include "base/mem.h"

/*
 * What the peer owes (smtp_state), and the events that are asked on the way:
 *
 *   EXPECT_CONNECTION --CONNECT--> EXPECT_HELO        (or EXPECT_QUIT, refused)
 *   EXPECT_HELO ------HELO------> EXPECT_MAIL <------------------------------+
 *   EXPECT_MAIL --AUTH--> EXPECT_AUTH --235, 5yz--> EXPECT_MAIL
 *   EXPECT_MAIL … --STARTTLS--> EXPECT_TLS --handshake--> EXPECT_HELO
 *   EXPECT_MAIL ------MAIL------> EXPECT_RCPT --RSET, EHLO (RESET)---------->|
 *   EXPECT_RCPT ------RCPT------> EXPECT_DATA --RSET, EHLO (RESET)---------->|
 *   EXPECT_DATA --DATA, of DATA-> EXPECT_DOT --(BODY)-- CRLF.CRLF --+        |
 *   EXPECT_DATA --DATA, of BDAT-> EXPECT_OCTETS --(BODY)-- LAST ----+        |
 *   EXPECT_OCTETS --------------> EXPECT_CHUNK --RSET, EHLO (ABORT)-|------->|
 *   EXPECT_CHUNK ----BDAT-------> EXPECT_OCTETS                     v        |
 *                                                     EXPECT_VERDICT --END---+
 *   any --QUIT, 421, lost, too late (RESET, ABORT)--> CLOSING --(CLOSE)--> CLOSED
 *
 * While a question is open `feed` uses nothing, so that each state sees its
 * answer before the next command.
 */

/* `feed` uses nothing while more than this waits to be sent. */
#define HIGH_WATER 2048

/* What `out` keeps between replies. */
#define OUT_KEEP 512

static const mail_reply SHUTDOWN = SMTP_REPLY(421, 4, 3, 2, "");
static const mail_reply TOO_LATE = SMTP_REPLY(421, 4, 4, 2, "Too slow, closing");

const char *mail_smtp_event_name(mail_smtp_event_type type)
{
    static const char *const names[] = {
        [MAIL_SMTP_EV_NONE] = "NONE",         [MAIL_SMTP_EV_CONNECT] = "CONNECT",
        [MAIL_SMTP_EV_HELO] = "HELO",         [MAIL_SMTP_EV_MAIL] = "MAIL",
        [MAIL_SMTP_EV_RCPT] = "RCPT",         [MAIL_SMTP_EV_DATA] = "DATA",
        [MAIL_SMTP_EV_BODY] = "BODY",         [MAIL_SMTP_EV_END] = "END",
        [MAIL_SMTP_EV_ABORT] = "ABORT",       [MAIL_SMTP_EV_RESET] = "RESET",
        [MAIL_SMTP_EV_VRFY] = "VRFY",         [MAIL_SMTP_EV_EXPN] = "EXPN",
        [MAIL_SMTP_EV_STARTTLS] = "STARTTLS", [MAIL_SMTP_EV_AUTH] = "AUTH",
        [MAIL_SMTP_EV_REFUSED] = "REFUSED",   [MAIL_SMTP_EV_CLOSE] = "CLOSE",
    };

    return names[type];
}

int mail_smtp_server_create(mail_smtp_server **out, const mail_smtp_server_options *opts,
                            mail_time now)
{
    mail_smtp_server_options own;
    mail_smtp_server *srv;
    size_t size;
    int code;

    code = smtp_options_read(&own, opts);
    if (code != MAIL_OK) {
        return code;
    }
    size = sizeof(*srv) + own.hostname.length;
    srv = mem_alloc(own.mem, size);
    if (srv == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(srv->hostname, own.hostname.data, own.hostname.length);
    own.hostname.data = srv->hostname;
    srv->opts = own;
    srv->mem = own.mem;
    srv->block_size = size;
    srv->state = own.implicit_tls ? SMTP_EXPECT_TLS : SMTP_EXPECT_CONNECTION;
    srv->extensions = smtp_extensions_of(srv);
    srv->now = now;
    srv->since = now;
    srv->begun_at = now;
    srv->paused_at = MAIL_NEVER;
    buffer_init(&srv->out, own.mem, SIZE_MAX / 2);
    *out = srv;
    return MAIL_OK;
}

void mail_smtp_server_destroy(mail_smtp_server *srv)
{
    if (srv != NULL) {
        smtp_server_forget_sasl(srv);
        smtp_server_forget_user(srv);
        mem_free(srv->mem, srv->identity, srv->identity != NULL ? strlen(srv->identity) + 1 : 0);
        buffer_deinit(&srv->out);
        mem_free(srv->mem, srv, srv->block_size);
    }
}

int smtp_server_ask(mail_smtp_server *srv, mail_smtp_event_type question, mail_smtp_event *ev)
{
    srv->question = question;
    ev->type = question;
    return MAIL_OK;
}

bool smtp_server_offers(const mail_smtp_server *srv, unsigned extension)
{
    return srv->esmtp && (srv->extensions & extension) != 0;
}

void smtp_server_begin_message(mail_smtp_server *srv)
{
    srv->message_size = 0;
    srv->verdict_index = 0;
    srv->discards = false;
    srv->at_line_start = true;
    srv->data_since = srv->now;
    srv->data_last = srv->now;
}

/* The event that tells of the end of what is open, EV_NONE if nothing is. */
static mail_smtp_event_type end_event(const mail_smtp_server *srv)
{
    switch (srv->state) {
    case SMTP_EXPECT_RCPT:
    case SMTP_EXPECT_DATA:
        return MAIL_SMTP_EV_RESET;
    case SMTP_EXPECT_DOT:
        return srv->discards ? MAIL_SMTP_EV_NONE : MAIL_SMTP_EV_ABORT;
    case SMTP_EXPECT_OCTETS:
        /* A refused chunk out of its order leaves the envelope open. */
        if (srv->discards) {
            return (SMTP_IN(srv->after_chunk) & SMTP_IN_ENVELOPE) != 0 ? MAIL_SMTP_EV_RESET
                                                                       : MAIL_SMTP_EV_NONE;
        }
        return MAIL_SMTP_EV_ABORT;
    case SMTP_EXPECT_CHUNK:
        return MAIL_SMTP_EV_ABORT;
    case SMTP_EXPECT_VERDICT:
        /* Once asked for, the first verdict decides; the message is not ours any more. */
        return srv->verdict_index == 0 && srv->question != MAIL_SMTP_EV_END ? MAIL_SMTP_EV_ABORT
                                                                            : MAIL_SMTP_EV_NONE;
    case SMTP_EXPECT_CONNECTION:
    case SMTP_EXPECT_TLS:
    case SMTP_EXPECT_HELO:
    case SMTP_EXPECT_MAIL:
    case SMTP_EXPECT_AUTH:
    case SMTP_EXPECT_QUIT:
    case SMTP_CLOSING:
    case SMTP_CLOSED:
        break;
    }
    return MAIL_SMTP_EV_NONE;
}

mail_smtp_event_type smtp_server_end_transaction(mail_smtp_server *srv)
{
    mail_smtp_event_type event = end_event(srv);

    srv->rcpt_count = 0;
    srv->discards = false;
    srv->state = SMTP_EXPECT_MAIL;
    return event;
}

void smtp_server_close(mail_smtp_server *srv, const mail_reply *last_reply)
{
    mail_smtp_event_type event = smtp_server_end_transaction(srv);

    if (event != MAIL_SMTP_EV_NONE) {
        srv->owed = event;
    }
    srv->question = MAIL_SMTP_EV_NONE;
    srv->last_reply = last_reply;
    srv->held = 0;
    srv->state = SMTP_CLOSING;
}

/* Gives an event that is due without any input. */
static bool give_due_event(mail_smtp_server *srv, mail_smtp_event *ev)
{
    if (srv->owed != MAIL_SMTP_EV_NONE) {
        ev->type = srv->owed;
        srv->owed = MAIL_SMTP_EV_NONE;
        return true;
    }
    if (srv->state == SMTP_CLOSING) {
        ev->type = MAIL_SMTP_EV_CLOSE;
        ev->reply = srv->last_reply;
        srv->state = SMTP_CLOSED;
        return true;
    }
    return false;
}

static bool may_shut_down(const mail_smtp_server *srv)
{
    const unsigned quiet = (SMTP_IN_COMMANDS & ~SMTP_IN(SMTP_EXPECT_CHUNK)) |
                           SMTP_IN(SMTP_EXPECT_CONNECTION) | SMTP_IN(SMTP_EXPECT_TLS) |
                           SMTP_IN(SMTP_EXPECT_AUTH);

    if (!srv->shutdown_asked || srv->state >= SMTP_CLOSING) {
        return false;
    }
    return srv->shutdown_forced ||
           (srv->question == MAIL_SMTP_EV_NONE && srv->owed == MAIL_SMTP_EV_NONE &&
            (SMTP_IN(srv->state) & quiet) != 0);
}

/* Whether the next octets may be looked at: all that was said before is answered and on its way. */
static bool takes_input(const mail_smtp_server *srv)
{
    return srv->question == MAIL_SMTP_EV_NONE && srv->state < SMTP_CLOSING &&
           (srv->held == 0 || srv->discards) && buffer_length(&srv->out) - srv->held <= HIGH_WATER;
}

static int verdict_step(mail_smtp_server *srv, mail_smtp_event *ev)
{
    ev->size = srv->message_size;
    ev->index = srv->verdict_index;
    return smtp_server_ask(srv, MAIL_SMTP_EV_END, ev);
}

static int step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    switch (srv->state) {
    case SMTP_EXPECT_CONNECTION:
        return smtp_server_ask(srv, MAIL_SMTP_EV_CONNECT, ev);
    case SMTP_EXPECT_HELO:
    case SMTP_EXPECT_MAIL:
    case SMTP_EXPECT_RCPT:
    case SMTP_EXPECT_DATA:
    case SMTP_EXPECT_CHUNK:
    case SMTP_EXPECT_QUIT:
        return smtp_server_command_step(srv, in, used, ev);
    case SMTP_EXPECT_TLS:
        return smtp_server_tls_step(srv, in, used, ev);
    case SMTP_EXPECT_AUTH:
        return smtp_server_auth_step(srv, in, used, ev);
    case SMTP_EXPECT_DOT:
        return smtp_server_dot_step(srv, in, used, ev);
    case SMTP_EXPECT_OCTETS:
        return smtp_server_octets_step(srv, in, used, ev);
    case SMTP_EXPECT_VERDICT:
        return verdict_step(srv, ev);
    case SMTP_CLOSING:
    case SMTP_CLOSED:
        break;
    }
    return MAIL_EAGAIN;
}

/* One thing after the other until there is an event, or nothing more to be done. */
static int run(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    while (!give_due_event(srv, ev) && takes_input(srv)) {
        size_t n = 0;
        int code = step(srv, mail_span_from(in, *used), &n, ev);

        *used += n;
        srv->octets += n;
        if (code != MAIL_OK || ev->type != MAIL_SMTP_EV_NONE) {
            return code == MAIL_EAGAIN ? MAIL_OK : code;
        }
    }
    return MAIL_OK;
}

int mail_smtp_server_feed(mail_smtp_server *srv, mail_time now, mail_span in, size_t *used,
                          mail_smtp_event *ev)
{
    *used = 0;
    *ev = (mail_smtp_event){.type = MAIL_SMTP_EV_NONE};
    srv->now = now;
    smtp_server_resume(srv);
    smtp_server_release(srv);
    srv->talked_early |= !srv->is_greeted && in.length > 0;
    if (may_shut_down(srv)) {
        int code = smtp_server_hang_up(srv, &srv->shutdown_reply);

        if (code != MAIL_OK) {
            return code;
        }
    }
    return run(srv, in, used, ev);
}

int mail_smtp_server_eof(mail_smtp_server *srv, mail_smtp_event *ev)
{
    *ev = (mail_smtp_event){.type = MAIL_SMTP_EV_NONE};
    if (srv->state < SMTP_CLOSING) {
        smtp_server_close(srv, NULL);
    }
    give_due_event(srv, ev);
    return MAIL_OK;
}

int mail_smtp_server_tick(mail_smtp_server *srv, mail_time now, mail_smtp_event *ev)
{
    bool is_late = now >= mail_smtp_server_deadline(srv);

    *ev = (mail_smtp_event){.type = MAIL_SMTP_EV_NONE};
    srv->now = now;
    if (is_late && srv->held > 0 && !srv->discards) {
        smtp_server_release(srv);
        return MAIL_OK;
    }
    if (is_late && srv->state < SMTP_CLOSING) {
        int code = smtp_server_hang_up(srv, smtp_server_is_old(srv) ? &smtp_too_much : &TOO_LATE);

        if (code != MAIL_OK) {
            return code;
        }
    }
    if (srv->state == SMTP_CLOSING) {
        give_due_event(srv, ev);
    }
    return MAIL_OK;
}

void mail_smtp_server_shutdown(mail_smtp_server *srv, mail_span text, bool force)
{
    srv->shutdown_asked = true;
    srv->shutdown_forced |= force;
    srv->shutdown_reply = SHUTDOWN;
    srv->shutdown_reply.text = text;
}

bool mail_smtp_server_asks(const mail_smtp_server *srv)
{
    return srv->question != MAIL_SMTP_EV_NONE;
}

mail_span mail_smtp_server_out(const mail_smtp_server *srv)
{
    return mail_span_first(buffer_bytes(&srv->out), buffer_length(&srv->out) - srv->held);
}

void mail_smtp_server_sent(mail_smtp_server *srv, size_t n)
{
    assert(n <= buffer_length(&srv->out) - srv->held);
    buffer_consume(&srv->out, n);
    if (buffer_length(&srv->out) > 0) {
        return;
    }
    buffer_clear(&srv->out, OUT_KEEP);
    if (srv->state != SMTP_EXPECT_CONNECTION) {
        srv->is_greeted = true;
    }
}

/* Whether somebody speaks before the greeting is known only to those who listen. */
static bool listens_for_early_talk(const mail_smtp_server *srv)
{
    return srv->question == MAIL_SMTP_EV_CONNECT && !srv->talked_early &&
           !srv->opts.allow_early_talk;
}

unsigned mail_smtp_server_wants(const mail_smtp_server *srv)
{
    unsigned wants = buffer_length(&srv->out) > srv->held ? MAIL_WANTS_WRITE : 0;

    if (srv->question != MAIL_SMTP_EV_NONE) {
        return wants | MAIL_WANTS_ANSWER | (listens_for_early_talk(srv) ? MAIL_WANTS_READ : 0U);
    }
    if (takes_input(srv) || srv->state == SMTP_CLOSING) {
        wants |= MAIL_WANTS_READ;
    }
    if (srv->held > 0 && !srv->discards) {
        wants |= MAIL_WANTS_TIME;
    }
    return wants;
}
