/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LOGIN_JOB_H
#define LIB_NET_LOGIN_JOB_H

#include <mail/login.h>

#include "store/accounts.h"

/*
 * What of a login is done on a worker: from the question to what the engine is to be told. The
 * amount of work depends on the kind of a secret, never on whether it is anybody's.
 */
typedef struct login_job {
    const mail_mem *mem;     /* thread-safe */
    const uint8_t *disguise; /* 32 octets */
    uint64_t chance;         /* which account stands in for an unknown name */
    mail_sasl_question question;
    account_key key; /* of `question.user`; empty: no account can have that name */

    /* What is known of the user: by the accounts, or told before the job begins. */
    mail_accounts *accounts; /* NULL: told. Held by whoever owns the job */
    const mail_account *account;
    secret secret;
    mail_sasl_verifier verifier; /* with SECRET_SCRAM_SHA_256, and of SHA-1 if it was told */
    bool is_accepted;
    bool is_unknown; /* the secret is nobody's: whatever the client proves, it fails */

    /* What comes of it. */
    int code; /* MAIL_OK; MAIL_ENOMEM: no answer */
    mail_sasl_answer answer;
    char password[SECRET_PASSWORD_MAX + 1]; /* for CRAM-MD5 */
} login_job;

void login_job_run(login_job *job);

#endif
