/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_QUOTAS_H
#define LIB_NET_QUOTAS_H

#include <mail/address.h>
#include <mail/limits.h>
#include <mail/metrics.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/table.h"

/* An IPv6 host has a whole /64 network of addresses to come from: that is one client. */
mail_ip net_host_of(const mail_ip *ip);

/* What stood in the way of a client. */
typedef enum net_limit {
    NET_LIMIT_NONE,
    NET_LIMIT_SESSIONS,         /* of all clients */
    NET_LIMIT_CLIENT_SESSIONS,  /* of one */
    NET_LIMIT_NETWORK_SESSIONS, /* of one network */
    NET_LIMIT_CONNECTIONS,      /* too many of late */
    NET_LIMIT_MESSAGES,         /* likewise */
    NET_LIMIT_RECIPIENTS,       /* likewise */
    NET_LIMIT_SESSION,          /* what one session may do */
    NET_LIMIT_TIME,             /* it was too slow */
    NET_LIMIT_MANNERS,          /* it spoke too early, or another protocol */
    NET_LIMIT_PROXY,            /* no good PROXY header */
    NET_LIMITS
} net_limit;

/* For the log. */
const char *net_limit_text(net_limit limit);

/* How often each was met, as `libmail_limited_total`. */
typedef struct net_limit_measure {
    mail_metric *met[NET_LIMITS];
} net_limit_measure;

/* MAIL_ENOMEM. */
int net_limit_measure_init(net_limit_measure *measure, mail_metrics *metrics);

/* What is used up by and by. */
typedef enum net_resource {
    NET_CONNECTIONS,
    NET_MESSAGES,
    NET_RECIPIENTS,
    NET_RESOURCES
} net_resource;

typedef enum net_party {
    NET_CLIENT,
    NET_NETWORK,
    NET_ACCOUNT,
    NET_PARTIES
} net_party;

/*
 * What clients, networks and accounts use, and have used of late. A party is known by a hash of 64
 * bits with a secret seed: nobody can choose an address or a name that is another's. It is
 * forgotten once it has no session and all its buckets are full again. Those that are not yet
 * are bounded in number: the one left alone for longest makes room.
 */
typedef struct net_quotas {
    const mail_mem *mem;
    hash_seed seed;
    table by_key;
    list idle; /* without a session, the one left alone for longest first */
    size_t idle_count;
    uint32_t max_sessions[NET_PARTIES];
    mail_rate fresh[NET_PARTIES][NET_RESOURCES]; /* interval 0: no limit */
} net_quotas;

typedef struct net_usage {
    table_entry entry; /* its hash is the key */
    list link;         /* in `idle` */
    net_party party;
    uint32_t sessions;
    mail_time full_at[NET_RESOURCES];
} net_usage;

/* One session's share in it; all NULL: it is not counted. */
typedef struct net_guest {
    net_usage *usage[NET_PARTIES];
} net_guest;

/* MAIL_EINVAL for a rate that mail_rate_init refuses. */
int net_quotas_init(net_quotas *quotas, const mail_mem *mem, const mail_limits *limits);

/* There may be no session. A zeroed struct will do. */
void net_quotas_deinit(net_quotas *quotas);

/*
 * One more session of `ip`; `*limit` is what forbids it, else NET_LIMIT_NONE and `*guest` is to
 * leave. MAIL_ENOMEM.
 */
int net_quotas_enter(net_quotas *quotas, const mail_ip *ip, mail_time now, net_guest *guest,
                     net_limit *limit);
void net_quotas_leave(net_quotas *quotas, net_guest *guest);

/* From now on it acts for `account`; empty: for nobody. Without memory it stays the client's. */
void net_quotas_log_in(net_quotas *quotas, net_guest *guest, mail_span account);

/* Takes one of a resource, of the account's if there is one; false: it is used up. */
bool net_quotas_take(const net_quotas *quotas, const net_guest *guest, net_resource resource,
                     mail_time now);

#endif
