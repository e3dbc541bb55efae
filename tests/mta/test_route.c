/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/route.h>

static mail_route_table *make_table(const char *const *rules)
{
    mail_route_table *table;
    mail_error err = {.text = ""};

    assert_int_equal(mail_route_table_create(&table, NULL), MAIL_OK);
    for (; *rules != NULL; rules++) {
        if (mail_route_table_add(table, mail_span_text(*rules), &err) != MAIL_OK) {
            fail_msg("%s: %s", *rules, err.text);
        }
    }
    return table;
}

#define MAKE_TABLE(...) make_table((const char *const[]){__VA_ARGS__, NULL})

static void takes_the_first_rule_that_matches(void **state)
{
    static const struct {
        const char *domain;
        const char *want; /* the next hop's text; NULL: none */
    } cases[] = {
        {"example.org", "local"},
        {"EXAMPLE.Org", "local"},
        {"a.example.org", "10.0.0.1:25"},
        {"a.b.EXAMPLE.ORG", "10.0.0.1:25"},
        {"badexample.org", "mx"},
        {"example.org.net", "mx"},
        {"org", "mx"},
        {"deep.example.net", "discard"},
        {"example.net", "mx"},
        {"b\xc3\xbc"
         "cher.example",
         "hold"},
        {"xn--bcher-kva.example", "hold"},
        {"[127.0.0.1]", "lmtp:127.0.0.1:24"},
        {"[IPv6:::1]", "error:550 no"},
        {"[127.0.0.2]", "mx"},
        {"", "mx"},
        {"not a domain", "mx"},
    };
    mail_route_table *table =
        MAKE_TABLE("example.org=local", ".Example.ORG=10.0.0.1:25", ".example.net=discard",
                   "deep.example.net=local",
                   "b\xc3\xbc"
                   "cher.example=hold",
                   "[127.0.0.1]=lmtp:127.0.0.1:24", "[ipv6:::1]=error:550 no", "*=mx", "*=hold");

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const mail_nexthop *hop = mail_route_table_find(table, mail_span_text(cases[i].domain));

        mail_test_case(cases[i].domain);
        assert_non_null(hop);
        assert_span_equal(hop->text, cases[i].want);
    }
    mail_route_table_destroy(table);
}

static void finds_nothing_where_no_rule_matches(void **state)
{
    mail_route_table *table = MAKE_TABLE("example.org=local");

    (void)state;
    assert_null(mail_route_table_find(table, MAIL_SPAN("example.net")));
    assert_null(mail_route_table_find(table, MAIL_SPAN("")));
    mail_route_table_destroy(table);
}

static void reads_every_kind_of_next_hop(void **state)
{
    static const struct {
        const char *rule;
        mail_nexthop_kind kind;
        size_t hosts;
        const char *name; /* of the last host */
        uint16_t port;
        uint8_t family;
    } cases[] = {
        {"*=mx", MAIL_NEXTHOP_MX, 0, NULL, 0, 0},
        {"*=local", MAIL_NEXTHOP_LOCAL, 0, NULL, 0, 0},
        {"*=discard", MAIL_NEXTHOP_DISCARD, 0, NULL, 0, 0},
        {"*=hold", MAIL_NEXTHOP_HOLD, 0, NULL, 0, 0},
        {"*=Smart.Example.ORG:587", MAIL_NEXTHOP_SMTP, 1, "smart.example.org", 587, 0},
        {"*=127.0.0.1:2525", MAIL_NEXTHOP_SMTP, 1, "127.0.0.1", 2525, 4},
        {"*=[127.0.0.1]:2525", MAIL_NEXTHOP_SMTP, 1, "127.0.0.1", 2525, 4},
        {"*=[::1]:25", MAIL_NEXTHOP_SMTP, 1, "::1", 25, 6},
        {"*=a.example:25,[::1]:26,10.0.0.1:27", MAIL_NEXTHOP_SMTP, 3, "10.0.0.1", 27, 4},
        {"*=b\xc3\xbc"
         "cher.example:25",
         MAIL_NEXTHOP_SMTP, 1, "xn--bcher-kva.example", 25, 0},
        {"*=localhost:65535", MAIL_NEXTHOP_SMTP, 1, "localhost", 65535, 0},
        {"*=lmtp:127.0.0.1:24", MAIL_NEXTHOP_LMTP, 1, "127.0.0.1", 24, 4},
        {"*=lmtp:a.example:24,b.example:25", MAIL_NEXTHOP_LMTP, 2, "b.example", 25, 0},
        {"*=lmtp:unix:/run/lmtp", MAIL_NEXTHOP_LMTP, 1, "/run/lmtp", 0, 0},
        {"*=lmtp:unix:a,b:c", MAIL_NEXTHOP_LMTP, 1, "a,b:c", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_route_table *table = MAKE_TABLE(cases[i].rule);
        const mail_nexthop *hop = mail_route_table_find(table, MAIL_SPAN("x.example"));

        mail_test_case(cases[i].rule);
        assert_int_equal(hop->kind, cases[i].kind);
        assert_int_equal(hop->host_count, cases[i].hosts);
        if (cases[i].hosts > 0) {
            const mail_nexthop_host *last = &hop->hosts[hop->host_count - 1];

            assert_string_equal(last->name, cases[i].name);
            assert_int_equal(last->port, cases[i].port);
            assert_int_equal(last->ip.family, cases[i].family);
        }
        mail_route_table_destroy(table);
    }
}

static void reads_the_reply_of_an_error(void **state)
{
    static const struct {
        const char *rule;
        uint16_t code;
        uint16_t status[3];
        const char *text;
    } cases[] = {
        {"*=error:550 gone for good", 550, {5, 0, 0}, "gone for good"},
        {"*=error:550 5.1.6 moved", 550, {5, 1, 6}, "moved"},
        {"*=error:451 4.3.2 later, please", 451, {4, 3, 2}, "later, please"},
        {"*=error:554", 554, {5, 0, 0}, ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_route_table *table = MAKE_TABLE(cases[i].rule);
        const mail_nexthop *hop = mail_route_table_find(table, MAIL_SPAN("x.example"));

        mail_test_case(cases[i].rule);
        assert_int_equal(hop->kind, MAIL_NEXTHOP_ERROR);
        assert_int_equal(hop->reply.code, cases[i].code);
        assert_memory_equal(hop->reply.status, cases[i].status, sizeof(cases[i].status));
        assert_span_equal(hop->reply.text, cases[i].text);
        mail_route_table_destroy(table);
    }
}

static void refuses_bad_rules_with_a_reason(void **state)
{
    static const char *const cases[] = {
        "",
        "mx",
        "=mx",
        "*",
        "*=",
        "*=MX",
        "*=somewhere",
        "*=host",
        "*=host:",
        "*=host:0",
        "*=host:65536",
        "*=host:-1",
        "*=host:+1",
        "*=host:25x",
        "*=host:999999999999",
        "*=:25",
        "*=::1:25",
        "*=[::1:25",
        "*=[::zz]:25",
        "*=[]:25",
        "*=ho st:25",
        "*=host:25,",
        "*=,host:25",
        "*=host:25,,host:26",
        "*=a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1",
        "*=lmtp:",
        "*=lmtp:host",
        "*=lmtp:unix:",
        "*=error:",
        "*=error:no",
        "*=error:250 fine",
        "*=error:650 what",
        "*=error:55 short",
        "..=mx",
        ".=mx",
        "**=mx",
        "*.example.org=mx",
        "a@example.org=mx",
        "exa mple.org=mx",
    };
    mail_route_table *table;

    (void)state;
    assert_int_equal(mail_route_table_create(&table, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err = {.text = ""};

        mail_test_case(cases[i]);
        assert_int_equal(mail_route_table_add(table, mail_span_text(cases[i]), &err), MAIL_EINVAL);
        assert_string_not_equal(err.text, "");
        assert_null(mail_route_table_find(table, MAIL_SPAN("example.org")));
    }
    mail_route_table_destroy(table);
}

static void refuses_a_socket_path_that_no_socket_can_have(void **state)
{
    char rule[200] = "*=lmtp:unix:/";
    mail_route_table *table;

    (void)state;
    assert_int_equal(mail_route_table_create(&table, NULL), MAIL_OK);
    memset(rule + 12, 'a', 107);
    assert_int_equal(mail_route_table_add(table, mail_span_text(rule), NULL), MAIL_OK);
    rule[12 + 107] = 'a';
    assert_int_equal(mail_route_table_add(table, mail_span_text(rule), NULL), MAIL_EINVAL);
    mail_route_table_destroy(table);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_route_table *table = NULL;
        int code = mail_route_table_create(&table, &walk.mem);

        if (code == MAIL_OK) {
            code = mail_route_table_add(table, MAIL_SPAN("a=b:1,c:2"), NULL);
        }
        if (code == MAIL_OK) {
            code = mail_route_table_add(table, MAIL_SPAN("*=lmtp:unix:/x"), NULL);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_route_table_destroy(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_first_rule_that_matches),
        cmocka_unit_test(finds_nothing_where_no_rule_matches),
        cmocka_unit_test(reads_every_kind_of_next_hop),
        cmocka_unit_test(reads_the_reply_of_an_error),
        cmocka_unit_test(refuses_bad_rules_with_a_reason),
        cmocka_unit_test(refuses_a_socket_path_that_no_socket_can_have),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
