/* SPDX-License-Identifier: MIT */
#include "queue/keep.h"
#include "queue/part.h"

/*
 * A checkpoint is written while the queue goes on: its first record, then, in the order of
 * their arrival, how all messages stand, then its last record. A message that changes after
 * its part was written has a record of that behind the part; one that changes before is in
 * the part as it then stands. So whoever reads from the first record on, and believes it
 * only once the last was found, sees every message as it stood at the end.
 */

#define PART_BYTES ((size_t)64 << 10)

/* What a message takes in a checkpoint, about. */
#define MESSAGE_BYTES 128

/* How many segments a restart may have to read in any case. */
#define SEGMENTS 4

bool queue_checkpoint_due(queue_log *log)
{
    uint64_t enough = SEGMENTS * log->queue->opts.segment_bytes;
    uint64_t cost = 8 * MESSAGE_BYTES * log->queue->stats.messages;
    uint64_t bytes = 0;

    pthread_mutex_lock(&log->lock);
    for (list *at = log->segments.prev; at != &log->segments; at = at->prev) {
        const queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        if (segment->serial <= log->checkpoint.last_serial) {
            break;
        }
        bytes += segment->capacity;
    }
    pthread_mutex_unlock(&log->lock);
    return bytes > enough && bytes > cost;
}

static bool submit(queue_log *log, queue_record *record)
{
    if (record == NULL) {
        return false;
    }
    memset(record->data + QUEUE_RECORD_SIZE + record->header.head_length, 0, QUEUE_RECORD_ALIGN);
    queue_submit(&log->base, record);
    return true;
}

/* Without memory for a record the next keeping tries again. */
void queue_checkpoint_begin(queue_log *log)
{
    if (submit(log, queue_record_create(log->mem, QUEUE_RECORD_BEGIN, 0, 0))) {
        pthread_mutex_lock(&log->lock);
        log->beginning = (queue_checkpoint){
            /* Where it will lie is not known yet: in no segment before the last one. */
            .serial = LIST_OWNER(log->segments.prev, queue_segment, link)->serial,
        };
        pthread_mutex_unlock(&log->lock);
        log->checkpoint_state = QUEUE_CHECKPOINT_AWAIT_BEGIN;
    }
}

/* As many messages as one part may hold, one at least. */
static queue_record *make_part(queue_log *log)
{
    mail_queue *queue = log->queue;
    size_t length = 0;
    queue_record *part;
    wire_writer to;
    list *end = queue->walk;

    do {
        length += queue_part_length(LIST_OWNER(end, queue_message, in_order));
        end = end->next;
    } while (end != &queue->order && length < PART_BYTES);
    part = queue_record_create(log->mem, QUEUE_RECORD_PART, 0, length);
    if (part == NULL) {
        return NULL;
    }
    part->header.head_length = (uint32_t)length;
    to.at = part->data + QUEUE_RECORD_SIZE;
    for (; queue->walk != end; queue->walk = queue->walk->next) {
        queue_part_write(log, LIST_OWNER(queue->walk, queue_message, in_order), &to);
    }
    return part;
}

static void write_end(queue_log *log)
{
    queue_record *record = queue_record_create(log->mem, QUEUE_RECORD_END, 0, 8);

    if (record != NULL) {
        record->header.head_length = 8;
        wire_put(record->data + QUEUE_RECORD_SIZE, log->beginning.sequence, 8);
        (void)submit(log, record);
        log->queue->walk = NULL;
        log->checkpoint_state = QUEUE_CHECKPOINT_AWAIT_END;
    }
}

void queue_checkpoint_go_on(queue_log *log)
{
    if (log->checkpoint_state != QUEUE_CHECKPOINT_AWAIT_PARTS) {
        return;
    }
    if (log->queue->walk == &log->queue->order) {
        write_end(log);
    } else {
        (void)submit(log, make_part(log));
    }
}

/* Its first record is safe, and every message that came before has been put into the index. */
static void on_begun(queue_log *log, const queue_record *record)
{
    log->beginning.serial = queue_segment_at(log, record->place)->serial;
    log->beginning.offset = record->place & UINT32_MAX;
    log->beginning.sequence = record->header.sequence;
    log->queue->walk = log->queue->order.next;
    log->checkpoint_state = QUEUE_CHECKPOINT_AWAIT_PARTS;
}

static void on_ended(queue_log *log, const queue_record *record)
{
    log->beginning.last_serial = queue_segment_at(log, record->place)->serial;
    pthread_mutex_lock(&log->lock);
    log->checkpoint = log->beginning;
    pthread_mutex_unlock(&log->lock);
    log->checkpoint_state = QUEUE_CHECKPOINT_NONE;
    log->queue->keep_at = INT64_MIN;
}

void queue_checkpoint_settled(queue_log *log, const queue_record *record)
{
    if (record->header.type == QUEUE_RECORD_BEGIN) {
        on_begun(log, record);
    } else if (record->header.type == QUEUE_RECORD_END) {
        on_ended(log, record);
    }
}
