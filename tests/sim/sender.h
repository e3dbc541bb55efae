/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_SENDER_H
#define TESTS_SIM_SENDER_H

#include <mail/envelope.h>
#include <mail/smtp_client.h>

#include "sim/world.h"

/*
 * Somebody with a message to bring to a host: by the library's own client, again and again
 * until every recipient has been taken or refused for good.
 */
typedef struct sim_sender sim_sender;

typedef struct sim_sender_options {
    sim_loop *loop;
    sim_host *from;
    mail_endpoint to;
    bool lmtp;
    bool has_utf8;                 /* in its text: SMTPUTF8 is needed */
    const mail_envelope *envelope; /* copied */
    mail_span content;             /* borrowed until the end */
    /* What came of recipient `index` in one try. */
    void (*on_outcome)(size_t index, const mail_outcome *outcome, void *arg);
    /* A try came to nothing at all, and why; may be NULL. */
    void (*on_lost)(const mail_reply *why, void *arg);
    void (*on_over)(void *arg); /* nothing is left to be done; the sender is gone */
    void *arg;
} sim_sender_options;

sim_sender *sim_sender_start(const sim_sender_options *opts);

/* Before it is over: it comes to nothing more. */
void sim_sender_stop(sim_sender *sender);

#endif
