/* SPDX-License-Identifier: MIT */
#include "smtp/orcpt.h"

#include <mail/envelope.h>

#include "base/ascii.h"
#include "base/utf8.h"
#include "msg/chars.h"

#define ORCPT_MAX 500

static bool is_type(mail_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!char_is_atext(text.data[i])) {
            return false;
        }
    }
    return text.length > 0;
}

static bool is_xtext(mail_span text)
{
    char decoded[ORCPT_MAX];

    return mail_xtext_decode(text, decoded, sizeof(decoded)) > 0;
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c)) {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * EmbeddedUnicodeChar = "\x{" HEXPOINT "}", HEXPOINT being a code point in 2 to 6 upper-case digits
 * without a needless zero in front. Returns its length, or 0. What can be written as it
 * is must not be hidden so, and controls and surrogates are not let through at all.
 */
static size_t embedded_length(mail_span in)
{
    uint32_t point = 0;
    size_t i = 3;

    if (in.length < 6 || memcmp(in.data, "\\x{", 3) != 0) {
        return 0;
    }
    for (; i < in.length && i < 9 && hex_digit(in.data[i]) >= 0; i++) {
        point = point * 16 + (uint32_t)hex_digit(in.data[i]);
    }
    if (i == in.length || in.data[i] != '}' || i < 5 || (i > 5 && in.data[3] == '0')) {
        return 0;
    }
    if (point < 0x80) {
        return point > 0 && strchr(" +=\\", (int)point) != NULL ? i + 1 : 0;
    }
    return point <= 0x10ffff && (point < 0xd800 || point > 0xdfff) ? i + 1 : 0;
}

/* RFC 6533, section 3: QCHAR, which leaves out blank, "+", "=" and the backslash. */
static bool is_qchar(char c)
{
    return c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\';
}

static bool is_utf8_address(mail_span text, bool utf8)
{
    if (text.length == 0) {
        return false;
    }
    while (text.length > 0) {
        size_t n = is_qchar(text.data[0]) ? 1 : embedded_length(text);

        if (n == 0 && utf8 && !char_is_ascii(text.data[0])) {
            n = utf8_sequence(text);
        }
        if (n == 0) {
            return false;
        }
        text = mail_span_from(text, n);
    }
    return true;
}

bool orcpt_is_valid(mail_span text, bool utf8)
{
    const char *semicolon = text.length > 0 ? memchr(text.data, ';', text.length) : NULL;
    mail_span type;
    mail_span address;

    if (semicolon == NULL || text.length > ORCPT_MAX) {
        return false;
    }
    type = mail_span_first(text, (size_t)(semicolon - text.data));
    address = mail_span_from(text, type.length + 1);
    if (mail_span_equal_nocase(type, MAIL_SPAN("utf-8"))) {
        return is_utf8_address(address, utf8);
    }
    return is_type(type) && is_xtext(address);
}
