/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

/*
 * RFC 3629, section 4. The second octet's range depends on the first; that is
 * what keeps out overlong forms, surrogates and what lies past U+10FFFF.
 */
size_t utf8_sequence(mail_span text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t length;

    if (text.length == 0) {
        return 0;
    }
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] < 0xc2 || at[0] > 0xf4) {
        return 0;
    }
    length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    switch (at[0]) {
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed:
        high = 0x9f;
        break;
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    }
    if (text.length < length || at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool utf8_is_valid(mail_span text)
{
    while (text.length > 0) {
        size_t n = utf8_sequence(text);

        if (n == 0) {
            return false;
        }
        text = mail_span_from(text, n);
    }
    return true;
}

bool utf8_is_ascii(mail_span text)
{
    unsigned char all = 0; /* no early end, so that many octets can be looked at together */

    for (size_t i = 0; i < text.length; i++) {
        all |= (unsigned char)text.data[i];
    }
    return all < 0x80;
}
