/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_TLS_FILES_H
#define EXAMPLES_COMMON_TLS_FILES_H

#include <mail/tls.h>

#include "options.h"

/*
 * A server's certificates: the files of --tls-cert and --tls-key, the first of one with the first
 * of the other and so on. Rows for a table of options:
 *
 *     {"tls-cert", "FILE", TLS_CERT_HELP, option_set_texts, FIELD(tls.certificates), true},
 *     {"tls-key", "FILE", TLS_KEY_HELP, option_set_texts, FIELD(tls.keys), true},
 */
typedef struct tls_files {
    option_texts certificates;
    option_texts keys;
} tls_files;

#define TLS_CERT_HELP                                                                              \
    "a certificate and its chain, PEM; repeatable, chosen by the name that a client asks for, "    \
    "the "                                                                                         \
    "first for all other names"
#define TLS_KEY_HELP "the key of each --tls-cert, in the same order"

void tls_files_deinit(tls_files *files);

/*
 * Reads them all into what TLS sessions share; `*out` becomes NULL when no file was given.
 * MAIL_EINVAL and the codes of reading a file, with its name and the reason in `err`; MAIL_ENOMEM.
 */
int tls_files_load(const tls_files *files, mail_tls_context **out, mail_error *err);

#endif
