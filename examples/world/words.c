/* SPDX-License-Identifier: MIT */
#include "world/words.h"

#include <stdarg.h>
#include <stdio.h>

int words_fail(const words *ws, int code, const char *format, ...)
{
    char text[200];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return mail_error_set(ws->err, code, "%s:%u: %s", ws->source, ws->line, text);
}

int words_fail_many(const words *ws, const char *what, size_t limit)
{
    return words_fail(ws, MAIL_ELIMIT, "more than %zu %s", limit, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of the word at the start of `line`: what stands in quotes belongs together. 0: they don't close. */
static size_t word_length(mail_span line)
{
    bool in_quotes = false;
    size_t i = 0;

    while (i < line.length && (in_quotes || (!is_blank(line.data[i]) && line.data[i] != ','))) {
        if (line.data[i] == '\\' && in_quotes && i + 1 < line.length) {
            i++;
        } else if (line.data[i] == '"') {
            in_quotes = !in_quotes;
        }
        i++;
    }
    return in_quotes ? 0 : i;
}

int words_cut(words *ws, mail_span line)
{
    ws->count = ws->at = 0;
    for (;;) {
        size_t length;

        while (line.length > 0 && is_blank(line.data[0])) {
            line = mail_span_from(line, 1);
        }
        if (line.length == 0 || line.data[0] == '#') {
            return MAIL_OK;
        }
        length = line.data[0] == ',' ? 1 : word_length(line);
        if (length == 0) {
            return words_fail(ws, MAIL_EINVAL, "a quotation mark is missing");
        }
        if (ws->count == STORY_WORDS_MAX) {
            return words_fail_many(ws, "words in a line", STORY_WORDS_MAX);
        }
        ws->words[ws->count++] = mail_span_first(line, length);
        line = mail_span_from(line, length);
    }
}

bool words_is_next(const words *ws, const char *text)
{
    return ws->at < ws->count && mail_span_equal(ws->words[ws->at], mail_span_text(text));
}

bool words_take(words *ws, const char *text)
{
    bool is_next = words_is_next(ws, text);

    ws->at += is_next ? 1 : 0;
    return is_next;
}

int words_fail_expected(const words *ws, const char *what)
{
    const mail_span word = ws->at < ws->count ? ws->words[ws->at] : MAIL_SPAN("");

    if (ws->at == ws->count) {
        return words_fail(ws, MAIL_EINVAL, "%s is missing at the end", what);
    }
    return words_fail(ws, MAIL_EINVAL, "\"%.*s\" stands where %s is expected",
                      (int)(word.length < 60 ? word.length : 60), word.data, what);
}

int words_expect(words *ws, const char *text)
{
    while (*text != '\0') {
        char word[16];

        snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, " "), text);
        if (!words_take(ws, word)) {
            char what[24];

            snprintf(what, sizeof(what), "\"%s\"", word);
            return words_fail_expected(ws, what);
        }
        text += strlen(word);
        text += strspn(text, " ");
    }
    return MAIL_OK;
}

int words_take_number(words *ws, uint64_t limit, const char *what, uint64_t *out)
{
    mail_span word = ws->at < ws->count ? ws->words[ws->at] : MAIL_SPAN("");
    uint64_t value = 0;

    for (size_t i = 0; i < word.length; i++) {
        unsigned digit = (unsigned)(unsigned char)word.data[i] - '0';

        if (digit > 9 || value > (limit - digit) / 10) {
            return words_fail_expected(ws, what);
        }
        value = value * 10 + digit;
    }
    if (word.length == 0) {
        return words_fail_expected(ws, what);
    }
    ws->at++;
    *out = value;
    return MAIL_OK;
}

static mail_duration unit_of(char c)
{
    switch (c) {
    case 's':
        return MAIL_SECOND;
    case 'm':
        return MAIL_MINUTE;
    case 'h':
        return MAIL_HOUR;
    case 'd':
        return MAIL_DAY;
    case 'w':
        return 7 * MAIL_DAY;
    case 'y':
        return 365 * MAIL_DAY;
    default:
        return 0;
    }
}

/* `90s`, `1d12h`; -1: it is none, or longer than `limit`. */
static mail_duration parse_span(mail_span word, mail_duration limit)
{
    mail_duration sum = 0;
    size_t i = 0;

    while (i < word.length) {
        mail_duration number = 0;
        mail_duration unit;
        size_t from = i;

        while (i < word.length && word.data[i] >= '0' && word.data[i] <= '9') {
            number = number * 10 + (word.data[i++] - '0');
            if (number > limit / MAIL_SECOND) {
                return -1;
            }
        }
        unit = i > from && i < word.length ? unit_of(word.data[i++]) : 0;
        if (unit == 0 || number > (limit - sum) / unit) {
            return -1;
        }
        sum += number * unit;
    }
    return word.length > 0 ? sum : -1;
}

int words_take_span(words *ws, mail_duration limit, mail_duration *out)
{
    mail_duration span = ws->at < ws->count ? parse_span(ws->words[ws->at], limit) : -1;

    if (span < 0) {
        return words_fail_expected(ws, "a time such as 90s, 10m, 3h, 2d12h");
    }
    ws->at++;
    *out = span;
    return MAIL_OK;
}

int words_take_domain(words *ws, char out[MAIL_DOMAIN_SIZE])
{
    int code = ws->at < ws->count ? mail_domain_to_ascii(ws->words[ws->at], out) : MAIL_EINVAL;

    if (code == MAIL_ENOMEM) {
        return words_fail(ws, code, "out of memory");
    }
    if (code != MAIL_OK) {
        return words_fail_expected(ws, "a domain name");
    }
    ws->at++;
    return MAIL_OK;
}

int words_take_address(words *ws, mail_path *out)
{
    int code = ws->at < ws->count ? mail_path_from_text(ws->words[ws->at], 0, out) : MAIL_EINVAL;

    if (code == MAIL_ENOMEM) {
        return words_fail(ws, code, "out of memory");
    }
    if (code != MAIL_OK) {
        return words_fail_expected(ws, "an address");
    }
    ws->at++;
    return MAIL_OK;
}

/* A text in quotes, in which a backslash stands before a quotation mark or another backslash. */
int words_take_text(words *ws, char *out, size_t size)
{
    mail_span word = ws->at < ws->count ? ws->words[ws->at] : MAIL_SPAN("");
    size_t length = 0;

    if (word.length < 2 || word.data[0] != '"' || word.data[word.length - 1] != '"') {
        return words_fail_expected(ws, "a subject in quotation marks");
    }
    for (size_t i = 1; i < word.length - 1; i++) {
        if (word.data[i] == '"') {
            return words_fail_expected(ws, "a subject in quotation marks");
        }
        i += word.data[i] == '\\' ? 1 : 0;
        if (length + 1 == size) {
            return words_fail(ws, MAIL_ELIMIT, "a subject of more than %zu octets", size - 1);
        }
        out[length++] = word.data[i];
    }
    out[length] = '\0';
    ws->at++;
    return MAIL_OK;
}
