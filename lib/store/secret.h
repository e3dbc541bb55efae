/* SPDX-License-Identifier: MIT */
#ifndef LIB_STORE_SECRET_H
#define LIB_STORE_SECRET_H

#include <mail/base.h>
#include <mail/sasl.h>

typedef enum secret_kind {
    SECRET_NONE,     /* nobody may log in */
    SECRET_EXTERNAL, /* only who shows a certificate */
    SECRET_PLAIN,
    SECRET_CRYPT,
    SECRET_SCRAM_SHA_256,
} secret_kind;

/* The longest password that is looked at: crypt(3) takes no more. */
#define SECRET_PASSWORD_MAX 511

/* What an account's secret is; its text is NUL-terminated and lives elsewhere. */
typedef struct secret {
    secret_kind kind;
    const char *text; /* without the {KIND} in front */
} secret;

/* Says in `*why` (static) what is wrong with `text`, or returns true. */
bool secret_parse(secret *out, const char *text, const char **why);

/*
 * Whether `password` is right: MAIL_OK, MAIL_EPERM or MAIL_ENOMEM. Takes as long for
 * one that can't be right, too long or with a NUL in it.
 */
int secret_check(const secret *se, mail_span password, const mail_mem *mem);

/* What a server of SCRAM-SHA-256 compares with; `se` is SECRET_SCRAM_SHA_256. */
void secret_verifier(const secret *se, mail_sasl_verifier *out);

#endif
