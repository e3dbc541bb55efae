/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

#include <assert.h>

#include "base/mem.h"
#include "queue/keep.h"
#include "queue/spool.h"

/* The first segment of a spool is short, so that the first message need not wait for it. */
#define FIRST_SEGMENT ((uint64_t)4 << 20)

/* How long a look at the free space of the disk holds. */
#define FREE_HOLDS (100 * MAIL_MILLISECOND)

static int free_space(queue_log *log, uint64_t *out)
{
    mail_time now = queue_now(log->queue);
    uint64_t bytes;
    int code;

    if (log->queue->opts.manual || now - atomic_load(&log->free_seen) >= FREE_HOLDS) {
        code = log->files->ops->free_bytes(log->files, log->dir, &bytes);
        if (code < 0) {
            return queue_code(code);
        }
        atomic_store(&log->free_bytes, bytes);
        atomic_store(&log->free_seen, now);
    }
    *out = atomic_load(&log->free_bytes);
    return MAIL_OK;
}

/* Octets of the disk's that are ours already, in segments that hold nothing any more. */
static uint64_t held_free(queue_log *log)
{
    uint64_t held;

    pthread_mutex_lock(&log->lock);
    held = log->free_count * log->queue->opts.segment_bytes;
    pthread_mutex_unlock(&log->lock);
    return held;
}

/*
 * Free segments are a part of what has to be left free, or a disk filled by mail that has gone
 * since would take no more for ever. They are looked at only if the disk alone has not enough.
 */
static int log_room(queue_store *base, uint64_t expected)
{
    queue_log *log = (queue_log *)base;
    uint64_t promised = atomic_load(&log->queue->promised_bytes);
    uint64_t reserve = log->queue->opts.reserve_bytes;
    uint64_t bytes = 0;
    int code;

    if (log->queue->opts.read_only) {
        return MAIL_EPERM;
    }
    code = free_space(log, &bytes);
    if (code != MAIL_OK) {
        return code;
    }
    if (bytes < promised || bytes - promised < expected) {
        return MAIL_ENOSPC;
    }
    bytes -= promised + expected;
    return bytes >= reserve || reserve - bytes <= held_free(log) ? MAIL_OK : MAIL_ENOSPC;
}

/* Called with the lock held, as the next. */
static void take_record(queue_log *log, queue_record *record)
{
    log->submitted++;
    if (record->large_fd >= 0) {
        list_push_back(&log->large, &record->link);
        pthread_cond_signal(&log->syncing);
    } else {
        list_push_back(&log->pending, &record->link);
        log->is_stuck = false;
    }
}

/* Whether the writer has to be woken for what was taken. */
static bool must_wake(queue_log *log)
{
    bool must = log->writer_waits && !log->is_lent && !list_is_empty(&log->pending);

    log->writer_waits = log->writer_waits && !must;
    return must;
}

/* Leaves the lock, under which records were taken, and tells those who write them. */
static void announce(queue_log *log)
{
    bool must = must_wake(log);

    pthread_mutex_unlock(&log->lock);
    if (must) {
        pthread_cond_signal(&log->work);
    }
    if (log->queue->opts.on_work != NULL) {
        log->queue->opts.on_work(log->queue->opts.on_work_arg);
    }
}

static void log_submit(queue_store *base, list *records)
{
    queue_log *log = (queue_log *)base;
    list *link;

    pthread_mutex_lock(&log->lock);
    while ((link = list_pop_front(records)) != NULL) {
        take_record(log, LIST_OWNER(link, queue_record, link));
    }
    announce(log);
}

static int log_submit_alone(queue_store *base, queue_record *record)
{
    queue_log *log = (queue_log *)base;

    pthread_mutex_lock(&log->lock);
    if (queue_writer_may_lend(log, record)) {
        return queue_writer_lend(log, record);
    }
    take_record(log, record);
    announce(log);
    return MAIL_EAGAIN;
}

static int log_read(queue_store *base, queue_place place, uint64_t offset, void *to, size_t size)
{
    queue_log *log = (queue_log *)base;
    int fd = queue_segment_fd(log, queue_segment_at(log, place));
    ssize_t n = fd;

    if (fd >= 0) {
        n = file_read_all(log->files, fd, to, size, (place & UINT32_MAX) + offset);
    }
    if (n < 0) {
        return queue_code((int)n);
    }
    return (size_t)n == size ? MAIL_OK : MAIL_EDAMAGED;
}

static void log_release(queue_store *base, queue_place place, uint32_t weight)
{
    queue_log *log = (queue_log *)base;
    queue_segment *segment;

    pthread_mutex_lock(&log->lock);
    segment = log->slots[place >> 32];
    assert(segment->live >= weight);
    segment->live -= weight;
    if (segment->live == 0) {
        segment->dead_after = log->submitted;
        log->queue->keep_at = INT64_MIN;
    }
    pthread_mutex_unlock(&log->lock);
}

static void log_pin(queue_store *base, queue_place place)
{
    queue_log *log = (queue_log *)base;

    pthread_mutex_lock(&log->lock);
    log->slots[place >> 32]->pins++;
    pthread_mutex_unlock(&log->lock);
}

static void log_unpin(queue_store *base, queue_place place)
{
    queue_log *log = (queue_log *)base;

    pthread_mutex_lock(&log->lock);
    log->slots[place >> 32]->pins--;
    pthread_mutex_unlock(&log->lock);
    log->queue->keep_at = INT64_MIN;
}

static void log_set_aside(queue_store *base, queue_place place, uint64_t length)
{
    queue_log *log = (queue_log *)base;
    uint64_t offset = place & UINT32_MAX;

    queue_set_aside(log, queue_segment_at(log, place), offset, offset + length);
}

static void log_step(queue_store *base)
{
    queue_log *log = (queue_log *)base;
    bool has_work;

    do {
        pthread_mutex_lock(&log->lock);
        log->wants_sync = true;
        log->is_stuck = false;
        pthread_mutex_unlock(&log->lock);
        has_work = queue_syncer_round(log);
        has_work |= queue_writer_round(log);
        has_work |= queue_maker_round(log);
    } while (has_work && !log->is_stuck);
}

static void log_flush(queue_store *base)
{
    queue_log *log = (queue_log *)base;
    uint64_t target;

    if (log->queue->opts.read_only) {
        return;
    }
    if (log->queue->opts.manual) {
        log_step(base);
        return;
    }
    pthread_mutex_lock(&log->lock);
    target = log->submitted;
    log->is_stuck = false;
    while (log->settled < target && !log->is_stuck) {
        log->wants_sync = true;
        pthread_cond_signal(&log->work);
        pthread_cond_wait(&log->settling, &log->lock);
    }
    pthread_mutex_unlock(&log->lock);
}

static void log_settled(queue_store *base, const queue_record *record)
{
    queue_checkpoint_settled((queue_log *)base, record);
}

static mail_time log_keep(queue_store *base, mail_time now)
{
    queue_log *log = (queue_log *)base;

    return log->queue->opts.read_only ? MAIL_NEVER : queue_keep(log, now);
}

static void log_stats(queue_store *base, mail_queue_stats *out)
{
    queue_log *log = (queue_log *)base;

    pthread_mutex_lock(&log->lock);
    out->syncs = log->syncs;
    out->bytes_written = log->bytes_written;
    out->segments_free = log->free_count + log->ready_count;
    for (list *at = log->segments.next; at != &log->segments; at = at->next) {
        out->segments_live++;
        out->log_bytes_live += LIST_OWNER(at, queue_segment, link)->live;
    }
    pthread_mutex_unlock(&log->lock);
}

static void stop_threads(queue_log *log)
{
    pthread_t threads[] = {log->writer, log->maker, log->syncer};

    pthread_mutex_lock(&log->lock);
    log->must_stop = true;
    pthread_cond_broadcast(&log->work);
    pthread_cond_broadcast(&log->making);
    pthread_cond_broadcast(&log->syncing);
    pthread_mutex_unlock(&log->lock);
    for (unsigned i = 0; i < log->threads; i++) {
        pthread_join(threads[i], NULL);
    }
}

static int start_threads(queue_log *log)
{
    void *(*const runs[])(void *) = {queue_writer_run, queue_maker_run, queue_syncer_run};
    pthread_t *const threads[] = {&log->writer, &log->maker, &log->syncer};

    if (log->queue->opts.manual || log->queue->opts.read_only) {
        return MAIL_OK;
    }
    for (; log->threads < MAIL_COUNT(runs); log->threads++) {
        if (pthread_create(threads[log->threads], NULL, runs[log->threads], log) != 0) {
            return MAIL_ENOMEM;
        }
    }
    return MAIL_OK;
}

static void destroy_list(queue_log *log, list *segments)
{
    while (!list_is_empty(segments)) {
        queue_segment_destroy(log, LIST_OWNER(segments->next, queue_segment, link));
    }
}

static void log_close(queue_store *base)
{
    queue_log *log = (queue_log *)base;
    list *link;

    stop_threads(log);
    queue_compact_stop(log);
    while ((link = list_pop_front(&log->unsynced)) != NULL ||
           (link = list_pop_front(&log->pending)) != NULL) {
        queue_record_destroy(log->mem, LIST_OWNER(link, queue_record, link));
    }
    destroy_list(log, &log->segments);
    destroy_list(log, &log->ready);
    destroy_list(log, &log->dead);
    queue_spool_close(log);
    mem_free(log->mem, log->free, QUEUE_FREE * sizeof(*log->free));
    mem_free(log->mem, log->slots, log->slot_count * sizeof(*log->slots));
    pthread_cond_destroy(&log->work);
    pthread_cond_destroy(&log->settling);
    pthread_cond_destroy(&log->making);
    pthread_cond_destroy(&log->syncing);
    pthread_mutex_destroy(&log->lock);
    mem_free(log->mem, log, sizeof(*log));
}

static int init(queue_log *log, mail_queue *queue)
{
    static const queue_store_ops ops = {
        .room = log_room,
        .submit = log_submit,
        .submit_alone = log_submit_alone,
        .read = log_read,
        .release = log_release,
        .pin = log_pin,
        .unpin = log_unpin,
        .set_aside = log_set_aside,
        .flush = log_flush,
        .step = log_step,
        .settled = log_settled,
        .keep = log_keep,
        .stats = log_stats,
        .close = log_close,
    };
    pthread_condattr_t attr;

    log->base.ops = &ops;
    log->queue = queue;
    log->files = queue->opts.files;
    log->mem = queue->mem;
    log->dir = log->lock_fd = log->log_dir = log->damaged_dir = -1;
    log->next_serial = 1;
    log->doubts = 1;
    atomic_store(&log->free_seen, INT64_MIN / 2);
    list_init(&log->pending);
    list_init(&log->large);
    list_init(&log->segments);
    list_init(&log->ready);
    list_init(&log->dead);
    list_init(&log->unsynced);
    list_init(&log->untold);
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->work, &attr);
    pthread_cond_init(&log->making, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&log->settling, NULL);
    pthread_cond_init(&log->syncing, NULL);
    log->free = mem_alloc(log->mem, QUEUE_FREE * sizeof(*log->free));
    return log->free != NULL ? MAIL_OK : MAIL_ENOMEM;
}

/* Something to write to must be at hand from the start. */
static int make_first(queue_log *log, mail_error *err)
{
    uint64_t most = log->queue->opts.segment_bytes;
    int code;

    if (log->active != NULL || log->ready_count > 0) {
        return MAIL_OK;
    }
    code = queue_segment_make(log, most < FIRST_SEGMENT ? most : FIRST_SEGMENT);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "cannot begin the spool's log: %s", mail_strerror(code));
    }
    return MAIL_OK;
}

int queue_log_open(queue_store **out, mail_queue *queue, const char *dir, mail_error *err)
{
    queue_log *log = mem_alloc(queue->mem, sizeof(*log));
    int code;

    if (log == NULL) {
        return MAIL_ENOMEM;
    }
    queue->store = &log->base;
    code = init(log, queue);
    if (code == MAIL_OK) {
        code = queue_spool_open(log, dir, err);
    }
    if (code == MAIL_OK) {
        code = queue_spool_load(log, err);
    }
    if (code == MAIL_OK) {
        code = queue_recover(log, err);
    }
    if (code == MAIL_OK && !queue->opts.read_only) {
        queue_spool_claim_ids(log);
        code = make_first(log, err);
    }
    if (code == MAIL_OK) {
        code = start_threads(log);
    }
    if (code != MAIL_OK) {
        queue_forget_messages(queue);
        log_close(&log->base);
        return code;
    }
    queue->keep_at = INT64_MIN;
    *out = &log->base;
    return MAIL_OK;
}
