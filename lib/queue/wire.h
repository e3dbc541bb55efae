/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_WIRE_H
#define LIB_QUEUE_WIRE_H

#include <mail/base.h>

/*
 * Numbers as they lie in the spool: little-endian, unaligned. A reader past its end
 * gives zeros and empty spans and remembers it in `bad`, so that a parser need look
 * only once.
 */
static inline void wire_put(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        to[i] = (char)(value >> (8 * i));
    }
}

static inline uint64_t wire_get(const char *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    }
    return value;
}

/* Writes behind what was written before; the caller knows that there is room. */
typedef struct wire_writer {
    char *at;
} wire_writer;

static inline void wire_add(wire_writer *to, uint64_t value, unsigned bytes)
{
    wire_put(to->at, value, bytes);
    to->at += bytes;
}

static inline void wire_add_bytes(wire_writer *to, mail_span bytes)
{
    if (bytes.length > 0) {
        memcpy(to->at, bytes.data, bytes.length);
        to->at += bytes.length;
    }
}

typedef struct wire_reader {
    const char *at;
    size_t left;
    bool bad;
} wire_reader;

static inline wire_reader wire_reader_of(mail_span bytes)
{
    wire_reader reader = {bytes.data, bytes.length, false};

    return reader;
}

static inline mail_span wire_take_bytes(wire_reader *from, size_t length)
{
    mail_span bytes = mail_span_of(from->at, length);

    if (length > from->left) {
        from->bad = true;
        from->left = 0;
        return mail_span_of(NULL, 0);
    }
    from->at += length;
    from->left -= length;
    return bytes;
}

static inline uint64_t wire_take(wire_reader *from, unsigned bytes)
{
    mail_span span = wire_take_bytes(from, bytes);

    return span.length == bytes ? wire_get(span.data, bytes) : 0;
}

#endif
