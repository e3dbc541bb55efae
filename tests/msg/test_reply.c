/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/reply.h>

static void prints_a_reply_on_one_harmless_line(void **state)
{
    const struct {
        const char *name;
        mail_reply reply;
        const char *want;
    } rows[] = {
        {"with status", MAIL_REPLY(550, 5, 1, 1, "No such user"), "550 5.1.1 No such user"},
        {"without", {.code = 250, .text = MAIL_SPAN("ok")}, "250 ok"},
        {"without text", {.code = 250}, "250"},
        {"without code", {.text = MAIL_SPAN("lost")}, "lost"},
        {"lines", {.code = 250, .text = MAIL_SPAN("a\nb")}, "250 a b"},
        {"controls", {.code = 250, .text = MAIL_SPAN("a\033[2J\rb\tc")}, "250 a?[2J b c"},
        {"broken UTF-8",
         {.code = 250, .text = MAIL_SPAN("\303\274\377\302\205x")},
         "250 \303\274???x"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_REPLY_TEXT_SIZE];
        size_t length;

        mail_test_case(rows[i].name);
        length = mail_reply_print(&rows[i].reply, out, sizeof(out));
        assert_span_equal(mail_span_of(out, length), rows[i].want);
        assert_int_equal(out[length], '\0');
    }
}

static void cuts_between_characters(void **state)
{
    mail_reply reply = {.code = 250, .text = MAIL_SPAN("\303\274\303\274")};
    char out[8];

    (void)state;
    assert_int_equal(mail_reply_print(&reply, out, 8), 6);
    assert_string_equal(out, "250 \303\274");
    assert_int_equal(mail_reply_print(&reply, out, 3), 2);
    assert_string_equal(out, "25");
    assert_int_equal(mail_reply_print(&reply, out, 0), 0);
}

static void reads_what_it_has_printed(void **state)
{
    static const struct {
        const char *in;
        int code;
        int class;
        const char *text;
    } rows[] = {
        {"550 5.1.1 No such user", 550, 5, "No such user"},
        {"250", 250, 0, ""},
        {"250 2.0.0", 250, 2, ""},
        {"250 5.1.1 x", 250, 0, "5.1.1 x"},
        {"250 2.0.0x", 250, 0, "2.0.0x"},
        {"250 2.0.1234 x", 250, 0, "2.0.1234 x"},
        {"lost", 0, 0, NULL},
        {"", 0, 0, NULL},
        {"25", 0, 0, NULL},
        {"2500 x", 0, 0, NULL},
        {"150 x", 0, 0, NULL},
        {"600 x", 0, 0, NULL},
        {"250-x", 0, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_reply reply;
        int code;

        mail_test_case(rows[i].in);
        code = mail_reply_parse(mail_span_text(rows[i].in), &reply);
        assert_int_equal(code, rows[i].text != NULL ? MAIL_OK : MAIL_EINVAL);
        if (code == MAIL_OK) {
            assert_int_equal(reply.code, rows[i].code);
            assert_int_equal(reply.status[0], rows[i].class);
            assert_span_equal(reply.text, rows[i].text);
        }
    }
}

/* SS-010, SX-006, SS-052 */
static void writes_lines_as_the_wire_wants_them(void **state)
{
    const struct {
        const char *name;
        mail_reply reply;
        bool enhanced;
        const char *want;
    } rows[] = {
        {"one line", MAIL_REPLY(250, 2, 1, 0, "ok"), true, "250 2.1.0 ok\r\n"},
        {"not enhanced", MAIL_REPLY(250, 2, 1, 0, "ok"), false, "250 ok\r\n"},
        {"no status", {.code = 354, .text = MAIL_SPAN("go")}, true, "354 go\r\n"},
        {"no text", {.code = 250}, true, "250\r\n"},
        {"status and no text", {.code = 250, .status = {2, 0, 0}}, true, "250 2.0.0\r\n"},
        {"lines", MAIL_REPLY(550, 5, 7, 1, "a\nb"), true, "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
        {"empty line",
         {.code = 250, .text = MAIL_SPAN("a\n\nb")},
         true,
         "250-a\r\n250-\r\n250 b\r\n"},
        {"CR, NUL, ESC",
         {.code = 250, .text = mail_span_of("a\r\0\033b", 5)},
         true,
         "250 a ??b\r\n"},
        {"UTF-8", {.code = 250, .text = MAIL_SPAN("\303\274")}, true, "250 ?\r\n"},
        {"an injected line",
         {.code = 250, .text = MAIL_SPAN("a\r\n550 b")},
         true,
         "250-a\r\n250 550 b\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[200];
        size_t length;

        mail_test_case(rows[i].name);
        assert_int_equal(
            mail_reply_write(&rows[i].reply, rows[i].enhanced, out, sizeof(out), &length), MAIL_OK);
        assert_span_equal(mail_span_of(out, length), rows[i].want);
    }
}

/* SS-040 */
static void folds_long_lines_and_loses_nothing(void **state)
{
    static char text[3000];
    static char out[5000];
    mail_reply reply = {.code = 250, .status = {2, 0, 0}, .text = mail_span_of(text, sizeof(text))};

    (void)state;
    for (size_t gap = 7; gap < 1500; gap = gap * 3) {
        size_t letters = 0;
        size_t length;
        char *line;

        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = i % gap == gap - 1 ? ' ' : 'x';
        }
        assert_int_equal(mail_reply_write(&reply, true, out, sizeof(out) - 1, &length), MAIL_OK);
        out[length] = '\0';
        line = out;
        for (char *end = strstr(line, "\r\n"); end != NULL; end = strstr(line, "\r\n")) {
            assert_true(end - line <= 510);
            assert_memory_equal(line, end[2] != '\0' ? "250-2.0.0 " : "250 2.0.0 ", 10);
            for (; line < end; line++) {
                letters += *line == 'x' ? 1 : 0;
            }
            line = end + 2;
        }
        assert_int_equal(*line, '\0');
        assert_int_equal(letters, sizeof(text) - sizeof(text) / gap);
    }
}

static void says_how_much_room_it_needs(void **state)
{
    mail_reply reply = {.code = 250, .text = MAIL_SPAN("a\nb")};
    char out[16] = "";
    size_t length;

    (void)state;
    assert_int_equal(mail_reply_write(&reply, true, out, 13, &length), MAIL_ELIMIT);
    assert_int_equal(length, 14);
    assert_int_equal(mail_reply_write(&reply, true, NULL, 0, &length), MAIL_ELIMIT);
    assert_int_equal(length, 14);
    assert_int_equal(mail_reply_write(&reply, true, out, 14, &length), MAIL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_a_reply_on_one_harmless_line),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(reads_what_it_has_printed),
        cmocka_unit_test(writes_lines_as_the_wire_wants_them),
        cmocka_unit_test(folds_long_lines_and_loses_nothing),
        cmocka_unit_test(says_how_much_room_it_needs),
    };

    return mail_test_run(tests);
}
