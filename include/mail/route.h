/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ROUTE_H
#define MAIL_ROUTE_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/reply.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What becomes of mail to a domain. */
typedef enum mail_nexthop_kind {
    MAIL_NEXTHOP_MX,      /* sent to the hosts that the DNS names */
    MAIL_NEXTHOP_SMTP,    /* sent to `hosts`, smart hosts */
    MAIL_NEXTHOP_LMTP,    /* handed to `hosts` by LMTP */
    MAIL_NEXTHOP_LOCAL,   /* delivered into a mailbox here */
    MAIL_NEXTHOP_DISCARD, /* taken and thrown away */
    MAIL_NEXTHOP_HOLD,    /* kept in the queue, as held, until the route is another */
    MAIL_NEXTHOP_ERROR    /* refused with `reply` */
} mail_nexthop_kind;

/** `mx`, `smtp`, `lmtp`, `local`, `discard`, `hold`, `error`. */
MAIL_API const char *mail_nexthop_kind_name(mail_nexthop_kind kind);

/** One of the hosts of a next hop, in the order to try. */
typedef struct mail_nexthop_host {
    const char *name; /* a host name in lower case and A-labels, an IP address, or a path */
    mail_ip ip;       /* of an IP address; family 0: `name` has to be resolved */
    uint16_t port;    /* 0: `name` is the path of a unix socket */
} mail_nexthop_host;

/** Where mail to a domain goes next. */
typedef struct mail_nexthop {
    mail_nexthop_kind kind;
    const mail_nexthop_host *hosts; /* SMTP, LMTP: at least one */
    size_t host_count;
    mail_reply reply; /* ERROR */
    mail_span text;   /* as it was written: names it in the log; equal texts, equal next hops */
} mail_nexthop;

/**
 * The rules that say where mail goes, by recipient domain. The first one that matches wins.
 *
 * A pure value: once filled it may be read from any thread.
 */
typedef struct mail_route_table mail_route_table;

/** An empty table. Errors: MAIL_ENOMEM. */
MAIL_API int mail_route_table_create(mail_route_table **out, const mail_mem *mem);
MAIL_API void mail_route_table_destroy(mail_route_table *table);

/**
 * Appends a rule `PATTERN=NEXTHOP`. PATTERN is a domain (or address literal), `.domain` (all
 * below it, not itself) or `*`. NEXTHOP is one of
 *
 *     mx   local   discard   hold   error:CODE TEXT
 *     HOST:PORT[,HOST:PORT…]   lmtp:HOST:PORT[,…]   lmtp:unix:PATH
 *
 * where HOST is a name, an IPv4 address or an IPv6 address in brackets, several are tried in
 * order, and TEXT may begin with an enhanced status code of CODE's class.
 *
 * Errors: MAIL_EINVAL, with the reason in `err`; MAIL_ENOMEM.
 */
MAIL_API int mail_route_table_add(mail_route_table *table, mail_span rule, mail_error *err);

/**
 * The next hop for `domain` (any form, empty too), or NULL when no rule matches.
 *
 * Ownership: lends until the table is destroyed.
 */
MAIL_API const mail_nexthop *mail_route_table_find(const mail_route_table *table, mail_span domain);

#ifdef __cplusplus
}
#endif

#endif
