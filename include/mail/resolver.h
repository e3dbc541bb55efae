/* SPDX-License-Identifier: MIT */
#ifndef MAIL_RESOLVER_H
#define MAIL_RESOLVER_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/loop.h>
#include <mail/mx.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Asks DNS servers, over UDP and TCP, on a loop, with a cache. Stub resolver: it believes
 * the servers it is given, as far as their packets are sound.
 */
typedef struct mail_resolver mail_resolver;

struct mail_random;
struct mail_sockets;

/** Where a DNS server listens that is known by its address alone. */
#define MAIL_RESOLVER_PORT 53

typedef struct mail_resolver_options {
    size_t size; /* MAIL_RESOLVER_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_endpoint *servers; /* copied; none: those of /etc/resolv.conf, else 127.0.0.1:53 */
    size_t server_count;
    mail_duration timeout;  /* for one try; default 3 s */
    unsigned tries;         /* over all servers in turn; default 4 */
    bool no_0x20;           /* do not vary the case of names (RFC 5452 and draft-vixie-dns-0x20) */
    uint32_t cache_entries; /* default 10000 */
    uint32_t ttl_min, ttl_max;          /* seconds; default 5 and 86400 */
    uint32_t negative_ttl_max;          /* seconds; default 300 */
    mail_span own_hostname;             /* for MX-007: hosts of that name are us; copied */
    const mail_endpoint *own_addresses; /* and so are these (port ignored); copied */
    size_t own_address_count;
    bool allow_private;                 /* let MX hosts lie on loopback and private addresses */
    unsigned max_hosts;                 /* default 5 */
    unsigned max_addresses;             /* of each host; default 2 */
    unsigned max_questions;             /* on the way at once, each with a socket; default 256 */
    const char *resolv_conf;            /* private: in the place of /etc/resolv.conf */
    const struct mail_sockets *sockets; /* private: in the place of the system's network */
    const struct mail_random *random;   /* private */
} mail_resolver_options;

#define MAIL_RESOLVER_OPTIONS_INIT                                                                 \
    {                                                                                              \
        .size = sizeof(mail_resolver_options)                                                      \
    }

/**
 * Makes a resolver that lives on `loop`'s thread.
 *
 * Ownership: borrows `loop` until destroyed. Errors: MAIL_ENOMEM; MAIL_EINVAL for
 * TTL bounds that cross; MAIL_ESYS from the loop.
 */
MAIL_API int mail_resolver_create(mail_resolver **out, mail_loop *loop,
                                  const mail_resolver_options *opts);

/** Destroys it, lookups under way included, without a verdict; also from a `mail_mx_fn`. */
MAIL_API void mail_resolver_destroy(mail_resolver *resolver);

/** One search for hosts under way. */
typedef struct mail_lookup mail_lookup;

/** Called once, from the loop. `verdict` lends for the call. */
typedef void mail_mx_fn(const mail_mx_verdict *verdict, void *arg);

/**
 * Finds the hosts for mail to `domain`: a domain name (U-labels too) or address
 * literal. `*out` (optional) serves to cancel and is gone once `fn` is called. `fn` never runs inside this call.
 *
 * Errors: MAIL_ENOMEM. A bad name is a verdict, not an error.
 */
MAIL_API int mail_resolver_mx(mail_resolver *resolver, mail_span domain, mail_mx_fn *fn, void *arg,
                              mail_lookup **out);

/** The same for a host named as smart host: its addresses, no MX. Private addresses are allowed. */
MAIL_API int mail_resolver_host(mail_resolver *resolver, mail_span host, mail_mx_fn *fn, void *arg,
                                mail_lookup **out);

/** No verdict will come. Not from its own `mail_mx_fn`: it is gone by then. */
MAIL_API void mail_lookup_cancel(mail_lookup *lookup);

#ifdef __cplusplus
}
#endif

#endif
