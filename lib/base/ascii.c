/* SPDX-License-Identifier: MIT */
#include "base/ascii.h"

bool ascii_has_control(mail_span text)
{
    bool has = false; /* no early end, so that many octets can be looked at together */

    for (size_t i = 0; i < text.length; i++) {
        has |= ascii_is_control(text.data[i]);
    }
    return has;
}

static bool is_one_of(char c, const char *set)
{
    return memchr(set, c, strlen(set)) != NULL;
}

mail_span ascii_trim(mail_span text, const char *blanks)
{
    while (text.length > 0 && is_one_of(text.data[0], blanks)) {
        text = mail_span_from(text, 1);
    }
    while (text.length > 0 && is_one_of(text.data[text.length - 1], blanks)) {
        text.length--;
    }
    return text;
}

bool ascii_number(mail_span text, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';

        if (digit > 9 || digit > most || value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return text.length > 0;
}
