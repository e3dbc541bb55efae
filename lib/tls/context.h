/* SPDX-License-Identifier: MIT */
#ifndef LIB_TLS_CONTEXT_H
#define LIB_TLS_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include <mail/tls.h>

/* A certificate chain, ready to be presented. */
typedef struct tls_pair {
    gnutls_pcert_st *certificates;
    unsigned count;
    gnutls_x509_crt_t leaf; /* for the names in it */
    gnutls_privkey_t key;
    mail_wall from; /* when all of the chain is valid */
    mail_wall until;
} tls_pair;

struct mail_tls_context {
    int references; /* atomic */
    tls_pair *pairs;
    size_t pair_count;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    gnutls_datum_t ticket_key; /* GnuTLS derives keys from it that change with time */
    bool ask_client_certificate;
    bool tickets;
    bool has_slow_key; /* signing with it takes milliseconds */
    pthread_mutex_t trust_lock; /* one reads the system's list, the others wait */
    atomic_bool has_trust;      /* in the credentials is whom to believe */
};

/* The pair for a client that asks for `name` (NULL: none): exact names first, then wildcards, then the first pair. */
const tls_pair *tls_context_pair(const mail_tls_context *context, const char *name);

#endif
