/* SPDX-License-Identifier: MIT */
#ifndef MAIL_MX_H
#define MAIL_MX_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/dns.h>
#include <mail/reply.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A host that takes a domain's mail, and where it is. */
typedef struct mail_mx_host {
    const char *name; /* A-labels, lower case, no final dot */
    uint16_t preference;
    const mail_ip *addresses; /* in the order to try; at least one */
    size_t address_count;
    uint32_t ttl; /* seconds for which all of this holds */
} mail_mx_host;

/** Where mail to a domain goes, or why it can't be sent. */
typedef struct mail_mx_verdict {
    mail_reply reply; /* code 0: there are hosts; 556 5.1.10, 550 5.1.2, 451 4.4.3 …: why not */
    const mail_mx_host *hosts; /* in the order to try */
    size_t host_count;
    bool implicit;    /* no MX record: the domain's own address (RFC 5321, section 5.1) */
    bool has_faults;  /* something in the DNS is wrong, though mail can go: `faults` says it */
    mail_span faults; /* one line each, LF between */
} mail_mx_verdict;

/**
 * Finds out where mail to one domain goes (RFC 5321, section 5; RFC 7505), without
 * any socket: says which DNS questions it needs answered, is told the answers, and
 * comes to a verdict.
 *
 *     while (mail_mx_plan_verdict(plan) == NULL) {
 *         while (mail_mx_plan_next(plan, &need)) { … ask for need.name and need.type … }
 *         … as each answer comes: mail_mx_plan_tell(plan, need.number, answer) …
 *     }
 */
typedef struct mail_mx_plan mail_mx_plan;

typedef struct mail_mx_options {
    size_t size; /* MAIL_MX_OPTIONS_INIT */
    const mail_mem *mem;
    mail_span own_hostname; /* MX hosts of that name are us: never sent to; copied */
    const mail_endpoint *own_addresses; /* and so are these, at any port; borrowed until destroy */
    size_t own_address_count;
    bool allow_private; /* hosts may lie on loopback, private and other special addresses */
    bool is_host; /* `domain` is itself the host to send to, as configured: no MX, any address */
    unsigned max_hosts;               /* in the verdict; default 5, at most 25 */
    unsigned max_addresses;           /* of each host; default 2, at most 8 */
    const struct mail_random *random; /* private */
} mail_mx_options;

#define MAIL_MX_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(mail_mx_options)                                                            \
    }

/**
 * Begins a plan for `domain`: a name (U-labels too; a final dot changes nothing) or an
 * address literal. With `is_host` also a bare IP address.
 *
 * Errors: MAIL_ENOMEM. A bad domain is a verdict, not an error.
 */
MAIL_API int mail_mx_plan_create(mail_mx_plan **out, mail_span domain, const mail_mx_options *opts);

MAIL_API void mail_mx_plan_destroy(mail_mx_plan *plan);

/** One thing that a plan must know. */
typedef struct mail_mx_need {
    const char *name; /* lower case; lends until its answer is told */
    mail_dns_type type;
    unsigned number; /* to tell the answer by */
} mail_mx_need;

/**
 * The next question to ask, if there is one now. Each is given out once; they may be
 * asked all at once and answered in any order.
 */
MAIL_API bool mail_mx_plan_next(mail_mx_plan *plan, mail_mx_need *need);

/**
 * Tells the answer to a question that `_next` gave; one of status MAIL_DNS_FAILED if
 * there is none. New questions may come of it.
 *
 * Ownership: copies. Errors: MAIL_ENOMEM, after which the plan can only be destroyed.
 */
MAIL_API int mail_mx_plan_tell(mail_mx_plan *plan, unsigned number, const mail_dns_answer *answer);

/** The verdict, or NULL as long as answers are missing. Ownership: lends until destroy. */
MAIL_API const mail_mx_verdict *mail_mx_plan_verdict(const mail_mx_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
