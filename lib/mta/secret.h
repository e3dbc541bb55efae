/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_SECRET_H
#define LIB_MTA_SECRET_H

#include <stdatomic.h>

#include <mail/base.h>
#include <mail/loop.h>

/* The longest secret. */
#define SECRET_SIZE 4096

typedef enum secret_kind {
    SECRET_GIVEN,  /* `text` is it */
    SECRET_FILE,   /* the first line of the file `text` */
    SECRET_COMMAND /* the first line that the command `text` prints */
} secret_kind;

typedef struct secret_place {
    secret_kind kind;
    const char *text;
} secret_place;

/* `code` MAIL_OK: `secret`, which lends for the call and is wiped then. Else `why` says why not. */
typedef void secret_fn(int code, mail_span secret, const char *why, void *arg);

/*
 * A secret being looked up by a worker of the loop, since a file may be slow and a command is.
 * `fn` is called later, from the loop, never from inside secret_look_up. Ownership: copies
 * `place`. MAIL_ENOMEM.
 */
typedef struct secret_lookup secret_lookup;
int secret_look_up(secret_lookup **out, mail_loop *loop, const mail_mem *mem,
                   const secret_place *place, secret_fn *fn, void *arg);

/*
 * Nobody is told any more, and a command is ended in a moment; until the loop has seen to that it has
 * work under way. Not needed after `fn`, nor allowed.
 */
void secret_cancel(secret_lookup *lookup);

/*
 * Reads it here and now, until `patience` or `is_cancelled` (NULL: never) ends it: MAIL_OK, or `why`.
 * For the worker, and for tests.
 */
int secret_read(const secret_place *place, char out[SECRET_SIZE], size_t *length,
                mail_duration patience, const atomic_bool *is_cancelled, mail_error *why);

#endif
