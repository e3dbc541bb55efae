/* SPDX-License-Identifier: MIT */
#ifndef LIB_SASL_SERVER_H
#define LIB_SASL_SERVER_H

#include <mail/sasl.h>

#include "base/buffer.h"
#include "sasl/scram.h"
#include "sasl/text.h"

/*
 *   EXPECT_FIRST ──> (EXPECT_PASSWORD, LOGIN) ──> AWAIT_ANSWER ──> (EXPECT_PROOF, SCRAM)
 *                                                      │                  │
 *                                                      v                  v
 *                                              OVER <──┴── (EXPECT_ACK: the last word was ours)
 */
typedef enum sasl_server_state {
    EXPECT_FIRST,
    EXPECT_PASSWORD,
    AWAIT_ANSWER, /* the embedder owes it */
    EXPECT_PROOF,
    EXPECT_ACK,
    OVER,
} sasl_server_state;

struct mail_sasl_server {
    const mail_mem *mem;
    const struct mail_random *random;
    mail_sasl_mechanism mechanism;
    sasl_server_state state;
    bool doomed;     /* it fails in the end, however well the client does */
    bool is_starved; /* what failed was our memory */
    bool offers_plus;
    sasl_name user;
    sasl_name authzid;
    sasl_name identity;
    uint8_t binding[64];
    size_t binding_length;
    uint8_t disguise[32];
    char hostname[256];
    mail_sasl_question question;
    buffer in; /* what the question's texts lie in */
    buffer out;
    /* SCRAM */
    mail_sasl_verifier verifier;
    char channel[512]; /* the c= that the client must send */
    size_t channel_length;
    buffer auth; /* AuthMessage as it grows */
    char nonce[256];
    size_t nonce_length;
};

mail_sasl_step sasl_server_fail(mail_sasl_server *srv);

/* Appends to one of the buffers; false: no memory, or too long. */
bool sasl_server_put(mail_sasl_server *srv, buffer *to, mail_span bytes);

/* Opens the question; its texts are set by the caller. */
mail_sasl_step sasl_server_ask(mail_sasl_server *srv);

/* Appends to `out`; without memory the exchange fails. */
mail_sasl_step sasl_server_say(mail_sasl_server *srv, mail_span text, sasl_server_state next);

mail_sasl_step sasl_scram_first(mail_sasl_server *srv, mail_span in);
mail_sasl_step sasl_scram_answer(mail_sasl_server *srv, const mail_sasl_answer *answer);
mail_sasl_step sasl_scram_proof(mail_sasl_server *srv, mail_span in);

#endif
