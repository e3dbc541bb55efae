/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

static int result(int value)
{
    return value < 0 ? -errno : value;
}

static int system_open(const mail_files *fs, int dir, const char *name, int flags)
{
    int how = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    int fd;

    (void)fs;
    how |= flags & FILE_WRITE ? O_RDWR : O_RDONLY;
    how |= flags & FILE_CREATE ? O_CREAT : 0;
    how |= flags & FILE_NEW ? O_EXCL : 0;
    how |= flags & FILE_TRUNCATE ? O_TRUNC : 0;
    do {
        fd = openat(dir, name, how, 0600);
    } while (fd < 0 && errno == EINTR);
    return result(fd);
}

static int system_open_dir(const mail_files *fs, int dir, const char *name)
{
    int how = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

    (void)fs;
    how |= dir != FILE_CWD ? O_NOFOLLOW : 0;
    return result(openat(dir, name, how));
}

static int system_open_search(const mail_files *fs, int dir, const char *name)
{
    int how = O_PATH | O_DIRECTORY | O_CLOEXEC;

    (void)fs;
    how |= dir != FILE_CWD ? O_NOFOLLOW : 0;
    return result(openat(dir, name, how));
}

static int system_set_mode(const mail_files *fs, int fd, uint32_t mode)
{
    (void)fs;
    return result(fchmod(fd, mode));
}

static void system_close(const mail_files *fs, int fd)
{
    (void)fs;
    close(fd);
}

static ssize_t system_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    ssize_t n;

    (void)fs;
    do {
        n = pread(fd, to, size, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t system_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                            uint64_t offset)
{
    ssize_t n;

    (void)fs;
    do {
        n = pwritev(fd, parts, count, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void system_begin_sync(const mail_files *fs, int fd)
{
    (void)fs;
#ifdef SYNC_FILE_RANGE_WRITE
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
#else
    (void)fd;
#endif
}

static int system_sync_data(const mail_files *fs, int fd)
{
    (void)fs;
    return result(fdatasync(fd));
}

static int system_sync(const mail_files *fs, int fd)
{
    (void)fs;
    return result(fsync(fd));
}

static int system_truncate(const mail_files *fs, int fd, uint64_t size)
{
    (void)fs;
    return result(ftruncate(fd, (off_t)size));
}

static int system_allocate(const mail_files *fs, int fd, uint64_t offset, uint64_t size)
{
    (void)fs;
    return -posix_fallocate(fd, (off_t)offset, (off_t)size);
}

static void fill_info(const struct stat *st, file_info *out)
{
    *out = (file_info){
        .size = (uint64_t)st->st_size,
        .mtime = st->st_mtime,
        .inode = st->st_ino,
        .links = st->st_nlink,
        .owner = st->st_uid,
        .mode = st->st_mode & 07777,
        .is_file = S_ISREG(st->st_mode),
        .is_dir = S_ISDIR(st->st_mode),
    };
}

static int system_info(const mail_files *fs, int fd, file_info *out)
{
    struct stat st;

    (void)fs;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    fill_info(&st, out);
    return 0;
}

static int system_info_at(const mail_files *fs, int dir, const char *name, file_info *out)
{
    struct stat st;

    (void)fs;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    fill_info(&st, out);
    return 0;
}

static int system_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                         const char *to)
{
    (void)fs;
    return result(renameat(from_dir, from, to_dir, to));
}

static int system_link(const mail_files *fs, int from_dir, const char *from, int to_dir,
                       const char *to)
{
    (void)fs;
    return result(linkat(from_dir, from, to_dir, to, 0));
}

static int system_unlink(const mail_files *fs, int dir, const char *name)
{
    (void)fs;
    return result(unlinkat(dir, name, 0));
}

static int system_make_dir(const mail_files *fs, int dir, const char *name)
{
    (void)fs;
    return result(mkdirat(dir, name, 0700));
}

static int system_list(const mail_files *fs, int dir, int (*fn)(const char *name, void *arg),
                       void *arg)
{
    struct dirent *entry;
    DIR *stream;
    int code = 0;
    int fd;

    (void)fs;
    fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a read position of its own */
    if (fd < 0) {
        return -errno;
    }
    stream = fdopendir(fd);
    if (stream == NULL) {
        code = -errno;
        close(fd);
        return code;
    }
    for (;;) {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            code = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        code = fn(entry->d_name, arg);
        if (code != 0) {
            break;
        }
    }
    closedir(stream);
    return code;
}

static int system_lock(const mail_files *fs, int fd)
{
    (void)fs;
    return result(flock(fd, LOCK_EX | LOCK_NB));
}

static int system_free_bytes(const mail_files *fs, int dir, uint64_t *out)
{
    struct statvfs st;

    (void)fs;
    if (fstatvfs(dir, &st) < 0) {
        return -errno;
    }
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int system_give(const mail_files *fs, int fd, uint32_t owner)
{
    (void)fs;
    return geteuid() == 0 ? result(fchown(fd, owner, (gid_t)-1)) : 0;
}

static const mail_files_ops system_ops = {
    .open = system_open,
    .open_dir = system_open_dir,
    .close = system_close,
    .read = system_read,
    .write = system_write,
    .begin_sync = system_begin_sync,
    .sync_data = system_sync_data,
    .sync = system_sync,
    .truncate = system_truncate,
    .allocate = system_allocate,
    .info = system_info,
    .info_at = system_info_at,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .make_dir = system_make_dir,
    .list = system_list,
    .lock = system_lock,
    .free_bytes = system_free_bytes,
    .give = system_give,
    .open_search = system_open_search,
    .set_mode = system_set_mode,
};

const mail_files file_system = {&system_ops};

int file_write_all(const mail_files *fs, int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = fs->ops->write(fs, fd, parts, count, offset);

        if (n < 0) {
            return (int)n;
        }
        offset += (uint64_t)n;
        if (n == 0 && parts->iov_len > 0) {
            return -EIO;
        }
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

ssize_t file_read_all(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = fs->ops->read(fs, fd, (char *)to + done, size - done, offset + done);

        if (n < 0) {
            return n;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int file_load(const mail_files *fs, int dir, const char *name, size_t limit, const mail_mem *mem,
              char **data_out, size_t *length_out)
{
    file_info info;
    char *data = NULL;
    ssize_t n;
    int code;
    int fd;

    fd = fs->ops->open(fs, dir, name, FILE_READ);
    if (fd < 0) {
        return mail_error_from_errno(-fd);
    }
    code = fs->ops->info(fs, fd, &info);
    if (code < 0) {
        code = mail_error_from_errno(-code);
        goto out;
    }
    if (!info.is_file || info.size > limit) {
        code = info.is_file ? MAIL_ELIMIT : MAIL_EINVAL;
        goto out;
    }
    data = mem_alloc(mem, (size_t)info.size + 1);
    if (data == NULL) {
        code = MAIL_ENOMEM;
        goto out;
    }
    n = file_read_all(fs, fd, data, (size_t)info.size, 0);
    if (n < 0 || (uint64_t)n != info.size) {
        mem_free(mem, data, (size_t)info.size + 1);
        code = n < 0 ? mail_error_from_errno((int)-n) : MAIL_EIO;
        goto out;
    }
    *data_out = data;
    *length_out = (size_t)info.size;
    code = MAIL_OK;
out:
    fs->ops->close(fs, fd);
    return code;
}
