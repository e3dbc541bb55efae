/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_NUMBER_H
#define LIB_MSG_NUMBER_H

#include <mail/base.h>

#include "base/ascii.h"

/* A decimal number of digits only, at most `max`, in the whole of `text`. */
static inline bool number_parse(mail_span text, uint64_t max, uint64_t *out)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.length; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');

        if (!ascii_is_digit(text.data[i]) || number > max / 10 || digit > max - number * 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return text.length > 0;
}

#endif
