/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LIMITS_H
#define MAIL_LIMITS_H

#include <mail/rate.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How much of a service its clients may use, each for itself. A client is an IPv4 address or an
 * IPv6 /64 network; a network is an IPv4 /24 or an IPv6 /48; an account is who has logged in.
 * Unix sockets are held to `sessions` alone, and so is loopback unless that is wished otherwise.
 *
 * Rates are buckets: `burst` at once, and one more every `interval`. An `interval` of 0 means the
 * default, one below 0 no limit. Who has met a limit is told to try again later: each service says
 * in which words.
 */
typedef struct mail_limits {
    uint32_t sessions;                     /* in all, of everybody; default 10000 */
    uint32_t sessions_per_client;          /* default 200 */
    uint32_t sessions_per_network;         /* default 1000 */
    bool includes_loopback;                /* hold loopback to all of it */
    mail_rate_options client_connections;  /* default 1200 a minute */
    mail_rate_options network_connections; /* default 6000 a minute */
    mail_rate_options client_messages;     /* of those not logged in; default 30000 in 10 minutes */
    mail_rate_options client_recipients;   /* likewise; default 100000 in 10 minutes */
    mail_rate_options account_messages;    /* from everywhere; default 3000 an hour */
    mail_rate_options account_recipients;  /* likewise; default 10000 an hour */
} mail_limits;

#ifdef __cplusplus
}
#endif

#endif
