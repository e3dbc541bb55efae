/* SPDX-License-Identifier: MIT */
/* Both halves of our mechanisms against GNU SASL's, which knows nothing of ours. */
#include "support/support.h"

#include <mail/encode.h>
#include <mail/sasl.h>

#ifdef HAVE_GSASL
#include <gsasl.h>

#define USER     "alice@a.example"
#define PASSWORD "p=ss,w\xc3\xb6rd"
#define BINDING  "0123456789abcdef0123456789abcdef"

typedef struct fixture {
    Gsasl *gsasl;
    Gsasl_session *theirs;
    mail_sasl_mechanism mechanism;
    const char *password; /* that the client has */
} fixture;

static const char *binding_in_base64(void)
{
    static char text[MAIL_BASE64_SIZE(32) + 1];

    text[mail_base64_encode(MAIL_SPAN(BINDING), text)] = '\0';
    return text;
}

/* What GNU SASL asks for, as a client or as a server. */
static int on_property(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    const fixture *fx = gsasl_callback_hook_get(gsasl);

    switch (property) {
    case GSASL_AUTHID:
        return gsasl_property_set(session, property, USER);
    case GSASL_AUTHZID:
        return gsasl_property_set(session, property, NULL);
    case GSASL_PASSWORD:
        return gsasl_property_set(session, property, fx->password);
    case GSASL_CB_TLS_EXPORTER:
        if (fx->mechanism != MAIL_SASL_SCRAM_SHA_256_PLUS) {
            return GSASL_NO_CALLBACK;
        }
        return gsasl_property_set(session, property, binding_in_base64());
    case GSASL_VALIDATE_EXTERNAL:
        return GSASL_OK;
    default:
        return GSASL_NO_CALLBACK;
    }
}

static void set_up(fixture *fx, mail_sasl_mechanism mechanism, const char *password)
{
    *fx = (fixture){.mechanism = mechanism, .password = password};
    mail_test_case(mail_sasl_mechanism_name(mechanism));
    assert_int_equal(gsasl_init(&fx->gsasl), GSASL_OK);
    gsasl_callback_hook_set(fx->gsasl, fx);
    gsasl_callback_set(fx->gsasl, on_property);
}

static void tear_down(fixture *fx)
{
    gsasl_finish(fx->theirs);
    gsasl_done(fx->gsasl);
}

static mail_sasl_server *make_server(mail_sasl_mechanism mechanism)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;
    mail_sasl_server *server;

    opts.mechanism = mechanism;
    opts.binding = MAIL_SPAN(BINDING);
    opts.identity = MAIL_SPAN(USER);
    opts.hostname = MAIL_SPAN("mail.example");
    assert_int_equal(mail_sasl_server_create(&server, &opts), MAIL_OK);
    return server;
}

/* The server knows the password; EXTERNAL needs none. */
static mail_sasl_step answer(mail_sasl_server *server)
{
    const mail_sasl_question *question = mail_sasl_server_question(server);
    mail_sasl_answer known = {.kind = MAIL_SASL_PASSWORD, .password = MAIL_SPAN(PASSWORD)};

    assert_span_equal(question->user, USER);
    if (question->mechanism == MAIL_SASL_EXTERNAL) {
        known.kind = MAIL_SASL_ACCEPT;
    }
    return mail_sasl_server_answer(server, &known);
}

/* Whether our server lets their client in; *verified: the client is content with us, too. */
static bool serve(fixture *fx, bool *verified)
{
    mail_sasl_server *server = make_server(fx->mechanism);
    mail_sasl_step step = mail_sasl_server_step(server, NULL);
    int code = GSASL_NEEDS_MORE;

    assert_int_equal(
        gsasl_client_start(fx->gsasl, mail_sasl_mechanism_name(fx->mechanism), &fx->theirs),
        GSASL_OK);
    while (step == MAIL_SASL_CONTINUE) {
        mail_span challenge = mail_sasl_server_out(server);
        char *said = NULL;
        size_t length = 0;
        mail_span message;

        code = gsasl_step(fx->theirs, challenge.data, challenge.length, &said, &length);
        if (code != GSASL_OK && code != GSASL_NEEDS_MORE) {
            break;
        }
        message = mail_span_of(said, length);
        step = mail_sasl_server_step(server, &message);
        if (step == MAIL_SASL_ASK) {
            step = answer(server);
        }
        gsasl_free(said);
    }
    *verified = code == GSASL_OK;
    mail_sasl_server_destroy(server);
    return step == MAIL_SASL_OK;
}

static mail_sasl_client *make_client(const fixture *fx, const char *password)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
    mail_sasl_client *client;

    opts.mechanism = fx->mechanism;
    opts.user = MAIL_SPAN(USER);
    opts.password = mail_span_text(password);
    opts.binding = MAIL_SPAN(BINDING);
    opts.plus_was_offered = fx->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS;
    assert_int_equal(mail_sasl_client_create(&client, &opts), MAIL_OK);
    return client;
}

/* Whether their server lets our client in, and the client is content with it. */
static bool visit(fixture *fx, const char *password)
{
    mail_sasl_client *client = make_client(fx, password);
    mail_span said = {0};
    char *challenge = NULL;
    size_t length = 0;
    bool is_good;
    int code = GSASL_NEEDS_MORE;

    assert_int_equal(
        gsasl_server_start(fx->gsasl, mail_sasl_mechanism_name(fx->mechanism), &fx->theirs),
        GSASL_OK);
    if (mail_sasl_client_speaks_first(client)) {
        assert_int_equal(mail_sasl_client_step(client, NULL), MAIL_SASL_CONTINUE);
        said = mail_sasl_client_out(client);
    }
    for (;;) {
        mail_span in;

        code = gsasl_step(fx->theirs, said.data, said.length, &challenge, &length);
        in = mail_span_of(challenge, length);
        /* SCRAM's last word comes with the success here. */
        if (code != GSASL_NEEDS_MORE && !(code == GSASL_OK && length > 0)) {
            break;
        }
        if (mail_sasl_client_step(client, &in) != MAIL_SASL_CONTINUE) {
            code = GSASL_AUTHENTICATION_ERROR;
        }
        gsasl_free(challenge);
        challenge = NULL;
        if (code != GSASL_NEEDS_MORE) {
            break;
        }
        said = mail_sasl_client_out(client);
    }
    gsasl_free(challenge);
    is_good = code == GSASL_OK && mail_sasl_client_is_satisfied(client);
    mail_sasl_client_destroy(client);
    return is_good;
}

static const mail_sasl_mechanism mechanisms[] = {
    MAIL_SASL_SCRAM_SHA_256_PLUS,
    MAIL_SASL_SCRAM_SHA_256,
    MAIL_SASL_SCRAM_SHA_1,
    MAIL_SASL_PLAIN,
    MAIL_SASL_LOGIN,
    MAIL_SASL_CRAM_MD5,
};

static void serves_its_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms) * 2; i++) {
        bool is_right = i % 2 == 0;
        bool verified;
        fixture fx;

        set_up(&fx, mechanisms[i / 2], is_right ? PASSWORD : "wrong");
        assert_int_equal(serve(&fx, &verified), is_right);
        assert_true(verified || !is_right);
        tear_down(&fx);
    }
}

static void is_served_by_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms) * 2; i++) {
        bool is_right = i % 2 == 0;
        fixture fx;

        set_up(&fx, mechanisms[i / 2], PASSWORD);
        assert_int_equal(visit(&fx, is_right ? PASSWORD : "wrong"), is_right);
        tear_down(&fx);
    }
}

static void agrees_on_who_a_certificate_names(void **state)
{
    bool verified;
    fixture fx;

    (void)state;
    set_up(&fx, MAIL_SASL_EXTERNAL, PASSWORD);
    assert_true(serve(&fx, &verified));
    tear_down(&fx);
}

/* A verifier that GNU SASL made is one of ours. */
static void knows_its_verifiers(void **state)
{
    static const char salt[] = "0123456789abcdef";
    char text[300];
    char keys[3][MAIL_BASE64_SIZE(32) + 1];
    char salted[32];
    char client_key[32];
    char server_key[32];
    char stored_key[32];
    mail_sasl_verifier verifier;

    (void)state;
    assert_int_equal(gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, PASSWORD, 5000, salt,
                                                       sizeof(salt) - 1, salted, client_key,
                                                       server_key, stored_key),
                     GSASL_OK);
    keys[0][mail_base64_encode(MAIL_SPAN("0123456789abcdef"), keys[0])] = '\0';
    keys[1][mail_base64_encode(mail_span_of(stored_key, 32), keys[1])] = '\0';
    keys[2][mail_base64_encode(mail_span_of(server_key, 32), keys[2])] = '\0';
    snprintf(text, sizeof(text), "5000,%s,%s,%s", keys[0], keys[1], keys[2]);
    assert_int_equal(
        mail_sasl_verifier_parse(mail_span_text(text), MAIL_SASL_SCRAM_SHA_256, &verifier),
        MAIL_OK);
    assert_true(mail_sasl_verifier_matches(&verifier, MAIL_SPAN(PASSWORD)));
    assert_false(mail_sasl_verifier_matches(&verifier, MAIL_SPAN("wrong")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_its_clients),
        cmocka_unit_test(is_served_by_it),
        cmocka_unit_test(agrees_on_who_a_certificate_names),
        cmocka_unit_test(knows_its_verifiers),
    };

    return mail_test_run(tests);
}

#else

static void is_compared_with_gnu_sasl(void **state)
{
    (void)state;
    print_message("libgsasl is not installed\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_compared_with_gnu_sasl),
    };

    return mail_test_run(tests);
}

#endif
