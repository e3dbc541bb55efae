/* SPDX-License-Identifier: MIT */
#include "tls/context.h"

#include <stdlib.h>

#include <gnutls/x509.h>

/*
 * Of what both can do the server chooses what costs it least, all of it being strong: X25519 and
 * AES-128, whose hash is SHA-256. GnuTLS's own order (P-256, AES-256 with SHA-384) takes a fifth
 * more for a handshake.
 */
#define DEFAULT_PRIORITY                                                                           \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"                                \
    ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:+AES-128-CCM:+AES-256-CCM"          \
    ":+AES-128-CBC:+AES-256-CBC"                                                                   \
    ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448"     \
    ":+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096:+GROUP-FFDHE6144:+GROUP-FFDHE8192"

/* A chain longer than this is a mistake. */
#define CHAIN_MAX 16

static gnutls_datum_t datum_of(mail_span span)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)span.data, (unsigned)span.length};
}

static int error_of(int gnutls_code)
{
    return gnutls_code == GNUTLS_E_MEMORY_ERROR ? MAIL_ENOMEM : MAIL_EINVAL;
}

const tls_pair *tls_context_pair(const mail_tls_context *context, const char *name)
{
    static const unsigned passes[] = {GNUTLS_VERIFY_DO_NOT_ALLOW_WILDCARDS, 0};

    if (context->pair_count == 0) {
        return NULL;
    }
    for (size_t pass = 0; name != NULL && pass < MAIL_COUNT(passes); pass++) {
        for (size_t i = 0; i < context->pair_count; i++) {
            const tls_pair *pair = &context->pairs[i];

            if (gnutls_x509_crt_check_hostname2(pair->leaf, name, passes[pass]) != 0) {
                return pair;
            }
        }
    }
    return &context->pairs[0];
}

/* GnuTLS matches no wildcards by itself, and has only one list for all names: we choose. */
static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **certificates, unsigned *count, gnutls_ocsp_data_st **ocsp,
                    unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
    const mail_tls_context *context = gnutls_session_get_ptr(session);
    const tls_pair *pair;
    char name[256];
    size_t length = sizeof(name);
    unsigned type;
    bool named;

    (void)info;
    named =
        gnutls_server_name_get(session, name, &length, &type, 0) == 0 && type == GNUTLS_NAME_DNS;
    pair = context != NULL ? tls_context_pair(context, named ? name : NULL) : NULL;
    *certificates = pair != NULL ? pair->certificates : NULL;
    *count = pair != NULL ? pair->count : 0;
    *key = pair != NULL ? pair->key : NULL;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0;
    return 0;
}

static void drop_pair(tls_pair *pair)
{
    for (unsigned i = 0; i < pair->count; i++) {
        gnutls_pcert_deinit(&pair->certificates[i]);
    }
    free(pair->certificates);
    if (pair->leaf != NULL) {
        gnutls_x509_crt_deinit(pair->leaf);
    }
    if (pair->key != NULL) {
        gnutls_privkey_deinit(pair->key);
    }
}

/* Whether the key belongs to the certificate: a mistake best seen before the first handshake. */
static bool fits(const tls_pair *pair)
{
    unsigned char of_certificate[64];
    unsigned char of_key[64];
    size_t certificate_length = sizeof(of_certificate);
    size_t key_length = sizeof(of_key);
    gnutls_pubkey_t public_key;
    bool same = false;

    if (gnutls_pubkey_init(&public_key) < 0) {
        return false;
    }
    if (gnutls_pubkey_import_privkey(public_key, pair->key, 0, 0) == 0 &&
        gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, of_key, &key_length) == 0 &&
        gnutls_x509_crt_get_key_id(pair->leaf, GNUTLS_KEYID_USE_SHA256, of_certificate,
                                   &certificate_length) == 0) {
        same = key_length == certificate_length && memcmp(of_key, of_certificate, key_length) == 0;
    }
    gnutls_pubkey_deinit(public_key);
    return same;
}

/* The time of one certificate narrows that of the chain. */
static int narrow_validity(tls_pair *pair, gnutls_pcert_st *from)
{
    gnutls_x509_crt_t certificate;
    mail_wall begins;
    mail_wall ends;
    int code = gnutls_pcert_export_x509(from, &certificate);

    if (code < 0) {
        return code;
    }
    begins = gnutls_x509_crt_get_activation_time(certificate);
    ends = gnutls_x509_crt_get_expiration_time(certificate);
    pair->from = begins > pair->from ? begins : pair->from;
    pair->until = ends < pair->until ? ends : pair->until;
    gnutls_x509_crt_deinit(certificate);
    return 0;
}

static int find_validity(tls_pair *pair)
{
    int code = 0;

    pair->from = INT64_MIN;
    pair->until = INT64_MAX;
    for (unsigned i = 0; i < pair->count && code >= 0; i++) {
        code = narrow_validity(pair, &pair->certificates[i]);
    }
    return code;
}

static int refuse_chain(int code, mail_error *err)
{
    return mail_error_set(err, error_of(code), "bad certificate: %s",
                          code == GNUTLS_E_CERTIFICATE_LIST_UNSORTED
                              ? "the chain is out of order: each one signs the one before it"
                              : gnutls_strerror(code));
}

static int load_chain(tls_pair *pair, mail_span pem, mail_error *err)
{
    gnutls_datum_t data = datum_of(pem);
    gnutls_pcert_st certificates[CHAIN_MAX];
    unsigned count = CHAIN_MAX;
    int code;

    code = gnutls_pcert_list_import_x509_raw(certificates, &count, &data, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (code < 0) {
        return refuse_chain(code, err);
    }
    pair->certificates = malloc(count * sizeof(*certificates));
    if (pair->certificates == NULL) {
        for (unsigned i = 0; i < count; i++) {
            gnutls_pcert_deinit(&certificates[i]);
        }
        return MAIL_ENOMEM;
    }
    memcpy(pair->certificates, certificates, count * sizeof(*certificates));
    pair->count = count;
    code = gnutls_pcert_export_x509(&pair->certificates[0], &pair->leaf);
    if (code >= 0) {
        code = find_validity(pair);
    }
    return code < 0 ? refuse_chain(code, err) : MAIL_OK;
}

static int load_pair(tls_pair *pair, const mail_tls_pair *from, mail_error *err)
{
    gnutls_datum_t key = datum_of(from->key);
    int code;

    code = load_chain(pair, from->certificates, err);
    if (code != MAIL_OK) {
        return code;
    }
    code = gnutls_privkey_init(&pair->key);
    if (code >= 0) {
        code = gnutls_privkey_import_x509_raw(pair->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    if (code < 0) {
        return mail_error_set(err, error_of(code), "bad private key: %s", gnutls_strerror(code));
    }
    if (!fits(pair)) {
        return mail_error_set(err, MAIL_EINVAL, "the private key does not fit the certificate");
    }
    return MAIL_OK;
}

/* GnuTLS takes 2.5 ms for RSA of 2048 bits, and 0.1 ms for a curve. */
static bool is_slow(gnutls_privkey_t key)
{
    int algorithm = gnutls_privkey_get_pk_algorithm(key, NULL);

    return algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS;
}

static int load_pairs(mail_tls_context *context, const mail_tls_context_options *opts,
                      mail_error *err)
{
    if (opts->pair_count == 0) {
        return MAIL_OK;
    }
    context->pairs = calloc(opts->pair_count, sizeof(*context->pairs));
    if (context->pairs == NULL) {
        return MAIL_ENOMEM;
    }
    while (context->pair_count < opts->pair_count) {
        size_t i = context->pair_count++;
        int code = load_pair(&context->pairs[i], &opts->pairs[i], err);

        if (code != MAIL_OK) {
            return code;
        }
        context->has_slow_key |= is_slow(context->pairs[i].key);
    }
    return MAIL_OK;
}

/* The system's list waits until it is needed: most of what a context costs would be to read it. */
static int load_trust(mail_tls_context *context, const mail_tls_context_options *opts,
                      mail_error *err)
{
    gnutls_datum_t data = datum_of(opts->trust);
    int code;

    context->has_trust = opts->no_trust || opts->trust.length > 0;
    if (opts->trust.length == 0) {
        return MAIL_OK;
    }
    code = gnutls_certificate_set_x509_trust_mem(context->credentials, &data, GNUTLS_X509_FMT_PEM);
    if (code <= 0) {
        return mail_error_set(err, code < 0 ? error_of(code) : MAIL_EINVAL, "bad trust list: %s",
                              code < 0 ? gnutls_strerror(code) : "no certificate in it");
    }
    return MAIL_OK;
}

static int load_priority(mail_tls_context *context, const char *text, mail_error *err)
{
    const char *where = "";
    int code;

    code = gnutls_priority_init(&context->priority, text != NULL ? text : DEFAULT_PRIORITY, &where);
    if (code < 0) {
        return mail_error_set(err, error_of(code), "bad priority string at \"%.40s\"", where);
    }
    return MAIL_OK;
}

int mail_tls_context_create(mail_tls_context **out, const mail_tls_context_options *opts,
                            mail_error *err)
{
    mail_tls_context *context = calloc(1, sizeof(*context));
    int code = MAIL_ENOMEM;

    if (context == NULL) {
        return MAIL_ENOMEM;
    }
    context->references = 1;
    pthread_mutex_init(&context->trust_lock, NULL);
    context->ask_client_certificate = opts->ask_client_certificate;
    context->tickets = !opts->no_tickets;
    if (gnutls_certificate_allocate_credentials(&context->credentials) < 0 ||
        gnutls_session_ticket_key_generate(&context->ticket_key) < 0) {
        goto fail;
    }
    gnutls_certificate_set_retrieve_function3(context->credentials, retrieve);
    code = load_pairs(context, opts, err);
    if (code == MAIL_OK) {
        code = load_trust(context, opts, err);
    }
    if (code == MAIL_OK) {
        code = load_priority(context, opts->priority, err);
    }
    if (code != MAIL_OK) {
        goto fail;
    }
    if (opts->ask_client_certificate) {
        mail_tls_context_read_trust(context);
    }
    *out = context;
    return MAIL_OK;
fail:
    mail_tls_context_unref(context);
    return code;
}

size_t mail_tls_context_pair_count(const mail_tls_context *context)
{
    return context->pair_count;
}

void mail_tls_context_validity(const mail_tls_context *context, size_t index, mail_wall *from,
                               mail_wall *until)
{
    const tls_pair *pair = index < context->pair_count ? &context->pairs[index] : NULL;

    *from = pair != NULL ? pair->from : 0;
    *until = pair != NULL ? pair->until : 0;
}

mail_tls_context *mail_tls_context_ref(mail_tls_context *context)
{
    __atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
    return context;
}

bool mail_tls_context_awaits_trust(const mail_tls_context *context)
{
    return !context->has_trust;
}

/*
 * Nobody looks at the list before it is there: clients do when the handshake is done, servers that
 * ask for certificates name in their request whom they believe. All come here first.
 */
void mail_tls_context_read_trust(mail_tls_context *context)
{
    if (context->has_trust) {
        return;
    }
    pthread_mutex_lock(&context->trust_lock);
    if (!context->has_trust) {
        /* A machine without a list of authorities verifies nobody; it still can encrypt. */
        (void)gnutls_certificate_set_x509_system_trust(context->credentials);
        context->has_trust = true;
    }
    pthread_mutex_unlock(&context->trust_lock);
}

void mail_tls_context_unref(mail_tls_context *context)
{
    if (context == NULL || __atomic_sub_fetch(&context->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < context->pair_count; i++) {
        drop_pair(&context->pairs[i]);
    }
    free(context->pairs);
    if (context->credentials != NULL) {
        gnutls_certificate_free_credentials(context->credentials);
    }
    if (context->priority != NULL) {
        gnutls_priority_deinit(context->priority);
    }
    if (context->ticket_key.data != NULL) {
        gnutls_memset(context->ticket_key.data, 0, context->ticket_key.size);
        gnutls_free(context->ticket_key.data);
    }
    pthread_mutex_destroy(&context->trust_lock);
    free(context);
}
