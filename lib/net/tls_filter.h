/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_TLS_FILTER_H
#define LIB_NET_TLS_FILTER_H

#include <mail/tls.h>

#include "net/filter.h"

/* A TLS session as the filter of a link, either end. */
typedef struct net_tls net_tls;

/*
 * MAIL_TLS_VERIFY_ASK is not for here: nobody would answer. `opts->mem` is the filter's too.
 * MAIL_EINVAL for a bad name, MAIL_ENOMEM.
 */
int net_tls_create(net_tls **out, mail_tls_context *context, const mail_tls_options *opts);

/* Only once no link uses it any more. */
void net_tls_destroy(net_tls *ts);

mail_filter *net_tls_filter(net_tls *ts);

/* The handshake is done: what is said now is private. The owner of the link looks when it is fed. */
bool net_tls_is_ready(const net_tls *ts);

/* For facts, the binding, and why it failed. */
const mail_tls *net_tls_session(const net_tls *ts);

#endif
