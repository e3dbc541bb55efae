/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/header.h>

/* Bits for the flags of a scan. */
enum {
    BODY = 1,
    EIGHT = 2,
    EIGHT_HEADER = 4,
    BAD_UTF8 = 8,
    NUL = 16,
    CR = 32,
    LF = 64
};

static unsigned flags_of(const mail_scan *scan)
{
    return (scan->in_body ? BODY : 0U) | (scan->has_8bit ? EIGHT : 0U) |
           (scan->has_8bit_header ? EIGHT_HEADER : 0U) |
           (scan->has_bad_utf8_header ? BAD_UTF8 : 0U) | (scan->has_nul ? NUL : 0U) |
           (scan->has_bare_cr ? CR : 0U) | (scan->has_bare_lf ? LF : 0U);
}

typedef struct row {
    const char *name;
    mail_span in;
    unsigned flags;
    size_t header_size;
    unsigned received;
} row;

static void check(const mail_scan *scan, const row *want)
{
    assert_int_equal(flags_of(scan), want->flags);
    assert_int_equal(scan->size, want->in.length);
    assert_int_equal(scan->header_size, want->header_size);
    assert_int_equal(scan->received, want->received);
}

/* Whole, octet by octet, and cut at every place. SS-001, SS-047 */
static void check_in_slices(const row *want)
{
    mail_scan scan;

    for (size_t cut = 0; cut <= want->in.length; cut++) {
        mail_scan_init(&scan);
        mail_scan_feed(&scan, mail_span_first(want->in, cut));
        mail_scan_feed(&scan, mail_span_from(want->in, cut));
        mail_scan_end(&scan);
        check(&scan, want);
    }
    mail_scan_init(&scan);
    for (size_t i = 0; i < want->in.length; i++) {
        mail_scan_feed(&scan, mail_span_of(want->in.data + i, 1));
    }
    mail_scan_end(&scan);
    check(&scan, want);
}

static void finds_out_what_a_message_holds_however_it_is_cut(void **state)
{
    const row rows[] = {
        {"header and body", MAIL_SPAN("a: b\r\n\r\nc\r\n"), BODY, 8, 0},
        {"header alone", MAIL_SPAN("a: b\r\n"), 0, 6, 0},
        {"body alone", MAIL_SPAN("\r\nc\r\n"), BODY, 2, 0},
        {"received", MAIL_SPAN("Received: a\r\nRECEIVED : b\r\nReceived\t:c\r\n\r\n"), BODY, 42, 3},
        {"not received",
         MAIL_SPAN("Received-SPF: a\r\nX-Received: b\r\n Received: c\r\nRec\r\n\r\n"), BODY, 53, 0},
        {"received in the body", MAIL_SPAN("a: b\r\n\r\nReceived: c\r\n"), BODY, 8, 0},
        {"LF only", MAIL_SPAN("a: b\n\nReceived: c\n"), BODY | LF, 6, 0},
        {"bare CR in the header", MAIL_SPAN("a: b\rc\r\n\r\n"), BODY | CR, 10, 0},
        {"bare CR begins a line", MAIL_SPAN("a: b\r\n\rc\r\n\r\nd\r\n"), BODY | CR, 12, 0},
        {"bare CR at the end", MAIL_SPAN("a: b\r\n\r\nc\r"), BODY | CR, 8, 0},
        {"two CR", MAIL_SPAN("a: b\r\n\r\nc\r\r\n"), BODY | CR, 8, 0},
        {"bare LF in the body", MAIL_SPAN("a: b\r\n\r\nc\nd\r\n"), BODY | LF, 8, 0},
        {"LF first", MAIL_SPAN("\nx"), BODY | LF, 1, 0},
        {"LF CR", MAIL_SPAN("a: b\r\n\r\n\n\r"), BODY | LF | CR, 8, 0},
        {"NUL", {"a: b\r\n\r\n\0\r\n", 11}, BODY | NUL, 8, 0},
        {"NUL in the header", {"a\0: b\r\n\r\n", 9}, BODY | NUL, 9, 0},
        {"8 bits in the body", MAIL_SPAN("a: b\r\n\r\n\377\r\n"), BODY | EIGHT, 8, 0},
        {"UTF-8 in the header", MAIL_SPAN("a: \303\274\360\237\230\200\r\n\r\n"),
         BODY | EIGHT | EIGHT_HEADER, 13, 0},
        {"broken UTF-8 in the header", MAIL_SPAN("a: \303x\r\n\r\n"),
         BODY | EIGHT | EIGHT_HEADER | BAD_UTF8, 9, 0},
        {"overlong", MAIL_SPAN("a: \340\200\200\r\n\r\n"), BODY | EIGHT | EIGHT_HEADER | BAD_UTF8,
         10, 0},
        {"surrogate", MAIL_SPAN("a: \355\240\200\r\n\r\n"), BODY | EIGHT | EIGHT_HEADER | BAD_UTF8,
         10, 0},
        {"cut UTF-8", MAIL_SPAN("a: \303"), EIGHT | EIGHT_HEADER | BAD_UTF8, 4, 0},
        {"nothing", MAIL_SPAN(""), 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_test_case(rows[i].name);
        check_in_slices(&rows[i]);
    }
}

/* The fast path looks at 64 octets at once: what it must see may lie anywhere in them. */
static void sees_a_single_octet_anywhere_in_a_large_slice(void **state)
{
    static char text[300];
    static const struct {
        char octet;
        unsigned flags;
    } rows[] = {{'\0', NUL}, {'\r', CR}, {'\n', LF}, {'\200', EIGHT}, {'x', 0}};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        for (size_t at = 0; at < sizeof(text); at++) {
            mail_scan scan;

            memset(text, 'a', sizeof(text));
            text[at] = rows[i].octet;
            mail_scan_init(&scan);
            mail_scan_feed(&scan, MAIL_SPAN("a: b\r\n\r\n"));
            mail_scan_feed(&scan, mail_span_of(text, sizeof(text)));
            mail_scan_end(&scan);
            assert_int_equal(flags_of(&scan), rows[i].flags | BODY);
        }
    }
}

static void tells_what_needs_smtputf8(void **state)
{
    mail_scan scan;

    (void)state;
    mail_scan_init(&scan);
    mail_scan_feed(&scan, MAIL_SPAN("a: \303\274\r\n\r\n"));
    assert_true(mail_scan_needs_smtputf8(&scan));
    mail_scan_init(&scan);
    mail_scan_feed(&scan, MAIL_SPAN("a: \374\r\n\r\n"));
    assert_false(mail_scan_needs_smtputf8(&scan));
    mail_scan_init(&scan);
    mail_scan_feed(&scan, MAIL_SPAN("a: b\r\n\r\n\303\274\r\n"));
    assert_false(mail_scan_needs_smtputf8(&scan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_out_what_a_message_holds_however_it_is_cut),
        cmocka_unit_test(sees_a_single_octet_anywhere_in_a_large_slice),
        cmocka_unit_test(tells_what_needs_smtputf8),
    };

    return mail_test_run(tests);
}
