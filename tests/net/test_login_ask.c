/* SPDX-License-Identifier: MIT */
#include "login_kit.h"

static mail_sasl_verifier verifier_of(mail_sasl_mechanism mechanism, const char *password)
{
    mail_sasl_verifier verifier;

    assert_int_equal(mail_sasl_verifier_derive(mechanism, mail_span_text(password),
                                               MAIL_SPAN("salt of ours"), 100, &verifier),
                     MAIL_OK);
    return verifier;
}

static void takes_the_word_of_an_embedder(void **state)
{
    mail_sasl_verifier sha_1 = verifier_of(MAIL_SASL_SCRAM_SHA_1, "secret");
    mail_sasl_verifier sha_256 = verifier_of(MAIL_SASL_SCRAM_SHA_256, "secret");
    unsigned shown = BIT(PLAIN) | BIT(LOGIN);
    unsigned tokens = BIT(XOAUTH2) | BIT(OAUTHBEARER);
    unsigned scram_256 = BIT(SCRAM_SHA_256) | BIT(SCRAM_SHA_256_PLUS);
    const struct {
        const char *name;
        mail_login_known known;
        unsigned lets_in;
    } cases[] = {
        {"refuse", {.kind = MAIL_LOGIN_REFUSE}, 0},
        {"accept", {.kind = MAIL_LOGIN_ACCEPT}, shown | tokens | BIT(EXTERNAL)},
        {"password",
         {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("secret")},
         shown | scram_256 | BIT(SCRAM_SHA_1) | BIT(CRAM_MD5)},
        {"other password", {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("Secret")}, 0},
        {"hash", {.kind = MAIL_LOGIN_HASH, .secret = mail_span_text(hash_of("secret"))}, shown},
        {"no hash", {.kind = MAIL_LOGIN_HASH, .secret = MAIL_SPAN("secret")}, 0},
        {"verifier", {.kind = MAIL_LOGIN_VERIFIER, .verifier = &sha_256}, shown | scram_256},
        {"SHA-1", {.kind = MAIL_LOGIN_VERIFIER, .verifier = &sha_1}, shown | BIT(SCRAM_SHA_1)},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        for (unsigned m = 1; m < MAIL_SASL_MECHANISMS; m++) {
            mail_sasl_mechanism mechanism = (mail_sasl_mechanism)m;
            exchange ex = {mechanism, "alice", NULL, "secret", "", ""};
            fixture fx;

            mail_test_case(cases[i].name);
            set_up_asking(&fx);
            fx.known = cases[i].known;
            fx.known.user = MAIL_SPAN("uid=7");
            assert_int_equal(exchange_all(&fx, &ex), (cases[i].lets_in & 1U << m) != 0);
            assert_int_equal(fx.asked, 1);
            if (ex.as_whom[0] != '\0') {
                assert_string_equal(ex.as_whom, "uid=7");
            }
            tear_down(&fx);
        }
    }
}

static void waits_for_an_embedder_and_knows_stale_tickets(void **state)
{
    mail_login_known in = {.kind = MAIL_LOGIN_ACCEPT};
    mail_login_known later = {.kind = MAIL_LOGIN_LATER};
    fixture fx;
    answer an;

    (void)state;
    set_up_asking(&fx);
    fx.answers_later = true;
    assert_int_equal(mail_login_answer((mail_ticket){0}, &in), MAIL_ECANCELED);
    begin(&fx, &an, &host_a, plain("alice", "secret"));
    run_now(&fx.lp);
    assert_int_equal(an.calls, 0);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_OK);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_ECANCELED);
    assert_int_equal(an.calls, 0); /* not from inside */
    await(&fx, &an);
    assert_int_equal(an.sasl.kind, MAIL_SASL_ACCEPT);
    net_login_end(an.login, true);

    begin(&fx, &an, &host_a, plain("alice", "secret"));
    net_login_end(an.login, false);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_ECANCELED);

    begin(&fx, &an, &host_a, plain("alice", "secret"));
    assert_int_equal(mail_login_answer(fx.ticket, &later), MAIL_OK);
    await(&fx, &an);
    assert_true(an.is_later);
    net_login_end(an.login, false);
    tear_down(&fx);
}

static void refuses_answers_that_can_not_be(void **state)
{
    static char text[5000];
    mail_sasl_question question = plain("alice", "secret");
    const struct {
        const char *name;
        mail_login_known known;
    } cases[] = {
        {"NUL in the password", {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("a\0b")}},
        {"password too long", {.kind = MAIL_LOGIN_PASSWORD, .secret = mail_span_of(text, 512)}},
        {"NUL in the user", {.kind = MAIL_LOGIN_ACCEPT, .user = MAIL_SPAN("a\0b")}},
        {"user too long",
         {.kind = MAIL_LOGIN_ACCEPT, .user = mail_span_of(text, MAIL_SASL_NAME_MAX + 1)}},
        {"mailbox too long",
         {.kind = MAIL_LOGIN_ACCEPT, .mailbox = mail_span_of(text, MAIL_MAILBOX_PATH_SIZE)}},
    };
    fixture fx;
    answer an;

    (void)state;
    memset(text, 'x', sizeof(text));
    set_up_asking(&fx);
    fx.answers_later = true;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        begin(&fx, &an, &host_a, question);
        assert_int_equal(mail_login_answer(fx.ticket, &cases[i].known), MAIL_EINVAL);
        await(&fx, &an);
        assert_true(an.is_later);
        net_login_end(an.login, false);
    }
    question.user = MAIL_SPAN("alice\0x"); /* HOSTILE 9: nobody is asked, nobody let in */
    fx.asked = 0;
    begin(&fx, &an, &host_a, question);
    await(&fx, &an);
    assert_int_equal(an.sasl.kind, MAIL_SASL_REFUSE);
    assert_int_equal(fx.asked, 0);
    net_login_end(an.login, false);
    tear_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_word_of_an_embedder),
        cmocka_unit_test(waits_for_an_embedder_and_knows_stale_tickets),
        cmocka_unit_test(refuses_answers_that_can_not_be),
    };

    return mail_test_run(tests);
}
