/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "sim/world.h"

#include <sys/types.h>

#include "base/buffer.h"

/*
 * Connections. Each has two ends; what one writes travels as segments, each with its time of
 * arrival, into what the other has to read. Room at the writer comes back when the reader
 * reads: a window. What will go wrong is drawn when a connection is made, so that the story
 * of one does not hang on another.
 */
typedef struct sim_wire sim_wire;
typedef struct sim_segment sim_segment;

struct sim_end {
    sim_wire *wire;
    sim_host *host;
    mail_endpoint peer;
    struct sim_fd *fd;      /* NULL: closed, not accepted yet, or an actor's */
    const sim_actor *actor; /* NULL: a descriptor's */
    void *state;            /* the actor's */
    bool closed;            /* by its owner */
    bool ended;             /* nothing more will come */
    int error;              /* what its owner sees: ECONNREFUSED, ECONNRESET, … */
    list waiting;           /* in its listener's list */
    buffer in;              /* to be read */
    sim_segment *first;     /* on their way to it */
    sim_segment **last;
    mail_time last_due;
    size_t under_way;  /* octets of them */
    sim_event arrival; /* of the first */
};

/* Begins to connect, to `to` or to the unix socket `path` if that is not empty; the end that asked. It is released by sim_end_leave. */
struct sim_end *sim_wire_dial(sim_host *host, const mail_endpoint *to, const char *path);

bool sim_end_is_open(const struct sim_end *end);

/* As read(2) and write(2), or -errno. */
ssize_t sim_end_read(struct sim_end *end, void *to, size_t size);
ssize_t sim_end_take(struct sim_end *end, mail_span bytes);
void sim_end_shutdown(struct sim_end *end);

/* MAIL_READABLE, MAIL_WRITABLE. */
unsigned sim_end_ready(const struct sim_end *end);

/* Its owner has gone: what was sent still arrives, then the end. */
void sim_end_leave(struct sim_end *end);

/* An end that waited to be accepted is not going to be. */
void sim_end_refuse(struct sim_end *end);

/* host.c: `from` calls `at`, or its own unix socket `path`; 0 or -errno. */
int sim_host_called(sim_host *from, const mail_endpoint *at, const char *path, struct sim_end *end);

#endif
