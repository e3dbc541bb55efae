/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SMTP_CONNECTION_H
#define MAIL_SMTP_CONNECTION_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/loop.h>
#include <mail/sink.h>
#include <mail/smtp_client.h>
#include <mail/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An SMTP or LMTP client session on a loop: dialing, TLS, the engine, and the pumping of messages.
 */
typedef struct mail_smtp_connection mail_smtp_connection;

/** Called from the loop; may call anything of this header, destroy included. */
typedef struct mail_smtp_connection_ops {
    /* Greeted, or the last message is through: send or quit. */
    void (*on_ready)(mail_smtp_connection *conn, void *arg);
    /* The message's outcomes stand in mail_smtp_connection_outcome. on_ready or on_closed follows. */
    void (*on_done)(mail_smtp_connection *conn, void *arg);
    /* Over: mail_smtp_connection_failure says why. Destroy it. */
    void (*on_closed)(mail_smtp_connection *conn, void *arg);
    /* Who are we? Required with `client.authenticates`: mail_smtp_connection_authenticate or refuse,
     * now or later. */
    void (*on_auth)(mail_smtp_connection *conn, void *arg);
    /* Is the peer who it should be? Required with MAIL_TLS_VERIFY_ASK: its certificate is that of
     * mail_smtp_connection_tls. mail_smtp_connection_verify or refuse, now or later. */
    void (*on_verify)(mail_smtp_connection *conn, void *arg);
} mail_smtp_connection_ops;

typedef struct mail_smtp_connection_options {
    size_t size; /* MAIL_SMTP_CONNECTION_OPTIONS_INIT */
    mail_smtp_client_options client;
    mail_duration connect_timeout; /* default 30 s */
    mail_tls_context *tls;         /* required where `client.tls` wants any; a reference is kept */
    mail_tls_options session;      /* whom to expect. Not used of it: mem, server, resume */
    mail_tls_cache *cache;         /* of sessions to resume; borrowed until destroy; NULL: none */
    const mail_smtp_connection_ops *ops;
    void *arg;
    const struct mail_sockets *sockets; /* private to libmail's tests */
} mail_smtp_connection_options;

#define MAIL_SMTP_CONNECTION_OPTIONS_INIT                                                          \
    {                                                                                              \
        .size = sizeof(mail_smtp_connection_options), .client = MAIL_SMTP_CLIENT_OPTIONS_INIT,     \
        .session = MAIL_TLS_OPTIONS_INIT                                                           \
    }

/**
 * Starts to connect. What is in `opts` is copied.
 *
 * Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM, MAIL_ESYS; a refused connection comes as on_closed.
 */
MAIL_API int mail_smtp_connection_open(mail_smtp_connection **out, mail_loop *loop,
                                       const mail_endpoint *to,
                                       const mail_smtp_connection_options *opts);

/** The same over a unix socket. */
MAIL_API int mail_smtp_connection_open_unix(mail_smtp_connection **out, mail_loop *loop,
                                            const char *path,
                                            const mail_smtp_connection_options *opts);

/** Closes at once, without callbacks. A message under way is cut off and its source closed. */
MAIL_API void mail_smtp_connection_destroy(mail_smtp_connection *conn);

/**
 * Sends a message; only when ready.
 *
 * Ownership: borrows `envelope` until on_done; takes `body` if it succeeds.
 * Errors: MAIL_EINVAL, MAIL_ENOMEM.
 */
MAIL_API int mail_smtp_connection_send(mail_smtp_connection *conn, const mail_envelope *envelope,
                                       const mail_smtp_content *content, mail_source *body);

/** In on_done: the outcome for recipient `index`. A source that failed makes all TRANSIENT and is_local. */
MAIL_API mail_outcome mail_smtp_connection_outcome(const mail_smtp_connection *conn, size_t index);

/** QUIT, then on_closed. */
MAIL_API void mail_smtp_connection_quit(mail_smtp_connection *conn);

/** Answers on_auth; too late it does nothing, as all answers here. Ownership: copies, and wipes the copy. See mail_smtp_client_authenticate. */
MAIL_API void mail_smtp_connection_authenticate(mail_smtp_connection *conn,
                                                const mail_smtp_credentials *credentials);

/** Answers on_verify: it is. */
MAIL_API void mail_smtp_connection_verify(mail_smtp_connection *conn);

/** Answers on_auth or on_verify: no. The session ends, and `why` is its failure. */
MAIL_API void mail_smtp_connection_refuse(mail_smtp_connection *conn, const mail_reply *why);

/**
 * Why it ended: the peer's reply, or one of ours with 4.4.1 (no connection), 4.4.2 (lost),
 * 4.4.7 (time-out), 4.7.4 (TLS or AUTH not to be had), 4.7.5 (TLS went wrong). Code 0: orderly.
 * Lends until destroy.
 */
MAIL_API mail_reply mail_smtp_connection_failure(const mail_smtp_connection *conn);

/** Whether that is a verdict of ours, not the peer's words. */
MAIL_API bool mail_smtp_connection_failure_is_local(const mail_smtp_connection *conn);

/**
 * Whether it ended over TLS: the handshake failed, or nothing was heard inside. In clear the host
 * may do.
 */
MAIL_API bool mail_smtp_connection_failed_in_tls(const mail_smtp_connection *conn);

/**
 * The TLS session, for its facts and certificates; NULL: in clear, so far. From on_verify on.
 * Ownership: lends until destroy.
 */
MAIL_API const mail_tls *mail_smtp_connection_tls(const mail_smtp_connection *conn);

/** Whether the peer was ever reached and greeted us (false: try the next address at once). */
MAIL_API bool mail_smtp_connection_was_ready(const mail_smtp_connection *conn);

/** What the peer offers; nothing before it has greeted us. Ownership: lends until destroy. */
MAIL_API const mail_smtp_offer *mail_smtp_connection_offer(const mail_smtp_connection *conn);

#ifdef __cplusplus
}
#endif

#endif
