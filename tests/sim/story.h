/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_STORY_H
#define TESTS_SIM_STORY_H

#include "sim/dns.h"
#include "sim/ledger.h"
#include "sim/load.h"
#include "sim/mx.h"
#include "sim/operator.h"
#include "sim/reader.h"
#include "sim/relay.h"
#include "sim/town.h"
#include "sim/world.h"

#define STORY_HOSTS SIM_RELAYS

/* What of a world goes wrong; may be combined. */
enum {
    STORY_NET = 1,
    STORY_DNS = 2,
    STORY_PEERS = 4,
    STORY_DISKS = 8,
    STORY_CRASHES = 16,
    STORY_CLOCKS = 32,
    STORY_MEMORY = 64,
    STORY_OPERATORS = 128,
    STORY_ALL = 255
};

typedef struct story_options {
    uint64_t seed;
    unsigned hosts;
    unsigned messages;
    mail_duration length; /* of the time in which things go wrong */
    unsigned faults;
    mail_tls_context *tls; /* of all hosts; no two such worlds are the same; NULL: none */
    void (*trace)(void *arg, const char *line);
    void *trace_arg;
} story_options;

/* What came of it. */
typedef struct story_result {
    uint64_t trace_sum;
    uint64_t steps;
    unsigned delivered, reported, dropped, vanished, duplicates;
    unsigned crashes, starved, sessions, fetched, removed;
    unsigned changed;   /* by operators */
    unsigned encrypted; /* hops that a host of ours took by TLS */
    mail_duration took; /* in the world */
} story_result;

/*
 * Plays a world from its beginning until nothing is left to be done, and asserts at the end
 * that every promise was kept.
 */
void story_play(const story_options *opts, story_result *out);

#endif
