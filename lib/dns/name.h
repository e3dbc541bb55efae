/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_NAME_H
#define LIB_DNS_NAME_H

#include <mail/address.h>
#include <mail/base.h>

/*
 * Domain names in packets, and as text. The only text form is that of a clean host
 * name: labels of letters, digits, hyphens and underscores in lower case, without
 * a final dot, or "." for the root. DNS labels may hold any octet; a name that
 * holds others is never turned into text at all, so nothing has to be escaped.
 */

/*
 * Finds the end of the name at `at`: where the packet goes on behind it. False for
 * a label that is no label, a name over 255 octets or past the packet, and a
 * compression pointer that does not lead strictly backwards.
 */
bool dns_name_skip(mail_span packet, size_t at, size_t *end);

/*
 * Writes the name at `at` as text. False, with `out` empty, when it is not clean
 * (or not sound).
 */
bool dns_name_text(mail_span packet, size_t at, char out[MAIL_DOMAIN_SIZE]);

/* Whether the name at `at` is `name`, a clean one in lower case. Stops at the first difference. */
bool dns_name_is(mail_span packet, size_t at, const char *name);

/* A clean host name in any case, as may be asked for: not the root, no final dot. */
bool dns_name_is_clean(mail_span name);

/* `name` is `zone` or lies below it; both as dns_name_text wrote them. */
bool dns_name_is_in(const char *name, const char *zone);

#endif
