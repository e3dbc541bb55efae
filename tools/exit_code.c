/* SPDX-License-Identifier: MIT */
#include "exit_code.h"

#include <sysexits.h>

#include <mail/base.h>

int exit_code_of_error(int code)
{
    switch (code) {
    case MAIL_OK:
        return EX_OK;
    case MAIL_EINVAL:
    case MAIL_EDAMAGED:
    case MAIL_ELIMIT:
        return EX_DATAERR;
    case MAIL_ENOENT:
        return EX_NOINPUT;
    case MAIL_EIO:
        return EX_IOERR;
    case MAIL_ENOSPC: /* there may be room again, or an answer */
    case MAIL_EBUSY:
    case MAIL_ETIMEDOUT:
    case MAIL_ECONN:
        return EX_TEMPFAIL;
    case MAIL_EPROTO:
        return EX_PROTOCOL;
    case MAIL_EPERM:
        return EX_NOPERM;
    case MAIL_EVERSION:
        return EX_CONFIG;
    default:
        return EX_OSERR;
    }
}

/* RFC 3463, section 3.2, and RFC 7505, section 4.2 (null MX). */
int exit_code_of_refusal(const mail_reply *reply)
{
    bool is_of_address = reply->status[1] == 1;

    if (mail_reply_is_transient(reply)) {
        return EX_TEMPFAIL;
    }
    if (is_of_address && reply->status[2] == 1) {
        return EX_NOUSER;
    }
    if (is_of_address && (reply->status[2] == 2 || reply->status[2] == 10)) {
        return EX_NOHOST;
    }
    return EX_UNAVAILABLE;
}
