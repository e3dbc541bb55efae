/* SPDX-License-Identifier: MIT */
#include "smtp/stuff.h"

#include "support/support.h"

/* As MAIL_SPAN, where only constants may stand. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* A message and what becomes of it; NULL: it is refused. */
static const struct {
    const char *name;
    mail_span in;
    const char *want;
    stuff_state state;
} cases[] = {
    {"nothing", TEXT(""), "", STUFF_LINE_START},
    {"a line", TEXT("abc\r\n"), "abc\r\n", STUFF_LINE_START},
    {"a dot", TEXT("."), "..", STUFF_IN_LINE},
    {"a line of a dot", TEXT(".\r\n"), "..\r\n", STUFF_LINE_START},
    {"dots that begin lines", TEXT(".\r\n..\r\n.a\r\n"), "..\r\n...\r\n..a\r\n", STUFF_LINE_START},
    {"dots within lines", TEXT("a.\r\n .\r\na..b"), "a.\r\n .\r\na..b", STUFF_IN_LINE},
    {"no line end", TEXT("abc"), "abc", STUFF_IN_LINE},
    {"half a line end", TEXT("abc\r"), "abc\r", STUFF_AFTER_CR},
    {"empty lines", TEXT("\r\n\r\n"), "\r\n\r\n", STUFF_LINE_START},
    {"8-bit octets", TEXT("\xc3\xa9.\xff\r\n"), "\xc3\xa9.\xff\r\n", STUFF_LINE_START},
    {"a bare LF", TEXT("a\nb\r\n"), NULL, STUFF_BROKEN},
    {"a bare LF at the start", TEXT("\nb"), NULL, STUFF_BROKEN},
    {"a bare LF after a line", TEXT("a\r\n\nb"), NULL, STUFF_BROKEN},
    {"a bare CR", TEXT("a\rb\r\n"), NULL, STUFF_BROKEN},
    {"two CR", TEXT("a\r\r\n"), NULL, STUFF_BROKEN},
    {"LF.LF", TEXT("a\n.\nb"), NULL, STUFF_BROKEN},
    {"CRLF.CR", TEXT("a\r\n.\rb"), NULL, STUFF_BROKEN},
    {"CRLF.LF", TEXT("a\r\n.\nb"), NULL, STUFF_BROKEN},
    {"a NUL", TEXT("a\0b\r\n"), NULL, STUFF_BROKEN},
    {"a NUL before a dot", TEXT("\0.\r\n"), NULL, STUFF_BROKEN},
    {"a NUL in a line end", TEXT("a\r\0\n"), NULL, STUFF_BROKEN},
};

static void expect(size_t i, stuff_state state, const char *out, size_t length)
{
    assert_int_equal(state, cases[i].state);
    if (cases[i].want != NULL) {
        assert_span_equal(mail_span_of(out, length), cases[i].want);
    }
}

/* Copies a slice, held to the bound by a block of just that size. */
static size_t copy(stuff_state *state, mail_span in, char *to)
{
    size_t bound = stuff_bound(in.length);
    char *out = malloc(bound + 1);
    size_t length;

    assert_non_null(out);
    length = stuff_copy(state, in, out);
    assert_true(length <= bound);
    memcpy(to, out, length);
    free(out);
    return length;
}

static void doubles_leading_dots_over_any_two_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_span in = cases[i].in;

        mail_test_case(cases[i].name);
        for (size_t a = 0; a <= in.length; a++) {
            for (size_t b = a; b <= in.length; b++) {
                stuff_state st = STUFF_LINE_START;
                char out[64];
                size_t length = copy(&st, mail_span_first(in, a), out);

                length += copy(&st, mail_span_of(in.data + a, b - a), out + length);
                length += copy(&st, mail_span_from(in, b), out + length);
                expect(i, st, out, length);
            }
        }
    }
}

static void checks_line_ends_over_any_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_span in = cases[i].in;

        mail_test_case(cases[i].name);
        for (size_t a = 0; a <= in.length; a++) {
            stuff_state st = STUFF_LINE_START;

            stuff_check(&st, mail_span_first(in, a));
            assert_int_equal(stuff_check(&st, mail_span_from(in, a)), cases[i].want != NULL);
            assert_int_equal(st, cases[i].state);
        }
    }
}

static void fits_what_it_says(void **state)
{
    (void)state;
    for (size_t room = 0; room < 1000; room++) {
        size_t n = stuff_fit(room);

        assert_true(stuff_bound(n) <= room || n == 0);
        assert_true(room < 2 || n >= room / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_leading_dots_over_any_two_cuts),
        cmocka_unit_test(checks_line_ends_over_any_cut),
        cmocka_unit_test(fits_what_it_says),
    };

    return mail_test_run(tests);
}
