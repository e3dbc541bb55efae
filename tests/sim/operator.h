/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_OPERATOR_H
#define TESTS_SIM_OPERATOR_H

#include "sim/ledger.h"
#include "sim/relay.h"
#include "sim/world.h"

/*
 * People who look into the queues of relays, each through the socket of its host, and hold,
 * release, remove or hurry what they find there: by id, by domain, or all of it. Nothing is held
 * longer than a few hours, and in the end nothing at all.
 */
typedef struct sim_operators {
    sim_world *world;
    sim_ledger *ledger;
    sim_relay *relays;
    unsigned relay_count;
    mail_duration pause;         /* between two of them, about; 0: nobody comes */
    mail_time freed[SIM_RELAYS]; /* when all was last released there */
    unsigned left;               /* relays where all is still to be released; at the end */
    bool is_over;
    unsigned open;    /* visits */
    unsigned changed; /* messages, as far as the queues say so */
    sim_event next;
} sim_operators;

void sim_operators_start(sim_operators *ops, sim_world *world, sim_ledger *ledger,
                         sim_relay *relays, unsigned relay_count, mail_duration pause);

/* From now on they only release all there is. */
void sim_operators_stop(sim_operators *ops);
bool sim_operators_are_done(const sim_operators *ops);

#endif
