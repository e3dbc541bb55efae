/* SPDX-License-Identifier: MIT */
#include "net/login_job.h"

#include "base/random.h"
#include "sasl/scram.h"

/* RFC 7677, section 4: at least so many. */
#define ITERATIONS 4096

#define SALT_LENGTH 16

/* Looks the user up. Of an unknown one a stand-in's secret is used, and no proof of it is good. */
static void find_account(login_job *job)
{
    if (job->question.mechanism == MAIL_SASL_EXTERNAL) {
        job->account = accounts_certified(job->accounts, &job->key);
        job->is_unknown = job->account == NULL;
        return;
    }
    job->account = accounts_secret(job->accounts, &job->key, job->chance, &job->secret);
    job->is_unknown = job->account == NULL;
    if (job->secret.kind == SECRET_SCRAM_SHA_256) {
        secret_verifier(&job->secret, &job->verifier);
    }
}

/* Without the embedder's word for it, a client acts as itself alone. */
static bool may_act(const login_job *job)
{
    account_key key;

    return job->question.authzid.length == 0 ||
           mail_span_equal(job->question.authzid, job->question.user) ||
           (job->key.length > 0 && account_key_of(job->question.authzid, &key) &&
            mail_span_equal(mail_span_of(key.text, key.length),
                            mail_span_of(job->key.text, job->key.length)));
}

static bool is_failing(const login_job *job)
{
    return job->is_unknown || !may_act(job);
}

/* The mechanism shows the password. */
static void check_password(login_job *job)
{
    int code = MAIL_EPERM;

    if (job->secret.kind == SECRET_SCRAM_SHA_256) {
        code = mail_sasl_verifier_matches(&job->verifier, job->question.password) ? MAIL_OK
                                                                                  : MAIL_EPERM;
    } else {
        code = secret_check(&job->secret, job->question.password, job->mem);
    }
    if (code == MAIL_ENOMEM) {
        job->code = code;
    } else if (code == MAIL_OK && !is_failing(job)) {
        job->answer.kind = MAIL_SASL_ACCEPT;
    }
}

/*
 * A salt that is the user's as long as the service keeps its disguise: those who have none of
 * their own, be it that we have their password itself or that they don't exist, look the same.
 */
static void make_salt(const login_job *job, size_t length, mail_sasl_verifier *verifier)
{
    mail_span name =
        job->key.length > 0 ? mail_span_of(job->key.text, job->key.length) : job->question.user;

    _Static_assert(sizeof(verifier->salt) == 2 * SCRAM_KEY_MAX, "two sums fill it");
    scram_hmac(MAIL_SASL_SCRAM_SHA_256, job->disguise, name, verifier->salt);
    scram_hmac(MAIL_SASL_SCRAM_SHA_256, job->disguise, mail_span_of(verifier->salt, SCRAM_KEY_MAX),
               verifier->salt + SCRAM_KEY_MAX);
    verifier->salt_length = length;
}

/* RFC 5802, section 3, of the password itself. */
static void derive_verifier(login_job *job, mail_sasl_mechanism mechanism)
{
    mail_sasl_verifier salted;

    make_salt(job, SALT_LENGTH, &salted);
    job->code = mail_sasl_verifier_derive(mechanism, mail_span_text(job->secret.text),
                                          mail_span_of(salted.salt, salted.salt_length), ITERATIONS,
                                          &job->verifier);
}

static bool has_verifier(const login_job *job, mail_sasl_mechanism mechanism)
{
    return job->secret.kind == SECRET_SCRAM_SHA_256 && job->verifier.mechanism == mechanism;
}

/* What can't be answered with a verifier gets one that no proof fits. */
static void find_verifier(login_job *job)
{
    mail_sasl_mechanism mechanism = scram_base(job->question.mechanism);
    bool is_failing_anyway = is_failing(job);

    if (has_verifier(job, mechanism)) {
        if (job->is_unknown) {
            make_salt(job, job->verifier.salt_length, &job->verifier);
        }
    } else if (job->secret.kind == SECRET_PLAIN) {
        derive_verifier(job, mechanism);
    } else {
        job->verifier = (mail_sasl_verifier){.mechanism = mechanism, .iterations = ITERATIONS};
        make_salt(job, SALT_LENGTH, &job->verifier);
        is_failing_anyway = true;
    }
    if (is_failing_anyway) {
        random_fill(NULL, job->verifier.stored_key, sizeof(job->verifier.stored_key));
    }
    job->answer = (mail_sasl_answer){.kind = MAIL_SASL_VERIFIER, .verifier = &job->verifier};
}

/* CRAM-MD5 and APOP, which need the password itself. */
static void find_password(login_job *job)
{
    size_t length = SCRAM_KEY_MAX;

    if (job->secret.kind == SECRET_PLAIN && !is_failing(job)) {
        length = strlen(job->secret.text);
        memcpy(job->password, job->secret.text, length);
    } else {
        random_fill(NULL, job->password, length);
    }
    job->answer = (mail_sasl_answer){.kind = MAIL_SASL_PASSWORD,
                                     .password = mail_span_of(job->password, length)};
}

/* Whether the mechanism takes somebody's word for it: SCRAM and CRAM-MD5 prove something. */
static bool takes_a_word(mail_sasl_mechanism mechanism)
{
    return !scram_is(mechanism) && mechanism != MAIL_SASL_CRAM_MD5;
}

void login_job_run(login_job *job)
{
    job->answer = (mail_sasl_answer){.kind = MAIL_SASL_REFUSE};
    if (job->accounts != NULL) {
        find_account(job);
    } else if (job->is_accepted && takes_a_word(job->question.mechanism)) {
        job->answer.kind = MAIL_SASL_ACCEPT;
        return;
    }
    switch (job->question.mechanism) {
    case MAIL_SASL_PLAIN:
    case MAIL_SASL_LOGIN:
        check_password(job);
        break;
    case MAIL_SASL_SCRAM_SHA_256_PLUS:
    case MAIL_SASL_SCRAM_SHA_256:
    case MAIL_SASL_SCRAM_SHA_1:
        find_verifier(job);
        break;
    case MAIL_SASL_CRAM_MD5:
        find_password(job);
        break;
    case MAIL_SASL_EXTERNAL: /* TLS has verified who it is: it is enough that there is such a user */
        job->answer.kind =
            job->accounts != NULL && !is_failing(job) ? MAIL_SASL_ACCEPT : MAIL_SASL_REFUSE;
        break;
    case MAIL_SASL_OAUTHBEARER: /* only the embedder can judge a token */
    case MAIL_SASL_XOAUTH2:
    case MAIL_SASL_NONE:
        break;
    }
}
