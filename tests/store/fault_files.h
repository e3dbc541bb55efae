/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULT_FILES_H
#define TESTS_FAULT_FILES_H

#include "base/file.h"

/*
 * The system's files, of whose operations one fails: the `fail_at`th, counted from 1, or
 * every one that `fails` says yes to.
 */
typedef struct fault_files {
    mail_files fs;
    unsigned count;
    unsigned fail_at;
    bool (*fails)(const char *operation, const char *name);
    int with; /* -errno */
    bool failed;
    char operation[16]; /* the one that failed */
} fault_files;

static bool fault_hits(const mail_files *fs, const char *operation, const char *name)
{
    fault_files *ff = (fault_files *)(uintptr_t)fs;

    ff->count++;
    if (ff->count != ff->fail_at && (ff->fails == NULL || !ff->fails(operation, name))) {
        return false;
    }
    ff->failed = true;
    snprintf(ff->operation, sizeof(ff->operation), "%s", operation);
    return true;
}

#define FAULT(operation, name, call)                                                               \
    (fault_hits(fs, operation, name) ? ((const fault_files *)fs)->with : file_system.ops->call)

static int fault_open(const mail_files *fs, int dir, const char *name, int flags)
{
    return FAULT("open", name, open(&file_system, dir, name, flags));
}

static int fault_open_dir(const mail_files *fs, int dir, const char *name)
{
    return FAULT("open_dir", name, open_dir(&file_system, dir, name));
}

static void fault_close(const mail_files *fs, int fd)
{
    (void)fs;
    file_system.ops->close(&file_system, fd);
}

static ssize_t fault_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    return FAULT("read", "", read(&file_system, fd, to, size, offset));
}

static ssize_t fault_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                           uint64_t offset)
{
    return FAULT("write", "", write(&file_system, fd, parts, count, offset));
}

static int fault_sync_data(const mail_files *fs, int fd)
{
    return FAULT("sync", "", sync_data(&file_system, fd));
}

static int fault_sync(const mail_files *fs, int fd)
{
    return FAULT("sync", "", sync(&file_system, fd));
}

static int fault_info(const mail_files *fs, int fd, file_info *out)
{
    return FAULT("info", "", info(&file_system, fd, out));
}

static int fault_info_at(const mail_files *fs, int dir, const char *name, file_info *out)
{
    return FAULT("info_at", name, info_at(&file_system, dir, name, out));
}

static int fault_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                        const char *to)
{
    return FAULT("rename", from, rename(&file_system, from_dir, from, to_dir, to));
}

static int fault_link(const mail_files *fs, int from_dir, const char *from, int to_dir,
                      const char *to)
{
    return FAULT("link", from, link(&file_system, from_dir, from, to_dir, to));
}

static int fault_unlink(const mail_files *fs, int dir, const char *name)
{
    return FAULT("unlink", name, unlink(&file_system, dir, name));
}

static int fault_make_dir(const mail_files *fs, int dir, const char *name)
{
    return FAULT("make_dir", name, make_dir(&file_system, dir, name));
}

static int fault_list(const mail_files *fs, int dir, int (*fn)(const char *name, void *arg),
                      void *arg)
{
    return FAULT("list", "", list(&file_system, dir, fn, arg));
}

static int fault_lock(const mail_files *fs, int fd)
{
    return FAULT("lock", "", lock(&file_system, fd));
}

static const mail_files_ops fault_ops = {
    .open = fault_open,
    .open_dir = fault_open_dir,
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .sync_data = fault_sync_data,
    .sync = fault_sync,
    .info = fault_info,
    .info_at = fault_info_at,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .make_dir = fault_make_dir,
    .list = fault_list,
    .lock = fault_lock,
};

#endif
