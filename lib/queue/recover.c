/* SPDX-License-Identifier: MIT */
#include "queue/replay.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "queue/large.h"
#include "queue/part.h"

/*
 * A restart: the segments are read, from the last checkpoint or from the oldest on, and what
 * their records say is replayed; then the spool's clock, the ids and the log itself go on
 * where they stood.
 */

/* How long the spool is believed to have been left alone: a calendar may be wrong by years. */
#define LONGEST_PAUSE (24 * 3600)

/*
 * Whether a record from `from` on says that more was safe when it was written than has been
 * found before it. If none does, what is missing was on its way to the disk with what
 * follows when the power went: nobody has been told that any of it is safe.
 */
static int is_proven(queue_replay *rec, const queue_segment *segment, uint64_t from, bool *proven)
{
    queue_scanned found;
    queue_scan scan;
    int code;

    *proven = false;
    queue_scan_init(&scan, rec->log->files, rec->log->mem, segment->fd, segment->generation, from,
                    segment->capacity);
    do {
        code = queue_scan_next(&scan, &found);
        if (code == MAIL_OK && found.found == QUEUE_FOUND_RECORD) {
            *proven = found.header.sequence - found.header.unsafe > rec->last_sequence;
        }
    } while (code == MAIL_OK && found.found != QUEUE_FOUND_END && !*proven);
    queue_scan_deinit(&scan);
    return code;
}

/* Damage in what was safe is damage; in the last segment it may be a tear, which is an end. */
static int judge_damage(queue_replay *rec, queue_segment *segment, queue_scanned *found)
{
    bool is_damage = segment->end > 0 || segment->is_past;
    int code = MAIL_OK;

    if (!is_damage) {
        code = is_proven(rec, segment, found->end, &is_damage);
    }
    if (code == MAIL_OK && is_damage) {
        queue_replay_damage(rec, segment, found->at, found->end);
    } else {
        found->found = QUEUE_FOUND_END;
        found->is_torn = true;
    }
    return code;
}

/* Reads the records one by one; `*last` is the end. */
static int read_records(queue_replay *rec, queue_segment *segment, queue_scan *scan,
                        queue_scanned *last)
{
    int code;

    do {
        code = queue_scan_next(scan, last);
        if (code == MAIL_OK && last->found == QUEUE_FOUND_RECORD) {
            code = queue_replay_record(rec, segment, last);
        } else if (code == MAIL_OK && last->found == QUEUE_FOUND_DAMAGE) {
            code = judge_damage(rec, segment, last);
        }
    } while (code == MAIL_OK && last->found != QUEUE_FOUND_END);
    return code;
}

/*
 * Where the records have ended at `last`, and what that means: a segment of which nothing is
 * left has lost all if it was ever used, and is ready for use if it was not.
 */
static void judge_end(queue_replay *rec, queue_segment *segment, const queue_scanned *last)
{
    bool is_lost = segment->last_sequence == 0 && segment->end != QUEUE_SEGMENT_HEADER &&
                   (segment->was_used || segment->is_past);
    uint64_t end = segment->end;

    if (end == 0) {
        end = is_lost ? segment->capacity : last->at;
        segment->end = last->at;
    }
    if (end > last->at) {
        queue_replay_damage(rec, segment, last->at, end);
    }
    if (segment->last_sequence > 0) {
        rec->is_torn = last->is_torn;
    } else {
        segment->has_failed |= is_lost || last->is_torn; /* not even its first record is whole */
    }
}

/* Reads a segment from `from` to its end: the known one, or where the records end. */
static int read_segment(queue_replay *rec, queue_segment *segment, uint64_t from)
{
    uint64_t limit = segment->end > 0 ? segment->end : segment->capacity;
    queue_scanned last;
    queue_scan scan;
    int code = queue_segment_fd(rec->log, segment);

    if (code < 0) {
        return queue_code(code);
    }
    queue_scan_init(&scan, rec->log->files, rec->log->mem, segment->fd, segment->generation, from,
                    limit);
    code = read_records(rec, segment, &scan, &last);
    queue_scan_deinit(&scan);
    if (code == MAIL_OK) {
        judge_end(rec, segment, &last);
    }
    return code;
}

/* The first record of a segment; false: it has none. */
static int read_start(queue_log *log, queue_segment *segment, queue_start *start, bool *is_there)
{
    char record[QUEUE_RECORD_SIZE + QUEUE_START_SIZE];
    queue_header header;
    int fd = queue_segment_fd(log, segment);
    ssize_t n = fd;

    if (fd >= 0) {
        n = file_read_all(log->files, fd, record, sizeof(record), QUEUE_SEGMENT_HEADER);
    }

    if (n < 0) {
        return queue_code((int)n);
    }
    *is_there = (size_t)n == sizeof(record) && queue_header_read(record, &header) &&
                header.type == QUEUE_RECORD_START && header.generation == segment->generation &&
                header.head_length == QUEUE_START_SIZE && queue_header_check(&header, record) &&
                queue_start_read(mail_span_of(record + QUEUE_RECORD_SIZE, QUEUE_START_SIZE), start);
    return MAIL_OK;
}

/*
 * Each segment says how much of the one before counts, and by that, that nothing counts of
 * those which were tried in between.
 */
static void set_ends(queue_log *log, const queue_segment *segment, const queue_start *start)
{
    for (list *at = segment->link.prev; at != &log->segments; at = at->prev) {
        queue_segment *before = LIST_OWNER(at, queue_segment, link);

        if (before->serial < start->previous) {
            break;
        }
        if (before->serial == start->previous) {
            before->end = start->previous_end;
        } else {
            before->end = QUEUE_SEGMENT_HEADER;
            before->has_failed = true;
        }
    }
}

/* Segments are used in their order. */
static void set_past(queue_log *log, const queue_segment *newest)
{
    for (list *at = log->segments.next; at != &newest->link; at = at->next) {
        LIST_OWNER(at, queue_segment, link)->is_past = true;
    }
}

/* Reads all first records; `*last` is the newest one's. */
static int read_starts(queue_log *log, queue_start *last)
{
    const queue_segment *newest = NULL;
    list *at = log->segments.next;
    int code = MAIL_OK;

    *last = (queue_start){0};
    while (at != &log->segments && code == MAIL_OK) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);
        queue_start start;
        bool is_there = false;

        at = at->next;
        code = read_start(log, segment, &start, &is_there);
        if (code == MAIL_OK && is_there) {
            set_ends(log, segment, &start);
            *last = start;
            newest = segment;
        }
    }
    if (newest != NULL) {
        set_past(log, newest);
    }
    return code;
}

static int read_from(queue_replay *rec, queue_segment *segment, uint64_t offset)
{
    int code = MAIL_OK;

    for (list *at = &segment->link; at != &rec->log->segments && code == MAIL_OK; at = at->next) {
        code = read_segment(rec, LIST_OWNER(at, queue_segment, link), offset);
        offset = QUEUE_SEGMENT_HEADER;
    }
    return code;
}

/* From the last checkpoint known to be complete; `*is_complete`: it was found so. */
static int read_from_checkpoint(queue_replay *rec, const queue_start *last, bool *is_complete)
{
    queue_segment *segment = queue_segment_find(rec->log, last->checkpoint);
    int code;

    *is_complete = false;
    if (last->checkpoint == 0 || segment == NULL || last->checkpoint_offset >= segment->capacity) {
        return MAIL_OK;
    }
    code = read_from(rec, segment, last->checkpoint_offset);
    *is_complete = code == MAIL_OK && rec->log->checkpoint.serial != 0;
    return code;
}

static void start_again(queue_replay *rec)
{
    queue_log *log = rec->log;
    mail_queue *queue = rec->queue;

    while (!list_is_empty(&queue->order)) {
        queue_index_remove(queue, LIST_OWNER(queue->order.next, queue_message, in_order));
    }
    for (list *at = log->segments.next; at != &log->segments; at = at->next) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        segment->live = 0;
        segment->end = 0;
        segment->has_failed = false;
        segment->first_sequence = 0;
        segment->last_sequence = 0;
    }
    log->checkpoint = (queue_checkpoint){0};
    *rec = (queue_replay){.log = log, .queue = queue};
}

static int read_all(queue_replay *rec)
{
    queue_log *log = rec->log;
    queue_start last;
    bool is_complete;
    int code = read_starts(log, &last);

    if (code == MAIL_OK) {
        code = read_from_checkpoint(rec, &last, &is_complete);
    }
    if (code != MAIL_OK || is_complete || list_is_empty(&log->segments)) {
        return code;
    }
    start_again(rec);
    code = read_starts(log, &last);
    return code != MAIL_OK ? code
                           : read_from(rec, LIST_OWNER(log->segments.next, queue_segment, link),
                                       QUEUE_SEGMENT_HEADER);
}

static int by_id(const void *a, const void *b)
{
    uint64_t left = queue_message_id(*(queue_message *const *)a);
    uint64_t right = queue_message_id(*(queue_message *const *)b);

    return left < right ? -1 : left > right;
}

static void join_lanes(mail_queue *queue, queue_message *message)
{
    for (uint32_t i = 0; i < message->count; i++) {
        queue_recipient *recipient = &message->recipients[i];
        uint32_t tick = (uint32_t)recipient->due.key;
        mail_time due = recipient->attempts == 0 && tick == message->arrival_tick
                            ? queue_fresh_due(queue, tick)
                            : queue_instant(queue, tick);

        queue->stats.held += recipient->lane != NULL && (recipient->flags & QUEUE_HELD) ? 1 : 0;
        if (recipient->lane != NULL) {
            queue_lane_join(recipient->lane, recipient, due);
        }
    }
}

/* A checkpoint named it, but its record is nowhere. */
static void drop_lost(mail_queue *queue)
{
    for (list *at = queue->order.next; at != &queue->order;) {
        queue_message *message = LIST_OWNER(at, queue_message, in_order);
        char id[MAIL_QUEUE_ID_SIZE];
        mail_log_field fields[] = {{"queue_id", mail_span_of(id, QUEUE_ID_DIGITS)}};

        at = at->next;
        if (message->place == 0) {
            queue_id_print(queue_message_id(message), id);
            mail_log_line(queue->log, MAIL_LOG_ERROR, "queue message lost", fields,
                          MAIL_COUNT(fields));
            queue->stats.damaged++;
            queue_index_remove(queue, message);
        }
    }
}

/* Brings the messages into the order of their ids, which is that of their arrival. */
static int put_in_order(mail_queue *queue)
{
    size_t count = queue->stats.messages;
    queue_message **all;
    size_t i = 0;

    if (count == 0) {
        return MAIL_OK;
    }
    all = mem_alloc(queue->mem, count * sizeof(*all));
    if (all == NULL) {
        return MAIL_ENOMEM;
    }
    for (list *at = queue->order.next; at != &queue->order; at = at->next) {
        all[i++] = LIST_OWNER(at, queue_message, in_order);
    }
    assert(i == count);
    qsort(all, count, sizeof(*all), by_id);
    list_init(&queue->order);
    for (i = 0; i < count; i++) {
        list_push_back(&queue->order, &all[i]->in_order);
        all[i]->number = ++queue->numbered;
        join_lanes(queue, all[i]);
    }
    mem_free(queue->mem, all, count * sizeof(*all));
    return MAIL_OK;
}

/* The spool's clock goes on where it stood, and by what the calendar says has passed since. */
static void set_clock(queue_replay *rec)
{
    mail_queue *queue = rec->queue;
    mail_wall pause = queue_wall(queue) - rec->last_wall;
    mail_time tick;

    pause = pause < 0 || !rec->has_records ? 0 : pause;
    pause = pause > LONGEST_PAUSE ? LONGEST_PAUSE : pause;
    tick = rec->last_tick + pause;
    queue->tick_zero = queue_now(queue) - tick * MAIL_SECOND;
}

/* Beside what queue_spool_claim_ids sees to: in case that file was lost. */
static void set_ids(queue_replay *rec)
{
    mail_queue *queue = rec->queue;

    if (atomic_load(&queue->next_id) <= rec->last_id) {
        atomic_store(&queue->next_id, rec->last_id + 1);
    }
}

/* Segments made ahead, not used yet. What was tried and failed goes when the next keeping comes. */
static void set_ready(queue_log *log, const queue_segment *last)
{
    list *at = last != NULL ? last->link.next : log->segments.next;

    while (at != &log->segments) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        at = at->next;
        if (!segment->has_failed && queue_segment_fd(log, segment) >= 0) {
            segment->end = QUEUE_SEGMENT_HEADER;
            list_remove(&segment->link);
            list_push_back(&log->ready, &segment->link);
            log->ready_count++;
        }
    }
}

/*
 * Writing goes on behind the last record, unless something of this segment lies there that
 * a later record could make look whole.
 */
static void set_position(queue_replay *rec)
{
    queue_log *log = rec->log;
    queue_segment *last = NULL;

    for (list *at = log->segments.prev; at != &log->segments && last == NULL; at = at->prev) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        last = segment->last_sequence > 0 ? segment : NULL;
    }
    set_ready(log, last);
    log->sequence = rec->last_sequence;
    log->safe_sequence = rec->last_sequence;
    if (last == NULL) {
        return;
    }
    log->last_serial = last->serial;
    log->last_end = last->end;
    if (last->link.next == &log->segments && !rec->is_torn) {
        log->active = last;
        log->safe_end = last->end;
    }
}

/* Large bodies that no message names: their messages never came to be, or are done. */
static int remove_unnamed(const char *name, void *arg)
{
    mail_queue *queue = arg;
    const queue_message *message;
    uint64_t id;

    if (queue_id_parse(mail_span_text(name), &id)) {
        message = queue_index_find(queue, id);
        if (message == NULL || (message->flags & QUEUE_HEAD_LARGE) == 0) {
            queue_large_remove(queue->opts.files, queue->large_dir, id);
        }
    }
    return 0;
}

int queue_recover(queue_log *log, mail_error *err)
{
    queue_replay rec = {.log = log, .queue = log->queue};
    int code = read_all(&rec);

    if (code == MAIL_OK) {
        log->queue->stats.damaged += rec.damaged;
        set_clock(&rec);
        set_ids(&rec);
        drop_lost(log->queue);
        code = put_in_order(log->queue);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "cannot read the spool: %s", mail_strerror(code));
    }
    set_position(&rec);
    if (!log->queue->opts.read_only) {
        (void)log->files->ops->list(log->files, log->queue->large_dir, remove_unnamed, log->queue);
    }
    return MAIL_OK;
}
