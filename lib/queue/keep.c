/* SPDX-License-Identifier: MIT */
#include "queue/keep.h"

/*
 * Three things keep the log short, and with it the disk free and a restart quick:
 *
 *   recycling      a segment of which nothing is of use is written anew
 *   compaction     what is of use in a segment of which most is not goes to the end of the log
 *   checkpoints    how every message stands, so that nothing before needs to be read again
 *
 * A segment is of use as long as it holds a message or the last outcome of a recipient, or
 * the record of a message's end that a restart would need: as long as the message's own
 * record may still lie in an older segment and no checkpoint that began later knows better.
 */

/* Copying and checkpoints go in steps of some 64 KiB, so often and no more. */
#define STEP_EVERY  (5 * MAIL_MILLISECOND)
#define RETRY_EVERY (100 * MAIL_MILLISECOND)

/* A segment of which less than a quarter is of use is copied out of. */
#define FULL_ENOUGH(capacity) ((capacity) / 4)

/*
 * Called with the lock held. Whether no restart needs the ends of messages that it records.
 * The checkpoint itself is needed as long as an older segment is there, and no longer.
 */
static bool has_no_ends(const queue_log *log, const queue_segment *segment)
{
    return segment->link.prev == &log->segments ||
           segment->last_sequence < log->checkpoint.sequence;
}

/* What is written now, or will be, is never given up. Called with the lock held. */
static bool is_closed(const queue_log *log, const queue_segment *segment)
{
    return segment->link.next != &log->segments;
}

static bool can_go(const queue_log *log, const queue_segment *segment)
{
    return segment->live == 0 && segment->pins == 0 && log->settled >= segment->dead_after &&
           is_closed(log, segment) && segment != log->compacting && has_no_ends(log, segment);
}

static void recycle(queue_log *log)
{
    pthread_mutex_lock(&log->lock);
    for (list *at = log->segments.next; at != &log->segments;) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        at = at->next;
        if (can_go(log, segment)) {
            list_remove(&segment->link);
            list_push_back(&log->dead, &segment->link);
            pthread_cond_broadcast(&log->making);
        }
    }
    pthread_mutex_unlock(&log->lock);
}

/* Whether one waits only for a record to be settled. */
static bool will_go_soon(queue_log *log)
{
    bool will = false;

    pthread_mutex_lock(&log->lock);
    for (list *at = log->segments.next; at != &log->segments && !will; at = at->next) {
        const queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        will = segment->live == 0 && log->settled < segment->dead_after;
    }
    pthread_mutex_unlock(&log->lock);
    return will;
}

/* The emptiest segment that is worth copying out of, since it can go then; or NULL. */
static queue_segment *find_sparse(queue_log *log)
{
    queue_segment *best = NULL;

    pthread_mutex_lock(&log->lock);
    for (list *at = log->segments.next; at != &log->segments; at = at->next) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        if (segment->live > 0 && segment->live < FULL_ENOUGH(segment->capacity) &&
            is_closed(log, segment) && has_no_ends(log, segment) && !segment->is_tried &&
            (best == NULL || segment->live < best->live)) {
            best = segment;
        }
    }
    pthread_mutex_unlock(&log->lock);
    return best;
}

/* Whether so much was submitted that has not been written yet that more had better wait. */
static bool is_behind(queue_log *log)
{
    bool is;

    pthread_mutex_lock(&log->lock);
    is = log->submitted - log->settled > QUEUE_BATCH_RECORDS;
    pthread_mutex_unlock(&log->lock);
    return is;
}

mail_time queue_keep(queue_log *log, mail_time now)
{
    queue_segment *sparse;

    recycle(log);
    if (is_behind(log)) {
        return now + STEP_EVERY;
    }
    if (log->checkpoint_state == QUEUE_CHECKPOINT_NONE && queue_checkpoint_due(log)) {
        queue_checkpoint_begin(log);
    }
    if (log->checkpoint_state != QUEUE_CHECKPOINT_NONE) {
        queue_checkpoint_go_on(log);
        return now + STEP_EVERY;
    }
    if (log->compacting == NULL && (sparse = find_sparse(log)) != NULL) {
        queue_compact_begin(log, sparse);
    }
    if (log->compacting != NULL) {
        queue_compact_go_on(log);
        return now + STEP_EVERY;
    }
    return will_go_soon(log) ? now + RETRY_EVERY : MAIL_NEVER;
}
