/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <assert.h>

#include "base/mem.h"

queue_record *queue_record_create(const mail_mem *mem, queue_record_type type, uint64_t id,
                                  size_t head_capacity)
{
    queue_record *record = mem_alloc(mem, sizeof(*record));

    if (record == NULL) {
        return NULL;
    }
    record->header = (queue_header){.type = type, .id = id};
    record->large_fd = -1;
    record->promised = QUEUE_RECORD_SIZE + head_capacity;
    list_init(&record->link);
    if (queue_record_reserve(mem, record, record->promised) != MAIL_OK) {
        mem_free(mem, record, sizeof(*record));
        return NULL;
    }
    return record;
}

void queue_record_destroy(const mail_mem *mem, queue_record *record)
{
    if (record != NULL) {
        mem_free(mem, record->data, record->capacity);
        mem_free(mem, record, sizeof(*record));
    }
}

int queue_record_reserve(const mail_mem *mem, queue_record *record, size_t length)
{
    size_t need = length + QUEUE_RECORD_ALIGN;
    size_t capacity = record->capacity;
    char *data;

    if (need <= capacity) {
        return MAIL_OK;
    }
    capacity =
        capacity > 0 && capacity <= SIZE_MAX / 2 && capacity * 2 > need ? capacity * 2 : need;
    data = mem_resize(mem, record->data, record->capacity, capacity);
    if (data == NULL) {
        return MAIL_ENOMEM;
    }
    record->data = data;
    record->capacity = capacity;
    return MAIL_OK;
}

queue_record *queue_note_begin(const mail_queue *queue, const queue_message *message,
                               uint32_t count)
{
    return queue_record_create(queue->mem, QUEUE_RECORD_OUTCOME, queue_message_id(message),
                               (size_t)count * QUEUE_OUTCOME_SIZE);
}

/* The reply may grow the record, so that what was promised to later additions stays free. */
static mail_span reply_that_fits(const mail_queue *queue, queue_record *note, mail_span reply)
{
    if (reply.length > QUEUE_OUTCOME_REPLY) {
        reply.length = QUEUE_OUTCOME_REPLY;
    }
    if (note->header.head_length > queue->opts.segment_bytes / 8) {
        reply.length = 0; /* no record may come near to the length of a segment */
    }
    if (reply.length > 0 &&
        queue_record_reserve(queue->mem, note, note->promised + reply.length) != MAIL_OK) {
        reply.length = 0;
    }
    note->promised += reply.length;
    return reply;
}

void queue_note_add(const mail_queue *queue, queue_record *note, const queue_recipient *recipient,
                    mail_span reply)
{
    mail_time due = recipient->due.key > queue->tick_zero ? recipient->due.key : queue->tick_zero;
    queue_outcome outcome = {
        .index = recipient->index,
        .flags = recipient->flags & QUEUE_KEPT,
        .attempts = recipient->attempts,
        .due = queue_tick(queue, due),
        .reply = reply_that_fits(queue, note, reply),
    };
    wire_writer to = {note->data + QUEUE_RECORD_SIZE + note->header.head_length};

    queue_outcome_write(&outcome, &to);
    note->header.head_length += (uint32_t)(QUEUE_OUTCOME_SIZE + outcome.reply.length);
    note->weight += QUEUE_OUTCOME_WEIGHT;
}

void queue_note_commit(mail_queue *queue, queue_record *note, queue_message *message)
{
    size_t length;

    if (message->open == 0) {
        note->header.type = QUEUE_RECORD_REMOVED;
        note->header.head_length = 0;
        note->weight = 0;
        note->ends_large = (message->flags & QUEUE_HEAD_LARGE) != 0;
        queue_index_remove(queue, message);
    } else if (note->header.head_length == 0) {
        queue_record_destroy(queue->mem, note);
        return;
    }
    length = QUEUE_RECORD_SIZE + note->header.head_length;
    memset(note->data + length, 0, QUEUE_RECORD_ALIGN);
    queue_submit(queue->store, note);
    queue_keep_soon(queue);
}

void queue_set_held(mail_queue *queue, queue_recipient *recipient, bool is_held)
{
    if (((recipient->flags & QUEUE_HELD) != 0) != is_held) {
        recipient->flags ^= QUEUE_HELD;
        queue->stats.held += is_held ? 1 : (uint64_t)-1;
    }
}
