/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "dns/build.h"
#include "dns/name.h"

static void sound_answer(built *b)
{
    build_begin(b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_MX);
    build_mx(b, "@", 300, 10, "mx.a.example");
}

static void with_nothing(built *b)
{
    build_begin(b, 1, BUILT_ANSWER, "a.example", DNS_TYPE_MX);
}

static void with_every_type(built *b)
{
    sound_answer(b);
    build_cname(b, "b.example", 5, "@");
    build_a(b, "@", 5, 0x7f000001);
    build_aaaa(b, "@", 5, "0123456789abcdef");
    build_txt(b, "@", 5, 64, 200);
    build_bytes(b, DNS_ANSWER, "@", 999, 5, "\xff\xff", 2);
    build_soa(b, "example", 5, 60);
    build_opt(b, DNS_ADDITIONAL, 0);
}

static void with_200_records(built *b)
{
    with_nothing(b);
    for (unsigned i = 0; i < DNS_RECORDS_MAX; i++) {
        build_a(b, "@", 5, i);
    }
}

static void with_201_records(built *b)
{
    with_200_records(b);
    build_a(b, "@", 5, 1);
}

static void without_question(built *b)
{
    with_nothing(b);
    set_u16(b, 4, 0);
}

static void with_two_questions(built *b)
{
    with_nothing(b);
    set_u16(b, 4, 2);
    put_name(b, "b.example");
    put_u32(b, 1U << 16 | 1U);
}

static void with_65535_records_counted(built *b)
{
    with_nothing(b);
    set_u16(b, 6, 0xffff);
}

static void with_one_record_counted_too_many(built *b)
{
    sound_answer(b);
    set_u16(b, 6, 2);
}

static void with_header_alone(built *b)
{
    with_nothing(b);
    b->length = DNS_HEADER_SIZE;
}

static void with_octets_behind(built *b)
{
    sound_answer(b);
    put_u8(b, 0);
}

/* A record whose owner is given as raw octets, with an address as data. */
static void with_owner(built *b, const void *owner, size_t length)
{
    with_nothing(b);
    set_u16(b, 6, 1);
    put_bytes(b, owner, length);
    put_u32(b, (uint32_t)DNS_TYPE_A << 16 | DNS_CLASS_IN);
    put_u32(b, 5);
    put_u16(b, 4);
    put_u32(b, 1);
}

#define OWNER_AT 27 /* behind the question for a.example */

static void with_pointer_to_itself(built *b)
{
    with_owner(b, (const unsigned char[]){0xc0, OWNER_AT}, 2);
}

static void with_pointer_forward(built *b)
{
    with_owner(b, (const unsigned char[]){0xc0, OWNER_AT + 4}, 2);
}

static void with_pointer_into_own_labels(built *b)
{
    with_owner(b, (const unsigned char[]){1, 'x', 0xc0, OWNER_AT}, 4);
}

static void with_pointer_into_header(built *b)
{
    with_owner(b, (const unsigned char[]){0xc0, 4}, 2);
}

static void with_pointer_past_end(built *b)
{
    with_owner(b, (const unsigned char[]){0xff, 0xff}, 2);
}

static void with_label_type_0x40(built *b)
{
    with_owner(b, (const unsigned char[]){0x41, 'x', 0}, 3);
}

static void with_label_type_0x80(built *b)
{
    with_owner(b, (const unsigned char[]){0x81, 'x', 0}, 3);
}

static size_t long_name(unsigned char *name, size_t last)
{
    memset(name, 'x', 256);
    name[0] = name[64] = name[128] = 63;
    name[192] = (unsigned char)last;
    name[193 + last] = 0;
    return 194 + last;
}

static void with_255_octet_name(built *b)
{
    unsigned char name[260];

    with_owner(b, name, long_name(name, 61));
}

static void with_256_octet_name(built *b)
{
    unsigned char name[260];

    with_owner(b, name, long_name(name, 62));
}

/* Long only because of what the pointer leads to. */
static void with_long_name_by_pointer(built *b)
{
    unsigned char name[260];

    long_name(name, 55);
    name[248] = 0xc0;
    name[249] = DNS_HEADER_SIZE;
    with_owner(b, name, 250);
}

static void with_question_pointing_back(built *b)
{
    with_nothing(b);
    b->data[DNS_HEADER_SIZE] = 0xc0;
    b->data[DNS_HEADER_SIZE + 1] = 0;
}

static void with_data_past_end(built *b)
{
    sound_answer(b);
    set_u16(b, OWNER_AT + 10, 500);
}

static void with_mx_name_short_of_data(built *b)
{
    size_t data;

    with_nothing(b);
    data = begin_record(b, DNS_ANSWER, "@", DNS_TYPE_MX, 5);
    put_u16(b, 10);
    put_name(b, "mx.a.example");
    put_u8(b, 0);
    end_record(b, data);
}

static void with_mx_name_past_data(built *b)
{
    size_t data;

    with_nothing(b);
    data = begin_record(b, DNS_ANSWER, "@", DNS_TYPE_MX, 5);
    put_u16(b, 10);
    end_record(b, data);
    put_name(b, ".");
    set_u16(b, data - 2, 2);
}

static void with_soa_cut(built *b)
{
    size_t data;

    with_nothing(b);
    data = begin_record(b, DNS_AUTHORITY, "example", DNS_TYPE_SOA, 5);
    put_name(b, "ns.example");
    put_name(b, "root.example");
    put_bytes(b, "0123456789abcdef", 16);
    end_record(b, data);
}

static void with_short_address(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ANSWER, "@", DNS_TYPE_A, 5, "abc", 3);
}

static void with_short_v6_address(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ANSWER, "@", DNS_TYPE_AAAA, 5, "0123456789abcde", 15);
}

static void with_65_strings(built *b)
{
    with_nothing(b);
    build_txt(b, "@", 5, 65, 0);
}

static void with_no_string(built *b)
{
    with_nothing(b);
    build_txt(b, "@", 5, 0, 0);
}

static void with_string_past_data(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ANSWER, "@", DNS_TYPE_TXT, 5, "\005abc", 4);
}

/* The answer that would make ldns take four gigabytes. */
static void with_65000_strings(built *b)
{
    with_nothing(b);
    build_txt(b, "@", 5, 65000, 0);
}

static void with_type_0(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ANSWER, "@", 0, 5, "", 0);
}

static void with_tsig(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ADDITIONAL, ".", DNS_TYPE_TSIG, 0, "", 0);
}

static void with_sig_0(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ADDITIONAL, ".", DNS_TYPE_SIG, 0, "", 0);
}

static void with_two_opt(built *b)
{
    with_nothing(b);
    build_opt(b, DNS_ADDITIONAL, 0);
    build_opt(b, DNS_ADDITIONAL, 0);
}

static void with_opt_as_answer(built *b)
{
    with_nothing(b);
    build_opt(b, DNS_ANSWER, 0);
}

static void with_opt_of_a_name(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ADDITIONAL, "@", DNS_TYPE_OPT, 0, "", 0);
}

static void with_16_kib(built *b)
{
    with_nothing(b);
    build_bytes(b, DNS_ANSWER, "@", 999, 5, "", 0);
    b->length = DNS_PACKET_MAX;
    set_u16(b, OWNER_AT + 10, DNS_PACKET_MAX - OWNER_AT - 12);
}

static void with_more_than_16_kib(built *b)
{
    with_16_kib(b);
    b->length++;
    set_u16(b, OWNER_AT + 10, DNS_PACKET_MAX - OWNER_AT - 11);
}

static const struct {
    const char *name;
    void (*build)(built *b);
    int want;
} cases[] = {
    {"a sound answer", sound_answer, MAIL_OK},
    {"no record", with_nothing, MAIL_OK},
    {"every type", with_every_type, MAIL_OK},
    {"200 records", with_200_records, MAIL_OK},
    {"a name of 255 octets", with_255_octet_name, MAIL_OK},
    {"16 KiB", with_16_kib, MAIL_OK},
    {"more than 16 KiB", with_more_than_16_kib, MAIL_ELIMIT},
    {"201 records", with_201_records, MAIL_ELIMIT},
    {"65535 records counted", with_65535_records_counted, MAIL_ELIMIT},
    {"one record counted too many", with_one_record_counted_too_many, MAIL_EPROTO},
    {"no question", without_question, MAIL_EPROTO},
    {"two questions", with_two_questions, MAIL_EPROTO},
    {"a header alone", with_header_alone, MAIL_EPROTO},
    {"octets behind the last record", with_octets_behind, MAIL_EPROTO},
    {"a pointer to itself", with_pointer_to_itself, MAIL_EPROTO},
    {"a pointer forward", with_pointer_forward, MAIL_EPROTO},
    {"a pointer into its own labels", with_pointer_into_own_labels, MAIL_EPROTO},
    {"a pointer into the header", with_pointer_into_header, MAIL_EPROTO},
    {"a pointer past the end", with_pointer_past_end, MAIL_EPROTO},
    {"label type 0x40", with_label_type_0x40, MAIL_EPROTO},
    {"label type 0x80", with_label_type_0x80, MAIL_EPROTO},
    {"a name of 256 octets", with_256_octet_name, MAIL_EPROTO},
    {"a name of 256 octets by a pointer", with_long_name_by_pointer, MAIL_EPROTO},
    {"a question that points back", with_question_pointing_back, MAIL_EPROTO},
    {"data past the end", with_data_past_end, MAIL_EPROTO},
    {"an MX whose name ends before its data", with_mx_name_short_of_data, MAIL_EPROTO},
    {"an MX whose name leaves its data", with_mx_name_past_data, MAIL_EPROTO},
    {"an SOA cut short", with_soa_cut, MAIL_EPROTO},
    {"an address of 3 octets", with_short_address, MAIL_EPROTO},
    {"an IPv6 address of 15 octets", with_short_v6_address, MAIL_EPROTO},
    {"65 strings", with_65_strings, MAIL_EPROTO},
    {"65000 strings", with_65000_strings, MAIL_ELIMIT},
    {"a TXT without strings", with_no_string, MAIL_EPROTO},
    {"a string past its data", with_string_past_data, MAIL_EPROTO},
    {"a record of type 0", with_type_0, MAIL_EPROTO},
    {"TSIG", with_tsig, MAIL_EPROTO},
    {"SIG(0)", with_sig_0, MAIL_EPROTO},
    {"two OPT", with_two_opt, MAIL_EPROTO},
    {"OPT in the answer section", with_opt_as_answer, MAIL_EPROTO},
    {"OPT of a name", with_opt_of_a_name, MAIL_EPROTO},
};

static void lets_only_sound_packets_through(void **state)
{
    static built b;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const char *why = NULL;

        mail_test_case(cases[i].name);
        cases[i].build(&b);
        assert_int_equal(dns_packet_check(built_span(&b), &why), cases[i].want);
        assert_true((why == NULL) == (cases[i].want == MAIL_OK));
        assert_int_equal(dns_packet_check(built_span(&b), NULL), cases[i].want);
    }
}

/* Cut in memory of its own size, so that a sanitizer sees one octet too far. */
static void refuses_a_packet_cut_anywhere(void **state)
{
    static built b;

    (void)state;
    with_every_type(&b);
    for (size_t length = 0; length < b.length; length++) {
        char *cut = malloc(length > 0 ? length : 1);

        memcpy(cut, b.data, length);
        assert_int_equal(dns_packet_check(mail_span_of(cut, length), NULL), MAIL_EPROTO);
        free(cut);
    }
}

static void walks_over_records_by_section(void **state)
{
    static const dns_section sections[] = {DNS_ANSWER, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL};
    dns_walk walk = {0};
    dns_item item;
    static built b;

    (void)state;
    sound_answer(&b);
    build_a(&b, "b.example", 7, 1);
    build_soa(&b, "example", 5, 60);
    build_opt(&b, DNS_ADDITIONAL, 3);
    for (size_t i = 0; i < MAIL_COUNT(sections); i++) {
        assert_int_equal(dns_packet_next(built_span(&b), &walk, &item), MAIL_OK);
        assert_int_equal(item.section, sections[i]);
    }
    assert_int_equal(item.type, DNS_TYPE_OPT);
    assert_int_equal(item.ttl, 3U << 24);
    assert_int_equal(dns_packet_next(built_span(&b), &walk, &item), MAIL_ENOENT);
}

static void turns_only_clean_names_into_text(void **state)
{
    const struct {
        const char *name;
        mail_span wire;
        const char *text; /* NULL: none */
    } names[] = {
        {"upper case", MAIL_SPAN("\002Mx\007EXAMPLE\000"), "mx.example"},
        {"underscore", MAIL_SPAN("\006_dmarc\001x\000"), "_dmarc.x"},
        {"the root", MAIL_SPAN("\000"), "."},
        {"a dot in a label", MAIL_SPAN("\003a.b\001x\000"), NULL},
        {"a NUL in a label", MAIL_SPAN("\003a\000b\001x\000"), NULL},
        {"a blank", MAIL_SPAN("\003a b\000"), NULL},
        {"a backslash", MAIL_SPAN("\003a\\b\000"), NULL},
        {"a UTF-8 letter", MAIL_SPAN("\002\303\244\000"), NULL},
        {"a hyphen first", MAIL_SPAN("\003-ab\000"), NULL},
        {"a hyphen last", MAIL_SPAN("\003ab-\000"), NULL},
        {"no end", MAIL_SPAN("\003abc"), NULL},
    };
    char text[MAIL_DOMAIN_SIZE];

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        mail_test_case(names[i].name);
        assert_int_equal(dns_name_text(names[i].wire, 0, text), names[i].text != NULL);
        assert_string_equal(text, names[i].text != NULL ? names[i].text : "");
    }
}

static void compares_names_label_by_label(void **state)
{
    const struct {
        const char *name;
        mail_span wire;
        const char *text;
        bool want;
    } names[] = {
        {"the same", MAIL_SPAN("\001a\007example\000"), "a.example", true},
        {"upper case", MAIL_SPAN("\001A\007eXAMPLE\000"), "a.example", true},
        {"a label less", MAIL_SPAN("\001a\000"), "a.example", false},
        {"a label more", MAIL_SPAN("\001a\007example\000"), "a", false},
        {"another label", MAIL_SPAN("\001b\007example\000"), "a.example", false},
        {"a longer label", MAIL_SPAN("\002ab\007example\000"), "a.example", false},
        {"a shorter label", MAIL_SPAN("\001a\007example\000"), "ab.example", false},
        {"a label with a dot", MAIL_SPAN("\011a.example\000"), "a.example", false},
        {"a label with a NUL", MAIL_SPAN("\002a\000\000"), "a", false},
        {"the root", MAIL_SPAN("\000"), "a", false},
        {"no end", MAIL_SPAN("\001a"), "a", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        mail_test_case(names[i].name);
        assert_int_equal(dns_name_is(names[i].wire, 0, names[i].text), names[i].want);
    }
}

static void tells_clean_names_from_others(void **state)
{
    static const struct {
        const char *name;
        bool want;
    } names[] = {
        {"a", true},   {"A.b-c.d_e", true}, {"_dmarc.example", true},
        {"", false},   {".", false},        {"a.", false},
        {".a", false}, {"a..b", false},     {"a b", false},
        {"-a", false}, {"a-.b", false},     {"\303\244", false},
    };
    char longest[255];

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        mail_test_case(names[i].name);
        assert_int_equal(dns_name_is_clean(mail_span_text(names[i].name)), names[i].want);
    }
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 63; i < sizeof(longest); i += 64) {
        longest[i] = '.';
    }
    assert_true(dns_name_is_clean(mail_span_of(longest, 253)));
    assert_false(dns_name_is_clean(mail_span_of(longest, 254)));
    assert_true(dns_name_is_clean(mail_span_of(longest, 63)));
    longest[63] = 'x';
    assert_false(dns_name_is_clean(mail_span_of(longest, 64)));
}

static void knows_what_lies_in_a_zone(void **state)
{
    (void)state;
    assert_true(dns_name_is_in("a.example", "example"));
    assert_true(dns_name_is_in("example", "example"));
    assert_true(dns_name_is_in("example", "."));
    assert_false(dns_name_is_in("anexample", "example"));
    assert_false(dns_name_is_in("example", "a.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_only_sound_packets_through),
        cmocka_unit_test(refuses_a_packet_cut_anywhere),
        cmocka_unit_test(walks_over_records_by_section),
        cmocka_unit_test(turns_only_clean_names_into_text),
        cmocka_unit_test(compares_names_label_by_label),
        cmocka_unit_test(tells_clean_names_from_others),
        cmocka_unit_test(knows_what_lies_in_a_zone),
    };

    return mail_test_run(tests);
}
