/* SPDX-License-Identifier: MIT */
#include "msg/reply_code.h"

#include "base/ascii.h"

size_t reply_code_parse(mail_span text, uint16_t *code)
{
    unsigned number = 0;

    *code = 0;
    if (text.length < 3 || (text.length > 3 && ascii_is_digit(text.data[3]))) {
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (!ascii_is_digit(text.data[i])) {
            return 0;
        }
        number = number * 10 + (unsigned)(text.data[i] - '0');
    }
    if (number < 200 || number > 599) {
        return 0;
    }
    *code = (uint16_t)number;
    return 3;
}

/* One to three digits; how many. */
static size_t parse_part(mail_span text, uint16_t *part)
{
    size_t n = 0;

    *part = 0;
    while (n < text.length && n < 3 && ascii_is_digit(text.data[n])) {
        *part = (uint16_t)(*part * 10 + (text.data[n] - '0'));
        n++;
    }
    return n;
}

/* status-code = class "." subject "." detail (RFC 3463, section 2); its length, or 0. */
static size_t parse_status(mail_span text, uint16_t status[3])
{
    size_t length = 0;

    for (size_t i = 0; i < 3; i++) {
        size_t n = parse_part(mail_span_from(text, length), &status[i]);

        length += n;
        if (n == 0 || (i < 2 && (length == text.length || text.data[length] != '.'))) {
            return 0;
        }
        length += i < 2 ? 1 : 0;
    }
    return length;
}

size_t reply_status_parse(mail_span text, uint16_t code, uint16_t status[3])
{
    size_t n = parse_status(text, status);

    if (n > 0 && status[0] == code / 100 && status[0] != 3) {
        if (n == text.length) {
            return n;
        }
        if (text.data[n] == ' ') {
            return n + 1;
        }
    }
    status[0] = status[1] = status[2] = 0;
    return 0;
}
