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
 * Loopback and unix sockets are held to none of it, unless the service is told so.
 *
 * Rates are buckets: `burst` at once, and one more every `interval`. An `interval` of 0 means the
 * default, one below 0 no limit. Who has used up a rate is told to try again later.
 */
typedef struct mail_limits {
    uint32_t sessions_per_network;         /* default 1000 */
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
