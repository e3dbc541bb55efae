/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_BOXES_H
#define LIB_MTA_BOXES_H

#include <mail/loop.h>
#include <mail/store.h>

#include "base/list.h"

/*
 * Writes into mailboxes on the loop's workers. One worker at a time has a mailbox, and takes all
 * that waits for it: while one group is on its way to the disk the next gathers, and what a
 * group shares is synced once.
 */
typedef struct boxes boxes;

/* A message's copy for one mailbox. While a worker has it, all of it but `link` is the worker's. */
typedef struct box_copy {
    list link;
    const char *path; /* the mailbox */
    mail_span front;  /* goes before the message */
    mail_span piece;  /* of the message: what is to be written now */
    bool is_last;     /* the message ends with it */
    mail_sink *sink;  /* NULL: not begun, failed or finished */
    int code;         /* MAIL_EAGAIN while it goes well; at the end what came of it */
} box_copy;

typedef struct boxes_ops {
    /* The piece is written, or the copy has failed. After boxes_destroy `arg` is NULL. */
    void (*done)(box_copy *copy, void *arg);
    /* A worker is free. Not after boxes_destroy. */
    void (*idle)(void *arg);
} boxes_ops;

/* At most `max` mailboxes are written at a time. Errors: MAIL_ENOMEM. */
int boxes_create(boxes **out, mail_loop *loop, mail_store *store, size_t max, const mail_mem *mem,
                 const boxes_ops *ops, void *arg);

/*
 * What waits comes back by `done` at once, not written; what workers have, as soon as they
 * let go. NULL does nothing.
 */
void boxes_destroy(boxes *bx);

/* Has the copy's piece written; `done` will follow, but not before this returns. MAIL_ENOMEM. */
int boxes_write(boxes *bx, box_copy *copy);

/* Gives free workers something to do. To be called after boxes_write. */
void boxes_go(boxes *bx);

/* Whether a worker has anything. */
bool boxes_are_busy(const boxes *bx);

#endif
