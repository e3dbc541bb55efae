/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_SCAN_H
#define LIB_QUEUE_SCAN_H

#include "base/file.h"
#include "queue/record.h"

/* Reads a segment's records one after the other, and finds its way past damaged ones. */
typedef struct queue_scan {
    const mail_files *files;
    const mail_mem *mem;
    int fd;
    uint64_t generation;
    uint64_t at;    /* where the next record should lie */
    uint64_t limit; /* where the segment ends */
    char *data;     /* a window on the file */
    uint64_t data_at;
    size_t length;
    size_t capacity;
} queue_scan;

typedef enum queue_found {
    QUEUE_FOUND_RECORD,
    QUEUE_FOUND_DAMAGE, /* something between `at` and `end` is not what was written there */
    QUEUE_FOUND_END     /* from `at` on nothing was ever written whole */
} queue_found;

typedef struct queue_scanned {
    queue_found found;
    uint64_t at;
    uint64_t end;
    queue_header header;
    const char *record; /* all of it; lends until the next call */
    bool is_torn;       /* at the end: something of this segment lies there, though not whole */
} queue_scanned;

void queue_scan_init(queue_scan *scan, const mail_files *files, const mail_mem *mem, int fd,
                     uint64_t generation, uint64_t from, uint64_t limit);
void queue_scan_deinit(queue_scan *scan);

/* Errors: MAIL_EIO, MAIL_ENOMEM. */
int queue_scan_next(queue_scan *scan, queue_scanned *out);

#endif
