/* SPDX-License-Identifier: MIT */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <mail/tls.h>

/* A certificate with its key, made for one test. */
typedef struct mail_test_cert {
    char *certificate; /* PEM, NUL-terminated */
    char *key;
} mail_test_cert;

typedef struct mail_test_cert_options {
    const mail_test_cert *issuer; /* NULL: signs itself */
    bool is_authority;
    bool is_rsa;             /* else a curve's */
    const char *dns_name;    /* a DNS name in it; NULL: none */
    const char *ip;          /* an IPv4 address in it; NULL: none */
    const char *address;     /* an e-mail address in it; NULL: none */
    const char *common_name; /* NULL: none */
    int64_t from;            /* seconds from now; default: a day ago */
    int64_t until;           /* default: in a day */
} mail_test_cert_options;

void mail_test_cert_make(mail_test_cert *out, const mail_test_cert_options *opts);
void mail_test_cert_free(mail_test_cert *cert);

/* A context that shows `shown` (NULL: nothing) and trusts `trusted` (NULL: nobody). */
mail_tls_context *mail_test_tls_context(const mail_test_cert *shown, const mail_test_cert *trusted);

/* A server's context that shows `shown` and asks clients for certificates of `authority`. */
mail_tls_context *mail_test_tls_asking_context(const mail_test_cert *shown,
                                               const mail_test_cert *authority);

/* A server's context whose key is slow to sign with. */
mail_tls_context *mail_test_tls_slow_context(void);

/* What both ends of TLS in a test need. */
typedef struct mail_test_tls {
    mail_test_cert authority;
    mail_test_cert cert;    /* of a host, by that authority */
    mail_test_cert renewed; /* another of the same */
    mail_tls_context *server;
    mail_tls_context *trusting; /* a client that believes the authority */
    mail_tls_context *doubting; /* one that believes nobody */
} mail_test_tls;

/* `host`: a name, or an IPv4 address. */
void mail_test_tls_make(mail_test_tls *tls, const char *host);
void mail_test_tls_free(mail_test_tls *tls);

#endif
