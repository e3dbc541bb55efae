/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LISTENER_H
#define LIB_NET_LISTENER_H

#include <mail/loop.h>

#include "net/socket.h"

/*
 * Called for each connection. `is_last`: there is no descriptor left for it; say
 * so and close it. Ownership: takes `fd`.
 */
typedef void net_accept_fn(int fd, const mail_endpoint *peer, bool is_last, void *arg);

/* Accepts connections, also when the process has run out of descriptors. */
typedef struct net_listener {
    const mail_sockets *net;
    mail_loop *loop;
    net_accept_fn *fn;
    void *arg;
    mail_watch *watch;
    mail_timer *pause;
    int fd;
    int spare; /* given up when descriptors run out; -1: gone */
} net_listener;

/*
 * `net` NULL: the system's. Ownership: takes `fd`, a listening socket, if it succeeds.
 * MAIL_ENOMEM, MAIL_ESYS.
 */
int net_listener_init(net_listener *ls, const mail_sockets *net, mail_loop *loop, int fd,
                      net_accept_fn *fn, void *arg);

/*
 * A unix socket's file goes too, so that nobody waits at a door that is shut. Also from inside the
 * callback, which the struct must outlive. Again, it does nothing.
 */
void net_listener_deinit(net_listener *ls);

#endif
