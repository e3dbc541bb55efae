/* SPDX-License-Identifier: MIT */
#ifndef LIB_TLS_VERIFY_H
#define LIB_TLS_VERIFY_H

#include <gnutls/gnutls.h>

#include <mail/tls.h>

#define TLS_PINS_MAX 8

/* Whom one session believes, and what came of it. */
typedef struct tls_policy {
    mail_tls_verification verification;
    bool server;
    bool is_lenient;
    bool verified;
    char name[256];  /* client: the peer's; empty: none */
    bool is_address; /* the name is an IP address */
    uint8_t pins[TLS_PINS_MAX][32];
    size_t pin_count;
    char reason[96]; /* why it does not hold */
} tls_policy;

/* MAIL_EINVAL: a name that is too long or holds a NUL, too many pins, nothing to verify against. */
int tls_policy_init(tls_policy *policy, const mail_tls_options *opts);

/* Judges the peer of a session whose handshake is done; not for MAIL_TLS_VERIFY_ASK. */
bool tls_policy_holds(tls_policy *policy, gnutls_session_t session);

/* The e-mail address in a client's certificate, verified. MAIL_ENOENT: none, or none to believe. */
int tls_client_address(gnutls_session_t session, char out[MAIL_TLS_ADDRESS_SIZE], mail_error *err);

/* The SHA-256 of the peer's public key; false: it has shown no certificate. */
bool tls_peer_pin(gnutls_session_t session, uint8_t pin[32]);

#endif
