/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_TLS_H
#define TOOLS_SENDMAIL_TLS_H

#include <mail/credentials.h>
#include <mail/deliver.h>
#include <mail/tls.h>
#include <mail/tls_policy.h>

#include "sendmail_options.h"

/* How mail goes out: --tls-out, --tls-ca and --auth-out. */
typedef struct sendmail_tls {
    mail_tls_context *trust; /* NULL: the system's list */
    mail_tls_policy_table *policies;
    mail_credentials_table *credentials; /* NULL: none */
} sendmail_tls;

/* EX_OK, or the exit code with the reason in `err`. */
int sendmail_tls_make(sendmail_tls *out, const sendmail_options *opts, mail_error *err);

/* Has it done so. A machine on which no TLS can be had sends in clear what may go so. */
void sendmail_tls_apply(sendmail_tls *tls, mail_deliver *deliver);
void sendmail_tls_deinit(sendmail_tls *tls);

#endif
