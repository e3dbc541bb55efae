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
    unsigned silent; /* no reply, ever */
} sim_mx_faults;

/* A foreign mail host, played by the test: takes mail and says so to the ledger. */
typedef struct sim_mx {
    sim_host host;
    sim_ledger *ledger;
    sim_mx_faults faults;
    sim_actor actor;
    struct sim_fd *listener;
} sim_mx;

void sim_mx_start(sim_mx *mx, sim_world *world, sim_ledger *ledger, mail_ip address);
void sim_mx_stop(sim_mx *mx);

#endif
