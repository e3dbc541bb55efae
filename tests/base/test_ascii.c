/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/ascii.h"

static void reads_whole_numbers_up_to_a_limit(void **state)
{
    static const struct {
        const char *text;
        uint64_t most;
        bool good;
        uint64_t want;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"007", UINT64_MAX, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0},
        {"65535", UINT16_MAX, true, UINT16_MAX},
        {"65536", UINT16_MAX, false, 0},
        {"5", 4, false, 0},
        {"4", 4, true, 4},
        {"0", 0, true, 0},
        {"10", 0, false, 0},
        {"", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"0x1", UINT64_MAX, false, 0},
        {"1\xb2", UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        uint64_t got = 0;

        mail_test_case(cases[i].text);
        assert_int_equal(ascii_number(mail_span_text(cases[i].text), cases[i].most, &got),
                         cases[i].good);
        assert_true(!cases[i].good || got == cases[i].want);
    }
}

static void cuts_blanks_off_both_ends(void **state)
{
    (void)state;
    assert_span_equal(ascii_trim(MAIL_SPAN("  a b "), " "), "a b");
    assert_span_equal(ascii_trim(MAIL_SPAN("\t a\r\n"), " \t\r\n"), "a");
    assert_span_equal(ascii_trim(MAIL_SPAN("\ta"), " "), "\ta");
    assert_int_equal(ascii_trim(MAIL_SPAN("   "), " ").length, 0);
    assert_int_equal(ascii_trim(MAIL_SPAN("\0"), " ").length, 1); /* which ends no set of blanks */
    assert_int_equal(ascii_trim(mail_span_text(NULL), " ").length, 0);
}

static void sees_control_characters(void **state)
{
    (void)state;
    assert_false(ascii_has_control(MAIL_SPAN("a \xc3\xa4~")));
    assert_false(ascii_has_control(mail_span_text(NULL)));
    assert_true(ascii_has_control(MAIL_SPAN("a\0")));
    assert_true(ascii_has_control(MAIL_SPAN("\tb")));
    assert_true(ascii_has_control(MAIL_SPAN("\x7f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_whole_numbers_up_to_a_limit),
        cmocka_unit_test(cuts_blanks_off_both_ends),
        cmocka_unit_test(sees_control_characters),
    };

    return mail_test_run(tests);
}
