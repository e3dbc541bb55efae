/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_TLS_FILTER_H
#define LIB_NET_TLS_FILTER_H

#include <mail/loop.h>
#include <mail/tls.h>

#include "net/filter.h"

/* A TLS session as the filter of a link, either end. */
typedef struct net_tls net_tls;

/* `opts->mem` is the filter's too. MAIL_EINVAL for a bad name, MAIL_ENOMEM. */
int net_tls_create(net_tls **out, mail_tls_context *context, const mail_tls_options *opts);

/* The server's end, which asks for nothing special. MAIL_ENOMEM, MAIL_ESYS. */
int net_tls_accept(net_tls **out, mail_tls_context *context, const mail_mem *mem);

/*
 * A handshake that takes long is done on the loop's workers. While one is at work the owner must not
 * want to read; `wake` says when it may again. `ts` may be destroyed meanwhile: then it never comes.
 */
void net_tls_use_workers(net_tls *ts, mail_loop *loop, void (*wake)(void *arg), void *arg);
bool net_tls_is_at_work(const net_tls *ts); /* NULL: no */

/* Only once no link uses it any more. */
void net_tls_destroy(net_tls *ts);

mail_filter *net_tls_filter(net_tls *ts);

/* The handshake is done: what is said now is private. The owner of the link looks when it is fed. */
bool net_tls_is_ready(const net_tls *ts);

/*
 * MAIL_TLS_VERIFY_ASK: the handshake waits for net_tls_answer; to be looked for as the end of it.
 * A refusal makes it fail at once, with an alert on its way.
 */
bool net_tls_asks(const net_tls *ts);
void net_tls_answer(net_tls *ts, bool accept);

/* The binding for SCRAM-…-PLUS, in `out`; empty: there is none. */
mail_span net_tls_binding(const net_tls *ts, uint8_t out[MAIL_TLS_BINDING_SIZE]);

/* For facts, once it is ready, and for why it failed; not while it is at work. */
const mail_tls *net_tls_session(const net_tls *ts);

/* Why it failed; empty: it did not, or nobody knows yet. */
mail_span net_tls_failure(const net_tls *ts);

#endif
