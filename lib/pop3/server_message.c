/* SPDX-License-Identifier: MIT */
#include "pop3/server.h"

#include <assert.h>
#include <inttypes.h>

/* What the end of a message may need: a CRLF, the dot. */
#define END_ROOM 16

int pop3_message_begin(mail_pop3_server *srv)
{
    if (srv->message.lines_left != MAIL_POP3_ALL_LINES) {
        return pop3_say(srv, "+OK");
    }
    return pop3_say(srv, "+OK %" PRIu64 " octets", srv->messages[srv->message.index].size);
}

/*
 * How much of `bytes` TOP still wants: up to the end of the header and of the last line
 * of the body. `*enough_out` says that this is all.
 */
static size_t wanted_by_top(pop3_message *msg, mail_span bytes, bool *enough_out)
{
    size_t length = 0;

    while (length < bytes.length && !*enough_out) {
        const char *at = bytes.data + length;
        const char *lf = memchr(at, '\n', bytes.length - length);
        size_t n = lf != NULL ? (size_t)(lf - at) : bytes.length - length;

        msg->is_blank = msg->is_blank && (n == 0 || (n == 1 && *at == '\r'));
        length += n;
        if (lf == NULL) {
            break;
        }
        length++;
        if (!msg->in_header) {
            msg->lines_left--;
        }
        msg->in_header = msg->in_header && !msg->is_blank;
        msg->is_blank = true;
        *enough_out = !msg->in_header && msg->lines_left == 0;
    }
    return length;
}

/*
 * Copies `in` to `out` with a second dot before each that begins a line (RFC 1939,
 * section 3), and returns the length. Dots are rarer than lines: so look for them.
 */
static size_t stuff(pop3_message *msg, mail_span in, char *out)
{
    const char *end = in.data + in.length;
    const char *from = in.data; /* not copied yet */
    const char *at = in.data;   /* not looked at yet */
    char *to = out;

    while (at < end) {
        const char *dot = memchr(at, '.', (size_t)(end - at));

        if (dot == NULL) {
            break;
        }
        at = dot + 1;
        if ((dot > in.data ? dot[-1] : msg->last) == '\n') {
            memcpy(to, from, (size_t)(at - from));
            to += at - from;
            from = dot; /* once more */
        }
    }
    memcpy(to, from, (size_t)(end - from));
    to += end - from;
    msg->last = end[-1];
    return (size_t)(to - out);
}

static int put_bytes(mail_pop3_server *srv, mail_span bytes)
{
    char *to = buffer_space(&srv->out, 2 * bytes.length);

    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    buffer_added(&srv->out, stuff(&srv->message, bytes, to));
    return MAIL_OK;
}

static int end_message(mail_pop3_server *srv)
{
    int code = MAIL_OK;

    srv->state = EXPECT_COMMAND;
    if (srv->message.last != '\n') {
        code = buffer_append(&srv->out,
                             srv->message.last == '\r' ? MAIL_SPAN("\n") : MAIL_SPAN("\r\n"));
    }
    return code == MAIL_OK ? pop3_say(srv, ".") : code;
}

/* Moves the next piece. `*enough_out`: it was the last. */
static int move_piece(mail_pop3_server *srv, mail_source *source, bool *enough_out)
{
    size_t room = (buffer_room(&srv->out) - END_ROOM) / 2; /* every octet might be a dot */
    mail_span bytes;
    int code = mail_source_peek(source, &bytes);

    if (code != MAIL_OK) {
        return code;
    }
    *enough_out = bytes.length == 0;
    bytes.length = bytes.length < room ? bytes.length : room;
    if (srv->message.lines_left != MAIL_POP3_ALL_LINES) {
        bytes.length = wanted_by_top(&srv->message, bytes, enough_out);
    }
    if (bytes.length > 0) {
        code = put_bytes(srv, bytes);
        mail_source_drop(source, bytes.length);
    }
    return code;
}

int mail_pop3_server_send(mail_pop3_server *srv, mail_time now, mail_source *source)
{
    bool enough = false;
    int code = MAIL_OK;

    if (srv->state == CLOSING) {
        return MAIL_ECANCELED; /* forced down */
    }
    assert(srv->state == EXPECT_MESSAGE);
    while (code == MAIL_OK && !enough) {
        if (buffer_room(&srv->out) < POP3_PIECE_ROOM) {
            return MAIL_EAGAIN;
        }
        code = move_piece(srv, source, &enough);
    }
    if (code == MAIL_OK) {
        srv->active_at = now;
        code = end_message(srv);
    }
    if (code != MAIL_OK && code != MAIL_EAGAIN) {
        srv->state = CLOSING;
    }
    return code;
}
