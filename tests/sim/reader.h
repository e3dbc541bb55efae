/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_READER_H
#define TESTS_SIM_READER_H

#include "sim/ledger.h"
#include "sim/world.h"

/* People who read: by POP3, now and then, some of whom break off in the middle. */
typedef struct sim_readers {
    sim_world *world;
    sim_ledger *ledger;
    sim_host host;
    unsigned relays;
    mail_duration pause; /* between two sessions */
    unsigned open;
    unsigned sessions;
    unsigned fetched;
    unsigned removed;
    bool is_over; /* no new sessions */
    sim_event next;
} sim_readers;

void sim_readers_start(sim_readers *readers, sim_world *world, sim_ledger *ledger, unsigned relays,
                       mail_duration pause);
void sim_readers_stop(sim_readers *readers);

#endif
