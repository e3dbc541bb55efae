/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_DNS_H
#define TESTS_SIM_DNS_H

#include "sim/world.h"

/* How often the server misbehaves, in parts of a million of questions. */
typedef struct sim_dns_faults {
    unsigned servfail;
    unsigned truncated; /* over UDP: ask again over TCP */
    unsigned nxdomain;  /* a lie, but only about names that end in `.changing.example` */
    unsigned late;      /* seconds late */
} sim_dns_faults;

/* The one DNS server of a world, over UDP and TCP, for a zone in the words of dns/fake_zone.h. */
typedef struct sim_dns {
    sim_host host;
    const char *zone; /* borrowed; may be replaced at any time */
    sim_dns_faults faults;
    sim_actor actor;
    struct sim_fd *listener;
    uint64_t udp_questions;
    uint64_t tcp_questions;
} sim_dns;

void sim_dns_start(sim_dns *dns, sim_world *world, mail_ip address, const char *zone);
void sim_dns_stop(sim_dns *dns);

#endif
