/* SPDX-License-Identifier: MIT */
/*
 * RFC 5321, section 4.2.1:
 *
 *     Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 */
#include <mail/reply.h>

#include "msg/clean.h"
#include "msg/reply_code.h"

/* A whole reply. Nobody means to send more; somebody may mean to fill our memory and log. */
#define REPLY_MAX_LENGTH 65536

void mail_reply_reader_init(mail_reply_reader *reader, char *text, size_t size)
{
    *reader = (mail_reply_reader){.text = text, .size = size};
}

static void add_text(mail_reply_reader *reader, mail_span line)
{
    if (reader->lines > 0 && reader->length < reader->size) {
        reader->text[reader->length++] = '\n';
    }
    reader->length +=
        clean_line(line, reader->text + reader->length, reader->size - reader->length);
}

/* The first line says what the reply is; those that follow must agree. */
static int take_line(mail_reply_reader *reader, mail_span line, bool *last)
{
    uint16_t status[3];
    uint16_t code;
    size_t n = reply_code_parse(line, &code);

    if (n == 0 || (line.length > n && line.data[n] != ' ' && line.data[n] != '-')) {
        return MAIL_EPROTO;
    }
    if (reader->lines > 0 && code != reader->code) {
        return MAIL_EPROTO;
    }
    *last = line.length == n || line.data[n] == ' ';
    line = mail_span_from(line, line.length > n ? n + 1 : n);
    line = mail_span_from(line, reply_status_parse(line, code, status));
    if (reader->status[0] == 0) {
        memcpy(reader->status, status, sizeof(status));
    }
    reader->code = code;
    add_text(reader, line);
    reader->lines++;
    return MAIL_OK;
}

int mail_reply_reader_line(mail_reply_reader *reader, mail_span line, mail_reply *reply, bool *done)
{
    int code;

    *done = false;
    reader->octets += line.length + 2;
    if (reader->octets > REPLY_MAX_LENGTH) {
        return MAIL_ELIMIT;
    }
    code = take_line(reader, line, done);
    if (code != MAIL_OK || !*done) {
        return code;
    }
    *reply = (mail_reply){
        .code = reader->code,
        .status = {reader->status[0], reader->status[1], reader->status[2]},
        .text = mail_span_of(reader->text, reader->length),
    };
    mail_reply_reader_init(reader, reader->text, reader->size);
    return MAIL_OK;
}
