/* SPDX-License-Identifier: MIT */
#include "login_kit.h"

/* RFC 7677, section 3: the password is "pencil". */
#define SCRAM                                                                                      \
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const mail_sasl_mechanism mechanisms[] = {
    MAIL_SASL_PLAIN,         MAIL_SASL_LOGIN,
    MAIL_SASL_SCRAM_SHA_256, MAIL_SASL_SCRAM_SHA_256_PLUS,
    MAIL_SASL_SCRAM_SHA_1,   MAIL_SASL_CRAM_MD5,
};

static void lets_in_by_every_mechanism_that_a_secret_allows(void **state)
{
    static const struct {
        const char *user;
        const char *password;
        unsigned allowed;
    } cases[] = {
        {"plain@a.example", "pass", ~0U},
        {"PLAIN@A.Example", "pass", ~0U},
        {"hash", "geheim", BIT(PLAIN) | BIT(LOGIN)},
        {"scram", "pencil", BIT(PLAIN) | BIT(LOGIN) | BIT(SCRAM_SHA_256) | BIT(SCRAM_SHA_256_PLUS)},
        {"none", "*", 0},
        {"nobody", "pass", 0},
        {"plain@a.example", "Pass", 0},
        {"hash", "Geheim", 0},
        {"scram", "Pencil", 0},
        {"not a name", "pass", 0},
    };
    char users[1000];
    fixture fx;

    (void)state;
    snprintf(users, sizeof(users),
             "plain@a.example:{PLAIN}pass\nhash:%s\nscram:" SCRAM "\nnone:*\n", hash_of("geheim"));
    set_up(&fx, users, NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases) * MAIL_COUNT(mechanisms); i++) {
        size_t at = i / MAIL_COUNT(mechanisms);
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        bool is_allowed = (cases[at].allowed & 1U << mechanism) != 0;
        char name[100];
        exchange ex = {mechanism, cases[at].user, NULL, cases[at].password, "", ""};

        snprintf(name, sizeof(name), "%s by %s", cases[at].user,
                 mail_sasl_mechanism_name(mechanism));
        mail_test_case(name);
        fx.lp.now += MAIL_HOUR;
        assert_int_equal(exchange_all(&fx, &ex), is_allowed);
        if (is_allowed && at <= 1) { /* as the accounts spell it */
            assert_string_equal(ex.as_whom, "plain@a.example");
        }
    }
    tear_down(&fx);
}

/*
 * PO-023, HOSTILE 9. Measured in jobs of workers and in the scratch space that crypt(3) takes,
 * not in time: for each kind of secret that an account may have, names that don't exist cost what
 * known ones do.
 */
static void does_the_same_work_for_names_that_do_not_exist(void **state)
{
    static const char *const names[] = {"alice", "nobody", "none", "not a name", "a@b@c", ""};
    const char *const secrets[] = {"{PLAIN}secret", hash_of("geheim"), SCRAM};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(secrets) * MAIL_COUNT(mechanisms); i++) {
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        size_t known_jobs = 0;
        size_t known_blocks = 0;

        for (size_t k = 0; k < MAIL_COUNT(names); k++) {
            mail_sasl_question question = plain(names[k], "wrong");
            char users[1000];
            mail_test_walk walk;
            fixture fx;
            answer an;
            size_t before;

            question.mechanism = mechanism;
            snprintf(users, sizeof(users), "none:*\nalice:%s\n",
                     secrets[i / MAIL_COUNT(mechanisms)]);
            mail_test_mem_init(&walk);
            assert_int_equal(open_fixture(&fx, users, &walk.mem, NULL), MAIL_OK);
            before = walk.count;
            begin(&fx, &an, &host_a, question);
            await(&fx, &an);
            if (k == 0) {
                known_jobs = fx.lp.jobs_ever;
                known_blocks = walk.count - before;
            }
            mail_test_case(names[k]);
            assert_int_equal(fx.lp.jobs_ever, known_jobs);
            assert_int_equal(walk.count - before, known_blocks);
            net_login_end(an.login, false);
            tear_down(&fx);
            mail_test_mem_check(&walk);
        }
        assert_int_equal(known_jobs, 1);
    }
}

/* The part of a SCRAM challenge behind the nonce. */
static const char *salt_of(const exchange *ex)
{
    const char *salt = strstr(ex->challenge, ",s=");

    assert_non_null(salt);
    return salt;
}

static void show_salt(fixture *fx, exchange *ex, const char *user)
{
    *ex = (exchange){MAIL_SASL_SCRAM_SHA_256, user, NULL, "wrong", "", ""};
    fx->lp.now += MAIL_HOUR;
    assert_false(exchange_all(fx, ex));
}

/* What SCRAM shows of a user is the same each time, after new accounts too, and tells nothing. */
static void shows_unknown_users_a_lasting_salt(void **state)
{
    static const char *const users[] = {"alice:{PLAIN}secret\n", "alice:{PLAIN}changed\n",
                                        "alice:" SCRAM "\n"};
    static const char *const names[] = {"alice", "nobody", "Nobody"};
    fixture fx;
    exchange first[MAIL_COUNT(names)];

    (void)state;
    set_up(&fx, users[0], NULL);
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        show_salt(&fx, &first[i], names[i]);
    }
    assert_string_not_equal(salt_of(&first[0]), salt_of(&first[1]));
    assert_string_equal(salt_of(&first[1]), salt_of(&first[2])); /* names have no case */
    assert_int_equal(strlen(salt_of(&first[0])), strlen(salt_of(&first[1])));
    mail_accounts_unref(fx.accounts);
    assert_int_equal(
        mail_accounts_parse(&fx.accounts, mail_span_text(users[1]), "users", NULL, NULL), MAIL_OK);
    net_logins_set_accounts(fx.logins, fx.accounts);
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        exchange again;

        show_salt(&fx, &again, names[i]);
        assert_string_equal(salt_of(&again), salt_of(&first[i]));
    }
    tear_down(&fx);
    set_up(&fx, users[2], NULL); /* where salts are kept, an unknown user's is of the same kind */
    show_salt(&fx, &first[0], "alice");
    show_salt(&fx, &first[1], "nobody");
    assert_non_null(strstr(first[0].challenge, ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    assert_int_equal(strlen(salt_of(&first[0])), strlen(salt_of(&first[1])));
    assert_string_equal(strstr(first[1].challenge, ",i="), ",i=4096");
    tear_down(&fx);
}

static void lets_nobody_act_as_another(void **state)
{
    static const struct {
        const char *authzid;
        bool want;
    } cases[] = {{"", true}, {"alice", true}, {"ALICE", true}, {"bob", false}, {"a b", false}};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}geheim\n", NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases) * MAIL_COUNT(mechanisms); i++) {
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        const char *authzid = cases[i / MAIL_COUNT(mechanisms)].authzid;
        exchange ex = {mechanism, "alice", authzid, "secret", "", ""};

        if (mechanism != MAIL_SASL_LOGIN && mechanism != MAIL_SASL_CRAM_MD5) {
            mail_test_case(authzid);
            fx.lp.now += MAIL_HOUR;
            assert_int_equal(exchange_all(&fx, &ex), cases[i / MAIL_COUNT(mechanisms)].want);
        }
    }
    tear_down(&fx);
}

/* TLS has verified whom a certificate names. */
static void lets_in_by_certificate_who_has_an_account(void **state)
{
    exchange known = {MAIL_SASL_EXTERNAL, "alice", NULL, "", "", ""};
    exchange other = {MAIL_SASL_EXTERNAL, "alice", "bob", "", "", ""};
    exchange unknown = {MAIL_SASL_EXTERNAL, "nobody", NULL, "", "", ""};
    exchange token = {MAIL_SASL_XOAUTH2, "alice", NULL, "secret", "", ""};
    exchange carol = {MAIL_SASL_EXTERNAL, "carol@A.example", NULL, "", "", ""};
    exchange password = {MAIL_SASL_PLAIN, "carol@a.example", NULL, "{EXTERNAL}", "", ""};
    exchange closed = {MAIL_SASL_EXTERNAL, "closed", NULL, "", "", ""};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}secret\ncarol@a.example:{EXTERNAL}\nclosed:*\n",
           NULL);
    assert_true(exchange_all(&fx, &known));
    assert_true(exchange_all(&fx, &carol));
    assert_string_equal(carol.as_whom, "carol@a.example");
    assert_false(exchange_all(&fx, &password));
    assert_false(exchange_all(&fx, &closed));
    assert_false(exchange_all(&fx, &other));
    assert_false(exchange_all(&fx, &unknown));
    assert_false(exchange_all(&fx, &token)); /* accounts know of no tokens */
    assert_int_equal(net_logins_mechanisms(fx.logins) & BIT(XOAUTH2), 0);
    tear_down(&fx);
}

/* PO-023: longer each time, by name from anywhere and by host for any name. */
static void delays_the_answer_to_wrong_passwords(void **state)
{
    static const struct {
        const mail_ip *host;
        const char *user;
        unsigned seconds;
    } cases[] = {{&host_a, "alice", 1}, {&host_a, "alice", 2},  {&host_a, "bob", 4},
                 {&host_b, "alice", 4}, {&host_a, "nobody", 8}, {&host_a, "eve", 16},
                 {&host_a, "eve", 16},  {&host_b, "nobody", 2}, {NULL, "dave", 1}};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_time before = fx.lp.now;

        mail_test_case(cases[i].user);
        assert_int_equal(log_in(&fx, cases[i].host, cases[i].user, "wrong"), OUT);
        assert_int_equal(fx.lp.now - before, cases[i].seconds * MAIL_SECOND);
        fx.lp.now = before;
    }
    tear_down(&fx);
}

/* What a client proves only after the answer fails later: then the service waits as long. */
static void tells_how_long_a_late_refusal_must_wait(void **state)
{
    mail_sasl_question question = plain("alice", "");
    fixture fx;
    answer an;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    question.mechanism = MAIL_SASL_SCRAM_SHA_256;
    for (unsigned i = 0; i < 3; i++) {
        begin(&fx, &an, &host_a, question);
        run_now(&fx.lp);
        assert_int_equal(an.calls, 1);
        assert_int_equal(net_login_delay(an.login), MAIL_SECOND << i);
        net_login_end(an.login, false);
    }
    begin(&fx, &an, &host_a, plain("alice", "wrong"));
    await(&fx, &an);
    assert_int_equal(net_login_delay(an.login), 0); /* it has waited */
    net_login_end(an.login, false);
    tear_down(&fx);
}

/* A session may die at any time, and the service with the last one. */
static void can_be_ended_at_any_point(void **state)
{
    (void)state;
    for (int point = 0; point < 4; point++) {
        mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
        answer first;
        answer second;
        fixture fx;

        opts.max_working = 1;
        set_up(&fx, "alice:{PLAIN}secret\n", &opts);
        begin(&fx, &first, &host_a, plain("alice", "wrong"));
        begin(&fx, &second, &host_a, plain("alice", "secret"));
        if (point == 1) { /* the first is delayed, the second at work */
            assert_true(work_once(&fx.lp));
        }
        if (point == 2) { /* the second has been told */
            run_now(&fx.lp);
        }
        net_login_end(first.login, false);
        if (point == 3) { /* nobody waits for the first any more, and it frees the way */
            assert_true(net_logins_are_busy(fx.logins));
            run_now(&fx.lp);
            assert_int_equal(second.calls, 1);
            assert_false(net_logins_are_busy(fx.logins));
        }
        net_login_end(second.login, false);
        assert_int_equal(first.calls, 0);
        tear_down(&fx);
    }
    net_login_end(NULL, false);
    net_logins_destroy(NULL);
}

static void finds_the_mailbox(void **state)
{
    static const struct {
        mail_login_known known;
        int code;
        const char *path;
    } cases[] = {
        {{.kind = MAIL_LOGIN_ACCEPT}, MAIL_OK, "mail/a.example/alice"},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"bob", 3}}, MAIL_OK, "mail/bob"},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"a b", 3}}, MAIL_EINVAL, ""},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"a b", 3}, .mailbox = {"/srv/7", 6}},
         MAIL_OK,
         "/srv/7"},
    };
    char path[MAIL_MAILBOX_PATH_SIZE];
    fixture fx;
    answer an;

    (void)state;
    set_up_asking(&fx);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fx.known = cases[i].known;
        begin(&fx, &an, &host_a, plain("alice@a.example", "secret"));
        await(&fx, &an);
        assert_int_equal(net_login_mailbox(an.login, "mail", path), cases[i].code);
        if (cases[i].code == MAIL_OK) {
            assert_string_equal(path, cases[i].path);
        }
        net_login_end(an.login, true);
    }
    tear_down(&fx);
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}geheim:/srv/bob\n", NULL);
    begin(&fx, &an, &host_a, plain("Bob", "geheim"));
    await(&fx, &an);
    assert_int_equal(net_login_mailbox(an.login, "mail", path), MAIL_OK);
    assert_string_equal(path, "/srv/bob");
    net_login_end(an.login, true);
    tear_down(&fx);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        MAIL_TEST_WALK(walk)
        {
            mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
            mail_sasl_question question = plain("alice", "geheim");
            char users[1000];
            fixture fx;
            answer an = {.calls = 0};
            int code;

            snprintf(users, sizeof(users), "alice:%s\n", hash_of("geheim"));
            opts.ask = asks ? on_ask : NULL;
            opts.ask_arg = &fx;
            code = open_fixture(&fx, users, &walk.mem, &opts);
            fx.answers_later = true;
            if (code == MAIL_OK) {
                code = net_login_begin(&an.login, fx.logins, &host_a, &question, on_answer, &an);
            }
            if (code == MAIL_OK) {
                mail_login_known known = {.kind = MAIL_LOGIN_PASSWORD,
                                          .secret = MAIL_SPAN("geheim")};

                if (fx.asked > 0) {
                    mail_login_answer(fx.ticket, &known);
                }
                await(&fx, &an);
                assert_true(an.is_later ? walk.failed : an.sasl.kind == MAIL_SASL_ACCEPT);
            }
            assert_true(code == MAIL_OK || (code == MAIL_ENOMEM && walk.failed));
            net_login_end(an.login, code == MAIL_OK && !an.is_later);
            net_logins_destroy(fx.logins);
            mail_accounts_unref(fx.accounts);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_by_every_mechanism_that_a_secret_allows),
        cmocka_unit_test(does_the_same_work_for_names_that_do_not_exist),
        cmocka_unit_test(shows_unknown_users_a_lasting_salt),
        cmocka_unit_test(lets_nobody_act_as_another),
        cmocka_unit_test(lets_in_by_certificate_who_has_an_account),
        cmocka_unit_test(delays_the_answer_to_wrong_passwords),
        cmocka_unit_test(tells_how_long_a_late_refusal_must_wait),
        cmocka_unit_test(can_be_ended_at_any_point),
        cmocka_unit_test(finds_the_mailbox),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
