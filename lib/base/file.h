/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_FILE_H
#define LIB_BASE_FILE_H

#include <mail/base.h>

#include <sys/types.h>
#include <sys/uio.h>

/*
 * Files as a table of functions, so that a simulated disk can stand in for the
 * real one and fail, fill up or crash at any operation. What fails returns
 * -errno. Names are single components, or relative paths below `dir`, a handle
 * that `open_dir` gave; FILE_CWD takes a whole path. No symbolic link is followed
 * in the last component, but for `open_dir` of a whole path, which an operator chose.
 * Handles are close-on-exec.
 */
typedef struct mail_files mail_files;

#define FILE_CWD (-100)

enum {
    FILE_READ = 0,
    FILE_WRITE = 1,  /* read and write */
    FILE_CREATE = 2, /* with FILE_WRITE: made 0600 if missing */
    FILE_NEW = 4,    /* with FILE_CREATE: -EEXIST if there */
    FILE_TRUNCATE = 8
};

typedef struct file_info {
    uint64_t size;
    int64_t mtime; /* seconds */
    uint64_t inode;
    uint64_t links;
    uint32_t owner;
    uint32_t mode; /* permission bits */
    bool is_file;
    bool is_dir;
} file_info;

typedef struct mail_files_ops {
    int (*open)(const mail_files *fs, int dir, const char *name, int flags);
    int (*open_dir)(const mail_files *fs, int dir, const char *name);
    void (*close)(const mail_files *fs, int fd);
    ssize_t (*read)(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset);
    /* Short writes happen; file_write_all repeats. */
    ssize_t (*write)(const mail_files *fs, int fd, const struct iovec *parts, int count,
                     uint64_t offset);
    /* What was written may begin its way to the disk: several files' then goes at a time. A hint. */
    void (*begin_sync)(const mail_files *fs, int fd);
    int (*sync_data)(const mail_files *fs, int fd); /* fdatasync */
    int (*sync)(const mail_files *fs, int fd);      /* fsync, folders too */
    int (*truncate)(const mail_files *fs, int fd, uint64_t size);
    int (*allocate)(const mail_files *fs, int fd, uint64_t offset, uint64_t size); /* fallocate */
    int (*info)(const mail_files *fs, int fd, file_info *out);
    int (*info_at)(const mail_files *fs, int dir, const char *name,
                   file_info *out); /* of a link itself */
    int (*rename)(const mail_files *fs, int from_dir, const char *from, int to_dir, const char *to);
    int (*link)(const mail_files *fs, int from_dir, const char *from, int to_dir, const char *to);
    int (*unlink)(const mail_files *fs, int dir, const char *name);
    int (*make_dir)(const mail_files *fs, int dir, const char *name); /* 0700 */
    /* Calls fn for each entry but . and .. until it returns non-zero, and returns that. */
    int (*list)(const mail_files *fs, int dir, int (*fn)(const char *name, void *arg), void *arg);
    int (*lock)(const mail_files *fs, int fd); /* exclusive, whole file; -EAGAIN: taken */
    int (*free_bytes)(const mail_files *fs, int dir, uint64_t *out);
    /* Gives a file that root has made to another user; from anybody else it is no gift. May be NULL. */
    int (*give)(const mail_files *fs, int fd, uint32_t owner);
    /* A folder to find and make files in, where that is all we may: no list, no sync. May be NULL. */
    int (*open_search)(const mail_files *fs, int dir, const char *name);
    int (*set_mode)(const mail_files *fs, int fd, uint32_t mode); /* permission bits; may be NULL */
} mail_files_ops;

struct mail_files {
    const mail_files_ops *ops;
};

/* The system's files. */
extern const mail_files file_system;

/* Writes all of `parts` (which it changes) at `offset`, over short writes and EINTR; 0 or -errno. */
int file_write_all(const mail_files *fs, int fd, struct iovec *parts, int count, uint64_t offset);

/* Reads exactly `size` bytes or, at the end of the file, fewer; the count or -errno. */
ssize_t file_read_all(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset);

/* Reads a whole file of at most `limit` bytes into memory of `mem`, with a NUL behind it. MAIL_… code. */
int file_load(const mail_files *fs, int dir, const char *name, size_t limit, const mail_mem *mem,
              char **data_out, size_t *length_out);

#endif
