/* SPDX-License-Identifier: MIT */
#include <mail/header.h>

#include "msg/chars.h"

void mail_header_reader_init(mail_header_reader *reader, mail_span message)
{
    *reader = (mail_header_reader){.text = message};
}

/* The length of the line at the start of `text`, its LF included. */
static size_t line_length(mail_span text)
{
    const char *lf = text.length > 0 ? memchr(text.data, '\n', text.length) : NULL;

    return lf != NULL ? (size_t)(lf - text.data) + 1 : text.length;
}

static mail_span without_line_end(mail_span line)
{
    if (line.length > 0 && line.data[line.length - 1] == '\n') {
        line.length--;
    }
    if (line.length > 0 && line.data[line.length - 1] == '\r') {
        line.length--;
    }
    return line;
}

/* The length of the field at the start of `text` with the lines that continue it. */
static size_t field_length(mail_span text)
{
    size_t length = line_length(text);

    while (length < text.length && char_is_wsp(text.data[length])) {
        length += line_length(mail_span_from(text, length));
    }
    return length;
}

/* ftext of RFC 5322, section 3.6.8, which RFC 6532 leaves as it is. */
static size_t name_length(mail_span text)
{
    size_t n = 0;

    while (n < text.length && char_is_printable(text.data[n]) && text.data[n] != ' ' &&
           text.data[n] != ':') {
        n++;
    }
    return n;
}

int mail_header_reader_next(mail_header_reader *reader, mail_field *field)
{
    mail_span rest = mail_span_from(reader->text, reader->offset);
    size_t length = name_length(rest);
    size_t colon = length;

    while (colon < rest.length && char_is_wsp(rest.data[colon])) {
        colon++;
    }
    if (length == 0 || colon == rest.length || rest.data[colon] != ':') {
        return MAIL_ENOENT;
    }
    if (reader->fields == MAIL_HEADER_MAX_FIELDS) {
        return MAIL_ELIMIT;
    }
    reader->fields++;
    field->offset = reader->offset;
    field->raw = mail_span_first(rest, field_length(rest));
    field->name = mail_span_first(rest, length);
    field->value = without_line_end(mail_span_from(field->raw, colon + 1));
    reader->offset += field->raw.length;
    return MAIL_OK;
}

size_t mail_header_reader_body(const mail_header_reader *reader)
{
    mail_span rest = mail_span_from(reader->text, reader->offset);
    size_t length = line_length(rest);
    bool is_empty = without_line_end(mail_span_first(rest, length)).length == 0;

    return reader->offset + (is_empty ? length : 0);
}

int mail_header_find(mail_span message, mail_span name, mail_field *field)
{
    mail_header_reader reader;
    int code;

    mail_header_reader_init(&reader, message);
    do {
        code = mail_header_reader_next(&reader, field);
    } while (code == MAIL_OK && !mail_span_equal_nocase(field->name, name));
    return code;
}

size_t mail_header_unfold(mail_span value, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];

        if (c != '\r' && c != '\n' && (length > 0 || !char_is_wsp(c))) {
            out[length++] = c;
        }
    }
    while (length > 0 && char_is_wsp(out[length - 1])) {
        length--;
    }
    return length;
}
