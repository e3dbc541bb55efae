/* SPDX-License-Identifier: MIT */
#ifndef MAIL_RECEIVE_H
#define MAIL_RECEIVE_H

#include <mail/accounts.h>
#include <mail/address.h>
#include <mail/aliases.h>
#include <mail/base.h>
#include <mail/deliver.h>
#include <mail/limits.h>
#include <mail/log.h>
#include <mail/login.h>
#include <mail/loop.h>
#include <mail/metrics.h>
#include <mail/queue.h>
#include <mail/route.h>
#include <mail/smtp_server.h>
#include <mail/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A relay's front: SMTP and LMTP listeners whose sessions put messages into a queue, and the
 * policy that says which. Mail is taken for the local domains from anybody and for other
 * domains from those that may relay and from users that have logged in; so long as nobody may
 * or can, it is no relay at all.
 *
 * A user may send as itself, that is by the addresses of its account and by each alias that
 * leads to one of them; that goes for MAIL FROM and for all in From and Sender.
 */
typedef struct mail_receive mail_receive;

/** Whether there is a mailbox for an address of a local domain, or of one with the next hop LOCAL. */
typedef bool mail_has_user_fn(const mail_path *address, void *arg);

/**
 * What becomes of mail to a domain; NULL: not known. Ownership: lends until the reply to the
 * recipient is given.
 */
typedef const mail_nexthop *mail_route_of_fn(mail_span domain, void *arg);

typedef struct mail_receive_options {
    size_t size; /* MAIL_RECEIVE_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;
    mail_queue *queue;              /* required */
    mail_span hostname;             /* required: in greetings and Received; copied */
    const mail_span *local_domains; /* copied; the first one completes addresses without domain */
    size_t local_count;
    const mail_network *relay_from; /* copied; unix sockets count as 127.0.0.1; default: nobody */
    size_t relay_count;
    bool accept_all; /* any recipient, from anybody: for capturing mail that goes nowhere */
    mail_has_user_fn *has_user; /* NULL: every local part exists */
    void *user_arg;
    mail_route_of_fn *route_of; /* what leads to an error, or to no mailbox here, is refused at once */
    void *route_arg;
    mail_accounts *accounts; /* who may log in; referenced. NULL: those that `login` knows, if any */
    const mail_login_options *login; /* as in mail_smtp_service_options */
    bool auth_insecure; /* users may log in without TLS: who reads along knows their passwords */
    mail_smtp_server_options engine; /* for all listeners; names, `lmtp` and TLS are set here */
    uint32_t max_received;           /* Received fields before it must be a loop; default 100 */
    mail_limits limits;              /* as in mail_smtp_service_options */
    const mail_network *proxy_from;  /* likewise */
    size_t proxy_count;
    mail_wall (*wall)(void *arg); /* NULL: CLOCK_REALTIME */
    void *wall_arg;
    mail_metrics *metrics;              /* where it counts; NULL: nowhere. Borrowed until destroy */
    const struct mail_sockets *sockets; /* private to libmail's tests */
    const struct mail_files *files;     /* private to libmail's tests: of `drop` */
} mail_receive_options;

#define MAIL_RECEIVE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(mail_receive_options), .engine = MAIL_SMTP_SERVER_OPTIONS_INIT              \
    }

/** Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM, MAIL_ESYS. */
MAIL_API int mail_receive_create(mail_receive **out, mail_loop *loop,
                                 const mail_receive_options *opts);

/** Cuts all sessions off and stops listening. */
MAIL_API void mail_receive_destroy(mail_receive *rcv);

/** What a listener is for. */
typedef enum mail_receive_kind {
    MAIL_RECEIVE_SMTP,       /* other hosts, and users that log in */
    MAIL_RECEIVE_LMTP,       /* what hands in mail for delivery, and hears of each recipient */
    MAIL_RECEIVE_SUBMISSION, /* users only, after STARTTLS; headers are completed (RFC 6409) */
    MAIL_RECEIVE_SUBMISSIONS /* the same with TLS from the first octet (RFC 8314) */
} mail_receive_kind;

/**
 * Listens. Errors and `bound` as mail_smtp_service_listen; MAIL_EINVAL also for a listener for
 * users where nobody can log in.
 */
MAIL_API int mail_receive_listen(mail_receive *rcv, const mail_endpoint *endpoint,
                                 mail_receive_kind kind, mail_endpoint *bound, mail_error *err);
MAIL_API int mail_receive_listen_unix(mail_receive *rcv, const char *path, mail_receive_kind kind,
                                      mail_error *err);

/** The same on a socket that listens already; see <mail/listen.h>. Ownership: takes `fd`, in any case. */
MAIL_API int mail_receive_listen_fd(mail_receive *rcv, int fd, mail_receive_kind kind,
                                    mail_error *err);

/**
 * The certificates of sessions to come: from now on STARTTLS is offered to them. Those under way
 * keep theirs. Must not be NULL. If it asks clients for certificates, users may log in by them.
 * Ownership: keeps a reference.
 */
MAIL_API void mail_receive_set_tls(mail_receive *rcv, mail_tls_context *context);

/** Other accounts from now on, where there were some. Ownership: keeps a reference. */
MAIL_API void mail_receive_set_accounts(mail_receive *rcv, mail_accounts *accounts);

/**
 * Takes what other programs drop into `spool` (<mail/drop.h>), the queue's own: at once when they
 * say so through its socket `control`, and once a second in any case. Operators are served there
 * too (<mail/control.h>). What is longer than `engine.max_message_bytes` is reported to its sender, or
 * set aside where nobody can be told.
 *
 * Errors: those of mail_smtp_service_listen_unix; MAIL_ENOMEM.
 */
MAIL_API int mail_receive_watch_drop(mail_receive *rcv, const char *spool, mail_error *err);

/**
 * Tells programs that wait for a message which they have dropped what came of a recipient: to be called
 * from `on_delivery` of <mail/deliver.h>.
 */
MAIL_API void mail_receive_tell(mail_receive *rcv, const mail_delivery *delivery);

/** Other aliases from now on; NULL: none. Ownership: takes. */
MAIL_API void mail_receive_set_aliases(mail_receive *rcv, mail_aliases *aliases);

/** Sessions open now. */
MAIL_API size_t mail_receive_sessions(const mail_receive *rcv);

/** Stops listening, lets messages under way come through; then calls `fn`. */
MAIL_API void mail_receive_drain(mail_receive *rcv, void (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
