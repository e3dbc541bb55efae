/* SPDX-License-Identifier: MIT */
/*
 * A message on its way from the mailbox to the engine, in pieces that workers read: the next one
 * when the last one has gone.
 */
#include "net/pop3_session.h"

/* Of a header, octets that are looked at for UTF-8. Nobody's is longer. */
#define MAX_HEADER ((size_t)1 << 20)

/* On a worker. */

int pop3_pieces_read(pop3_session *ss)
{
    return mail_source_peek(ss->message, &ss->piece);
}

/* Looks through `bytes` up to the end of the header; false: there is more of it to come. */
static bool scan_header(mail_span bytes, bool *is_blank, bool *has_utf8)
{
    for (size_t i = 0; i < bytes.length; i++) {
        char c = bytes.data[i];

        *has_utf8 = *has_utf8 || (unsigned char)c >= 0x80;
        if (*has_utf8 || (c == '\n' && *is_blank)) {
            return true;
        }
        *is_blank = c == '\n' || (*is_blank && c == '\r');
    }
    return bytes.length == 0; /* the end of the message */
}

/* Whether the header has more than ASCII: then only who has asked for UTF8 may see it. */
static int check_header(pop3_session *ss)
{
    bool is_blank = true;
    size_t scanned = 0;
    int code = MAIL_OK;
    mail_span bytes;

    do {
        code = mail_source_peek(ss->message, &bytes);
        if (code != MAIL_OK || scan_header(bytes, &is_blank, &ss->needs_utf8)) {
            break;
        }
        scanned += bytes.length;
        mail_source_drop(ss->message, bytes.length);
    } while (scanned < MAX_HEADER);
    mail_source_close(ss->message);
    ss->message = NULL;
    return code;
}

int pop3_pieces_open(pop3_session *ss)
{
    int code = mail_mailbox_read(ss->mailbox, ss->index, &ss->message);

    if (code == MAIL_OK && ss->needs_ascii) {
        code = check_header(ss);
        if (code == MAIL_OK && !ss->needs_utf8) {
            code = mail_mailbox_read(ss->mailbox, ss->index, &ss->message);
        }
    }
    return code == MAIL_OK && !ss->needs_utf8 ? pop3_pieces_read(ss) : code;
}

/* Back on the loop. */

void pop3_pieces_close(pop3_session *ss)
{
    if (ss->message != NULL) {
        mail_source_close(ss->message);
        ss->message = NULL;
        ss->piece = MAIL_SPAN("");
    }
}

/*
 * The message as the engine sees it: pieces that workers have read. Only what can be
 * nothing but the end is looked for at once, which takes no disk.
 */
static int pieces_peek(mail_source *source, mail_span *out)
{
    pop3_session *ss = LIST_OWNER(source, pop3_session, pieces);

    if (ss->job == JOB_NONE && ss->job_code == MAIL_OK && ss->piece.length == 0 && !ss->at_end) {
        if (ss->message_left == 0) {
            ss->job_code = pop3_pieces_read(ss);
        } else {
            pop3_session_start_job(ss, JOB_PIECE);
        }
    }
    if (ss->job != JOB_NONE) {
        return MAIL_EAGAIN;
    }
    ss->at_end = ss->piece.length == 0;
    *out = ss->piece;
    return ss->job_code;
}

static void pieces_drop(mail_source *source, size_t n)
{
    pop3_session *ss = LIST_OWNER(source, pop3_session, pieces);

    mail_source_drop(ss->message, n);
    ss->piece = mail_span_from(ss->piece, n);
    ss->message_left -= n < ss->message_left ? n : ss->message_left;
}

static void pieces_close(mail_source *source)
{
    (void)source;
}

/* Moves the message on, as far as the engine has room and pieces lie at hand. */
void pop3_pieces_send(pop3_session *ss)
{
    mail_log_field fields[3] = {
        {.key = "client"}, {"user", mail_span_text(ss->user)}, {.key = "reason"}};
    int code;

    if (ss->job != JOB_NONE || ss->message == NULL ||
        (mail_pop3_server_wants(ss->engine) & MAIL_POP3_WANTS_MESSAGE) == 0) {
        return;
    }
    code = mail_pop3_server_send(ss->engine, pop3_session_now(ss), &ss->pieces);
    if (code == MAIL_EAGAIN) {
        return;
    }
    pop3_pieces_close(ss);
    if (code != MAIL_OK) {
        fields[2].value = mail_span_text(mail_strerror(code));
        pop3_session_log(ss, MAIL_LOG_ERROR, "message broken off", fields, 3);
    }
}

void pop3_pieces_opened(pop3_session *ss)
{
    if (ss->is_over) {
        return;
    }
    if (ss->job_code != MAIL_OK) {
        pop3_pieces_close(ss);
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP,
                            ss->job_code == MAIL_ENOENT ? "the message has vanished"
                                                        : "the message can't be read now");
        return;
    }
    if (ss->needs_utf8) {
        pop3_session_refuse(ss, MAIL_POP3_UTF8, "this message can be read after UTF8 only");
        return;
    }
    ss->at_end = false;
    ss->message_left = ss->mailbox->messages[ss->index].size;
    pop3_session_accept(ss);
    pop3_pieces_send(ss);
}

void pop3_pieces_begin(pop3_session *ss, const mail_pop3_event *ev)
{
    ss->index = ev->index;
    ss->needs_ascii = ev->needs_ascii;
    ss->needs_utf8 = false;
    ss->retrieved += ev->lines == MAIL_POP3_ALL_LINES;
    if (!pop3_session_start_job(ss, JOB_MESSAGE)) {
        pop3_pieces_opened(ss);
    }
}

void pop3_pieces_init(pop3_session *ss)
{
    static const mail_source_ops ops = {pieces_peek, pieces_drop, pieces_close};

    ss->pieces.ops = &ops;
}
