/* SPDX-License-Identifier: MIT */
#include <mail/base.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/ascii.h"

const char *mail_strerror(int code)
{
    static const char *const texts[] = {
        [-MAIL_OK] = "no error",
        [-MAIL_EAGAIN] = "not now",
        [-MAIL_EINVAL] = "invalid input",
        [-MAIL_ENOMEM] = "out of memory",
        [-MAIL_EIO] = "input/output error",
        [-MAIL_ENOSPC] = "no room on the disk",
        [-MAIL_ENOENT] = "not found",
        [-MAIL_EEXIST] = "already exists",
        [-MAIL_EBUSY] = "in use",
        [-MAIL_EPERM] = "not permitted",
        [-MAIL_ECANCELED] = "canceled",
        [-MAIL_ETIMEDOUT] = "timed out",
        [-MAIL_ECONN] = "connection failed",
        [-MAIL_EPROTO] = "protocol error",
        [-MAIL_EDAMAGED] = "damaged data",
        [-MAIL_ELIMIT] = "limit reached",
        [-MAIL_EVERSION] = "unknown version",
        [-MAIL_ESYS] = "system error",
    };

    if (code > 0 || code <= -(int)MAIL_COUNT(texts)) {
        return "unknown error";
    }
    return texts[-code];
}

int mail_error_from_errno(int number)
{
    switch (number) {
    case 0:
        return MAIL_OK;
    case EAGAIN:
        return MAIL_EAGAIN;
    case EINVAL:
    case ENAMETOOLONG:
        return MAIL_EINVAL;
    case ENOMEM:
        return MAIL_ENOMEM;
    case EIO:
        return MAIL_EIO;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return MAIL_ENOSPC;
    case ENOENT:
    case ENOTDIR:
        return MAIL_ENOENT;
    case EEXIST:
    case ENOTEMPTY:
        return MAIL_EEXIST;
    case EBUSY:
    case EADDRINUSE:
        return MAIL_EBUSY;
    case EPERM:
    case EACCES:
    case EROFS:
    case ELOOP:
        return MAIL_EPERM;
    case ECANCELED:
        return MAIL_ECANCELED;
    case ETIMEDOUT:
        return MAIL_ETIMEDOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return MAIL_ECONN;
    default:
        return MAIL_ESYS;
    }
}

int mail_error_set(mail_error *err, int code, const char *format, ...)
{
    va_list args;

    if (err == NULL) {
        return code;
    }
    err->code = code;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    for (char *c = err->text; *c != '\0'; c++) {
        if (ascii_is_control(*c)) {
            *c = '?';
        }
    }
    return code;
}
