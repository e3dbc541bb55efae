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
        log->write(log->arg, level, what, fields, count);
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
        put_quoted(w, fields[i].value);
    }
}

size_t mail_log_print(char *out, size_t size, mail_log_format format, mail_wall now,
                      mail_log_level level, const char *what, const mail_log_field *fields,
                      size_t count)
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
