/* SPDX-License-Identifier: MIT */
/*
 * Reports as others write them. What is not understood is passed over: a report is a message
 * from anybody, and all that it says is a claim.
 */
#include "msg/dsn_read.h"

#include <mail/header.h>

#include "base/ascii.h"
#include "msg/clean.h"

/* Of a Content-Type, and of a boundary (RFC 2046, section 5.1.1: 70). */
#define TYPE_MAX     1000
#define BOUNDARY_MAX 200

const char *mail_dsn_kind_name(mail_dsn_kind kind)
{
    static const char *const names[] = {"none", "rfc3464", "qsbmf", "exim", "dma", "exchange"};

    return names[kind];
}

mail_span dsn_line(mail_span *text)
{
    const char *lf = text->length > 0 ? memchr(text->data, '\n', text->length) : NULL;
    size_t length = lf != NULL ? (size_t)(lf - text->data) : text->length;
    mail_span line = mail_span_first(*text, length);

    *text = mail_span_from(*text, lf != NULL ? length + 1 : length);
    if (line.length > 0 && line.data[line.length - 1] == '\r') {
        line.length--;
    }
    return line;
}

mail_span dsn_trim(mail_span text)
{
    return ascii_trim(text, " \t\r\n");
}

bool dsn_begins(mail_span text, const char *with)
{
    size_t length = strlen(with);

    return text.length >= length &&
           mail_span_equal_nocase(mail_span_first(text, length), mail_span_of(with, length));
}

size_t dsn_find(mail_span text, const char *what)
{
    const char *at = text.length > 0 ? memmem(text.data, text.length, what, strlen(what)) : NULL;

    return at != NULL ? (size_t)(at - text.data) : text.length;
}

/* On one line, with one blank where there were several. */
static mail_span keep(char *room, size_t size, mail_span value)
{
    size_t length = clean_line(dsn_trim(value), room, size);
    size_t kept = 0;

    for (size_t i = 0; i < length; i++) {
        if (room[i] != ' ' || (kept > 0 && room[kept - 1] != ' ')) {
            room[kept++] = room[i];
        }
    }
    return mail_span_of(room, kept);
}

void dsn_keep_address(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value)
{
    told->address = keep(reader->address, sizeof(reader->address), value);
}

void dsn_keep_host(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value)
{
    told->remote_mta = keep(reader->host, sizeof(reader->host), value);
}

void dsn_keep_words(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value)
{
    told->diagnostic = keep(reader->words, sizeof(reader->words), value);
}

/* One to three digits at `*at`; false: there are none, or more. */
static bool take_number(mail_span text, size_t *at, uint16_t *out)
{
    size_t from = *at;

    *out = 0;
    while (*at < text.length && *at - from < 4 && ascii_is_digit(text.data[*at])) {
        *out = (uint16_t)(*out * 10 + (text.data[(*at)++] - '0'));
    }
    return *at > from && *at - from < 4;
}

/* `C.N.N`, with nothing before or behind that makes it part of an address of a host. */
static bool read_status(mail_span text, size_t at, uint16_t status[3])
{
    bool is_there = at == 0 || (!ascii_is_digit(text.data[at - 1]) && text.data[at - 1] != '.');

    for (int i = 0; i < 3 && is_there; i++) {
        is_there = take_number(text, &at, &status[i]) &&
                   (i == 2 || (at < text.length && text.data[at++] == '.'));
    }
    return is_there && (status[0] == 2 || status[0] == 4 || status[0] == 5) &&
           (at + 1 >= text.length || text.data[at] != '.' || !ascii_is_digit(text.data[at + 1]));
}

void dsn_find_status(mail_span text, uint16_t status[3])
{
    for (size_t at = 0; at < text.length; at++) {
        if (ascii_is_digit(text.data[at]) && read_status(text, at, status)) {
            return;
        }
    }
    memset(status, 0, 3 * sizeof(status[0]));
}

/* A field of a group, its value with all lines that go on with it. False: the group is over. */
static bool next_field(mail_span *text, mail_span *name, mail_span *value)
{
    mail_span line = dsn_line(text);
    size_t colon = dsn_find(line, ":");

    if (dsn_trim(line).length == 0) {
        return false;
    }
    *name = dsn_trim(mail_span_first(line, colon));
    *value = mail_span_from(line, colon < line.length ? colon + 1 : colon);
    while (text->length > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        line = dsn_line(text);
        value->length = (size_t)(line.data + line.length - value->data);
    }
    return true;
}

/* What stands behind the type: `rfc822; a@b`. */
static mail_span behind_type(mail_span value)
{
    size_t semicolon = dsn_find(value, ";");

    return semicolon < value.length ? mail_span_from(value, semicolon + 1) : value;
}

static void take_action(mail_dsn_told *told, mail_span value)
{
    for (mail_dsn_action action = MAIL_DSN_FAILED; action <= MAIL_DSN_EXPANDED; action++) {
        if (mail_span_equal_nocase(dsn_trim(value), mail_span_text(mail_dsn_action_name(action)))) {
            told->action = action;
        }
    }
}

static void take_field(mail_dsn_reader *reader, mail_dsn_told *told, mail_span name,
                       mail_span value)
{
    if (mail_span_equal_nocase(name, MAIL_SPAN("Final-Recipient"))) {
        dsn_keep_address(reader, told, behind_type(value));
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("Action"))) {
        take_action(told, value);
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("Status"))) {
        dsn_find_status(value, told->status);
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("Diagnostic-Code"))) {
        dsn_keep_words(reader, told, behind_type(value));
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("Remote-MTA"))) {
        dsn_keep_host(reader, told, behind_type(value));
    }
}

/* RFC 3464, section 2.1: groups of fields; one without a recipient is about the message. */
static int next_group(mail_dsn_reader *reader, mail_dsn_told *told)
{
    while (reader->text.length > 0) {
        mail_span name;
        mail_span value;

        *told = (mail_dsn_told){.action = MAIL_DSN_FAILED};
        while (next_field(&reader->text, &name, &value)) {
            take_field(reader, told, name, value);
        }
        if (told->address.length > 0) {
            return MAIL_OK;
        }
    }
    return MAIL_ENOENT;
}

/* The value of a parameter of a Content-Type on one line; empty: it is not there. */
static mail_span parameter(mail_span type, const char *name)
{
    while (type.length > 0) {
        size_t semicolon = dsn_find(type, ";");
        mail_span item = dsn_trim(mail_span_first(type, semicolon));

        type = mail_span_from(type, semicolon < type.length ? semicolon + 1 : semicolon);
        if (dsn_begins(item, name)) {
            item = dsn_trim(mail_span_from(item, strlen(name)));
            if (item.length > 1 && item.data[0] == '"') {
                item = mail_span_from(item, 1);
                item.length = dsn_find(item, "\"");
            }
            return item;
        }
    }
    return mail_span_of(NULL, 0);
}

/* The Content-Type of a message or part, on one line; empty: it has none. */
static mail_span type_of(mail_span message, char room[TYPE_MAX])
{
    mail_field field;

    if (mail_header_find(message, MAIL_SPAN("Content-Type"), &field) != MAIL_OK) {
        return mail_span_of(room, 0);
    }
    return keep(room, TYPE_MAX, field.value);
}

static mail_span body_of(mail_span message)
{
    mail_span rest = message;

    while (rest.length > 0 && dsn_trim(dsn_line(&rest)).length > 0) {
    }
    return rest;
}

/* The next part of a multipart body; false: there is none. */
static bool next_part(mail_span *body, mail_span boundary, mail_span *part)
{
    const char *from = NULL;

    while (body->length > 0) {
        mail_span line = dsn_line(body);
        bool is_mark =
            dsn_begins(line, "--") && line.length >= boundary.length + 2 &&
            mail_span_equal(mail_span_first(mail_span_from(line, 2), boundary.length), boundary);

        if (is_mark && from != NULL) {
            *part = mail_span_of(from, (size_t)(line.data - from));
            /* It begins the next one, too. */
            *body = mail_span_of(line.data, (size_t)(body->data + body->length - line.data));
            return true;
        }
        if (is_mark) {
            from = body->data;
        }
    }
    if (from == NULL) {
        return false;
    }
    *part = mail_span_of(from, (size_t)(body->data - from)); /* cut short */
    return part->length > 0;
}

/* Looks for the machine's part; `*text`: what people read instead. */
static bool find_status_part(mail_span message, mail_span *status, mail_span *text)
{
    char room[TYPE_MAX];
    char mark[BOUNDARY_MAX];
    mail_span type = type_of(message, room);
    mail_span boundary = parameter(type, "boundary=");
    mail_span body = body_of(message);
    bool has_text = false;
    mail_span part;

    *text = body;
    if (!dsn_begins(type, "multipart/") || boundary.length == 0 || boundary.length > sizeof(mark)) {
        return false;
    }
    memcpy(mark, boundary.data, boundary.length);
    boundary.data = mark;
    while (next_part(&body, boundary, &part)) {
        type = type_of(part, room);
        if (dsn_begins(type, "message/delivery-status") ||
            dsn_begins(type, "message/global-delivery-status")) {
            *status = body_of(part);
            return true;
        }
        if (!has_text && (type.length == 0 || dsn_begins(type, "text/plain"))) {
            *text = body_of(part);
            has_text = true;
        }
    }
    return false;
}

mail_dsn_kind mail_dsn_reader_init(mail_dsn_reader *reader, mail_span message)
{
    mail_span text;

    *reader = (mail_dsn_reader){.kind = MAIL_DSN_KIND_STANDARD};
    if (!find_status_part(message, &reader->text, &text)) {
        reader->kind = dsn_text_kind(text, &reader->text, &reader->action);
    }
    return reader->kind;
}

int mail_dsn_reader_next(mail_dsn_reader *reader, mail_dsn_told *told)
{
    return reader->kind == MAIL_DSN_KIND_STANDARD ? next_group(reader, told)
                                                  : dsn_text_next(reader, told);
}
