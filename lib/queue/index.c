/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <assert.h>

#include "base/ascii.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "queue/large.h"

static size_t size_of(uint32_t count)
{
    return sizeof(queue_message) + count * sizeof(queue_recipient);
}

queue_message *queue_message_create(mail_queue *queue, uint64_t id, uint32_t count)
{
    queue_message *message = mem_alloc(queue->mem, size_of(count));

    if (message == NULL) {
        return NULL;
    }
    message->by_id.hash = id;
    message->count = count;
    message->open = count;
    list_init(&message->in_order);
    for (uint32_t i = 0; i < count; i++) {
        message->recipients[i].index = i;
        list_init(&message->recipients[i].in_lane);
    }
    return message;
}

void queue_message_destroy(mail_queue *queue, queue_message *message)
{
    for (uint32_t i = 0; i < message->count; i++) {
        if (message->recipients[i].lane != NULL) {
            queue_lane_drop(message->recipients[i].lane);
        }
    }
    mem_free(queue->mem, message, size_of(message->count));
}

queue_message *queue_message_of(const queue_recipient *recipient)
{
    return LIST_OWNER(recipient - recipient->index, queue_message, recipients);
}

uint64_t queue_message_id(const queue_message *message)
{
    return message->by_id.hash;
}

uint32_t queue_message_weight(const queue_message *message)
{
    queue_header header = {
        .head_length = message->head_length,
        .body_length = message->flags & QUEUE_HEAD_LARGE ? 0 : message->size,
    };

    return (uint32_t)queue_header_total(&header);
}

/* Kept in checkpoints: so no secret seed. Who makes others collide makes an operator's search slow. */
uint32_t queue_sender_hash(mail_span sender)
{
    uint32_t hash = 0;
    char lower[64];

    while (sender.length > 0) {
        size_t n = sender.length < sizeof(lower) ? sender.length : sizeof(lower);

        for (size_t i = 0; i < n; i++) {
            lower[i] = ascii_lower(sender.data[i]);
        }
        hash = crc32c(hash, lower, n);
        sender = mail_span_from(sender, n);
    }
    return hash;
}

queue_message *queue_index_find(const mail_queue *queue, uint64_t id)
{
    table_entry *entry = table_first(&queue->messages, id);

    return entry != NULL ? LIST_OWNER(entry, queue_message, by_id) : NULL;
}

int queue_index_add(mail_queue *queue, queue_message *message)
{
    int code = table_insert(&queue->messages, &message->by_id, queue_message_id(message));

    if (code != MAIL_OK) {
        return code;
    }
    list_push_back(&queue->order, &message->in_order);
    queue->stats.messages++;
    queue->stats.recipients += message->open;
    return MAIL_OK;
}

void queue_index_close(mail_queue *queue, queue_recipient *recipient)
{
    queue_message *message = queue_message_of(recipient);

    assert(recipient->lane != NULL && message->open > 0);
    recipient->flags |= QUEUE_DONE;
    queue_lane_leave(recipient);
    message->open--;
    queue->stats.recipients--;
}

void queue_index_remove(mail_queue *queue, queue_message *message)
{
    const queue_store_ops *ops = queue->store->ops;

    if (message->place != 0) {
        ops->release(queue->store, message->place, queue_message_weight(message));
    }
    for (uint32_t i = 0; i < message->count; i++) {
        queue_recipient *recipient = &message->recipients[i];

        if (recipient->lane != NULL) {
            queue_index_close(queue, recipient);
        }
        if (recipient->outcome != 0) {
            ops->release(queue->store, recipient->outcome, QUEUE_OUTCOME_WEIGHT);
        }
    }
    if (queue->walk == &message->in_order) {
        queue->walk = message->in_order.next;
    }
    table_remove(&queue->messages, &message->by_id);
    list_remove(&message->in_order);
    queue->stats.messages--;
    queue_message_destroy(queue, message);
}

/* A message has become safe: it may be delivered from now on. */
static void on_arrived(mail_queue *queue, queue_message *message)
{
    mail_time due = queue_fresh_due(queue, message->arrival_tick);
    int code = queue_index_add(queue, message);

    assert(code == MAIL_OK); /* the table has held something since open: growing is best effort */
    (void)code;
    message->number = ++queue->numbered;
    queue->stats.accepted++;
    queue_keep_soon(queue);
    for (uint32_t i = 0; i < message->count; i++) {
        queue_recipient *recipient = &message->recipients[i];

        queue_lane_join(recipient->lane, recipient, due);
    }
}

/* The states of some recipients lie at a new place. */
static void on_outcome(mail_queue *queue, const queue_record *record)
{
    const queue_store_ops *ops = queue->store->ops;
    queue_message *message = queue_index_find(queue, record->header.id);
    wire_reader from =
        wire_reader_of(mail_span_of(record->data + QUEUE_RECORD_SIZE, record->header.head_length));
    queue_outcome outcome;

    while (queue_outcome_next(&from, &outcome)) {
        queue_place old = record->place;

        if (message != NULL) {
            old = message->recipients[outcome.index].outcome;
            message->recipients[outcome.index].outcome = record->place;
        }
        if (old != 0) {
            ops->release(queue->store, old, QUEUE_OUTCOME_WEIGHT);
        }
    }
}

/* A message was copied out of a segment that is to be emptied. */
static void on_copied(mail_queue *queue, const queue_record *record)
{
    queue_message *message = queue_index_find(queue, record->header.id);
    queue_place old = record->place;

    if (message != NULL) {
        old = message->place;
        message->place = record->place;
    }
    queue->store->ops->release(queue->store, old, record->weight);
}

static void on_settled(mail_queue *queue, queue_record *record)
{
    if (record->code == MAIL_OK) {
        if (record->header.type == QUEUE_RECORD_OUTCOME) {
            on_outcome(queue, record);
        } else if (record->header.type == QUEUE_RECORD_MESSAGE) {
            on_copied(queue, record);
        } else {
            queue->store->ops->settled(queue->store, record);
        }
        if (record->ends_large) {
            queue_large_remove(queue->opts.files, queue->large_dir, record->header.id);
        }
    }
    queue_record_destroy(queue->mem, record);
}

void queue_drain(mail_queue *queue)
{
    list arrived;
    list settled;
    list *link;

    pthread_mutex_lock(&queue->lock);
    list_take_all(&arrived, &queue->arrived);
    list_take_all(&settled, &queue->settled);
    queue->due_told = false;
    pthread_mutex_unlock(&queue->lock);

    while ((link = list_pop_front(&arrived)) != NULL) {
        on_arrived(queue, LIST_OWNER(link, queue_message, in_order));
    }
    while ((link = list_pop_front(&settled)) != NULL) {
        on_settled(queue, LIST_OWNER(link, queue_record, link));
    }
}
