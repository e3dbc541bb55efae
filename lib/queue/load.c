/* SPDX-License-Identifier: MIT */
#include "queue/spool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

/* What the folder of segments holds, sorted out. */
typedef struct listing {
    queue_log *log;
    uint64_t *serials;
    size_t count;
    size_t capacity;
    int code;
} listing;

static int add_serial(listing *files, uint64_t serial)
{
    size_t capacity = files->capacity > 0 ? files->capacity * 2 : 16;
    const mail_mem *mem = files->log->mem;
    uint64_t *serials = files->serials;

    if (files->count == files->capacity) {
        serials = mem_resize(mem, serials, files->capacity * sizeof(*serials),
                             capacity * sizeof(*serials));
        if (serials == NULL) {
            files->code = MAIL_ENOMEM;
            return 1;
        }
        files->serials = serials;
        files->capacity = capacity;
    }
    files->serials[files->count++] = serial;
    return 0;
}

static void see_serial(queue_log *log, uint64_t serial)
{
    if (serial >= log->next_serial) {
        log->next_serial = serial + 1;
    }
}

/* One of another size, of other days, would not be used again. */
static bool is_of_use(const queue_log *log, const char *name)
{
    file_info info;

    return log->files->ops->info_at(log->files, log->log_dir, name, &info) == 0 &&
           info.size == log->queue->opts.segment_bytes;
}

static int on_name(const char *name, void *arg)
{
    listing *files = arg;
    queue_log *log = files->log;
    uint64_t serial;

    if (queue_segment_parse_name(name, "seg", &serial)) {
        see_serial(log, serial);
        return add_serial(files, serial);
    }
    if (queue_segment_parse_name(name, "free", &serial)) {
        see_serial(log, serial);
        if (log->free_count < QUEUE_FREE && is_of_use(log, name)) {
            log->free[log->free_count++] = serial;
            return 0;
        }
    } else if (!queue_segment_parse_name(name, "new", &serial)) {
        return 0; /* none of ours: left alone */
    }
    if (!log->queue->opts.read_only) {
        (void)log->files->ops->unlink(log->files, log->log_dir, name);
    }
    return 0;
}

static int by_serial(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static int set_aside_whole(queue_log *log, const char *name, const char *why)
{
    mail_log_field fields[] = {{"file", mail_span_text(name)}, {"why", mail_span_text(why)}};

    mail_log_line(log->queue->log, MAIL_LOG_ERROR, "queue segment set aside", fields,
                  MAIL_COUNT(fields));
    log->queue->stats.damaged++;
    if (!log->queue->opts.read_only) {
        (void)log->files->ops->rename(log->files, log->log_dir, name, log->damaged_dir, name);
    }
    return MAIL_OK;
}

/* Its header was about to be written anew when a crash came: all in it was of no use. */
static int set_free(queue_log *log, const char *name, uint64_t serial)
{
    char to[QUEUE_SEGMENT_NAME];

    queue_segment_name(serial, "free", to);
    if (!log->queue->opts.read_only) {
        (void)log->files->ops->rename(log->files, log->log_dir, name, log->log_dir, to);
        (void)log->files->ops->unlink(log->files, log->log_dir, to);
    }
    return MAIL_OK;
}

/* Its name and its first record still say what a damaged header does not. */
static bool salvage(queue_log *log, queue_segment *segment, const char *header, uint64_t serial)
{
    const char *record = header + QUEUE_SEGMENT_HEADER;
    queue_header first;
    file_info info;

    if (!queue_header_read(record, &first) || first.type != QUEUE_RECORD_START ||
        first.head_length != QUEUE_START_SIZE || !queue_header_check(&first, record) ||
        log->files->ops->info(log->files, segment->fd, &info) < 0 || info.size > UINT32_MAX) {
        return false;
    }
    segment->serial = serial;
    segment->generation = first.generation;
    segment->capacity = info.size;
    return true;
}

/*
 * Segments are made at their full length before anything is in them: one that is shorter has
 * lost its end, and no record is left there to tell.
 */
static void check_length(queue_log *log, const queue_segment *segment, const char *name)
{
    const mail_log_field fields[] = {{"file", mail_span_text(name)}};
    file_info info;

    if (log->files->ops->info(log->files, segment->fd, &info) == 0 &&
        info.size < segment->capacity) {
        log->queue->stats.damaged++;
        mail_log_line(log->queue->log, MAIL_LOG_ERROR, "queue segment cut short", fields,
                      MAIL_COUNT(fields));
    }
}

/* Nothing is set aside that may be sound: whoever has put something else there is to say why. */
static int fail_to_read(const queue_log *log, const char *name, int code, mail_error *err)
{
    file_info info;

    if (log->files->ops->info_at(log->files, log->log_dir, name, &info) == 0 && !info.is_file) {
        return mail_error_set(err, MAIL_EPERM, "the segment %s is no plain file", name);
    }
    return mail_error_set(err, code, "cannot read the segment %s: %s", name, mail_strerror(code));
}

static int load_one(queue_log *log, uint64_t serial, mail_error *err)
{
    char start[QUEUE_SEGMENT_HEADER + QUEUE_RECORD_SIZE + QUEUE_START_SIZE] = {0};
    queue_segment *segment = queue_segment_create(log);
    char name[QUEUE_SEGMENT_NAME];
    ssize_t n;
    int code;

    if (segment == NULL) {
        return MAIL_ENOMEM;
    }
    queue_segment_name(serial, "seg", name);
    segment->fd = log->files->ops->open(log->files, log->log_dir, name,
                                        log->queue->opts.read_only ? FILE_READ : FILE_WRITE);
    if (segment->fd < 0) {
        code = segment->fd;
        queue_segment_destroy(log, segment);
        if (code == -ENOENT && log->queue->opts.read_only) {
            return MAIL_OK; /* its owner has just found it to be of no use */
        }
        return fail_to_read(log, name, queue_code(code), err);
    }
    n = file_read_all(log->files, segment->fd, start, sizeof(start), 0);
    code = n < 0 ? queue_code((int)n) : queue_segment_header_read(log, start, segment);
    if (code == MAIL_EDAMAGED && salvage(log, segment, start, serial)) {
        code = MAIL_OK;
    }
    if (code == MAIL_OK && segment->serial == serial) {
        check_length(log, segment, name);
        list_push_back(&log->segments, &segment->link);
        queue_segment_used(log, segment);
        return MAIL_OK;
    }
    queue_segment_destroy(log, segment);
    switch (code) {
    case MAIL_OK:
        return set_free(log, name, serial);
    case MAIL_EDAMAGED:
        return set_aside_whole(log, name, "damaged header");
    case MAIL_EPERM:
        return set_aside_whole(log, name, "of another spool");
    case MAIL_EVERSION:
        return mail_error_set(err, code, "the segment %s is of a newer version", name);
    default:
        return fail_to_read(log, name, code, err);
    }
}

int queue_spool_load(queue_log *log, mail_error *err)
{
    listing files = {.log = log};
    int code;

    if (log->log_dir < 0) {
        return MAIL_OK; /* read only, and nothing there yet */
    }
    code = log->files->ops->list(log->files, log->log_dir, on_name, &files);
    if (files.code == MAIL_OK && code < 0) {
        files.code = mail_error_set(err, queue_code(code), "cannot list the spool's log");
    }
    if (files.count > 0) {
        qsort(files.serials, files.count, sizeof(*files.serials), by_serial);
    }
    for (size_t i = 0; i < files.count && files.code == MAIL_OK; i++) {
        files.code = load_one(log, files.serials[i], err);
    }
    mem_free(log->mem, files.serials, files.capacity * sizeof(*files.serials));
    return files.code;
}
