/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "dns/build.h"
#include "dns/wire.h"

static void writes_a_query(void **state)
{
    static const unsigned char want[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" /* RD */
                                        "\x02Mx\x07"
                                        "eXample\x00\x00\x0f\x00\x01"
                                        "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"; /* 1232 */
    dns_query query = {"Mx.eXample", DNS_TYPE_MX, 0x1234, 1232};
    unsigned char out[512];
    size_t length;

    (void)state;
    assert_int_equal(dns_wire_query(&query, out, sizeof(out), &length), MAIL_OK);
    assert_int_equal(length, sizeof(want) - 1);
    assert_memory_equal(out, want, length);

    query.edns_size = 0;
    assert_int_equal(dns_wire_query(&query, out, sizeof(out), &length), MAIL_OK);
    assert_int_equal(length, sizeof(want) - 1 - 11);
    assert_int_equal(out[11], 0);
    assert_int_equal(dns_wire_query(&query, out, length - 1, &length), MAIL_ELIMIT);
}

/* Decodes the first record of a packet that must be sound. */
static int decode_first(const built *b, dns_data *data, buffer *text)
{
    dns_walk walk = {0};
    dns_item item;

    assert_int_equal(dns_packet_check(built_span(b), NULL), MAIL_OK);
    assert_int_equal(dns_packet_next(built_span(b), &walk, &item), MAIL_OK);
    return dns_wire_data(built_span(b), &item, data, text);
}

static void reads_addresses(void **state)
{
    dns_data data;
    static built b;
    buffer text;

    (void)state;
    buffer_init(&text, NULL, 100);
    build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_A);
    build_a(&b, "@", 5, 0xc0000201);
    assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
    assert_int_equal(data.ip.family, 4);
    assert_memory_equal(data.ip.bytes, "\xc0\x00\x02\x01", 4);

    build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_AAAA);
    build_aaaa(&b, "@", 5, "0123456789abcdef");
    assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
    assert_int_equal(data.ip.family, 6);
    assert_memory_equal(data.ip.bytes, "0123456789abcdef", 16);
    buffer_deinit(&text);
}

static void reads_host_names(void **state)
{
    static const struct {
        const char *name;
        const char *wire;
        const char *want;
    } cases[] = {
        {"a compressed name", "@", "a.example"},
        {"upper case", "MX.Example", "mx.example"},
        {"the root", ".", "."},
        {"what is no host name", "m x.example", ""},
    };
    dns_data data;
    static built b;
    buffer text;

    (void)state;
    buffer_init(&text, NULL, 100);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_MX);
        build_mx(&b, "@", 5, 0x1234, cases[i].wire);
        assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
        assert_string_equal(data.host, cases[i].want);
        assert_int_equal(data.preference, 0x1234);

        build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_A);
        build_cname(&b, "@", 5, cases[i].wire);
        assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
        assert_string_equal(data.host, cases[i].want);
    }
    buffer_deinit(&text);
}

static void reads_the_minimum_of_a_zone(void **state)
{
    dns_data data;
    static built b;
    buffer text;

    (void)state;
    buffer_init(&text, NULL, 100);
    build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_A);
    build_soa(&b, "example", 3600, 77);
    assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
    assert_int_equal(data.minimum, 77);
    buffer_deinit(&text);
}

static void joins_strings_within_the_room_given(void **state)
{
    dns_data data;
    static built b;
    buffer text;

    (void)state;
    buffer_init(&text, NULL, 16000);
    build_begin(&b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_TXT);
    build_txt(&b, "@", 5, 64, 240);
    assert_int_equal(decode_first(&b, &data, &text), MAIL_OK);
    assert_int_equal(buffer_length(&text), 64 * 240);
    assert_int_equal(decode_first(&b, &data, &text), MAIL_ELIMIT);
    buffer_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_query),
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(reads_host_names),
        cmocka_unit_test(reads_the_minimum_of_a_zone),
        cmocka_unit_test(joins_strings_within_the_room_given),
    };

    return mail_test_run(tests);
}
