/* SPDX-License-Identifier: MIT */
#include "store/wire.h"

static char *copy(char *to, const char *from, size_t length)
{
    memmove(to, from, length);
    return to + length;
}

/* The line from `line` up to its LF at `lf`, which ends it in whatever way. */
static char *put_line(wire_writer *writer, char *to, const char *line, const char *lf)
{
    size_t length = (size_t)(lf - line);
    char before = length >= 2 ? lf[-2] : writer->last;

    if (length == 0 || lf[-1] != '\r') {
        writer->wire_size += length + 2; /* a bare LF: it will be read as CRLF */
        length += 1;
    } else if (before == '\r') {
        length += 1;
        writer->wire_size += length;
    } else {
        writer->wire_size += length + 1;
        to = copy(to, line, length - 1);
        *to++ = '\n';
        writer->last = '\n';
        return to;
    }
    writer->last = '\n';
    return copy(to, line, length);
}

/* The CR held back is half of a CRLF or it is not: that is known now. */
static char *release(wire_writer *writer, char *to, bool before_lf)
{
    if (!writer->held) {
        return to;
    }
    writer->held = false;
    writer->wire_size++;
    if (before_lf && writer->last != '\r') {
        return to;
    }
    writer->last = '\r';
    *to++ = '\r';
    return to;
}

size_t wire_writer_put(wire_writer *writer, mail_span in, char *out)
{
    const char *at = in.data;
    const char *end = in.data + in.length;
    char *to = out;

    if (in.length == 0) {
        return 0;
    }
    if (writer->held) {
        bool before_lf = *at == '\n';

        to = release(writer, to, before_lf);
        if (before_lf) {
            *to++ = '\n';
            writer->last = '\n';
            writer->wire_size++;
            at++;
        }
    }
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));

        if (lf == NULL) {
            break;
        }
        to = put_line(writer, to, at, lf);
        at = lf + 1;
    }
    if (at < end && end[-1] == '\r') {
        writer->held = true;
        end--;
    }
    if (at < end) {
        writer->wire_size += (uint64_t)(end - at);
        writer->last = end[-1];
        to = copy(to, at, (size_t)(end - at));
    }
    return (size_t)(to - out);
}

size_t wire_writer_end(wire_writer *writer, char *out)
{
    char *to = release(writer, out, false);

    if (writer->last == 0 || writer->last == '\n') {
        return (size_t)(to - out);
    }
    writer->wire_size += writer->last == '\r' ? 1 : 2;
    writer->last = '\n';
    *to++ = '\n';
    return (size_t)(to - out);
}

size_t wire_reader_put(wire_reader *reader, mail_span in, char *out)
{
    const char *at = in.data;
    const char *end = in.data + in.length;
    char *to = out;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf : end;
        char last = stop > at ? stop[-1] : reader->last;

        to = copy(to, at, (size_t)(stop - at));
        reader->last = last;
        if (lf == NULL) {
            break;
        }
        if (last != '\r') {
            *to++ = '\r';
        }
        *to++ = '\n';
        reader->last = '\n';
        at = lf + 1;
    }
    return (size_t)(to - out);
}

size_t wire_reader_end(wire_reader *reader, char *out)
{
    char *to = out;

    if (reader->last == 0 || reader->last == '\n') {
        return 0;
    }
    if (reader->last != '\r') {
        *to++ = '\r';
    }
    *to++ = '\n';
    reader->last = '\n';
    return (size_t)(to - out);
}
