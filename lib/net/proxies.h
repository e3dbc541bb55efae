/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_PROXIES_H
#define LIB_NET_PROXIES_H

#include <mail/loop.h>

#include "base/list.h"
#include "net/socket.h"

/*
 * A connection from a proxy is announced: `client` is whose it is, `rest` what came behind the
 * header. Ownership: takes `fd`; lends `rest` for the call.
 */
typedef void net_proxied_fn(int fd, const mail_endpoint *client, mail_span rest, void *arg);

typedef struct net_proxies net_proxies;

/* It is not: `why`, for a person. The connection is closed already. */
typedef void net_unproxied_fn(net_proxies *proxies, const mail_endpoint *proxy, const char *why);

/*
 * The proxies that may say for whom they speak, and their connections that have not done so yet.
 * Nobody else's bytes are looked at here: a header from a stranger is a stranger's command.
 */
struct net_proxies {
    const mail_sockets *net;
    mail_loop *loop;
    const mail_mem *mem;
    net_proxied_fn *proxied;
    net_unproxied_fn *unproxied;
    mail_network *from;
    size_t from_count;
    mail_duration patience; /* with their headers */
    list waiting;
    size_t waiting_count;
};

/* `from` is copied. MAIL_ENOMEM. */
int net_proxies_init(net_proxies *proxies, const mail_sockets *net, mail_loop *loop,
                     const mail_mem *mem, const mail_network *from, size_t from_count);

/* Closes those that wait, without a word to anybody. A zeroed struct will do. */
void net_proxies_deinit(net_proxies *proxies);
void net_proxies_close_all(net_proxies *proxies);

bool net_proxies_has(const net_proxies *proxies, const mail_endpoint *peer);

/*
 * Waits for the header on `fd`, for so long as is decent; one of the functions is then called
 * with `arg`, from the loop. MAIL_ENOMEM, MAIL_ESYS. Ownership: takes `fd` if it succeeds.
 */
int net_proxies_await(net_proxies *proxies, int fd, const mail_endpoint *peer, void *arg);

#endif
