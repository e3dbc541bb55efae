/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/encode.h>

static void keeps_words_readable_where_that_costs_little(void **state)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        {"J\303\266rg", "=?UTF-8?Q?J=C3=B6rg?="},
        {"a b", "=?UTF-8?Q?a_b?="},
        {"a_b=c?\"", "=?UTF-8?Q?a=5Fb=3Dc=3F=22?="},
        {"\346\227\245\346\234\254", "=?UTF-8?B?5pel5pys?="},
        {"", ""},
        {"a\nb", ""},
        {"a\rb", ""},
        {"\303", ""},
        {"\302\205", ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[200];

        mail_test_case(rows[i].in);
        assert_span_equal(mail_span_of(out, mail_words_encode(mail_span_text(rows[i].in), 9, out)),
                          rows[i].want);
    }
}

/* Decodes one word into `out`; the length. */
static size_t decode_word(mail_span word, char *out)
{
    mail_span body = mail_span_of(word.data + 10, word.length - 12);
    size_t n = 0;

    assert_true(word.length <= 75);
    assert_memory_equal(word.data, "=?UTF-8?", 8);
    assert_memory_equal(word.data + word.length - 2, "?=", 2);
    if (word.data[8] == 'B') {
        assert_int_equal(mail_base64_decode(body, out, &n), MAIL_OK);
        return n;
    }
    n = mail_qp_decode(body, out);
    for (size_t i = 0; i < n; i++) {
        out[i] = out[i] == '_' ? ' ' : out[i];
    }
    return n;
}

/* MF-008 */
static void divides_long_text_between_characters(void **state)
{
    static const char *const characters[] = {"a", "\303\274", "\346\227\245", "\360\237\230\200",
                                             " "};

    (void)state;
    for (size_t mix = 1; mix < 32; mix++) {
        for (size_t column = 0; column < 100; column += 7) {
            char text[2000];
            char out[MAIL_WORDS_SIZE(sizeof(text))];
            char back[sizeof(text)];
            size_t length = 0;
            size_t at = 0;
            mail_span rest;

            for (size_t i = 0; length < 400; i++) {
                if ((mix >> (i % 5) & 1) != 0) {
                    memcpy(text + length, characters[i % 5], strlen(characters[i % 5]));
                    length += strlen(characters[i % 5]);
                }
            }
            rest = mail_span_of(out, mail_words_encode(mail_span_of(text, length), column, out));
            assert_in_range(rest.length, 1, MAIL_WORDS_SIZE(length));
            for (size_t line = column; rest.length > 0; line = 1) {
                const char *end = memmem(rest.data, rest.length, "\r\n ", 3);
                size_t n = end != NULL ? (size_t)(end - rest.data) : rest.length;

                if (n > 0) {
                    assert_true(line + n <= 76);
                    at += decode_word(mail_span_first(rest, n), back + at);
                    assert_true(((unsigned char)text[at] & 0xc0) != 0x80 || at == length);
                } else {
                    assert_true(line == column && column > 1);
                }
                rest = mail_span_from(rest, end != NULL ? n + 3 : n);
            }
            assert_int_equal(at, length);
            assert_memory_equal(back, text, length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_words_readable_where_that_costs_little),
        cmocka_unit_test(divides_long_text_between_characters),
    };

    return mail_test_run(tests);
}
