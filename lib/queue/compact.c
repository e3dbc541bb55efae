/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "queue/keep.h"
#include "queue/replies.h"
#include "queue/scan.h"

/*
 * Copies are records like any other, and count from the moment they are safe: the index then
 * points to them, and what they were copied from weighs nothing any more. A crash before
 * that finds the message at its old place, one after it finds the copy later in the log.
 */

#define STEP_BYTES ((uint64_t)256 << 10)

void queue_compact_begin(queue_log *log, queue_segment *segment)
{
    uint64_t end = segment->end > 0 ? segment->end : segment->capacity;

    if (queue_segment_fd(log, segment) < 0) {
        segment->is_tried = true;
        return;
    }
    queue_scan_init(&log->scan, log->files, log->mem, segment->fd, segment->generation,
                    QUEUE_SEGMENT_HEADER, end);
    log->compacting = segment;
}

void queue_compact_stop(queue_log *log)
{
    if (log->compacting != NULL) {
        queue_scan_deinit(&log->scan);
        log->compacting->is_tried = true;
        log->compacting = NULL;
    }
}

static void submit(queue_log *log, queue_record *record)
{
    size_t length = QUEUE_RECORD_SIZE + record->header.head_length + record->header.body_length;

    memset(record->data + length, 0, QUEUE_RECORD_ALIGN);
    queue_submit(&log->base, record);
}

/*
 * How all recipients stand that do not stand as at the start. It goes right behind the copy:
 * a restart may meet the copy first of all, and what outcomes before it said is then lost
 * on it.
 */
static queue_record *note_all(mail_queue *queue, const queue_message *message)
{
    queue_record *note = queue_note_begin(queue, message, message->count);
    queue_replies replies;

    if (note == NULL || queue_replies_load(&replies, queue, message) != MAIL_OK) {
        queue_record_destroy(queue->mem, note);
        return NULL;
    }
    for (uint32_t i = 0; i < message->count; i++) {
        const queue_recipient *recipient = &message->recipients[i];

        if (recipient->outcome != 0 || recipient->attempts > 0 || recipient->flags & QUEUE_KEPT) {
            queue_note_add(queue, note, recipient, queue_replies_of(&replies, i));
        }
    }
    queue_replies_deinit(&replies);
    return note;
}

static queue_record *copy_record(queue_log *log, const queue_scanned *found)
{
    size_t length = found->header.head_length + (size_t)found->header.body_length;
    queue_record *record =
        queue_record_create(log->mem, QUEUE_RECORD_MESSAGE, found->header.id, length);

    if (record != NULL) {
        record->header.head_length = found->header.head_length;
        record->header.body_length = found->header.body_length;
        record->header.body_crc = found->header.body_crc;
        memcpy(record->data + QUEUE_RECORD_SIZE, found->record + QUEUE_RECORD_SIZE, length);
    }
    return record;
}

static void submit_or_drop(queue_log *log, queue_record *note)
{
    if (note->header.head_length > 0) {
        submit(log, note);
    } else {
        queue_record_destroy(log->mem, note);
    }
}

static int copy_message(queue_log *log, const queue_scanned *found, queue_place place)
{
    const queue_message *message = queue_index_find(log->queue, found->header.id);
    queue_record *record;
    queue_record *note;

    if (message == NULL || message->place != place) {
        return MAIL_OK;
    }
    record = copy_record(log, found);
    note = note_all(log->queue, message);
    if (record == NULL || note == NULL) {
        queue_record_destroy(log->mem, record);
        queue_record_destroy(log->mem, note);
        return MAIL_ENOMEM;
    }
    record->weight = queue_message_weight(message);
    submit(log, record);
    submit_or_drop(log, note);
    return MAIL_OK;
}

/*
 * The recipients whose last outcome this is, as they stand now: a later outcome may be on its
 * way to the disk already, and nothing behind it in the log may say less.
 */
static int copy_outcome(queue_log *log, const queue_scanned *found, queue_place place)
{
    const queue_message *message = queue_index_find(log->queue, found->header.id);
    wire_reader from =
        wire_reader_of(mail_span_of(found->record + QUEUE_RECORD_SIZE, found->header.head_length));
    queue_outcome outcome;
    queue_record *note;

    if (message == NULL) {
        return MAIL_OK;
    }
    note = queue_note_begin(log->queue, message, message->count);
    if (note == NULL) {
        return MAIL_ENOMEM;
    }
    while (queue_outcome_next(&from, &outcome)) {
        if (outcome.index < message->count && message->recipients[outcome.index].outcome == place) {
            queue_note_add(log->queue, note, &message->recipients[outcome.index], outcome.reply);
        }
    }
    submit_or_drop(log, note);
    return MAIL_OK;
}

static int copy(queue_log *log, const queue_scanned *found)
{
    queue_place place = queue_place_of(log->compacting, found->at);

    if (found->header.type == QUEUE_RECORD_MESSAGE) {
        return copy_message(log, found, place);
    }
    if (found->header.type == QUEUE_RECORD_OUTCOME) {
        return copy_outcome(log, found, place);
    }
    return MAIL_OK;
}

/* Dead records are passed over quickly; live ones are few. */
void queue_compact_go_on(queue_log *log)
{
    uint64_t from = log->scan.at;
    queue_scanned found;
    int code;

    do {
        uint64_t before = log->scan.at;

        code = queue_scan_next(&log->scan, &found);
        if (code == MAIL_OK && found.found == QUEUE_FOUND_RECORD) {
            code = copy(log, &found);
        }
        if (code == MAIL_ENOMEM) {
            log->scan.at = before; /* later */
            return;
        }
    } while (code == MAIL_OK && found.found != QUEUE_FOUND_END && log->scan.at - from < STEP_BYTES);
    if (code != MAIL_OK || found.found == QUEUE_FOUND_END) {
        queue_compact_stop(log);
    }
}
