/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_STANDARD_FILES_H
#define TOOLS_STANDARD_FILES_H

/*
 * To be called first. Callers leave standard files closed; the next file that is opened would be
 * standard output or error, and what is said there would go into a message or a queue. Here they
 * are opened in such a way that to use them is the same error as before.
 */
void standard_files_open(void);

#endif
