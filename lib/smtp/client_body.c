/* SPDX-License-Identifier: MIT */
/*
 * The message on its way into `out`: under DATA with its dots doubled, or as chunks.
 *
 * A chunk is gathered in `out` and sent once its length is known: at the end of the
 * message, or when nothing else is left to send and the chunk has grown large. A
 * short message thus leaves with its envelope in a single write.
 */
#include "smtp/client.h"

#include <stdio.h>

#include "base/list.h"

/* The room that the end of a message may need: CRLF . CRLF, or CRLF in the last chunk. */
#define DATA_END  5
#define CHUNK_END 2

static mail_smtp_client *client_of(mail_sink *sink)
{
    return LIST_OWNER(sink, mail_smtp_client, body);
}

static size_t body_room(mail_sink *sink)
{
    mail_smtp_client *cl = client_of(sink);
    size_t room = smtp_wire_chunk_room(&cl->wire);

    if (cl->state != SMTP_CLIENT_AWAIT_BODY || cl->tx.is_whole || cl->tx.broken != MAIL_OK) {
        return 0;
    }
    if (cl->tx.by_bdat) {
        return room > CHUNK_END ? room - CHUNK_END : 0;
    }
    room = buffer_room(&cl->wire.out);
    return room > DATA_END ? stuff_fit(room - DATA_END) : 0;
}

static int write_line_octets(mail_smtp_client *cl, mail_span bytes)
{
    char *to = smtp_wire_space(&cl->wire, stuff_bound(bytes.length));
    size_t length;

    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    length = stuff_copy(&cl->tx.line, bytes, to);
    if (cl->tx.line == STUFF_BROKEN) {
        return MAIL_EINVAL;
    }
    smtp_wire_commit(&cl->wire, length);
    return MAIL_OK;
}

static int write_chunk_octets(mail_smtp_client *cl, mail_span bytes)
{
    char *to;

    if (!cl->tx.content.has_nul && !stuff_check(&cl->tx.line, bytes)) {
        return MAIL_EINVAL;
    }
    to = smtp_wire_chunk_space(&cl->wire, bytes.length);
    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(to, bytes.data, bytes.length);
    smtp_wire_chunk_added(&cl->wire, bytes.length);
    return MAIL_OK;
}

static int body_write(mail_sink *sink, mail_span bytes)
{
    mail_smtp_client *cl = client_of(sink);

    if (cl->state != SMTP_CLIENT_AWAIT_BODY || cl->tx.is_whole) {
        return MAIL_ECONN;
    }
    if (cl->tx.broken == MAIL_OK && bytes.length > 0) {
        cl->tx.broken =
            cl->tx.by_bdat ? write_chunk_octets(cl, bytes) : write_line_octets(cl, bytes);
        smtp_body_flush(cl);
    }
    return cl->tx.broken;
}

/* All of the message is queued; only replies are missing now. */
static void end_message(mail_smtp_client *cl)
{
    smtp_wire_expect(&cl->wire, SMTP_COMMAND_END, 0);
    cl->tx.end = cl->wire.queued;
    cl->state = SMTP_CLIENT_AWAIT_REPLIES;
}

static int finish_data(mail_smtp_client *cl)
{
    mail_span end = cl->tx.line == STUFF_LINE_START ? MAIL_SPAN(".\r\n") : MAIL_SPAN("\r\n.\r\n");
    char *to = smtp_wire_space(&cl->wire, end.length);

    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(to, end.data, end.length);
    smtp_wire_commit(&cl->wire, end.length);
    end_message(cl);
    return MAIL_OK;
}

/* The last chunk may have to wait for room, or for replies. */
static int finish_chunks(mail_smtp_client *cl)
{
    cl->tx.is_whole = true;
    smtp_body_flush(cl);
    return cl->state == SMTP_CLIENT_CLOSED ? MAIL_ENOMEM : MAIL_OK;
}

static void body_abort(mail_sink *sink)
{
    mail_smtp_client *cl = client_of(sink);
    mail_reply reply = MAIL_REPLY(451, 4, 3, 0, "The message was cut off on our side");
    smtp_verdict verdict;

    if (cl->state != SMTP_CLIENT_AWAIT_BODY || cl->tx.is_whole) {
        return;
    }
    if (cl->tx.broken == MAIL_EINVAL) {
        reply = MAIL_REPLY(554, 5, 6, 0, "The message has a NUL, or a CR or LF that stands alone");
    }
    verdict = smtp_outcomes_verdict(&cl->outcomes,
                                    mail_reply_is_permanent(&reply) ? MAIL_OUTCOME_PERMANENT
                                                                    : MAIL_OUTCOME_TRANSIENT,
                                    true, &reply);
    smtp_outcomes_decide_rest(&cl->outcomes, &verdict);
    smtp_client_fail(cl, &reply, true);
}

static int body_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    mail_smtp_client *cl = client_of(sink);

    (void)fn;
    (void)arg;
    if (cl->state != SMTP_CLIENT_AWAIT_BODY || cl->tx.is_whole) {
        return MAIL_ECONN;
    }
    if (cl->tx.line == STUFF_AFTER_CR) {
        cl->tx.broken = MAIL_EINVAL;
    }
    if (cl->tx.broken == MAIL_OK) {
        cl->tx.broken = cl->tx.by_bdat ? finish_chunks(cl) : finish_data(cl);
    }
    if (cl->tx.broken != MAIL_OK) {
        body_abort(sink);
    }
    return cl->tx.broken;
}

const mail_sink_ops smtp_body_ops = {body_room, body_write, body_finish, body_abort};

void smtp_body_open(mail_smtp_client *cl)
{
    cl->state = SMTP_CLIENT_AWAIT_BODY;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_BODY);
}

/* RFC 3030, section 4.2: chunks may be pipelined if anything may. */
static bool may_send_chunk(const mail_smtp_client *cl)
{
    const smtp_wire *wire = &cl->wire;

    if (!cl->offer.pipelining) {
        return wire->count == 0;
    }
    return wire->count + (cl->tx.is_whole ? 0 : 1) < wire->capacity;
}

static bool is_chunk_due(const mail_smtp_client *cl)
{
    return cl->tx.is_whole ||
           (smtp_wire_out(&cl->wire).length == 0 && cl->wire.open >= cl->wire.out.limit / 2);
}

/* Opens a last chunk if there is none, and ends its last line; false: not now. */
static bool end_last_chunk(mail_smtp_client *cl)
{
    mail_span end = cl->tx.line == STUFF_LINE_START ? MAIL_SPAN("") : MAIL_SPAN("\r\n");
    char *to;

    if (!smtp_wire_takes_chunk(&cl->wire, end.length)) {
        return false;
    }
    to = smtp_wire_chunk_space(&cl->wire, end.length);
    if (to == NULL) {
        smtp_client_fail_memory(cl);
        return false;
    }
    memcpy(to, end.data, end.length);
    smtp_wire_chunk_added(&cl->wire, end.length);
    return true;
}

static void send_chunk(mail_smtp_client *cl)
{
    bool is_last = cl->tx.is_whole;
    char header[SMTP_WIRE_CHUNK_HEADER + 1];
    int length = snprintf(header, sizeof(header), "BDAT %zu%s\r\n",
                          cl->wire.open - SMTP_WIRE_CHUNK_HEADER, is_last ? " LAST" : "");

    smtp_wire_chunk_close(&cl->wire, mail_span_of(header, (size_t)length));
    if (is_last) {
        end_message(cl);
    } else {
        smtp_wire_expect(&cl->wire, SMTP_COMMAND_BDAT, 0);
    }
}

void smtp_body_flush(mail_smtp_client *cl)
{
    bool has_chunk = cl->state == SMTP_CLIENT_AWAIT_BODY && cl->tx.by_bdat &&
                     cl->tx.broken == MAIL_OK && is_chunk_due(cl) && may_send_chunk(cl);

    if (has_chunk && (!cl->tx.is_whole || end_last_chunk(cl))) {
        send_chunk(cl);
    }
}

bool smtp_body_fits(const mail_smtp_client *cl, uint64_t size)
{
    size_t room = smtp_wire_chunk_room(&cl->wire);

    return room > CHUNK_END && size <= room - CHUNK_END;
}

void smtp_body_cut(mail_smtp_client *cl)
{
    if (cl->state == SMTP_CLIENT_AWAIT_BODY) {
        smtp_wire_chunk_drop(&cl->wire);
        cl->due &= ~(1U << MAIL_SMTP_CLIENT_BODY);
        cl->state = SMTP_CLIENT_AWAIT_REPLIES;
    }
}
