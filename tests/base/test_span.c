/* SPDX-License-Identifier: MIT */
#include "support/support.h"

static void compares_with_and_without_case(void **state)
{
    (void)state;
    assert_true(mail_span_equal(MAIL_SPAN("a\0b"), MAIL_SPAN("a\0b")));
    assert_false(mail_span_equal(MAIL_SPAN("a\0b"), MAIL_SPAN("a\0c")));
    assert_true(mail_span_equal(mail_span_text(NULL), MAIL_SPAN("")));
    assert_true(mail_span_equal_nocase(MAIL_SPAN("MAIL From"), MAIL_SPAN("mail fROM")));
    assert_false(mail_span_equal_nocase(MAIL_SPAN("mail"), MAIL_SPAN("mai")));
    /* [ and { differ from @ and ` by the case bit too, but are no letters. */
    assert_false(mail_span_equal_nocase(MAIL_SPAN("@["), MAIL_SPAN("`{")));
}

static void cuts_both_ends(void **state)
{
    (void)state;
    assert_span_equal(mail_span_from(MAIL_SPAN("abcdef"), 2), "cdef");
    assert_span_equal(mail_span_first(MAIL_SPAN("abcdef"), 2), "ab");
    assert_int_equal(mail_span_from(MAIL_SPAN("abc"), 3).length, 0);
    assert_null(mail_span_from(mail_span_text(NULL), 0).data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_with_and_without_case),
        cmocka_unit_test(cuts_both_ends),
    };

    return mail_test_run(tests);
}
