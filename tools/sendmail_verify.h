/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_VERIFY_H
#define TOOLS_SENDMAIL_VERIFY_H

#include <mail/base.h>
#include <mail/compose.h>

#include "sendmail_options.h"

/*
 * -bv: says of each recipient, in a line on standard output, where mail to it would go, or why it
 * can't. Nothing is sent. Returns 0 or the exit code of the worst, of which "later" outweighs
 * "never"; or another one with the reason in `err`.
 */
int sendmail_verify(const sendmail_options *opts, const mail_submission *submission,
                    mail_error *err);

#endif
