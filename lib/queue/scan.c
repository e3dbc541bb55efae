/* SPDX-License-Identifier: MIT */
#include "queue/scan.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "queue/wire.h"

#define WINDOW ((size_t)1 << 20)

/* Where in a record its generation lies: what nobody outside can guess, and so can't forge. */
#define AT_GENERATION 32

void queue_scan_init(queue_scan *scan, const mail_files *files, const mail_mem *mem, int fd,
                     uint64_t generation, uint64_t from, uint64_t limit)
{
    *scan = (queue_scan){
        .files = files,
        .mem = mem,
        .fd = fd,
        .generation = generation,
        .at = from,
        .limit = limit,
        .data_at = from,
    };
}

void queue_scan_deinit(queue_scan *scan)
{
    mem_free(scan->mem, scan->data, scan->capacity);
    scan->data = NULL;
}

static int grow(queue_scan *scan, size_t need)
{
    size_t capacity = need > WINDOW ? need : WINDOW;
    char *data;

    if (capacity <= scan->capacity) {
        return MAIL_OK;
    }
    data = mem_resize(scan->mem, scan->data, scan->capacity, capacity);
    if (data == NULL) {
        return MAIL_ENOMEM;
    }
    scan->data = data;
    scan->capacity = capacity;
    return MAIL_OK;
}

/*
 * Has `size` octets from `at` on in the window; `*out` is NULL when the segment, or the
 * file, has no more so many.
 */
static int look(queue_scan *scan, uint64_t at, uint64_t size, const char **out)
{
    uint64_t want;
    ssize_t n;
    int code;

    *out = NULL;
    if (at > scan->limit || size > scan->limit - at) {
        return MAIL_OK;
    }
    if (at < scan->data_at || at + size > scan->data_at + scan->length) {
        code = grow(scan, (size_t)size);
        if (code != MAIL_OK) {
            return code;
        }
        want = scan->limit - at < scan->capacity ? scan->limit - at : scan->capacity;
        n = file_read_all(scan->files, scan->fd, scan->data, (size_t)want, at);
        if (n < 0) {
            scan->length = 0;
            return MAIL_EIO;
        }
        scan->data_at = at;
        scan->length = (size_t)n;
    }
    if (scan->length - (size_t)(at - scan->data_at) >= size) {
        *out = scan->data + (at - scan->data_at);
    }
    return MAIL_OK;
}

/* Whether a whole and sound record lies at `at`; `*is_ours`: at least its beginning does. */
static int look_at_record(queue_scan *scan, uint64_t at, queue_scanned *out, bool *is_ours)
{
    queue_header header;
    const char *record;
    int code;

    out->found = QUEUE_FOUND_END;
    *is_ours = false;
    code = look(scan, at, QUEUE_RECORD_SIZE, &record);
    if (code != MAIL_OK || record == NULL || !queue_header_read(record, &header) ||
        header.generation != scan->generation) {
        return code;
    }
    *is_ours = true;
    code = look(scan, at, queue_header_total(&header), &record);
    if (code != MAIL_OK || record == NULL || !queue_header_check(&header, record) ||
        crc32c(0, record + QUEUE_RECORD_SIZE + header.head_length, (size_t)header.body_length) !=
            header.body_crc) {
        return code;
    }
    *out = (queue_scanned){
        .found = QUEUE_FOUND_RECORD,
        .at = at,
        .end = at + queue_header_total(&header),
        .header = header,
        .record = record,
    };
    return MAIL_OK;
}

/* The first place from `at` on where a record of this segment may begin; the limit: none. */
static int find_candidate(queue_scan *scan, uint64_t at, uint64_t *found)
{
    for (;;) {
        uint64_t left = at < scan->limit ? scan->limit - at : 0;
        uint64_t size = left < WINDOW ? left : WINDOW;
        const char *data;
        int code;

        *found = scan->limit;
        if (size < QUEUE_RECORD_SIZE) {
            return MAIL_OK;
        }
        code = look(scan, at, size, &data);
        if (code != MAIL_OK) {
            return code;
        }
        if (data == NULL) { /* the file is shorter than it says */
            scan->limit = scan->data_at + scan->length > at ? scan->data_at + scan->length : at;
            continue;
        }
        for (uint64_t i = 0; i + QUEUE_RECORD_SIZE <= size; i += QUEUE_RECORD_ALIGN) {
            if (wire_get(data + i + AT_GENERATION, 8) == scan->generation) {
                *found = at + i;
                return MAIL_OK;
            }
        }
        at += size - QUEUE_RECORD_SIZE + QUEUE_RECORD_ALIGN;
    }
}

/*
 * Nothing sound lies at `at`. If something sound follows, what lies between was damaged:
 * the log is written front to back. If not, the end has come, torn or clean.
 */
static int search(queue_scan *scan, uint64_t at, bool is_torn, queue_scanned *out)
{
    uint64_t candidate = at;
    bool is_ours;
    int code;

    for (;;) {
        code = find_candidate(scan, candidate + QUEUE_RECORD_ALIGN, &candidate);
        if (code != MAIL_OK) {
            return code;
        }
        if (candidate >= scan->limit) {
            *out = (queue_scanned){.found = QUEUE_FOUND_END, .at = at, .is_torn = is_torn};
            return MAIL_OK;
        }
        is_torn = true;
        code = look_at_record(scan, candidate, out, &is_ours);
        if (code != MAIL_OK) {
            return code;
        }
        if (out->found == QUEUE_FOUND_RECORD) {
            *out = (queue_scanned){.found = QUEUE_FOUND_DAMAGE, .at = at, .end = candidate};
            return MAIL_OK;
        }
    }
}

int queue_scan_next(queue_scan *scan, queue_scanned *out)
{
    uint64_t at = scan->at;
    bool is_ours;
    int code = look_at_record(scan, at, out, &is_ours);

    if (code == MAIL_OK && out->found != QUEUE_FOUND_RECORD) {
        code = search(scan, at, is_ours, out);
    }
    if (code == MAIL_OK && out->found != QUEUE_FOUND_END) {
        scan->at = out->end;
    }
    return code;
}
