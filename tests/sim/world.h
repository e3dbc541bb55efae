/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mail/address.h>
#include <mail/base.h>
#include <mail/loop.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/random.h"
#include "net/socket.h"

/*
 * A simulated world: one virtual clock, one source of chance, one order of
 * events. Everything that happens in it is an event, so that the same seed
 * plays the same story to the octet. Nothing here knows of mail.
 */
typedef struct sim_world sim_world;
struct sim_fd;
struct sim_end;

/* Something that will happen. Embedded in what it happens to; not moved while it is set. */
typedef struct sim_event {
    heap_entry due;
    void (*fn)(void *arg);
    void *arg;
} sim_event;

/* How often the network misbehaves, in parts of a million of connections, writes or packets. */
typedef struct sim_net_faults {
    unsigned refused;    /* of connections */
    unsigned unanswered; /* of connections: nothing ever comes back */
    unsigned reset;      /* of connections: at some octet */
    unsigned stalled;    /* of connections: at some octet all falls silent, both ways */
    unsigned dribbled;   /* of connections: octet by octet */
    unsigned cut;        /* of writes: only a part is taken */
    unsigned deaf; /* of connections: at some octet one end hears no more, the other one does */
    unsigned
        slow; /* of connections: from a hundred kilobytes down to a few hundred octets a second */
    unsigned distant; /* of connections: seconds away */
    unsigned lost;    /* of packets */
} sim_net_faults;

struct sim_world {
    mail_time now;
    uint64_t seed;
    uint64_t chance[4];
    mail_random random; /* the library's */
    heap events;
    list ready;          /* of watches */
    mail_watch *running; /* whose callback runs now */
    struct sim_fd **fds;
    size_t fd_count; /* slots */
    size_t fds_open;
    size_t watches, timers, bells, works; /* alive */
    list wires;
    sim_net_faults faults;
    uint64_t steps;
    uint64_t fd_serial; /* descriptors made so far */
    uint64_t trace_sum; /* of all that was traced: equal sums, equal stories */
    void (*trace)(void *arg, const char *line);
    void *trace_arg;
    /* Called for each UDP packet sent; answers with sim_udp_answer. */
    void (*on_packet)(void *arg, struct sim_fd *from, const mail_endpoint *to, mail_span packet);
    void *on_packet_arg;
    struct sim_host *hosts; /* those with a network, a list */
};

void sim_world_init(sim_world *world, uint64_t seed);

/* Asserts that nothing is left over. */
void sim_world_deinit(sim_world *world);

/* Does the next thing, moving the clock if need be; false: nothing will ever happen. */
bool sim_world_step(sim_world *world);

/* Runs until `until` or until `stop` says true; the clock then stands at `until` or where it stopped. */
void sim_world_run(sim_world *world, mail_time until, bool (*stop)(void *arg), void *arg);

void sim_event_set(sim_world *world, sim_event *event, mail_time when);
void sim_event_unset(sim_world *world, sim_event *event);

/* Since it began, and what a right calendar says. */
mail_duration sim_elapsed(const sim_world *world);
mail_wall sim_wall(const sim_world *world);

uint64_t sim_below(sim_world *world, uint64_t below);
bool sim_chance(sim_world *world, unsigned per_million);

/* One line of the story: hashed always, printed if somebody listens. */
void sim_trace(sim_world *world, const char *format, ...) MAIL_PRINTF(2, 3);

/* A loop on the world's clock. */
typedef struct sim_loop {
    mail_loop loop;
    sim_world *world;
    mail_duration work_min; /* how long work takes */
    mail_duration work_max;
    size_t works;       /* under way */
    unsigned no_memory; /* of a million of watches, timers, bells and works: there is none */
} sim_loop;

void sim_loop_init(sim_loop *loop, sim_world *world);

/* The longest name of a unix socket, with its NUL. */
#define SIM_PATH 64

/* A machine on the simulated network. */
typedef struct sim_host {
    mail_sockets sockets;
    sim_world *world;
    struct sim_host *next;
    const char *name;
    mail_ip address;
    bool is_down; /* nothing answers, nothing leaves */
    size_t fds;   /* open */
    size_t calls; /* of them to other hosts by TCP, but for questions to the DNS */
    uint16_t last_port;
} sim_host;

void sim_host_init(sim_host *host, sim_world *world, const char *name, mail_ip address);

/* A free port of it. */
uint16_t sim_host_port(sim_host *host);

/*
 * The network side of a crash: its own descriptors fail from now on. Its peers see a reset or,
 * `silently`, nothing, until they send to it after it has come up again.
 */
void sim_host_cut(sim_host *host, bool silently);

/* An end of a connection that is played by the test. */
typedef struct sim_actor {
    /* Connected: what is to be its state. */
    void *(*on_open)(struct sim_end *end, void *arg);
    /* Takes all of `bytes`; may write, and close, which ends all calls. */
    void (*on_bytes)(struct sim_end *end, mail_span bytes, void *state);
    /* The other end has closed or the connection is lost, or (state is arg) never was. */
    void (*on_end)(void *state);
    void *arg;
} sim_actor;

/* Serves a port of `host` by `actor`. */
struct sim_fd *sim_actor_listen(sim_host *host, uint16_t port, const sim_actor *actor);
void sim_actor_unlisten(struct sim_fd *listener);

/* Calls `to`, or a unix socket of its own host. */
struct sim_end *sim_actor_dial_unix(sim_host *host, const char *path, const sim_actor *actor);
struct sim_end *sim_actor_dial(sim_host *host, const mail_endpoint *to, const sim_actor *actor);

void sim_end_write(struct sim_end *end, mail_span bytes);
void sim_end_close(struct sim_end *end);

/*
 * Answers a UDP packet, after `delay`, to the descriptor that sent it if that still lives. Being
 * connected, it gets nothing that comes `from` elsewhere than it sent to.
 */
void sim_udp_answer(struct sim_fd *to, const mail_endpoint *from, mail_span packet,
                    mail_duration delay);

/* Inside: what a descriptor is ready for, and that it may have changed. */
unsigned sim_fd_ready(const sim_world *world, int fd);
void sim_fd_changed(struct sim_fd *fd);
void sim_fd_set_watch(sim_world *world, int fd, mail_watch *watch);
void sim_fd_unset_watch(sim_world *world, int fd, const mail_watch *watch);
void sim_watch_check(mail_watch *watch);
void sim_watch_run(mail_watch *watch);
mail_watch *sim_watch_of_link(list *link);

#endif
