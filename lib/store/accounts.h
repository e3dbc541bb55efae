/* SPDX-License-Identifier: MIT */
#ifndef LIB_STORE_ACCOUNTS_H
#define LIB_STORE_ACCOUNTS_H

#include <mail/accounts.h>

#include "store/secret.h"

/* A name in the form in which names are compared: lower case, the domain as A-labels. */
typedef struct account_key {
    size_t length;
    char text[MAIL_PATH_MAX + MAIL_DOMAIN_SIZE];
} account_key;

/* False: no account can have that name. */
bool account_key_of(mail_span name, account_key *key);

/*
 * The account of that name, if one can log in to it by a password, and its secret. NULL: there is none, and
 * `*out` is the secret of another, always the same one for a `chance` while there are as
 * many. So the kinds of secrets, slow and fast, are spread over unknown names as they are over
 * known ones, and neither time nor what a mechanism shows of a secret tells them apart.
 *
 * Ownership: lends both until the last release.
 */
const mail_account *accounts_secret(const mail_accounts *accounts, const account_key *key,
                                    uint64_t chance, secret *out);

/* The account of that name, if who has proved the name by a certificate may log in to it. NULL: none. */
const mail_account *accounts_certified(const mail_accounts *accounts, const account_key *key);

/*
 * The mechanisms, as bits 1 << mechanism, that suit every account into which one can log in: a
 * client chooses before it says who it is, and mostly does not come back for another.
 */
unsigned accounts_mechanisms(const mail_accounts *accounts);

#endif
