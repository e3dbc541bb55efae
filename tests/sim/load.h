/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_LOAD_H
#define TESTS_SIM_LOAD_H

#include "sim/ledger.h"
#include "sim/relay.h"
#include "sim/world.h"

/*
 * People who write: each message is brought to a relay by SMTP or LMTP with the library's own
 * client, or dropped there as a file, again and again until it has been taken or refused for good.
 */
typedef struct sim_load {
    sim_world *world;
    sim_ledger *ledger;
    sim_host host;
    sim_loop loop;
    sim_relay *relays;
    unsigned relay_count;
    unsigned begun;
    unsigned done;
    mail_duration spread; /* all messages come within so much */
    sim_event next;
} sim_load;

void sim_load_start(sim_load *load, sim_world *world, sim_ledger *ledger, sim_relay *relays,
                    unsigned relay_count, mail_duration spread);
bool sim_load_is_done(const sim_load *load);

#endif
