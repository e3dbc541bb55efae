/* SPDX-License-Identifier: MIT */
/* RFC 5802, sections 3, 5 and 7; RFC 9266 for tls-exporter. */
#include "sasl/server.h"

#include <stdio.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <mail/encode.h>

#include "base/random.h"

/* RFC 7677, section 4: at least so many. */
#define ITERATIONS 4096

#define SALT_LENGTH 16

/* Whether what the client says of channel binding fits what we know. */
static bool binding_fits(const mail_sasl_server *srv, const sasl_gs2 *gs2)
{
    if (srv->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS) {
        return gs2->flag == 'p' && mail_span_equal(gs2->binding, MAIL_SPAN("tls-exporter"));
    }
    /* RFC 5802, section 6: `y` says that it saw no -PLUS. If it was offered, somebody took it away. */
    return gs2->flag == 'n' || (gs2->flag == 'y' && !srv->offers_plus);
}

static bool keep_nonce(mail_sasl_server *srv, mail_span nonce)
{
    if (nonce.length == 0 || nonce.length > sizeof(srv->nonce) - SCRAM_NONCE_LENGTH) {
        return false;
    }
    for (size_t i = 0; i < nonce.length; i++) {
        if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e) {
            return false;
        }
    }
    memcpy(srv->nonce, nonce.data, nonce.length);
    scram_make_nonce(srv->random, srv->nonce + nonce.length);
    srv->nonce_length = nonce.length + SCRAM_NONCE_LENGTH;
    return true;
}

mail_sasl_step sasl_scram_first(mail_sasl_server *srv, mail_span in)
{
    mail_span bare;
    mail_span user;
    mail_span nonce;
    sasl_gs2 gs2;

    if (!sasl_gs2_parse(&gs2, &in) || !binding_fits(srv, &gs2) || gs2.text.length > 300) {
        return sasl_server_fail(srv);
    }
    bare = in;
    if (!scram_attribute(&in, 'n', &user) || !scram_attribute(&in, 'r', &nonce) ||
        user.length == 0 || !sasl_name_decode(&srv->user, user) || !keep_nonce(srv, nonce) ||
        !sasl_server_put(srv, &srv->auth, bare)) {
        return sasl_server_fail(srv);
    }
    srv->authzid = gs2.authzid;
    srv->channel_length =
        scram_channel(gs2.text, mail_span_of(srv->binding, srv->binding_length), srv->channel);
    return sasl_server_ask(srv);
}

/* An unknown user is shown a salt that is his as long as the server keeps its secret. */
static void disguise(mail_sasl_server *srv)
{
    uint8_t salt[SCRAM_KEY_MAX];

    srv->doomed = true;
    srv->verifier = (mail_sasl_verifier){.mechanism = scram_base(srv->mechanism),
                                         .iterations = ITERATIONS,
                                         .salt_length = SALT_LENGTH};
    scram_hmac(MAIL_SASL_SCRAM_SHA_256, srv->disguise, sasl_name_text(&srv->user), salt);
    memcpy(srv->verifier.salt, salt, SALT_LENGTH);
    random_fill(srv->random, srv->verifier.stored_key, sizeof(srv->verifier.stored_key));
}

static bool take_secret(mail_sasl_server *srv, const mail_sasl_answer *answer)
{
    uint8_t salt[SALT_LENGTH];

    if (answer->kind == MAIL_SASL_VERIFIER &&
        answer->verifier->mechanism == scram_base(srv->mechanism)) {
        srv->verifier = *answer->verifier;
        return true;
    }
    if (answer->kind != MAIL_SASL_PASSWORD) {
        return false;
    }
    random_fill(srv->random, salt, sizeof(salt));
    return mail_sasl_verifier_derive(srv->mechanism, answer->password,
                                     mail_span_of(salt, sizeof(salt)), ITERATIONS,
                                     &srv->verifier) == MAIL_OK;
}

mail_sasl_step sasl_scram_answer(mail_sasl_server *srv, const mail_sasl_answer *answer)
{
    char salt[MAIL_BASE64_SIZE(64)];
    char text[512];
    size_t salt_length;
    int n;

    if (!take_secret(srv, answer)) {
        disguise(srv);
    }
    salt_length =
        mail_base64_encode(mail_span_of(srv->verifier.salt, srv->verifier.salt_length), salt);
    n = snprintf(text, sizeof(text), "r=%.*s,s=%.*s,i=%u", (int)srv->nonce_length, srv->nonce,
                 (int)salt_length, salt, srv->verifier.iterations);
    if (buffer_printf(&srv->auth, ",%s", text) != MAIL_OK) {
        return sasl_server_fail(srv);
    }
    return sasl_server_say(srv, mail_span_of(text, (size_t)n), EXPECT_PROOF);
}

/* Whether the client knows the password: RFC 5802, section 3. */
static bool proof_holds(const mail_sasl_server *srv, const char *proof)
{
    size_t length = scram_key_length(srv->mechanism);
    uint8_t signature[SCRAM_KEY_MAX];
    uint8_t client_key[SCRAM_KEY_MAX];
    uint8_t stored_key[SCRAM_KEY_MAX];

    scram_hmac(srv->mechanism, srv->verifier.stored_key, buffer_bytes(&srv->auth), signature);
    for (size_t i = 0; i < length; i++) {
        client_key[i] = (uint8_t)(proof[i] ^ signature[i]);
    }
    scram_hash(srv->mechanism, client_key, stored_key);
    return sasl_equal(stored_key, srv->verifier.stored_key, length);
}

static bool read_proof(mail_sasl_server *srv, mail_span in, char proof[96])
{
    mail_span rest = in;
    mail_span channel;
    mail_span nonce;
    mail_span encoded = {0};
    size_t length;

    if (!scram_attribute(&rest, 'c', &channel) || !scram_attribute(&rest, 'r', &nonce)) {
        return false;
    }
    /* Extensions may stand before the proof, which is the last. */
    while (rest.length > 2 && rest.data[0] != 'p') {
        mail_span skipped;

        if (!scram_attribute(&rest, rest.data[0], &skipped)) {
            return false;
        }
    }
    if (!scram_attribute(&rest, 'p', &encoded) || rest.length > 0 || encoded.length > 96 ||
        mail_base64_decode(encoded, proof, &length) != MAIL_OK ||
        length != scram_key_length(srv->mechanism)) {
        return false;
    }
    return mail_span_equal(channel, mail_span_of(srv->channel, srv->channel_length)) &&
           mail_span_equal(nonce, mail_span_of(srv->nonce, srv->nonce_length)) &&
           buffer_printf(&srv->auth, ",%.*s", (int)(encoded.data - in.data) - 3, in.data) ==
               MAIL_OK;
}

mail_sasl_step sasl_scram_proof(mail_sasl_server *srv, mail_span in)
{
    uint8_t signature[SCRAM_KEY_MAX];
    char proof[96];
    char text[2 + MAIL_BASE64_SIZE(SCRAM_KEY_MAX)] = "v=";
    size_t n;

    if (!read_proof(srv, in, proof) || !proof_holds(srv, proof) || srv->doomed) {
        return sasl_server_fail(srv);
    }
    scram_hmac(srv->mechanism, srv->verifier.server_key, buffer_bytes(&srv->auth), signature);
    n = mail_base64_encode(mail_span_of(signature, scram_key_length(srv->mechanism)), text + 2);
    return sasl_server_say(srv, mail_span_of(text, n + 2), EXPECT_ACK);
}
