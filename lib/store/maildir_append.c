/* SPDX-License-Identifier: MIT */
/*
 * A delivery and what a crash leaves behind at each step:
 *
 *     create tmp/NAME      a piece of a message that nobody looks at; tidied away after 36 hours
 *     write, fsync         the same, whole
 *     link to new/NAME,…   perhaps the message, perhaps not: the sender has no answer and repeats it
 *     unlink tmp/NAME
 *     fsync new/           the message, for good: only now `finish` says so
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
    int tmp;
    int new;
    int fd; /* of tmp/NAME */
    wire_writer wire;
    uint64_t size;  /* octets written to the file */
    size_t pending; /* octets in `chunk` */
    char name[MAILDIR_NAME_SIZE];
    char chunk[MAILDIR_CHUNK];
} delivery;

/* At most so much of the input may come at once, so that it fits in the chunk. */
#define PIECE (MAILDIR_CHUNK / 2)

static void release(delivery *dl)
{
    const mail_files *fs = dl->md->fs;
    const int handles[] = {dl->fd, dl->tmp, dl->new};

    for (size_t i = 0; i < MAIL_COUNT(handles); i++) {
        if (handles[i] >= 0) {
            fs->ops->close(fs, handles[i]);
        }
    }
    mem_free(dl->md->mem, dl, sizeof(*dl));
}

static void delivery_abort(mail_sink *sink)
{
    delivery *dl = (delivery *)sink;

    dl->md->fs->ops->unlink(dl->md->fs, dl->tmp, dl->name);
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
static int move_without_link(const delivery *dl, const char *target)
{
    const mail_files *fs = dl->md->fs;
    file_info info;
    int code = fs->ops->info_at(fs, dl->new, target, &info);

    if (code == 0) {
        return -EEXIST;
    }
    return code == -ENOENT ? fs->ops->rename(fs, dl->tmp, dl->name, dl->new, target) : code;
}

/* Brings the whole and synced file from tmp to new, under the name `target`. */
static int publish(const delivery *dl, const char *target)
{
    const mail_files *fs = dl->md->fs;
    int code = fs->ops->link(fs, dl->tmp, dl->name, dl->new, target);

    if (lacks_hard_links(code)) {
        return move_without_link(dl, target);
    }
    if (code < 0 && !has_two_names(dl)) {
        return code;
    }
    fs->ops->unlink(fs, dl->tmp, dl->name);
    return 0;
}

static int publish_under_free_name(const delivery *dl, char target[MAILDIR_NAME_SIZE])
{
    char unique[MAILDIR_NAME_SIZE];
    int code = -EEXIST;

    memcpy(unique, dl->name, sizeof(unique));
    for (int tries = 0; code == -EEXIST && tries < MAX_TRIES; tries++) {
        if (tries > 0) {
            maildir_name_make(dl->md, unique);
        }
        snprintf(target, MAILDIR_NAME_SIZE, "%.150s,S=%" PRIu64 ",W=%" PRIu64, unique, dl->size,
                 dl->wire.wire_size);
        code = publish(dl, target);
    }
    return code;
}

static int commit(delivery *dl)
{
    const mail_files *fs = dl->md->fs;
    char target[MAILDIR_NAME_SIZE];
    int code;

    dl->pending += wire_writer_end(&dl->wire, dl->chunk + dl->pending);
    code = flush(dl);
    if (code < 0) {
        return code;
    }
    code = fs->ops->sync(fs, dl->fd);
    if (code < 0) {
        return code;
    }
    code = publish_under_free_name(dl, target);
    if (code < 0) {
        return code;
    }
    code = fs->ops->sync(fs, dl->new);
    if (code < 0) {
        fs->ops->unlink(fs, dl->new,
                        target); /* not safe, so not delivered: the sender repeats it */
    }
    return code;
}

static int delivery_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    delivery *dl = (delivery *)sink;
    int code = commit(dl);

    (void)fn;
    (void)arg;
    if (code < 0) {
        delivery_abort(sink);
        return maildir_code(code);
    }
    release(dl);
    return MAIL_OK;
}

static int create_file(delivery *dl)
{
    const mail_files *fs = dl->md->fs;
    int fd = -EEXIST;

    for (int tries = 0; fd == -EEXIST && tries < MAX_TRIES; tries++) {
        maildir_name_make(dl->md, dl->name);
        fd = fs->ops->open(fs, dl->tmp, dl->name, FILE_WRITE | FILE_CREATE | FILE_NEW);
    }
    return fd;
}

static int open_handles(delivery *dl, const char *path)
{
    const mail_files *fs = dl->md->fs;
    int root = maildir_open_made(dl->md, path);

    if (root < 0) {
        return root;
    }
    dl->tmp = maildir_open_sub(dl->md, root, "tmp");
    dl->new = maildir_open_sub(dl->md, root, "new");
    fs->ops->close(fs, root);
    if (dl->tmp < 0 || dl->new < 0) {
        return dl->tmp < 0 ? dl->tmp : dl->new;
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
    dl->tmp = dl->new = dl->fd = -1;
    dl->wire = (wire_writer){0};
    dl->size = 0;
    dl->pending = 0;
    code = open_handles(dl, path);
    if (code != MAIL_OK) {
        release(dl);
        return mail_error_set(err, code, "%s: %s", path, mail_strerror(code));
    }
    if (atomic_load_explicit(&md->deliveries, memory_order_relaxed) % TIDY_EVERY == 0) {
        maildir_tidy(md, dl->tmp);
    }
    *out = &dl->sink;
    return MAIL_OK;
}
