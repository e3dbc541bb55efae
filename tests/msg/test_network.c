/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/address.h>

static mail_ip ip_of(const char *text)
{
    mail_ip ip;

    assert_int_equal(mail_ip_parse(mail_span_text(text), &ip), MAIL_OK);
    return ip;
}

static void refuses_what_is_no_network(void **state)
{
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        {"10.0.0.0/8", true},     {"0.0.0.0/0", true},     {"::/0", true},
        {"::1/128", true},        {"192.0.2.1", true},     {"192.0.2.128/25", true},
        {"10.0.0.1/8", false},    {"192.0.2.1/31", false}, {"10.0.0.0/33", false},
        {"::/129", false},        {"10.0.0.0/", false},    {"10.0.0.0/-1", false},
        {"10.0.0.0/8/8", false},  {"/8", false},           {"", false},
        {"fe80::1%2/128", false}, {"10/8", false},         {"10.0.0.0/08x", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_network network;

        mail_test_case(rows[i].in);
        assert_int_equal(mail_network_parse(mail_span_text(rows[i].in), &network),
                         rows[i].good ? MAIL_OK : MAIL_EINVAL);
    }
}

static void contains_addresses_in_either_notation(void **state)
{
    static const struct {
        const char *network;
        const char *ip;
        bool want;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "::a00:1", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.200", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "1.2.3.4", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"::ffff:10.0.0.0/104", "::ffff:11.9.9.9", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_ip ip = ip_of(rows[i].ip);
        mail_network network;

        mail_test_case(rows[i].ip);
        assert_int_equal(mail_network_parse(mail_span_text(rows[i].network), &network), MAIL_OK);
        assert_int_equal(mail_network_contains(&network, &ip), rows[i].want);
    }
}

/* MX-016 */
static void knows_what_is_not_the_public_internet(void **state)
{
    static const struct {
        const char *ip;
        bool private;
        bool loopback;
    } rows[] = {
        {"127.0.0.1", true, true},
        {"127.255.255.255", true, true},
        {"::1", true, true},
        {"::ffff:127.0.0.1", true, true},
        {"0.0.0.0", true, false},
        {"::", true, false},
        {"10.1.2.3", true, false},
        {"172.16.0.1", true, false},
        {"172.31.255.255", true, false},
        {"172.32.0.0", false, false},
        {"192.168.1.1", true, false},
        {"100.64.0.1", true, false},
        {"100.128.0.1", false, false},
        {"169.254.1.1", true, false},
        {"192.0.2.1", true, false},
        {"198.19.255.255", true, false},
        {"224.0.0.1", true, false},
        {"255.255.255.255", true, false},
        {"8.8.8.8", false, false},
        {"::ffff:8.8.8.8", false, false},
        {"::ffff:192.168.0.1", true, false},
        {"::7f00:1", true, false},
        {"fe80::1", true, false},
        {"fd00::1", true, false},
        {"ff02::1", true, false},
        {"2001:db8::1", true, false},
        {"2001::1", true, false},
        {"3fff::1", true, false},
        {"2001:4860:4860::8888", false, false},
        {"2a00:1450::1", false, false},
        {"64:ff9b::8.8.8.8", false, false},
        {"64:ff9b::127.0.0.1", true, false},
        {"2002:0808:0808::1", false, false},
        {"2002:7f00:0001::1", true, false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_ip ip = ip_of(rows[i].ip);

        mail_test_case(rows[i].ip);
        assert_int_equal(mail_ip_is_private(&ip), rows[i].private);
        assert_int_equal(mail_ip_is_loopback(&ip), rows[i].loopback);
    }
}

static void takes_mapped_addresses_for_what_they_map(void **state)
{
    mail_ip plain = ip_of("192.0.2.1");
    mail_ip mapped = ip_of("::ffff:192.0.2.1");
    mail_ip other = ip_of("::192.0.2.1");
    mail_ip zone = ip_of("fe80::1%1");
    mail_ip no_zone = ip_of("fe80::1");

    (void)state;
    assert_true(mail_ip_equal(&plain, &mapped));
    assert_true(mail_ip_equal(&mapped, &plain));
    assert_false(mail_ip_equal(&plain, &other));
    assert_false(mail_ip_equal(&zone, &no_zone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_network),
        cmocka_unit_test(contains_addresses_in_either_notation),
        cmocka_unit_test(knows_what_is_not_the_public_internet),
        cmocka_unit_test(takes_mapped_addresses_for_what_they_map),
    };

    return mail_test_run(tests);
}
