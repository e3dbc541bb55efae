/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/utf8.h"

static void takes_and_refuses_as_rfc_3629_says(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        bool want;
    } cases[] = {
        {"ascii", "abc", true},
        {"two octets", "\xc3\xa4", true},
        {"three octets", "\xe2\x82\xac", true},
        {"four octets", "\xf0\x9f\x93\xa7", true},
        {"last character", "\xf4\x8f\xbf\xbf", true},
        {"past the last", "\xf4\x90\x80\x80", false},
        {"overlong slash", "\xc0\xaf", false},
        {"overlong in three", "\xe0\x80\xaf", false},
        {"overlong in four", "\xf0\x80\x80\xaf", false},
        {"surrogate", "\xed\xa0\x80", false},
        {"lone continuation", "\x80", false},
        {"cut short", "\xe2\x82", false},
        {"bad continuation", "\xe2\x28\xa1", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        assert_int_equal(utf8_is_valid(mail_span_text(cases[i].text)), cases[i].want);
    }
    assert_true(utf8_is_ascii(MAIL_SPAN("abc")));
    assert_false(utf8_is_ascii(MAIL_SPAN("ab\xc3\xa4")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_refuses_as_rfc_3629_says),
    };

    return mail_test_run(tests);
}
