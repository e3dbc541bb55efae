/* SPDX-License-Identifier: MIT */
#ifndef LIB_SMTP_ORCPT_H
#define LIB_SMTP_ORCPT_H

#include <mail/base.h>

/*
 * Whether `text` is the value of an ORCPT parameter, of at most 500 octets: `type;xtext` (RFC 3461,
 * section 4.2), or `utf-8;` and an address in one of the forms of RFC 6533, section 3. The form
 * with plain UTF-8 in it only when `utf8`.
 */
bool orcpt_is_valid(mail_span text, bool utf8);

#endif
