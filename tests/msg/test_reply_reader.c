/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/reply.h>

/* SC-005, SC-012, SC-035, DS-025 */
static void reads_replies_line_by_line(void **state)
{
    static const struct {
        const char *name;
        const char *lines[4];
        int want; /* of the last line */
        int code;
        int class;
        const char *text;
    } rows[] = {
        {"one line", {"250 2.1.0 ok"}, MAIL_OK, 250, 2, "ok"},
        {"no text", {"250"}, MAIL_OK, 250, 0, ""},
        {"no text but a blank", {"250 "}, MAIL_OK, 250, 0, ""},
        {"two lines", {"250-a", "250 b"}, MAIL_OK, 250, 0, "a\nb"},
        {"status on each line", {"550-5.7.1 a", "550 5.7.1 b"}, MAIL_OK, 550, 5, "a\nb"},
        {"status on the last line", {"550-a", "550 5.7.1 b"}, MAIL_OK, 550, 5, "a\nb"},
        {"status of another class", {"450 5.7.1 b"}, MAIL_OK, 450, 0, "5.7.1 b"},
        {"354 has no status", {"354 3.0.0 go"}, MAIL_OK, 354, 0, "3.0.0 go"},
        {"unknown code", {"599 x"}, MAIL_OK, 599, 0, "x"},
        {"controls", {"250 a\033\r\tb"}, MAIL_OK, 250, 0, "a?  b"},
        {"broken UTF-8", {"250 \377"}, MAIL_OK, 250, 0, "?"},
        {"two digits", {"25 ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"four digits", {"2500 ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"0yz", {"050 ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"1yz", {"150 ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"6yz", {"600 ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"empty", {""}, MAIL_EPROTO, 0, 0, NULL},
        {"no separator", {"250ok"}, MAIL_EPROTO, 0, 0, NULL},
        {"the greeting of SSH", {"SSH-2.0-OpenSSH_9.2"}, MAIL_EPROTO, 0, 0, NULL},
        {"the code changes", {"250-a", "550 b"}, MAIL_EPROTO, 0, 0, NULL},
        {"an empty line between", {"250-a", ""}, MAIL_EPROTO, 0, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_reply_reader reader;
        char text[100];
        mail_reply reply = {0};
        bool done = false;
        int code = MAIL_OK;

        mail_test_case(rows[i].name);
        mail_reply_reader_init(&reader, text, sizeof(text));
        for (size_t line = 0; line < 4 && rows[i].lines[line] != NULL; line++) {
            assert_int_equal(code, MAIL_OK);
            assert_false(done);
            code =
                mail_reply_reader_line(&reader, mail_span_text(rows[i].lines[line]), &reply, &done);
        }
        assert_int_equal(code, rows[i].want);
        if (code == MAIL_OK) {
            assert_true(done);
            assert_int_equal(reply.code, rows[i].code);
            assert_int_equal(reply.status[0], rows[i].class);
            assert_span_equal(reply.text, rows[i].text);
        }
    }
}

static void reads_one_reply_after_another(void **state)
{
    mail_reply_reader reader;
    mail_reply reply;
    char text[8];
    bool done;

    (void)state;
    mail_reply_reader_init(&reader, text, sizeof(text));
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN("550-5.1.1 a"), &reply, &done),
                         MAIL_OK);
        assert_false(done);
        assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN("550 5.1.1 b"), &reply, &done),
                         MAIL_OK);
        assert_true(done);
        assert_span_equal(reply.text, "a\nb");
        assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN("250 c"), &reply, &done),
                         MAIL_OK);
        assert_true(done);
        assert_int_equal(reply.status[0], 0);
        assert_span_equal(reply.text, "c");
    }
}

static void cuts_the_text_and_ends_endless_replies(void **state)
{
    static const char line[] = "250-0123456789012345678901234567890123456789";
    mail_reply_reader reader;
    mail_reply reply;
    char text[64];
    unsigned lines = 0;
    bool done;

    (void)state;
    mail_reply_reader_init(&reader, text, sizeof(text));
    while (mail_reply_reader_line(&reader, MAIL_SPAN(line), &reply, &done) == MAIL_OK) {
        assert_false(done);
        lines++;
    }
    assert_in_range(lines, 1000, 65536 / sizeof(line));
    mail_reply_reader_init(&reader, text, sizeof(text));
    assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN(line), &reply, &done), MAIL_OK);
    assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN(line), &reply, &done), MAIL_OK);
    assert_int_equal(mail_reply_reader_line(&reader, MAIL_SPAN("250 x"), &reply, &done), MAIL_OK);
    assert_true(done);
    assert_int_equal(reply.text.length, sizeof(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_replies_line_by_line),
        cmocka_unit_test(reads_one_reply_after_another),
        cmocka_unit_test(cuts_the_text_and_ends_endless_replies),
    };

    return mail_test_run(tests);
}
