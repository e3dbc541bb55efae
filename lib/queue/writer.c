/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

/*
 * The writer. It takes all that is pending, writes it with one call, syncs once, and says
 * so to all who wait. Nothing waits on purpose: while one batch is on its way to the disk
 * the next gathers. If it has by then, it is sent on its way before those who wait for the
 * first are told: to wake many threads takes as long as the disk needs.
 *
 * A message that comes alone would pay more for the way to this thread and back than for
 * its sync. While the writer rests and the disk is quick, its work is lent to the thread
 * that brings such a message. If that fails, the writer itself sees to what follows.
 *
 * What nobody waits for is written at once, so that it outlives the process, and synced
 * with the next batch that must be, or a moment later.
 */

#define LAZY (50 * MAIL_MILLISECOND)

/*
 * Those who wait are told before more is written where that is done in no time, since so FEW threads
 * bring mail, or if there is so MUCH to write that it takes longer.
 */
#define FEW  4
#define MUCH ((uint64_t)512 << 10)

/* Takes as much as one write may have; called with the lock held. Returns how many octets. */
static uint64_t take_batch(queue_log *log, list *batch)
{
    uint64_t bytes = 0;
    size_t count = 0;

    list_init(batch);
    while (!list_is_empty(&log->pending) && bytes < QUEUE_BATCH_BYTES &&
           count < QUEUE_BATCH_RECORDS) {
        queue_record *record = LIST_OWNER(log->pending.next, queue_record, link);

        list_remove(&record->link);
        list_push_back(batch, &record->link);
        bytes += queue_header_total(&record->header);
        count++;
    }
    return bytes;
}

static void wait_for_work(queue_log *log)
{
    bool is_timed = !log->is_lent && (!list_is_empty(&log->unsynced) || log->is_stuck);

    log->writer_waits = true;
    if (!is_timed) {
        pthread_cond_wait(&log->work, &log->lock);
    } else if (!queue_log_wait(log, &log->work, log->is_stuck ? 20 * LAZY : LAZY)) {
        log->wants_sync = true;
        log->is_stuck = false;
    }
    log->writer_waits = false;
}

bool queue_writer_may_lend(const queue_log *log, const queue_record *record)
{
    bool rests = log->queue->opts.manual || log->writer_waits;

    return rests && !log->is_lent && !log->is_stuck && !log->wants_sync &&
           list_is_empty(&log->pending) && record->large_fd < 0 && log->failure == MAIL_OK &&
           log->doubts == 0 && queue_batch_fits(log, record);
}

static void take_back(queue_log *log)
{
    bool must_wake;

    pthread_mutex_lock(&log->lock);
    log->is_lent = false;
    must_wake = log->wants_sync || log->must_stop || log->failure != MAIL_OK ||
                !list_is_empty(&log->pending);
    pthread_mutex_unlock(&log->lock);
    if (must_wake) {
        pthread_cond_signal(&log->work);
    }
}

int queue_writer_lend(queue_log *log, queue_record *record)
{
    int code;

    log->is_lent = true;
    log->submitted++;
    pthread_mutex_unlock(&log->lock);
    code = queue_batch_alone(log, record);
    log->failure = code;
    take_back(log);
    return code == MAIL_OK ? MAIL_OK : MAIL_EAGAIN;
}

/* What a thread that the work was lent to could not bring to the disk. */
static bool mend_failure(queue_log *log)
{
    int code = log->failure;

    if (code == MAIL_OK) {
        return false;
    }
    log->failure = MAIL_OK;
    queue_batch_fail(log, code);
    return true;
}

/* Called with the lock held, as the next. */
static bool must_work(const queue_log *log)
{
    return (!list_is_empty(&log->pending) && !log->is_stuck) || log->wants_sync ||
           log->failure != MAIL_OK;
}

/* Those who wait for the last batch are told while the disk is at work on this one. */
static void tell_meanwhile(queue_log *log)
{
    if (!list_is_empty(&log->untold)) {
        log->files->ops->begin_sync(log->files, log->active->fd);
        queue_batch_tell(log);
    }
}

static void tell_unless_more(queue_log *log)
{
    bool has_more;

    pthread_mutex_lock(&log->lock);
    has_more = must_work(log);
    pthread_mutex_unlock(&log->lock);
    if (!has_more) {
        queue_batch_tell(log);
    }
}

bool queue_writer_round(queue_log *log)
{
    bool had_failure = mend_failure(log);
    bool wants_sync;
    bool has_work;
    uint64_t bytes;
    list batch;

    pthread_mutex_lock(&log->lock);
    bytes = take_batch(log, &batch);
    wants_sync = log->wants_sync;
    log->wants_sync = false;
    pthread_mutex_unlock(&log->lock);
    has_work = bytes > 0 || (wants_sync && !list_is_empty(&log->unsynced));
    if (bytes > MUCH || atomic_load(&log->queue->intake_count) <= FEW) {
        queue_batch_tell(log);
    }
    queue_batch_write(log, &batch);
    tell_meanwhile(log);
    if (log->unsynced_urgent || wants_sync ||
        log->sequence - log->safe_sequence > QUEUE_UNSAFE_MAX / 2) {
        (void)queue_batch_sync(log);
    }
    tell_unless_more(log);
    return has_work || had_failure;
}

void *queue_writer_run(void *arg)
{
    queue_log *log = arg;

    pthread_mutex_lock(&log->lock);
    while (!log->must_stop) {
        if (log->is_lent || !must_work(log)) {
            wait_for_work(log);
            continue;
        }
        pthread_mutex_unlock(&log->lock);
        (void)queue_writer_round(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    queue_batch_tell(log);
    return NULL;
}
