/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/dns.h>

#include "base/random.h"
#include "dns/build.h"

static mail_dns_question ask(const char *name, mail_dns_type type)
{
    mail_dns_question question;

    assert_int_equal(mail_dns_question_init(&question, mail_span_text(name), type, NULL), MAIL_OK);
    return question;
}

static void begin(built *b, const mail_dns_question *question, unsigned flags)
{
    build_reply(b, mail_dns_question_out(question), flags);
}

static mail_dns_event feed(mail_dns_question *question, mail_dns_transport transport,
                           const built *b)
{
    mail_dns_event ev;

    assert_int_equal(mail_dns_question_feed(question, transport, built_span(b), NULL, &ev),
                     MAIL_OK);
    return ev;
}

static void refuses_names_that_are_none(void **state)
{
    static const char *const names[] = {"", ".", "a.", "a b", "a..b", "\303\244.example"};
    mail_dns_question question;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        mail_test_case(names[i]);
        assert_int_equal(
            mail_dns_question_init(&question, mail_span_text(names[i]), MAIL_DNS_A, NULL),
            MAIL_EINVAL);
    }
    assert_int_equal(mail_dns_question_init(&question, MAIL_SPAN("a"), (mail_dns_type)252, NULL),
                     MAIL_EINVAL);
}

static void fill_with_ones(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 0xff, size);
}

static void varies_id_and_case_with_each_try(void **state)
{
    const mail_random ones = {fill_with_ones, NULL};
    mail_dns_question question;
    mail_dns_question_options opts = {.random = &ones};
    unsigned char before[MAIL_DNS_QUESTION_SIZE];

    (void)state;
    assert_int_equal(mail_dns_question_init(&question, MAIL_SPAN("a-1.example"), MAIL_DNS_A, &opts),
                     MAIL_OK);
    assert_memory_equal(question.packet, "\xff\xff", 2);
    assert_memory_equal(question.packet + DNS_HEADER_SIZE, "\003A-1\007EXAMPLE", 13);
    opts.no_0x20 = true;
    assert_int_equal(mail_dns_question_init(&question, MAIL_SPAN("A-1.eXample"), MAIL_DNS_A, &opts),
                     MAIL_OK);
    assert_memory_equal(question.packet + DNS_HEADER_SIZE, "\003a-1\007example", 13);

    question = ask("a.name.with.very.many.letters.example", MAIL_DNS_A);
    memcpy(before, question.packet, sizeof(before));
    assert_int_equal(mail_dns_question_renew(&question), MAIL_OK);
    assert_memory_not_equal(before + DNS_HEADER_SIZE, question.packet + DNS_HEADER_SIZE, 38);
}

/* What an answer says, in one line: status, ttl, aliases, name, records. */
static void describe(const mail_dns_answer *answer, char *out, size_t size)
{
    size_t length = (size_t)snprintf(out, size, "%s %u %u %s", mail_dns_status_name(answer->status),
                                     answer->ttl, answer->aliases, answer->name);

    for (size_t i = 0; i < answer->count; i++) {
        const mail_dns_record *record = &answer->records[i];
        char ip[MAIL_IP_TEXT_SIZE] = "";

        if (record->ip.family == 4) {
            snprintf(ip, sizeof(ip), "%u.%u.%u.%u", record->ip.bytes[0], record->ip.bytes[1],
                     record->ip.bytes[2], record->ip.bytes[3]);
        }
        length += (size_t)snprintf(out + length, size - length, " %u/%s%s%.*s", record->preference,
                                   record->host != NULL ? record->host : "", ip,
                                   (int)record->text.length, record->text.data);
    }
}

static void found_mx(built *b)
{
    build_mx(b, "@", 300, 10, "MX1.example");
    build_mx(b, "a.EXAMPLE", 200, 20, "@");
}

static void found_null_mx(built *b)
{
    build_mx(b, "@", 300, 0, ".");
}

static void found_unclean_mx(built *b)
{
    build_mx(b, "@", 300, 1, "m x.example");
}

static void owner_is_another(built *b)
{
    build_mx(b, "b.example", 300, 10, "mx.evil.example");
    build_soa(b, "example", 3600, 60);
}

static void in_additional_section_only(built *b)
{
    build_soa(b, "example", 3600, 60);
    build_bytes(b, DNS_ADDITIONAL, "@", DNS_TYPE_MX, 60, "\000\012\000", 3);
}

static void of_another_class(built *b)
{
    size_t class_at = begin_record(b, DNS_ANSWER, "@", DNS_TYPE_MX, 300) - 8;

    put_u16(b, 10);
    put_name(b, "mx.example");
    end_record(b, class_at + 8);
    set_u16(b, class_at, 3);
    build_soa(b, "example", 3600, 60);
}

static void through_aliases(built *b)
{
    build_mx(b, "c.example", 300, 10, "mx.example");
    build_cname(b, "b.example", 100, "C.example");
    build_cname(b, "@", 200, "b.example");
}

static void through_some_aliases(built *b, unsigned count)
{
    char target[] = "c0.example";
    char owner[sizeof(target)] = "@";

    for (unsigned i = 0; i < count; i++) {
        target[1] = (char)('0' + i);
        build_cname(b, owner, 9, target);
        memcpy(owner, target, sizeof(owner));
    }
    build_mx(b, owner, 9, 1, "mx.example");
}

static void through_8_aliases(built *b)
{
    through_some_aliases(b, 8);
}

static void through_9_aliases(built *b)
{
    through_some_aliases(b, 9);
}

static void through_a_loop(built *b)
{
    build_cname(b, "@", 9, "b.example");
    build_cname(b, "b.example", 9, "@");
}

static void alias_of_itself(built *b)
{
    build_cname(b, "@", 9, "@");
}

static void alias_of_no_host_name(built *b)
{
    build_cname(b, "@", 9, "b b.example");
}

static void alias_and_no_more(built *b)
{
    build_cname(b, "@", 9, "b.example");
}

static void alias_without_data(built *b)
{
    build_cname(b, "@", 9, "b.example");
    build_soa(b, "example", 3600, 60);
}

static void no_data(built *b)
{
    build_soa(b, "example", 30, 3600);
}

static void no_data_without_soa(built *b)
{
    (void)b;
}

static void soa_of_another_zone(built *b)
{
    build_soa(b, "other", 30, 3600);
}

static void referral(built *b)
{
    build_ns(b, "example", "ns.example");
}

static void ttl_with_top_bit(built *b)
{
    build_mx(b, "@", 0x80000000U, 1, "mx.example");
}

static void bad_version(built *b)
{
    build_opt(b, DNS_ADDITIONAL, 1);
}

static void reads_what_the_packet_says(void **state)
{
    static const struct {
        const char *name;
        void (*fill)(built *b);
        unsigned rcode;
        const char *want;
    } cases[] = {
        {"records", found_mx, 0, "found 200 0 a.example 10/mx1.example 20/a.example"},
        {"MX-010: null MX", found_null_mx, 0, "found 300 0 a.example 0/."},
        {"no host name", found_unclean_mx, 0, "found 300 0 a.example 1/"},
        {"MX-018: another owner", owner_is_another, 0, "nodata 60 0 a.example"},
        {"MX-015: additional section", in_additional_section_only, 0, "nodata 60 0 a.example"},
        {"MX-018: another class", of_another_class, 0, "nodata 60 0 a.example"},
        {"MX-001: aliases in any order", through_aliases, 0, "found 100 2 c.example 10/mx.example"},
        {"8 aliases", through_8_aliases, 0, "found 9 8 c7.example 1/mx.example"},
        {"9 aliases", through_9_aliases, 0, "failed 0 0 "},
        {"a loop", through_a_loop, 0, "failed 0 0 "},
        {"an alias of itself", alias_of_itself, 0, "failed 0 0 "},
        {"an alias of no host name", alias_of_no_host_name, 0, "failed 0 0 "},
        {"an alias and no more", alias_and_no_more, 0, "alias 9 1 b.example"},
        {"an alias without data", alias_without_data, 0, "nodata 9 1 b.example"},
        {"an alias of no name", alias_without_data, 3, "nxdomain 9 1 b.example"},
        {"MX-015: negative TTL by SOA", no_data, 0, "nodata 30 0 a.example"},
        {"no data, no SOA", no_data_without_soa, 0, "nodata 0 0 a.example"},
        {"no data, SOA of another zone", soa_of_another_zone, 0, "nodata 0 0 a.example"},
        {"no such name", no_data, 3, "nxdomain 30 0 a.example"},
        {"no such name, no SOA", no_data_without_soa, 3, "nxdomain 0 0 a.example"},
        {"a name that exists and does not", found_mx, 3, "failed 0 0 "},
        {"a referral", referral, 0, "failed 0 0 "},
        {"MX-002: SERVFAIL", no_data_without_soa, 2, "failed 0 0 "},
        {"REFUSED", found_mx, 5, "failed 0 0 "},
        {"an unknown code", found_mx, 11, "failed 0 0 "},
        {"BADVERS, whose lower bits are 0", bad_version, 0, "failed 0 0 "},
        {"a TTL with the top bit", ttl_with_top_bit, 0, "found 0 0 a.example 1/mx.example"},
    };
    static built b;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_dns_question question = ask("a.example", MAIL_DNS_MX);
        mail_dns_event ev;
        char text[512];

        mail_test_case(cases[i].name);
        begin(&b, &question, BUILT_ANSWER | cases[i].rcode);
        cases[i].fill(&b);
        ev = feed(&question, MAIL_DNS_UDP, &b);
        assert_int_equal(ev.type, MAIL_DNS_EV_ANSWER);
        describe(ev.answer, text, sizeof(text));
        assert_string_equal(text, cases[i].want);
        assert_int_equal(ev.answer->reason != NULL, ev.answer->status == MAIL_DNS_FAILED);
        mail_dns_answer_destroy(ev.answer);
    }
}

static void reads_addresses_and_texts(void **state)
{
    mail_dns_question question = ask("a.example", MAIL_DNS_A);
    mail_dns_event ev;
    static built b;
    char text[512];

    (void)state;
    begin(&b, &question, BUILT_ANSWER);
    build_a(&b, "@", 5, 0xc0000201);
    build_a(&b, "@", 5, 0xc0000202);
    ev = feed(&question, MAIL_DNS_UDP, &b);
    describe(ev.answer, text, sizeof(text));
    assert_string_equal(text, "found 5 0 a.example 0/192.0.2.1 0/192.0.2.2");
    mail_dns_answer_destroy(ev.answer);

    question = ask("a.example", MAIL_DNS_TXT);
    begin(&b, &question, BUILT_ANSWER);
    build_txt(&b, "@", 5, 2, 2);
    build_txt(&b, "@", 5, 1, 1);
    ev = feed(&question, MAIL_DNS_TCP, &b);
    describe(ev.answer, text, sizeof(text));
    assert_string_equal(text, "found 5 0 a.example 0/xxxx 0/x");
    mail_dns_answer_destroy(ev.answer);
}

static void change_id(built *b)
{
    b->data[0] ^= 1;
}

static void change_name(built *b)
{
    b->data[DNS_HEADER_SIZE + 1] = 'b';
}

static void change_case(built *b)
{
    b->data[DNS_HEADER_SIZE + 1] ^= 0x20;
}

static void change_type(built *b)
{
    b->data[DNS_HEADER_SIZE + 12] = 1;
}

static void change_class(built *b)
{
    b->data[DNS_HEADER_SIZE + 14] = 3;
}

static void make_query(built *b)
{
    b->data[2] &= 0x7f;
}

static void change_opcode(built *b)
{
    b->data[2] |= 0x20;
}

static void truncate_it(built *b)
{
    b->data[2] |= 2;
}

static void truncate_with_wrong_id(built *b)
{
    truncate_it(b);
    change_id(b);
}

static void cut_octet(built *b)
{
    b->length--;
}

static void cut_question(built *b)
{
    b->length = DNS_HEADER_SIZE + 3;
}

static void cut_header(built *b)
{
    b->length = 11;
}

static void drop_question(built *b)
{
    set_u16(b, 4, 0);
}

static void change_nothing(built *b)
{
    (void)b;
}

/* MX-018. */
static void drops_what_answers_another_question(void **state)
{
    static const struct {
        const char *name;
        void (*change)(built *b);
        mail_dns_event_type udp;
        mail_dns_event_type tcp;
    } cases[] = {
        {"nothing wrong", change_nothing, MAIL_DNS_EV_ANSWER, MAIL_DNS_EV_ANSWER},
        {"another id", change_id, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"another name", change_name, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"another type", change_type, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"another class", change_class, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"another opcode", change_opcode, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"a query", make_query, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"no question", drop_question, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"an octet too few", cut_octet, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"half a question", cut_question, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"half a header", cut_header, MAIL_DNS_EV_IGNORED, MAIL_DNS_EV_IGNORED},
        {"truncation with another id", truncate_with_wrong_id, MAIL_DNS_EV_IGNORED,
         MAIL_DNS_EV_IGNORED},
        {"another case", change_case, MAIL_DNS_EV_NEED_TCP, MAIL_DNS_EV_ANSWER},
        {"truncation", truncate_it, MAIL_DNS_EV_NEED_TCP, MAIL_DNS_EV_IGNORED},
    };
    static built b;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_dns_question question = ask("a.example", MAIL_DNS_MX);
        mail_dns_event ev;

        mail_test_case(cases[i].name);
        begin(&b, &question, BUILT_ANSWER);
        build_mx(&b, "a.example", 5, 1, "mx.example");
        cases[i].change(&b);
        ev = feed(&question, MAIL_DNS_UDP, &b);
        assert_int_equal(ev.type, cases[i].udp);
        assert_int_equal(ev.reason != NULL, ev.type != MAIL_DNS_EV_ANSWER);
        mail_dns_answer_destroy(ev.answer);
        ev = feed(&question, MAIL_DNS_TCP, &b);
        assert_int_equal(ev.type, cases[i].tcp);
        mail_dns_answer_destroy(ev.answer);
    }
}

static void asks_without_edns_where_it_is_unknown(void **state)
{
    mail_dns_question question = ask("a.example", MAIL_DNS_MX);
    mail_dns_event ev;
    static built b;

    (void)state;
    begin(&b, &question, BUILT_ANSWER | 1);
    ev = feed(&question, MAIL_DNS_UDP, &b);
    assert_int_equal(ev.type, MAIL_DNS_EV_AGAIN);
    assert_int_equal(question.packet[11], 0);
    assert_int_equal(feed(&question, MAIL_DNS_UDP, &b).type, MAIL_DNS_EV_IGNORED);

    begin(&b, &question, BUILT_ANSWER | 1);
    ev = feed(&question, MAIL_DNS_UDP, &b);
    assert_int_equal(ev.type, MAIL_DNS_EV_ANSWER);
    assert_int_equal(ev.answer->status, MAIL_DNS_FAILED);
    mail_dns_answer_destroy(ev.answer);

    question = ask("a.example", MAIL_DNS_MX);
    begin(&b, &question, BUILT_ANSWER | 1);
    build_opt(&b, DNS_ADDITIONAL, 0);
    ev = feed(&question, MAIL_DNS_UDP, &b);
    assert_int_equal(ev.type, MAIL_DNS_EV_ANSWER);
    mail_dns_answer_destroy(ev.answer);
}

static void survives_every_failed_allocation(void **state)
{
    mail_dns_question question = ask("a.example", MAIL_DNS_MX);
    static built b;

    (void)state;
    begin(&b, &question, BUILT_ANSWER);
    through_aliases(&b);
    MAIL_TEST_WALK(walk)
    {
        mail_dns_event ev;
        int code = mail_dns_question_feed(&question, MAIL_DNS_UDP, built_span(&b), &walk.mem, &ev);

        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (code == MAIL_OK) {
            mail_dns_answer_destroy(ev.answer);
        }
    }
}

static void names_types_and_statuses(void **state)
{
    (void)state;
    assert_string_equal(mail_dns_type_name(MAIL_DNS_AAAA), "AAAA");
    assert_string_equal(mail_dns_type_name((mail_dns_type)9), "unknown");
    assert_string_equal(mail_dns_status_name(MAIL_DNS_FAILED), "failed");
    assert_string_equal(mail_dns_status_name((mail_dns_status)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_names_that_are_none),
        cmocka_unit_test(varies_id_and_case_with_each_try),
        cmocka_unit_test(reads_what_the_packet_says),
        cmocka_unit_test(reads_addresses_and_texts),
        cmocka_unit_test(drops_what_answers_another_question),
        cmocka_unit_test(asks_without_edns_where_it_is_unknown),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(names_types_and_statuses),
    };

    return mail_test_run(tests);
}
