/* SPDX-License-Identifier: MIT */
/*
 * The text of a message behind DATA (RFC 5321, section 4.5.2). It ends with the
 * five octets CRLF "." CRLF and with nothing else, whatever others may take for
 * a line end: who sees another end sees other commands (SMTP smuggling).
 *
 * A CR is used only together with the octet behind it, and a dot that begins a line only with
 * the two behind it, so that nothing has to be remembered but whether a line begins.
 */
#include "smtp/server.h"

#include "base/octets.h"

static const mail_reply BARE_NEWLINE = SMTP_REPLY(550, 5, 6, 0, "Lone CR or LF in the message");

/*
 * How much of `in` is lines that hold no lone CR or LF and, but for the first, do
 * not begin with a dot; a last piece without a line end counts.
 */
static size_t plain_length(mail_span in)
{
    const char *at = in.data + octets_plain(in);
    const char *end = in.data + in.length;

    if (at > in.data && at < end && at[-1] == '\n' && *at == '.') {
        return (size_t)(at - in.data);
    }

    while (at < end) {
        const char *cr = memchr(at, '\r', (size_t)(end - at));
        const char *stop = cr != NULL ? cr : end;
        const char *lf = memchr(at, '\n', (size_t)(stop - at));

        if (lf != NULL || cr == NULL) {
            at = lf != NULL ? lf : end;
            break;
        }
        if (end - cr < 2 || cr[1] != '\n') {
            at = cr;
            break;
        }
        at = cr + 2;
        if (at < end && *at == '.') {
            break;
        }
    }
    return (size_t)(at - in.data);
}

/* From here on the message is refused; its octets are swallowed, for so long and no longer. */
static int begin_to_discard(mail_smtp_server *srv, mail_smtp_event *ev)
{
    srv->discards = true;
    srv->since = srv->now;
    ev->type = MAIL_SMTP_EV_ABORT;
    return MAIL_OK;
}

/* Hands `text` on, or as much as the message may still have; a CRLF is never parted. */
static int give(mail_smtp_server *srv, mail_span text, size_t uses, size_t *used,
                mail_smtp_event *ev)
{
    uint64_t left = srv->opts.max_message_bytes - srv->message_size;

    if (srv->discards) {
        *used += uses;
        return MAIL_OK;
    }
    if (text.length > left) {
        size_t n = (size_t)left;

        n -= n > 0 && text.data[n - 1] == '\r' ? 1 : 0;
        if (n == 0 || uses != text.length) {
            return begin_to_discard(srv, ev);
        }
        text.length = n;
        uses = n;
    }
    *used += uses;
    srv->message_size += text.length;
    ev->type = MAIL_SMTP_EV_BODY;
    ev->body = text;
    return MAIL_OK;
}

/* A lone CR or LF: the end of the session, or a line end of the text that can't end the message. */
static int take_bare(mail_smtp_server *srv, size_t *used, mail_smtp_event *ev)
{
    srv->at_line_start = false;
    if (srv->discards || srv->opts.bare_newline == MAIL_BARE_NEWLINE_NORMALISE) {
        return give(srv, MAIL_SPAN("\r\n"), 1, used, ev);
    }
    return smtp_server_hang_up(srv, &BARE_NEWLINE);
}

/* LMTP answers each recipient (RFC 2033, section 4.2). */
static int refuse_all(mail_smtp_server *srv, mail_smtp_event *ev)
{
    uint32_t count = srv->opts.lmtp ? srv->rcpt_count : 1;

    for (uint32_t i = 1; i < count; i++) {
        int code = smtp_server_say(srv, &smtp_too_big);

        if (code != MAIL_OK) {
            return code;
        }
    }
    smtp_server_end_transaction(srv);
    ev->name = MAIL_SPAN("DATA");
    return smtp_server_refuse(srv, &smtp_too_big, ev);
}

static int end_message(mail_smtp_server *srv, mail_smtp_event *ev)
{
    srv->since = srv->now;
    if (srv->discards) {
        return refuse_all(srv, ev);
    }
    srv->state = SMTP_EXPECT_VERDICT;
    return MAIL_OK;
}

/* A dot that begins a line: the end, or one that was added on the way. */
static int take_dot(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    static const char dot_line[] = ".\r\n";

    if (in.length < 3 && memcmp(in.data, dot_line, in.length) == 0) {
        return MAIL_EAGAIN;
    }
    if (in.length >= 3 && memcmp(in.data, dot_line, 3) == 0) {
        *used += 3;
        return end_message(srv, ev);
    }
    *used += 1;
    srv->at_line_start = false;
    return MAIL_OK;
}

int smtp_server_dot_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    size_t length;
    int code;

    if (in.length == 0) {
        return MAIL_EAGAIN;
    }
    srv->data_last = srv->now;
    if (srv->at_line_start && in.data[0] == '.') {
        return take_dot(srv, in, used, ev);
    }
    length = plain_length(in);
    if (length == 0) {
        return in.data[0] == '\r' && in.length < 2 ? MAIL_EAGAIN : take_bare(srv, used, ev);
    }
    code = give(srv, mail_span_first(in, length), length, used, ev);
    srv->at_line_start = *used > 0 && in.data[*used - 1] == '\n';
    return code;
}
