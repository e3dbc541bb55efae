/* SPDX-License-Identifier: MIT */
/*
 * Messages in chunks (RFC 3030). The octets behind a BDAT are counted and never
 * looked at; when it is refused they are swallowed all the same, and the reply
 * waits until they are.
 */
#include "base/ascii.h"
#include "smtp/server.h"

static const mail_reply BAD_SYNTAX = SMTP_REPLY(501, 5, 5, 4, "Syntax: BDAT octets [LAST]");
static const mail_reply UNSUPPORTED = SMTP_REPLY(502, 5, 5, 1, "CHUNKING is not offered");
static const mail_reply OUT_OF_ORDER = SMTP_REPLY(503, 5, 5, 1, "Nothing to send chunks of");
static const mail_reply TAKEN = SMTP_REPLY(250, 2, 0, 0, "Chunk taken");

static bool parse(mail_smtp_server *srv, mail_span arg)
{
    mail_span number = smtp_take_word(&arg);

    srv->chunk_is_last = arg.length > 0;
    return ascii_number(number, UINT64_MAX, &srv->chunk_left) &&
           (arg.length == 0 || mail_span_equal_nocase(arg, MAIL_SPAN("LAST")));
}

static const mail_reply *judge(const mail_smtp_server *srv)
{
    bool begins = srv->state == SMTP_EXPECT_DATA;
    uint64_t size = begins ? 0 : srv->message_size;

    if (srv->esmtp && !smtp_server_offers(srv, SMTP_EXT_CHUNKING)) {
        return &UNSUPPORTED;
    }
    if (!srv->esmtp || (!begins && srv->state != SMTP_EXPECT_CHUNK)) {
        return &OUT_OF_ORDER;
    }
    return srv->chunk_left > srv->opts.max_message_bytes - size ? &smtp_too_big : NULL;
}

void smtp_server_swallow_chunk(mail_smtp_server *srv, smtp_state after, size_t held)
{
    srv->discards = true;
    srv->held = held;
    srv->after_chunk = after;
    srv->since = srv->now;
    srv->state = SMTP_EXPECT_OCTETS;
}

/* As many replies as the peer awaits: of the last chunk LMTP answers each recipient. */
uint32_t smtp_server_chunk_replies(const mail_smtp_server *srv)
{
    return srv->opts.lmtp && srv->chunk_is_last && srv->rcpt_count > 0 ? srv->rcpt_count : 1;
}

static int refuse(mail_smtp_server *srv, const mail_reply *reply, mail_smtp_event *ev)
{
    size_t before = buffer_length(&srv->out);
    smtp_state after = srv->state;
    int code = MAIL_OK;

    if (reply == &smtp_too_big) {
        for (uint32_t i = smtp_server_chunk_replies(srv); i > 1 && code == MAIL_OK; i--) {
            code = smtp_server_say(srv, reply);
        }
        srv->owed = smtp_server_end_transaction(srv);
        after = SMTP_EXPECT_MAIL;
    }
    if (code == MAIL_OK) {
        code = smtp_server_refuse(srv, reply, ev);
    }
    if (code == MAIL_OK && srv->state < SMTP_CLOSING) {
        smtp_server_swallow_chunk(srv, after, buffer_length(&srv->out) - before);
    }
    return code;
}

int smtp_server_on_bdat(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    const mail_reply *refusal;

    /* Nobody can tell where its octets end and the next command begins. */
    if (!parse(srv, arg)) {
        return smtp_server_hang_up(srv, &BAD_SYNTAX);
    }
    refusal = judge(srv);
    if (refusal != NULL) {
        return refuse(srv, refusal, ev);
    }
    if (srv->state == SMTP_EXPECT_DATA) {
        ev->by_bdat = true;
        srv->asked_by_bdat = true;
        return smtp_server_ask(srv, MAIL_SMTP_EV_DATA, ev);
    }
    srv->data_last = srv->now;
    srv->state = SMTP_EXPECT_OCTETS;
    return MAIL_OK;
}

static int end_chunk(mail_smtp_server *srv)
{
    srv->since = srv->now;
    if (srv->discards) {
        srv->discards = false;
        srv->state = srv->after_chunk;
        smtp_server_release(srv);
        return MAIL_OK;
    }
    if (srv->chunk_is_last) {
        srv->state = SMTP_EXPECT_VERDICT;
        return MAIL_OK;
    }
    srv->state = SMTP_EXPECT_CHUNK;
    return smtp_server_say(srv, &TAKEN);
}

int smtp_server_octets_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    size_t n = in.length < srv->chunk_left ? in.length : (size_t)srv->chunk_left;

    if (srv->chunk_left == 0) {
        return end_chunk(srv);
    }
    if (n == 0) {
        return MAIL_EAGAIN;
    }
    *used = n;
    srv->chunk_left -= n;
    srv->data_last = srv->now;
    if (!srv->discards) {
        srv->message_size += n;
        ev->type = MAIL_SMTP_EV_BODY;
        ev->body = mail_span_first(in, n);
    }
    return MAIL_OK;
}
