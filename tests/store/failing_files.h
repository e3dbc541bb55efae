/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAILING_FILES_H
#define TESTS_FAILING_FILES_H

#include "base/file.h"

/*
 * The system's files, of whose operations one fails: the `fail_at`th, counted from 1, or
 * every one that `fails` says yes to.
 */
typedef struct failing_files {
    mail_files fs;
    unsigned count;
    unsigned fail_at;
    bool (*fails)(const char *operation, const char *name);
    int with; /* -errno */
    bool failed;
    char operation[16]; /* the one that failed */
} failing_files;

static bool failing_hits(const mail_files *fs, const char *operation, const char *name)
{
    failing_files *ff = (failing_files *)(uintptr_t)fs;

    ff->count++;
    if (ff->count != ff->fail_at && (ff->fails == NULL || !ff->fails(operation, name))) {
        return false;
    }
    ff->failed = true;
    snprintf(ff->operation, sizeof(ff->operation), "%s", operation);
    return true;
}

#define FAIL(operation, name, call)                                                                \
    (failing_hits(fs, operation, name) ? ((const failing_files *)fs)->with : file_system.ops->call)

static int failing_open(const mail_files *fs, int dir, const char *name, int flags)
{
    return FAIL("open", name, open(&file_system, dir, name, flags));
}

static int failing_open_dir(const mail_files *fs, int dir, const char *name)
{
    return FAIL("open_dir", name, open_dir(&file_system, dir, name));
}

static void failing_close(const mail_files *fs, int fd)
{
    (void)fs;
    file_system.ops->close(&file_system, fd);
}

static ssize_t failing_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    return FAIL("read", "", read(&file_system, fd, to, size, offset));
}

static ssize_t failing_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                             uint64_t offset)
{
    return FAIL("write", "", write(&file_system, fd, parts, count, offset));
}

static void failing_begin_sync(const mail_files *fs, int fd)
{
    (void)fs;
    file_system.ops->begin_sync(&file_system, fd);
}

static int failing_sync_data(const mail_files *fs, int fd)
{
    return FAIL("sync", "", sync_data(&file_system, fd));
}

static int failing_sync(const mail_files *fs, int fd)
{
    return FAIL("sync", "", sync(&file_system, fd));
}

static int failing_info(const mail_files *fs, int fd, file_info *out)
{
    return FAIL("info", "", info(&file_system, fd, out));
}

static int failing_info_at(const mail_files *fs, int dir, const char *name, file_info *out)
{
    return FAIL("info_at", name, info_at(&file_system, dir, name, out));
}

static int failing_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                          const char *to)
{
    return FAIL("rename", from, rename(&file_system, from_dir, from, to_dir, to));
}

static int failing_link(const mail_files *fs, int from_dir, const char *from, int to_dir,
                        const char *to)
{
    return FAIL("link", from, link(&file_system, from_dir, from, to_dir, to));
}

static int failing_unlink(const mail_files *fs, int dir, const char *name)
{
    return FAIL("unlink", name, unlink(&file_system, dir, name));
}

static int failing_make_dir(const mail_files *fs, int dir, const char *name)
{
    return FAIL("make_dir", name, make_dir(&file_system, dir, name));
}

static int failing_list(const mail_files *fs, int dir, int (*fn)(const char *name, void *arg),
                        void *arg)
{
    return FAIL("list", "", list(&file_system, dir, fn, arg));
}

static int failing_lock(const mail_files *fs, int fd)
{
    return FAIL("lock", "", lock(&file_system, fd));
}

static const mail_files_ops failing_ops = {
    .open = failing_open,
    .open_dir = failing_open_dir,
    .close = failing_close,
    .read = failing_read,
    .write = failing_write,
    .begin_sync = failing_begin_sync,
    .sync_data = failing_sync_data,
    .sync = failing_sync,
    .info = failing_info,
    .info_at = failing_info_at,
    .rename = failing_rename,
    .link = failing_link,
    .unlink = failing_unlink,
    .make_dir = failing_make_dir,
    .list = failing_list,
    .lock = failing_lock,
};

#endif
