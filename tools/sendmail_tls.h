/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_TLS_H
#define TOOLS_SENDMAIL_TLS_H

#include <mail/credentials.h>
#include <mail/tls.h>
#include <mail/tls_policy.h>

#include "sendmail_options.h"

/* How mail goes out: --tls-out, --tls-ca and --auth-out. */
typedef struct sendmail_tls {
    mail_tls_context *trust; /* NULL: no TLS can be had here */
    mail_tls_policy_table *policies;
    mail_credentials_table *credentials; /* NULL: none */
} sendmail_tls;

/* EX_OK: all three are the caller's. Else the exit code, with the reason in `err`. */
int sendmail_tls_make(sendmail_tls *out, const sendmail_options *opts, mail_error *err);

#endif
