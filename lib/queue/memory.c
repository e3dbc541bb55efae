/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "queue/queue.h"

/*
 * The storage that forgets: every record that something may be read from stays where it
 * was made, and its place is its address. `weight` counts down to when it can go.
 */
typedef struct memory_store {
    queue_store base;
    mail_queue *queue;
} memory_store;

typedef struct kept {
    uint32_t weight;
    uint32_t pins;
    size_t length;
    char data[];
} kept;

static kept *at(queue_place place)
{
    return (kept *)(uintptr_t)place;
}

static void free_if_unused(memory_store *store, kept *record)
{
    if (record->weight == 0 && record->pins == 0) {
        mem_free(store->queue->mem, record, sizeof(*record) + record->length);
    }
}

static int memory_room(queue_store *base, uint64_t expected)
{
    (void)base;
    (void)expected;
    return MAIL_OK;
}

static void keep(memory_store *store, queue_record *record)
{
    size_t length = (size_t)queue_header_total(&record->header);
    kept *copy = NULL;

    record->code = MAIL_OK;
    record->place = 0;
    queue_header_write(&record->header, record->data);
    if (record->weight > 0) {
        copy = mem_resize(store->queue->mem, NULL, 0, sizeof(*copy) + length);
        record->code = copy != NULL ? MAIL_OK : MAIL_ENOMEM;
    }
    if (copy != NULL) {
        *copy = (kept){.weight = record->weight, .length = length};
        memcpy(copy->data, record->data, length);
        record->place = (uintptr_t)copy;
    }
}

static void memory_submit(queue_store *base, list *records)
{
    memory_store *store = (memory_store *)base;

    for (list *at = records->next; at != records; at = at->next) {
        keep(store, LIST_OWNER(at, queue_record, link));
    }
    queue_settle(store->queue, records);
}

static int memory_read(queue_store *base, queue_place place, uint64_t offset, void *to, size_t size)
{
    (void)base;
    if (offset > at(place)->length || size > at(place)->length - offset) {
        return MAIL_EDAMAGED;
    }
    memcpy(to, at(place)->data + offset, size);
    return MAIL_OK;
}

static void memory_release(queue_store *base, queue_place place, uint32_t weight)
{
    at(place)->weight -= weight;
    free_if_unused((memory_store *)base, at(place));
}

static void memory_pin(queue_store *base, queue_place place)
{
    (void)base;
    at(place)->pins++;
}

static void memory_unpin(queue_store *base, queue_place place)
{
    at(place)->pins--;
    free_if_unused((memory_store *)base, at(place));
}

static void memory_set_aside(queue_store *base, queue_place place, uint64_t length)
{
    (void)base;
    (void)place;
    (void)length;
}

static void memory_flush(queue_store *base)
{
    (void)base;
}

static void memory_settled(queue_store *base, const queue_record *record)
{
    (void)base;
    (void)record;
}

static mail_time memory_keep(queue_store *base, mail_time now)
{
    (void)base;
    (void)now;
    return MAIL_NEVER;
}

static void memory_stats(queue_store *base, mail_queue_stats *out)
{
    (void)base;
    (void)out;
}

static void memory_close(queue_store *base)
{
    memory_store *store = (memory_store *)base;

    mem_free(store->queue->mem, store, sizeof(*store));
}

int queue_memory_open(queue_store **out, mail_queue *queue)
{
    static const queue_store_ops ops = {
        .room = memory_room,
        .submit = memory_submit,
        .read = memory_read,
        .release = memory_release,
        .pin = memory_pin,
        .unpin = memory_unpin,
        .set_aside = memory_set_aside,
        .flush = memory_flush,
        .step = memory_flush,
        .settled = memory_settled,
        .keep = memory_keep,
        .stats = memory_stats,
        .close = memory_close,
    };
    memory_store *store = mem_alloc(queue->mem, sizeof(*store));

    if (store == NULL) {
        return MAIL_ENOMEM;
    }
    store->base.ops = &ops;
    store->queue = queue;
    *out = &store->base;
    return MAIL_OK;
}
