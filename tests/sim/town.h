/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_TOWN_H
#define TESTS_SIM_TOWN_H

#include "sim/ledger.h"
#include "sim/relay.h"

/*
 * The hosts of worlds that chance makes: h0.example, h1.example and so on, each its own domain
 * with the users user0 to user7, of whom `list` is some, here and at the neighbour's, and
 * `forward` one of the neighbour's.
 */
#define TOWN_USERS 8

/* No relay takes a larger message. */
#define TOWN_MAX_BYTES ((size_t)200 << 10)

typedef struct sim_town_host {
    sim_ledger *ledger;
    unsigned index;
    char name[32];
    mail_span domain;
    char aliases[256];
    char accounts[1024];
} sim_town_host;

/* Host `index` of `count`, and what its relay is to be. The host is not to be moved. */
void sim_town_host_init(sim_town_host *host, sim_ledger *ledger, unsigned index, unsigned count,
                        sim_relay_options *out);

mail_ip sim_town_address(unsigned index);

#endif
