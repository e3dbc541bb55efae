/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SERVE_H
#define MAIL_SERVE_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/log.h>
#include <mail/loop.h>
#include <mail/smtp_server.h>
#include <mail/smtp_service.h>
#include <mail/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The easy way to receive mail: a port, and a callback for each message, which is held in
 * memory whole. For large messages, or a say in every command, use `mail_smtp_service`.
 */
typedef struct mail_server mail_server;

/** A message that has come. All of it lends until the callback returns or, after MAIL_EAGAIN, until the answer. */
typedef struct mail_incoming {
    const mail_envelope *envelope;
    mail_span content; /* as sent: CRLF line ends */
    mail_span helo;    /* what the peer calls itself */
    mail_endpoint peer;
    bool in_tls;
    mail_ticket ticket; /* for mail_server_answer */
} mail_incoming;

/**
 * Takes a message: MAIL_OK and it is yours (250); MAIL_EINVAL refuses it for good (554); MAIL_EAGAIN
 * will be answered later by mail_server_answer; anything else refuses it for now (451, or 452 for MAIL_ENOSPC).
 */
typedef int mail_message_fn(const mail_incoming *message, void *arg);

/** Whether mail to `recipient` is taken at all (550 if not). */
typedef bool mail_recipient_fn(const mail_path *recipient, void *arg);

typedef struct mail_serve_options {
    size_t size; /* MAIL_SERVE_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;
    /* `HOST:PORT` with HOST an address; port 0 takes a free one; default 127.0.0.1:2525. */
    const char *listen;
    const char *hostname;            /* in the greeting; default `localhost.localdomain` */
    mail_message_fn *on_message;     /* required */
    mail_recipient_fn *on_recipient; /* default: every recipient */
    void *arg;
    uint64_t max_message_bytes; /* default 10 MiB */
    uint32_t max_sessions;      /* default 1000 */
    mail_bare_newline bare_newline; /* a CR or LF by itself in a message: refused, or made CRLF */
    bool lmtp;
    mail_tls_context *tls; /* STARTTLS is offered with it; NULL: it is not. A reference is kept */
    bool implicit_tls;     /* TLS from the first octet instead; needs `tls` */
} mail_serve_options;

#define MAIL_SERVE_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(mail_serve_options)                                                         \
    }

/**
 * Listens and serves on `loop` until destroyed.
 *
 * Ownership: copies all options but `mem` and `log`, which it borrows.
 * Errors: MAIL_EINVAL for a bad address, or `implicit_tls` without `tls`; MAIL_EBUSY, MAIL_EPERM, MAIL_ESYS, MAIL_ENOMEM.
 */
MAIL_API int mail_serve(mail_server **out, mail_loop *loop, const mail_serve_options *opts,
                        mail_error *err);

/** Other certificates for sessions to come. Ownership: keeps a reference. */
MAIL_API void mail_server_set_tls(mail_server *server, mail_tls_context *context);

/** Where it listens. */
MAIL_API mail_endpoint mail_server_endpoint(const mail_server *server);

/** Answers a message for which the callback gave MAIL_EAGAIN, as the callback would. Errors: MAIL_ECANCELED. */
MAIL_API int mail_server_answer(mail_ticket ticket, int code);

/** Takes no new sessions, lets those at work finish, then calls `fn`. */
MAIL_API void mail_server_drain(mail_server *server, void (*fn)(void *arg), void *arg);

/** Closes everything at once. Tickets that are still out become invalid memory: answer none of them. */
MAIL_API void mail_server_destroy(mail_server *server);

#ifdef __cplusplus
}
#endif

#endif
