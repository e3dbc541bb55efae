/* SPDX-License-Identifier: MIT */
#include <mail/sink.h>

#include <assert.h>

#include "base/mem.h"

static int span_peek(mail_source *source, mail_span *out)
{
    *out = ((mail_source_span *)source)->rest;
    return MAIL_OK;
}

static void span_drop(mail_source *source, size_t n)
{
    mail_source_span *self = (mail_source_span *)source;

    assert(n <= self->rest.length);
    self->rest = mail_span_from(self->rest, n);
}

static void span_close(mail_source *source)
{
    (void)source;
}

void mail_source_span_init(mail_source_span *source, mail_span bytes)
{
    static const mail_source_ops ops = {span_peek, span_drop, span_close};

    *source = (mail_source_span){.source = {.ops = &ops}, .rest = bytes};
}

static size_t memory_room(mail_sink *sink)
{
    mail_sink_memory *self = (mail_sink_memory *)sink;

    /* At the limit there is still room for a byte, so that the writer learns of it. */
    return self->length < self->limit_bytes ? self->limit_bytes - self->length : 1;
}

static int memory_reserve(mail_sink_memory *self, size_t need)
{
    size_t capacity = self->capacity > 0 ? self->capacity : 1024;
    char *data;

    while (capacity < need) {
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    }
    if (capacity == self->capacity) {
        return MAIL_OK;
    }
    data = mem_resize(self->mem, self->data, self->capacity, capacity);
    if (data == NULL) {
        return MAIL_ENOMEM;
    }
    self->data = data;
    self->capacity = capacity;
    return MAIL_OK;
}

static int memory_write(mail_sink *sink, mail_span bytes)
{
    mail_sink_memory *self = (mail_sink_memory *)sink;
    int code;

    if (bytes.length > self->limit_bytes - self->length) {
        return MAIL_ELIMIT;
    }
    if (bytes.length == 0) {
        return MAIL_OK;
    }
    code = memory_reserve(self, self->length + bytes.length);
    if (code != MAIL_OK) {
        return code;
    }
    memcpy(self->data + self->length, bytes.data, bytes.length);
    self->length += bytes.length;
    return MAIL_OK;
}

static int memory_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    (void)fn;
    (void)arg;
    ((mail_sink_memory *)sink)->finished = true;
    return MAIL_OK;
}

static void memory_abort(mail_sink *sink)
{
    (void)sink;
}

void mail_sink_memory_init(mail_sink_memory *sink, const mail_mem *mem, size_t limit_bytes)
{
    static const mail_sink_ops ops = {memory_room, memory_write, memory_finish, memory_abort};

    *sink = (mail_sink_memory){.sink = {.ops = &ops}, .mem = mem, .limit_bytes = limit_bytes};
}

void mail_sink_memory_deinit(mail_sink_memory *sink)
{
    mem_free(sink->mem, sink->data, sink->capacity);
    sink->data = NULL;
    sink->length = 0;
    sink->capacity = 0;
}

mail_span mail_sink_memory_bytes(const mail_sink_memory *sink)
{
    return mail_span_of(sink->data, sink->length);
}

bool mail_sink_memory_finished(const mail_sink_memory *sink)
{
    return sink->finished;
}
