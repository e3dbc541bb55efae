/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_MAILQ_H
#define TOOLS_MAILQ_H

#include <stdio.h>

#include <mail/operator.h>

/* A sink that ends up in `file`. MAIL_EIO. */
typedef struct file_sink {
    mail_sink sink;
    FILE *file;
} file_sink;

void file_sink_init(file_sink *sink, FILE *file);

/*
 * Prints the messages in `spool` that `which` means, and where it means all also those in `drop` that
 * no owner of the spool has taken yet; `*count`, which may be NULL: how many. The errors of
 * mail_operator_open (MAIL_ENOENT only where nothing was ever dropped either) and
 * mail_operator_list, and MAIL_EIO when standard output fails.
 */
int mailq_list(const char *spool, const mail_queue_selector *which, mail_queue_format format,
               uint64_t *count, mail_error *err);

/* Prints all as mailq does; where there is no spool yet it is empty. The same errors. */
int mailq_print(const char *spool, mail_error *err);

#endif
