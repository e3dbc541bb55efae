/* SPDX-License-Identifier: MIT */
#include "lasting.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static int read_secret(const char *path, uint8_t out[LASTING_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n;

    if (fd < 0) {
        return errno;
    }
    n = read(fd, out, LASTING_SIZE);
    close(fd);
    return n == LASTING_SIZE ? 0 : EINVAL;
}

static int write_secret(const char *path)
{
    uint8_t secret[LASTING_SIZE];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int code = 0;

    if (fd < 0) {
        return errno;
    }
    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret) ||
        write(fd, secret, sizeof(secret)) != sizeof(secret) || fsync(fd) != 0) {
        code = errno != 0 ? errno : EIO;
    }
    explicit_bzero(secret, sizeof(secret));
    close(fd);
    return code;
}

/* Whole or not at all; of two that begin at once the first one wins. */
static int make_secret(const char *path, const confine_user *user)
{
    char own[PATH_MAX];
    int code;

    if (snprintf(own, sizeof(own), "%s.%ld", path, (long)getpid()) >= (int)sizeof(own)) {
        return ENAMETOOLONG;
    }
    code = write_secret(own);
    if (code == 0 && confine_give(user, own, NULL) != MAIL_OK) {
        code = EPERM;
    }
    if (code == 0 && link(own, path) != 0 && errno != EEXIST) {
        code = errno;
    }
    if (code != EEXIST) { /* somebody else's */
        unlink(own);
    }
    return code;
}

void lasting_secret(const server_log *log, const char *users, const confine_user *user,
                    uint8_t out[LASTING_SIZE])
{
    char path[PATH_MAX];
    mail_log_field fields[] = {{.key = "file"}, {.key = "reason"}};
    int code = ENAMETOOLONG;

    if (snprintf(path, sizeof(path), "%s.salt", users) < (int)sizeof(path)) {
        code = read_secret(path, out);
        if (code == ENOENT) {
            code = make_secret(path, user);
            code = code == 0 ? read_secret(path, out) : code;
        }
    }
    if (code != 0) {
        memset(out, 0, LASTING_SIZE);
        fields[0].value = mail_span_text(path);
        fields[1].value =
            mail_span_text(code == EINVAL ? "it holds less than 32 octets" : strerror(code));
        mail_log_line(&log->log, MAIL_LOG_WARN, "salts change with a restart", fields,
                      MAIL_COUNT(fields));
    }
}
