/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SMTP_SERVICE_H
#define MAIL_SMTP_SERVICE_H

#include <mail/base.h>
#include <mail/limits.h>
#include <mail/log.h>
#include <mail/login.h>
#include <mail/loop.h>
#include <mail/metrics.h>
#include <mail/sink.h>
#include <mail/smtp_server.h>
#include <mail/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * SMTP sessions on a loop: listeners, connections, engines, and one policy that
 * answers the engines' questions.
 */
typedef struct mail_smtp_service mail_smtp_service;

/** What the policy may know of a session, which lends as a whole for the call. `user` is the policy's own. */
typedef struct mail_smtp_session {
    mail_endpoint peer;
    bool peer_is_unix; /* by a unix socket: `peer` means nothing */
    mail_span helo;    /* as last given; empty: none yet */
    bool esmtp;
    bool lmtp;
    const mail_tls_facts *tls; /* NULL: in clear */
    mail_span authenticated;   /* as whom it may act, after AUTH; empty: nobody */
    uint64_t serial;           /* unique within the service */
    void *listener_arg;
    void *user;
} mail_smtp_session;

/**
 * Called from the loop for each event but STARTTLS and, where there are accounts, AUTH, which the
 * service answers itself, BODY, which goes to the sink, and END, which the sink's
 * `finish` answers (without a sink, and after mail_smtp_service_take_asking, it comes too).
 * For a question use `ticket` at once or keep it for later. `session` lends until EV_CLOSE, which
 * is a session's last event and comes exactly once: free `session->user` there. The service must
 * not be destroyed from inside.
 */
typedef void mail_smtp_service_fn(mail_smtp_session *session, mail_ticket ticket,
                                  const mail_smtp_event *ev, void *arg);

typedef struct mail_smtp_service_options {
    size_t size; /* MAIL_SMTP_SERVICE_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;
    mail_smtp_service_fn *on_event; /* NULL: every question gets its ordinary answer */
    /* The reply to the end of a message whose sink failed with `code`, lent for the call: what
     * the policy has found in it. Unset or NULL: 452 4.3.1 for MAIL_ENOSPC, 552 5.3.4 for
     * MAIL_ELIMIT, 451 4.3.0 otherwise. */
    const mail_reply *(*refusal)(mail_smtp_session *session, int code, void *arg);
    void *arg;
    /* Past `sessions` 421 4.3.2 and close; past what a client or network may have 421 4.7.0 and
     * close; past a rate of messages or recipients 450 4.7.1 to MAIL or RCPT. */
    mail_limits limits;
    bool share_ports; /* more services of this user may listen on the ports, a thread each */
    /* Peers of listeners that must say first for whom they speak (PROXY protocol, versions 1 and
     * 2): what they say is the `peer` from then on. Copied; default: nobody may. */
    const mail_network *proxy_from;
    size_t proxy_count;
    mail_metrics *metrics;   /* where limits that were met are counted; NULL: nowhere. Borrowed */
    mail_accounts *accounts; /* who may log in by AUTH; referenced. NULL: see `login` */
    /* How logins are judged; copied. With neither this nor accounts EV_AUTH is the policy's; with
     * them listeners offer of their `auth_mechanisms` those that can succeed. */
    const mail_login_options *login;
    const struct mail_sockets *sockets; /* private to libmail's tests */
} mail_smtp_service_options;

#define MAIL_SMTP_SERVICE_OPTIONS_INIT                                                             \
    {                                                                                              \
        .size = sizeof(mail_smtp_service_options)                                                  \
    }

/** Errors: MAIL_ENOMEM; MAIL_EINVAL for an unknown size, bad `login` options or bad `limits`. */
MAIL_API int mail_smtp_service_create(mail_smtp_service **out, mail_loop *loop,
                                      const mail_smtp_service_options *opts);

/**
 * Closes all sessions at once (each gives EV_ABORT or EV_RESET, if it must, and EV_CLOSE) and all
 * listeners. Messages whose `finish` is under way are finished; nobody is told any more.
 */
MAIL_API void mail_smtp_service_destroy(mail_smtp_service *service);

/**
 * The certificates of sessions to come; those under way keep theirs (SIGHUP). From now on
 * listeners offer STARTTLS if their `engine` options say so. Must not be NULL. If it asks clients for
 * certificates, whose are verified may log in by EXTERNAL as the e-mail address in them, where that is
 * among the `auth_mechanisms`.
 *
 * Ownership: keeps a reference of `context`.
 */
MAIL_API void mail_smtp_service_set_tls(mail_smtp_service *service, mail_tls_context *context);

/** Other accounts for logins to come, where there were some. Ownership: keeps a reference. */
MAIL_API void mail_smtp_service_set_accounts(mail_smtp_service *service, mail_accounts *accounts);

/**
 * Listens on `endpoint` (port 0: a free one), with an engine of `engine` options for
 * each session (copied, `hostname` too). `*bound` (optional) is where.
 *
 * Errors: MAIL_EBUSY address in use; MAIL_EINVAL: bad engine options, `implicit_tls` and no TLS was set,
 * or LMTP on port 25; MAIL_EPERM; MAIL_ESYS; MAIL_ENOMEM.
 */
MAIL_API int mail_smtp_service_listen(mail_smtp_service *service, const mail_endpoint *endpoint,
                                      const mail_smtp_server_options *engine, void *listener_arg,
                                      mail_endpoint *bound, mail_error *err);

/** The same on a unix socket; a dead one left behind is replaced. */
MAIL_API int mail_smtp_service_listen_unix(mail_smtp_service *service, const char *path,
                                           const mail_smtp_server_options *engine,
                                           void *listener_arg, mail_error *err);

/** The same on a socket that listens already; see <mail/listen.h>. Ownership: takes `fd`, in any case. */
MAIL_API int mail_smtp_service_listen_fd(mail_smtp_service *service, int fd,
                                         const mail_smtp_server_options *engine, void *listener_arg,
                                         mail_error *err);

/**
 * Serves a connected socket, from the loop's next round on.
 *
 * Ownership: takes `fd`, non-blocking, if it succeeds.
 * Errors: MAIL_EINVAL for bad engine options; MAIL_ELIMIT past a limit; MAIL_ENOMEM; MAIL_ESYS.
 */
MAIL_API int mail_smtp_service_adopt(mail_smtp_service *service, int fd,
                                     const mail_smtp_server_options *engine, void *listener_arg);

/**
 * Answers a question; `reply` NULL: the ordinary positive answer. Nothing is called back from inside.
 *
 * Errors: MAIL_ECANCELED; MAIL_ENOMEM (the session ends).
 */
MAIL_API int mail_smtp_service_answer(mail_ticket ticket, const mail_reply *reply);

/** Answers EV_AUTH, as mail_smtp_server_answer_auth. Errors: MAIL_ECANCELED; MAIL_ENOMEM. */
MAIL_API int mail_smtp_service_answer_auth(mail_ticket ticket, const mail_sasl_answer *answer);

/**
 * Answers EV_DATA with yes: the message goes into `sink`. Its `finish` answers END: 250 2.0.0 and
 * `accepted` (text without codes, copied; empty: `OK`), or what `refusal` says when it, or a write before it,
 * failed. In LMTP the one verdict holds for every recipient. The service aborts the sink when the
 * message breaks off; after that the policy still gets EV_ABORT.
 *
 * Errors: in each the sink has been aborted. MAIL_ECANCELED; MAIL_ENOMEM (451 4.3.0 was answered).
 */
MAIL_API int mail_smtp_service_take(mail_ticket ticket, mail_sink *sink, mail_span accepted);

/**
 * The same for a policy that words the verdict itself, as LMTP wants for each recipient: once the
 * message is whole the sink is the policy's again, to finish or abort, and EV_END is asked, in
 * LMTP once a recipient (`index`). A sink that failed before is aborted, and every
 * recipient answered by `refusal` without asking.
 */
MAIL_API int mail_smtp_service_take_asking(mail_ticket ticket, mail_sink *sink);

/** Sessions open now. */
MAIL_API size_t mail_smtp_service_sessions(const mail_smtp_service *service);

/**
 * Stops listening and ends each session (421 4.3.2) once its message under way is through; calls
 * `fn` from the loop when no session is left and no `finish` under way.
 */
MAIL_API void mail_smtp_service_drain(mail_smtp_service *service, void (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
