/* SPDX-License-Identifier: MIT */
#include "msg/clean.h"

#include "base/ascii.h"
#include "base/utf8.h"

size_t clean_character(mail_span text)
{
    size_t length = utf8_sequence(text);

    if (ascii_is_control(text.data[0])) {
        return 0;
    }
    if (length == 2 && (unsigned char)text.data[0] == 0xc2 && (unsigned char)text.data[1] < 0xa0) {
        return 0;
    }
    return length;
}

static size_t clean(mail_span text, char *out, size_t size, size_t longest)
{
    size_t length = 0;

    while (text.length > 0 && length < size) {
        size_t n = clean_character(text);

        if (n > 0 && n <= longest) {
            if (n > size - length) {
                break;
            }
            memcpy(out + length, text.data, n);
            length += n;
        } else {
            char c = text.data[0];

            out[length++] = c == '\n' || c == '\r' || c == '\t' ? ' ' : '?';
        }
        text = mail_span_from(text, n > 0 ? n : 1);
    }
    return length;
}

size_t clean_line(mail_span text, char *out, size_t size)
{
    return clean(text, out, size, 4);
}

size_t clean_ascii(mail_span text, char *out, size_t size)
{
    return clean(text, out, size, 1);
}
