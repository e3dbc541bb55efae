/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

/* The first block; it doubles from here. */
#define FIRST_CAPACITY 256

void buffer_init(buffer *buf, const mail_mem *mem, size_t limit)
{
    *buf = (buffer){.mem = mem, .limit = limit};
}

static void give_back(buffer *buf)
{
    if (buf->is_secret && buf->data != NULL) {
        explicit_bzero(buf->data, buf->capacity);
    }
    mem_free(buf->mem, buf->data, buf->capacity);
}

void buffer_deinit(buffer *buf)
{
    give_back(buf);
    *buf = (buffer){.mem = buf->mem, .limit = buf->limit, .is_secret = buf->is_secret};
}

void buffer_wipe(buffer *buf)
{
    if (buf->data != NULL) {
        explicit_bzero(buf->data, buf->capacity);
    }
    buffer_deinit(buf);
}

/* A block that moves would leave what it held behind. */
static char *resize_secret(buffer *buf, size_t capacity)
{
    char *data = mem_alloc(buf->mem, capacity);

    if (data != NULL) {
        if (buf->end > 0) {
            memcpy(data, buf->data, buf->end);
        }
        give_back(buf);
    }
    return data;
}

static bool grow(buffer *buf, size_t need)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : FIRST_CAPACITY;
    char *data;

    while (capacity < need) {
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    }
    data = buf->is_secret ? resize_secret(buf, capacity)
                          : mem_resize(buf->mem, buf->data, buf->capacity, capacity);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

char *buffer_space(buffer *buf, size_t n)
{
    size_t length = buffer_length(buf);

    if (n > buffer_room(buf)) {
        return NULL;
    }
    if (n > buf->capacity - buf->end) {
        if (buf->start > 0) {
            memmove(buf->data, buf->data + buf->start, length);
            buf->start = 0;
            buf->end = length;
        }
        if (n > buf->capacity - buf->end && !grow(buf, length + n)) {
            return NULL;
        }
    }
    return buf->data + buf->end;
}

int buffer_append(buffer *buf, mail_span bytes)
{
    char *to;

    if (bytes.length == 0) {
        return MAIL_OK;
    }
    if (bytes.length > buffer_room(buf)) {
        return MAIL_ELIMIT;
    }
    to = buffer_space(buf, bytes.length);
    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(to, bytes.data, bytes.length);
    buffer_added(buf, bytes.length);
    return MAIL_OK;
}

int buffer_printf(buffer *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    size_t length;
    char *to;
    int code;

    va_start(args, format);
    va_copy(again, args);
    code = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(code >= 0);
    length = (size_t)code;
    code = length < buffer_room(buf) ? MAIL_ENOMEM : MAIL_ELIMIT;
    to = buffer_space(buf, length + 1);
    if (to != NULL) {
        vsnprintf(to, length + 1, format, again);
        buffer_added(buf, length);
        code = MAIL_OK;
    }
    va_end(again);
    return code;
}

void buffer_consume(buffer *buf, size_t n)
{
    assert(n <= buffer_length(buf));
    buf->start += n;
    if (buf->start == buf->end) {
        buf->start = 0;
        buf->end = 0;
    }
}

void buffer_clear(buffer *buf, size_t keep)
{
    buf->start = 0;
    buf->end = 0;
    if (buf->capacity > keep) {
        buffer_deinit(buf);
    }
}
