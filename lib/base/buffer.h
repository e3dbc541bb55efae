/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_BUFFER_H
#define LIB_BASE_BUFFER_H

#include <mail/base.h>

/*
 * Bytes that come in at the end and leave at the front, in one block that grows up
 * to `limit` and never moves what lies at the front without need.
 */
typedef struct buffer {
    const mail_mem *mem;
    char *data;
    size_t start; /* of what is held */
    size_t end;
    size_t capacity;
    size_t limit;
    bool is_secret; /* set after init: memory that it gives back is wiped first */
} buffer;

/* Allocates nothing yet. */
void buffer_init(buffer *buf, const mail_mem *mem, size_t limit);
void buffer_deinit(buffer *buf);

/* The same for what was secret: nothing of it stays in memory that others will use. */
void buffer_wipe(buffer *buf);

static inline size_t buffer_length(const buffer *buf)
{
    return buf->end - buf->start;
}

static inline mail_span buffer_bytes(const buffer *buf)
{
    return mail_span_of(buf->data != NULL ? buf->data + buf->start : NULL, buf->end - buf->start);
}

/* How much may still be appended before the limit. */
static inline size_t buffer_room(const buffer *buf)
{
    return buf->limit - (buf->end - buf->start);
}

/*
 * A place for `n` bytes behind what is held; buffer_added says how many were
 * put there. NULL: no memory, or over the limit.
 */
char *buffer_space(buffer *buf, size_t n);

static inline void buffer_added(buffer *buf, size_t n)
{
    buf->end += n;
}

/* MAIL_OK, MAIL_ENOMEM or MAIL_ELIMIT (nothing appended). */
int buffer_append(buffer *buf, mail_span bytes);
int buffer_printf(buffer *buf, const char *format, ...) MAIL_PRINTF(2, 3);

/* Drops `n` bytes at the front. */
void buffer_consume(buffer *buf, size_t n);

/* Drops all and, if the block has grown past `keep`, gives it back. */
void buffer_clear(buffer *buf, size_t keep);

#endif
