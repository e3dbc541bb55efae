/* SPDX-License-Identifier: MIT */
#include <mail/store.h>

#include "base/ascii.h"

/*
 * A folder's name must stay inside its parent (`/`, `.`, `..`), be whole (NUL), be told
 * apart (`%` itself), do no harm in a terminal or shell (controls, blanks, a `-` or `~`
 * in front), not be taken for a Maildir++ subfolder (a `.` in front), and not depend on
 * how a file system folds Unicode.
 */
static bool is_plain(char c, bool first)
{
    if (ascii_is_control(c) || (unsigned char)c >= 0x80 || c == ' ' || c == '/' || c == '%') {
        return false;
    }
    return !first || (c != '.' && c != '~' && c != '-');
}

int mail_mailbox_escape(mail_span name, char out[MAIL_MAILBOX_NAME_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t length = 0;

    if (name.length == 0) {
        return MAIL_EINVAL;
    }
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.data[i];
        bool plain = is_plain((char)c, i == 0);

        if (length + (plain ? 1 : 3) >= MAIL_MAILBOX_NAME_SIZE) {
            return MAIL_ELIMIT;
        }
        if (plain) {
            out[length++] = (char)c;
            continue;
        }
        out[length++] = '%';
        out[length++] = digits[c >> 4];
        out[length++] = digits[c & 15];
    }
    out[length] = '\0';
    return (int)length;
}
