/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_DIALER_H
#define LIB_NET_DIALER_H

#include <mail/loop.h>

#include "net/socket.h"

/*
 * Called once, from the loop: `result` is the connected descriptor (Ownership: gives)
 * or -errno. The dialer may be deinit'ed or used again from it.
 */
typedef void net_dial_fn(int result, void *arg);

/* Connects, within a time-out. */
typedef struct net_dialer {
    const mail_sockets *net;
    mail_loop *loop;
    net_dial_fn *fn;
    void *arg;
    mail_watch *watch;
    mail_timer *timer;
    int fd;
    int failure; /* known at once, told in the next round; 0: none */
} net_dialer;

/*
 * Begins to connect to `to`, or to the unix socket `path` when it is not NULL.
 * `net` NULL: the system's. A refusal comes by `fn`. MAIL_ENOMEM, MAIL_ESYS.
 */
int net_dialer_init(net_dialer *dl, const mail_sockets *net, mail_loop *loop,
                    const mail_endpoint *to, const char *path, mail_duration timeout,
                    net_dial_fn *fn, void *arg);

/* No callback after it. Of a zeroed struct, and again, it does nothing. */
void net_dialer_deinit(net_dialer *dl);

#endif
