/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_CREDENTIALS_H
#define LIB_MTA_CREDENTIALS_H

#include <mail/credentials.h>
#include <mail/tls_policy.h>

#include "mta/secret.h"

/* Who we are to one host. */
typedef struct credential {
    const char *user;
    mail_tls_level needs; /* before the secret is shown: VERIFY, REQUIRE, or NONE */
    bool is_token;
    bool is_certificate; /* shown in TLS: there is no secret */
    secret_place place;
} credential;

/* The credential for a host; NULL: there is none. Lends until the table is destroyed. */
const credential *credentials_find(const mail_credentials_table *table, const char *name,
                                   uint16_t port);

#endif
