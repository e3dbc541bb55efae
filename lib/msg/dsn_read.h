/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_DSN_READ_H
#define LIB_MSG_DSN_READ_H

#include <mail/dsn.h>

/* Cuts the next line off, without its end. */
mail_span dsn_line(mail_span *text);

/* `text` without blanks at its ends. */
mail_span dsn_trim(mail_span text);

bool dsn_begins(mail_span text, const char *with); /* in any case */
size_t dsn_find(mail_span text, const char *what); /* where it lies, or the length of `text` */

/* Each keeps a value, on one line, where the reader has room for it. */
void dsn_keep_address(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value);
void dsn_keep_host(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value);
void dsn_keep_words(mail_dsn_reader *reader, mail_dsn_told *told, mail_span value);

/* The first enhanced code in `text`; all zero: there is none. */
void dsn_find_status(mail_span text, uint16_t status[3]);

/* dsn_read_text.c: what kind of plain report `text` is; `*text_out` is where its recipients begin. */
mail_dsn_kind dsn_text_kind(mail_span text, mail_span *text_out, mail_dsn_action *action);
/* The next recipient of such a report. MAIL_ENOENT: there is none. */
int dsn_text_next(mail_dsn_reader *reader, mail_dsn_told *told);

#endif
