/* SPDX-License-Identifier: MIT */
/*
 *     encoded-word = "=?" charset "?" encoding "?" encoded-text "?="     RFC 2047, section 2
 *
 * Characters are never divided between words, and Q keeps to the letters that may
 * stand in a display name too (section 5, rule 3).
 */
#include <mail/encode.h>

#include "base/ascii.h"
#include "msg/clean.h"
#include "msg/hex.h"

#define OPENING_LENGTH (sizeof("=?UTF-8?Q?") - 1)
#define CLOSING_LENGTH (sizeof("?=") - 1)
#define LINE_MAX       76
/* Of a word's text: 75 octets less its frame, in whole groups of base64. */
#define TEXT_MAX 60
/* A first word shorter than this is not worth its frame. */
#define TEXT_MIN 12

static bool is_plain(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("!*+-/", c) != NULL);
}

static size_t q_length(mail_span text)
{
    size_t length = 0;

    for (size_t i = 0; i < text.length; i++) {
        length += is_plain(text.data[i]) || text.data[i] == ' ' ? 1 : 3;
    }
    return length;
}

static size_t q_write(mail_span text, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (is_plain(c) || c == ' ') {
            out[length++] = c == ' ' ? '_' : c;
        } else {
            out[length] = '=';
            hex_write((unsigned char)c, out + length + 1);
            length += 3;
        }
    }
    return length;
}

/* How much of `text`, in whole characters, makes at most `room` octets of encoded text. */
static size_t portion(mail_span text, bool base64, size_t room)
{
    size_t n = 0;

    while (n < text.length) {
        size_t next = n + clean_character(mail_span_from(text, n));
        mail_span part = mail_span_first(text, next);

        if ((base64 ? MAIL_BASE64_SIZE(next) : q_length(part)) > room) {
            break;
        }
        n = next;
    }
    return n;
}

static size_t write_word(mail_span text, bool base64, char *out)
{
    size_t length = OPENING_LENGTH;

    memcpy(out, base64 ? "=?UTF-8?B?" : "=?UTF-8?Q?", OPENING_LENGTH);
    length += base64 ? mail_base64_encode(text, out + length) : q_write(text, out + length);
    memcpy(out + length, "?=", CLOSING_LENGTH);
    return length + CLOSING_LENGTH;
}

static bool is_clean(mail_span text)
{
    while (text.length > 0) {
        size_t n = clean_character(text);

        if (n == 0) {
            return false;
        }
        text = mail_span_from(text, n);
    }
    return true;
}

size_t mail_words_encode(mail_span text, size_t column, char *out)
{
    /* Q can be read by eye, which is worth half its length in more octets. */
    bool base64 = 3 * MAIL_BASE64_SIZE(text.length) < 2 * q_length(text);
    size_t frame = OPENING_LENGTH + CLOSING_LENGTH;
    size_t length = 0;

    if (!is_clean(text)) {
        return 0;
    }
    while (text.length > 0) {
        size_t room = column + frame < LINE_MAX ? LINE_MAX - frame - column : 0;
        size_t n;

        if (column > 1 && room < TEXT_MIN) {
            room = 0;
        }
        n = portion(text, base64, room < TEXT_MAX ? room : TEXT_MAX);
        if (n > 0) {
            length += write_word(mail_span_first(text, n), base64, out + length);
            text = mail_span_from(text, n);
        }
        if (text.length > 0) {
            memcpy(out + length, "\r\n ", 3);
            length += 3;
            column = 1;
        }
    }
    return length;
}
