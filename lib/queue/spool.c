/* SPDX-License-Identifier: MIT */
#include "queue/spool.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc32c.h"

/* The file `spool`: what the folder is, whose, and the lock. */
static const char magic[8] = "mailspoo";

#define VERSION 1

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12,
    AT_ID = 16,
    IDENTITY = 32
};

static uint32_t identity_crc(const char *data)
{
    return crc32c(crc32c(0, data, AT_CRC), data + AT_ID, IDENTITY - AT_ID);
}

/* In a sector of its own, since it is written over: no id from here on has been given out. */
enum {
    IDS_AT = 512,
    IDS = 12,
    IDS_AT_CRC = 8
};

/* More than one who has the spool open will ever give out beyond those that the calendar allows. */
#define CLAIM ((uint64_t)1 << 30)

void queue_spool_claim_ids(queue_log *log)
{
    mail_queue *queue = log->queue;
    char data[IDS];
    struct iovec part = {data, sizeof(data)};
    uint64_t next = 0;

    if (file_read_all(log->files, log->lock_fd, data, IDS, IDS_AT) == IDS &&
        wire_get(data + IDS_AT_CRC, 4) == crc32c(0, data, IDS_AT_CRC)) {
        next = wire_get(data, 8);
    }
    if (next > atomic_load(&queue->next_id)) {
        atomic_store(&queue->next_id, next);
    }
    wire_put(data, atomic_load(&queue->next_id) + CLAIM, 8);
    wire_put(data + IDS_AT_CRC, crc32c(0, data, IDS_AT_CRC), 4);
    if (file_write_all(log->files, log->lock_fd, &part, 1, IDS_AT) < 0 ||
        log->files->ops->sync_data(log->files, log->lock_fd) < 0) {
        /* A full disk must not keep from delivering what is there. */
        mail_log_line(queue->log, MAIL_LOG_WARN, "queue cannot claim its ids", NULL, 0);
    }
}

static int write_identity(queue_log *log)
{
    char data[IDENTITY] = {0};
    struct iovec part = {data, sizeof(data)};
    int code;

    memcpy(data + AT_MAGIC, magic, sizeof(magic));
    wire_put(data + AT_VERSION, VERSION, 4);
    memcpy(data + AT_ID, log->spool_id, QUEUE_SPOOL_ID);
    wire_put(data + AT_CRC, identity_crc(data), 4);
    code = file_write_all(log->files, log->lock_fd, &part, 1, 0);
    if (code == 0) {
        code = log->files->ops->sync(log->files, log->lock_fd);
    }
    if (code == 0) {
        code = log->files->ops->sync(log->files, log->dir);
    }
    return queue_code(code);
}

/*
 * Whether the power went before what the file says was safe: it has its length then, but
 * nothing in it, and nothing else has been made.
 */
static bool is_unborn(const queue_log *log, const char *data, ssize_t length)
{
    const mail_files_ops *ops = log->files->ops;
    file_info info;

    for (ssize_t i = 0; i < length; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return ops->info(log->files, log->lock_fd, &info) == 0 && info.size <= IDENTITY &&
           ops->info_at(log->files, log->dir, "log", &info) == -ENOENT;
}

/* MAIL_ENOENT: nothing has ever been safe there. */
static int read_identity(queue_log *log, mail_error *err)
{
    char data[IDENTITY];
    ssize_t n = file_read_all(log->files, log->lock_fd, data, sizeof(data), 0);

    if (n < 0) {
        return mail_error_set(err, MAIL_EIO, "cannot read the file 'spool'");
    }
    if (is_unborn(log, data, n)) {
        return MAIL_ENOENT;
    }
    if ((size_t)n < sizeof(data) || memcmp(data + AT_MAGIC, magic, sizeof(magic)) != 0) {
        return mail_error_set(err, MAIL_EPERM, "the file 'spool' is none of libmail's");
    }
    if (wire_get(data + AT_VERSION, 4) > VERSION) {
        return mail_error_set(err, MAIL_EVERSION, "the spool is of a newer version");
    }
    if (wire_get(data + AT_CRC, 4) != identity_crc(data)) {
        return mail_error_set(err, MAIL_EDAMAGED, "the file 'spool' is damaged");
    }
    memcpy(log->spool_id, data + AT_ID, QUEUE_SPOOL_ID);
    return MAIL_OK;
}

/*
 * Whoever else could write there could make us send, or lose, anything. The superuser may
 * look, but what he wrote the owner could not use.
 */
static int check_owner(queue_log *log, mail_error *err)
{
    bool may_look = log->queue->opts.read_only && geteuid() == 0;
    file_info info;
    int code = log->files->ops->info(log->files, log->dir, &info);

    if (code < 0) {
        return mail_error_set(err, queue_code(code), "cannot look at the spool folder");
    }
    if (info.owner != geteuid() && !may_look) {
        return mail_error_set(err, MAIL_EPERM, "the spool belongs to another user");
    }
    if (info.mode & 002) {
        return mail_error_set(err, MAIL_EPERM, "anybody may write to the spool folder");
    }
    return MAIL_OK;
}

/*
 * A stranger's entry. Mail may be dropped before the spool has ever had an owner, and a disk of
 * its own begins with lost+found.
 */
static int is_foreign(const char *name, void *arg)
{
    static const char *const ours[] = {"drop", "control", "lost+found"};

    (void)arg;
    for (size_t i = 0; i < MAIL_COUNT(ours); i++) {
        if (strcmp(name, ours[i]) == 0) {
            return 0;
        }
    }
    return 1;
}

/* The new folder's name must be as safe as what will be in it. */
static void sync_parent(queue_log *log, const char *dir)
{
    const char *slash = strrchr(dir, '/');
    char parent[4096];
    int fd;

    if (slash == NULL || slash == dir) {
        snprintf(parent, sizeof(parent), "%s", slash == NULL ? "." : "/");
    } else {
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - dir), dir);
    }
    fd = log->files->ops->open_dir(log->files, FILE_CWD, parent);
    if (fd >= 0) {
        (void)log->files->ops->sync(log->files, fd);
        log->files->ops->close(log->files, fd);
    }
}

static int open_folder(queue_log *log, const char *dir, mail_error *err)
{
    const mail_files_ops *ops = log->files->ops;
    int made = log->queue->opts.read_only ? -EEXIST : ops->make_dir(log->files, FILE_CWD, dir);

    log->dir = ops->open_dir(log->files, FILE_CWD, dir);
    if (log->dir < 0) {
        bool is_missing = log->dir == -ENOENT && made < 0 && made != -EEXIST;
        int code = queue_code(is_missing ? made : log->dir);

        return mail_error_set(err, code, "cannot open the spool folder %s: %s", dir,
                              mail_strerror(code));
    }
    if (made == 0) {
        sync_parent(log, dir);
    }
    return check_owner(log, err);
}

/* Opens a folder within, made if missing; -1 when it is not there to be read. */
static int open_sub(queue_log *log, const char *name, int *out, mail_error *err)
{
    const mail_files_ops *ops = log->files->ops;
    int fd;

    if (!log->queue->opts.read_only) {
        (void)ops->make_dir(log->files, log->dir, name);
    }
    fd = ops->open_dir(log->files, log->dir, name);
    if (fd < 0 && !(fd == -ENOENT && log->queue->opts.read_only)) {
        return mail_error_set(err, queue_code(fd), "cannot open the spool's folder '%s'", name);
    }
    *out = fd < 0 ? -1 : fd;
    return MAIL_OK;
}

static int take_lock(queue_log *log, mail_error *err)
{
    int code = log->files->ops->lock(log->files, log->lock_fd);

    if (code == -EAGAIN) {
        return mail_error_set(err, MAIL_EBUSY, "the spool is in use by another process");
    }
    return code < 0 ? mail_error_set(err, queue_code(code), "cannot lock the spool") : MAIL_OK;
}

static int begin_spool(queue_log *log, mail_error *err)
{
    int code;

    if (log->queue->opts.read_only) {
        return mail_error_set(err, MAIL_ENOENT, "there is no spool");
    }
    random_fill(log->queue->opts.random, log->spool_id, QUEUE_SPOOL_ID);
    code = write_identity(log);
    return code != MAIL_OK
               ? mail_error_set(err, code, "cannot write to the spool: %s", mail_strerror(code))
               : MAIL_OK;
}

/* A folder with anything else in it is somebody's: no spool is made there, nor would be. */
static int make_identity(queue_log *log, mail_error *err)
{
    const mail_files_ops *ops = log->files->ops;

    if (ops->list(log->files, log->dir, is_foreign, NULL) != 0) {
        return mail_error_set(err, MAIL_EPERM, "the folder is not empty and no spool of ours");
    }
    if (!log->queue->opts.read_only) {
        log->lock_fd = ops->open(log->files, log->dir, "spool", FILE_WRITE | FILE_CREATE);
    }
    return MAIL_OK;
}

static int open_identity(queue_log *log, mail_error *err)
{
    const mail_files_ops *ops = log->files->ops;
    bool read_only = log->queue->opts.read_only;
    int code = MAIL_OK;

    log->lock_fd = ops->open(log->files, log->dir, "spool", read_only ? FILE_READ : FILE_WRITE);
    if (log->lock_fd == -ENOENT) {
        code = make_identity(log, err);
    }
    if (code == MAIL_OK && log->lock_fd < 0) {
        code = queue_code(log->lock_fd);
        mail_error_set(err, code, "cannot open the spool: %s", mail_strerror(code));
    }
    if (code != MAIL_OK) {
        return code;
    }
    code = read_only ? MAIL_OK : take_lock(log, err);
    if (code == MAIL_OK) {
        code = read_identity(log, err);
    }
    return code == MAIL_ENOENT ? begin_spool(log, err) : code;
}

int queue_spool_open(queue_log *log, const char *dir, mail_error *err)
{
    int code = open_folder(log, dir, err);

    if (code == MAIL_OK) {
        code = open_identity(log, err);
    }
    if (code == MAIL_OK) {
        code = open_sub(log, "log", &log->log_dir, err);
    }
    if (code == MAIL_OK) {
        code = open_sub(log, "large", &log->queue->large_dir, err);
    }
    if (code == MAIL_OK) {
        code = open_sub(log, "damaged", &log->damaged_dir, err);
    }
    if (code == MAIL_OK && !log->queue->opts.read_only &&
        log->files->ops->sync(log->files, log->dir) < 0) {
        code = mail_error_set(err, MAIL_EIO, "cannot sync the spool folder");
    }
    return code;
}

static void close_fd(queue_log *log, int *fd)
{
    if (*fd >= 0) {
        log->files->ops->close(log->files, *fd);
    }
    *fd = -1;
}

void queue_spool_close(queue_log *log)
{
    close_fd(log, &log->queue->large_dir);
    close_fd(log, &log->damaged_dir);
    close_fd(log, &log->log_dir);
    close_fd(log, &log->lock_fd); /* and with it goes the lock */
    close_fd(log, &log->dir);
}
