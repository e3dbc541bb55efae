/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_MX_H
#define TESTS_SIM_MX_H

#include "sim/ledger.h"
#include "sim/world.h"

/* How often a foreign mail host misbehaves, in parts of a million of commands. */
typedef struct sim_mx_faults {
    unsigned transient; /* 4xx, in any phase */
    unsigned permanent; /* 5xx */
    unsigned closes;    /* in the place of a reply */
    unsigned closes_after_dot;
    unsigned silent;      /* no reply, ever */
    unsigned unwelcoming; /* of connections: 421 or 554 for a greeting */
} sim_mx_faults;

typedef enum sim_mx_kind {
    SIM_MX_FULL,  /* knows SMTPUTF8 */
    SIM_MX_PLAIN, /* doesn't, and takes only small messages */
    SIM_MX_LMTP   /* on port 24 */
} sim_mx_kind;

/* A foreign mail host, played by the test: takes mail and says so to the ledger. */
typedef struct sim_mx {
    sim_host host;
    sim_ledger *ledger;
    sim_mx_faults faults;
    bool is_plain;
    bool lmtp;
    sim_actor actor;
    struct sim_fd *listener;
} sim_mx;

void sim_mx_start(sim_mx *mx, sim_world *world, sim_ledger *ledger, sim_mx_kind kind,
                  mail_ip address);
void sim_mx_stop(sim_mx *mx);

#endif
