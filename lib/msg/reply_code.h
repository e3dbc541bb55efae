/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_REPLY_CODE_H
#define LIB_MSG_REPLY_CODE_H

#include <mail/base.h>

/* Three digits from 200 to 599 at the start of `text`; returns 3, or 0. */
size_t reply_code_parse(mail_span text, uint16_t *code);

/*
 * An enhanced code (RFC 3463) of the class of `code` at the start of `text`, and the
 * blank behind it; returns how much it took, 0 and `status` all 0 if it is none.
 */
size_t reply_status_parse(mail_span text, uint16_t code, uint16_t status[3]);

#endif
