/* SPDX-License-Identifier: MIT */
#include <mail/log.h>

#include <stdio.h>
#include <time.h>

#include "base/ascii.h"
#include "base/utf8.h"

const char *mail_log_level_name(mail_log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    return names[level];
}

void mail_log_line(const mail_log *log, mail_log_level level, const char *what,
                   const mail_log_field *fields, size_t count)
{
    if (log != NULL && level <= log->level) {
        log->write(level, what, fields, count, log->arg);
    }
}

/* Text that grows up to a limit and is then cut, at whole pieces. */
typedef struct writer {
    char *at;
    size_t room;
    bool full;
} writer;

static void put(writer *w, const char *text, size_t length)
{
    if (w->full || length > w->room) {
        w->full = true;
        return;
    }
    memcpy(w->at, text, length);
    w->at += length;
    w->room -= length;
}

static void put_text(writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* The same escapes serve both forms: JSON's, and \u00XX for an octet that is no UTF-8. */
static void put_escaped(writer *w, mail_span value)
{
    while (value.length > 0) {
        size_t n = utf8_sequence(value);
        char c = value.data[0];
        char escape[8];

        if (c == '"' || c == '\\') {
            put(w, (char[]){'\\', c}, 2);
        } else if (n == 0 || ascii_is_control(c)) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(unsigned char)c);
            put(w, escape, 6);
        } else {
            put(w, value.data, n);
        }
        value = mail_span_from(value, n > 0 ? n : 1);
    }
}

static bool is_plain(mail_span value)
{
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];

        if (ascii_is_control(c) || c == ' ' || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return value.length > 0 && utf8_is_valid(value);
}

static void put_time(writer *w, mail_wall now)
{
    time_t seconds = (time_t)now;
    char text[40];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    put(w, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm));
}

/* Room kept back so that a cut value can still be closed. */
#define TAIL 4

/* A value is cut on its own, so that its quotes close and later short ones still show. */
static void put_quoted(writer *w, mail_span value)
{
    writer inner;

    if (w->full || w->room < 2) {
        w->full = true;
        return;
    }
    put_text(w, "\"");
    inner = (writer){w->at, w->room - 1, false};
    put_escaped(&inner, value);
    w->room = inner.room + 1;
    w->at = inner.at;
    put_text(w, "\"");
}

static void print_text(writer *w, mail_wall now, mail_log_level level, const char *what,
                       const mail_log_field *fields, size_t count)
{
    put_time(w, now);
    put_text(w, " ");
    put_text(w, mail_log_level_name(level));
    put_text(w, " ");
    put_text(w, what);
    for (size_t i = 0; i < count; i++) {
        if (w->room < strlen(fields[i].key) + TAIL) {
            break;
        }
        put_text(w, " ");
        put_text(w, fields[i].key);
        put_text(w, "=");
        if (is_plain(fields[i].value) && fields[i].value.length <= w->room) {
            put(w, fields[i].value.data, fields[i].value.length);
        } else {
            put_quoted(w, fields[i].value);
        }
    }
}

/* Whose values are numbers: one, or several with slashes between. */
static bool is_numeric(const char *key)
{
    static const char *const keys[] = {"delay",   "delays",    "messages", "offset", "recipients",
                                       "removed", "retrieved", "size",     "tries",  "uid"};

    for (size_t i = 0; i < MAIL_COUNT(keys); i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Cuts off the next of the numbers, and the slash behind it. Empty: it is none, or none for JSON. */
static mail_span cut_number(mail_span *rest)
{
    const char *slash = memchr(rest->data, '/', rest->length);
    size_t length = slash != NULL ? (size_t)(slash - rest->data) : rest->length;
    mail_span number = mail_span_first(*rest, length);
    size_t dots = 0;

    *rest = mail_span_from(*rest, slash != NULL ? length + 1 : length);
    for (size_t i = 0; i < length; i++) {
        bool is_dot = number.data[i] == '.' && i > 0 && i + 1 < length;

        dots += is_dot ? 1 : 0;
        if (!is_dot && !ascii_is_digit(number.data[i])) {
            length = 0;
        }
    }
    if (dots > 1 || (length > 1 && number.data[0] == '0' && number.data[1] != '.')) {
        length = 0;
    }
    return mail_span_first(number, length);
}

static bool are_numbers(mail_span value)
{
    bool is_good = value.length > 0 && value.data[value.length - 1] != '/';

    while (is_good && value.length > 0) {
        is_good = cut_number(&value).length > 0;
    }
    return is_good;
}

/* `delays=0/0.01/0.20` is a list. */
static void put_numbers(writer *w, mail_span value)
{
    bool is_list = memchr(value.data, '/', value.length) != NULL;

    put_text(w, is_list ? "[" : "");
    while (value.length > 0) {
        mail_span number = cut_number(&value);

        put(w, number.data, number.length);
        put_text(w, value.length > 0 ? "," : "");
    }
    put_text(w, is_list ? "]" : "");
}

static void put_json_value(writer *w, const mail_log_field *field)
{
    if (is_numeric(field->key) && field->value.length + 2 <= w->room && are_numbers(field->value)) {
        put_numbers(w, field->value);
    } else {
        put_quoted(w, field->value);
    }
}

static void print_json(writer *w, mail_wall now, mail_log_level level, const char *what,
                       const mail_log_field *fields, size_t count)
{
    put_text(w, "{\"time\":\"");
    put_time(w, now);
    put_text(w, "\",\"level\":\"");
    put_text(w, mail_log_level_name(level));
    put_text(w, "\",\"event\":");
    put_quoted(w, mail_span_text(what));
    for (size_t i = 0; i < count; i++) {
        if (w->room < strlen(fields[i].key) + 4 + TAIL) {
            break;
        }
        put_text(w, ",\"");
        put_text(w, fields[i].key);
        put_text(w, "\":");
        put_json_value(w, &fields[i]);
    }
}

size_t mail_log_print(mail_log_format format, mail_wall now, mail_log_level level, const char *what,
                      const mail_log_field *fields, size_t count, char *out, size_t size)
{
    writer w = {out, size > TAIL ? size - TAIL : 0, false};

    if (format == MAIL_LOG_JSON) {
        print_json(&w, now, level, what, fields, count);
    } else {
        print_text(&w, now, level, what, fields, count);
    }
    w.room += size > TAIL ? TAIL : size;
    w.full = false;
    put_text(&w, format == MAIL_LOG_JSON ? "}\n" : "\n");
    return size - w.room;
}
