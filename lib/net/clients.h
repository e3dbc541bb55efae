/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_CLIENTS_H
#define LIB_NET_CLIENTS_H

#include <mail/address.h>
#include <mail/rate.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/table.h"

/*
 * What is known of the hosts that connect: how many sessions each has, and how often it
 * failed of late. An IPv4 address is a host, and so is an IPv6 /64 network, since that is
 * what one host gets. Hosts of which nothing is left to know are forgotten.
 */
typedef struct net_clients {
    const mail_mem *mem;
    hash_seed seed;
    table by_address;
    list idle;          /* without a session, the one idle for longest first */
    mail_rate failures; /* what a new host is allowed */
} net_clients;

typedef struct net_client {
    table_entry entry;
    list link; /* in `idle` */
    mail_ip key;
    uint32_t sessions;
    mail_rate failures;
} net_client;

/* The address, or the network, that is one host. */
mail_ip net_host_of(const mail_ip *ip);

/* At most `max_failures` in a row, and one more every `interval`. */
void net_clients_init(net_clients *clients, const mail_mem *mem, uint32_t max_failures,
                      mail_duration interval);

/* No host may have a session. */
void net_clients_deinit(net_clients *clients);

/*
 * One more session of `ip`. MAIL_ELIMIT: it has `max_sessions` already; MAIL_ENOMEM.
 * Ownership: lends until net_clients_leave.
 */
int net_clients_enter(net_clients *clients, const mail_ip *ip, mail_time now, uint32_t max_sessions,
                      net_client **out);
void net_clients_leave(net_clients *clients, net_client *client);

/* Whether the host has failed too often to be allowed another try now. */
bool net_client_is_barred(const net_client *client, mail_time now);
void net_client_failed(net_client *client, mail_time now);

#endif
