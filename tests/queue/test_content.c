/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "queue/content.h"

static const struct {
    const char *name;
    const char *text;
    size_t length; /* 0: that of the text */
    bool has_8bit, has_nul, has_utf8_header;
} cases[] = {
    {"plain", "Subject: x\r\n\r\nbody\r\n", 0, false, false, false},
    {"nothing", "", 0, false, false, false},
    {"8-bit body",
     "Subject: x\r\n\r\nb\xc3\xb6"
     "dy\r\n",
     0, true, false, false},
    {"8-bit header", "Subject: \xc3\xb6\r\n\r\nbody\r\n", 0, true, false, true},
    {"8-bit where the header ends", "Subject: x\r\n\r\n\xc3\xb6", 0, true, false, false},
    {"8-bit in a message that is all body", "\r\n\xc3\xb6\r\n", 0, true, false, false},
    {"8-bit at the end of a message that is all header", "A: \r\n\xc3\xb6", 0, true, false, true},
    {"NUL", "A: b\r\n\r\nx\0y\r\n", 13, false, true, false},
    {"bare LF", "A: b\r\n\r\nx\ny\r\n", 0, false, true, false},
    {"bare LF first of all", "\nx\r\n", 0, false, true, false},
    {"bare CR", "A: b\r\n\r\nx\ry\r\n", 0, false, true, false},
    {"CR CR LF", "A: b\r\n\r\nx\r\r\n", 0, false, true, false},
    {"CR at the end", "A: b\r\n\r\nx\r", 0, false, true, false},
    {"no line end at the end", "A: b\r\n\r\nx", 0, false, false, false},
    {"bare LF far within",
     "A: b\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567890123456789\n",
     0, false, true, false},
};

static void check(const queue_content *content, size_t i)
{
    size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);

    assert_int_equal(content->size, length);
    assert_int_equal(content->has_8bit, cases[i].has_8bit);
    assert_int_equal(content->has_nul, cases[i].has_nul);
    assert_int_equal(content->has_utf8_header, cases[i].has_utf8_header);
}

static void learns_the_same_however_the_message_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);

        mail_test_case(cases[i].name);
        for (size_t cut = 0; cut <= length; cut++) {
            queue_content content = {0};

            queue_content_scan(&content, mail_span_of(cases[i].text, cut));
            queue_content_scan(&content, mail_span_of(cases[i].text + cut, length - cut));
            queue_content_end(&content);
            check(&content, i);
        }
    }
}

static void learns_the_same_octet_by_octet(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);
        queue_content content = {0};

        mail_test_case(cases[i].name);
        for (size_t at = 0; at < length; at++) {
            queue_content_scan(&content, mail_span_of(cases[i].text + at, 1));
        }
        queue_content_end(&content);
        check(&content, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_the_same_however_the_message_is_cut),
        cmocka_unit_test(learns_the_same_octet_by_octet),
    };

    return mail_test_run(tests);
}
