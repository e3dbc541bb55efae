/* SPDX-License-Identifier: MIT */
/* xtext of RFC 3461, section 4: printable ASCII, the rest as `+` and two digits. */
#include <mail/envelope.h>

#include "msg/chars.h"

static const char digits[] = "0123456789ABCDEF";

/* Upper case only, as the grammar has it; -1: no digit. */
static int hex_value(char c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

static bool is_xchar(char c)
{
    return char_is_printable(c) && c != ' ' && c != '+' && c != '=';
}

/* One character of xtext at the start of `in`; how much it took, 0 if it is none. */
static size_t decode_one(mail_span in, char *out)
{
    int high;
    int low;

    if (is_xchar(in.data[0])) {
        *out = in.data[0];
        return 1;
    }
    if (in.data[0] != '+' || in.length < 3) {
        return 0;
    }
    high = hex_value(in.data[1]);
    low = hex_value(in.data[2]);
    if (high < 0 || low < 0) {
        return 0;
    }
    *out = (char)(high * 16 + low);
    return 3;
}

int mail_xtext_decode(mail_span in, char *out, size_t size)
{
    size_t length = 0;

    while (in.length > 0) {
        char c;
        size_t n = decode_one(in, &c);

        /* RFC 3461, sections 4.2 and 4.4: it was printable before it was encoded. */
        if (n == 0 || !char_is_printable(c)) {
            return MAIL_EINVAL;
        }
        if (length == size || length == INT32_MAX) {
            return MAIL_ELIMIT;
        }
        out[length++] = c;
        in = mail_span_from(in, n);
    }
    return (int)length;
}

int mail_xtext_encode(mail_span in, char *out, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < in.length; i++) {
        unsigned char c = (unsigned char)in.data[i];
        size_t n = is_xchar(in.data[i]) ? 1 : 3;

        if (n > size - length || length > INT32_MAX - n) {
            return MAIL_ELIMIT;
        }
        if (n == 1) {
            out[length] = in.data[i];
        } else {
            out[length] = '+';
            out[length + 1] = digits[c >> 4];
            out[length + 2] = digits[c & 15];
        }
        length += n;
    }
    return (int)length;
}
