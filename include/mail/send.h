/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SEND_H
#define MAIL_SEND_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/log.h>
#include <mail/loop.h>
#include <mail/reply.h>
#include <mail/smtp_client.h>
#include <mail/tls.h>
#include <mail/tls_policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The easy way to send mail: one message, any number of recipients, each tried once, at all hosts
 * that take its domain's mail; one result a recipient. What fails for now is not kept: for that
 * there is `mail_queue`.
 */
typedef struct mail_sending mail_sending;

/**
 * What became of one recipient. A `kind` of TRANSIENT goes with any reply, also 535, where the fault
 * is one that somebody may mend: a password that is refused, a certificate that is not trusted.
 */
typedef struct mail_send_result {
    mail_span recipient;
    mail_outcome_kind kind; /* UNTRIED: time was up before there was a verdict */
    mail_reply reply;       /* what decided */
    mail_span host;         /* which host and address said so; empty: we ourselves */
} mail_send_result;

/** The results in the order of the envelope's recipients. */
typedef struct mail_send_results mail_send_results;

/** How many there are: one a recipient. */
MAIL_API size_t mail_send_results_count(const mail_send_results *results);

/** Result `index`. Ownership: lends until the results are destroyed. */
MAIL_API mail_send_result mail_send_results_at(const mail_send_results *results, size_t index);

/** Whether every recipient was accepted. */
MAIL_API bool mail_send_results_are_good(const mail_send_results *results);
MAIL_API void mail_send_results_destroy(mail_send_results *results);

typedef struct mail_send_options {
    size_t size; /* MAIL_SEND_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;
    const char *hostname;         /* ours, in EHLO; default: gethostname */
    const char *smart_host;       /* `HOST:PORT[,HOST:PORT…]` for everything; default: by MX */
    const mail_endpoint *servers; /* DNS; default: the system's */
    size_t server_count;
    uint16_t smtp_port;      /* of MX hosts; default 25 */
    bool allow_private;      /* MX hosts on loopback and private addresses may be used */
    mail_duration timeout;   /* for all of it; default 10 min */
    mail_tls_level tls;      /* default: where the host offers it */
    mail_tls_context *trust; /* whom to believe; a reference is kept. NULL: the system's list, read
                                anew for each message */
    const char *user; /* who we are to the smart host, which must be verified before it is told … */
    const char *password;
    const char *auth; /* … or `USER,SOURCE`, as in mail_credentials_table_add */
} mail_send_options;

#define MAIL_SEND_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(mail_send_options)                                                          \
    }

/** Called once, from the loop. `results` lends for the call. */
typedef void mail_send_fn(const mail_send_results *results, void *arg);

/**
 * Sends `message` (wire form, CRLF line ends: see mail_draft_compose) to the recipients of `envelope`;
 * both are copied.
 *
 * Errors: MAIL_EINVAL for no recipients, what is no address, or a bad smart host; MAIL_ENOMEM, MAIL_ESYS.
 * What the network says is a result.
 */
MAIL_API int mail_send(mail_sending **out, mail_loop *loop, const mail_envelope *envelope,
                       mail_span message, const mail_send_options *opts, mail_send_fn *fn,
                       void *arg, mail_error *err);

/** Breaks it off; `fn` is not called. Not needed after `fn`, nor allowed. */
MAIL_API void mail_sending_cancel(mail_sending *sending);

/** The same, waiting for the results; needs no loop. Ownership: gives `*out`. */
MAIL_API int mail_send_wait(mail_send_results **out, const mail_envelope *envelope,
                            mail_span message, const mail_send_options *opts, mail_error *err);

#ifdef __cplusplus
}
#endif

#endif
