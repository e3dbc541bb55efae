/* SPDX-License-Identifier: MIT */
/*
 * A delivery and what a crash leaves behind at each step:
 *
 *     create tmp/NAME      a piece of a message that nobody looks at; tidied away after 36 hours
 *     write, fsync         the same, whole
 *     link to new/NAME,…   perhaps the message, perhaps not: the sender has no answer and repeats it
 *     unlink tmp/NAME
 *     fsync new/           the message, for good: only now `finish` says so
 *
 * Several deliveries that are finished together take each step for all of them before the next,
 * so that the disk has much to do at a time, and what they share reaches it once.
 */
#include "store/maildir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "store/wire.h"

/* Every so many deliveries, tmp is looked through for what crashes have left. */
#define TIDY_EVERY 256

/* Names that turn out to be taken before it must be something else that is wrong. */
#define MAX_TRIES 8

typedef struct delivery {
    mail_sink sink;
    maildir *md;
    maildir_folder *folder; /* NULL: not open */
    int fd;                 /* of tmp/NAME */
    int code;               /* while it is finished: 0 or -errno */
    wire_writer wire;
    uint64_t size;                  /* octets written to the file */
    size_t pending;                 /* octets in `chunk` */
    char name[MAILDIR_NAME_SIZE];   /* in tmp */
    char target[MAILDIR_NAME_SIZE]; /* in new */
    char chunk[MAILDIR_CHUNK];
} delivery;

/* At most so much of the input may come at once, so that it fits in the chunk. */
#define PIECE (MAILDIR_CHUNK / 2)

static void release(delivery *dl)
{
    if (dl->fd >= 0) {
        dl->md->fs->ops->close(dl->md->fs, dl->fd);
    }
    if (dl->folder != NULL) {
        maildir_folder_drop(dl->md, dl->folder);
    }
    mem_free(dl->md->mem, dl, sizeof(*dl));
}

static void delivery_abort(mail_sink *sink)
{
    delivery *dl = (delivery *)sink;

    dl->md->fs->ops->unlink(dl->md->fs, dl->folder->tmp, dl->name);
    release(dl);
}

static size_t delivery_room(mail_sink *sink)
{
    (void)sink;
    return SIZE_MAX;
}

static int flush(delivery *dl)
{
    struct iovec part = {dl->chunk, dl->pending};
    int code;

    if (dl->pending == 0) {
        return 0;
    }
    code = file_write_all(dl->md->fs, dl->fd, &part, 1, dl->size);
    dl->size += dl->pending;
    dl->pending = 0;
    return code;
}

static int delivery_write(mail_sink *sink, mail_span bytes)
{
    delivery *dl = (delivery *)sink;

    while (bytes.length > 0) {
        size_t n = bytes.length < PIECE ? bytes.length : PIECE;

        if (n + 3 >
            sizeof(dl->chunk) - dl->pending) { /* 3: a CR held back, the end of the last line */
            int code = flush(dl);

            if (code < 0) {
                return maildir_code(code);
            }
        }
        dl->pending +=
            wire_writer_put(&dl->wire, mail_span_first(bytes, n), dl->chunk + dl->pending);
        bytes = mail_span_from(bytes, n);
    }
    return MAIL_OK;
}

/* Over NFS an answer may be lost after the deed: then the file has two names by now. */
static bool has_two_names(const delivery *dl)
{
    file_info info;

    return dl->md->fs->ops->info(dl->md->fs, dl->fd, &info) == 0 && info.links == 2;
}

static bool lacks_hard_links(int code)
{
    return code == -EPERM || code == -ENOSYS || code == -EOPNOTSUPP || code == -EMLINK;
}

/* Where there are no hard links: a rename, but never over another message. */
static int move_without_link(const delivery *dl)
{
    const maildir_folder *folder = dl->folder;
    const mail_files *fs = dl->md->fs;
    file_info info;
    int code = fs->ops->info_at(fs, folder->new, dl->target, &info);

    if (code == 0) {
        return -EEXIST;
    }
    return code == -ENOENT ? fs->ops->rename(fs, folder->tmp, dl->name, folder->new, dl->target)
                           : code;
}

/* Brings the whole and synced file from tmp to new, under the name `target`. */
static int publish(const delivery *dl)
{
    const maildir_folder *folder = dl->folder;
    const mail_files *fs = dl->md->fs;
    int code = fs->ops->link(fs, folder->tmp, dl->name, folder->new, dl->target);

    if (lacks_hard_links(code)) {
        return move_without_link(dl);
    }
    if (code < 0 && !has_two_names(dl)) {
        return code;
    }
    fs->ops->unlink(fs, folder->tmp, dl->name);
    return 0;
}

static int publish_under_free_name(delivery *dl)
{
    char unique[MAILDIR_NAME_SIZE];
    int code = -EEXIST;

    memcpy(unique, dl->name, sizeof(unique));
    for (int tries = 0; code == -EEXIST && tries < MAX_TRIES; tries++) {
        if (tries > 0) {
            maildir_name_make(dl->md, unique);
        }
        snprintf(dl->target, MAILDIR_NAME_SIZE, "%.150s,S=%" PRIu64 ",W=%" PRIu64, unique, dl->size,
                 dl->wire.wire_size);
        code = publish(dl);
    }
    return code;
}

/* The rest of its octets. */
static int write_end(delivery *dl)
{
    dl->pending += wire_writer_end(&dl->wire, dl->chunk + dl->pending);
    return flush(dl);
}

/* What lies in new is for good once its folder is synced: once for neighbours in the same. */
static void sync_folders(delivery *const *all, size_t count)
{
    const maildir_folder *synced = NULL;
    int code = 0;

    for (size_t i = 0; i < count; i++) {
        const mail_files *fs = all[i]->md->fs;
        const maildir_folder *folder = all[i]->folder;

        if (all[i]->code < 0) {
            continue;
        }
        if (folder != synced) {
            code = fs->ops->sync(fs, folder->new);
            synced = folder;
        }
        if (code < 0) { /* not safe, so not delivered: the sender repeats it */
            fs->ops->unlink(fs, folder->new, all[i]->target);
        }
        all[i]->code = code;
    }
}

static void commit(delivery *const *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        all[i]->code = write_end(all[i]);
        if (all[i]->code >= 0 && count > 1) {
            all[i]->md->fs->ops->begin_sync(all[i]->md->fs, all[i]->fd);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (all[i]->code >= 0) {
            all[i]->code = all[i]->md->fs->ops->sync(all[i]->md->fs, all[i]->fd);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (all[i]->code >= 0) {
            all[i]->code = publish_under_free_name(all[i]);
        }
    }
    sync_folders(all, count);
}

/* How many are finished together at most. */
#define TOGETHER 32

void maildir_finish(mail_store *store, mail_sink *const *sinks, size_t count, int *codes)
{
    (void)store;
    while (count > 0) {
        size_t n = count < TOGETHER ? count : TOGETHER;
        delivery *all[TOGETHER];

        for (size_t i = 0; i < n; i++) {
            all[i] = (delivery *)sinks[i];
        }
        commit(all, n);
        for (size_t i = 0; i < n; i++) {
            codes[i] = maildir_code(all[i]->code);
            if (all[i]->code < 0) {
                delivery_abort(sinks[i]);
            } else {
                release(all[i]);
            }
        }
        sinks += n;
        codes += n;
        count -= n;
    }
}

static int delivery_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    int code;

    (void)fn;
    (void)arg;
    maildir_finish(&((delivery *)sink)->md->store, &sink, 1, &code);
    return code;
}

static int create_file(delivery *dl)
{
    const mail_files *fs = dl->md->fs;
    int fd = -EEXIST;

    for (int tries = 0; fd == -EEXIST && tries < MAX_TRIES; tries++) {
        maildir_name_make(dl->md, dl->name);
        fd = fs->ops->open(fs, dl->folder->tmp, dl->name, FILE_WRITE | FILE_CREATE | FILE_NEW);
    }
    return fd;
}

static int open_handles(delivery *dl, const char *path)
{
    int code = maildir_folder_use(dl->md, path, &dl->folder);

    if (code != MAIL_OK) {
        return code;
    }
    dl->fd = create_file(dl);
    return maildir_code(dl->fd);
}

int maildir_append(mail_store *store, const char *path, mail_sink **out, mail_error *err)
{
    static const mail_sink_ops ops = {
        .room = delivery_room,
        .write = delivery_write,
        .finish = delivery_finish,
        .abort = delivery_abort,
    };
    maildir *md = (maildir *)store;
    delivery *dl = mem_resize(md->mem, NULL, 0, sizeof(*dl)); /* the chunk need not be zero */
    int code;

    if (dl == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s: %s", path, mail_strerror(MAIL_ENOMEM));
    }
    dl->sink = (mail_sink){.ops = &ops};
    dl->md = md;
    dl->folder = NULL;
    dl->fd = -1;
    dl->wire = (wire_writer){0};
    dl->size = 0;
    dl->pending = 0;
    code = open_handles(dl, path);
    if (code != MAIL_OK) {
        release(dl);
        return mail_error_set(err, code, "%s: %s", path, mail_strerror(code));
    }
    if (atomic_load_explicit(&md->deliveries, memory_order_relaxed) % TIDY_EVERY == 0) {
        maildir_tidy(md, dl->folder->tmp);
    }
    *out = &dl->sink;
    return MAIL_OK;
}
