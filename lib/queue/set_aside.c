/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

/* No more than this is copied of one damaged stretch. */
#define MOST ((uint64_t)64 << 20)

static int copy(queue_log *log, queue_segment *segment, uint64_t from, uint64_t to, int fd)
{
    const size_t chunk = 64 << 10;
    int source = queue_segment_fd(log, segment);
    char *data = mem_resize(log->mem, NULL, 0, chunk);
    int code = data != NULL && source >= 0 ? 0 : -1;

    for (uint64_t at = from; at < to && code == 0; at += chunk) {
        size_t size = to - at < chunk ? (size_t)(to - at) : chunk;
        ssize_t n = file_read_all(log->files, source, data, size, at);
        struct iovec part = {data, n > 0 ? (size_t)n : 0};

        if (n == 0) {
            break; /* the file is shorter than it says */
        }
        code = n < 0 ? -1 : file_write_all(log->files, fd, &part, 1, at - from);
    }
    mem_free(log->mem, data, chunk);
    return code;
}

/* Nobody else has what could not be copied: the segment is not written over. */
static void keep(queue_log *log, queue_segment *segment)
{
    pthread_mutex_lock(&log->lock);
    segment->pins++;
    pthread_mutex_unlock(&log->lock);
}

void queue_set_aside(queue_log *log, queue_segment *segment, uint64_t from, uint64_t to)
{
    const mail_files_ops *ops = log->files->ops;
    char name[QUEUE_SEGMENT_NAME];
    char offset[24];
    char copied[64] = "";
    mail_log_field fields[3];
    int code = -1;
    int fd = -1;

    queue_segment_name(segment->serial, "seg", name);
    snprintf(offset, sizeof(offset), "%" PRIu64, from);
    if (log->damaged_dir >= 0 && !log->queue->opts.read_only) {
        snprintf(copied, sizeof(copied), "%.16s-%s", name, offset);
        fd = ops->open(log->files, log->damaged_dir, copied,
                       FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
    }
    if (fd >= 0) {
        code = copy(log, segment, from, to - from < MOST ? to : from + MOST, fd);
        ops->close(log->files, fd);
    }
    if (code < 0) {
        keep(log, segment);
    }
    fields[0] = (mail_log_field){"file", mail_span_text(name)};
    fields[1] = (mail_log_field){"offset", mail_span_text(offset)};
    fields[2] = (mail_log_field){"copy", mail_span_text(copied)};
    mail_log_line(log->queue->log, MAIL_LOG_ERROR, "queue record damaged", fields,
                  MAIL_COUNT(fields));
}
