/* SPDX-License-Identifier: MIT */
#include <mail/base.h>

#include "base/ascii.h"

bool mail_span_equal_nocase(mail_span a, mail_span b)
{
    if (a.length != b.length) {
        return false;
    }
    for (size_t i = 0; i < a.length; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}
