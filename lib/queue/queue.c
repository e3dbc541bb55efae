/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define SEGMENT_BYTES ((uint64_t)64 << 20)
#define LARGE_BYTES   ((uint64_t)1 << 20)
#define RESERVE_BYTES ((uint64_t)64 << 20)

/* Ids go up with the seconds of the calendar, so that they differ after a spool was lost. */
#define IDS_A_SECOND_BITS 30

mail_time queue_now(const mail_queue *queue)
{
    return queue->opts.now != NULL ? queue->opts.now(queue->opts.clock_arg) : clock_monotonic();
}

mail_wall queue_wall(const mail_queue *queue)
{
    return queue->opts.wall != NULL ? queue->opts.wall(queue->opts.clock_arg) : time(NULL);
}

uint32_t queue_tick(const mail_queue *queue, mail_time now)
{
    return (uint32_t)((now - queue->tick_zero) / MAIL_SECOND);
}

mail_time queue_instant(const mail_queue *queue, uint32_t tick)
{
    return queue->tick_zero + tick * MAIL_SECOND;
}

void queue_keep_soon(mail_queue *queue)
{
    if (queue->keep_at == MAIL_NEVER) {
        queue->keep_at = queue_now(queue) + MAIL_SECOND;
    }
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

/* RFC 5321, section 4.5.4.1: soon at first, then not too often, for four or five days. */
static const mail_duration delays[] = {
    5 * MAIL_MINUTE, 10 * MAIL_MINUTE, 20 * MAIL_MINUTE, 30 * MAIL_MINUTE,
    1 * MAIL_HOUR,   2 * MAIL_HOUR,    4 * MAIL_HOUR,
};

static int copy_delays(mail_queue *queue)
{
    mail_queue_options *opts = &queue->opts;
    mail_duration *copy;

    if (opts->retry_count == 0) {
        opts->retry = delays;
        opts->retry_count = MAIL_COUNT(delays);
    }
    copy = mem_alloc(queue->mem, opts->retry_count * sizeof(*copy));
    if (copy == NULL) {
        opts->retry = NULL; /* the caller's is not ours to free */
        return MAIL_ENOMEM;
    }
    memcpy(copy, opts->retry, opts->retry_count * sizeof(*copy));
    opts->retry = copy;
    return MAIL_OK;
}

static void set_defaults(mail_queue_options *opts)
{
    opts->give_up = opts->give_up > 0 ? opts->give_up : 5 * MAIL_DAY;
    opts->warn_after = opts->warn_after > 0 ? opts->warn_after : 4 * MAIL_HOUR;
    opts->segment_bytes = or_default(opts->segment_bytes, SEGMENT_BYTES);
    opts->large_bytes = or_default(opts->large_bytes, LARGE_BYTES);
    opts->reserve_bytes = or_default(opts->reserve_bytes, RESERVE_BYTES);
    opts->files = opts->files != NULL ? opts->files : &file_system;
    if (opts->large_bytes > opts->segment_bytes / 4) {
        opts->large_bytes = opts->segment_bytes / 4;
    }
}

static int check_options(const mail_queue_options *opts, mail_error *err)
{
    if (opts->size > sizeof(*opts)) {
        return mail_error_set(err, MAIL_EINVAL, "queue options of a newer library");
    }
    for (size_t i = 0; i < opts->retry_count; i++) {
        if (opts->retry[i] <= 0) {
            return mail_error_set(err, MAIL_EINVAL, "a delay between tries must be positive");
        }
    }
    if (opts->segment_bytes % 4096 != 0 || opts->segment_bytes > UINT32_MAX / 2 ||
        (opts->segment_bytes > 0 && opts->segment_bytes < 65536)) {
        return mail_error_set(err, MAIL_EINVAL,
                              "segments must be 64 KiB to 2 GiB, in multiples of 4 KiB");
    }
    return MAIL_OK;
}

static void init(mail_queue *queue)
{
    pthread_mutex_init(&queue->lanes_lock, NULL);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->unwoken, NULL);
    table_init(&queue->lanes, queue->mem);
    table_init(&queue->messages, queue->mem);
    list_init(&queue->intakes);
    list_init(&queue->arrived);
    list_init(&queue->settled);
    list_init(&queue->order);
    random_fill(queue->opts.random, &queue->seed, sizeof(queue->seed));
    queue->large_dir = -1;
    queue->tick_zero = queue_now(queue);
    queue->keep_at = MAIL_NEVER;
    queue->fresh_due = INT64_MIN;
    atomic_store(&queue->next_id, (uint64_t)queue_wall(queue) << IDS_A_SECOND_BITS);
}

/* A table that has held something takes all that comes, even when it can't grow. */
static int prime(table *tb)
{
    table_entry entry;
    int code = table_insert(tb, &entry, 0);

    if (code == MAIL_OK) {
        table_remove(tb, &entry);
    }
    return code;
}

static void destroy(mail_queue *queue)
{
    list *link;

    while ((link = list_pop_front(&queue->settled)) != NULL) {
        queue_record_destroy(queue->mem, LIST_OWNER(link, queue_record, link));
    }
    table_deinit(&queue->messages);
    table_deinit(&queue->lanes);
    pthread_cond_destroy(&queue->unwoken);
    pthread_mutex_destroy(&queue->lock);
    pthread_mutex_destroy(&queue->lanes_lock);
    mem_free(queue->mem, (void *)(uintptr_t)queue->opts.retry,
             queue->opts.retry_count * sizeof(mail_duration));
    mem_free(queue->mem, queue, sizeof(*queue));
}

static int open_store(mail_queue *queue, const char *dir, mail_error *err)
{
    int code = prime(&queue->messages);

    if (code == MAIL_OK && queue->opts.in_memory) {
        code = queue_memory_open(&queue->store, queue);
    } else if (code == MAIL_OK) {
        code = queue_log_open(&queue->store, queue, dir, err);
    }
    if (code == MAIL_ENOMEM) {
        return mail_error_set(err, code, "no memory for the queue");
    }
    return code;
}

void queue_forget_messages(mail_queue *queue)
{
    while (!list_is_empty(&queue->order)) {
        queue_index_remove(queue, LIST_OWNER(queue->order.next, queue_message, in_order));
    }
}

int mail_queue_open(mail_queue **out, const char *dir, const mail_queue_options *opts,
                    mail_error *err)
{
    static const mail_queue_options none = MAIL_QUEUE_OPTIONS_INIT;
    mail_queue *queue;
    int code;

    opts = opts != NULL ? opts : &none;
    code = check_options(opts, err);
    if (code != MAIL_OK) {
        return code;
    }
    queue = mem_alloc(opts->mem, sizeof(*queue));
    if (queue == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "no memory for the queue");
    }
    memcpy(&queue->opts, opts, opts->size);
    queue->mem = opts->mem;
    queue->log = opts->log;
    set_defaults(&queue->opts);
    init(queue);
    code = copy_delays(queue);
    if (code == MAIL_OK) {
        code = open_store(queue, dir, err);
    }
    if (code != MAIL_OK) {
        destroy(queue);
        return code;
    }
    *out = queue;
    return MAIL_OK;
}

void mail_queue_close(mail_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    assert(list_is_empty(&queue->intakes) && queue->stats.leased == 0);
    queue->store->ops->flush(queue->store);
    queue_drain(queue);
    queue_forget_messages(queue);
    queue->store->ops->close(queue->store);
    destroy(queue);
}

void queue_step(mail_queue *queue)
{
    queue->store->ops->step(queue->store);
}

void mail_queue_stats_read(mail_queue *queue, mail_queue_stats *out)
{
    queue_drain(queue);
    *out = queue->stats;
    out->held += queue_lanes_kept(queue);
    queue->store->ops->stats(queue->store, out);
}
