/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_TLS_FILES_H
#define EXAMPLES_COMMON_TLS_FILES_H

#include <mail/tls.h>

#include "options.h"

/*
 * Certificates: the files of --tls-cert and --tls-key, the first of one with the first of the other
 * and so on; and those whom to believe.
 */
typedef struct tls_files {
    option_texts certificates;
    option_texts keys;
    const char *trust; /* NULL: a server asks for none, a client believes the system's list */
} tls_files;

void tls_files_deinit(tls_files *files);

/*
 * Reads them all into what a server's TLS sessions share; `*out` becomes NULL when there is no
 * certificate. MAIL_EINVAL and the codes of reading a file, with its name and the reason in `err`;
 * MAIL_ENOMEM.
 */
int tls_files_load(const tls_files *files, mail_tls_context **out, mail_error *err);

/* The same for a client, who needs no certificate. */
int tls_files_load_client(const tls_files *files, mail_tls_context **out, mail_error *err);

#endif
