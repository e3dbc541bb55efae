/* SPDX-License-Identifier: MIT */
#ifndef MAIL_POP3_SERVICE_H
#define MAIL_POP3_SERVICE_H

#include <mail/accounts.h>
#include <mail/address.h>
#include <mail/base.h>
#include <mail/limits.h>
#include <mail/log.h>
#include <mail/login.h>
#include <mail/loop.h>
#include <mail/metrics.h>
#include <mail/pop3_server.h>
#include <mail/store.h>
#include <mail/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * POP3 sessions on a loop: listeners, connections, engines, and between them and a
 * store what may block, passwords and files, on the loop's workers.
 */
typedef struct mail_pop3_service mail_pop3_service;

typedef struct mail_pop3_service_options {
    size_t size;             /* MAIL_POP3_SERVICE_OPTIONS_INIT */
    const mail_mem *mem;     /* thread-safe */
    const mail_log *log;     /* thread-safe */
    mail_store *store;       /* required; borrowed until destroy */
    mail_accounts *accounts; /* who may log in; referenced. NULL only where `login` asks the embedder */
    const mail_login_options *login; /* NULL: all defaults; copied */
    const char *mail_dir; /* below it mailboxes have their usual place; default `.`; copied */
    bool auth_insecure;   /* passwords without TLS from everywhere, not only from loopback */
    mail_limits limits;   /* those of sessions and connections; past them -ERR and close */
    const mail_network *proxy_from; /* as in mail_smtp_service_options */
    size_t proxy_count;
    mail_metrics *metrics; /* where it counts; NULL: nowhere. Borrowed until destroy */
    const struct mail_sockets *sockets; /* private to libmail's tests */
} mail_pop3_service_options;

#define MAIL_POP3_SERVICE_OPTIONS_INIT                                                             \
    {                                                                                              \
        .size = sizeof(mail_pop3_service_options)                                                  \
    }

/** Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM. */
MAIL_API int mail_pop3_service_create(mail_pop3_service **out, mail_loop *loop,
                                      const mail_pop3_service_options *opts);

/**
 * Frees a service without sessions: one that never had any, or after drain has called back.
 * Its listeners are closed.
 */
MAIL_API void mail_pop3_service_destroy(mail_pop3_service *service);

/**
 * The certificates of sessions to come; those under way keep theirs (SIGHUP). From now on
 * listeners offer STLS if their `engine` options say so. Must not be NULL. If it asks clients for
 * certificates, whose are verified may log in by EXTERNAL as the e-mail address in them.
 *
 * Ownership: keeps a reference of `context`.
 */
MAIL_API void mail_pop3_service_set_tls(mail_pop3_service *service, mail_tls_context *context);

/**
 * Listens on `endpoint` (port 0: a free one), with an engine of `engine` options for each
 * session (copied, `hostname` too). `*bound` (optional) is where. Mechanisms and APOP are offered
 * only if every account can use them, so that no client chooses one in vain; no
 * `auth_mechanisms` means all of those but CRAM-MD5. `auth_in_clear` is added on
 * loopback, and with `auth_insecure` everywhere; `auth_disguise` is set here.
 *
 * Errors: MAIL_EBUSY address in use; MAIL_EINVAL for bad engine options, or `implicit_tls` and no TLS
 * was set; MAIL_EPERM; MAIL_ESYS; MAIL_ENOMEM.
 */
MAIL_API int mail_pop3_service_listen(mail_pop3_service *service, const mail_endpoint *endpoint,
                                      const mail_pop3_server_options *engine, mail_endpoint *bound,
                                      mail_error *err);

/** The same on a socket that listens already; see <mail/listen.h>. Ownership: takes `fd`, in any case. */
MAIL_API int mail_pop3_service_listen_fd(mail_pop3_service *service, int fd,
                                         const mail_pop3_server_options *engine, mail_error *err);

/**
 * Serves a connected socket, from the loop's next round on.
 *
 * Ownership: takes `fd`, non-blocking, if it succeeds.
 * Errors: MAIL_EINVAL for bad engine options; MAIL_ELIMIT past a limit; MAIL_ENOMEM; MAIL_ESYS.
 */
MAIL_API int mail_pop3_service_adopt(mail_pop3_service *service, int fd,
                                     const mail_pop3_server_options *engine);

/** From the next login on these accounts count. Ownership: keeps a reference. */
MAIL_API void mail_pop3_service_set_accounts(mail_pop3_service *service, mail_accounts *accounts);

/** Sessions open now, those included of which only work on files is left. */
MAIL_API size_t mail_pop3_service_sessions(const mail_pop3_service *service);

/**
 * Stops listening and ends each session between two commands, without removing what it has
 * marked; calls `fn` from the loop when none is left.
 */
MAIL_API void mail_pop3_service_drain(mail_pop3_service *service, void (*fn)(void *arg), void *arg);

/** Closes all connections at once. Work on files that has begun is finished all the same. */
MAIL_API void mail_pop3_service_cut(mail_pop3_service *service);

#ifdef __cplusplus
}
#endif

#endif
