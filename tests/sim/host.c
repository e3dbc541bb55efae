/* SPDX-License-Identifier: MIT */
/* The hosts of a simulated world: their descriptors, as the library's table of sockets. */
#include "sim/wire.h"

#include <errno.h>
#include <stdlib.h>

#include "support/support.h"

/* Descriptors begin here, so that none is mistaken for a real one. */
#define FIRST_FD 1000

typedef enum fd_kind {
    LISTENER,
    STREAM,
    DATAGRAM
} fd_kind;

typedef struct packet {
    struct packet *next;
    size_t length;
    char data[];
} packet;

typedef struct sim_fd {
    fd_kind kind;
    int number;
    uint64_t serial;
    sim_host *host;
    mail_watch *watch;
    struct sim_end *end;    /* STREAM */
    bool is_call;           /* STREAM to another host, but for questions to the DNS */
    mail_endpoint at;       /* LISTENER: where; DATAGRAM: the peer */
    char path[SIM_PATH];    /* LISTENER on a unix socket */
    const sim_actor *actor; /* LISTENER of the test's own */
    list waiting;           /* LISTENER: ends to accept */
    packet *first;          /* DATAGRAM: to be read */
} sim_fd;

/* A packet on its way back. */
typedef struct udp_answer {
    sim_event event;
    sim_world *world;
    int number;
    uint64_t serial;
    packet *packet;
} udp_answer;

static sim_host *host_of(const mail_sockets *net)
{
    return (sim_host *)(uintptr_t)net;
}

static sim_fd *fd_of(const mail_sockets *net, int number)
{
    const sim_world *world = host_of(net)->world;
    size_t slot = (size_t)(number - FIRST_FD);

    assert_true(number >= FIRST_FD && slot < world->fd_count && world->fds[slot] != NULL);
    return world->fds[slot];
}

static size_t free_slot(sim_world *world)
{
    size_t slot = 0;
    size_t count = world->fd_count > 0 ? world->fd_count * 2 : 64;

    while (slot < world->fd_count && world->fds[slot] != NULL) {
        slot++;
    }
    if (slot == world->fd_count) {
        world->fds = realloc(world->fds, count * sizeof(sim_fd *));
        assert_non_null(world->fds);
        memset(world->fds + slot, 0, (count - slot) * sizeof(sim_fd *));
        world->fd_count = count;
    }
    return slot;
}

static sim_fd *new_fd(sim_host *host, fd_kind kind)
{
    sim_world *world = host->world;
    sim_fd *fd = calloc(1, sizeof(*fd));
    size_t slot = free_slot(world);

    assert_non_null(fd);
    fd->kind = kind;
    fd->number = FIRST_FD + (int)slot;
    fd->serial = ++world->fd_serial;
    fd->host = host;
    list_init(&fd->waiting);
    world->fds[slot] = fd;
    world->fds_open++;
    host->fds++;
    return fd;
}

void sim_fd_set_watch(sim_world *world, int number, mail_watch *watch)
{
    assert_non_null(world->fds[number - FIRST_FD]);
    assert_null(world->fds[number - FIRST_FD]->watch);
    world->fds[number - FIRST_FD]->watch = watch;
}

void sim_fd_unset_watch(sim_world *world, int number, const mail_watch *watch)
{
    sim_fd *fd = world->fds[number - FIRST_FD];

    if (fd != NULL && fd->watch == watch) { /* it may be closed by now */
        fd->watch = NULL;
    }
}

void sim_fd_changed(sim_fd *fd)
{
    if (fd->watch != NULL) {
        sim_watch_check(fd->watch);
    }
}

unsigned sim_fd_ready(const sim_world *world, int number)
{
    const sim_fd *fd = world->fds[number - FIRST_FD];

    if (fd == NULL) {
        return 0;
    }
    switch (fd->kind) {
    case LISTENER:
        return list_is_empty(&fd->waiting) ? 0 : MAIL_READABLE;
    case STREAM:
        return sim_end_ready(fd->end);
    case DATAGRAM:
        return MAIL_WRITABLE | (fd->first != NULL ? MAIL_READABLE : 0);
    }
    return 0;
}

static sim_fd *find_listener(sim_world *world, const mail_endpoint *at)
{
    for (size_t i = 0; i < world->fd_count; i++) {
        sim_fd *fd = world->fds[i];

        if (fd != NULL && fd->kind == LISTENER && fd->path[0] == '\0' && fd->at.port == at->port &&
            mail_ip_equal(&fd->at.ip, &at->ip)) {
            return fd;
        }
    }
    return NULL;
}

static sim_fd *find_unix_listener(const sim_host *host, const char *path)
{
    for (size_t i = 0; i < host->world->fd_count; i++) {
        sim_fd *fd = host->world->fds[i];

        if (fd != NULL && fd->kind == LISTENER && fd->host == host && strcmp(fd->path, path) == 0) {
            return fd;
        }
    }
    return NULL;
}

static sim_host *find_host(const sim_world *world, const mail_ip *ip)
{
    sim_host *host = world->hosts;

    while (host != NULL && !mail_ip_equal(&host->address, ip)) {
        host = host->next;
    }
    return host;
}

int sim_host_called(sim_host *from, const mail_endpoint *at, const char *path, struct sim_end *end)
{
    bool is_unix = path[0] != '\0';
    sim_host *host = is_unix ? from : find_host(from->world, &at->ip);
    sim_fd *listener;

    if (host == NULL || host->is_down) {
        return -EHOSTUNREACH;
    }
    listener = is_unix ? find_unix_listener(host, path) : find_listener(host->world, at);
    if (listener == NULL) {
        return -ECONNREFUSED;
    }
    end->host = host;
    if (listener->actor != NULL) {
        end->actor = listener->actor;
        end->state = listener->actor->arg;
    } else {
        list_push_back(&listener->waiting, &end->waiting);
        sim_fd_changed(listener);
    }
    return 0;
}

uint16_t sim_host_port(sim_host *host)
{
    host->last_port = host->last_port >= 60000 ? 10000 : host->last_port + 1;
    return host->last_port;
}

static int host_connect_tcp(const mail_sockets *net, const mail_endpoint *to)
{
    sim_fd *fd = new_fd(host_of(net), STREAM);

    fd->end = sim_wire_dial(host_of(net), to, "");
    fd->end->fd = fd;
    fd->is_call = to->port != 53;
    fd->host->calls += fd->is_call ? 1 : 0;
    return fd->number;
}

static int host_connect_unix(const mail_sockets *net, const char *path)
{
    const mail_endpoint nowhere = {.port = 0};
    sim_fd *fd = new_fd(host_of(net), STREAM);

    fd->end = sim_wire_dial(host_of(net), &nowhere, path);
    fd->end->fd = fd;
    return fd->number;
}

static int host_connect_result(const mail_sockets *net, int number)
{
    const struct sim_end *end = fd_of(net, number)->end;

    return end->error != 0 ? -end->error : sim_end_is_open(end) ? 0 : -EINPROGRESS;
}

static int host_listen_tcp(const mail_sockets *net, const mail_endpoint *at, unsigned flags,
                           mail_endpoint *bound)
{
    sim_host *host = host_of(net);
    mail_endpoint where = *at;
    sim_fd *fd;

    (void)flags;
    if (where.port == 0) {
        where.port = sim_host_port(host);
    }
    if (find_listener(host->world, &where) != NULL) {
        return -EADDRINUSE;
    }
    fd = new_fd(host, LISTENER);
    fd->at = where;
    if (bound != NULL) {
        *bound = where;
    }
    return fd->number;
}

static int host_listen_unix(const mail_sockets *net, const char *path, unsigned flags)
{
    sim_fd *fd;

    (void)flags;
    if (find_unix_listener(host_of(net), path) != NULL) {
        return -EADDRINUSE;
    }
    fd = new_fd(host_of(net), LISTENER);
    snprintf(fd->path, sizeof(fd->path), "%s", path);
    return fd->number;
}

static bool host_peer_is_us(const mail_sockets *net, int number)
{
    (void)net;
    (void)number;
    return true; /* its programs all run for one user */
}

static int host_accept(const mail_sockets *net, int number, mail_endpoint *peer)
{
    list *link = list_pop_front(&fd_of(net, number)->waiting);
    struct sim_end *end;

    if (link == NULL) {
        return -EAGAIN;
    }
    end = LIST_OWNER(link, struct sim_end, waiting);
    end->fd = new_fd(host_of(net), STREAM);
    end->fd->end = end;
    *peer = end->peer;
    return end->fd->number;
}

static ssize_t read_packet(sim_fd *fd, void *to, size_t size)
{
    packet *first = fd->first;
    size_t n;

    if (first == NULL) {
        return -EAGAIN;
    }
    n = first->length < size ? first->length : size;
    memcpy(to, first->data, n);
    fd->first = first->next;
    free(first);
    return (ssize_t)n;
}

static ssize_t host_read(const mail_sockets *net, int number, void *to, size_t size)
{
    sim_fd *fd = fd_of(net, number);

    return fd->kind == DATAGRAM ? read_packet(fd, to, size) : sim_end_read(fd->end, to, size);
}

static ssize_t host_write(const mail_sockets *net, int number, const void *from, size_t size)
{
    sim_world *world = host_of(net)->world;
    sim_fd *fd = fd_of(net, number);

    if (fd->kind == STREAM) {
        return sim_end_take(fd->end, mail_span_of(from, size));
    }
    if (!sim_chance(world, world->faults.lost) && world->on_packet != NULL && !fd->host->is_down) {
        world->on_packet(world->on_packet_arg, fd, &fd->at, mail_span_of(from, size));
    }
    return (ssize_t)size;
}

static int host_shutdown_write(const mail_sockets *net, int number)
{
    sim_end_shutdown(fd_of(net, number)->end);
    return 0;
}

static void close_fd(sim_fd *fd)
{
    sim_world *world = fd->host->world;
    list *link;

    world->fds[fd->number - FIRST_FD] = NULL;
    world->fds_open--;
    fd->host->fds--;
    fd->host->calls -= fd->is_call ? 1 : 0;
    while ((link = list_pop_front(&fd->waiting)) != NULL) {
        sim_end_refuse(LIST_OWNER(link, struct sim_end, waiting));
    }
    if (fd->kind == STREAM) {
        sim_end_leave(fd->end);
    }
    while (fd->first != NULL) {
        packet *next = fd->first->next;

        free(fd->first);
        fd->first = next;
    }
    free(fd);
}

static void host_close(const mail_sockets *net, int number)
{
    close_fd(fd_of(net, number));
}

static int host_connect_udp(const mail_sockets *net, const mail_endpoint *to)
{
    sim_fd *fd = new_fd(host_of(net), DATAGRAM);

    fd->at = *to;
    return fd->number;
}

void sim_host_init(sim_host *host, sim_world *world, const char *name, mail_ip address)
{
    static const mail_sockets_ops ops = {
        .listen_tcp = host_listen_tcp,
        .listen_unix = host_listen_unix,
        .accept = host_accept,
        .connect_tcp = host_connect_tcp,
        .connect_unix = host_connect_unix,
        .connect_result = host_connect_result,
        .read = host_read,
        .write = host_write,
        .shutdown_write = host_shutdown_write,
        .close = host_close,
        .connect_udp = host_connect_udp,
        .peer_is_us = host_peer_is_us,
    };

    *host = (sim_host){.sockets = {&ops},
                       .world = world,
                       .name = name,
                       .address = address,
                       .last_port = 10000,
                       .next = world->hosts};
    world->hosts = host;
}

struct sim_fd *sim_actor_listen(sim_host *host, uint16_t port, const sim_actor *actor)
{
    sim_fd *fd = new_fd(host, LISTENER);

    fd->at = (mail_endpoint){host->address, port};
    fd->actor = actor;
    return fd;
}

void sim_actor_unlisten(struct sim_fd *listener)
{
    close_fd(listener);
}

static void deliver_answer(void *arg)
{
    udp_answer *answer = arg;
    sim_fd *fd = answer->world->fds[answer->number - FIRST_FD];

    if (fd != NULL && fd->serial == answer->serial && !fd->host->is_down) {
        packet **last = &fd->first;

        while (*last != NULL) {
            last = &(*last)->next;
        }
        *last = answer->packet;
        sim_fd_changed(fd);
    } else {
        free(answer->packet);
    }
    free(answer);
}

void sim_udp_answer(struct sim_fd *to, const mail_endpoint *from, mail_span bytes,
                    mail_duration delay)
{
    udp_answer *answer;

    if (from->port != to->at.port || !mail_ip_equal(&from->ip, &to->at.ip)) {
        return;
    }
    answer = calloc(1, sizeof(*answer));
    assert_non_null(answer);
    answer->packet = calloc(1, sizeof(packet) + bytes.length);
    assert_non_null(answer->packet);
    answer->packet->length = bytes.length;
    memcpy(answer->packet->data, bytes.data, bytes.length);
    answer->world = to->host->world;
    answer->number = to->number;
    answer->serial = to->serial;
    answer->event = (sim_event){.fn = deliver_answer, .arg = answer};
    sim_event_set(answer->world, &answer->event, answer->world->now + delay);
}
