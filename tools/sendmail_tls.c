/* SPDX-License-Identifier: MIT */
#include "sendmail_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* More than any list of authorities. */
#define TRUST_MAX ((size_t)4 * 1024 * 1024)

static int read_trust(const char *path, char **text, size_t *length, mail_error *err)
{
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        mail_error_set(err, MAIL_ESYS, "--tls-ca %s: %s", path, strerror(errno));
        return EX_NOINPUT;
    }
    *text = malloc(TRUST_MAX);
    *length = *text != NULL ? fread(*text, 1, TRUST_MAX, file) : 0;
    if (*length == 0 || ferror(file) || !feof(file)) {
        mail_error_set(err, MAIL_EIO, "--tls-ca %s: it cannot be read, is empty or too long", path);
        fclose(file);
        free(*text);
        return EX_NOINPUT;
    }
    fclose(file);
    return EX_OK;
}

static int make_trust(sendmail_tls *out, const sendmail_options *opts, mail_error *err)
{
    mail_tls_context_options context = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    char *text;
    size_t length;
    int code;

    if (opts->tls_ca == NULL) {
        return EX_OK;
    }
    code = read_trust(opts->tls_ca, &text, &length, err);
    if (code != EX_OK) {
        return code;
    }
    context.trust = mail_span_of(text, length);
    if (mail_tls_context_create(&out->trust, &context, err) != MAIL_OK) {
        code = EX_DATAERR;
    }
    free(text);
    return code;
}

static int make_policies(sendmail_tls *out, const sendmail_options *opts, mail_error *err)
{
    char rule[32];
    mail_error why;
    int n = snprintf(rule, sizeof(rule), "*=%.20s", opts->tls_out != NULL ? opts->tls_out : "may");

    if (mail_tls_policy_table_create(&out->policies, NULL) != MAIL_OK) {
        mail_error_set(err, MAIL_ENOMEM, "out of memory");
        return EX_OSERR;
    }
    if (mail_tls_policy_table_add(out->policies, mail_span_of(rule, (size_t)n), &why) != MAIL_OK) {
        mail_error_set(err, MAIL_EINVAL, "--tls-out: %s", why.text);
        return EX_USAGE;
    }
    return EX_OK;
}

static int make_credentials(sendmail_tls *out, const sendmail_options *opts, mail_error *err)
{
    mail_error why;

    if (opts->auth_out == NULL) {
        return EX_OK;
    }
    if (mail_credentials_table_create(&out->credentials, NULL) != MAIL_OK) {
        mail_error_set(err, MAIL_ENOMEM, "out of memory");
        return EX_OSERR;
    }
    if (mail_credentials_table_add(out->credentials, mail_span_text(opts->auth_out), &why) !=
        MAIL_OK) {
        mail_error_set(err, MAIL_EINVAL, "--auth-out: %s", why.text);
        return EX_USAGE;
    }
    if (mail_credentials_table_needs_certificate(out->credentials)) {
        mail_error_set(err, MAIL_EINVAL, "--auth-out: there is no certificate to show");
        return EX_USAGE;
    }
    return EX_OK;
}

int sendmail_tls_make(sendmail_tls *out, const sendmail_options *opts, mail_error *err)
{
    int code;

    *out = (sendmail_tls){.trust = NULL};
    code = make_policies(out, opts, err);
    if (code == EX_OK) {
        code = make_credentials(out, opts, err);
    }
    if (code == EX_OK) {
        code = make_trust(out, opts, err);
    }
    return code;
}

void sendmail_tls_apply(sendmail_tls *tls, mail_deliver *deliver)
{
    mail_tls_context_options system = MAIL_TLS_CONTEXT_OPTIONS_INIT;

    if (tls->trust == NULL && mail_tls_context_create(&tls->trust, &system, NULL) != MAIL_OK) {
        tls->trust = NULL;
    }
    mail_deliver_set_tls(deliver, tls->trust, tls->policies);
    mail_deliver_set_credentials(deliver, tls->credentials);
    tls->policies = NULL;
    tls->credentials = NULL;
}

void sendmail_tls_deinit(sendmail_tls *tls)
{
    mail_tls_context_unref(tls->trust);
    mail_tls_policy_table_destroy(tls->policies);
    mail_credentials_table_destroy(tls->credentials);
    *tls = (sendmail_tls){.trust = NULL};
}
