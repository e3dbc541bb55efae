/* SPDX-License-Identifier: MIT */
#include "sasl/server.h"

#include <assert.h>
#include <stdio.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/mem.h"
#include "base/random.h"
#include "sasl/md5.h"

#define CHALLENGE_MAX 400

static bool has_means(const mail_sasl_server_options *opts)
{
    switch (opts->mechanism) {
    case MAIL_SASL_NONE:
        return false;
    case MAIL_SASL_EXTERNAL:
        return opts->identity.length > 0;
    case MAIL_SASL_SCRAM_SHA_256_PLUS:
        return opts->binding.length > 0 && opts->binding.length <= 64;
    case MAIL_SASL_CRAM_MD5:
        return opts->hostname.length > 0 && opts->hostname.length < 256;
    default:
        return true;
    }
}

int mail_sasl_server_create(mail_sasl_server **out, const mail_sasl_server_options *opts)
{
    mail_sasl_server *srv;

    if (!has_means(opts)) {
        return MAIL_EINVAL;
    }
    srv = mem_alloc(opts->mem, sizeof(*srv));
    if (srv == NULL) {
        return MAIL_ENOMEM;
    }
    srv->mem = opts->mem;
    srv->random = opts->random;
    srv->mechanism = opts->mechanism;
    srv->offers_plus = opts->offers_plus;
    if (opts->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS) {
        memcpy(srv->binding, opts->binding.data, opts->binding.length);
        srv->binding_length = opts->binding.length;
    }
    if (opts->mechanism == MAIL_SASL_CRAM_MD5) {
        memcpy(srv->hostname, opts->hostname.data, opts->hostname.length);
    }
    memcpy(srv->disguise, opts->disguise, sizeof(srv->disguise));
    buffer_init(&srv->in, opts->mem, MAIL_SASL_MESSAGE_MAX);
    buffer_init(&srv->out, opts->mem, MAIL_SASL_MESSAGE_MAX);
    buffer_init(&srv->auth, opts->mem, 3 * MAIL_SASL_MESSAGE_MAX);
    if (!sasl_name_set(&srv->identity, opts->identity)) {
        mail_sasl_server_destroy(srv);
        return MAIL_EINVAL;
    }
    *out = srv;
    return MAIL_OK;
}

void mail_sasl_server_destroy(mail_sasl_server *srv)
{
    const mail_mem *mem;

    if (srv == NULL) {
        return;
    }
    mem = srv->mem;
    buffer_wipe(&srv->in);
    buffer_wipe(&srv->out);
    buffer_wipe(&srv->auth);
    gnutls_memset(srv, 0, sizeof(*srv));
    mem_free(mem, srv, sizeof(*srv));
}

mail_sasl_step sasl_server_fail(mail_sasl_server *srv)
{
    srv->state = OVER;
    srv->doomed = true;
    return MAIL_SASL_FAILED;
}

bool sasl_server_put(mail_sasl_server *srv, buffer *to, mail_span bytes)
{
    int code = buffer_append(to, bytes);

    srv->is_starved = srv->is_starved || code == MAIL_ENOMEM;
    return code == MAIL_OK;
}

mail_sasl_step sasl_server_ask(mail_sasl_server *srv)
{
    srv->question.mechanism = srv->mechanism;
    srv->question.user = sasl_name_text(&srv->user);
    srv->question.authzid = sasl_name_text(&srv->authzid);
    srv->state = AWAIT_ANSWER;
    return MAIL_SASL_ASK;
}

mail_sasl_step sasl_server_say(mail_sasl_server *srv, mail_span text, sasl_server_state next)
{
    if (!sasl_server_put(srv, &srv->out, text)) {
        return sasl_server_fail(srv);
    }
    srv->state = next;
    return MAIL_SASL_CONTINUE;
}

/* Keeps the client's message, for the question to point into. */
static bool keep(mail_sasl_server *srv, mail_span in, mail_span *kept)
{
    buffer_clear(&srv->in, MAIL_SASL_MESSAGE_MAX);
    if (!sasl_server_put(srv, &srv->in, in)) {
        return false;
    }
    *kept = buffer_bytes(&srv->in);
    return true;
}

/* RFC 4616, section 2: [authzid] NUL authcid NUL passwd. */
static mail_sasl_step on_plain(mail_sasl_server *srv, mail_span in)
{
    const char *first = in.length > 0 ? memchr(in.data, '\0', in.length) : NULL;
    mail_span rest;
    const char *second;

    if (first == NULL) {
        return sasl_server_fail(srv);
    }
    rest = mail_span_from(in, (size_t)(first - in.data) + 1);
    second = rest.length > 0 ? memchr(rest.data, '\0', rest.length) : NULL;
    if (second == NULL || second == rest.data ||
        !sasl_name_set(&srv->authzid, mail_span_first(in, (size_t)(first - in.data))) ||
        !sasl_name_set(&srv->user, mail_span_first(rest, (size_t)(second - rest.data))) ||
        !keep(srv, mail_span_from(rest, srv->user.length + 1), &srv->question.password) ||
        (srv->question.password.length > 0 &&
         memchr(srv->question.password.data, '\0', srv->question.password.length) != NULL)) {
        return sasl_server_fail(srv);
    }
    return sasl_server_ask(srv);
}

static mail_sasl_step on_login_name(mail_sasl_server *srv, mail_span in)
{
    if (in.length == 0 || !sasl_name_set(&srv->user, in)) {
        return sasl_server_fail(srv);
    }
    return sasl_server_say(srv, MAIL_SPAN("Password:"), EXPECT_PASSWORD);
}

static mail_sasl_step on_login_password(mail_sasl_server *srv, mail_span in)
{
    if (!keep(srv, in, &srv->question.password) ||
        (in.length > 0 && memchr(in.data, '\0', in.length) != NULL)) {
        return sasl_server_fail(srv);
    }
    return sasl_server_ask(srv);
}

static mail_sasl_step on_external(mail_sasl_server *srv, mail_span in)
{
    srv->user = srv->identity;
    return sasl_name_set(&srv->authzid, in) ? sasl_server_ask(srv) : sasl_server_fail(srv);
}

/* `key=value` pairs, each ended by ^A, and one ^A more (RFC 7628, section 3.1). */
static bool find_token(mail_span pairs, mail_span *token, mail_span *user)
{
    static const char bearer[] = "auth=Bearer ";

    *token = (mail_span){0};
    while (pairs.length > 1) {
        const char *end = memchr(pairs.data, '\1', pairs.length);
        mail_span pair;

        if (end == NULL) {
            return false;
        }
        pair = mail_span_first(pairs, (size_t)(end - pairs.data));
        pairs = mail_span_from(pairs, pair.length + 1);
        if (pair.length >= sizeof(bearer) - 1 &&
            mail_span_equal_nocase(mail_span_first(pair, sizeof(bearer) - 1),
                                   MAIL_SPAN("auth=Bearer "))) {
            *token = mail_span_from(pair, sizeof(bearer) - 1);
        } else if (pair.length >= 5 && memcmp(pair.data, "user=", 5) == 0) {
            *user = mail_span_from(pair, 5);
        }
    }
    return pairs.length == 1 && pairs.data[0] == '\1' && token->length > 0;
}

static mail_sasl_step on_xoauth2(mail_sasl_server *srv, mail_span in)
{
    mail_span user = {0};
    mail_span kept;

    if (!keep(srv, in, &kept) || !find_token(kept, &srv->question.token, &user) ||
        user.length == 0 || !sasl_name_set(&srv->user, user)) {
        return sasl_server_fail(srv);
    }
    return sasl_server_ask(srv);
}

static mail_sasl_step on_oauthbearer(mail_sasl_server *srv, mail_span in)
{
    mail_span user = {0};
    mail_span kept;
    sasl_gs2 gs2;

    if (!keep(srv, in, &kept) || !sasl_gs2_parse(&gs2, &kept) || gs2.flag == 'p' ||
        kept.length == 0 || kept.data[0] != '\1' ||
        !find_token(mail_span_from(kept, 1), &srv->question.token, &user)) {
        return sasl_server_fail(srv);
    }
    srv->user = gs2.authzid;
    return sasl_server_ask(srv);
}

/* RFC 2195, section 2: the challenge stays in `auth`. */
static mail_sasl_step challenge_cram(mail_sasl_server *srv)
{
    char text[CHALLENGE_MAX];
    int n =
        snprintf(text, sizeof(text), "<%llu.%llu@%s>", (unsigned long long)random_u64(srv->random),
                 (unsigned long long)random_u64(srv->random), srv->hostname);

    if (!sasl_server_put(srv, &srv->auth, mail_span_of(text, (size_t)n))) {
        return sasl_server_fail(srv);
    }
    return sasl_server_say(srv, buffer_bytes(&srv->auth), EXPECT_PASSWORD);
}

/* `user SP digest`; the digest waits in `nonce` until the password is known. */
static mail_sasl_step on_cram(mail_sasl_server *srv, mail_span in)
{
    size_t name = in.length > SASL_MD5_LENGTH + 1 ? in.length - SASL_MD5_LENGTH - 1 : 0;

    if (name == 0 || in.data[name] != ' ' ||
        !sasl_name_set(&srv->user, mail_span_first(in, name))) {
        return sasl_server_fail(srv);
    }
    srv->nonce_length = SASL_MD5_LENGTH;
    memcpy(srv->nonce, in.data + name + 1, srv->nonce_length);
    return sasl_server_ask(srv);
}

/* The client has sent nothing yet: say what it waits for. */
static mail_sasl_step prompt(mail_sasl_server *srv)
{
    switch (srv->mechanism) {
    case MAIL_SASL_LOGIN:
        return sasl_server_say(srv, MAIL_SPAN("Username:"), EXPECT_FIRST);
    case MAIL_SASL_CRAM_MD5:
        return challenge_cram(srv);
    default:
        return sasl_server_say(srv, (mail_span){0}, EXPECT_FIRST);
    }
}

static mail_sasl_step on_first(mail_sasl_server *srv, mail_span in)
{
    switch (srv->mechanism) {
    case MAIL_SASL_EXTERNAL:
        return on_external(srv, in);
    case MAIL_SASL_SCRAM_SHA_256_PLUS:
    case MAIL_SASL_SCRAM_SHA_256:
    case MAIL_SASL_SCRAM_SHA_1:
        return sasl_scram_first(srv, in);
    case MAIL_SASL_OAUTHBEARER:
        return on_oauthbearer(srv, in);
    case MAIL_SASL_XOAUTH2:
        return on_xoauth2(srv, in);
    case MAIL_SASL_PLAIN:
        return on_plain(srv, in);
    case MAIL_SASL_LOGIN:
        return on_login_name(srv, in);
    case MAIL_SASL_CRAM_MD5: /* it never speaks first */
    case MAIL_SASL_NONE:
        break;
    }
    return sasl_server_fail(srv);
}

mail_sasl_step mail_sasl_server_step(mail_sasl_server *srv, const mail_span *in)
{
    assert(srv->state != AWAIT_ANSWER);
    buffer_clear(&srv->out, MAIL_SASL_MESSAGE_MAX);
    if (in == NULL && srv->state == EXPECT_FIRST) {
        return prompt(srv);
    }
    if (in == NULL || in->length > MAIL_SASL_MESSAGE_MAX) {
        return sasl_server_fail(srv);
    }
    switch (srv->state) {
    case EXPECT_FIRST:
        return on_first(srv, *in);
    case EXPECT_PASSWORD:
        return srv->mechanism == MAIL_SASL_LOGIN ? on_login_password(srv, *in) : on_cram(srv, *in);
    case EXPECT_PROOF:
        return sasl_scram_proof(srv, *in);
    case EXPECT_ACK:
        if (srv->doomed || in->length > 0) {
            return sasl_server_fail(srv);
        }
        srv->state = OVER;
        return MAIL_SASL_OK;
    case AWAIT_ANSWER:
    case OVER:
        break;
    }
    return sasl_server_fail(srv);
}

mail_span mail_sasl_server_out(const mail_sasl_server *srv)
{
    return buffer_bytes(&srv->out);
}

const mail_sasl_question *mail_sasl_server_question(const mail_sasl_server *srv)
{
    return &srv->question;
}

/* Equal passwords, in a time that depends on neither. */
static bool same_password(mail_span a, mail_span b)
{
    uint8_t sums[2][32];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, a.data, a.length, sums[0]) != 0 ||
        gnutls_hash_fast(GNUTLS_DIG_SHA256, b.data, b.length, sums[1]) != 0) {
        return false;
    }
    return sasl_equal(sums[0], sums[1], sizeof(sums[0]));
}

/* The embedder knows better than the client as whom it comes. */
static bool take_user(mail_sasl_server *srv, mail_span user)
{
    if (user.length == 0) {
        return true;
    }
    srv->authzid.length = 0;
    return sasl_name_set(&srv->user, user);
}

static bool holds(mail_sasl_server *srv, const mail_sasl_answer *answer)
{
    bool shows_password = srv->mechanism == MAIL_SASL_PLAIN || srv->mechanism == MAIL_SASL_LOGIN;

    switch (answer->kind) {
    case MAIL_SASL_REFUSE:
        return false;
    case MAIL_SASL_ACCEPT:
        return srv->mechanism != MAIL_SASL_CRAM_MD5 && take_user(srv, answer->user);
    case MAIL_SASL_PASSWORD:
        if (srv->mechanism == MAIL_SASL_CRAM_MD5) {
            return sasl_cram_holds(buffer_bytes(&srv->auth), answer->password,
                                   mail_span_of(srv->nonce, srv->nonce_length));
        }
        return shows_password && same_password(srv->question.password, answer->password);
    case MAIL_SASL_VERIFIER:
        return shows_password &&
               mail_sasl_verifier_matches(answer->verifier, srv->question.password);
    }
    return false;
}

mail_sasl_step mail_sasl_server_answer(mail_sasl_server *srv, const mail_sasl_answer *answer)
{
    bool good;

    assert(srv->state == AWAIT_ANSWER);
    buffer_clear(&srv->out, MAIL_SASL_MESSAGE_MAX);
    if (scram_is(srv->mechanism)) {
        return sasl_scram_answer(srv, answer);
    }
    good = holds(srv, answer);
    srv->question.password = (mail_span){0};
    srv->question.token = (mail_span){0};
    buffer_wipe(&srv->in);
    if (good) {
        srv->state = OVER;
        return MAIL_SASL_OK;
    }
    if (srv->mechanism == MAIL_SASL_OAUTHBEARER || srv->mechanism == MAIL_SASL_XOAUTH2) {
        srv->doomed = true; /* RFC 7628, section 3.2.2: the client first hears why */
        return sasl_server_say(srv, MAIL_SPAN("{\"status\":\"invalid_token\"}"), EXPECT_ACK);
    }
    return sasl_server_fail(srv);
}

bool mail_sasl_server_is_starved(const mail_sasl_server *srv)
{
    return srv->is_starved;
}

mail_span mail_sasl_server_user(const mail_sasl_server *srv)
{
    return sasl_name_text(srv->authzid.length > 0 ? &srv->authzid : &srv->user);
}
