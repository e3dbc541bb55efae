/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_DOMAIN_H
#define LIB_MSG_DOMAIN_H

#include <mail/address.h>

/*
 * How much of `in` may belong to a domain name: letters, digits, `-`, `_`, dots
 * and, if `utf8`, whatever is not ASCII.
 */
size_t domain_extent(mail_span in, bool utf8);

/*
 * Checks a name and writes the form in which it stands in a path: lower case,
 * U-labels in NFC, ASCII as it is. MAIL_EINVAL, MAIL_ELIMIT (longer than a name may
 * be), MAIL_ENOMEM (of libidn2).
 */
int domain_canonical(mail_span in, char out[MAIL_DOMAIN_SIZE], size_t *length_out);

#endif
