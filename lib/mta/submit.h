/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_SUBMIT_H
#define LIB_MTA_SUBMIT_H

#include <mail/header.h>
#include <mail/reply.h>
#include <mail/sasl.h>
#include <mail/sink.h>

#include "mta/receive.h"

/* A header that is longer is refused: it is held in memory, as nothing else of a message is. */
#define SUBMIT_HEADER_MAX ((size_t)256 * 1024)

/*
 * A sink in front of another: the message of a user that has logged in. Its header is held until
 * it is whole, then, in a submission service, completed (RFC 6409, section 8) and, as it goes
 * out, judged (who may say that a message is from whom?). The body streams through behind it.
 *
 *   HOLDS_HEADER --header whole--> POURS --all poured--> PASSES
 */
typedef enum submit_state {
    SUBMIT_HOLDS_HEADER,
    SUBMIT_POURS, /* what was held goes into the inner sink as it has room */
    SUBMIT_PASSES
} submit_state;

typedef struct submit {
    mail_sink sink; /* for the writer */
    const mail_receive *rcv;
    mail_sink *inner; /* NULL: no message is under way */
    submit_state state;
    bool completes;
    bool is_finishing;
    int code;                  /* why it is good for nothing any more */
    const mail_reply *refusal; /* of the header; NULL: it was not that */
    mail_scan scan;
    mail_sink_memory held;
    size_t poured;
    mail_finish_fn *fn; /* of the writer, while what is held goes first */
    void *arg;
    char user[MAIL_SASL_NAME_MAX + 1];
    char from[MAIL_PATH_MAX + 1]; /* where From is missing */
} submit;

submit *submit_create(const mail_receive *rcv);

/* Its writer is gone: gives up what is under way. */
void submit_destroy(submit *sb);

/* What is wrong with the header of the message that has just failed; NULL: it was not that. */
const mail_reply *submit_refusal(const submit *sb);

/*
 * Begins a message of `user` into `inner`, which is its own from now on; its own sink is
 * `sb->sink`. `sender` is of the envelope, already judged. `completes`: it is submitted.
 */
void submit_begin(submit *sb, mail_sink *inner, mail_span user, mail_span sender, bool completes);

#endif
