/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/date.h>

/* SS-035, MF-012, MB-001 */
static void prints_instants_in_any_zone(void **state)
{
    static const struct {
        mail_wall when;
        int zone;
        const char *want;
        const char *asctime;
    } rows[] = {
        {0, 0, "Thu, 01 Jan 1970 00:00:00 +0000", "Thu Jan  1 00:00:00 1970"},
        {0, -300, "Wed, 31 Dec 1969 19:00:00 -0500", "Thu Jan  1 00:00:00 1970"},
        {1795308008, 60, "Sun, 22 Nov 2026 01:40:08 +0100", "Sun Nov 22 00:40:08 2026"},
        {951782400, 330, "Tue, 29 Feb 2000 05:30:00 +0530", "Tue Feb 29 00:00:00 2000"},
        {4107542399, 0, "Sun, 28 Feb 2100 23:59:59 +0000", "Sun Feb 28 23:59:59 2100"},
        {4107542400, 0, "Mon, 01 Mar 2100 00:00:00 +0000", "Mon Mar  1 00:00:00 2100"},
        {-1, 0, "Wed, 31 Dec 1969 23:59:59 +0000", "Wed Dec 31 23:59:59 1969"},
        {4294967296, 0, "Sun, 07 Feb 2106 06:28:16 +0000", "Sun Feb  7 06:28:16 2106"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_DATE_SIZE];

        mail_test_case(rows[i].want);
        assert_int_equal(mail_date_print(rows[i].when, rows[i].zone, out), strlen(rows[i].want));
        assert_string_equal(out, rows[i].want);
        assert_int_equal(mail_date_print_asctime(rows[i].when, out), strlen(rows[i].asctime));
        assert_string_equal(out, rows[i].asctime);
    }
}

static void stays_in_four_digits_of_years(void **state)
{
    static const mail_wall extremes[] = {INT64_MIN, -99999999999, 999999999999, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(extremes); i++) {
        for (int zone = -5999; zone <= 5999; zone += 5999) {
            char out[MAIL_DATE_SIZE];
            mail_wall when;

            assert_int_equal(mail_date_print(extremes[i], zone, out), 31);
            assert_int_equal(mail_date_parse(mail_span_text(out), &when, NULL), MAIL_OK);
        }
    }
}

static void reads_back_every_day_of_four_hundred_years(void **state)
{
    (void)state;
    for (mail_wall day = -30000; day < 146097 - 30000; day++) {
        char out[MAIL_DATE_SIZE];
        mail_wall when = day * 86400 + day % 86400;
        mail_wall got;
        int zone;

        mail_date_print(when, (int)(day % 1440), out);
        assert_int_equal(mail_date_parse(mail_span_text(out), &got, &zone), MAIL_OK);
        assert_int_equal(got, when);
        assert_int_equal(zone, day % 1440);
    }
}

/* MF-006 */
static void reads_obsolete_and_sloppy_dates(void **state)
{
    static const struct {
        const char *in;
        mail_wall want; /* -1: refused */
    } rows[] = {
        {"Thu, 01 Jan 1970 01:00:10 +0000", 3610},
        {"1 Jan 1970 01:00 +0000", 3600},
        {"thu, 1 jan 70 01:00:10 GMT", 3610},
        {"Thu, 1 Jan 70 01:00:10 UT", 3610},
        {"1 Jan 070 00:00:10 Z", 10},
        {"1 Jan 01 00:00:00 Z", 978307200},
        {"1 Jan 103 00:00:00 Z", 1041379200},
        {"31 Dec 1969 19:00:10 EST", 10},
        {"1 Jan 1970 00:00:10", 10},
        {"1 Jan 1970 00:00:10 A", 10},
        {"Thu,\r\n 1 (one (of)) Jan 1970\r\n\t00 : 00 : 10 +0000 (UTC)", 10},
        {"Thu,1Jan1970 0:0:10 +0000", 10},
        {"30 Jun 2015 23:59:60 +0000", 1435708800},
        {"", -1},
        {"Thu", -1},
        {"32 Jan 1970 00:00:00 +0000", -1},
        {"0 Jan 1970 00:00:00 +0000", -1},
        {"1 Foo 1970 00:00:00 +0000", -1},
        {"1 Jan 19700 00:00:00 +0000", -1},
        {"1 Jan 1970 24:00:00 +0000", -1},
        {"1 Jan 1970 00:60:00 +0000", -1},
        {"1 Jan 1970 00:00:61 +0000", -1},
        {"1 Jan 1970 00:00:00 +00", -1},
        {"1 Jan 1970 00:00:00 +0060", -1},
        {"1 Jan 1970 00:00:00 +0000 x", -1},
        {"1 Jan 1970", -1},
        {"1 Jan 1970 00 (", -1},
        {"Thu Jan  1 00:00:00 1970", -1},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_wall when;
        int code;

        mail_test_case(rows[i].in);
        code = mail_date_parse(mail_span_text(rows[i].in), &when, NULL);
        if (rows[i].want < 0) {
            assert_int_equal(code, MAIL_EINVAL);
        } else {
            assert_int_equal(code, MAIL_OK);
            assert_int_equal(when, rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_instants_in_any_zone),
        cmocka_unit_test(stays_in_four_digits_of_years),
        cmocka_unit_test(reads_back_every_day_of_four_hundred_years),
        cmocka_unit_test(reads_obsolete_and_sloppy_dates),
    };

    return mail_test_run(tests);
}
