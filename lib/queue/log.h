/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_LOG_H
#define LIB_QUEUE_LOG_H

#include <pthread.h>
#include <sys/uio.h>

#include "queue/queue.h"
#include "queue/scan.h"

/*
 * The log: segments, each a file `log/SERIAL.seg`, written one after the other by one
 * thread. README.md has the format. A segment's life, and what a crash leaves of it:
 *
 *   SERIAL.new    being filled with zeros         removed at the next open
 *   SERIAL.seg    ready: a header, no record      used at the next open
 *                 active: records are added       read; its torn end is cut
 *                 closed: read only               read
 *   SERIAL.free   holds nothing of use            used again, with a new serial: its header is
 *                                                 written and synced under this name
 */
#define QUEUE_SEGMENT_HEADER 4096
#define QUEUE_SPOOL_ID       16

/* How many segments are kept ready, and how many free ones for later. */
#define QUEUE_READY 1
#define QUEUE_FREE  4

/* What one write and one sync may have. */
#define QUEUE_BATCH_BYTES   ((uint64_t)4 << 20)
#define QUEUE_BATCH_RECORDS 512

typedef struct queue_segment {
    list link;
    uint64_t serial;
    uint64_t generation;
    uint64_t capacity; /* octets, header included */
    uint32_t slot;     /* of log->slots: the upper half of a place */
    int fd;            /* the writer's or the maker's while they have it, then the owner's */
    uint64_t used;     /* the owner's: log->uses when it last was */
    uint64_t end;      /* what lies behind it does not count */
    uint64_t first_sequence;
    uint64_t last_sequence;
    bool was_used; /* its header says that its first record was safe */
    bool is_past;  /* a later one has a first record: all in this one that counts was safe */

    /* Guarded by the log's lock. */
    uint64_t live;       /* what its useful records weigh */
    uint64_t dead_after; /* it can go once so many records are settled */
    uint32_t pins;
    bool has_failed; /* a write or sync of it failed: not to be used again */
    bool is_tried;   /* copying out of it has been tried: what is left can not be read */
} queue_segment;

/* Where a checkpoint lies. */
typedef struct queue_checkpoint {
    uint64_t serial; /* of the segment in which it begins; 0: there is none */
    uint64_t offset;
    uint64_t sequence;
    uint64_t last_serial; /* of the segment in which it ends */
} queue_checkpoint;

typedef enum queue_checkpoint_state {
    QUEUE_CHECKPOINT_NONE,
    QUEUE_CHECKPOINT_AWAIT_BEGIN, /* its first record is on its way to the disk */
    QUEUE_CHECKPOINT_AWAIT_PARTS, /* there are messages left to be written */
    QUEUE_CHECKPOINT_AWAIT_END    /* its last record is on its way */
} queue_checkpoint_state;

typedef struct queue_log {
    queue_store base;
    mail_queue *queue;
    const mail_files *files;
    const mail_mem *mem;
    int dir;
    int lock_fd;
    int log_dir;
    int damaged_dir;
    char spool_id[QUEUE_SPOOL_ID];

    pthread_mutex_t lock;
    pthread_cond_t work;     /* the writer has something to do */
    pthread_cond_t settling; /* something was settled, or nothing will be for now */
    pthread_cond_t making;   /* the maker has something to do, or has done it */
    pthread_cond_t syncing;  /* a large body is to be synced */
    pthread_t writer;
    pthread_t maker;
    pthread_t syncer;
    unsigned threads; /* how many of them run */
    bool must_stop;
    bool writer_waits;
    bool is_lent; /* another thread does the writer's work for a record of its own */
    bool wants_sync;
    bool is_stuck; /* what is pending can't be written for now */
    list pending;  /* records to be written */
    list large;    /* records whose large bodies are to be synced first */
    uint64_t submitted;
    uint64_t settled;

    /* Segments; guarded by the lock but for what only the writer touches. */
    queue_segment **slots;
    size_t slot_count;
    list segments; /* active and closed ones, oldest first */
    list ready;
    list dead;      /* to be made free */
    uint64_t *free; /* serials of the free files */
    size_t free_count;
    size_t ready_count;
    uint64_t next_serial;
    bool wants_segment;
    int make_code; /* why no segment could be made; MAIL_OK: not tried, or it worked */

    /* The writer's alone, or of whom its work is lent to. */
    queue_segment *active;  /* NULL: to be chosen */
    uint64_t sequence;      /* of the last record written */
    uint64_t safe_sequence; /* of the last record synced */
    uint64_t safe_end;
    uint64_t last_serial; /* the segment before the next one … */
    uint64_t last_end;    /* … and how much of it counts */
    list unsynced;        /* written */
    list untold;          /* safe; those who wait for it do not know yet */
    bool unsynced_urgent;
    int failure;     /* of such a one, which the writer has to see to */
    unsigned doubts; /* syncs to come before one may hold up a thread that brings mail */
    struct iovec parts[QUEUE_BATCH_RECORDS];
    uint64_t syncs; /* guarded by the lock */
    uint64_t bytes_written;

    _Atomic uint64_t free_bytes; /* of the disk, as last seen */
    _Atomic mail_time free_seen;

    /* The owner's alone. */
    queue_checkpoint checkpoint; /* the last complete one; its first two fields under the lock */
    queue_checkpoint beginning;  /* the one being written; serial 0: none, or not begun */
    queue_checkpoint_state checkpoint_state;
    uint64_t uses;
    queue_segment *compacting; /* what is copied out of it; NULL: nothing is */
    queue_scan scan;
} queue_log;

static inline queue_place queue_place_of(const queue_segment *segment, uint64_t offset)
{
    return (uint64_t)segment->slot << 32 | offset;
}

/* The MAIL_… code of what a file operation returned. */
static inline int queue_code(int result)
{
    return result < 0 ? mail_error_from_errno(-result) : MAIL_OK;
}

/* worker.c. `work` or `making`, with the lock held, for so long; false: nothing has come. */
bool queue_log_wait(queue_log *log, pthread_cond_t *cond, mail_duration at_most);

/* segment.c */
#define QUEUE_SEGMENT_NAME 32
void queue_segment_name(uint64_t serial, const char *suffix, char out[QUEUE_SEGMENT_NAME]);
bool queue_segment_parse_name(const char *name, const char *suffix, uint64_t *serial);
queue_segment *queue_segment_create(queue_log *log);
void queue_segment_destroy(queue_log *log, queue_segment *segment);
void queue_segment_header_write(const queue_log *log, const queue_segment *segment, char *to);
/* Says in the header that the first record is safe; safe itself with the next sync. Or -errno. */
int queue_segment_mark_used(queue_log *log, const queue_segment *segment);
/* Errors: MAIL_EDAMAGED, MAIL_EVERSION, MAIL_EPERM (of another spool). */
int queue_segment_header_read(const queue_log *log, const char *from, queue_segment *segment);
/* Makes one ready, of a free file or a new one of `capacity`. */
int queue_segment_make(queue_log *log, uint64_t capacity);
/* Renames the dead ones, after which their files are free. */
void queue_segment_bury(queue_log *log);
queue_segment *queue_segment_at(queue_log *log, queue_place place);

/* handles.c. A handle to read a closed segment by, until the next call; or -errno. The owner's. */
int queue_segment_fd(queue_log *log, queue_segment *segment);
/* It has just been opened: another may be closed. */
void queue_segment_used(queue_log *log, queue_segment *segment);

/* batch.c. Whether the active segment has room for it. */
bool queue_batch_fits(const queue_log *log, const queue_record *record);
/* Those who wait for what is `untold` get to know. */
void queue_batch_tell(queue_log *log);
/* What is `unsynced` could not be made safe. */
void queue_batch_fail(queue_log *log, int code);
/* Syncs what is written: it goes to `untold`, or as above. MAIL_… code. */
int queue_batch_sync(queue_log *log);
/* Writes the records of `batch`, which go to `unsynced`, or to those who wait if it fails. */
void queue_batch_write(queue_log *log, list *batch);
/* Writes one record, syncs it and tells of it. MAIL_… code; if it failed, it lies in `unsynced`. */
int queue_batch_alone(queue_log *log, queue_record *record);

/* writer.c. Whether its work is done, and the next record would be all of it; the lock is held. */
bool queue_writer_may_lend(const queue_log *log, const queue_record *record);
/* If so: leaves the lock, and writes and syncs the record on this thread. As submit_alone. */
int queue_writer_lend(queue_log *log, queue_record *record);
/* What each thread does once; false: nothing was left to do. */
bool queue_writer_round(queue_log *log);
void *queue_writer_run(void *arg);

/* worker.c */
bool queue_maker_round(queue_log *log);
bool queue_syncer_round(queue_log *log);
void *queue_maker_run(void *arg);
void *queue_syncer_run(void *arg);
/* A segment to go on in; waits for the maker. MAIL_ENOSPC, MAIL_EIO, MAIL_ENOMEM. */
int queue_next_segment(queue_log *log, queue_segment **out);

/* recover.c: fills the queue's index from what the log holds. */
int queue_recover(queue_log *log, mail_error *err);

/* set_aside.c. If no copy can be made, the segment is kept as it is until the next start. */
void queue_set_aside(queue_log *log, queue_segment *segment, uint64_t from, uint64_t to);

#endif
