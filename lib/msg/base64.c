/* SPDX-License-Identifier: MIT */
#include <mail/encode.h>

static const char digits[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t mail_base64_encode(mail_span in, char *out)
{
    const unsigned char *at = (const unsigned char *)in.data;
    size_t length = 0;

    for (size_t left = in.length; left > 0; left -= left < 3 ? left : 3, at += 3) {
        unsigned bits = (unsigned)at[0] << 16;

        bits |= left > 1 ? (unsigned)at[1] << 8 : 0;
        bits |= left > 2 ? at[2] : 0;
        out[length++] = digits[bits >> 18];
        out[length++] = digits[bits >> 12 & 63];
        out[length++] = left > 1 ? digits[bits >> 6 & 63] : '=';
        out[length++] = left > 2 ? digits[bits & 63] : '=';
    }
    return length;
}

/* The value of a digit; 64 and more: none. */
static unsigned digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (unsigned)(c - 'a' + 26);
    }
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0' + 52);
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four digits, the last `padding` of them `=`. */
static bool decode_group(const char *in, size_t padding, unsigned *bits)
{
    *bits = 0;
    for (size_t i = 0; i < 4 - padding; i++) {
        unsigned value = digit_value(in[i]);

        if (value > 63) {
            return false;
        }
        *bits |= value << (18 - 6 * i);
    }
    /* Two spellings of one secret are one too many (RFC 4648, section 3.5). */
    return (*bits & ((1U << 8 * padding) - 1)) == 0;
}

int mail_base64_decode(mail_span in, char *out, size_t *length_out)
{
    size_t length = 0;

    if (in.length % 4 != 0) {
        return MAIL_EINVAL;
    }
    for (size_t i = 0; i < in.length; i += 4) {
        const char *group = in.data + i;
        size_t padding = i + 4 < in.length || group[3] != '=' ? 0 : group[2] != '=' ? 1 : 2;
        unsigned bits;

        if (!decode_group(group, padding, &bits)) {
            return MAIL_EINVAL;
        }
        for (size_t k = 0; k < 3 - padding; k++) {
            out[length++] = (char)(bits >> (16 - 8 * k) & 0xff);
        }
    }
    *length_out = length;
    return MAIL_OK;
}
