/* SPDX-License-Identifier: MIT */
#include "net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/random.h"

#define BACKLOG 1024

/* Tries to find a free random port before the system chooses one. */
#define UDP_PORT_TRIES 10
#define UDP_PORT_FIRST 1024

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} address;

static socklen_t address_of(const mail_endpoint *at, address *out)
{
    memset(out, 0, sizeof(*out));
    if (at->ip.family == 6) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons(at->port);
        out->in6.sin6_scope_id = at->ip.scope;
        memcpy(&out->in6.sin6_addr, at->ip.bytes, 16);
        return sizeof(out->in6);
    }
    out->in4.sin_family = AF_INET;
    out->in4.sin_port = htons(at->port);
    memcpy(&out->in4.sin_addr, at->ip.bytes, 4);
    return sizeof(out->in4);
}

static mail_endpoint endpoint_of(const address *from)
{
    mail_endpoint at = {{0}, 0};

    if (from->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from->in6.sin6_addr)) {
        /* From a socket for both families, which others may hand to us. */
        at.ip.family = 4;
        at.port = ntohs(from->in6.sin6_port);
        memcpy(at.ip.bytes, &from->in6.sin6_addr.s6_addr[12], 4);
    } else if (from->any.sa_family == AF_INET6) {
        at.ip.family = 6;
        at.ip.scope = from->in6.sin6_scope_id;
        at.port = ntohs(from->in6.sin6_port);
        memcpy(at.ip.bytes, &from->in6.sin6_addr, 16);
    } else if (from->any.sa_family == AF_INET) {
        at.ip.family = 4;
        at.port = ntohs(from->in4.sin_port);
        memcpy(at.ip.bytes, &from->in4.sin_addr, 4);
    }
    return at;
}

static int unix_address_of(const char *path, address *out)
{
    size_t length = strlen(path);

    memset(out, 0, sizeof(*out));
    if (length == 0 || length >= sizeof(out->un.sun_path)) {
        return -ENAMETOOLONG;
    }
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path, length);
    return 0;
}

static int open_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

static int close_with(int fd, int result)
{
    close(fd);
    return result;
}

static void set_on(int fd, int level, int name)
{
    int on = 1;

    setsockopt(fd, level, name, &on, sizeof(on));
}

/* What is said leaves in one write each, never waiting for an ACK; accepted sockets inherit that. */
static int open_tcp(const address *where)
{
    int fd = open_socket(where->any.sa_family, SOCK_STREAM);

    if (fd >= 0) {
        set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    }
    return fd;
}

static int system_listen_tcp(const mail_sockets *net, const mail_endpoint *at, unsigned flags,
                             mail_endpoint *bound)
{
    address where;
    socklen_t length = address_of(at, &where);
    int fd = open_tcp(&where);

    (void)net;
    if (fd < 0) {
        return fd;
    }
    set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (flags & NET_SHARED_PORT) {
        set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    }
    if (at->ip.family == 6) { /* or an IPv4 listener on the same port would be refused */
        set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    if (bind(fd, &where.any, length) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &where.any, &length) != 0) {
        return close_with(fd, -errno);
    }
    if (bound != NULL) {
        *bound = endpoint_of(&where);
    }
    return fd;
}

/* Whether `path` is a socket and nobody listens on it any more. */
static bool is_dead(const address *where)
{
    struct stat st;
    bool refused;
    int fd;

    if (lstat(where->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    fd = open_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return false;
    }
    refused = connect(fd, &where->any, sizeof(where->un)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(int fd, const address *where)
{
    if (bind(fd, &where->any, sizeof(where->un)) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return -errno;
    }
    if (!is_dead(where) || unlink(where->un.sun_path) != 0) {
        return -EADDRINUSE;
    }
    return bind(fd, &where->any, sizeof(where->un)) == 0 ? 0 : -errno;
}

/* The process that called listen(2) for whoever answers there; 0: nobody does. */
static pid_t listener_at(const address *where)
{
    struct ucred peer = {.pid = 0};
    socklen_t length = sizeof(peer);
    int fd = open_socket(AF_UNIX, SOCK_STREAM);

    if (fd < 0) {
        return 0;
    }
    if (connect(fd, &where->any, sizeof(where->un)) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        peer.pid = 0;
    }
    close(fd);
    return peer.pid;
}

/* A socket that was handed over is its maker's, who finds it there again. */
static void system_remove_unix(const mail_sockets *net, int listener)
{
    address where;
    socklen_t length = sizeof(where);

    (void)net;
    memset(&where, 0, sizeof(where));
    if (getsockname(listener, &where.any, &length) == 0 && where.any.sa_family == AF_UNIX &&
        where.un.sun_path[0] != '\0' && listener_at(&where) == getpid()) {
        unlink(where.un.sun_path);
    }
}

static int system_listen_unix(const mail_sockets *net, const char *path, unsigned flags)
{
    address where;
    int code = unix_address_of(path, &where);
    int fd;

    (void)net;
    if (code != 0) {
        return code;
    }
    fd = open_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return fd;
    }
    code = bind_unix(fd, &where);
    if (code != 0) {
        return close_with(fd, code);
    }
    if (flags & NET_OWN_USER) {
        (void)chmod(path, 0600); /* who may connect is asked besides */
    }
    if (listen(fd, BACKLOG) != 0) {
        return close_with(fd, -errno);
    }
    return fd;
}

static int system_accept(const mail_sockets *net, int listener, mail_endpoint *peer)
{
    address from;
    socklen_t length;
    int fd;

    (void)net;
    do {
        length = sizeof(from);
        memset(&from, 0, sizeof(from));
        fd = accept4(listener, &from.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    *peer = endpoint_of(&from);
    return fd;
}

static int connect_to(int fd, const address *to, socklen_t length)
{
    if (connect(fd, &to->any, length) == 0 || errno == EINPROGRESS || errno == EINTR) {
        return fd;
    }
    return close_with(fd, -errno);
}

static int system_connect_tcp(const mail_sockets *net, const mail_endpoint *to)
{
    address where;
    socklen_t length = address_of(to, &where);
    int fd = open_tcp(&where);

    (void)net;
    return fd < 0 ? fd : connect_to(fd, &where, length);
}

static int system_connect_unix(const mail_sockets *net, const char *path)
{
    address where;
    int code = unix_address_of(path, &where);
    int fd;

    (void)net;
    if (code != 0) {
        return code;
    }
    fd = open_socket(AF_UNIX, SOCK_STREAM);
    return fd < 0 ? fd : connect_to(fd, &where, sizeof(where.un));
}

static int system_connect_result(const mail_sockets *net, int fd)
{
    socklen_t length = sizeof(int);
    int number = 0;

    (void)net;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length) != 0) {
        return -errno;
    }
    return -number;
}

static ssize_t system_read(const mail_sockets *net, int fd, void *to, size_t size)
{
    ssize_t n;

    (void)net;
    do {
        n = recv(fd, to, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t system_write(const mail_sockets *net, int fd, const void *from, size_t size)
{
    ssize_t n;

    (void)net;
    do {
        n = send(fd, from, size, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int system_shutdown_write(const mail_sockets *net, int fd)
{
    (void)net;
    return shutdown(fd, SHUT_WR) != 0 ? -errno : 0;
}

static void system_close(const mail_sockets *net, int fd)
{
    (void)net;
    close(fd);
}

/*
 * RFC 5452, section 9.2: the port is a secret that a forger must guess, so it is
 * drawn from the whole range and not from the system's smaller one.
 */
static int bind_random_port(int fd, int family)
{
    address own;
    socklen_t length;

    for (int i = 0; i < UDP_PORT_TRIES; i++) {
        mail_endpoint any = {.ip = {.family = family == AF_INET6 ? 6 : 4}};

        any.port = (uint16_t)(UDP_PORT_FIRST + random_below(NULL, 65536 - UDP_PORT_FIRST));
        length = address_of(&any, &own);
        if (bind(fd, &own.any, length) == 0) {
            return 0;
        }
        if (errno != EADDRINUSE && errno != EACCES) {
            return -errno;
        }
    }
    return 0; /* crowded: connect takes a port of the system's choice */
}

static int system_connect_udp(const mail_sockets *net, const mail_endpoint *to)
{
    address where;
    socklen_t length = address_of(to, &where);
    int fd = open_socket(where.any.sa_family, SOCK_DGRAM);
    int code;

    (void)net;
    if (fd < 0) {
        return fd;
    }
    code = bind_random_port(fd, where.any.sa_family);
    if (code != 0) {
        return close_with(fd, code);
    }
    return connect_to(fd, &where, length);
}

static bool system_peer_is_us(const mail_sockets *net, int fd)
{
    uid_t user;
#ifdef SO_PEERCRED
    struct ucred who;
    socklen_t length = sizeof(who);

    (void)net;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) {
        return false;
    }
    user = who.uid;
#else
    gid_t group;

    (void)net;
    if (getpeereid(fd, &user, &group) != 0) {
        return false;
    }
#endif
    return user == geteuid() || user == 0;
}

static const mail_sockets_ops system_ops = {
    .listen_tcp = system_listen_tcp,
    .listen_unix = system_listen_unix,
    .remove_unix = system_remove_unix,
    .accept = system_accept,
    .connect_tcp = system_connect_tcp,
    .connect_unix = system_connect_unix,
    .connect_result = system_connect_result,
    .read = system_read,
    .write = system_write,
    .shutdown_write = system_shutdown_write,
    .close = system_close,
    .connect_udp = system_connect_udp,
    .peer_is_us = system_peer_is_us,
};

const mail_sockets net_system_sockets = {&system_ops};

mail_endpoint net_socket_own(int fd)
{
    address own = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof(own);

    if (getsockname(fd, &own.any, &length) != 0) {
        own.any.sa_family = AF_UNSPEC;
    }
    return endpoint_of(&own);
}

mail_endpoint net_socket_peer(int fd)
{
    address peer = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof(peer);

    if (getpeername(fd, &peer.any, &length) != 0) {
        peer.any.sa_family = AF_UNSPEC;
    }
    return endpoint_of(&peer);
}
