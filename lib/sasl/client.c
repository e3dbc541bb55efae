/* SPDX-License-Identifier: MIT */
#include <mail/sasl.h>

#include <stdio.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <mail/encode.h>

#include "base/ascii.h"
#include "base/buffer.h"
#include "base/mem.h"
#include "sasl/scram.h"
#include "sasl/text.h"

#define MAX_ITERATIONS 1000000

/* So much is kept of what an OAuth server says was wrong. */
#define ERROR_MAX 500

/*
 *   EXPECT_START ──> EXPECT_CHALLENGE ──> (EXPECT_SIGNATURE, SCRAM) ──> SATISFIED
 *        └───────────────────┴── mechanisms with one message ──────────────^
 */
typedef enum state {
    EXPECT_START,     /* the server has said nothing, or an empty challenge */
    EXPECT_CHALLENGE, /* LOGIN's prompts, SCRAM's salt, CRAM's challenge */
    EXPECT_SIGNATURE, /* the server must prove itself */
    SATISFIED,
    FAILED,
} state;

struct mail_sasl_client {
    const mail_mem *mem;
    const struct mail_random *random;
    mail_sasl_mechanism mechanism;
    state state;
    bool is_starved; /* failed for lack of memory */
    uint32_t max_iterations;
    uint16_t port;
    sasl_name user;
    sasl_name authzid;
    bool login_named; /* LOGIN has sent the name */
    buffer secret;    /* password or token */
    buffer host;
    buffer out;
    buffer error;
    /* SCRAM */
    char gs2[4 * MAIL_SASL_NAME_MAX];
    size_t gs2_length;
    uint8_t binding[64];
    size_t binding_length;
    char nonce[SCRAM_NONCE_LENGTH];
    buffer auth;
    uint8_t server_signature[SCRAM_KEY_MAX];
};

void mail_sasl_client_destroy(mail_sasl_client *cl)
{
    const mail_mem *mem;

    if (cl == NULL) {
        return;
    }
    mem = cl->mem;
    buffer_wipe(&cl->secret);
    buffer_wipe(&cl->host);
    buffer_wipe(&cl->out);
    buffer_wipe(&cl->auth);
    buffer_wipe(&cl->error);
    gnutls_memset(cl, 0, sizeof(*cl));
    mem_free(mem, cl, sizeof(*cl));
}

static mail_sasl_step fail(mail_sasl_client *cl)
{
    cl->state = FAILED;
    return MAIL_SASL_FAILED;
}

/* RFC 5802, section 7: the gs2 header with which all of a SCRAM exchange begins. */
static void set_gs2(mail_sasl_client *cl, const mail_sasl_client_options *opts)
{
    const char *flag = "n";
    size_t n;

    if (cl->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS) {
        flag = "p=tls-exporter";
    } else if (scram_is(cl->mechanism) && opts->binding.length > 0 && !opts->plus_was_offered) {
        flag = "y"; /* we could, the server did not say that it can */
    }
    n = (size_t)snprintf(cl->gs2, sizeof(cl->gs2), "%s,", flag);
    if (cl->authzid.length > 0) {
        memcpy(cl->gs2 + n, "a=", 2);
        n += 2 + sasl_name_encode(sasl_name_text(&cl->authzid), cl->gs2 + n + 2);
    }
    cl->gs2[n++] = ',';
    cl->gs2_length = n;
}

static bool holds_nul(mail_span text)
{
    return text.length > 0 && memchr(text.data, '\0', text.length) != NULL;
}

/* The names, secrets and facts that the mechanism needs, ours from now on. */
static int set_means(mail_sasl_client *cl, const mail_sasl_client_options *opts)
{
    bool with_token =
        opts->mechanism == MAIL_SASL_OAUTHBEARER || opts->mechanism == MAIL_SASL_XOAUTH2;
    mail_span secret = with_token ? opts->token : opts->password;

    if (opts->mechanism == MAIL_SASL_NONE || !sasl_name_set(&cl->user, opts->user) ||
        !sasl_name_set(&cl->authzid, opts->authzid) || holds_nul(secret) || holds_nul(opts->host) ||
        secret.length > MAIL_SASL_MESSAGE_MAX / 2 || opts->host.length > 255 ||
        (opts->mechanism != MAIL_SASL_EXTERNAL && secret.length == 0) ||
        (opts->mechanism != MAIL_SASL_EXTERNAL && opts->mechanism != MAIL_SASL_OAUTHBEARER &&
         opts->user.length == 0)) {
        return MAIL_EINVAL;
    }
    if (with_token && memchr(secret.data, '\1', secret.length) != NULL) {
        return MAIL_EINVAL;
    }
    if (opts->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS) {
        if (opts->binding.length == 0 || opts->binding.length > sizeof(cl->binding)) {
            return MAIL_EINVAL;
        }
        memcpy(cl->binding, opts->binding.data, opts->binding.length);
        cl->binding_length = opts->binding.length;
    }
    if (opts->mechanism == MAIL_SASL_OAUTHBEARER && cl->authzid.length == 0) {
        cl->authzid = cl->user; /* RFC 7628, section 3.1: the user stands there */
    }
    set_gs2(cl, opts);
    if (cl->gs2_length > 300) {
        return MAIL_EINVAL;
    }
    return buffer_append(&cl->secret, secret) == MAIL_OK &&
                   buffer_append(&cl->host, opts->host) == MAIL_OK
               ? MAIL_OK
               : MAIL_ENOMEM;
}

int mail_sasl_client_create(mail_sasl_client **out, const mail_sasl_client_options *opts)
{
    mail_sasl_client *cl = mem_alloc(opts->mem, sizeof(*cl));
    int code;

    if (cl == NULL) {
        return MAIL_ENOMEM;
    }
    cl->mem = opts->mem;
    cl->random = opts->random;
    cl->mechanism = opts->mechanism;
    cl->port = opts->port;
    cl->max_iterations = opts->max_iterations > 0 ? opts->max_iterations : MAX_ITERATIONS;
    buffer_init(&cl->secret, opts->mem, MAIL_SASL_MESSAGE_MAX);
    buffer_init(&cl->host, opts->mem, 256);
    buffer_init(&cl->out, opts->mem, MAIL_SASL_MESSAGE_MAX);
    buffer_init(&cl->auth, opts->mem, 3 * MAIL_SASL_MESSAGE_MAX);
    buffer_init(&cl->error, opts->mem, 512);
    code = set_means(cl, opts);
    if (code != MAIL_OK) {
        mail_sasl_client_destroy(cl);
        return code;
    }
    *out = cl;
    return MAIL_OK;
}

bool mail_sasl_client_speaks_first(const mail_sasl_client *cl)
{
    return cl->mechanism != MAIL_SASL_LOGIN && cl->mechanism != MAIL_SASL_CRAM_MD5;
}

static mail_sasl_step say(mail_sasl_client *cl, int code, state next)
{
    if (code != MAIL_OK) {
        cl->is_starved = code == MAIL_ENOMEM;
        return fail(cl);
    }
    cl->state = next;
    return MAIL_SASL_CONTINUE;
}

static int put(mail_sasl_client *cl, mail_span text)
{
    return buffer_append(&cl->out, text);
}

/* authzid NUL user NUL password. */
static mail_sasl_step say_plain(mail_sasl_client *cl)
{
    int code = put(cl, sasl_name_text(&cl->authzid));

    code = code == MAIL_OK ? put(cl, mail_span_of("", 1)) : code;
    code = code == MAIL_OK ? put(cl, sasl_name_text(&cl->user)) : code;
    code = code == MAIL_OK ? put(cl, mail_span_of("", 1)) : code;
    code = code == MAIL_OK ? put(cl, buffer_bytes(&cl->secret)) : code;
    return say(cl, code, SATISFIED);
}

static mail_sasl_step say_xoauth2(mail_sasl_client *cl)
{
    mail_span token = buffer_bytes(&cl->secret);

    return say(cl,
               buffer_printf(&cl->out, "user=%.*s\1auth=Bearer %.*s\1\1", (int)cl->user.length,
                             cl->user.text, (int)token.length, token.data),
               SATISFIED);
}

static mail_sasl_step say_oauthbearer(mail_sasl_client *cl)
{
    mail_span token = buffer_bytes(&cl->secret);
    mail_span host = buffer_bytes(&cl->host);
    int code = buffer_printf(&cl->out, "%.*s\1", (int)cl->gs2_length, cl->gs2);

    if (code == MAIL_OK && host.length > 0) {
        code =
            buffer_printf(&cl->out, "host=%.*s\1port=%u\1", (int)host.length, host.data, cl->port);
    }
    if (code == MAIL_OK) {
        code = buffer_printf(&cl->out, "auth=Bearer %.*s\1\1", (int)token.length, token.data);
    }
    return say(cl, code, SATISFIED);
}

static mail_sasl_step say_scram_first(mail_sasl_client *cl)
{
    char name[3 * MAIL_SASL_NAME_MAX];
    size_t length = sasl_name_encode(sasl_name_text(&cl->user), name);
    int code;

    scram_make_nonce(cl->random, cl->nonce);
    code =
        buffer_printf(&cl->auth, "n=%.*s,r=%.*s", (int)length, name, SCRAM_NONCE_LENGTH, cl->nonce);
    code = code == MAIL_OK ? put(cl, mail_span_of(cl->gs2, cl->gs2_length)) : code;
    code = code == MAIL_OK ? put(cl, buffer_bytes(&cl->auth)) : code;
    return say(cl, code, EXPECT_CHALLENGE);
}

static bool parse_iterations(mail_span text, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    bool is_number = ascii_number(text, max, &value);

    *out = (uint32_t)value;
    return is_number && value > 0;
}

/* What the server-first message says, checked: the nonce must go on from ours. */
static bool read_scram_challenge(const mail_sasl_client *cl, mail_span in, mail_span *nonce,
                                 char *salt, size_t *salt_length, uint32_t *iterations)
{
    mail_span encoded;
    mail_span count;

    return scram_attribute(&in, 'r', nonce) && nonce->length > SCRAM_NONCE_LENGTH &&
           nonce->length < 1024 && memcmp(nonce->data, cl->nonce, SCRAM_NONCE_LENGTH) == 0 &&
           scram_attribute(&in, 's', &encoded) && encoded.length > 0 && encoded.length <= 128 &&
           mail_base64_decode(encoded, salt, salt_length) == MAIL_OK && *salt_length > 0 &&
           scram_attribute(&in, 'i', &count) &&
           parse_iterations(count, cl->max_iterations, iterations);
}

/* Proof and the signature that the server must show, from the whole AuthMessage. */
static void prove(mail_sasl_client *cl, const uint8_t *salted, uint8_t proof[SCRAM_KEY_MAX])
{
    uint8_t client_key[SCRAM_KEY_MAX];
    uint8_t stored_key[SCRAM_KEY_MAX];
    uint8_t server_key[SCRAM_KEY_MAX];
    mail_span auth = buffer_bytes(&cl->auth);

    scram_hmac(cl->mechanism, salted, MAIL_SPAN("Client Key"), client_key);
    scram_hash(cl->mechanism, client_key, stored_key);
    scram_hmac(cl->mechanism, stored_key, auth, proof);
    for (size_t i = 0; i < scram_key_length(cl->mechanism); i++) {
        proof[i] ^= client_key[i];
    }
    scram_hmac(cl->mechanism, salted, MAIL_SPAN("Server Key"), server_key);
    scram_hmac(cl->mechanism, server_key, auth, cl->server_signature);
    gnutls_memset(client_key, 0, sizeof(client_key));
}

static mail_sasl_step on_scram_challenge(mail_sasl_client *cl, mail_span in)
{
    uint8_t salted[SCRAM_KEY_MAX];
    uint8_t proof[SCRAM_KEY_MAX];
    char encoded[MAIL_BASE64_SIZE(SCRAM_KEY_MAX)];
    char channel[512];
    char salt[128];
    mail_span nonce;
    size_t salt_length;
    size_t length;
    uint32_t iterations;
    int code;

    if (!read_scram_challenge(cl, in, &nonce, salt, &salt_length, &iterations) ||
        scram_salt_password(cl->mechanism, buffer_bytes(&cl->secret),
                            mail_span_of(salt, salt_length), iterations, salted) != MAIL_OK) {
        return fail(cl);
    }
    length = scram_channel(mail_span_of(cl->gs2, cl->gs2_length),
                           mail_span_of(cl->binding, cl->binding_length), channel);
    code = buffer_printf(&cl->out, "c=%.*s,r=%.*s", (int)length, channel, (int)nonce.length,
                         nonce.data);
    if (code == MAIL_OK) {
        code = buffer_append(&cl->auth, MAIL_SPAN(","));
    }
    if (code == MAIL_OK) {
        code = buffer_append(&cl->auth, in);
    }
    if (code == MAIL_OK) {
        mail_span final = buffer_bytes(&cl->out);

        code = buffer_printf(&cl->auth, ",%.*s", (int) final.length, final.data);
    }
    if (code == MAIL_OK) {
        prove(cl, salted, proof);
        length = mail_base64_encode(mail_span_of(proof, scram_key_length(cl->mechanism)), encoded);
        code = buffer_printf(&cl->out, ",p=%.*s", (int)length, encoded);
    }
    gnutls_memset(salted, 0, sizeof(salted));
    return say(cl, code, EXPECT_SIGNATURE);
}

/* SC-027: only who knows the password can sign. */
static mail_sasl_step on_scram_signature(mail_sasl_client *cl, mail_span in)
{
    mail_span encoded;
    char signature[96];
    size_t length;

    if (!scram_attribute(&in, 'v', &encoded) || encoded.length > 96 ||
        mail_base64_decode(encoded, signature, &length) != MAIL_OK ||
        length != scram_key_length(cl->mechanism) ||
        !sasl_equal(signature, cl->server_signature, length)) {
        return fail(cl);
    }
    cl->state = SATISFIED;
    return MAIL_SASL_CONTINUE; /* with nothing to say */
}

static mail_sasl_step on_login(mail_sasl_client *cl)
{
    if (!cl->login_named) {
        cl->login_named = true;
        return say(cl, put(cl, sasl_name_text(&cl->user)), EXPECT_CHALLENGE);
    }
    return say(cl, put(cl, buffer_bytes(&cl->secret)), SATISFIED);
}

static mail_sasl_step on_cram(mail_sasl_client *cl, mail_span challenge)
{
    static const char digits[] = "0123456789abcdef";
    mail_span secret = buffer_bytes(&cl->secret);
    uint8_t mac[16];
    char text[33] = "";

    if (challenge.length == 0 || gnutls_hmac_fast(GNUTLS_MAC_MD5, secret.data, secret.length,
                                                  challenge.data, challenge.length, mac) != 0) {
        return fail(cl);
    }
    for (size_t i = 0; i < sizeof(mac); i++) {
        text[2 * i] = digits[mac[i] >> 4];
        text[2 * i + 1] = digits[mac[i] & 15];
    }
    return say(cl, buffer_printf(&cl->out, "%.*s %s", (int)cl->user.length, cl->user.text, text),
               SATISFIED);
}

/* RFC 7628, section 3.2.3: the server says why not; we must answer, then it refuses. */
static mail_sasl_step on_oauth_error(mail_sasl_client *cl, mail_span json)
{
    mail_span secret = buffer_bytes(&cl->secret);
    int code = MAIL_OK;

    if (json.length > 0 && memmem(json.data, json.length, secret.data, secret.length) != NULL) {
        json.length = 0; /* it is to be shown to people, and the token is not */
    }
    for (size_t i = 0; i < json.length && i < ERROR_MAX && code == MAIL_OK; i++) {
        char c = json.data[i];

        code = buffer_append(&cl->error, mail_span_of(ascii_is_control(c) ? "?" : &c, 1));
    }
    if (code == MAIL_OK && cl->mechanism == MAIL_SASL_OAUTHBEARER) {
        code = put(cl, MAIL_SPAN("\1"));
    }
    return say(cl, code, FAILED);
}

static mail_sasl_step start(mail_sasl_client *cl, mail_span in)
{
    switch (cl->mechanism) {
    case MAIL_SASL_EXTERNAL:
        return say(cl, put(cl, sasl_name_text(&cl->authzid)), SATISFIED);
    case MAIL_SASL_SCRAM_SHA_256_PLUS:
    case MAIL_SASL_SCRAM_SHA_256:
    case MAIL_SASL_SCRAM_SHA_1:
        return say_scram_first(cl);
    case MAIL_SASL_OAUTHBEARER:
        return say_oauthbearer(cl);
    case MAIL_SASL_XOAUTH2:
        return say_xoauth2(cl);
    case MAIL_SASL_PLAIN:
        return say_plain(cl);
    case MAIL_SASL_LOGIN:
        return on_login(cl);
    case MAIL_SASL_CRAM_MD5:
        return on_cram(cl, in);
    case MAIL_SASL_NONE:
        break;
    }
    return fail(cl);
}

static mail_sasl_step on_challenge(mail_sasl_client *cl, mail_span in)
{
    if (cl->mechanism == MAIL_SASL_LOGIN) {
        return on_login(cl);
    }
    return on_scram_challenge(cl, in);
}

static mail_sasl_step on_more(mail_sasl_client *cl, mail_span in)
{
    if (cl->mechanism == MAIL_SASL_OAUTHBEARER || cl->mechanism == MAIL_SASL_XOAUTH2) {
        return on_oauth_error(cl, in);
    }
    return fail(cl); /* nothing was left to ask */
}

mail_sasl_step mail_sasl_client_step(mail_sasl_client *cl, const mail_span *in)
{
    mail_span text = in != NULL ? *in : (mail_span){0};

    buffer_clear(&cl->out, MAIL_SASL_MESSAGE_MAX);
    if (text.length > MAIL_SASL_MESSAGE_MAX) {
        return fail(cl);
    }
    switch (cl->state) {
    case EXPECT_START:
        return start(cl, text);
    case EXPECT_CHALLENGE:
        return on_challenge(cl, text);
    case EXPECT_SIGNATURE:
        return on_scram_signature(cl, text);
    case SATISFIED:
        return on_more(cl, text);
    case FAILED:
        break;
    }
    return fail(cl);
}

mail_span mail_sasl_client_out(const mail_sasl_client *cl)
{
    return buffer_bytes(&cl->out);
}

bool mail_sasl_client_is_satisfied(const mail_sasl_client *cl)
{
    return cl->state == SATISFIED;
}

bool mail_sasl_client_is_starved(const mail_sasl_client *cl)
{
    return cl->is_starved;
}

mail_span mail_sasl_client_error(const mail_sasl_client *cl)
{
    return buffer_bytes(&cl->error);
}
