/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_CLEAN_H
#define LIB_MSG_CLEAN_H

#include <mail/base.h>

/*
 * The length of the character at the start of `text`, which is not empty: well
 * formed UTF-8 and no control character, C1 (U+0080 to U+009F) included. 0: it is
 * nothing that may be shown.
 */
size_t clean_character(mail_span text);

/*
 * Copies remote text on one line: blanks for line ends and tabs, `?` for each
 * octet that is no part of a showable character. Cut before the character that
 * would pass `size`. Returns the length; writes no NUL.
 */
size_t clean_line(mail_span text, char *out, size_t size);

/* The same in ASCII: `?` for each character above it. */
size_t clean_ascii(mail_span text, char *out, size_t size);

#endif
