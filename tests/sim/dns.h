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
    unsigned lost;      /* over UDP: the answer never comes */
    unsigned forged;    /* over UDP: a stranger's answers come first */
    unsigned foreign;   /* with a record beside that belongs to another name */
    unsigned changed;   /* from then on it is the other zone */
} sim_dns_faults;

/* Where everything leads that is forged or foreign. */
#define SIM_DNS_EVIL "evil.example"
#define SIM_DNS_EVIL_IP                                                                            \
    {                                                                                              \
        4, {6, 6, 6, 6}, 0                                                                         \
    }

/* The one DNS server of a world, over UDP and TCP, for a zone in the words of dns/fake_zone.h. */
typedef struct sim_dns {
    sim_host host;
    const char *zone;       /* borrowed; may be replaced at any time */
    const char *other_zone; /* what it changes into and back; borrowed; NULL: it stays */
    sim_dns_faults faults;
    sim_actor actor;
    struct sim_fd *listener;
    sim_host evil; /* nobody is to call there */
    sim_actor trap;
    struct sim_fd *trap_listener;
    uint64_t udp_questions;
    uint64_t tcp_questions;
} sim_dns;

/* Makes a host at SIM_DNS_EVIL_IP too, which fails the test when its port 25 is called. */
void sim_dns_start(sim_dns *dns, sim_world *world, mail_ip address, const char *zone);
void sim_dns_stop(sim_dns *dns);

#endif
