/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_DOUBTS_H
#define EXAMPLES_COMMON_DOUBTS_H

#include "server.h"
#include "tls_files.h"

/*
 * What an operator should hear of files that can be served with all the same: a server that went
 * down for a certificate that has expired, or for the mode of a file, would help nobody.
 */

/* Warns of a file with secrets that others may read or write. NULL, or no such file: nothing. */
void doubt_secret(const server_log *log, const char *path);
void doubt_secrets(const server_log *log, const option_texts *paths);

/* Warns of certificates, loaded from `files`, that have expired, will soon, or are not valid yet. */
void doubt_certificates(const server_log *log, const tls_files *files,
                        const mail_tls_context *context, mail_wall now);

#endif
