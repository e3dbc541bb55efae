/* SPDX-License-Identifier: MIT */
#include "queue/part.h"

#include "base/mem.h"

#define MESSAGE_SIZE   64 /* without its recipients */
#define RECIPIENT_SIZE 22 /* without its domain */

size_t queue_part_length(const queue_message *message)
{
    size_t length = MESSAGE_SIZE;

    for (uint32_t i = 0; i < message->count; i++) {
        const mail_lane *lane = message->recipients[i].lane;

        length += RECIPIENT_SIZE + (lane != NULL ? mail_lane_domain(lane).length : 0);
    }
    return length;
}

queue_segment *queue_segment_find(queue_log *log, uint64_t serial)
{
    for (list *at = log->segments.prev; at != &log->segments; at = at->prev) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        if (segment->serial == serial) {
            return segment;
        }
    }
    return NULL;
}

static void write_place(queue_log *log, queue_place place, wire_writer *to)
{
    wire_add(to, place != 0 ? queue_segment_at(log, place)->serial : 0, 8);
    wire_add(to, place & UINT32_MAX, 4);
}

static void write_recipient(queue_log *log, const queue_recipient *recipient, wire_writer *to)
{
    const mail_queue *queue = log->queue;
    mail_span domain = mail_span_of(NULL, 0);
    mail_time due = recipient->due.key;

    if (recipient->lane != NULL) {
        domain = mail_lane_domain(recipient->lane);
    }
    wire_add(to, recipient->flags & QUEUE_KEPT, 2);
    wire_add(to, recipient->attempts, 2);
    wire_add(to, due > queue->tick_zero ? queue_tick(queue, due) : 0, 4);
    write_place(log, recipient->outcome, to);
    wire_add(to, domain.length, 2);
    wire_add_bytes(to, domain);
}

void queue_part_write(queue_log *log, const queue_message *message, wire_writer *to)
{
    wire_add(to, queue_message_id(message), 8);
    write_place(log, message->place, to);
    wire_add(to, message->size, 8);
    wire_add(to, (uint64_t)message->arrival, 8);
    wire_add(to, message->arrival_tick, 4);
    wire_add(to, message->head_length, 4);
    wire_add(to, message->sender_hash, 4);
    wire_add(to, message->flags, 4);
    wire_add(to, message->count, 4);
    wire_add(to, 0, 8);
    for (uint32_t i = 0; i < message->count; i++) {
        write_recipient(log, &message->recipients[i], to);
    }
}

/* 0: the segment is gone. What was of use in it was copied after this was written. */
static queue_place read_place(queue_log *log, wire_reader *from, uint32_t weight)
{
    uint64_t serial = wire_take(from, 8);
    uint64_t offset = wire_take(from, 4);
    queue_segment *segment = queue_segment_find(log, serial);

    if (segment == NULL || offset < QUEUE_SEGMENT_HEADER || offset >= segment->capacity) {
        return 0;
    }
    segment->live += weight;
    return queue_place_of(segment, offset);
}

static int read_recipient(queue_log *log, wire_reader *from, queue_message *message, uint32_t index)
{
    queue_recipient *recipient = &message->recipients[index];
    uint64_t flags = wire_take(from, 2);
    size_t domain;
    int code;

    recipient->flags = (uint8_t)(flags & QUEUE_KEPT);
    recipient->attempts = (uint16_t)wire_take(from, 2);
    recipient->due.key = (mail_time)wire_take(from, 4);
    recipient->outcome = read_place(log, from, QUEUE_OUTCOME_WEIGHT);
    domain = wire_take(from, 2);
    code = queue_lane_use(log->queue, wire_take_bytes(from, domain), &recipient->lane);
    if (code == MAIL_OK && (recipient->flags & QUEUE_DONE)) {
        queue_lane_drop(recipient->lane);
        recipient->lane = NULL;
        message->open--;
    }
    return code;
}

static int read_recipients(queue_log *log, wire_reader *from, queue_message *message)
{
    int code = MAIL_OK;

    for (uint32_t i = 0; i < message->count && code == MAIL_OK; i++) {
        code = read_recipient(log, from, message, i);
    }
    return code == MAIL_OK && (from->bad || message->open == 0) ? MAIL_EDAMAGED : code;
}

/* Whether a message that says so of itself can lie in a segment. */
static bool is_plausible(const queue_message *said)
{
    bool is_large = (said->flags & QUEUE_HEAD_LARGE) != 0;

    return said->count > 0 && said->head_length <= QUEUE_RECORD_MAX / 4 &&
           (is_large || said->size <= QUEUE_RECORD_MAX / 4);
}

/* The message without its recipients. */
static int read_message(queue_log *log, wire_reader *from, queue_message **out)
{
    uint64_t id = wire_take(from, 8);
    mail_span place = wire_take_bytes(from, 12);
    mail_span fixed = wire_take_bytes(from, MESSAGE_SIZE - 20);
    wire_reader at = wire_reader_of(fixed);
    queue_message said = {0};
    queue_message *message;

    said.size = wire_take(&at, 8);
    said.arrival = (mail_wall)wire_take(&at, 8);
    said.arrival_tick = (uint32_t)wire_take(&at, 4);
    said.head_length = (uint32_t)wire_take(&at, 4);
    said.sender_hash = (uint32_t)wire_take(&at, 4);
    said.flags = (uint8_t)wire_take(&at, 4);
    said.count = (uint32_t)wire_take(&at, 4);
    if (from->bad || !is_plausible(&said) || said.count > from->left / RECIPIENT_SIZE) {
        return MAIL_EDAMAGED;
    }
    message = queue_message_create(log->queue, id, said.count);
    if (message == NULL) {
        return MAIL_ENOMEM;
    }
    message->size = said.size;
    message->arrival = said.arrival;
    message->arrival_tick = said.arrival_tick;
    message->head_length = said.head_length;
    message->sender_hash = said.sender_hash;
    message->flags = said.flags;
    at = wire_reader_of(place);
    message->place = read_place(log, &at, queue_message_weight(message));
    *out = message;
    return MAIL_OK;
}

int queue_part_read(queue_log *log, wire_reader *from, uint64_t touched)
{
    mail_queue *queue = log->queue;
    queue_message *message = NULL;
    queue_message *old;
    int code;

    if (from->left == 0) {
        return MAIL_ENOENT;
    }
    code = read_message(log, from, &message);
    if (code != MAIL_OK) {
        return code;
    }
    code = read_recipients(log, from, message);
    if (code != MAIL_OK) {
        queue_message_destroy(queue, message);
        return code;
    }
    old = queue_index_find(queue, queue_message_id(message));
    if (old != NULL) {
        queue_index_remove(queue, old);
    }
    message->number = touched;
    return queue_index_add(queue, message);
}
