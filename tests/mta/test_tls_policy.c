/* SPDX-License-Identifier: MIT */
#include <mail/tls_policy.h>

#include "support/support.h"

static mail_tls_policy_table *table_of(const mail_mem *mem)
{
    mail_tls_policy_table *table = NULL;

    assert_int_equal(mail_tls_policy_table_create(&table, mem), MAIL_OK);
    return table;
}

static void the_first_rule_that_matches_wins(void **state)
{
    static const char *const rules[] = {
        "bank.example=verify",       ".bank.example=require", "old.example=none",
        "b\xc3\xbc.example=require", "[192.0.2.1]=none",      "*=verify",
    };
    static const struct {
        const char *domain;
        mail_tls_level level;
    } cases[] = {
        {"bank.example", MAIL_TLS_LEVEL_VERIFY},      {"BANK.example", MAIL_TLS_LEVEL_VERIFY},
        {"a.b.bank.example", MAIL_TLS_LEVEL_REQUIRE}, {"notbank.example", MAIL_TLS_LEVEL_VERIFY},
        {"old.example", MAIL_TLS_LEVEL_NONE},         {"xn--b-eha.example", MAIL_TLS_LEVEL_REQUIRE},
        {"[192.0.2.1]", MAIL_TLS_LEVEL_NONE},         {"", MAIL_TLS_LEVEL_VERIFY},
    };
    mail_tls_policy_table *table = table_of(NULL);

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rules); i++) {
        assert_int_equal(mail_tls_policy_table_add(table, mail_span_text(rules[i]), NULL), MAIL_OK);
    }
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].domain);
        assert_int_equal(mail_tls_policy_table_find(table, mail_span_text(cases[i].domain)),
                         cases[i].level);
    }
    mail_tls_policy_table_destroy(table);
}

static void tls_is_used_where_it_may_when_nothing_is_said(void **state)
{
    mail_tls_policy_table *table = table_of(NULL);

    (void)state;
    assert_int_equal(mail_tls_policy_table_find(table, MAIL_SPAN("a.example")), MAIL_TLS_LEVEL_MAY);
    mail_tls_policy_table_destroy(table);
}

static void refuses_bad_rules_with_a_reason(void **state)
{
    static const struct {
        const char *rule;
        const char *why;
    } cases[] = {
        {"", "a TLS policy is PATTERN=LEVEL"},
        {"verify", "a TLS policy is PATTERN=LEVEL"},
        {"a b=verify", "the pattern is no domain, .domain or *"},
        {"=verify", "the pattern is no domain, .domain or *"},
        {"a.example=", "the level must be none, may, require or verify"},
        {"a.example=Verify", "the level must be none, may, require or verify"},
        {"a.example=verify ", "the level must be none, may, require or verify"},
    };
    mail_tls_policy_table *table = table_of(NULL);

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err;

        mail_test_case(cases[i].rule);
        assert_int_equal(mail_tls_policy_table_add(table, mail_span_text(cases[i].rule), &err),
                         MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].why);
    }
    mail_tls_policy_table_destroy(table);
}

static void names_every_level(void **state)
{
    (void)state;
    for (int i = MAIL_TLS_LEVEL_MAY; i <= MAIL_TLS_LEVEL_VERIFY; i++) {
        const char *name = mail_tls_level_name((mail_tls_level)i);
        mail_tls_level level;

        assert_int_equal(mail_tls_level_parse(mail_span_text(name), &level), MAIL_OK);
        assert_int_equal(level, i);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_tls_policy_table *table;

        if (mail_tls_policy_table_create(&table, &walk.mem) == MAIL_OK) {
            (void)mail_tls_policy_table_add(table, MAIL_SPAN("a.example=verify"), NULL);
            (void)mail_tls_policy_table_add(table, MAIL_SPAN("nothing"), NULL);
            mail_tls_policy_table_destroy(table);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_matches_wins),
        cmocka_unit_test(tls_is_used_where_it_may_when_nothing_is_said),
        cmocka_unit_test(refuses_bad_rules_with_a_reason),
        cmocka_unit_test(names_every_level),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
