/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_WORLD_H
#define TESTS_NET_WORLD_H

#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mail/loop_poll.h>
#ifdef MAIL_HAVE_UV
#include <mail/loop_uv.h>
#endif

#include "net/socket.h"

/* The adapters; every test of this folder runs on each. */
enum {
    WORLD_POLL,
#ifdef MAIL_HAVE_UV
    WORLD_UV,
#endif
    WORLD_LOOPS
};

/* Calls that the network below can be told to fail. */
typedef enum world_call {
    CALL_LISTEN,
    CALL_ACCEPT,
    CALL_CONNECT,
    CALL_READ,
    CALL_WRITE,
    CALL_SHUTDOWN,
    CALLS
} world_call;

/* A loop, and the system's network with faults: short reads and writes, and one call that fails. */
typedef struct world {
    mail_sockets sockets; /* first: its functions find the rest */
    mail_loop *loop;
    int kind;
    void *self;
    size_t max_read; /* 0: no limit */
    size_t max_write;
    unsigned calls[CALLS];   /* so far */
    unsigned fail_at[CALLS]; /* which of them fails, from 1; 0: none */
    unsigned fail_count;     /* how many in a row; 0: one */
    int failure;             /* -errno */
    size_t descriptors;      /* open before */
} world;

static const mail_endpoint loopback = {.ip = {.family = 4, .bytes = {127, 0, 0, 1}}};

static inline bool fails(const mail_sockets *net, world_call call)
{
    world *w = (world *)(uintptr_t)net;
    unsigned count = ++w->calls[call];
    unsigned from = w->fail_at[call];

    return from != 0 && count >= from && count < from + (w->fail_count > 0 ? w->fail_count : 1);
}

static inline int failure_of(const mail_sockets *net)
{
    return ((const world *)net)->failure;
}

#define SYSTEM(call, ...) net_system_sockets.ops->call(&net_system_sockets, __VA_ARGS__)

static inline int world_listen_tcp(const mail_sockets *net, const mail_endpoint *at, unsigned flags,
                                   mail_endpoint *bound)
{
    return fails(net, CALL_LISTEN) ? failure_of(net) : SYSTEM(listen_tcp, at, flags, bound);
}

static inline void world_remove_unix(const mail_sockets *net, int listener)
{
    (void)net;
    net_system_sockets.ops->remove_unix(&net_system_sockets, listener);
}

static inline int world_listen_unix(const mail_sockets *net, const char *path, unsigned flags)
{
    return fails(net, CALL_LISTEN) ? failure_of(net) : SYSTEM(listen_unix, path, flags);
}

static inline int world_accept(const mail_sockets *net, int listener, mail_endpoint *peer)
{
    return fails(net, CALL_ACCEPT) ? failure_of(net) : SYSTEM(accept, listener, peer);
}

static inline int world_connect_tcp(const mail_sockets *net, const mail_endpoint *to)
{
    return fails(net, CALL_CONNECT) ? failure_of(net) : SYSTEM(connect_tcp, to);
}

static inline int world_connect_unix(const mail_sockets *net, const char *path)
{
    return fails(net, CALL_CONNECT) ? failure_of(net) : SYSTEM(connect_unix, path);
}

static inline int world_connect_result(const mail_sockets *net, int fd)
{
    (void)net;
    return SYSTEM(connect_result, fd);
}

static inline ssize_t world_read(const mail_sockets *net, int fd, void *to, size_t size)
{
    size_t most = ((const world *)net)->max_read;

    return fails(net, CALL_READ) ? failure_of(net)
                                 : SYSTEM(read, fd, to, most > 0 && size > most ? most : size);
}

static inline ssize_t world_write(const mail_sockets *net, int fd, const void *from, size_t size)
{
    size_t most = ((const world *)net)->max_write;

    return fails(net, CALL_WRITE) ? failure_of(net)
                                  : SYSTEM(write, fd, from, most > 0 && size > most ? most : size);
}

static inline int world_shutdown_write(const mail_sockets *net, int fd)
{
    return fails(net, CALL_SHUTDOWN) ? failure_of(net) : SYSTEM(shutdown_write, fd);
}

static inline void world_close_fd(const mail_sockets *net, int fd)
{
    (void)net;
    SYSTEM(close, fd);
}

static inline int world_connect_udp(const mail_sockets *net, const mail_endpoint *to)
{
    (void)net;
    return SYSTEM(connect_udp, to);
}

static inline int loop_create(world *w, const mail_mem *mem)
{
    int code;

#ifdef MAIL_HAVE_UV
    if (w->kind == WORLD_UV) {
        code = mail_loop_uv_create((mail_loop_uv **)&w->self, NULL, mem);
        w->loop = code == MAIL_OK ? mail_loop_uv_loop(w->self) : NULL;
        return code;
    }
#endif
    code = mail_loop_poll_create((mail_loop_poll **)&w->self, mem);
    w->loop = code == MAIL_OK ? mail_loop_poll_loop(w->self) : NULL;
    return code;
}

static inline void loop_destroy(world *w)
{
#ifdef MAIL_HAVE_UV
    if (w->kind == WORLD_UV) {
        mail_loop_uv_destroy(w->self);
        return;
    }
#endif
    mail_loop_poll_destroy(w->self);
}

static inline bool world_peer_is_us(const mail_sockets *net, int fd)
{
    (void)net;
    return SYSTEM(peer_is_us, fd);
}

static inline int world_open(world *w, int kind, const mail_mem *mem)
{
    static bool is_warm[WORLD_LOOPS];

    static const mail_sockets_ops ops = {
        .listen_tcp = world_listen_tcp,
        .listen_unix = world_listen_unix,
        .remove_unix = world_remove_unix,
        .accept = world_accept,
        .connect_tcp = world_connect_tcp,
        .connect_unix = world_connect_unix,
        .connect_result = world_connect_result,
        .read = world_read,
        .write = world_write,
        .shutdown_write = world_shutdown_write,
        .close = world_close_fd,
        .connect_udp = world_connect_udp,
        .peer_is_us = world_peer_is_us,
    };

    *w = (world){.sockets = {&ops}, .kind = kind};
    if (!is_warm[kind]) { /* libuv opens a few descriptors once for the process */
        assert_int_equal(loop_create(w, NULL), MAIL_OK);
        loop_destroy(w);
        is_warm[kind] = true;
    }
    w->descriptors = mail_test_descriptors();
    return loop_create(w, mem);
}

/* Every descriptor must have been given back. */
static inline void world_close(world *w)
{
    loop_destroy(w);
    assert_int_equal(mail_test_descriptors(), w->descriptors);
}

/* One round; waits a moment at most. */
static inline void world_step(world *w)
{
#ifdef MAIL_HAVE_UV
    if (w->kind == WORLD_UV) {
        assert_int_equal(mail_loop_uv_run_once(w->self, MAIL_MILLISECOND), MAIL_OK);
        return;
    }
#endif
    assert_int_equal(mail_loop_poll_run_once(w->self, MAIL_MILLISECOND), MAIL_OK);
}

/* Rounds until `condition` holds; five minutes without it are a failure. */
#define world_until(w, condition)                                                                  \
    do {                                                                                           \
        mail_time limit_ = mail_loop_now((w)->loop) + 5 * MAIL_MINUTE;                             \
                                                                                                   \
        while (!(condition)) {                                                                     \
            world_step(w);                                                                         \
            assert_true(mail_loop_now((w)->loop) < limit_);                                        \
        }                                                                                          \
    } while (0)

/* Some rounds, in which nothing is expected to happen. */
static inline void world_idle(world *w)
{
    for (int i = 0; i < 5; i++) {
        world_step(w);
    }
}

/* While timers are held: the one that was set last to come later, and what sets it. */
static struct {
    mail_loop *loop;
    mail_loop_ops ops;
    const mail_loop_ops *punctual;
    mail_timer *timer;
    mail_time when;
} world_held;

static inline void world_hold_timer(mail_timer *timer, mail_time when)
{
    bool is_due = when <= world_held.punctual->now(world_held.loop);

    if (!is_due) {
        world_held.timer = timer;
        world_held.when = when;
    }
    world_held.punctual->timer_set(timer, is_due ? when : MAIL_NEVER);
}

/* What is to come later waits until world_release_timer, however long the machine takes till then. */
static inline void world_hold_timers(world *w)
{
    world_held.loop = w->loop;
    world_held.punctual = w->loop->ops;
    world_held.ops = *w->loop->ops;
    world_held.ops.timer_set = world_hold_timer;
    w->loop->ops = &world_held.ops;
}

/* The last one that was held comes in its time, and all others again. */
static inline void world_release_timer(world *w)
{
    w->loop->ops = world_held.punctual;
    w->loop->ops->timer_set(world_held.timer, world_held.when);
}

/* Two connected sockets: ours for the code under test, and the peer's. */
static inline void world_pair(int *ours, int *peer)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    *ours = ends[0];
    *peer = ends[1];
}

/* Reads from `fd` until `count` octets have come; keeps the first `size` in `to`. */
static inline void world_hear(world *w, int fd, size_t count, char *to, size_t size)
{
    char bytes[65536];
    size_t have = 0;

    while (have < count) {
        size_t most = count - have < sizeof(bytes) ? count - have : sizeof(bytes);
        ssize_t n = read(fd, bytes, most);

        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < n; i++) {
            if (have + (size_t)i < size) {
                to[have + (size_t)i] = bytes[i];
            }
        }
        have += n > 0 ? (size_t)n : 0;
        if (n < 0) {
            world_step(w);
        }
    }
}

/* A client that types. */

static inline int world_connect(world *w, const mail_endpoint *at)
{
    int fd = w->sockets.ops->connect_tcp(&w->sockets, at);

    assert_true(fd >= 0);
    return fd;
}

static inline void world_says(world *w, int fd, const char *text)
{
    size_t length = strlen(text);
    size_t sent = 0;

    while (sent < length) {
        ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        world_step(w);
    }
}

/* Hears one reply, the last line of which lends until the next one, and asserts its beginning. */
static inline const char *world_hears(world *w, int fd, const char *want)
{
    static char line[1000];

    do {
        size_t length = 0;

        do {
            world_hear(w, fd, 1, line + length, 1);
            length++;
            assert_true(length < sizeof(line));
        } while (line[length - 1] != '\n');
        line[length] = '\0';
    } while (line[3] == '-');
    if (strncmp(line, want, strlen(want)) != 0) {
        fail_msg("wanted %s, heard %s", want, line);
    }
    return line;
}

/* Says `request`, closes its half if it is to, and hears all until the other end closes; so does `fd`. */
static inline void world_converse(world *w, int fd, mail_span request, bool shuts, char *heard,
                                  size_t size)
{
    size_t got = 0;
    ssize_t n = -1;

    while (n != 0 && got < size - 1) {
        if (request.length > 0) {
            n = send(fd, request.data, request.length, MSG_NOSIGNAL);
            request = n < 0 && errno == EPIPE ? (mail_span){0}
                                              : mail_span_from(request, n > 0 ? (size_t)n : 0);
        } else if (shuts) {
            shutdown(fd, SHUT_WR);
        }
        world_step(w);
        n = recv(fd, heard + got, size - 1 - got, 0);
        got += n > 0 ? (size_t)n : 0;
        if (n < 0 && errno != EAGAIN) {
            break;
        }
    }
    heard[got] = '\0';
    close(fd);
}

#endif
