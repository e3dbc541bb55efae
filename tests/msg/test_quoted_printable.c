/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/encode.h>

/* MF-009 */
static void encodes_what_transport_could_change(void **state)
{
    static const char *const rows[][3] = {
        {"plain", "abc\ndef\r\n", "abc\r\ndef\r\n"},
        {"equals", "a=b", "a=3Db"},
        {"UTF-8", "\303\274", "=C3=BC"},
        {"blank at the end", "a \nb\t\n ", "a=20\r\nb=09\r\n=20"},
        {"blank inside", "a b\tc", "a b\tc"},
        {"dot at the start", ".\n.a\na.", "=2E\r\n=2Ea\r\na."},
        {"From at the start", "From a\nFromage\n>From b\n From c",
         "=46rom a\r\nFromage\r\n>From b\r\n From c"},
        {"bare CR", "a\rb", "a=0Db"},
        {"nothing", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[200];

        mail_test_case(rows[i][0]);
        assert_span_equal(mail_span_of(out, mail_qp_encode(mail_span_text(rows[i][1]), out)),
                          rows[i][2]);
    }
}

/* Text with the line ends that come back. */
static void check_round_trip(mail_span in)
{
    static char out[MAIL_QP_SIZE(3000)];
    static char back[sizeof(out)];
    size_t n = mail_qp_encode(in, out);
    mail_span rest = mail_span_of(out, n);

    assert_true(n <= MAIL_QP_SIZE(in.length));
    while (rest.length > 0) {
        const char *end = memmem(rest.data, rest.length, "\r\n", 2);
        size_t line = end != NULL ? (size_t)(end - rest.data) : rest.length;

        assert_true(line <= 76);
        assert_true(line == 0 || (rest.data[line - 1] != ' ' && rest.data[line - 1] != '\t'));
        assert_true(line == 0 || rest.data[0] != '.');
        rest = mail_span_from(rest, end != NULL ? line + 2 : line);
    }
    n = mail_qp_decode(mail_span_of(out, n), back);
    assert_int_equal(n, in.length);
    assert_memory_equal(back, in.data, n);
}

static void comes_back_as_it_was_with_no_line_past_76(void **state)
{
    static char text[3000];

    (void)state;
    for (unsigned seed = 1; seed < 60; seed++) {
        static const char *const pieces[] = {"a", " ",        "\t", ".",     "\r\n",
                                             "=", "\303\274", "\r", "From ", "word"};
        size_t length = 0;
        unsigned x = seed * 2654435761U;

        while (length + 5 < sizeof(text)) {
            const char *piece;

            x = x * 1103515245U + 12345U;
            piece = pieces[(x >> 16) % (1 + seed % MAIL_COUNT(pieces))];
            memcpy(text + length, piece, strlen(piece));
            length += strlen(piece);
            if (piece[0] == '\r' && piece[1] == '\0') {
                text[length++] = 'x'; /* never an LF, which would make a line end of it */
            }
        }
        check_round_trip(mail_span_of(text, length));
    }
}

static void decodes_what_others_wrote(void **state)
{
    static const char *const rows[][2] = {
        {"a=\r\nb=\nc", "abc"}, {"a= \t\r\nb", "ab"}, {"=3D=41", "=A"}, {"=3d", "=3d"},
        {"a=", "a="},           {"=4", "=4"},         {"=ZZ", "=ZZ"},   {"a b", "a b"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[32];

        mail_test_case(rows[i][0]);
        assert_span_equal(mail_span_of(out, mail_qp_decode(mail_span_text(rows[i][0]), out)),
                          rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_transport_could_change),
        cmocka_unit_test(comes_back_as_it_was_with_no_line_past_76),
        cmocka_unit_test(decodes_what_others_wrote),
    };

    return mail_test_run(tests);
}
