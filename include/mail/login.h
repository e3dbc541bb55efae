/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LOGIN_H
#define MAIL_LOGIN_H

#include <mail/accounts.h>
#include <mail/address.h>
#include <mail/base.h>
#include <mail/loop.h>
#include <mail/sasl.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Who may log in: the same for every service. Either there are accounts, or the embedder keeps
 * passwords elsewhere and is asked one question a login, by a mail_login_fn. Either way the service
 * does what is slow on workers, a bounded number at a time; delays the answer to a wrong password,
 * longer each time; counts the wrong ones by host and by name; and lets neither an answer nor
 * the work behind it tell whether a name exists.
 */

/** How an embedder knows a user. */
typedef enum mail_login_kind {
    MAIL_LOGIN_REFUSE, /* no such user, or wrong; for an unknown one see mail_login_fn */
    MAIL_LOGIN_LATER,  /* it can't be said now: the client is asked to try again */
    /* The password or token shown is right; with EXTERNAL: may log in. No answer to SCRAM and
     * CRAM-MD5, which show none: there it is MAIL_LOGIN_REFUSE. */
    MAIL_LOGIN_ACCEPT,
    MAIL_LOGIN_PASSWORD, /* `secret` is the user's password */
    MAIL_LOGIN_HASH, /* `secret` is its hash by crypt(3): for mechanisms that show the password */
    MAIL_LOGIN_VERIFIER /* `verifier` is what is known of it: for those, and for SCRAM */
} mail_login_kind;

/** What it knows of one. Copied as a whole. */
typedef struct mail_login_known {
    mail_login_kind kind;
    mail_span secret; /* at most 511 octets, no NUL */
    const mail_sasl_verifier *verifier;
    mail_span user;    /* the user's name as the service is to know it; empty: as the client says */
    mail_span mailbox; /* path of the user's mailbox, for services that open it; empty: by `user` */
} mail_login_known;

/**
 * Asks of a client who it is: `question` and its texts lend until the answer, which
 * mail_login_answer gives, now or later. `question->user` is as the client says, without NUL; APOP
 * asks as CRAM-MD5 does. As whom else the client may act (`authzid`) only MAIL_LOGIN_ACCEPT
 * decides; with any other answer it may act as itself alone. `client` NULL: by a unix socket.
 *
 * So that nobody learns which users exist, answer for an unknown one as for another, with a
 * secret of the same kind that nobody knows.
 */
typedef void mail_login_fn(mail_ticket ticket, const mail_sasl_question *question,
                           const mail_ip *client, void *arg);

/**
 * Answers the question of a login, from the loop. Nothing is called back from inside.
 *
 * Errors: MAIL_ECANCELED: the client has gone, or it was answered; MAIL_EINVAL: a secret too long
 * or with a NUL, or a user that no client could have said; MAIL_ENOMEM. With the last two the
 * client is asked to try again later.
 */
MAIL_API int mail_login_answer(mail_ticket ticket, const mail_login_known *known);

typedef struct mail_login_options {
    size_t size;        /* MAIL_LOGIN_OPTIONS_INIT */
    mail_login_fn *ask; /* NULL: the service's accounts are asked */
    void *ask_arg;
    mail_duration delay; /* of the answer to a wrong password, up to 16 times that; default 1 s */
    /* Wrong passwords from one IPv4 address or IPv6 /64 network, and one more every 30 s; past that
     * even right ones get "try again later". Default 20. */
    uint32_t max_failures;
    /* The same for one name, whether it exists or not; hosts that have logged in to it of late are
     * counted on their own. Default 50. */
    uint32_t max_user_failures;
    uint32_t max_working; /* passwords checked at a time, each on a worker; default 2 */
    /* For that; past it "try again later". Hosts that have logged in to the name of late have a line of
     * their own, and first turn. Default 200. */
    uint32_t max_waiting;
    bool includes_loopback; /* hold loopback to `max_failures` as well */
    /* A lasting secret: what SCRAM shows of users that don't exist is made of it. Zeros: one is
     * made for as long as the service lives. */
    uint8_t disguise[32];
} mail_login_options;

#define MAIL_LOGIN_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(mail_login_options)                                                         \
    }

#ifdef __cplusplus
}
#endif

#endif
