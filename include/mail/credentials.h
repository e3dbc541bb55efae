/* SPDX-License-Identifier: MIT */
#ifndef MAIL_CREDENTIALS_H
#define MAIL_CREDENTIALS_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Who we are to the hosts that mail is sent through, by next hop.
 *
 * Secrets are not in it, but for those of mail_credentials_table_add_password: it says where they are
 * found, and each connection looks again, so that a new password or a fresh token is used at once.
 */
typedef struct mail_credentials_table mail_credentials_table;

/** An empty table. Errors: MAIL_ENOMEM. */
MAIL_API int mail_credentials_table_create(mail_credentials_table **out, const mail_mem *mem);
MAIL_API void mail_credentials_table_destroy(mail_credentials_table *table);

/**
 * Appends a rule `HOST:PORT=USER,SOURCE`. HOST:PORT is a next hop as in a route; the first rule
 * for it counts. SOURCE is one of
 *
 *     file:PATH   command:COMMAND   token-file:PATH   token-command:COMMAND
 *
 * whose first line is the password, or the token for OAUTHBEARER and XOAUTH2. COMMAND is run by
 * the shell, and has 30 seconds. Or it is `certificate`: we are who the certificate says that is
 * shown in TLS (EXTERNAL), acting as USER, or without USER as whom the host makes of it.
 *
 * The host must prove its name in TLS before it is told anything. Two words before SOURCE ask
 * for less: `USER,unverified,SOURCE`: any TLS will do; `USER,clear,SOURCE`: whoever reads along
 * may have the secret.
 *
 * Errors: MAIL_EINVAL, with the reason in `err`; MAIL_ENOMEM.
 */
MAIL_API int mail_credentials_table_add(mail_credentials_table *table, mail_span rule,
                                        mail_error *err);

/** Whether a rule says `certificate`, so that TLS should have one to show. */
MAIL_API bool mail_credentials_table_needs_certificate(const mail_credentials_table *table);

/**
 * The same with the password itself, for `nexthop` (HOST:PORT).
 *
 * Ownership: copies; the copy is wiped. Errors: as above.
 */
MAIL_API int mail_credentials_table_add_password(mail_credentials_table *table, mail_span nexthop,
                                                 mail_span user, mail_span password,
                                                 mail_error *err);

#ifdef __cplusplus
}
#endif

#endif
