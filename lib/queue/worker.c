/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

#include <time.h>

#include "queue/large.h"

/*
 * What must not hold up the writer: the maker has the next segment ready before it is
 * needed and frees old ones; the syncer brings large bodies to the disk.
 */

bool queue_log_wait(queue_log *log, pthread_cond_t *cond, mail_duration at_most)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += at_most / MAIL_SECOND;
    until.tv_nsec += (long)(at_most % MAIL_SECOND);
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return pthread_cond_timedwait(cond, &log->lock, &until) == 0;
}

static bool lacks_segment(const queue_log *log)
{
    return log->ready_count < QUEUE_READY && (log->make_code == MAIL_OK || log->wants_segment);
}

bool queue_maker_round(queue_log *log)
{
    bool has_dead;
    bool lacks;
    int code;

    pthread_mutex_lock(&log->lock);
    has_dead = !list_is_empty(&log->dead);
    lacks = lacks_segment(log);
    pthread_mutex_unlock(&log->lock);
    if (has_dead) {
        queue_segment_bury(log);
    }
    if (lacks) {
        code = queue_segment_make(log, log->queue->opts.segment_bytes);
        pthread_mutex_lock(&log->lock);
        log->make_code = code;
        log->wants_segment = false;
        log->is_stuck = log->is_stuck && code != MAIL_OK;
        pthread_cond_broadcast(&log->making);
        pthread_mutex_unlock(&log->lock);
    }
    return has_dead || lacks;
}

void *queue_maker_run(void *arg)
{
    queue_log *log = arg;

    pthread_mutex_lock(&log->lock);
    while (!log->must_stop) {
        if (list_is_empty(&log->dead) && !lacks_segment(log)) {
            pthread_cond_wait(&log->making, &log->lock);
            continue;
        }
        pthread_mutex_unlock(&log->lock);
        (void)queue_maker_round(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

int queue_next_segment(queue_log *log, queue_segment **out)
{
    bool is_manual = log->queue->opts.manual;
    list *link;
    int code;

    pthread_mutex_lock(&log->lock);
    log->wants_segment = log->ready_count == 0; /* once more, even if it failed before */
    while (log->ready_count == 0 && log->wants_segment && !log->must_stop) {
        pthread_cond_broadcast(&log->making);
        if (is_manual) {
            pthread_mutex_unlock(&log->lock);
            (void)queue_maker_round(log);
            pthread_mutex_lock(&log->lock);
        } else {
            pthread_cond_wait(&log->making, &log->lock);
        }
    }
    link = list_pop_front(&log->ready);
    code = log->make_code != MAIL_OK ? log->make_code : MAIL_EIO;
    if (link != NULL) {
        log->ready_count--;
        *out = LIST_OWNER(link, queue_segment, link);
        code = MAIL_OK;
    }
    pthread_cond_broadcast(&log->making); /* the next one */
    pthread_mutex_unlock(&log->lock);
    return code;
}

bool queue_syncer_round(queue_log *log)
{
    queue_record *record;
    list *link;
    list failed;

    pthread_mutex_lock(&log->lock);
    link = list_pop_front(&log->large);
    pthread_mutex_unlock(&log->lock);
    if (link == NULL) {
        return false;
    }
    record = LIST_OWNER(link, queue_record, link);
    record->code = queue_large_sync(log->files, log->queue->large_dir, record->large_fd);
    if (record->code == MAIL_OK) {
        pthread_mutex_lock(&log->lock);
        list_push_back(&log->pending, &record->link);
        log->is_stuck = false;
        pthread_cond_signal(&log->work);
        pthread_mutex_unlock(&log->lock);
        return true;
    }
    list_init(&failed);
    list_push_back(&failed, &record->link);
    queue_settle(log->queue, &failed);
    pthread_mutex_lock(&log->lock);
    log->settled++;
    pthread_cond_broadcast(&log->settling);
    pthread_mutex_unlock(&log->lock);
    return true;
}

void *queue_syncer_run(void *arg)
{
    queue_log *log = arg;

    pthread_mutex_lock(&log->lock);
    while (!log->must_stop) {
        if (list_is_empty(&log->large)) {
            pthread_cond_wait(&log->syncing, &log->lock);
            continue;
        }
        pthread_mutex_unlock(&log->lock);
        (void)queue_syncer_round(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}
