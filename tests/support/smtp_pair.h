/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SMTP_PAIR_H
#define TESTS_SMTP_PAIR_H

#include <mail/smtp_client.h>
#include <mail/smtp_server.h>

#include "base/buffer.h"

/*
 * The client engine and the server engine, talking to one another in memory. Octets
 * move in slices of the size that `slice` says, in both directions and into the body.
 *
 * The server takes everything, but for recipients whose address begins with `no`. TLS
 * begins where both want it, and is not done; a client that must authenticate is `ann`, by
 * certificate if nothing else is offered.
 */
typedef struct smtp_pair {
    mail_smtp_client *client;
    mail_smtp_server *server;
    size_t (*slice)(void *arg, size_t most); /* from 1 to `most` */
    void *arg;
    buffer to_server;
    buffer to_client;
    buffer received;   /* the message, as the server saw it */
    unsigned count;    /* of messages that were received whole */
    mail_span message; /* what is still to be written */
    bool wants_tls;
    bool is_writing;
    bool is_ready;
    bool is_done;
    bool is_closed;
} smtp_pair;

/* Both greet; NULL, or what went wrong. */
const char *smtp_pair_open(smtp_pair *pair, const mail_smtp_client_options *client,
                           const mail_smtp_server_options *server,
                           size_t (*slice)(void *arg, size_t most), void *arg);

/* Sends a message; the outcomes are the client's then. NULL, or what went wrong. */
const char *smtp_pair_send(smtp_pair *pair, const mail_envelope *envelope,
                           const mail_smtp_content *content, mail_span message);

/* Quits. NULL, or what went wrong. */
const char *smtp_pair_quit(smtp_pair *pair);

void smtp_pair_close(smtp_pair *pair);

#endif
