/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_EXIT_CODE_H
#define TOOLS_EXIT_CODE_H

#include <mail/reply.h>

/* The exit status, as in <sysexits.h>, that tells of a MAIL_E… code. */
int exit_code_of_error(int code);

/* The same for a refusal of mail, for good or for now. */
int exit_code_of_refusal(const mail_reply *reply);

#endif
