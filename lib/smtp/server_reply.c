/* SPDX-License-Identifier: MIT */
#include "msg/chars.h"
#include "smtp/server.h"

/* From this error on a refusal is delayed: who guesses shall not guess fast. */
#define DELAYED_FROM 5

/* What is cut from the embedder's text in a greeting, so that the whole fits a line. */
#define NAME_TEXT_MAX 200

const mail_reply smtp_too_big = SMTP_REPLY(552, 5, 3, 4, "Message too big");

const mail_reply smtp_too_much = SMTP_REPLY(421, 4, 7, 0, "Enough for one session, connect anew");

static const mail_reply TOO_MANY_ERRORS = SMTP_REPLY(421, 4, 7, 0, "Too many errors, closing");

/* What can be written as it is, on one line: what nearly all replies are. */
static bool is_plain(const mail_reply *reply)
{
    bool plain = reply->text.length < 400 && reply->status[1] < 10 && reply->status[2] < 10;

    for (size_t i = 0; plain && i < reply->text.length; i++) {
        plain = char_is_printable(reply->text.data[i]);
    }
    return plain;
}

/* `250 2.1.0 OK` and CRLF; `separator` is a blank, or a hyphen when more lines follow. */
static int write_plain(mail_smtp_server *srv, const mail_reply *reply, bool enhanced,
                       char separator)
{
    char *start = buffer_space(&srv->out, reply->text.length + 12);
    char *to = start;

    if (start == NULL) {
        return MAIL_ENOMEM;
    }
    *to++ = (char)('0' + reply->code / 100);
    *to++ = (char)('0' + reply->code / 10 % 10);
    *to++ = (char)('0' + reply->code % 10);
    *to++ = separator;
    for (size_t i = 0; enhanced && i < 3; i++) {
        *to++ = (char)('0' + reply->status[i]);
        *to++ = i < 2 ? '.' : ' ';
    }
    if (reply->text.length > 0) {
        memcpy(to, reply->text.data, reply->text.length);
        to += reply->text.length;
    }
    *to++ = '\r';
    *to++ = '\n';
    buffer_added(&srv->out, (size_t)(to - start));
    return MAIL_OK;
}

static int write_any(mail_smtp_server *srv, const mail_reply *reply, bool enhanced)
{
    size_t size = reply->text.length + 32; /* enough for all that have one line */
    size_t length;
    char *to = buffer_space(&srv->out, size);

    if (to != NULL && mail_reply_write(reply, enhanced, to, size, &length) == MAIL_ELIMIT) {
        size = length;
        to = buffer_space(&srv->out, size);
        if (to != NULL) {
            mail_reply_write(reply, enhanced, to, size, &length);
        }
    }
    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    buffer_added(&srv->out, length);
    return MAIL_OK;
}

/* RFC 2034, section 4: behind EHLO each reply but 3yz has an enhanced code, of its own class. */
int smtp_server_say(mail_smtp_server *srv, const mail_reply *reply)
{
    uint16_t class = reply->code / 100;
    bool enhanced = srv->esmtp && class != 3;
    mail_reply repaired = *reply;

    if (enhanced && repaired.status[0] != class) {
        repaired.status[0] = class;
        repaired.status[1] = 0;
        repaired.status[2] = 0;
    }
    return is_plain(&repaired) ? write_plain(srv, &repaired, enhanced, ' ')
                               : write_any(srv, &repaired, enhanced);
}

int smtp_server_say_keyword(mail_smtp_server *srv, mail_span text, bool is_last)
{
    return write_plain(srv, &(mail_reply){.code = 250, .text = text}, false, is_last ? ' ' : '-');
}

/* RFC 2034, section 3: neither the greeting nor the reply to EHLO has enhanced codes. */
int smtp_server_say_name(mail_smtp_server *srv, uint16_t code, mail_span text, bool is_last)
{
    size_t length = text.length < NAME_TEXT_MAX ? text.length : NAME_TEXT_MAX;
    size_t at = srv->opts.hostname.length;
    char line[256 + NAME_TEXT_MAX];

    memcpy(line, srv->hostname, at);
    if (length > 0) {
        line[at++] = ' ';
    }
    for (size_t i = 0; i < length; i++) {
        line[at++] = char_is_printable(text.data[i]) ? text.data[i] : '?';
    }
    return write_plain(srv, &(mail_reply){.code = code, .text = mail_span_of(line, at)}, false,
                       is_last ? ' ' : '-');
}

/* Refusals that are the peer's fault, and not those of a limit that an honest one may meet. */
static bool is_error(const mail_reply *reply)
{
    return reply->code >= 500 && reply->code != 552;
}

int smtp_server_refuse(mail_smtp_server *srv, const mail_reply *reply, mail_smtp_event *ev)
{
    size_t before = buffer_length(&srv->out);
    int code;

    srv->refusal_length = 0;
    if (is_error(reply) && ++srv->errors >= srv->opts.max_errors) {
        return smtp_server_hang_up(srv, &TOO_MANY_ERRORS);
    }
    code = smtp_server_say(srv, reply);
    srv->refusal_length = buffer_length(&srv->out) - before;
    if (is_error(reply) && srv->errors >= DELAYED_FROM && srv->opts.error_delay > 0) {
        mail_smtp_server_delay(srv, srv->now + srv->opts.error_delay);
    }
    ev->type = MAIL_SMTP_EV_REFUSED;
    ev->reply = reply;
    ev->is_consequence = srv->was_refused && reply->code == 503;
    srv->was_refused = true;
    return code;
}

void mail_smtp_server_delay(mail_smtp_server *srv, mail_time when)
{
    if (srv->refusal_length == 0 || srv->refusal_length > buffer_length(&srv->out) ||
        when <= srv->now) {
        return;
    }
    if (srv->held == 0 || when > srv->release_at) {
        srv->release_at = when;
    }
    srv->held = srv->refusal_length;
}

int smtp_server_hang_up(mail_smtp_server *srv, const mail_reply *reply)
{
    int code = smtp_server_say(srv, reply);

    smtp_server_close(srv, reply);
    return code;
}

bool smtp_server_bears_command(mail_smtp_server *srv)
{
    return srv->commands++ < srv->opts.max_commands && srv->octets <= srv->opts.max_session_bytes &&
           !smtp_server_is_old(srv);
}

bool smtp_server_bears_junk(mail_smtp_server *srv)
{
    return srv->junk++ < srv->opts.max_junk;
}

void smtp_server_release(mail_smtp_server *srv)
{
    if (srv->held > 0 && !srv->discards && srv->now >= srv->release_at) {
        srv->held = 0;
    }
}
