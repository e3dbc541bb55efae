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

/* A pair is tried by itself, where a mistake can be told with its place. */
static int try_pair(const tls_files *files, size_t i, const mail_tls_pair *pair, mail_error *err)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_context *trial;
    mail_error why;
    int code;

    opts.pairs = pair;
    opts.pair_count = 1;
    opts.no_trust = true;
    code = mail_tls_context_create(&trial, &opts, &why);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s with %s: %s", files->certificates.items[i],
                              files->keys.items[i],
                              code == MAIL_ENOMEM ? mail_strerror(code) : why.text);
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

/* An empty list would mean the system's. */
static int read_trust(const tls_files *files, mail_span *out, mail_error *err)
{
    int code = files->trust != NULL ? read_pem(files->trust, out, err) : MAIL_OK;

    return code == MAIL_OK && files->trust != NULL && out->length == 0
               ? mail_error_set(err, MAIL_EINVAL, "%s: there is no certificate in it", files->trust)
               : code;
}

/* What is wrong here is wrong with the trust: the pairs have been tried. */
static int make_context(const tls_files *files, mail_tls_context_options *opts,
                        mail_tls_context **out, mail_error *err)
{
    mail_error why;
    int code = read_trust(files, &opts->trust, err);

    if (code == MAIL_OK) {
        code = mail_tls_context_create(out, opts, &why);
        if (code == MAIL_ENOMEM) {
            mail_error_set(err, code, "%s", mail_strerror(code));
        } else if (code != MAIL_OK) {
            mail_error_set(err, code, "%s: %s", files->trust != NULL ? files->trust : "TLS",
                           why.text);
        }
    }
    drop_pem(opts->trust);
    return code;
}

static int load(const tls_files *files, mail_tls_context_options *opts, mail_tls_context **out,
                mail_error *err)
{
    size_t count = files->certificates.count;
    mail_tls_pair *pairs = calloc(count + 1, sizeof(*pairs));
    int code;

    if (pairs == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = read_pairs(files, pairs, err);
    if (code == MAIL_OK) {
        opts->pairs = pairs;
        opts->pair_count = count;
        code = make_context(files, opts, out, err);
    }
    for (size_t i = 0; i < count; i++) {
        drop_pem(pairs[i].certificates);
        drop_pem(pairs[i].key);
    }
    free(pairs);
    return code;
}

int tls_files_load(const tls_files *files, mail_tls_context **out, mail_error *err)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    size_t count = files->certificates.count;

    *out = NULL;
    if (count != files->keys.count) {
        return mail_error_set(err, MAIL_EINVAL,
                              "--tls-cert and --tls-key: %zu and %zu, not in pairs", count,
                              files->keys.count);
    }
    if (count == 0) {
        return files->trust == NULL
                   ? MAIL_OK
                   : mail_error_set(err, MAIL_EINVAL,
                                    "--tls-client-ca needs --tls-cert and --tls-key");
    }
    opts.no_trust = files->trust == NULL;
    opts.ask_client_certificate = files->trust != NULL;
    return load(files, &opts, out, err);
}

int tls_files_load_client(const tls_files *files, mail_tls_context **out, mail_error *err)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;

    *out = NULL;
    if (files->certificates.count > 1 || files->certificates.count != files->keys.count) {
        return mail_error_set(err, MAIL_EINVAL, "--tls-out-cert and --tls-out-key: one of each");
    }
    return load(files, &opts, out, err);
}
