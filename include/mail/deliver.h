/* SPDX-License-Identifier: MIT */
#ifndef MAIL_DELIVER_H
#define MAIL_DELIVER_H

#include <mail/base.h>
#include <mail/credentials.h>
#include <mail/log.h>
#include <mail/loop.h>
#include <mail/metrics.h>
#include <mail/queue.h>
#include <mail/resolver.h>
#include <mail/route.h>
#include <mail/smtp_client.h>
#include <mail/store.h>
#include <mail/tls.h>
#include <mail/tls_policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The delivery agent: takes from a queue what is due, brings it where the routes say, tells the
 * queue what became of each recipient, and queues reports to senders.
 *
 * It belongs to the loop's thread, which is also the thread that the queue belongs to.
 */
typedef struct mail_deliver mail_deliver;

/**
 * Finds the mailbox of a local address. MAIL_OK: `path` names it in the store. MAIL_ENOENT: there
 * is no such user; anything else defers the message. Called on the loop's thread.
 */
typedef int mail_mailbox_of_fn(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE],
                               void *arg);

/** What came of one recipient in one try. Texts lend for the call. */
typedef struct mail_delivery {
    const char *queue_id;
    mail_span recipient;
    mail_outcome_kind kind; /* ACCEPTED, TRANSIENT, PERMANENT or AMBIGUOUS */
    bool is_final;          /* it will not be tried again */
    mail_reply reply;       /* what decided */
    mail_span host;         /* which host and address said so, or which mailbox it is in */
} mail_delivery;

/** Called on the loop's thread; must not destroy the agent. */
typedef void mail_delivery_fn(const mail_delivery *delivery, void *arg);

typedef struct mail_deliver_options {
    size_t size; /* MAIL_DELIVER_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;
    mail_queue *queue;       /* required; its `on_due` must call mail_deliver_wake */
    mail_resolver *resolver; /* for MX and host names; NULL: only addresses can be reached */
    mail_span hostname;      /* required: in EHLO and reports; copied */
    uint16_t smtp_port;      /* of MX hosts; default 25 */
    uint32_t max_out;        /* connections in all; default 1000 */
    uint32_t max_out_per_destination; /* default 20 */
    mail_duration connect_timeout;    /* default 30 s */
    mail_duration max_timeout;        /* upper bound of every phase; 0: RFC 5321, 4.5.3.2 */
    mail_duration idle;               /* how long an unused connection is kept; default 5 s */
    mail_duration backoff;            /* of a host after its first failure; default 1 min … */
    mail_duration backoff_max;        /* … doubling up to; default 1 h */
    mail_store *store; /* for local delivery; used by workers until the loop has none under way */
    mail_mailbox_of_fn *mailbox_of; /* required with `store` */
    void *mailbox_arg;
    mail_duration give_up; /* of the queue: senders are told until when it is tried; 0: not */
    uint32_t max_local;    /* mailboxes written at a time; default 16 */
    mail_delivery_fn *on_delivery; /* told of every try; may be NULL */
    void *delivery_arg;
    bool no_reports;              /* senders are told by other means than mail */
    uint64_t max_return_bytes;    /* of a message returned in full with a report; default 64 KiB */
    mail_wall (*wall)(void *arg); /* NULL: CLOCK_REALTIME */
    void *wall_arg;
    const struct mail_sockets *sockets; /* private to libmail's tests */
    mail_metrics *metrics; /* where it counts; NULL: nowhere. Borrowed until destroy */
    const struct mail_random *random;   /* private to libmail's tests: NULL is the system's */
    mail_duration gather; /* how long a report waits for the message's other recipients; 5 s */
} mail_deliver_options;

#define MAIL_DELIVER_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(mail_deliver_options)                                                       \
    }

/**
 * Creates the agent and lets it begin.
 *
 * Ownership: borrows queue, resolver and log until destroy, and the store until then and until the
 * loop has no work under way; takes `routes` if it succeeds.
 * Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM, MAIL_ESYS.
 */
MAIL_API int mail_deliver_create(mail_deliver **out, mail_loop *loop, mail_route_table *routes,
                                 const mail_deliver_options *opts);

/**
 * Ends it at once: connections are closed, and what was under way counts as not tried. To do so
 * politely, drain first.
 */
MAIL_API void mail_deliver_destroy(mail_deliver *agent);

/** There may be something due. From any thread. */
MAIL_API void mail_deliver_wake(mail_deliver *agent);

/** What becomes of mail to `domain` now. Ownership: lends until other routes are set. */
MAIL_API const mail_nexthop *mail_deliver_route(const mail_deliver *agent, mail_span domain);

/** Other routes from now on. Ownership: takes `routes`. */
MAIL_API void mail_deliver_set_routes(mail_deliver *agent, mail_route_table *routes);

/**
 * TLS for what goes out, from the next connection on: `context` has the trust, and a certificate if we
 * have one to show, to next hops that routes name and never to hosts that the DNS names; NULL: no TLS can
 * be had, and what may go without does. `policies` say how much is wanted; NULL: `may` for all. Before the
 * first call mail goes in clear.
 *
 * Mail with REQUIRETLS goes to hosts that have proved their name, whatever the policy.
 *
 * Ownership: keeps a reference of `context`; takes `policies`.
 */
MAIL_API void mail_deliver_set_tls(mail_deliver *agent, mail_tls_context *context,
                                   mail_tls_policy_table *policies);

/** Who we are to which next hop, from the next connection on. Ownership: takes `credentials`. */
MAIL_API void mail_deliver_set_credentials(mail_deliver *agent,
                                           mail_credentials_table *credentials);

/**
 * Takes nothing more from the queue, lets what is under way come to its end and closes the
 * connections; then calls `fn`, never inside this call.
 */
MAIL_API void mail_deliver_drain(mail_deliver *agent, void (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
