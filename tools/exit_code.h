/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_EXIT_CODE_H
#define TOOLS_EXIT_CODE_H

/* The exit status, as in <sysexits.h>, that tells of a MAIL_E… code. */
int exit_code_of_error(int code);

#endif
