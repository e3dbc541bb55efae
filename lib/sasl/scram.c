/* SPDX-License-Identifier: MIT */
#include "sasl/scram.h"

#include <assert.h>
#include <stdlib.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <mail/encode.h>

#include "base/ascii.h"
#include "base/random.h"

bool scram_is(mail_sasl_mechanism mechanism)
{
    return mechanism == MAIL_SASL_SCRAM_SHA_1 || mechanism == MAIL_SASL_SCRAM_SHA_256 ||
           mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS;
}

mail_sasl_mechanism scram_base(mail_sasl_mechanism mechanism)
{
    return mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS ? MAIL_SASL_SCRAM_SHA_256 : mechanism;
}

size_t scram_key_length(mail_sasl_mechanism mechanism)
{
    return mechanism == MAIL_SASL_SCRAM_SHA_1 ? 20 : 32;
}

static gnutls_mac_algorithm_t mac_of(mail_sasl_mechanism mechanism)
{
    return mechanism == MAIL_SASL_SCRAM_SHA_1 ? GNUTLS_MAC_SHA1 : GNUTLS_MAC_SHA256;
}

bool sasl_password_is_good(mail_span password)
{
    gnutls_datum_t normal = {NULL, 0};
    bool good = gnutls_utf8_password_normalize((const unsigned char *)password.data,
                                               (unsigned)password.length, &normal, 0) == 0;

    if (normal.data != NULL) {
        gnutls_memset(normal.data, 0, normal.size);
        gnutls_free(normal.data);
    }
    return good || password.length == 0;
}

int scram_salt_password(mail_sasl_mechanism mechanism, mail_span password, mail_span salt,
                        uint32_t iterations, uint8_t out[SCRAM_KEY_MAX])
{
    gnutls_datum_t normal = {NULL, 0};
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)password.data, (unsigned)password.length};
    gnutls_datum_t salt_datum = {(unsigned char *)(uintptr_t)salt.data, (unsigned)salt.length};
    int code;

    /* What has no normal form is used as it is, as passwords of old are. */
    if (password.length > 0 &&
        gnutls_utf8_password_normalize((const unsigned char *)password.data,
                                       (unsigned)password.length, &normal, 0) == 0) {
        key = normal;
    }
    code = gnutls_pbkdf2(mac_of(mechanism), &key, &salt_datum, iterations, out,
                         scram_key_length(mechanism));
    if (normal.data != NULL) {
        gnutls_memset(normal.data, 0, normal.size);
        gnutls_free(normal.data);
    }
    return code == 0 ? MAIL_OK : MAIL_ENOMEM;
}

void scram_hmac(mail_sasl_mechanism mechanism, const uint8_t *key, mail_span text,
                uint8_t out[SCRAM_KEY_MAX])
{
    /* It fails only for an unknown algorithm or without memory for a few hundred octets. */
    if (gnutls_hmac_fast(mac_of(mechanism), key, scram_key_length(mechanism), text.data,
                         text.length, out) != 0) {
        random_fill(NULL, out, SCRAM_KEY_MAX); /* matches nothing */
    }
}

void scram_hash(mail_sasl_mechanism mechanism, const uint8_t *in, uint8_t out[SCRAM_KEY_MAX])
{
    gnutls_digest_algorithm_t digest =
        mechanism == MAIL_SASL_SCRAM_SHA_1 ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256;

    if (gnutls_hash_fast(digest, in, scram_key_length(mechanism), out) != 0) {
        random_fill(NULL, out, SCRAM_KEY_MAX);
    }
}

bool scram_attribute(mail_span *text, char name, mail_span *value)
{
    const char *comma;

    if (text->length < 2 || text->data[0] != name || text->data[1] != '=') {
        return false;
    }
    *value = mail_span_from(*text, 2);
    comma = memchr(value->data, ',', value->length);
    if (comma != NULL) {
        value->length = (size_t)(comma - value->data);
        *text = mail_span_from(*text, 2 + value->length + 1);
    } else {
        *text = mail_span_from(*text, text->length);
    }
    return true;
}

void scram_make_nonce(const struct mail_random *random, char out[SCRAM_NONCE_LENGTH])
{
    uint8_t octets[SCRAM_NONCE_LENGTH / 4 * 3];

    random_fill(random, octets, sizeof(octets));
    mail_base64_encode(mail_span_of(octets, sizeof(octets)), out);
}

size_t scram_channel(mail_span gs2_header, mail_span binding, char *out)
{
    char whole[384];

    assert(gs2_header.length + binding.length <= sizeof(whole));
    memcpy(whole, gs2_header.data, gs2_header.length);
    if (binding.length > 0) {
        memcpy(whole + gs2_header.length, binding.data, binding.length);
    }
    return mail_base64_encode(mail_span_of(whole, gs2_header.length + binding.length), out);
}

bool sasl_equal(const void *a, const void *b, size_t length)
{
    return gnutls_memcmp(a, b, length) == 0;
}

int mail_sasl_verifier_derive(mail_sasl_mechanism mechanism, mail_span password, mail_span salt,
                              uint32_t iterations, mail_sasl_verifier *out)
{
    uint8_t salted[SCRAM_KEY_MAX];
    uint8_t client_key[SCRAM_KEY_MAX];
    int code;

    mechanism = scram_base(mechanism);
    if (!scram_is(mechanism) || iterations == 0 || salt.length == 0 ||
        salt.length > sizeof(out->salt)) {
        return MAIL_EINVAL;
    }
    *out = (mail_sasl_verifier){
        .mechanism = mechanism, .iterations = iterations, .salt_length = salt.length};
    memcpy(out->salt, salt.data, salt.length);
    code = scram_salt_password(mechanism, password, salt, iterations, salted);
    if (code == MAIL_OK) {
        scram_hmac(mechanism, salted, MAIL_SPAN("Client Key"), client_key);
        scram_hash(mechanism, client_key, out->stored_key);
        scram_hmac(mechanism, salted, MAIL_SPAN("Server Key"), out->server_key);
    }
    gnutls_memset(salted, 0, sizeof(salted));
    gnutls_memset(client_key, 0, sizeof(client_key));
    return code;
}

bool mail_sasl_verifier_matches(const mail_sasl_verifier *verifier, mail_span password)
{
    mail_sasl_verifier made;
    bool same;

    if (mail_sasl_verifier_derive(verifier->mechanism, password,
                                  mail_span_of(verifier->salt, verifier->salt_length),
                                  verifier->iterations, &made) != MAIL_OK) {
        return false;
    }
    same = sasl_equal(made.stored_key, verifier->stored_key, scram_key_length(verifier->mechanism));
    gnutls_memset(&made, 0, sizeof(made));
    return same;
}

/* The next comma-separated part of `text`. */
static mail_span next_part(mail_span *text)
{
    const char *comma = text->length > 0 ? memchr(text->data, ',', text->length) : NULL;
    mail_span part = *text;

    if (comma == NULL) {
        *text = mail_span_from(*text, text->length);
        return part;
    }
    part.length = (size_t)(comma - text->data);
    *text = mail_span_from(*text, part.length + 1);
    return part;
}

static bool parse_count(mail_span text, uint32_t *out)
{
    uint64_t value = 0;
    bool is_number = ascii_number(text, 99999999, &value);

    *out = (uint32_t)value;
    return is_number && value > 0;
}

static bool parse_octets(mail_span text, uint8_t *out, size_t size, size_t *length)
{
    char octets[96];

    if (text.length == 0 || text.length > sizeof(octets) / 3 * 4 ||
        mail_base64_decode(text, octets, length) != MAIL_OK || *length > size) {
        return false;
    }
    memcpy(out, octets, *length);
    return true;
}

int mail_sasl_verifier_parse(mail_span text, mail_sasl_mechanism mechanism, mail_sasl_verifier *out)
{
    size_t wanted = scram_key_length(scram_base(mechanism));
    size_t stored;
    size_t server;

    *out = (mail_sasl_verifier){.mechanism = scram_base(mechanism)};
    if (!scram_is(mechanism) || !parse_count(next_part(&text), &out->iterations) ||
        !parse_octets(next_part(&text), out->salt, sizeof(out->salt), &out->salt_length) ||
        !parse_octets(next_part(&text), out->stored_key, sizeof(out->stored_key), &stored) ||
        !parse_octets(next_part(&text), out->server_key, sizeof(out->server_key), &server) ||
        text.length > 0 || stored != wanted || server != wanted) {
        return MAIL_EINVAL;
    }
    return MAIL_OK;
}
