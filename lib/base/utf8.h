/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_UTF8_H
#define LIB_BASE_UTF8_H

#include <mail/base.h>

/* Well-formed UTF-8 (RFC 3629): nothing overlong, no surrogates, nothing past U+10FFFF. */
bool utf8_is_valid(mail_span text);

/* The length of the valid sequence at the start of `text`, 1 to 4; 0: none. */
size_t utf8_sequence(mail_span text);

/* Only octets below 128. */
bool utf8_is_ascii(mail_span text);

#endif
