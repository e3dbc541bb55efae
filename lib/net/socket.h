/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_SOCKET_H
#define LIB_NET_SOCKET_H

#include <mail/address.h>
#include <mail/base.h>

#include <sys/types.h>
#include <sys/uio.h>

/*
 * The network as a table of functions, so that a simulated one can stand in for
 * it. Descriptors are non-blocking and close-on-exec; what fails returns -errno.
 * A simulated network must hand out descriptors that its own loop can watch.
 */
typedef struct mail_sockets mail_sockets;

enum {
    NET_SHARED_PORT = 1, /* other listeners of this user may listen there too, a thread each */
    NET_OWN_USER = 2     /* a unix socket: for this user (and root) only */
};

typedef struct mail_sockets_ops {
    int (*listen_tcp)(const mail_sockets *net, const mail_endpoint *at, unsigned flags,
                      mail_endpoint *bound);
    /* A socket that nobody listens on any more is replaced. */
    int (*listen_unix)(const mail_sockets *net, const char *path, unsigned flags);
    /*
     * Removes the file of a unix socket that this process has begun to listen on, unless somebody
     * else's is there by now; of any other socket nothing. NULL: sockets have no files.
     */
    void (*remove_unix)(const mail_sockets *net, int listener);
    /* The accepted descriptor; `peer->ip.family` is 0 for a unix socket. -EAGAIN: none waits. */
    int (*accept)(const mail_sockets *net, int listener, mail_endpoint *peer);
    /* A descriptor that becomes writable when connected; then connect_result. */
    int (*connect_tcp)(const mail_sockets *net, const mail_endpoint *to);
    int (*connect_unix)(const mail_sockets *net, const char *path);
    int (*connect_result)(const mail_sockets *net, int fd);                  /* 0 or -errno */
    ssize_t (*read)(const mail_sockets *net, int fd, void *to, size_t size); /* 0: end */
    ssize_t (*write)(const mail_sockets *net, int fd, const void *from, size_t size);
    int (*shutdown_write)(const mail_sockets *net, int fd);
    void (*close)(const mail_sockets *net, int fd);
    /* UDP, connected: only packets from `to` arrive, from a random port of ours. */
    int (*connect_udp)(const mail_sockets *net, const mail_endpoint *to);
    /* Whether a unix socket's other end is a process of this user, or root. */
    bool (*peer_is_us)(const mail_sockets *net, int fd);
} mail_sockets_ops;

struct mail_sockets {
    const mail_sockets_ops *ops;
};

/* The system's network. */
extern const mail_sockets net_system_sockets;

/* Where a socket is bound; family 0: it has no IP address. */
mail_endpoint net_socket_own(int fd);

/* The other end of a connected socket; family 0: it has no IP address. */
mail_endpoint net_socket_peer(int fd);

#endif
