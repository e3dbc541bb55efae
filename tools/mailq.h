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

/* Prints the messages that `which` means. The errors of mail_operator_list, and MAIL_EIO for standard output. */
int mailq_list(mail_operator *op, const mail_queue_selector *which, mail_queue_format format,
               mail_error *err);

/* Prints all that is in `spool`; where there is no spool yet it is empty. Also the errors of mail_operator_open. */
int mailq_print(const char *spool, mail_queue_format format, mail_error *err);

#endif
