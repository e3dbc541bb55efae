/* SPDX-License-Identifier: MIT */
#ifndef MAIL_TLS_POLICY_H
#define MAIL_TLS_POLICY_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much TLS mail that goes out wants. */
typedef enum mail_tls_level {
    MAIL_TLS_LEVEL_MAY,     /* where the host offers it, whatever its certificate; else in clear */
    MAIL_TLS_LEVEL_NONE,    /* never */
    MAIL_TLS_LEVEL_REQUIRE, /* or not at all, whatever the certificate */
    MAIL_TLS_LEVEL_VERIFY   /* or not at all, with a certificate for the host's name */
} mail_tls_level;

/** `may`, `none`, `require`, `verify`. */
MAIL_API const char *mail_tls_level_name(mail_tls_level level);

/** Errors: MAIL_EINVAL. */
MAIL_API int mail_tls_level_parse(mail_span name, mail_tls_level *out);

/**
 * The rules that say how much TLS mail wants, by recipient domain. The first one that matches wins.
 *
 * A pure value: once filled it may be read from any thread.
 */
typedef struct mail_tls_policy_table mail_tls_policy_table;

/** An empty table. Errors: MAIL_ENOMEM. */
MAIL_API int mail_tls_policy_table_create(mail_tls_policy_table **out, const mail_mem *mem);
MAIL_API void mail_tls_policy_table_destroy(mail_tls_policy_table *table);

/**
 * Appends a rule `PATTERN=LEVEL`, with a pattern as in a route: a domain, `.domain` or `*`. LEVEL is
 * the name of one.
 *
 * Errors: MAIL_EINVAL, with the reason in `err`; MAIL_ENOMEM.
 */
MAIL_API int mail_tls_policy_table_add(mail_tls_policy_table *table, mail_span rule,
                                       mail_error *err);

/** The level for `domain` (any form, empty too); `may` when no rule matches. */
MAIL_API mail_tls_level mail_tls_policy_table_find(const mail_tls_policy_table *table,
                                                   mail_span domain);

#ifdef __cplusplus
}
#endif

#endif
