/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_CLIENTS_H
#define LIB_NET_CLIENTS_H

#include <mail/address.h>

#include "base/hash.h"
#include "base/table.h"

/*
 * How many sessions each host has. An IPv4 address is a host, and so is an IPv6 /64 network, since
 * that is what one host gets.
 */
typedef struct net_clients {
    const mail_mem *mem;
    hash_seed seed;
    table by_address;
} net_clients;

typedef struct net_client {
    table_entry entry;
    mail_ip key;
    uint32_t sessions;
} net_client;

/* The address, or the network, that is one host. */
mail_ip net_host_of(const mail_ip *ip);

void net_clients_init(net_clients *clients, const mail_mem *mem);

/* No host may have a session. */
void net_clients_deinit(net_clients *clients);

/*
 * One more session of `ip`. MAIL_ELIMIT: it has `max_sessions` already; MAIL_ENOMEM.
 * Ownership: lends until net_clients_leave.
 */
int net_clients_enter(net_clients *clients, const mail_ip *ip, uint32_t max_sessions,
                      net_client **out);
void net_clients_leave(net_clients *clients, net_client *client);

#endif
