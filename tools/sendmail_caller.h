/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_CALLER_H
#define TOOLS_SENDMAIL_CALLER_H

#include <mail/compose.h>

#include "sendmail_options.h"

/* Facts about who calls, and where. */
typedef struct sendmail_caller {
    char hostname[256];
    char user[256];
    char address[600];
    char full_name[256];
} sendmail_caller;

void sendmail_identify(sendmail_caller *who, const sendmail_options *opts);

/* What is added to the caller's messages: now, and here. Ownership: borrows `who`. */
mail_submission sendmail_submission(const sendmail_caller *who);

#endif
