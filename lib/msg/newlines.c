/* SPDX-License-Identifier: MIT */
/*
 * What a slice ends with may belong to a line end, or to the line of one dot, that
 * the next slice completes; so much is held back, at most a dot and a CR:
 *
 *     START --.--> DOT --CR--> DOT_CR        at the start of a line, when a dot ends the text
 *     START, MIDDLE --CR--> CR
 */
#include <mail/compose.h>

enum held {
    START,
    MIDDLE,
    CR,
    DOT,
    DOT_CR
};

void mail_newlines_init(mail_newlines *newlines)
{
    *newlines = (mail_newlines){0};
}

static size_t put(char *out, const char *text)
{
    size_t n = strlen(text);

    memcpy(out, text, n);
    return n;
}

/* One octet where something is held, at the start of a line, or CR. At most 4 octets come out. */
static size_t step(mail_newlines *newlines, char c, char *out)
{
    size_t n = 0;

    if (c == '\n') {
        if (newlines->held == DOT || newlines->held == DOT_CR) {
            newlines->ended = true;
        } else {
            n = put(out, "\r\n");
        }
        newlines->held = START;
        return n;
    }
    if (newlines->held == DOT || newlines->held == DOT_CR) {
        n += put(out + n, ".");
    }
    if (newlines->held == CR || newlines->held == DOT_CR) {
        n += put(out + n, "\r");
        newlines->has_bare_cr = true;
    }
    if (c == '\r') {
        newlines->held = newlines->held == DOT ? DOT_CR : CR;
        return newlines->held == DOT_CR ? 0 : n;
    }
    if (c == '.' && newlines->held == START && newlines->dot_ends) {
        newlines->held = DOT;
        return n;
    }
    out[n++] = c;
    newlines->held = MIDDLE;
    return n;
}

/* How much of `in` may be copied as it is: up to the next CR or LF, at most `size`. */
static size_t plain_length(mail_span in, size_t size)
{
    size_t n = in.length < size ? in.length : size;
    const char *lf = memchr(in.data, '\n', n);
    const char *cr;

    n = lf != NULL ? (size_t)(lf - in.data) : n;
    cr = n > 0 ? memchr(in.data, '\r', n) : NULL;
    return cr != NULL ? (size_t)(cr - in.data) : n;
}

size_t mail_newlines_convert(mail_newlines *newlines, mail_span in, size_t *used, char *out,
                             size_t size)
{
    size_t length = 0;
    size_t at = 0;

    while (at < in.length && size - length >= 4 && !newlines->ended) {
        if (newlines->held == MIDDLE) {
            size_t n = plain_length(mail_span_from(in, at), size - length - 3);

            memcpy(out + length, in.data + at, n);
            length += n;
            at += n;
            if (at == in.length || size - length < 4) {
                break;
            }
        }
        length += step(newlines, in.data[at++], out + length);
    }
    *used = at;
    return length;
}

size_t mail_newlines_end(mail_newlines *newlines, char out[4])
{
    size_t n = 0;

    if (newlines->held == DOT || newlines->held == DOT_CR) {
        /* A dot and the end of the text: the line end alone is missing. */
        newlines->ended = true;
        newlines->held = START;
        return 0;
    }
    if (newlines->held == CR) {
        n = put(out, "\r");
        newlines->has_bare_cr = true;
    }
    if (newlines->held != START) {
        n += put(out + n, "\r\n");
    }
    newlines->held = START;
    return n;
}
