/* SPDX-License-Identifier: MIT */
#include "queue/log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "base/mem.h"

#define VERSION 1

static const char magic[8] = "libmail\n";

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12,
    AT_SPOOL = 16,
    AT_SERIAL = 32,
    AT_GENERATION = 40,
    AT_CAPACITY = 48,
    HEADER = 64,
    AT_USED = 512, /* in a sector of its own: whatever tears there, the header is whole */
    USED = 8
};

void queue_segment_name(uint64_t serial, const char *suffix, char out[QUEUE_SEGMENT_NAME])
{
    snprintf(out, QUEUE_SEGMENT_NAME, "%016" PRIx64 ".%s", serial, suffix);
}

bool queue_segment_parse_name(const char *name, const char *suffix, uint64_t *serial)
{
    char again[QUEUE_SEGMENT_NAME];

    if (strlen(name) != 17 + strlen(suffix) || sscanf(name, "%16" SCNx64 ".", serial) != 1) {
        return false;
    }
    queue_segment_name(*serial, suffix, again);
    return strcmp(name, again) == 0;
}

queue_segment *queue_segment_create(queue_log *log)
{
    queue_segment *segment = mem_alloc(log->mem, sizeof(*segment));
    queue_segment **slots;
    size_t slot = 0;

    if (segment == NULL) {
        return NULL;
    }
    segment->fd = -1;
    list_init(&segment->link);
    pthread_mutex_lock(&log->lock);
    while (slot < log->slot_count && log->slots[slot] != NULL) {
        slot++;
    }
    if (slot == log->slot_count) {
        slots =
            mem_resize(log->mem, log->slots, slot * sizeof(*slots), (slot + 1) * sizeof(*slots));
        if (slots == NULL) {
            pthread_mutex_unlock(&log->lock);
            mem_free(log->mem, segment, sizeof(*segment));
            return NULL;
        }
        log->slots = slots;
        log->slot_count++;
    }
    log->slots[slot] = segment;
    segment->slot = (uint32_t)slot;
    pthread_mutex_unlock(&log->lock);
    return segment;
}

void queue_segment_destroy(queue_log *log, queue_segment *segment)
{
    if (segment == NULL) {
        return;
    }
    pthread_mutex_lock(&log->lock);
    log->slots[segment->slot] = NULL;
    list_remove(&segment->link);
    pthread_mutex_unlock(&log->lock);
    if (segment->fd >= 0) {
        log->files->ops->close(log->files, segment->fd);
    }
    mem_free(log->mem, segment, sizeof(*segment));
}

queue_segment *queue_segment_at(queue_log *log, queue_place place)
{
    queue_segment *segment;

    pthread_mutex_lock(&log->lock);
    segment = log->slots[place >> 32];
    pthread_mutex_unlock(&log->lock);
    return segment;
}

static uint32_t header_crc(const char *header)
{
    return crc32c(crc32c(0, header, AT_CRC), header + AT_SPOOL, HEADER - AT_SPOOL);
}

void queue_segment_header_write(const queue_log *log, const queue_segment *segment, char *to)
{
    memcpy(to + AT_MAGIC, magic, sizeof(magic));
    wire_put(to + AT_VERSION, VERSION, 4);
    memcpy(to + AT_SPOOL, log->spool_id, QUEUE_SPOOL_ID);
    wire_put(to + AT_SERIAL, segment->serial, 8);
    wire_put(to + AT_GENERATION, segment->generation, 8);
    wire_put(to + AT_CAPACITY, segment->capacity, 8);
    wire_put(to + AT_CRC, header_crc(to), 4);
}

int queue_segment_mark_used(queue_log *log, const queue_segment *segment)
{
    char mark[USED];
    struct iovec part = {mark, sizeof(mark)};

    wire_put(mark, segment->generation, USED);
    return file_write_all(log->files, segment->fd, &part, 1, AT_USED);
}

/* Zeros were safe there before the segment had its name: anything else is the mark, or was. */
static bool is_marked(const char *header)
{
    for (size_t i = 0; i < USED; i++) {
        if (header[AT_USED + i] != 0) {
            return true;
        }
    }
    return false;
}

int queue_segment_header_read(const queue_log *log, const char *from, queue_segment *segment)
{
    if (memcmp(from + AT_MAGIC, magic, sizeof(magic)) != 0) {
        return MAIL_EDAMAGED;
    }
    if (wire_get(from + AT_VERSION, 4) > VERSION) {
        return MAIL_EVERSION; /* its header may look otherwise: nothing more is believed */
    }
    if (wire_get(from + AT_CRC, 4) != header_crc(from)) {
        return MAIL_EDAMAGED;
    }
    if (memcmp(from + AT_SPOOL, log->spool_id, QUEUE_SPOOL_ID) != 0) {
        return MAIL_EPERM;
    }
    segment->serial = wire_get(from + AT_SERIAL, 8);
    segment->generation = wire_get(from + AT_GENERATION, 8);
    segment->capacity = wire_get(from + AT_CAPACITY, 8);
    segment->was_used = is_marked(from);
    return segment->capacity <= UINT32_MAX ? MAIL_OK : MAIL_EDAMAGED;
}

static int write_header(queue_log *log, const queue_segment *segment)
{
    char header[QUEUE_SEGMENT_HEADER] = {0};
    struct iovec part = {header, sizeof(header)};

    queue_segment_header_write(log, segment, header);
    return file_write_all(log->files, segment->fd, &part, 1, 0);
}

static uint64_t bytes_written(queue_log *log)
{
    uint64_t bytes;

    pthread_mutex_lock(&log->lock);
    bytes = log->bytes_written;
    pthread_mutex_unlock(&log->lock);
    return bytes;
}

/*
 * Leaves the disk to others for a moment, unless the writer waits for the segment, or has used
 * half as much as is `filled` since it had written `before`.
 */
static void rest(queue_log *log, uint64_t filled, uint64_t before)
{
    pthread_mutex_lock(&log->lock);
    if (!log->queue->opts.manual && !log->wants_segment && !log->must_stop &&
        (log->bytes_written - before) * 2 < filled) {
        (void)queue_log_wait(log, &log->making, MAIL_MILLISECOND);
    }
    pthread_mutex_unlock(&log->lock);
}

/*
 * Zeros: so that what is written later changes no size and needs no journal to be safe. They
 * set out for the disk bit by bit, since a sync of mail waits for all that is on its way there.
 */
static int fill(queue_log *log, const queue_segment *segment)
{
    const size_t piece = 256 << 10;
    uint64_t before = bytes_written(log);
    char *zeros = mem_alloc(log->mem, piece);
    int code = 0;

    if (zeros == NULL) {
        return MAIL_ENOMEM;
    }
    for (uint64_t at = QUEUE_SEGMENT_HEADER; at < segment->capacity && code == 0; at += piece) {
        uint64_t left = segment->capacity - at;
        struct iovec part = {zeros, left < piece ? (size_t)left : piece};

        code = file_write_all(log->files, segment->fd, &part, 1, at);
        log->files->ops->begin_sync(log->files, segment->fd);
        rest(log, at, before);
    }
    mem_free(log->mem, zeros, piece);
    return queue_code(code);
}

/* Opens a file that is free; false: there is none of use. */
static bool reuse(queue_log *log, queue_segment *segment, char name[QUEUE_SEGMENT_NAME])
{
    const mail_files_ops *ops = log->files->ops;
    uint64_t serial;
    file_info info;

    for (;;) {
        pthread_mutex_lock(&log->lock);
        if (log->free_count == 0) {
            pthread_mutex_unlock(&log->lock);
            return false;
        }
        serial = log->free[--log->free_count];
        pthread_mutex_unlock(&log->lock);
        queue_segment_name(serial, "free", name);
        segment->fd = ops->open(log->files, log->log_dir, name, FILE_WRITE);
        if (segment->fd >= 0 && ops->info(log->files, segment->fd, &info) == 0 &&
            info.size == segment->capacity) {
            return true;
        }
        if (segment->fd >= 0) {
            ops->close(log->files, segment->fd);
            segment->fd = -1;
        }
        (void)ops->unlink(log->files, log->log_dir, name);
    }
}

static int make_new(queue_log *log, queue_segment *segment, char name[QUEUE_SEGMENT_NAME])
{
    const mail_files_ops *ops = log->files->ops;

    queue_segment_name(segment->serial, "new", name);
    segment->fd =
        ops->open(log->files, log->log_dir, name, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
    return segment->fd >= 0 ? fill(log, segment) : queue_code(segment->fd);
}

/* The header first, safe under the old name; then the name that makes it count. */
static int publish(queue_log *log, queue_segment *segment, const char *old_name)
{
    const mail_files_ops *ops = log->files->ops;
    char name[QUEUE_SEGMENT_NAME];
    int code = write_header(log, segment);

    if (code == 0) {
        code = ops->sync(log->files, segment->fd);
    }
    if (code == 0) {
        queue_segment_name(segment->serial, "seg", name);
        code = ops->rename(log->files, log->log_dir, old_name, log->log_dir, name);
    }
    if (code == 0) {
        code = ops->sync(log->files, log->log_dir);
    }
    return queue_code(code);
}

int queue_segment_make(queue_log *log, uint64_t capacity)
{
    queue_segment *segment = queue_segment_create(log);
    char name[QUEUE_SEGMENT_NAME];
    int code = MAIL_OK;

    if (segment == NULL) {
        return MAIL_ENOMEM;
    }
    pthread_mutex_lock(&log->lock);
    segment->serial = log->next_serial++;
    pthread_mutex_unlock(&log->lock);
    segment->capacity = capacity;
    segment->generation = random_u64(log->queue->opts.random);
    if (!reuse(log, segment, name)) {
        code = make_new(log, segment, name);
    }
    if (code == MAIL_OK) {
        code = publish(log, segment, name);
    }
    if (code != MAIL_OK) {
        (void)log->files->ops->unlink(log->files, log->log_dir, name);
        queue_segment_destroy(log, segment);
        return code;
    }
    segment->end = QUEUE_SEGMENT_HEADER;
    pthread_mutex_lock(&log->lock);
    list_push_back(&log->ready, &segment->link);
    log->ready_count++;
    pthread_mutex_unlock(&log->lock);
    return MAIL_OK;
}

/* Whether its file, renamed, is to be kept for later. */
static bool keep_file(queue_log *log, const queue_segment *segment)
{
    bool is_kept;

    if (segment->has_failed || segment->capacity != log->queue->opts.segment_bytes) {
        return false;
    }
    pthread_mutex_lock(&log->lock);
    is_kept = log->free_count < QUEUE_FREE;
    if (is_kept) {
        log->free[log->free_count++] = segment->serial;
    }
    pthread_mutex_unlock(&log->lock);
    return is_kept;
}

/*
 * The new name need not be safe before the file is written to: a header that tells of
 * another serial than the file's name says as well that the file was free.
 */
static void bury(queue_log *log, queue_segment *segment)
{
    const mail_files_ops *ops = log->files->ops;
    char from[QUEUE_SEGMENT_NAME];
    char to[QUEUE_SEGMENT_NAME];

    queue_segment_name(segment->serial, "seg", from);
    queue_segment_name(segment->serial, "free", to);
    if (ops->rename(log->files, log->log_dir, from, log->log_dir, to) == 0 &&
        !keep_file(log, segment)) {
        (void)ops->unlink(log->files, log->log_dir, to);
    }
    queue_segment_destroy(log, segment);
}

void queue_segment_bury(queue_log *log)
{
    list dead;

    pthread_mutex_lock(&log->lock);
    list_take_all(&dead, &log->dead);
    pthread_mutex_unlock(&log->lock);
    while (!list_is_empty(&dead)) {
        bury(log, LIST_OWNER(dead.next, queue_segment, link));
    }
}
