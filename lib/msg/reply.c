/* SPDX-License-Identifier: MIT */
#include <mail/reply.h>

#include <stdio.h>

#include "msg/clean.h"
#include "msg/reply_code.h"

/* What a line may hold before its CRLF (RFC 5321, section 4.5.3.1.5). */
#define LINE_MAX_LENGTH 510

/* `550 5.1.1 ` with the longest of codes and its NUL. */
#define PREFIX_SIZE 32

/* Code, separator and enhanced code; returns the length. */
static size_t print_prefix(const mail_reply *reply, char separator, bool enhanced,
                           char out[PREFIX_SIZE])
{
    const uint16_t *status = reply->status;

    if (!enhanced || status[0] == 0) {
        return (size_t)snprintf(out, PREFIX_SIZE, "%03u%c", reply->code, separator);
    }
    return (size_t)snprintf(out, PREFIX_SIZE, "%03u%c%u.%u.%u ", reply->code, separator, status[0],
                            status[1], status[2]);
}

size_t mail_reply_print(const mail_reply *reply, char *out, size_t size)
{
    char prefix[PREFIX_SIZE];
    size_t length = reply->code != 0 ? print_prefix(reply, ' ', true, prefix) : 0;

    if (size == 0) {
        return 0;
    }
    if (length >= size) {
        length = size - 1;
    }
    memcpy(out, prefix, length);
    length += clean_line(reply->text, out + length, size - 1 - length);
    while (length > 0 && out[length - 1] == ' ') {
        length--;
    }
    out[length] = '\0';
    return length;
}

int mail_reply_parse(mail_span text, mail_reply *reply)
{
    size_t n = reply_code_parse(text, &reply->code);

    *reply = (mail_reply){.code = reply->code};
    if (n == 0 || (text.length > n && text.data[n] != ' ')) {
        return MAIL_EINVAL;
    }
    text = mail_span_from(text, text.length > n ? n + 1 : n);
    reply->text = mail_span_from(text, reply_status_parse(text, reply->code, reply->status));
    return MAIL_OK;
}

/* How much of `text`, one line, goes on a line of `room` octets: up to a blank if there is one. */
static size_t fold_at(mail_span text, size_t room)
{
    if (text.length <= room) {
        return text.length;
    }
    for (size_t n = room; n > 0; n--) {
        if (text.data[n] == ' ') {
            return n;
        }
    }
    /* Not inside a UTF-8 character, which becomes one `?`. */
    while (room > 1 && ((unsigned char)text.data[room] & 0xc0) == 0x80) {
        room--;
    }
    return room;
}

/* What is written, and how long it would be if all of it fitted. */
typedef struct writer {
    char *out;
    size_t size;
    size_t length;
} writer;

static void put(writer *wr, const char *bytes, size_t n)
{
    if (wr->length < wr->size && n <= wr->size - wr->length) {
        memcpy(wr->out + wr->length, bytes, n);
    }
    wr->length += n;
}

/*
 * Nothing says whether this peer may be sent UTF-8 (RFC 6531, section 3.7.4), so
 * that none is.
 */
static void put_line(writer *wr, const mail_reply *reply, bool enhanced, mail_span text, bool last)
{
    char line[LINE_MAX_LENGTH + 2];
    size_t length = print_prefix(reply, last ? ' ' : '-', enhanced, line);

    length += clean_ascii(text, line + length, LINE_MAX_LENGTH - length);
    while (line[length - 1] == ' ') {
        length--;
    }
    line[length++] = '\r';
    line[length++] = '\n';
    put(wr, line, length);
}

int mail_reply_write(const mail_reply *reply, bool enhanced, char *out, size_t size,
                     size_t *length_out)
{
    char prefix[PREFIX_SIZE];
    size_t room = LINE_MAX_LENGTH - print_prefix(reply, ' ', enhanced, prefix);
    writer wr = {out, size, 0};
    mail_span rest = reply->text;
    bool last;

    do {
        const char *end = rest.length > 0 ? memchr(rest.data, '\n', rest.length) : NULL;
        mail_span line =
            mail_span_first(rest, end != NULL ? (size_t)(end - rest.data) : rest.length);
        size_t n = fold_at(line, room);
        bool folded = n < line.length;

        last = !folded && end == NULL;
        put_line(&wr, reply, enhanced, mail_span_first(line, n), last);
        /* The blank that is folded at, or the line end. */
        n += !last && (!folded || rest.data[n] == ' ') ? 1 : 0;
        rest = mail_span_from(rest, n);
    } while (!last);
    *length_out = wr.length;
    return wr.length <= size ? MAIL_OK : MAIL_ELIMIT;
}
