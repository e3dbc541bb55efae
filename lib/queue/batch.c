/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

/*
 * What is written and synced together, and how those who wait get to know.
 *
 * A write or sync that fails is the end of its segment, since nobody can say what the disk
 * has kept. What was not safe by then has failed, or (the queue's own records) is written
 * again into a new segment, whose first record says how much of the old one counts.
 */

/*
 * What a sync may take for a disk to count as quick. How many must, after one that took more,
 * and after one that messages shared: where they come in crowds, to wait for the next is better.
 */
#define QUICK_SYNC   (500 * MAIL_MICROSECOND)
#define SLOW_DOUBTS  32
#define CROWD_DOUBTS 8

/* The end of each segment is for what nobody may refuse: the outcomes of deliveries. */
static uint64_t room_for(const queue_segment *segment, const queue_record *record)
{
    uint64_t reserve = record->is_urgent ? segment->capacity / 64 : 0;

    return segment->capacity - reserve;
}

bool queue_batch_fits(const queue_log *log, const queue_record *record)
{
    const queue_segment *segment = log->active;

    return segment != NULL &&
           segment->end + queue_header_total(&record->header) <= room_for(segment, record);
}

/* Gives the record its place, its sequence and its sums. */
static void place(queue_log *log, queue_record *record, uint32_t tick, mail_wall wall)
{
    queue_segment *segment = log->active;

    record->header.sequence = ++log->sequence;
    record->header.unsafe = (uint32_t)(log->sequence - log->safe_sequence);
    record->header.generation = segment->generation;
    record->header.tick = tick;
    record->header.wall = wall;
    record->place = queue_place_of(segment, segment->end);
    queue_header_write(&record->header, record->data);
    if (segment->first_sequence == 0) {
        segment->first_sequence = log->sequence;
    }
    segment->last_sequence = log->sequence;
    segment->end += queue_header_total(&record->header);
}

/* Moves the records that fit to `group` and fills in what to write; returns how many. */
static int place_all(queue_log *log, list *batch, list *group)
{
    uint32_t tick = queue_tick(log->queue, queue_now(log->queue));
    mail_wall wall = queue_wall(log->queue);
    int count = 0;

    while (!list_is_empty(batch) && count < QUEUE_BATCH_RECORDS) {
        queue_record *record = LIST_OWNER(batch->next, queue_record, link);

        if (!queue_batch_fits(log, record)) {
            break;
        }
        list_remove(&record->link);
        list_push_back(group, &record->link);
        place(log, record, tick, wall);
        log->parts[count].iov_base = record->data;
        log->parts[count].iov_len = (size_t)queue_header_total(&record->header);
        count++;
    }
    return count;
}

static void append(list *to, list *from)
{
    list *link;

    while ((link = list_pop_front(from)) != NULL) {
        list_push_back(to, link);
    }
}

/* Takes out what somebody waits for and marks it as failed. */
static void take_urgent(list *from, list *failed, int code)
{
    for (list *at = from->next; at != from;) {
        queue_record *record = LIST_OWNER(at, queue_record, link);

        at = at->next;
        if (record->is_urgent) {
            record->code = code;
            list_remove(&record->link);
            list_push_back(failed, &record->link);
        }
    }
}

/* However many records lie before them that must be written first, and can't be. */
static void take_urgent_pending(queue_log *log, list *failed, int code)
{
    list_init(failed);
    pthread_mutex_lock(&log->lock);
    take_urgent(&log->pending, failed, code);
    pthread_mutex_unlock(&log->lock);
}

static void settle(queue_log *log, list *records)
{
    uint64_t count = 0;

    for (list *at = records->next; at != records; at = at->next) {
        count++;
    }
    if (count == 0) {
        return;
    }
    queue_settle(log->queue, records);
    pthread_mutex_lock(&log->lock);
    log->settled += count;
    pthread_cond_broadcast(&log->settling);
    pthread_mutex_unlock(&log->lock);
}

void queue_batch_tell(queue_log *log)
{
    list safe;

    list_take_all(&safe, &log->untold);
    settle(log, &safe);
}

/* Their weight counts from the moment they may be safe. */
static void weigh(queue_log *log, const list *records, bool adds)
{
    pthread_mutex_lock(&log->lock);
    for (const list *at = records->next; at != records; at = at->next) {
        const queue_record *record = LIST_OWNER(at, queue_record, link);
        queue_segment *segment = log->slots[record->place >> 32];

        segment->live += adds ? record->weight : 0;
        segment->live -= adds ? 0 : record->weight;
    }
    pthread_mutex_unlock(&log->lock);
}

/*
 * The first record of a segment, safe before anything follows it; that it was is safe
 * with what follows. So a restart that finds none knows whether there was any.
 */
static int write_start(queue_log *log)
{
    char data[QUEUE_RECORD_SIZE + QUEUE_START_SIZE];
    struct iovec part = {data, sizeof(data)};
    queue_segment *segment = log->active;
    queue_start start = {
        .previous = log->last_serial,
        .previous_end = log->last_end,
    };
    queue_record record = {
        .header = {.type = QUEUE_RECORD_START, .head_length = QUEUE_START_SIZE},
        .data = data,
    };
    int code;

    pthread_mutex_lock(&log->lock);
    start.checkpoint = log->checkpoint.serial;
    start.checkpoint_offset = log->checkpoint.offset;
    pthread_mutex_unlock(&log->lock);
    queue_start_write(&start, data + QUEUE_RECORD_SIZE);
    place(log, &record, queue_tick(log->queue, queue_now(log->queue)), queue_wall(log->queue));
    code = file_write_all(log->files, segment->fd, &part, 1, QUEUE_SEGMENT_HEADER);
    if (code == 0) {
        code = log->files->ops->sync_data(log->files, segment->fd);
    }
    return code < 0 ? code : queue_segment_mark_used(log, segment);
}

static void mark_safe(queue_log *log)
{
    log->safe_end = log->active->end;
    log->safe_sequence = log->sequence;
    log->last_serial = log->active->serial;
    log->last_end = log->safe_end;
}

/* The active segment is not to be trusted beyond what was safe. */
static void close_failed(queue_log *log)
{
    queue_segment *segment = log->active;

    pthread_mutex_lock(&log->lock);
    segment->has_failed = true;
    segment->end = log->safe_end;
    segment->last_sequence = log->safe_sequence;
    pthread_mutex_unlock(&log->lock);
    log->sequence = log->safe_sequence;
    log->active = NULL;
}

/* Goes on in the next segment; on failure the active one stays what it is. */
static int switch_segment(queue_log *log)
{
    queue_segment *segment;
    int code = queue_next_segment(log, &segment);

    if (code != MAIL_OK) {
        return code;
    }
    pthread_mutex_lock(&log->lock);
    list_push_back(&log->segments, &segment->link);
    pthread_mutex_unlock(&log->lock);
    log->active = segment;
    log->safe_end = QUEUE_SEGMENT_HEADER;
    code = write_start(log);
    if (code < 0) {
        close_failed(log);
        return queue_code(code);
    }
    mark_safe(log);
    return MAIL_OK;
}

/* Puts `records` before all that is pending. */
static void put_back(queue_log *log, list *records)
{
    pthread_mutex_lock(&log->lock);
    append(records, &log->pending);
    append(&log->pending, records);
    pthread_mutex_unlock(&log->lock);
}

static void say_failed(const queue_log *log, int code)
{
    mail_log_field fields[] = {{"error", mail_span_text(mail_strerror(code))}};

    mail_log_line(log->queue->log, MAIL_LOG_ERROR, "queue cannot write", fields,
                  MAIL_COUNT(fields));
}

/* What is pending waits for a while, or until something is submitted. */
static void get_stuck(queue_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->is_stuck = true;
    pthread_cond_broadcast(&log->settling);
    pthread_mutex_unlock(&log->lock);
}

/*
 * What was not safe goes: to those who wait for it as failed, else back to be written
 * again. A new segment is begun first, so that a restart knows, too, that it failed.
 */
static void on_failure(queue_log *log, list *group, int code)
{
    bool has_rest;
    list failed;
    list lost;

    queue_batch_tell(log);
    say_failed(log, code);
    list_take_all(&lost, &log->unsynced);
    log->unsynced_urgent = false;
    weigh(log, &lost, false);
    append(&lost, group);
    list_init(&failed);
    take_urgent(&lost, &failed, code);
    has_rest = !list_is_empty(&lost);
    put_back(log, &lost);
    close_failed(log);
    (void)switch_segment(log);
    settle(log, &failed);
    if (has_rest) { /* not at once: a disk that always fails must not eat segments */
        take_urgent_pending(log, &failed, code);
        get_stuck(log);
        settle(log, &failed);
    }
}

void queue_batch_fail(queue_log *log, int code)
{
    list none;

    list_init(&none);
    on_failure(log, &none, code);
}

/* Syncs what is written, and remembers how quick the disk was. MAIL_… code. */
static int sync_written(queue_log *log)
{
    mail_time start = queue_now(log->queue);
    int code = log->files->ops->sync_data(log->files, log->active->fd);

    if (queue_now(log->queue) - start > QUICK_SYNC) {
        log->doubts = SLOW_DOUBTS;
    } else if (log->doubts > 0) {
        log->doubts--;
    }
    return queue_code(code);
}

static bool is_crowd(const list *records)
{
    unsigned count = 0;

    for (const list *at = records->next; at != records && count < 2; at = at->next) {
        count += LIST_OWNER(at, queue_record, link)->is_urgent;
    }
    return count > 1;
}

/* All that was written is on the disk. */
static void note_safe(queue_log *log)
{
    mark_safe(log);
    if (log->doubts < CROWD_DOUBTS && is_crowd(&log->unsynced)) {
        log->doubts = CROWD_DOUBTS;
    }
    log->unsynced_urgent = false;
    pthread_mutex_lock(&log->lock);
    log->syncs++;
    pthread_mutex_unlock(&log->lock);
    append(&log->untold, &log->unsynced);
}

int queue_batch_sync(queue_log *log)
{
    int code;

    if (list_is_empty(&log->unsynced)) {
        return MAIL_OK;
    }
    code = sync_written(log);
    if (code != MAIL_OK) {
        queue_batch_fail(log, code);
    } else {
        note_safe(log);
    }
    return code;
}

/* Writes the records that were placed in `group`. MAIL_… code. */
static int write_group(queue_log *log, const list *group, int count)
{
    uint64_t offset = log->active->end;
    uint64_t length = 0;
    int code;

    for (const list *at = group->next; at != group; at = at->next) {
        queue_record *record = LIST_OWNER(at, queue_record, link);

        record->code = MAIL_OK;
        log->unsynced_urgent |= record->is_urgent;
        length += queue_header_total(&record->header);
    }
    code = file_write_all(log->files, log->active->fd, log->parts, count, offset - length);
    if (code >= 0) {
        pthread_mutex_lock(&log->lock);
        log->bytes_written += length;
        pthread_mutex_unlock(&log->lock);
    }
    return queue_code(code);
}

/* The group lies in the segment now, if not yet on the disk. */
static void note_written(queue_log *log, list *group)
{
    weigh(log, group, true);
    append(&log->unsynced, group);
}

/* No segment can be had: those who wait are told; the rest stays until there is one. */
static void on_no_segment(queue_log *log, list *batch, int code)
{
    list failed;

    say_failed(log, code);
    put_back(log, batch);
    take_urgent_pending(log, &failed, code);
    if (list_is_empty(&failed)) {
        get_stuck(log);
    }
    settle(log, &failed);
}

void queue_batch_write(queue_log *log, list *batch)
{
    int code = MAIL_OK;

    while (!list_is_empty(batch) && code == MAIL_OK) {
        list group;
        int count;

        list_init(&group);
        count = place_all(log, batch, &group);
        if (count > 0) {
            code = write_group(log, &group, count);
            if (code == MAIL_OK) {
                note_written(log, &group);
            } else {
                put_back(log, batch);
                on_failure(log, &group, code);
            }
            continue;
        }
        code = queue_batch_sync(log); /* what lies in one segment is safe before the next begins */
        queue_batch_tell(log);        /* that one may not be ready yet */
        if (code == MAIL_OK) {
            code = switch_segment(log);
            if (code != MAIL_OK) {
                on_no_segment(log, batch, code);
                return;
            }
        }
    }
    put_back(log, batch); /* after a failed sync: what was not reached */
}

int queue_batch_alone(queue_log *log, queue_record *record)
{
    list batch;
    list group;
    int code;

    list_init(&batch);
    list_init(&group);
    list_push_back(&batch, &record->link);
    code = write_group(log, &group, place_all(log, &batch, &group));
    note_written(log, &group);
    if (code == MAIL_OK) {
        code = sync_written(log);
    }
    if (code == MAIL_OK) {
        record->is_alone = true;
        note_safe(log);
        queue_batch_tell(log);
    }
    return code;
}
