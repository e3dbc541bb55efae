/* SPDX-License-Identifier: MIT */
#include "queue/keep.h"

/*
 * A segment can go when nothing in it is of use any more: no message, no outcome, and no
 * record of a message's end that a restart would need. The latter it would as long as the
 * message's own record may still lie in an older segment, unless a checkpoint that began
 * later knows better.
 */

/* Called with the lock held. */
static bool can_go(const queue_log *log, const queue_segment *segment)
{
    const list *before = segment->link.prev;
    bool is_first = before == &log->segments;
    bool is_known_dead = segment->last_sequence < log->checkpoint_sequence;

    if (segment->live > 0 || segment->pins > 0 || log->settled < segment->dead_after ||
        segment->link.next == &log->segments) { /* the last may be the active one */
        return false;
    }
    if (!is_first && LIST_OWNER(before, queue_segment, link)->has_failed) {
        return false; /* it says how much of the one before counts */
    }
    if (log->checkpoint_serial != 0 && segment->serial >= log->checkpoint_serial &&
        segment->serial <= log->checkpoint_last_serial) {
        return false; /* the checkpoint itself */
    }
    return is_first || is_known_dead;
}

bool queue_keep_recycle(queue_log *log)
{
    bool has_found = false;
    list *at;

    pthread_mutex_lock(&log->lock);
    for (at = log->segments.next; at != &log->segments;) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        at = at->next;
        if (can_go(log, segment)) {
            list_remove(&segment->link);
            list_push_back(&log->dead, &segment->link);
            has_found = true;
        }
    }
    if (has_found) {
        pthread_cond_broadcast(&log->making);
    }
    pthread_mutex_unlock(&log->lock);
    return has_found;
}
