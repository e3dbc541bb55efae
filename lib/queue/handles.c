/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

/*
 * A large spool has more segments than a process may have files open. Those that are only
 * read from are opened when they are needed, and the one used longest ago is closed.
 */
#define MOST_OPEN 128

/* The open one used longest ago, but for `needed`, the last and what is copied out of. */
static queue_segment *find_idle(queue_log *log, const queue_segment *needed)
{
    queue_segment *idle = NULL;
    size_t count = 0;

    pthread_mutex_lock(&log->lock);
    for (list *at = log->segments.next; at != log->segments.prev; at = at->next) {
        queue_segment *segment = LIST_OWNER(at, queue_segment, link);

        if (segment->fd < 0 || segment == needed || segment == log->compacting) {
            continue;
        }
        count++;
        if (idle == NULL || segment->used < idle->used) {
            idle = segment;
        }
    }
    pthread_mutex_unlock(&log->lock);
    return count >= MOST_OPEN ? idle : NULL;
}

void queue_segment_used(queue_log *log, queue_segment *segment)
{
    queue_segment *idle = find_idle(log, segment);

    segment->used = ++log->uses;
    if (idle != NULL) {
        log->files->ops->close(log->files, idle->fd);
        idle->fd = -1;
    }
}

int queue_segment_fd(queue_log *log, queue_segment *segment)
{
    char name[QUEUE_SEGMENT_NAME];

    if (segment->fd >= 0) {
        segment->used = ++log->uses;
        return segment->fd;
    }
    queue_segment_name(segment->serial, "seg", name);
    segment->fd = log->files->ops->open(log->files, log->log_dir, name,
                                        log->queue->opts.read_only ? FILE_READ : FILE_WRITE);
    if (segment->fd >= 0) {
        queue_segment_used(log, segment);
    }
    return segment->fd;
}
