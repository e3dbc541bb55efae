/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_STORAGE_H
#define LIB_QUEUE_STORAGE_H

#include <mail/queue.h>

#include "base/list.h"
#include "queue/record.h"

struct queue_sink;

/* Where a record lies, as its storage counts; 0: nowhere. */
typedef uint64_t queue_place;

/* A record on its way to where it will be kept. */
typedef struct queue_record {
    list link;
    queue_header header; /* sequence, generation, tick and wall are the storage's to fill */
    char *data;          /* the fixed header's place, then head and body */
    size_t capacity;
    size_t promised;         /* to what is still to be written into a head: it always fits */
    uint32_t weight;         /* how many octets of the log it keeps from being thrown away */
    bool is_urgent;          /* somebody waits for it */
    bool is_alone;           /* and will see how it ended: its intake need not be told */
    bool ends_large;         /* once it is safe, the large body of its id must go */
    int large_fd;            /* its body's file, to be synced first; -1: none */
    int code;                /* how it ended */
    queue_place place;       /* and where it lies */
    struct queue_sink *sink; /* what wrote the message; NULL: the queue's owner did */
} queue_record;

/* An owner's record with room for `head_capacity` octets of head; or NULL. */
queue_record *queue_record_create(const mail_mem *mem, queue_record_type type, uint64_t id,
                                  size_t head_capacity);
void queue_record_destroy(const mail_mem *mem, queue_record *record);

/* Room for a head (and body) of `length` octets in all. MAIL_ENOMEM. */
int queue_record_reserve(const mail_mem *mem, queue_record *record, size_t length);

typedef struct queue_store queue_store;

/*
 * Keeps records. Each submitted record is settled once, in the order in which they
 * came, but for those whose large body must be synced first.
 */
typedef struct queue_store_ops {
    /* Whether a message of so many octets could come in now. Any thread. */
    int (*room)(queue_store *store, uint64_t expected);
    /* Takes all of `records` and hands each to queue_settle once it is safe or has failed. Any thread. */
    void (*submit)(queue_store *store, list *records);
    /*
     * The same for a record that would share its sync with no other. MAIL_OK: the caller's own
     * thread has made it safe. MAIL_EAGAIN: it was submitted. NULL: always.
     */
    int (*submit_alone)(queue_store *store, queue_record *record);
    /* Reads `size` octets from `offset` of a record on. The owner's thread, as all below. */
    int (*read)(queue_store *store, queue_place place, uint64_t offset, void *to, size_t size);
    /* `weight` octets of what a record weighs are of no more use. */
    void (*release)(queue_store *store, queue_place place, uint32_t weight);
    /* Until unpinned a record can be read, released or not. */
    void (*pin)(queue_store *store, queue_place place);
    void (*unpin)(queue_store *store, queue_place place);
    /* Puts a copy of a damaged record where somebody may look into it, and says so. */
    void (*set_aside)(queue_store *store, queue_place place, uint64_t length);
    /* Returns once all that was submitted is safe, or for now can't be made so. */
    void (*flush)(queue_store *store);
    /* Without threads: does what they would. */
    void (*step)(queue_store *store);
    /* An owner's record of the storage's own kind has been settled. */
    void (*settled)(queue_store *store, const queue_record *record);
    /* Some housekeeping; when to call again. */
    mail_time (*keep)(queue_store *store, mail_time now);
    void (*stats)(queue_store *store, mail_queue_stats *out);
    void (*close)(queue_store *store);
} queue_store_ops;

struct queue_store {
    const queue_store_ops *ops;
};

static inline void queue_submit(queue_store *store, queue_record *record)
{
    list one;

    list_init(&one);
    list_push_back(&one, &record->link);
    store->ops->submit(store, &one);
}

/* Everything in memory. */
int queue_memory_open(queue_store **out, mail_queue *queue);

/* The log in folder `dir`; what it holds is put into the queue's index. */
int queue_log_open(queue_store **out, mail_queue *queue, const char *dir, mail_error *err);

/* From the storage: `records`, which it empties, are safe or have failed. Any thread. */
void queue_settle(mail_queue *queue, list *records);

#endif
