/* SPDX-License-Identifier: MIT */
#include "queue/large.h"

#include <errno.h>

#include "queue/record.h"

int queue_large_create(const mail_files *files, int dir, uint64_t id, uint64_t expected,
                       int *fd_out)
{
    char name[QUEUE_ID_DIGITS + 1];
    int fd;
    int code;

    queue_id_print(id, name);
    fd = files->ops->open(files, dir, name, FILE_WRITE | FILE_CREATE | FILE_NEW);
    if (fd < 0) {
        return mail_error_from_errno(-fd);
    }
    if (expected > 0) {
        code = files->ops->allocate(files, fd, 0, expected);
        if (code < 0 && code != -EOPNOTSUPP && code != -EINVAL) {
            files->ops->close(files, fd);
            queue_large_remove(files, dir, id);
            return mail_error_from_errno(-code);
        }
    }
    *fd_out = fd;
    return MAIL_OK;
}

int queue_large_sync(const mail_files *files, int dir, int fd)
{
    int code = files->ops->sync_data(files, fd);

    if (code == 0) {
        code = files->ops->sync(files, dir);
    }
    return code < 0 ? mail_error_from_errno(-code) : MAIL_OK;
}

int queue_large_open(const mail_files *files, int dir, uint64_t id, uint64_t size, int *fd_out)
{
    char name[QUEUE_ID_DIGITS + 1];
    file_info info;
    int fd;
    int code;

    queue_id_print(id, name);
    fd = files->ops->open(files, dir, name, FILE_READ);
    if (fd < 0) {
        return fd == -ENOENT ? MAIL_EDAMAGED : mail_error_from_errno(-fd);
    }
    code = files->ops->info(files, fd, &info);
    if (code < 0 || !info.is_file || info.size < size) {
        files->ops->close(files, fd);
        return code < 0 ? mail_error_from_errno(-code) : MAIL_EDAMAGED;
    }
    *fd_out = fd;
    return MAIL_OK;
}

void queue_large_remove(const mail_files *files, int dir, uint64_t id)
{
    char name[QUEUE_ID_DIGITS + 1];

    queue_id_print(id, name);
    (void)files->ops->unlink(files, dir, name); /* what stays is removed at the next open */
}
