/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_PROXY_H
#define LIB_NET_PROXY_H

#include <mail/address.h>

/*
 * The header with which a proxy says whose connection it passes on: versions 1 and 2 of HAProxy's
 * PROXY protocol. Only for peers that are trusted with it: who else could be believed?
 */

/* The longest header that is read, with what a version 2 header may carry behind the addresses. */
#define NET_PROXY_MAX 2048

/*
 * Reads a header at the start of `in`. MAIL_OK: it is the first `*used` octets, and `*client` is
 * where the connection comes from; family 0: from the proxy itself, or it does not say.
 * MAIL_EAGAIN: this much can be the beginning of one. MAIL_EINVAL: it is none, or a bad one.
 * MAIL_ELIMIT: it is longer than NET_PROXY_MAX.
 */
int net_proxy_parse(mail_span in, size_t *used, mail_endpoint *client);

/* Whether `in` begins as a header does: behind one that was read, that is foul play. */
bool net_proxy_is_header(mail_span in);

#endif
