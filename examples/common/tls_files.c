/* SPDX-License-Identifier: MIT */
#include "tls_files.h"

#include <stdlib.h>
#include <string.h>

#include "config_file.h"

void tls_files_deinit(tls_files *files)
{
    option_texts_deinit(&files->certificates);
    option_texts_deinit(&files->keys);
}

static int read_pem(const char *path, mail_span *out, mail_error *err)
{
    mail_error why;
    char *text;
    int code = config_file_load(path, &text, &why);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s: %s", path, why.text);
    }
    *out = mail_span_text(text);
    return MAIL_OK;
}

static void drop_pem(mail_span pem)
{
    char *text = (char *)(uintptr_t)pem.data;

    if (text != NULL) {
        explicit_bzero(text, pem.length); /* it may be a key */
        free(text);
    }
}

static int make_context(const mail_tls_pair *pairs, size_t count, mail_tls_context **out,
                        mail_error *err)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    int code;

    opts.pairs = pairs;
    opts.pair_count = count;
    opts.no_trust = true; /* clients show no certificates */
    code = mail_tls_context_create(out, &opts, err);
    return code == MAIL_ENOMEM ? mail_error_set(err, code, "%s", mail_strerror(code)) : code;
}

/* A pair is tried by itself, where a mistake can be told with its place. */
static int try_pair(const tls_files *files, size_t i, const mail_tls_pair *pair, mail_error *err)
{
    mail_tls_context *trial;
    mail_error why;
    int code = make_context(pair, 1, &trial, &why);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s with %s: %s", files->certificates.items[i],
                              files->keys.items[i], why.text);
    }
    mail_tls_context_unref(trial);
    return MAIL_OK;
}

static int read_pairs(const tls_files *files, mail_tls_pair *pairs, mail_error *err)
{
    int code = MAIL_OK;

    for (size_t i = 0; code == MAIL_OK && i < files->certificates.count; i++) {
        code = read_pem(files->certificates.items[i], &pairs[i].certificates, err);
        if (code == MAIL_OK) {
            code = read_pem(files->keys.items[i], &pairs[i].key, err);
        }
        if (code == MAIL_OK) {
            code = try_pair(files, i, &pairs[i], err);
        }
    }
    return code;
}

int tls_files_load(const tls_files *files, mail_tls_context **out, mail_error *err)
{
    size_t count = files->certificates.count;
    mail_tls_pair *pairs;
    int code;

    *out = NULL;
    if (count != files->keys.count) {
        return mail_error_set(err, MAIL_EINVAL, "tls-cert and tls-key: %zu and %zu, not in pairs",
                              count, files->keys.count);
    }
    if (count == 0) {
        return MAIL_OK;
    }
    pairs = calloc(count, sizeof(*pairs));
    if (pairs == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = read_pairs(files, pairs, err);
    if (code == MAIL_OK) {
        code = make_context(pairs, count, out, err);
    }
    for (size_t i = 0; i < count; i++) {
        drop_pem(pairs[i].certificates);
        drop_pem(pairs[i].key);
    }
    free(pairs);
    return code;
}
