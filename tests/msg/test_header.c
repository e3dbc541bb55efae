/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/header.h>

/* MF-006 */
static void reads_fields_and_finds_the_body(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        const char *fields; /* name=value| for each */
        size_t body;
    } rows[] = {
        {"two fields", "A: b\r\nC:d\r\n\r\ne", "A= b|C=d|", 13},
        {"LF", "A: b\nC: d\n\ne", "A= b|C= d|", 11},
        {"folded", "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "A= b\r\n c\r\n\td|E= f|", 22},
        {"blanks before the colon", "A \t: b\r\n\r\n", "A= b|", 10},
        {"empty value", "A:\r\n\r\n", "A=|", 6},
        {"no body", "A: b\r\n", "A= b|", 6},
        {"no last line end", "A: b", "A= b|", 4},
        {"no empty line", "A: b\r\nthis is text\r\n", "A= b|", 6},
        {"a line that is no field", "A: b\r\nC d: e\r\n", "A= b|", 6},
        {"mbox line first", "From a Sat Jan  3 01:05:34 1996\nA: b\n\n", "", 0},
        {"fold first", " A: b\r\n\r\n", "", 0},
        {"empty line first", "\r\nA: b\r\n", "", 2},
        {"colon first", ": b\r\n", "", 0},
        {"UTF-8 name", "\303\274: b\r\n", "", 0},
        {"control in the name", "A\001: b\r\n", "", 0},
        {"nothing", "", "", 0},
        {"blanks only in a fold", "A: b\r\n \r\nC: d\r\n\r\n", "A= b\r\n |C= d|", 17},
        {"bare CR", "A: b\rC: d\r\n\r\n", "A= b\rC: d|", 13},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_header_reader reader;
        mail_field field;
        char got[200] = "";
        size_t end = 0;
        int code;

        mail_test_case(rows[i].name);
        mail_header_reader_init(&reader, mail_span_text(rows[i].in));
        while ((code = mail_header_reader_next(&reader, &field)) == MAIL_OK) {
            size_t n = strlen(got);

            assert_int_equal(field.offset, end);
            assert_ptr_equal(field.raw.data, rows[i].in + end);
            end += field.raw.length;
            snprintf(got + n, sizeof(got) - n, "%.*s=%.*s|", (int)field.name.length,
                     field.name.data, (int)field.value.length, field.value.data);
        }
        assert_int_equal(code, MAIL_ENOENT);
        assert_string_equal(got, rows[i].fields);
        assert_int_equal(mail_header_reader_body(&reader), rows[i].body);
    }
}

static void finds_a_field_by_its_name_in_any_case(void **state)
{
    mail_span message = MAIL_SPAN("To: a\r\nSubject: b\r\nsubject: c\r\n\r\nX: y\r\n");
    mail_field field;

    (void)state;
    assert_int_equal(mail_header_find(message, MAIL_SPAN("SUBJECT"), &field), MAIL_OK);
    assert_span_equal(field.value, " b");
    assert_int_equal(field.offset, 7);
    assert_int_equal(mail_header_find(message, MAIL_SPAN("X"), &field), MAIL_ENOENT);
}

/* MF-014 */
static void gives_up_on_headers_without_end(void **state)
{
    static char text[4 * (MAIL_HEADER_MAX_FIELDS + 1)];
    mail_header_reader reader;
    mail_field field;
    unsigned count = 0;
    int code;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 4) {
        memcpy(text + i, "a:\r\n", 4);
    }
    mail_header_reader_init(&reader, mail_span_of(text, sizeof(text)));
    while ((code = mail_header_reader_next(&reader, &field)) == MAIL_OK) {
        count++;
    }
    assert_int_equal(code, MAIL_ELIMIT);
    assert_int_equal(count, MAIL_HEADER_MAX_FIELDS);
}

static void unfolds_values(void **state)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        {" a", "a"},        {" a\r\n b\r\n\tc ", "a b\tc"},
        {"", ""},           {" \r\n ", ""},
        {"a\n  b", "a  b"}, {"a  b", "a  b"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[32];
        size_t n = mail_header_unfold(mail_span_text(rows[i].in), out);

        assert_span_equal(mail_span_of(out, n), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_fields_and_finds_the_body),
        cmocka_unit_test(finds_a_field_by_its_name_in_any_case),
        cmocka_unit_test(gives_up_on_headers_without_end),
        cmocka_unit_test(unfolds_values),
    };

    return mail_test_run(tests);
}
