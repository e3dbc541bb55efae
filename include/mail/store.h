/* SPDX-License-Identifier: MIT */
#ifndef MAIL_STORE_H
#define MAIL_STORE_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/maildrop.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A kind of mailboxes and what it needs to reach them. A mailbox is named by a
 * path, whose meaning belongs to the kind: for Maildir it is a folder.
 *
 * The functions of this header block on files: an event loop calls them from its
 * workers. A store is thread-safe; a mailbox, a sink and a source are used by one
 * thread at a time.
 */
typedef struct mail_store mail_store;

/** One mailbox, open and locked, with the messages it held when it was opened. */
typedef struct mail_mailbox mail_mailbox;

/** What a kind of store does; see the functions of the same names. */
typedef struct mail_store_ops {
    int (*append)(mail_store *store, const char *path, mail_sink **out, mail_error *err);
    /* NULL: one after the other costs no more. */
    void (*finish)(mail_store *store, mail_sink *const *sinks, size_t count, int *codes);
    int (*open)(mail_store *store, const char *path, mail_mailbox **out, mail_error *err);
    void (*destroy)(mail_store *store);
} mail_store_ops;

/** A kind of store embeds this struct first. */
struct mail_store {
    const mail_store_ops *ops;
};

/**
 * Begins a new message in the mailbox at `path`, which is made, folders above it
 * included, if it is missing. The sink takes the message in wire form (CRLF) and
 * always has room; its `finish` returns MAIL_OK once the message is safely stored.
 * Until then, and after any failure, the mailbox shows nothing of it.
 *
 * Ownership: gives a sink that must be gone before the store.
 * Errors: MAIL_ENOSPC, MAIL_EIO, MAIL_EPERM, MAIL_ENOMEM, MAIL_EINVAL for something else at `path`.
 */
static inline int mail_store_append(mail_store *store, const char *path, mail_sink **out,
                                    mail_error *err)
{
    return store->ops->append(store, path, out, err);
}

/**
 * Finishes `count` sinks of this store together, which costs less than one after the other, the
 * more so when they are of the same mailbox. Each succeeds or fails by itself: `codes[i]` is what
 * mail_sink_finish of `sinks[i]` would have given. All sinks are gone.
 */
static inline void mail_store_finish(mail_store *store, mail_sink *const *sinks, size_t count,
                                     int *codes)
{
    if (store->ops->finish != NULL) {
        store->ops->finish(store, sinks, count, codes);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        codes[i] = mail_sink_finish(sinks[i], NULL, NULL);
    }
}

/** All mailboxes, sinks and sources must be gone. */
static inline void mail_store_destroy(mail_store *store)
{
    if (store != NULL) {
        store->ops->destroy(store);
    }
}

/** What an open mailbox does; see the functions of the same names. */
typedef struct mail_mailbox_ops {
    int (*read)(mail_mailbox *box, size_t index, mail_source **out);
    int (*remove)(mail_mailbox *box, const uint8_t *marks);
    void (*close)(mail_mailbox *box);
} mail_mailbox_ops;

/**
 * The list is frozen, oldest first: what arrives, moves or vanishes meanwhile
 * changes no index. A kind of mailbox embeds this struct first.
 */
struct mail_mailbox {
    const mail_mailbox_ops *ops;
    const mail_maildrop_message *messages; /* lends until close */
    size_t count;
};

/**
 * Opens the mailbox at `path` for one session, alone. One that does not exist
 * yet is empty.
 *
 * Errors: MAIL_EBUSY while another session has it; MAIL_EPERM, MAIL_EIO, MAIL_ENOMEM,
 * MAIL_EINVAL for something else at `path`.
 */
static inline int mail_mailbox_open(mail_mailbox **out, mail_store *store, const char *path,
                                    mail_error *err)
{
    return store->ops->open(store, path, out, err);
}

/** Lets the next session in. Sources still open stay good. NULL does nothing. */
static inline void mail_mailbox_close(mail_mailbox *box)
{
    if (box != NULL) {
        box->ops->close(box);
    }
}

/**
 * Opens message `index` for reading in wire form: every line, the last too, ends
 * in CRLF. However large it is, only a piece is ever in memory. `peek` reads files.
 *
 * Ownership: gives; close it before the store is destroyed.
 * Errors: MAIL_ENOENT when it has vanished; MAIL_EPERM, MAIL_EIO, MAIL_ENOMEM.
 */
static inline int mail_mailbox_read(mail_mailbox *box, size_t index, mail_source **out)
{
    return box->ops->read(box, index, out);
}

/**
 * Removes the messages whose bit in `marks` (MAIL_MARKS_SIZE(count) octets) is set, and no
 * others. One that has vanished already counts as removed.
 *
 * Errors: one of those that happened; all others were still tried.
 */
static inline int mail_mailbox_remove(mail_mailbox *box, const uint8_t *marks)
{
    return box->ops->remove(box, marks);
}

/** How Maildirs are kept; all may be zero. */
typedef struct mail_maildir_options {
    size_t size;                  /* MAIL_MAILDIR_OPTIONS_INIT */
    const mail_mem *mem;          /* thread-safe */
    mail_span hostname;           /* in file names; default: this host's; copied */
    mail_wall (*wall)(void *arg); /* NULL: CLOCK_REALTIME. Thread-safe */
    void *wall_arg;
    const struct mail_files *files;   /* private to libmail's tests: NULL is the system's files */
    const struct mail_random *random; /* private to libmail's tests: NULL is the system's */
    long process; /* private to libmail's tests: in file names; 0 is this one's number */
} mail_maildir_options;

#define MAIL_MAILDIR_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(mail_maildir_options)                                                       \
    }

/**
 * Mailboxes as Maildirs: a folder each, a file a message. `opts` NULL: all defaults.
 *
 * Errors: MAIL_ENOMEM, MAIL_EINVAL for a size that is not known.
 */
MAIL_API int mail_maildir_create(mail_store **out, const mail_maildir_options *opts);

/** Mailboxes in memory, for tests and for capturing mail; any path names one. Errors: MAIL_ENOMEM. */
MAIL_API int mail_memory_store_create(mail_store **out, const mail_mem *mem);

/** The longest path of a mailbox, final NUL included. */
#define MAIL_MAILBOX_PATH_SIZE 4096

/**
 * Writes the path of the mailbox for `address` below `dir`: `DIR/DOMAIN/LOCALPART`, or
 * `DIR/LOCALPART` for an address without a domain. The domain is in lower case and as A-labels;
 * the local part is without quotes. Both are escaped by mail_mailbox_escape.
 *
 * Errors: MAIL_ELIMIT when it, or a part of it, would be too long for a file system;
 * MAIL_EINVAL for the null path.
 */
MAIL_API int mail_mailbox_path(const char *dir, const mail_path *address,
                               char out[MAIL_MAILBOX_PATH_SIZE]);

/** The longest escaped name, final NUL included. */
#define MAIL_MAILBOX_NAME_SIZE 256

/**
 * Writes `name` as one component of a path, such that different names stay different
 * and none can leave its folder: `%` and two upper-case hexadecimal digits stand for a
 * `/`, `%`, blank, control or non-ASCII octet anywhere, and for a `.`, `~` or `-` in
 * front. Returns its length.
 *
 * Errors: MAIL_EINVAL for an empty name; MAIL_ELIMIT when it does not fit.
 */
MAIL_API int mail_mailbox_escape(mail_span name, char out[MAIL_MAILBOX_NAME_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
