/* SPDX-License-Identifier: MIT */
#include "support/certs.h"

#include "support/support.h"

#include <arpa/inet.h>
#include <time.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

static char *text_of(gnutls_datum_t *data)
{
    char *text = malloc(data->size + 1);

    assert_non_null(text);
    memcpy(text, data->data, data->size);
    text[data->size] = '\0';
    gnutls_free(data->data);
    return text;
}

static gnutls_x509_privkey_t load_key(const char *pem)
{
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
    gnutls_x509_privkey_t key;

    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_import(key, &data, GNUTLS_X509_FMT_PEM), 0);
    return key;
}

static gnutls_x509_crt_t load_certificate(const char *pem)
{
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
    gnutls_x509_crt_t certificate;

    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &data, GNUTLS_X509_FMT_PEM), 0);
    return certificate;
}

static void fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
                 const mail_test_cert_options *opts)
{
    time_t now = time(NULL);
    unsigned char serial[8];

    gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
    serial[0] &= 0x7f;
    gnutls_x509_crt_set_version(crt, 3);
    gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
    gnutls_x509_crt_set_key(crt, key);
    gnutls_x509_crt_set_activation_time(crt, now + (opts->from != 0 ? opts->from : -86400));
    gnutls_x509_crt_set_expiration_time(crt, now + (opts->until != 0 ? opts->until : 86400));
    gnutls_x509_crt_set_basic_constraints(crt, opts->is_authority, -1);
    gnutls_x509_crt_set_key_usage(crt, opts->is_authority ? GNUTLS_KEY_KEY_CERT_SIGN
                                                          : GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (opts->common_name != NULL || opts->is_authority) {
        const char *name = opts->common_name != NULL ? opts->common_name : "test authority";

        gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                      (unsigned)strlen(name));
    }
    if (opts->ip != NULL) {
        unsigned char bytes[4];

        assert_int_equal(inet_pton(AF_INET, opts->ip, bytes), 1);
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, bytes, sizeof(bytes),
                                             GNUTLS_FSAN_APPEND);
    }
    if (opts->address != NULL) {
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_RFC822NAME, opts->address,
                                             (unsigned)strlen(opts->address), GNUTLS_FSAN_APPEND);
    }
    if (opts->dns_name != NULL) {
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, opts->dns_name,
                                             (unsigned)strlen(opts->dns_name), GNUTLS_FSAN_APPEND);
    }
}

void mail_test_cert_make(mail_test_cert *out, const mail_test_cert_options *opts)
{
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    gnutls_datum_t data;

    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    if (opts->is_rsa) {
        assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, 2048, 0), 0);
    } else {
        assert_int_equal(
            gnutls_x509_privkey_generate(key, GNUTLS_PK_EC,
                                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
            0);
    }
    fill(crt, key, opts);
    if (opts->issuer != NULL) {
        gnutls_x509_crt_t issuer = load_certificate(opts->issuer->certificate);
        gnutls_x509_privkey_t issuer_key = load_key(opts->issuer->key);

        assert_int_equal(gnutls_x509_crt_sign2(crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0), 0);
        gnutls_x509_crt_deinit(issuer);
        gnutls_x509_privkey_deinit(issuer_key);
    } else {
        assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    }
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &data), 0);
    out->certificate = text_of(&data);
    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &data), 0);
    out->key = text_of(&data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

void mail_test_cert_free(mail_test_cert *cert)
{
    free(cert->certificate);
    free(cert->key);
}

mail_tls_context *mail_test_tls_context(const mail_test_cert *shown, const mail_test_cert *trusted)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_context *context;
    mail_tls_pair pair;

    if (shown != NULL) {
        pair = (mail_tls_pair){mail_span_text(shown->certificate), mail_span_text(shown->key)};
        opts.pairs = &pair;
        opts.pair_count = 1;
    }
    opts.no_trust = trusted == NULL;
    if (trusted != NULL) {
        opts.trust = mail_span_text(trusted->certificate);
    }
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

mail_tls_context *mail_test_tls_asking_context(const mail_test_cert *shown,
                                               const mail_test_cert *authority)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_pair pair = {mail_span_text(shown->certificate), mail_span_text(shown->key)};
    mail_tls_context *context;

    opts.pairs = &pair;
    opts.pair_count = 1;
    opts.ask_client_certificate = true;
    opts.trust = mail_span_text(authority->certificate);
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

mail_tls_context *mail_test_tls_slow_context(void)
{
    mail_test_cert cert;
    mail_tls_context *context;

    mail_test_cert_make(&cert, &(mail_test_cert_options){.is_rsa = true});
    context = mail_test_tls_context(&cert, NULL);
    mail_test_cert_free(&cert);
    return context;
}

void mail_test_tls_make(mail_test_tls *tls, const char *host)
{
    static const mail_test_cert_options authority = {.is_authority = true, .common_name = "CA"};
    mail_test_cert_options named = {.issuer = &tls->authority};

    if (strspn(host, "0123456789.") == strlen(host)) {
        named.ip = host;
    } else {
        named.dns_name = host;
    }
    mail_test_cert_make(&tls->authority, &authority);
    mail_test_cert_make(&tls->cert, &named);
    mail_test_cert_make(&tls->renewed, &named);
    tls->server = mail_test_tls_context(&tls->cert, NULL);
    tls->trusting = mail_test_tls_context(NULL, &tls->authority);
    tls->doubting = mail_test_tls_context(NULL, NULL);
}

void mail_test_tls_free(mail_test_tls *tls)
{
    mail_tls_context_unref(tls->server);
    mail_tls_context_unref(tls->trusting);
    mail_tls_context_unref(tls->doubting);
    mail_test_cert_free(&tls->cert);
    mail_test_cert_free(&tls->renewed);
    mail_test_cert_free(&tls->authority);
}
