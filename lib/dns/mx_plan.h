/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_MX_PLAN_H
#define LIB_DNS_MX_PLAN_H

#include <mail/mx.h>

#include "base/buffer.h"

/* Inside a plan: what mx_plan.c gathers and mx_verdict.c judges. */

enum {
    MX_HOSTS_MAX = 25,
    MX_ADDRESSES_MAX = 8,
    MX_CANDIDATES_FACTOR = 4 /* so many times `max_hosts` are looked up before giving up */
};

typedef enum mx_query_state {
    MX_QUERY_IDLE, /* not needed yet */
    MX_QUERY_TO_ASK,
    MX_QUERY_ASKED,
    MX_QUERY_TOLD
} mx_query_state;

typedef struct mx_query {
    mx_query_state state;
    mail_dns_type type;
    unsigned aliases;            /* followed so far */
    char name[MAIL_DOMAIN_SIZE]; /* what is asked for: the candidate, or where an alias led */
} mx_query;

/* The families in the order in which their addresses take turns. */
enum {
    MX_V6,
    MX_V4,
    MX_FAMILIES
};

typedef struct mx_addresses {
    mx_query query;
    mail_ip ips[MX_ADDRESSES_MAX];
    size_t count;
} mx_addresses;

/* A host that mail may go to, if it turns out well. */
typedef struct mx_candidate {
    char name[MAIL_DOMAIN_SIZE];
    uint16_t preference;
    uint32_t ttl;
    mx_addresses family[MX_FAMILIES];
    const char *failure; /* why one of the questions has no answer; static */
    mail_ip refused;     /* one of `refused_count` addresses that policy refuses */
    size_t refused_count;
    bool is_alias;
    bool is_missing; /* no such name */
    bool is_own;     /* by one of its addresses */
} mx_candidate;

struct mail_mx_plan {
    mail_mx_options opts; /* with the defaults filled in */
    char domain[MAIL_DOMAIN_SIZE];
    char own_name[MAIL_DOMAIN_SIZE];
    mx_query mx;
    mx_candidate *candidates; /* in the order to try */
    size_t candidate_count;
    size_t asked; /* of the candidates, from the first on */
    bool has_own; /* our own name was among the hosts, which cut the list */
    buffer text;  /* of the reply */
    buffer faults;
    mail_mx_host *hosts;
    mail_ip *addresses;
    size_t address_count; /* allocated */
    mail_mx_verdict verdict;
    bool is_settled;
};

/* Adds a line to the faults, of which the first few suffice. MAIL_ENOMEM. */
int mx_fault(mail_mx_plan *plan, const char *format, ...) MAIL_PRINTF(2, 3);

/* Settles on why mail can't go; `reply` with no text gets the one formatted. MAIL_ENOMEM. */
int mx_refuse(mail_mx_plan *plan, mail_reply reply, const char *format, ...) MAIL_PRINTF(3, 4);

/* The policy on addresses (MX-016); also for address literals. */
bool mx_address_is_refused(const mail_mx_plan *plan, const mail_ip *ip);
bool mx_address_is_own(const mail_mx_plan *plan, const mail_ip *ip);

/* All questions are answered: settles the verdict. MAIL_ENOMEM. */
int mx_settle(mail_mx_plan *plan);

#endif
