/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_MAILQ_H
#define TOOLS_MAILQ_H

#include <stdio.h>

#include <mail/operator.h>

/*
 * Prints the queue in `spool` as mailq does; where there is no spool yet it is empty. The errors
 * of mail_operator_open and mail_operator_list, and MAIL_EIO when standard output fails.
 */
int mailq_print(const char *spool, mail_error *err);

/* A sink that ends up in `file`. MAIL_EIO. */
typedef struct file_sink {
    mail_sink sink;
    FILE *file;
} file_sink;

void file_sink_init(file_sink *sink, FILE *file);

/* Prints the messages that `which` means; `*count`, which may be NULL: how many. */
int mailq_list(mail_operator *op, const mail_queue_selector *which, mail_queue_format format,
               uint64_t *count, mail_error *err);

#endif
