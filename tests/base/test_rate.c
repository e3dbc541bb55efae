/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/rate.h>

static void refuses_bad_options(void **state)
{
    static const struct {
        const char *name;
        mail_rate_options opts;
        int want;
    } cases[] = {
        {"no interval", {.burst = 3}, MAIL_EINVAL},
        {"negative interval", {.interval = -1}, MAIL_EINVAL},
        {"burst defaults to one", {.interval = 1}, MAIL_OK},
        {"as deep as may be", {.burst = 2, .interval = MAIL_RATE_DEPTH_MAX / 2}, MAIL_OK},
        {"too deep", {.burst = 3, .interval = MAIL_RATE_DEPTH_MAX / 2}, MAIL_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_rate rate;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_rate_init(&rate, &cases[i].opts), cases[i].want);
    }
}

static void gives_a_burst_then_one_token_an_interval(void **state)
{
    mail_time now = 5 * MAIL_DAY;
    mail_rate rate;

    (void)state;
    assert_int_equal(mail_rate_init(&rate, &(mail_rate_options){3, MAIL_SECOND}), MAIL_OK);
    assert_true(mail_rate_take(&rate, now, 2));
    assert_false(mail_rate_take(&rate, now, 2));
    assert_true(mail_rate_take(&rate, now, 1));
    assert_false(mail_rate_take(&rate, now + MAIL_SECOND - 1, 1));
    assert_int_equal(mail_rate_ready_at(&rate, now, 1), now + MAIL_SECOND);
    assert_true(mail_rate_take(&rate, now + MAIL_SECOND, 1));
    assert_true(mail_rate_take(&rate, now + 100 * MAIL_SECOND, 3));
    assert_false(mail_rate_take(&rate, now + 100 * MAIL_SECOND, 1));
    assert_int_equal(mail_rate_ready_at(&rate, now + MAIL_HOUR, 3), now + MAIL_HOUR);
}

static void takes_back_what_was_not_needed(void **state)
{
    mail_rate rate;

    (void)state;
    assert_int_equal(mail_rate_init(&rate, &(mail_rate_options){2, MAIL_SECOND}), MAIL_OK);
    assert_true(mail_rate_take(&rate, MAIL_DAY, 2));
    mail_rate_give(&rate, MAIL_DAY, 1);
    assert_true(mail_rate_take(&rate, MAIL_DAY, 1));
    assert_false(mail_rate_take(&rate, MAIL_DAY, 1));
    mail_rate_give(&rate, 2 * MAIL_DAY, 2); /* it is full by itself */
    assert_true(mail_rate_take(&rate, 2 * MAIL_DAY, 2));
    assert_false(mail_rate_take(&rate, 2 * MAIL_DAY, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(gives_a_burst_then_one_token_an_interval),
        cmocka_unit_test(takes_back_what_was_not_needed),
    };

    return mail_test_run(tests);
}
