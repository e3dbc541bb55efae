/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_DNS_EXCHANGE_H
#define LIB_NET_DNS_EXCHANGE_H

#include <mail/dns.h>
#include <mail/loop.h>

#include "base/random.h"
#include "net/socket.h"

/*
 * One question on its way: asked over UDP of one server after the other, each try
 * from a fresh socket with a random port, over TCP where the answer asks for that,
 * until there is an answer or the tries are used up.
 */
typedef struct dns_exchange dns_exchange;

/* What all exchanges of a resolver share; borrowed until they are destroyed. */
typedef struct dns_exchange_config {
    mail_loop *loop;
    const mail_mem *mem;
    const mail_sockets *net;
    const mail_random *random;
    const mail_endpoint *servers; /* at least one */
    size_t server_count;
    size_t preferred;      /* the server that answered last, which is asked first */
    mail_duration timeout; /* for a try */
    unsigned tries;
    bool no_0x20;
} dns_exchange_config;

/*
 * Called once, from the loop. Gives `answer`; NULL: there is none, and `reason`, a
 * static text, says why. The exchange may be destroyed in it.
 */
typedef void dns_exchange_fn(mail_dns_answer *answer, const char *reason, void *arg);

/* `name` is clean. MAIL_ENOMEM, MAIL_ESYS. */
int dns_exchange_create(dns_exchange **out, dns_exchange_config *config, const char *name,
                        mail_dns_type type, dns_exchange_fn *fn, void *arg);

/* NULL does nothing; no callback after it. */
void dns_exchange_destroy(dns_exchange *ex);

#endif
