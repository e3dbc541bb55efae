/* SPDX-License-Identifier: MIT */
#include "tls/verify.h"

#include <arpa/inet.h>
#include <stdio.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

int tls_policy_init(tls_policy *policy, const mail_tls_options *opts)
{
    bool needs_name = opts->verification == MAIL_TLS_VERIFY_PKIX && !opts->server;

    *policy = (tls_policy){
        .verification = opts->verification,
        .server = opts->server,
        .is_lenient = opts->is_lenient,
        .pin_count = opts->pin_count,
    };
    if (opts->name.length >= sizeof(policy->name) || opts->pin_count > TLS_PINS_MAX ||
        (needs_name && opts->name.length == 0) ||
        (opts->verification == MAIL_TLS_VERIFY_PIN && opts->pin_count == 0)) {
        return MAIL_EINVAL;
    }
    if (opts->name.length > 0) {
        if (memchr(opts->name.data, '\0', opts->name.length) != NULL) {
            return MAIL_EINVAL;
        }
        memcpy(policy->name, opts->name.data, opts->name.length);
        policy->is_address = is_address(policy->name);
    }
    if (opts->pin_count > 0) {
        memcpy(policy->pins, opts->pins, opts->pin_count * sizeof(policy->pins[0]));
    }
    return MAIL_OK;
}

/* The peer's own certificate; the caller frees it. NULL: there is none. */
static gnutls_x509_crt_t peer_leaf(gnutls_session_t session)
{
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t leaf;

    if (list == NULL || count == 0 || gnutls_x509_crt_init(&leaf) < 0) {
        return NULL;
    }
    if (gnutls_x509_crt_import(leaf, &list[0], GNUTLS_X509_FMT_DER) < 0) {
        gnutls_x509_crt_deinit(leaf);
        return NULL;
    }
    return leaf;
}

/* RFC 6125, section 6.4.4: a common name proves nothing. GnuTLS would fall back to it. */
static bool has_name(gnutls_session_t session, int type)
{
    gnutls_x509_crt_t leaf = peer_leaf(session);
    bool found = false;
    int code = 0;

    if (leaf == NULL) {
        return false;
    }
    for (unsigned i = 0; !found && code >= 0; i++) {
        char name[512];
        size_t length = sizeof(name);

        code = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &length, NULL);
        found = code == type;
    }
    gnutls_x509_crt_deinit(leaf);
    return found;
}

static void set_reason(tls_policy *policy, unsigned status)
{
    static const struct {
        unsigned bit;
        const char *text;
    } reasons[] = {
        {GNUTLS_CERT_UNEXPECTED_OWNER, "the name does not match"},
        {GNUTLS_CERT_EXPIRED, "expired"},
        {GNUTLS_CERT_NOT_ACTIVATED, "not valid yet"},
        {GNUTLS_CERT_REVOKED, "revoked"},
        {GNUTLS_CERT_SIGNER_NOT_FOUND, "not issued by a trusted authority"},
        {GNUTLS_CERT_INSECURE_ALGORITHM, "an insecure algorithm"},
        {GNUTLS_CERT_PURPOSE_MISMATCH, "not meant for this purpose"},
    };

    for (size_t i = 0; i < MAIL_COUNT(reasons); i++) {
        if ((status & reasons[i].bit) != 0) {
            snprintf(policy->reason, sizeof(policy->reason), "%s", reasons[i].text);
            return;
        }
    }
    snprintf(policy->reason, sizeof(policy->reason), "not valid (%#x)", status);
}

static bool verify_pkix(tls_policy *policy, gnutls_session_t session)
{
    const char *purpose = policy->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st wanted[2] = {
        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)purpose},
        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)policy->name},
    };
    unsigned status = 0;

    if (gnutls_certificate_verify_peers(session, wanted, policy->name[0] != '\0' ? 2 : 1, &status) <
        0) {
        snprintf(policy->reason, sizeof(policy->reason), "none shown");
        return false;
    }
    if (status != 0) {
        set_reason(policy, status);
        return false;
    }
    if (policy->name[0] != '\0' &&
        !has_name(session, policy->is_address ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME)) {
        snprintf(policy->reason, sizeof(policy->reason), "it names no host (RFC 6125)");
        return false;
    }
    return true;
}

/*
 * RFC 5280, section 4.2.1.6: ASCII. A NUL would cut it short, and what is no ASCII may be made
 * another name by whoever looks it up (RFC 3490).
 */
static bool is_plain(mail_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return text.length > 0;
}

/* The first that there is, if it can be a name. */
static bool find_address(gnutls_x509_crt_t leaf, char out[MAIL_TLS_ADDRESS_SIZE])
{
    int code = 0;

    for (unsigned i = 0; code >= 0; i++) {
        size_t length = MAIL_TLS_ADDRESS_SIZE - 1;

        code = gnutls_x509_crt_get_subject_alt_name(leaf, i, out, &length, NULL);
        if (code == GNUTLS_SAN_RFC822NAME) {
            out[length] = '\0';
            return is_plain(mail_span_of(out, length));
        }
    }
    return false;
}

int tls_client_address(gnutls_session_t session, char out[MAIL_TLS_ADDRESS_SIZE], mail_error *err)
{
    tls_policy policy = {.verification = MAIL_TLS_VERIFY_PKIX, .server = true};
    gnutls_x509_crt_t leaf = peer_leaf(session);
    int code = MAIL_OK;

    if (leaf == NULL) {
        return mail_error_set(err, MAIL_ENOENT, "none shown");
    }
    if (!verify_pkix(&policy, session)) {
        code = mail_error_set(err, MAIL_ENOENT, "%s", policy.reason);
    } else if (!find_address(leaf, out)) {
        code = mail_error_set(err, MAIL_ENOENT, "it holds no e-mail address");
    }
    gnutls_x509_crt_deinit(leaf);
    return code;
}

static bool verify_pin(tls_policy *policy, gnutls_session_t session)
{
    uint8_t pin[32];

    if (tls_peer_pin(session, pin)) {
        for (size_t i = 0; i < policy->pin_count; i++) {
            if (memcmp(policy->pins[i], pin, sizeof(pin)) == 0) {
                return true;
            }
        }
    }
    snprintf(policy->reason, sizeof(policy->reason), "its key is not the pinned one");
    return false;
}

bool tls_policy_holds(tls_policy *policy, gnutls_session_t session)
{
    switch (policy->verification) {
    case MAIL_TLS_VERIFY_NONE:
        return true;
    case MAIL_TLS_VERIFY_PKIX:
        policy->verified = verify_pkix(policy, session);
        return policy->verified;
    case MAIL_TLS_VERIFY_PIN:
        policy->verified = verify_pin(policy, session);
        return policy->verified;
    case MAIL_TLS_VERIFY_ASK:
        break;
    }
    return false;
}

bool tls_peer_pin(gnutls_session_t session, uint8_t pin[32])
{
    gnutls_x509_crt_t leaf = peer_leaf(session);
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t der = {NULL, 0};
    bool done = false;

    if (leaf == NULL) {
        return false;
    }
    if (gnutls_pubkey_init(&key) == 0 && gnutls_pubkey_import_x509(key, leaf, 0) == 0 &&
        gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) == 0) {
        done = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, pin) == 0;
    }
    gnutls_free(der.data);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(leaf);
    return done;
}
