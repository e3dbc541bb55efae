/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_DOOR_H
#define LIB_NET_DOOR_H

#include <mail/log.h>

#include "net/proxies.h"
#include "net/quotas.h"
#include "net/tls_filter.h"

/* A connection of `peer`, who has `said` that already. Ownership: takes `fd`. */
typedef net_proxied_fn net_serve_fn;

/* One that can't be served: see net_door_turn_away. Ownership: takes `fd`. */
typedef void net_refuse_fn(int fd, const mail_endpoint *peer, net_limit limit, void *arg);

typedef struct net_door_options {
    mail_loop *loop;
    const mail_mem *mem;
    const mail_sockets *net;
    const mail_log *log;
    mail_metrics *metrics; /* NULL: nothing is counted */
    mail_limits limits;
    const mail_network *proxy_from; /* copied */
    size_t proxy_count;
    net_serve_fn *serve;
    net_refuse_fn *refuse;
} net_door_options;

/*
 * The way into a service: who may come in, whom they come for if they are proxies, and how much of
 * the service they may use.
 */
typedef struct net_door {
    net_door_options opts;
    net_proxies proxies;
    net_quotas quotas;
    net_limit_measure measure;
    uint32_t sessions;
    bool is_shut;
} net_door;

/* MAIL_EINVAL for a rate that can't be, MAIL_ENOMEM. */
int net_door_init(net_door *door, const net_door_options *opts);

/* There may be no session. A zeroed struct will do. */
void net_door_deinit(net_door *door);

/* Nobody comes in any more; who has not said for whom it is has gone. */
void net_door_shut(net_door *door);

/* What a listener has accepted: `serve` or `refuse` is called with `arg`, now or from the loop. */
void net_door_pass(net_door *door, int fd, const mail_endpoint *peer, bool is_last, void *arg);

/*
 * One more session of `peer`: `*guest` is to leave. MAIL_ELIMIT, and `*limit` is what forbids it;
 * MAIL_ENOMEM.
 */
int net_door_admit(net_door *door, const mail_endpoint *peer, net_guest *guest, net_limit *limit);
void net_door_leave(net_door *door, net_guest *guest);

/* Says `words`, if that can be done at once, and closes `fd`. */
void net_door_turn_away(net_door *door, int fd, const mail_endpoint *peer, net_limit limit,
                        mail_span words);

/* Logs something of a client, who becomes the first of the fields. */
void net_door_log(const net_door *door, const mail_endpoint *peer, mail_log_level level,
                  const char *what, mail_log_field *fields, size_t count);

/* A handshake has come to nothing. */
void net_door_log_handshake(const net_door *door, const mail_endpoint *peer, const net_tls *tls);

/*
 * Whom a client's certificate names, in `out`; empty: nobody. The log says why one that was shown is of
 * no use.
 */
mail_span net_door_identify(const net_door *door, const mail_endpoint *peer, const net_tls *tls,
                            char out[MAIL_TLS_ADDRESS_SIZE]);

/* Counts and logs that a client met a limit, and what is done about it. */
void net_door_limited(const net_door *door, const mail_endpoint *peer, net_limit limit,
                      const char *what, const char *why);

#endif
