/* SPDX-License-Identifier: MIT */
#include <mail/encode.h>

#include "msg/chars.h"
#include "msg/hex.h"

/* A line holds 76 octets with the `=` of a soft line break (RFC 2045, section 6.7). */
#define LINE_MAX_LENGTH 75

typedef struct writer {
    char *out;
    size_t length;
    size_t column;
} writer;

/* Writes one octet as itself or as a code, on a new line if need be. */
static void put(writer *wr, char c, bool coded)
{
    size_t n = coded ? 3 : 1;

    if (wr->column + n > LINE_MAX_LENGTH) {
        memcpy(wr->out + wr->length, "=\r\n", 3);
        wr->length += 3;
        wr->column = 0;
    }
    if (coded) {
        wr->out[wr->length] = '=';
        hex_write((unsigned char)c, wr->out + wr->length + 1);
    } else {
        wr->out[wr->length] = c;
    }
    wr->length += n;
    wr->column += n;
}

/* The length of the line end at the start of `text`; 0: none. */
static size_t line_end(mail_span text)
{
    if (text.length > 0 && text.data[0] == '\n') {
        return 1;
    }
    return text.length > 1 && text.data[0] == '\r' && text.data[1] == '\n' ? 2 : 0;
}

static bool must_be_coded(mail_span rest, bool at_start)
{
    char c = rest.data[0];

    if (char_is_wsp(c)) {
        return rest.length == 1 || line_end(mail_span_from(rest, 1)) > 0;
    }
    if (at_start && c == '.') {
        return true;
    }
    if (at_start && rest.length >= 5 && memcmp(rest.data, "From ", 5) == 0) {
        return true;
    }
    return !char_is_printable(c) || c == '=';
}

size_t mail_qp_encode(mail_span in, char *out)
{
    writer wr = {out, 0, 0};

    while (in.length > 0) {
        size_t n = line_end(in);

        if (n > 0) {
            memcpy(out + wr.length, "\r\n", 2);
            wr.length += 2;
            wr.column = 0;
        } else {
            /* What follows a soft line break starts a line as well. */
            bool at_start = wr.column == 0 || wr.column == LINE_MAX_LENGTH;

            put(&wr, in.data[0], must_be_coded(in, at_start));
            n = 1;
        }
        in = mail_span_from(in, n);
    }
    return wr.length;
}

/* A soft line break, blanks before its line end allowed; its length, 0: none. */
static size_t soft_break(mail_span text)
{
    size_t n = 1;
    size_t end;

    while (n < text.length && char_is_wsp(text.data[n])) {
        n++;
    }
    end = line_end(mail_span_from(text, n));
    return end > 0 ? n + end : 0;
}

size_t mail_qp_decode(mail_span in, char *out)
{
    size_t length = 0;

    while (in.length > 0) {
        size_t n = in.data[0] == '=' ? soft_break(in) : 0;
        int value = in.data[0] == '=' && in.length >= 3 ? hex_read(in.data + 1) : -1;

        if (value >= 0) {
            out[length++] = (char)value;
            n = 3;
        } else if (n == 0) {
            out[length++] = in.data[0];
            n = 1;
        }
        in = mail_span_from(in, n);
    }
    return length;
}
