/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/envelope.h>

/* SX-018, SX-019 */
static void decodes_strictly(void **state)
{
    static const struct {
        const char *in;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"", ""},         {"abc", "abc"},     {"a+2Bb+3D+20c", "a+b= c"},
        {"+2b", NULL},    {"a=b", NULL},      {"a b", NULL},
        {"+", NULL},      {"+4", NULL},       {"a+4G", NULL},
        {"+0D+0A", NULL}, {"+00", NULL},      {"+7F", NULL},
        {"+C3+BC", NULL}, {"\303\274", NULL}, {"a\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[64];
        int n;

        mail_test_case(rows[i].in);
        n = mail_xtext_decode(mail_span_text(rows[i].in), out, sizeof(out));
        if (rows[i].want == NULL) {
            assert_int_equal(n, MAIL_EINVAL);
        } else {
            assert_int_equal(n, strlen(rows[i].want));
            assert_memory_equal(out, rows[i].want, (size_t)n);
        }
    }
    assert_int_equal(mail_xtext_decode(mail_span_of("+\0001", 3), (char[4]){0}, 4), MAIL_EINVAL);
}

static void encodes_what_it_must(void **state)
{
    char out[64];
    int n = mail_xtext_encode(mail_span_of("a+b=c d\0\377", 9), out, sizeof(out));

    (void)state;
    assert_span_equal(mail_span_of(out, (size_t)n), "a+2Bb+3Dc+20d+00+FF");
}

static void stops_at_the_end_of_the_room(void **state)
{
    char out[4];

    (void)state;
    assert_int_equal(mail_xtext_decode(MAIL_SPAN("abcd"), out, 4), 4);
    assert_int_equal(mail_xtext_decode(MAIL_SPAN("abcde"), out, 4), MAIL_ELIMIT);
    assert_int_equal(mail_xtext_encode(MAIL_SPAN("abcd"), out, 4), 4);
    assert_int_equal(mail_xtext_encode(MAIL_SPAN("a="), out, 4), 4);
    assert_int_equal(mail_xtext_encode(MAIL_SPAN("ab="), out, 4), MAIL_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_strictly),
        cmocka_unit_test(encodes_what_it_must),
        cmocka_unit_test(stops_at_the_end_of_the_room),
    };

    return mail_test_run(tests);
}
