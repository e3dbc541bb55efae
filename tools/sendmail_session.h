/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_SESSION_H
#define TOOLS_SENDMAIL_SESSION_H

#include <mail/base.h>
#include <mail/compose.h>

#include "sendmail_options.h"

/*
 * -bs: holds a session of SMTP on standard input and output, up to QUIT or the end of the
 * input. Each message is completed by `submission` as other input is, and dropped in
 * `spool`, durably, before its 250; `*stored` counts them. Returns 0 or an exit code, with the
 * reason in `err`.
 */
int sendmail_session(const sendmail_options *opts, const mail_submission *submission,
                     const char *spool, size_t *stored, mail_error *err);

#endif
