/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/log.h>

static void prints_text_and_json_with_hostile_values_escaped(void **state)
{
    const mail_log_field fields[] = {
        {"queue_id", MAIL_SPAN("abc")},
        {"reply", MAIL_SPAN("550 \"no\"\r\n\x1b[2J")},
        {"raw", MAIL_SPAN("\xff\xc3\xa4")},
        {"empty", MAIL_SPAN("")},
    };
    char out[512];
    size_t n;

    (void)state;
    n = mail_log_print(MAIL_LOG_TEXT, 0, MAIL_LOG_INFO, "accepted", fields, 4, out, sizeof(out));
    assert_span_equal(mail_span_of(out, n), "1970-01-01T00:00:00Z info accepted queue_id=abc "
                                            "reply=\"550 \\\"no\\\"\\u000d\\u000a\\u001b[2J\" "
                                            "raw=\"\\u00ff\xc3\xa4\" empty=\"\"\n");
    n = mail_log_print(MAIL_LOG_JSON, 0, MAIL_LOG_INFO, "accepted", fields, 2, out, sizeof(out));
    assert_span_equal(
        mail_span_of(out, n),
        "{\"time\":\"1970-01-01T00:00:00Z\",\"level\":\"info\",\"event\":\"accepted\","
        "\"queue_id\":\"abc\",\"reply\":\"550 \\\"no\\\"\\u000d\\u000a\\u001b[2J\"}\n");
}

static void stays_well_formed_when_cut_anywhere(void **state)
{
    char value[300];
    const mail_log_field fields[] = {{"key", {value, sizeof(value)}}, {"next", MAIL_SPAN("v")}};
    char out[512];

    (void)state;
    memset(value, '"', sizeof(value));
    for (size_t size = 90; size < sizeof(out); size++) {
        size_t n = mail_log_print(MAIL_LOG_JSON, 0, MAIL_LOG_WARN, "x", fields, 2, out, size);

        assert_true(n <= size);
        assert_memory_equal(out + n - 3, "\"}\n", 3);
    }
}

static void writes_numbers_into_json_as_numbers(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        const char *want;
    } cases[] = {
        {"recipients", "3", "3"},
        {"size", "0", "0"},
        {"uid", "1000", "1000"},
        {"size", "18446744073709551615", "18446744073709551615"},
        {"delays", "0/0.01/12.50", "[0,0.01,12.50]"},
        {"queue_id", "123", "\"123\""}, /* some of them hold no letter */
        {"from", "1", "\"1\""},
        {"size", "", "\"\""},
        {"size", "012", "\"012\""},
        {"size", "-1", "\"-1\""},
        {"size", "1e9", "\"1e9\""},
        {"delay", ".5", "\".5\""},
        {"delay", "5.", "\"5.\""},
        {"delay", "1.2.3", "\"1.2.3\""},
        {"delays", "1/", "\"1/\""},
        {"delays", "/1", "\"/1\""},
        {"delays", "1//1", "\"1//1\""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const mail_log_field field = {cases[i].key, mail_span_text(cases[i].value)};
        char want[200];
        char out[200];
        size_t n;

        mail_test_case(cases[i].value);
        snprintf(
            want, sizeof(want),
            "{\"time\":\"1970-01-01T00:00:00Z\",\"level\":\"info\",\"event\":\"x\",\"%s\":%s}\n",
            cases[i].key, cases[i].want);
        n = mail_log_print(MAIL_LOG_JSON, 0, MAIL_LOG_INFO, "x", &field, 1, out, sizeof(out));
        assert_span_equal(mail_span_of(out, n), want);
    }
}

static void closes_a_line_that_numbers_do_not_fit_in(void **state)
{
    const mail_log_field fields[] = {{"size", MAIL_SPAN("12345678901234567890")},
                                     {"delays", MAIL_SPAN("1/2/3/4/5/6")},
                                     {"tries", MAIL_SPAN("1")}};
    char out[256];

    (void)state;
    for (size_t size = 70; size < sizeof(out); size++) {
        size_t n = mail_log_print(MAIL_LOG_JSON, 0, MAIL_LOG_INFO, "x", fields, 3, out, size);
        size_t depth = 0;

        assert_true(n <= size);
        assert_memory_equal(out + n - 2, "}\n", 2);
        for (size_t i = 0; i < n; i++) {
            depth += out[i] == '[' ? 1 : 0;
            depth -= out[i] == ']' ? 1 : 0;
        }
        assert_int_equal(depth, 0);
    }
}

static void count_line(mail_log_level level, const char *what, const mail_log_field *fields,
                       size_t count, void *arg)
{
    (void)level;
    (void)what;
    (void)fields;
    (void)count;
    ++*(int *)arg;
}

static void passes_on_only_the_levels_wanted(void **state)
{
    int lines = 0;
    const mail_log log = {count_line, &lines, MAIL_LOG_INFO};

    (void)state;
    mail_log_line(NULL, MAIL_LOG_ERROR, "x", NULL, 0);
    mail_log_line(&log, MAIL_LOG_ERROR, "x", NULL, 0);
    mail_log_line(&log, MAIL_LOG_INFO, "x", NULL, 0);
    mail_log_line(&log, MAIL_LOG_DEBUG, "x", NULL, 0);
    assert_int_equal(lines, 2);
    assert_string_equal(mail_log_level_name(MAIL_LOG_WARN), "warn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_text_and_json_with_hostile_values_escaped),
        cmocka_unit_test(stays_well_formed_when_cut_anywhere),
        cmocka_unit_test(writes_numbers_into_json_as_numbers),
        cmocka_unit_test(closes_a_line_that_numbers_do_not_fit_in),
        cmocka_unit_test(passes_on_only_the_levels_wanted),
    };

    return mail_test_run(tests);
}
