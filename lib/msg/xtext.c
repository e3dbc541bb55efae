/* SPDX-License-Identifier: MIT */
/* xtext of RFC 3461, section 4: printable ASCII, the rest as `+` and two digits. */
#include <mail/envelope.h>

#include "msg/chars.h"
#include "msg/hex.h"

static bool is_xchar(char c)
{
    return char_is_printable(c) && c != ' ' && c != '+' && c != '=';
}

/* One character of xtext at the start of `in`; how much it took, 0 if it is none. */
static size_t decode_one(mail_span in, char *out)
{
    int value;

    if (is_xchar(in.data[0])) {
        *out = in.data[0];
        return 1;
    }
    value = in.data[0] == '+' && in.length >= 3 ? hex_read(in.data + 1) : -1;
    *out = (char)value;
    return value >= 0 ? 3 : 0;
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
        size_t n = is_xchar(in.data[i]) ? 1 : 3;

        if (n > size - length || length > INT32_MAX - n) {
            return MAIL_ELIMIT;
        }
        if (n == 1) {
            out[length] = in.data[i];
        } else {
            out[length] = '+';
            hex_write((unsigned char)in.data[i], out + length + 1);
        }
        length += n;
    }
    return (int)length;
}
