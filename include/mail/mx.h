/* SPDX-License-Identifier: MIT */
#ifndef MAIL_MX_H
#define MAIL_MX_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/reply.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A host that takes a domain's mail, and where it is. */
typedef struct mail_mx_host {
    const char *name;     /* A-labels, lower case, no final dot */
    uint16_t preference;
    const mail_ip *addresses; /* in the order to try; at least one */
    size_t address_count;
    uint32_t ttl;         /* seconds for which all of this holds */
} mail_mx_host;

/** Where mail to a domain goes, or why it can't be sent. */
typedef struct mail_mx_verdict {
    mail_reply reply; /* code 0: there are hosts; 556 5.1.10, 550 5.1.2, 451 4.4.3 …: why not */
    const mail_mx_host *hosts; /* in the order to try */
    size_t host_count;
    bool implicit;      /* no MX record: the domain's own address (RFC 5321, section 5.1) */
    bool has_faults;    /* something in the DNS is wrong, though mail can go: `faults` says it */
    mail_span faults;   /* one line each, LF between */
} mail_mx_verdict;

#ifdef __cplusplus
}
#endif

#endif
