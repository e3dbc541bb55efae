/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/compose.h>

typedef struct row {
    const char *name;
    const char *in;
    bool dot_ends;
    const char *want;
    bool ended;
    bool has_bare_cr;
} row;

static void convert(const row *want, size_t slice, size_t room)
{
    mail_span in = mail_span_text(want->in);
    mail_newlines newlines;
    char out[200];
    size_t length = 0;

    mail_newlines_init(&newlines);
    newlines.dot_ends = want->dot_ends;
    while (in.length > 0 && !newlines.ended) {
        size_t n = slice < in.length ? slice : in.length;
        size_t used;
        size_t wrote =
            mail_newlines_convert(&newlines, mail_span_first(in, n), &used, out + length, room);

        assert_true(wrote <= room);
        assert_true(used > 0 || wrote > 0);
        length += wrote;
        in = mail_span_from(in, used);
    }
    length += mail_newlines_end(&newlines, out + length);
    assert_span_equal(mail_span_of(out, length), want->want);
    assert_int_equal(newlines.ended, want->ended);
    assert_int_equal(newlines.has_bare_cr, want->has_bare_cr);
}

/* SC-008 */
static void gives_every_line_a_crlf_however_it_is_cut(void **state)
{
    static const row rows[] = {
        {"LF", "a\nb\n", false, "a\r\nb\r\n", false, false},
        {"CRLF", "a\r\nb\r\n", false, "a\r\nb\r\n", false, false},
        {"mixed", "a\r\nb\nc\r\n\n", false, "a\r\nb\r\nc\r\n\r\n", false, false},
        {"no last line end", "a\nb", false, "a\r\nb\r\n", false, false},
        {"bare CR", "a\rb\n", false, "a\rb\r\n", false, true},
        {"two CR", "a\r\r\n", false, "a\r\r\n", false, true},
        {"CR last", "a\r", false, "a\r\r\n", false, true},
        {"CR first", "\ra", false, "\ra\r\n", false, true},
        {"nothing", "", false, "", false, false},
        {"dots are text", "a\n.\nb\n", false, "a\r\n.\r\nb\r\n", false, false},
        {"a dot ends", "a\n.\nb\n", true, "a\r\n", true, false},
        {"a dot ends, CRLF", "a\r\n.\r\nb\r\n", true, "a\r\n", true, false},
        {"a dot first", ".\na", true, "", true, false},
        {"a dot last, no line end", "a\n.", true, "a\r\n", true, false},
        {"two dots", "a\n..\n", true, "a\r\n..\r\n", false, false},
        {"a dot and text", "a\n.b\n", true, "a\r\n.b\r\n", false, false},
        {"a dot inside", "a.\n", true, "a.\r\n", false, false},
        {"a dot and a bare CR", "a\n.\rb\n", true, "a\r\n.\rb\r\n", false, true},
        {"a dot and two CR", "a\n.\r\r\n", true, "a\r\n.\r\r\n", false, true},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_test_case(rows[i].name);
        for (size_t slice = 1; slice < 12; slice++) {
            for (size_t room = 4; room < 40; room += 3) {
                convert(&rows[i], slice, room);
            }
        }
    }
}

static void takes_all_where_there_is_room_for_the_worst(void **state)
{
    static char in[1000];
    char out[2 * sizeof(in) + 4];
    mail_newlines newlines;
    size_t used;

    (void)state;
    memset(in, '\n', sizeof(in));
    mail_newlines_init(&newlines);
    assert_int_equal(
        mail_newlines_convert(&newlines, mail_span_of(in, sizeof(in)), &used, out, sizeof(out)),
        2 * sizeof(in));
    assert_int_equal(used, sizeof(in));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_every_line_a_crlf_however_it_is_cut),
        cmocka_unit_test(takes_all_where_there_is_room_for_the_worst),
    };

    return mail_test_run(tests);
}
