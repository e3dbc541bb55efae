/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/address.h>

static void reads_addresses_and_prints_them_in_one_form(void **state)
{
    static const struct {
        const char *in;
        const char *text; /* NULL: refused */
        const char *literal;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", "[127.0.0.1]"},
        {"::1", "::1", "[IPv6:::1]"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", "[IPv6:2001:db8::1]"},
        {"::ffff:10.0.0.1", "::ffff:10.0.0.1", "[IPv6:::ffff:10.0.0.1]"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "[IPv6:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
        {"fe80::1%7", "fe80::1%7", "[IPv6:fe80::1]"},
        {"fe80::1%4294967295", "fe80::1%4294967295", "[IPv6:fe80::1]"},
        {"fe80::1%4294967296", NULL, NULL},
        {"fe80::1%eth0", NULL, NULL},
        {"fe80::1%", NULL, NULL},
        {"1.2.3.4%1", NULL, NULL},
        {"", NULL, NULL},
        {"1.2.3", NULL, NULL},
        {"1.2.3.4.5", NULL, NULL},
        {"1.2.3.256", NULL, NULL},
        {"1.2.3.04", NULL, NULL},
        {" 1.2.3.4", NULL, NULL},
        {"1:2", NULL, NULL},
        {":::", NULL, NULL},
        {"11111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111:2222", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_IP_TEXT_SIZE];
        mail_ip ip;
        int code;

        mail_test_case(rows[i].in);
        code = mail_ip_parse(mail_span_text(rows[i].in), &ip);
        assert_int_equal(code, rows[i].text != NULL ? MAIL_OK : MAIL_EINVAL);
        if (code == MAIL_OK) {
            assert_int_equal(mail_ip_print(&ip, out), strlen(rows[i].text));
            assert_string_equal(out, rows[i].text);
            assert_int_equal(mail_ip_print_literal(&ip, out), strlen(rows[i].literal));
            assert_string_equal(out, rows[i].literal);
        }
    }
    assert_int_equal(mail_ip_parse(mail_span_of("1.2.3.4\0", 8), &(mail_ip){0}), MAIL_EINVAL);
}

/* SS-016 */
static void reads_literals(void **state)
{
    static const struct {
        const char *in;
        int family; /* 0: refused */
    } rows[] = {
        {"[127.0.0.1]", 4},
        {"[IPv6:::1]", 6},
        {"[ipv6:::1]", 6},
        {"[::1]", 0},
        {"[IPv6:1.2.3.4]", 0},
        {"127.0.0.1", 0},
        {"[127.0.0.1", 0},
        {"[]", 0},
        {"[", 0},
        {"", 0},
        {"[IPv6:]", 0},
        {"[IPv6:fe80::1%2]", 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_ip ip;

        mail_test_case(rows[i].in);
        assert_int_equal(mail_ip_parse_literal(mail_span_text(rows[i].in), &ip),
                         rows[i].family != 0 ? MAIL_OK : MAIL_EINVAL);
        if (rows[i].family != 0) {
            assert_int_equal(ip.family, rows[i].family);
        }
    }
}

static void reads_and_prints_endpoints(void **state)
{
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        {"127.0.0.1:25", true},  {"[::1]:2525", true},    {"[fe80::1%3]:25", true},
        {"127.0.0.1:0", true},   {"0.0.0.0:65535", true}, {"127.0.0.1:65536", false},
        {"127.0.0.1", false},    {"127.0.0.1:", false},   {"127.0.0.1:x", false},
        {"127.0.0.1:-1", false}, {"::1:25", false},       {"[127.0.0.1]:25", false},
        {"[::1]", false},        {"[::1:25", false},      {":25", false},
        {"[]:25", false},        {"localhost:25", false}, {"", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_IP_TEXT_SIZE];
        mail_endpoint endpoint;
        int code;

        mail_test_case(rows[i].in);
        code = mail_endpoint_parse(mail_span_text(rows[i].in), &endpoint);
        assert_int_equal(code, rows[i].good ? MAIL_OK : MAIL_EINVAL);
        if (code == MAIL_OK) {
            assert_int_equal(mail_endpoint_print(&endpoint, out), strlen(rows[i].in));
            assert_string_equal(out, rows[i].in);
        }
    }
}

static void gives_a_peer_without_port_the_usual_one(void **state)
{
    static const struct {
        const char *in;
        const char *out; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1:53"},
        {"192.0.2.1:5353", "192.0.2.1:5353"},
        {"2001:db8::1", "[2001:db8::1]:53"},
        {"[2001:db8::1]", "[2001:db8::1]:53"},
        {"[::1]:5353", "[::1]:5353"},
        {"192.0.2.1:0", NULL},
        {"192.0.2.1:", NULL},
        {"[192.0.2.1]", NULL},
        {"[::1]:", NULL},
        {"[::1", NULL},
        {"[]", NULL},
        {"localhost", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_IP_TEXT_SIZE];
        mail_endpoint at;

        mail_test_case(rows[i].in);
        assert_int_equal(mail_endpoint_parse_peer(mail_span_text(rows[i].in), 53, &at),
                         rows[i].out != NULL ? MAIL_OK : MAIL_EINVAL);
        if (rows[i].out != NULL) {
            mail_endpoint_print(&at, out);
            assert_string_equal(out, rows[i].out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses_and_prints_them_in_one_form),
        cmocka_unit_test(reads_literals),
        cmocka_unit_test(reads_and_prints_endpoints),
        cmocka_unit_test(gives_a_peer_without_port_the_usual_one),
    };

    return mail_test_run(tests);
}
