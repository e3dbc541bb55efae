/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/sasl.h>

#include "base/random.h"

#define USER     "alice@a.example"
#define PASSWORD "p=ss,w\xc3\xb6rd"
#define BINDING  "0123456789abcdef0123456789abcdef"

/* What the embedder of the server answers. */
typedef struct accounts {
    mail_sasl_answer answer;
    unsigned asked;
    char user[400];
    char authzid[400];
    char token[400];
} accounts;

static void copy_text(char *to, mail_span text)
{
    if (text.length > 0) {
        memcpy(to, text.data, text.length);
    }
    to[text.length] = '\0';
}

static mail_sasl_step answer_question(mail_sasl_server *srv, accounts *acc)
{
    const mail_sasl_question *question = mail_sasl_server_question(srv);
    mail_sasl_answer answer = acc->answer;

    acc->asked++;
    copy_text(acc->user, question->user);
    copy_text(acc->authzid, question->authzid);
    copy_text(acc->token, question->token);
    /* Mechanisms that show the secret get a verdict, as accounts elsewhere would give it. */
    if (question->token.length > 0 && answer.kind == MAIL_SASL_PASSWORD) {
        answer.kind = mail_span_equal(question->token, MAIL_SPAN("tok.en")) ? MAIL_SASL_ACCEPT
                                                                            : MAIL_SASL_REFUSE;
    }
    return mail_sasl_server_answer(srv, &answer);
}

/* Lets both halves talk; the server's verdict. */
static mail_sasl_step talk(mail_sasl_client *cl, mail_sasl_server *srv, accounts *acc)
{
    mail_sasl_step step;
    bool first = mail_sasl_client_speaks_first(cl);

    step = first ? MAIL_SASL_CONTINUE : mail_sasl_server_step(srv, NULL);
    for (int turn = 0; turn < 10 && step == MAIL_SASL_CONTINUE; turn++) {
        mail_span said = mail_sasl_server_out(srv);

        if (mail_sasl_client_step(cl, first ? NULL : &said) != MAIL_SASL_CONTINUE) {
            return MAIL_SASL_FAILED;
        }
        first = false;
        said = mail_sasl_client_out(cl);
        step = mail_sasl_server_step(srv, &said);
        if (step == MAIL_SASL_ASK) {
            step = answer_question(srv, acc);
        }
    }
    return step;
}

static mail_sasl_client_options client_options(mail_sasl_mechanism mechanism)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;

    opts.mechanism = mechanism;
    opts.user = MAIL_SPAN(USER);
    opts.password = MAIL_SPAN(PASSWORD);
    opts.token = MAIL_SPAN("tok.en");
    opts.binding = MAIL_SPAN(BINDING);
    opts.plus_was_offered = true;
    opts.host = MAIL_SPAN("mx.b.example");
    opts.port = 587;
    return opts;
}

static mail_sasl_server_options server_options(mail_sasl_mechanism mechanism)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;

    opts.mechanism = mechanism;
    opts.binding = MAIL_SPAN(BINDING);
    opts.offers_plus = true;
    opts.identity = MAIL_SPAN("cert@a.example");
    opts.hostname = MAIL_SPAN("mx.b.example");
    memset(opts.disguise, 7, sizeof(opts.disguise));
    return opts;
}

static mail_sasl_step exchange(const mail_sasl_client_options *client,
                               const mail_sasl_server_options *server, accounts *acc,
                               bool *satisfied)
{
    mail_sasl_client *cl;
    mail_sasl_server *srv;
    mail_sasl_step step;

    assert_int_equal(mail_sasl_client_create(&cl, client), MAIL_OK);
    assert_int_equal(mail_sasl_server_create(&srv, server), MAIL_OK);
    step = talk(cl, srv, acc);
    if (satisfied != NULL) {
        *satisfied = mail_sasl_client_is_satisfied(cl);
    }
    mail_sasl_client_destroy(cl);
    mail_sasl_server_destroy(srv);
    return step;
}

static accounts accounts_with(const char *password)
{
    return (accounts){.answer = {.kind = MAIL_SASL_PASSWORD, .password = mail_span_text(password)}};
}

static void lets_in_who_knows_the_secret_and_nobody_else(void **state)
{
    (void)state;
    for (unsigned i = MAIL_SASL_EXTERNAL; i < MAIL_SASL_MECHANISMS; i++) {
        mail_sasl_client_options client = client_options((mail_sasl_mechanism)i);
        mail_sasl_server_options server = server_options((mail_sasl_mechanism)i);
        accounts acc = accounts_with(PASSWORD);
        bool satisfied;

        mail_test_case(mail_sasl_mechanism_name((mail_sasl_mechanism)i));
        if (i == MAIL_SASL_EXTERNAL) {
            acc.answer.kind = MAIL_SASL_ACCEPT;
        }
        assert_int_equal(exchange(&client, &server, &acc, &satisfied), MAIL_SASL_OK);
        assert_true(satisfied);
        assert_int_equal(acc.asked, 1);
        assert_string_equal(acc.user, i == MAIL_SASL_EXTERNAL ? "cert@a.example" : USER);
        client.password = MAIL_SPAN("wrong");
        client.token = MAIL_SPAN("wrong");
        if (i == MAIL_SASL_EXTERNAL) {
            acc.answer.kind = MAIL_SASL_REFUSE;
        }
        assert_int_equal(exchange(&client, &server, &acc, &satisfied), MAIL_SASL_FAILED);
    }
}

static void refuses_unknown_users_in_the_same_way(void **state)
{
    (void)state;
    for (unsigned i = MAIL_SASL_EXTERNAL; i < MAIL_SASL_MECHANISMS; i++) {
        mail_sasl_client_options client = client_options((mail_sasl_mechanism)i);
        mail_sasl_server_options server = server_options((mail_sasl_mechanism)i);
        accounts acc = {.answer = {.kind = MAIL_SASL_REFUSE}};

        mail_test_case(mail_sasl_mechanism_name((mail_sasl_mechanism)i));
        assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_FAILED);
    }
}

/* The salt that an unknown user sees must not change from try to try, and must be his own. */
static void disguises_unknown_users_of_scram(void **state)
{
    char first[3][300];
    static const char *const users[] = {"n,,n=ghost,r=abcdef", "n,,n=ghost,r=abcdef",
                                        "n,,n=other,r=abcdef"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        mail_sasl_server_options opts = server_options(MAIL_SASL_SCRAM_SHA_256);
        mail_span in = mail_span_text(users[i]);
        mail_sasl_server *srv;
        const char *salt;

        assert_int_equal(mail_sasl_server_create(&srv, &opts), MAIL_OK);
        assert_int_equal(mail_sasl_server_step(srv, &in), MAIL_SASL_ASK);
        assert_int_equal(
            mail_sasl_server_answer(srv, &(mail_sasl_answer){.kind = MAIL_SASL_REFUSE}),
            MAIL_SASL_CONTINUE);
        copy_text(first[i], mail_sasl_server_out(srv));
        salt = strstr(first[i], ",s=");
        assert_non_null(salt);
        memmove(first[i], salt, strlen(salt) + 1);
        mail_sasl_server_destroy(srv);
    }
    assert_string_equal(first[0], first[1]);
    assert_string_not_equal(first[0], first[2]);
}

static void takes_a_verifier_for_a_password(void **state)
{
    static const mail_sasl_mechanism mechanisms[] = {MAIL_SASL_SCRAM_SHA_256_PLUS,
                                                     MAIL_SASL_SCRAM_SHA_256, MAIL_SASL_SCRAM_SHA_1,
                                                     MAIL_SASL_PLAIN, MAIL_SASL_LOGIN};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms); i++) {
        mail_sasl_client_options client = client_options(mechanisms[i]);
        mail_sasl_server_options server = server_options(mechanisms[i]);
        mail_sasl_mechanism base = mechanisms[i] == MAIL_SASL_SCRAM_SHA_1 ? MAIL_SASL_SCRAM_SHA_1
                                                                          : MAIL_SASL_SCRAM_SHA_256;
        mail_sasl_verifier verifier;
        accounts acc = {.answer = {.kind = MAIL_SASL_VERIFIER, .verifier = &verifier}};

        mail_test_case(mail_sasl_mechanism_name(mechanisms[i]));
        assert_int_equal(mail_sasl_verifier_derive(base, MAIL_SPAN(PASSWORD), MAIL_SPAN("salt"),
                                                   4096, &verifier),
                         MAIL_OK);
        assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_OK);
        client.password = MAIL_SPAN("wrong");
        assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_FAILED);
    }
}

static void reads_verifiers_as_they_are_stored(void **state)
{
    /* RFC 7677, section 3: user `user`, password `pencil`. */
    static const char stored[] =
        "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    static const char *const bad[] = {
        "",
        "4096",
        "0,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d,wfPL",
        ("x,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
         "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
        "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPL",
        "4096,!,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPL"};
    mail_sasl_verifier verifier;

    (void)state;
    assert_int_equal(
        mail_sasl_verifier_parse(mail_span_text(stored), MAIL_SASL_SCRAM_SHA_256, &verifier),
        MAIL_OK);
    assert_true(mail_sasl_verifier_matches(&verifier, MAIL_SPAN("pencil")));
    assert_false(mail_sasl_verifier_matches(&verifier, MAIL_SPAN("pencils")));
    for (size_t i = 0; i < MAIL_COUNT(bad); i++) {
        mail_test_case(bad[i]);
        assert_int_equal(
            mail_sasl_verifier_parse(mail_span_text(bad[i]), MAIL_SASL_SCRAM_SHA_256, &verifier),
            MAIL_EINVAL);
    }
}

/* Gives the octets whose base64 is the nonce of RFC 5802, section 5. */
static void fill_nonce(void *arg, void *to, size_t size)
{
    static const uint8_t octets[18] = {0x7f, 0x29, 0x28, 0xf9, 0xdd, 0xa5, 0x6d, 0xb1, 0x60,
                                       0x38, 0xd4, 0x6f, 0xf6, 0xa9, 0x31, 0x75, 0xac, 0x0b};

    (void)arg;
    assert_int_equal(size, sizeof(octets));
    memcpy(to, octets, size);
}

static void says_what_rfc_5802_says(void **state)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
    const mail_random random = {fill_nonce, NULL};
    mail_span challenge =
        MAIL_SPAN("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    mail_span final = MAIL_SPAN("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    mail_span forged = MAIL_SPAN("v=rmF9pqV8S7suAoZWja4dJRkFsKA=");
    mail_sasl_client *cl;

    (void)state;
    for (int good = 0; good < 2; good++) {
        opts.mechanism = MAIL_SASL_SCRAM_SHA_1;
        opts.user = MAIL_SPAN("user");
        opts.password = MAIL_SPAN("pencil");
        opts.random = &random;
        assert_int_equal(mail_sasl_client_create(&cl, &opts), MAIL_OK);
        assert_int_equal(mail_sasl_client_step(cl, NULL), MAIL_SASL_CONTINUE);
        assert_span_equal(mail_sasl_client_out(cl), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        assert_int_equal(mail_sasl_client_step(cl, &challenge), MAIL_SASL_CONTINUE);
        assert_span_equal(
            mail_sasl_client_out(cl),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        assert_false(mail_sasl_client_is_satisfied(cl)); /* SC-027 */
        assert_int_equal(mail_sasl_client_step(cl, good ? &final : &forged),
                         good ? MAIL_SASL_CONTINUE : MAIL_SASL_FAILED);
        assert_int_equal(mail_sasl_client_is_satisfied(cl), good);
        mail_sasl_client_destroy(cl);
    }
}

static void sees_that_plus_was_taken_away(void **state)
{
    mail_sasl_client_options client = client_options(MAIL_SASL_SCRAM_SHA_256);
    mail_sasl_server_options server = server_options(MAIL_SASL_SCRAM_SHA_256);
    accounts acc = accounts_with(PASSWORD);

    /* SC-027: the client saw no -PLUS though the server offered it. */
    (void)state;
    client.plus_was_offered = false;
    assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_FAILED);
    assert_int_equal(acc.asked, 0);
    server.offers_plus = false;
    assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_OK);
    client = client_options(MAIL_SASL_SCRAM_SHA_256_PLUS);
    server = server_options(MAIL_SASL_SCRAM_SHA_256_PLUS);
    client.binding = MAIL_SPAN("fedcba9876543210fedcba9876543210");
    assert_int_equal(exchange(&client, &server, &acc, NULL), MAIL_SASL_FAILED);
}

static void carries_authorization_and_odd_names(void **state)
{
    static const mail_sasl_mechanism mechanisms[] = {MAIL_SASL_SCRAM_SHA_256, MAIL_SASL_PLAIN,
                                                     MAIL_SASL_EXTERNAL};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms); i++) {
        mail_sasl_client_options client = client_options(mechanisms[i]);
        mail_sasl_server_options server = server_options(mechanisms[i]);
        accounts acc = accounts_with(PASSWORD);
        mail_sasl_client *cl;
        mail_sasl_server *srv;

        mail_test_case(mail_sasl_mechanism_name(mechanisms[i]));
        acc.answer.kind = i == 2 ? MAIL_SASL_ACCEPT : MAIL_SASL_PASSWORD;
        client.user = MAIL_SPAN("a,b=c\xc3\xa4");
        client.authzid = MAIL_SPAN("boss,=x");
        assert_int_equal(mail_sasl_client_create(&cl, &client), MAIL_OK);
        assert_int_equal(mail_sasl_server_create(&srv, &server), MAIL_OK);
        assert_int_equal(talk(cl, srv, &acc), MAIL_SASL_OK);
        assert_string_equal(acc.authzid, "boss,=x");
        assert_span_equal(mail_sasl_server_user(srv), "boss,=x");
        if (i < 2) {
            assert_string_equal(acc.user, "a,b=c\xc3\xa4");
        }
        mail_sasl_client_destroy(cl);
        mail_sasl_server_destroy(srv);
    }
}

static void refuses_broken_messages(void **state)
{
    const struct {
        const char *name;
        mail_sasl_mechanism mechanism;
        mail_span in;
    } cases[] = {
        {"plain without NUL", MAIL_SASL_PLAIN, MAIL_SPAN("user password")},
        {"plain with one", MAIL_SASL_PLAIN, MAIL_SPAN("\0user")},
        {"plain with three", MAIL_SASL_PLAIN, MAIL_SPAN("\0user\0pass\0word")},
        {"plain without user", MAIL_SASL_PLAIN, MAIL_SPAN("\0\0password")},
        {"plain in bad UTF-8", MAIL_SASL_PLAIN, MAIL_SPAN("\0us\xff\0password")},
        {"empty", MAIL_SASL_PLAIN, MAIL_SPAN("")},
        {"login name with NUL", MAIL_SASL_LOGIN, MAIL_SPAN("bob\0x")},
        {"scram without gs2", MAIL_SASL_SCRAM_SHA_256, MAIL_SPAN("n=user,r=abc")},
        {"scram with unknown flag", MAIL_SASL_SCRAM_SHA_256, MAIL_SPAN("x,,n=user,r=abc")},
        {"scram with mandatory extension", MAIL_SASL_SCRAM_SHA_256,
         MAIL_SPAN("n,,m=1,n=user,r=abc")},
        {"scram with bad name", MAIL_SASL_SCRAM_SHA_256, MAIL_SPAN("n,,n=us=er,r=abc")},
        {"scram without nonce", MAIL_SASL_SCRAM_SHA_256, MAIL_SPAN("n,,n=user")},
        {"scram with a blank in it", MAIL_SASL_SCRAM_SHA_256, MAIL_SPAN("n,,n=user,r=a c")},
        {"scram with binding, not -PLUS", MAIL_SASL_SCRAM_SHA_256,
         MAIL_SPAN("p=tls-exporter,,n=user,r=abc")},
        {"scram -PLUS without binding", MAIL_SASL_SCRAM_SHA_256_PLUS, MAIL_SPAN("n,,n=user,r=abc")},
        {"scram -PLUS with another", MAIL_SASL_SCRAM_SHA_256_PLUS,
         MAIL_SPAN("p=tls-unique,,n=user,r=abc")},
        {"oauth without token", MAIL_SASL_OAUTHBEARER, MAIL_SPAN("n,a=user,\1host=x\1\1")},
        {"oauth cut short", MAIL_SASL_OAUTHBEARER, MAIL_SPAN("n,a=user,\1auth=Bearer x")},
        {"xoauth2 without user", MAIL_SASL_XOAUTH2, MAIL_SPAN("auth=Bearer x\1\1")},
        {"cram without digest", MAIL_SASL_CRAM_MD5, MAIL_SPAN("user")},
        {"external in bad UTF-8", MAIL_SASL_EXTERNAL, MAIL_SPAN("\xc3")},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sasl_server_options opts = server_options(cases[i].mechanism);
        mail_sasl_server *srv;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_sasl_server_create(&srv, &opts), MAIL_OK);
        if (cases[i].mechanism == MAIL_SASL_CRAM_MD5) {
            assert_int_equal(mail_sasl_server_step(srv, NULL), MAIL_SASL_CONTINUE);
        }
        assert_int_equal(mail_sasl_server_step(srv, &cases[i].in), MAIL_SASL_FAILED);
        assert_int_equal(mail_sasl_server_step(srv, &cases[i].in), MAIL_SASL_FAILED);
        mail_sasl_server_destroy(srv);
    }
}

static void refuses_broken_challenges(void **state)
{
    static const char *const cases[] = {
        "",
        "e=other-error",
        "r=short,s=QSXCR+Q6sek8bf92,i=4096",
        "r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",
        "r=Xyko+d2lbbFgONRv9qkxdawL3rfc,s=QSXCR+Q6sek8bf92,i=4096",
        "m=1,r=fyko+d2lbbFgONRv9qkxdawL3rfc,s=QSXCR+Q6sek8bf92,i=4096",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfc,s=,i=4096",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfc,s=QSXCR+Q6sek8bf92,i=0",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfc,s=QSXCR+Q6sek8bf92,i=99999999",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfc,s=QSXCR+Q6sek8bf92,i=4096x",
    };
    const mail_random random = {fill_nonce, NULL};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sasl_client_options opts = client_options(MAIL_SASL_SCRAM_SHA_1);
        mail_span in = mail_span_text(cases[i]);
        mail_sasl_client *cl;

        mail_test_case(cases[i]);
        opts.random = &random;
        assert_int_equal(mail_sasl_client_create(&cl, &opts), MAIL_OK);
        assert_int_equal(mail_sasl_client_step(cl, NULL), MAIL_SASL_CONTINUE);
        assert_int_equal(mail_sasl_client_step(cl, &in), MAIL_SASL_FAILED);
        assert_false(mail_sasl_client_is_satisfied(cl));
        mail_sasl_client_destroy(cl);
    }
}

static void reports_what_an_oauth_server_objects(void **state)
{
    mail_sasl_client_options opts = client_options(MAIL_SASL_OAUTHBEARER);
    mail_span json = MAIL_SPAN("{\"status\":\"invalid\r\n_token\"}");
    mail_sasl_client *cl;

    /* SC-028 */
    (void)state;
    assert_int_equal(mail_sasl_client_create(&cl, &opts), MAIL_OK);
    assert_int_equal(mail_sasl_client_step(cl, NULL), MAIL_SASL_CONTINUE);
    assert_span_equal(mail_sasl_client_out(cl),
                      "n,a=" USER ",\1host=mx.b.example\1port=587\1auth=Bearer tok.en\1\1");
    assert_int_equal(mail_sasl_client_step(cl, &json), MAIL_SASL_CONTINUE);
    assert_span_equal(mail_sasl_client_out(cl), "\1");
    assert_span_equal(mail_sasl_client_error(cl), "{\"status\":\"invalid??_token\"}");
    assert_false(mail_sasl_client_is_satisfied(cl));
    mail_sasl_client_destroy(cl);
}

static void chooses_the_best_that_is_offered_allowed_and_possible(void **state)
{
    static const struct {
        const char *offered;
        unsigned allowed;
        bool has_binding;
        bool is_private;
        bool token_only;
        mail_sasl_mechanism want;
    } cases[] = {
        {"LOGIN PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", 0, true, true, false,
         MAIL_SASL_SCRAM_SHA_256_PLUS},
        {"LOGIN PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", 0, false, true, false,
         MAIL_SASL_SCRAM_SHA_256},
        {"login plain", 0, false, true, false, MAIL_SASL_PLAIN},
        {"LOGIN PLAIN", 0, false, false, false, MAIL_SASL_NONE},
        {"CRAM-MD5 PLAIN", 0, false, false, false, MAIL_SASL_NONE},
        {"CRAM-MD5", 1U << MAIL_SASL_CRAM_MD5, false, false, false, MAIL_SASL_CRAM_MD5},
        {"PLAIN LOGIN", 1U << MAIL_SASL_LOGIN, false, true, false, MAIL_SASL_LOGIN},
        {"PLAIN XOAUTH2", 0, false, true, true, MAIL_SASL_XOAUTH2},
        {"GSSAPI  NTLM ", 0, true, true, false, MAIL_SASL_NONE},
        {"", 0, true, true, false, MAIL_SASL_NONE},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sasl_client_options opts = client_options(MAIL_SASL_NONE);

        mail_test_case(cases[i].offered);
        if (!cases[i].has_binding) {
            opts.binding = (mail_span){0};
        }
        if (cases[i].token_only) {
            opts.password = (mail_span){0};
        } else {
            opts.token = (mail_span){0};
        }
        assert_int_equal(mail_sasl_client_choose(&opts, mail_span_text(cases[i].offered),
                                                 cases[i].allowed, cases[i].is_private),
                         cases[i].want);
    }
    for (unsigned i = MAIL_SASL_EXTERNAL; i < MAIL_SASL_MECHANISMS; i++) {
        assert_int_equal(mail_sasl_mechanism_parse(
                             mail_span_text(mail_sasl_mechanism_name((mail_sasl_mechanism)i))),
                         i);
    }
}

static void refuses_means_that_cannot_work(void **state)
{
    mail_sasl_client_options client = client_options(MAIL_SASL_PLAIN);
    mail_sasl_server_options server = server_options(MAIL_SASL_SCRAM_SHA_256_PLUS);
    mail_sasl_client *cl;
    mail_sasl_server *srv;

    (void)state;
    client.password = mail_span_of("a\0b", 3);
    assert_int_equal(mail_sasl_client_create(&cl, &client), MAIL_EINVAL);
    client = client_options(MAIL_SASL_PLAIN);
    client.user = (mail_span){0};
    assert_int_equal(mail_sasl_client_create(&cl, &client), MAIL_EINVAL);
    client = client_options(MAIL_SASL_XOAUTH2);
    client.token = MAIL_SPAN("a\1b");
    assert_int_equal(mail_sasl_client_create(&cl, &client), MAIL_EINVAL);
    client = client_options(MAIL_SASL_SCRAM_SHA_256_PLUS);
    client.binding = (mail_span){0};
    assert_int_equal(mail_sasl_client_create(&cl, &client), MAIL_EINVAL);
    server.binding = (mail_span){0};
    assert_int_equal(mail_sasl_server_create(&srv, &server), MAIL_EINVAL);
    server = server_options(MAIL_SASL_EXTERNAL);
    server.identity = (mail_span){0};
    assert_int_equal(mail_sasl_server_create(&srv, &server), MAIL_EINVAL);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (unsigned i = MAIL_SASL_EXTERNAL; i < MAIL_SASL_MECHANISMS; i++) {
        mail_test_case(mail_sasl_mechanism_name((mail_sasl_mechanism)i));
        MAIL_TEST_WALK(walk)
        {
            mail_sasl_client_options client = client_options((mail_sasl_mechanism)i);
            mail_sasl_server_options server = server_options((mail_sasl_mechanism)i);
            accounts acc = accounts_with(PASSWORD);
            mail_sasl_client *cl = NULL;
            mail_sasl_server *srv = NULL;

            acc.answer.kind = i == MAIL_SASL_EXTERNAL ? MAIL_SASL_ACCEPT : acc.answer.kind;
            client.mem = &walk.mem;
            server.mem = &walk.mem;
            if (mail_sasl_client_create(&cl, &client) == MAIL_OK &&
                mail_sasl_server_create(&srv, &server) == MAIL_OK) {
                mail_sasl_step step = talk(cl, srv, &acc);

                assert_int_equal(step, walk.failed ? MAIL_SASL_FAILED : MAIL_SASL_OK);
            } else {
                assert_true(walk.failed);
            }
            mail_sasl_client_destroy(cl);
            mail_sasl_server_destroy(srv);
        }
    }
}

static void prints_the_names_of_mechanisms(void **state)
{
    char names[MAIL_SASL_MECHANISMS_SIZE];
    size_t length;

    (void)state;
    assert_int_equal(mail_sasl_mechanisms_print(0, names), 0);
    assert_string_equal(names, "");
    assert_int_equal(mail_sasl_mechanisms_print(1U << MAIL_SASL_NONE | 1U << MAIL_SASL_LOGIN |
                                                    1U << MAIL_SASL_PLAIN,
                                                names),
                     11);
    assert_string_equal(names, "PLAIN LOGIN");
    length = mail_sasl_mechanisms_print(~0U, names);
    assert_int_equal(length, strlen(names));
    assert_non_null(strstr(names, "EXTERNAL SCRAM-SHA-256-PLUS"));
    assert_non_null(strstr(names, " CRAM-MD5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_who_knows_the_secret_and_nobody_else),
        cmocka_unit_test(refuses_unknown_users_in_the_same_way),
        cmocka_unit_test(disguises_unknown_users_of_scram),
        cmocka_unit_test(takes_a_verifier_for_a_password),
        cmocka_unit_test(reads_verifiers_as_they_are_stored),
        cmocka_unit_test(says_what_rfc_5802_says),
        cmocka_unit_test(sees_that_plus_was_taken_away),
        cmocka_unit_test(carries_authorization_and_odd_names),
        cmocka_unit_test(refuses_broken_messages),
        cmocka_unit_test(refuses_broken_challenges),
        cmocka_unit_test(reports_what_an_oauth_server_objects),
        cmocka_unit_test(chooses_the_best_that_is_offered_allowed_and_possible),
        cmocka_unit_test(refuses_means_that_cannot_work),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(prints_the_names_of_mechanisms),
    };

    return mail_test_run(tests);
}
