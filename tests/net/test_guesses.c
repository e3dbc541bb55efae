/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/guesses.h"

static void set_up(net_guesses *gs, const mail_mem *mem, size_t max, mail_duration memory)
{
    mail_rate_options rate = {.burst = 2, .interval = MAIL_SECOND};

    assert_int_equal(net_guesses_init(gs, mem, max, memory, &rate), MAIL_OK);
}

/* PO-023 */
static void bars_a_key_that_has_guessed_too_often(void **state)
{
    net_guesses gs;

    (void)state;
    set_up(&gs, NULL, 10, 0);
    assert_int_equal(net_guesses_count(&gs, 1, 0), 0);
    assert_int_equal(net_guesses_take(&gs, 1, 0), MAIL_OK);
    assert_false(net_guesses_is_barred(&gs, 1, 0));
    assert_int_equal(net_guesses_take(&gs, 1, 0), MAIL_OK);
    assert_int_equal(net_guesses_count(&gs, 1, 0), 2);
    assert_true(net_guesses_is_barred(&gs, 1, 0));
    assert_false(net_guesses_is_barred(&gs, 2, 0));
    assert_int_equal(net_guesses_take(&gs, 1, 0), MAIL_EAGAIN);
    assert_true(net_guesses_is_barred(&gs, 1, MAIL_SECOND - 1));
    assert_false(net_guesses_is_barred(&gs, 1, MAIL_SECOND));
    net_guesses_give(&gs, 1, 0);
    net_guesses_give(&gs, 3, 0); /* was forgotten meanwhile, say */
    assert_int_equal(net_guesses_take(&gs, 1, 0), MAIL_OK);
    net_guesses_deinit(&gs);
}

static void forgets_what_is_good_again(void **state)
{
    net_guesses gs;

    (void)state;
    set_up(&gs, NULL, 100, 0);
    for (uint64_t key = 0; key < 50; key++) {
        assert_int_equal(net_guesses_take(&gs, key, 0), MAIL_OK);
    }
    for (uint64_t key = 100; key < 150; key++) {
        assert_int_equal(net_guesses_take(&gs, key, MAIL_HOUR), MAIL_OK);
    }
    assert_int_equal(gs.by_key.count, 50);
    assert_false(net_guesses_knows(&gs, 49));
    net_guesses_deinit(&gs);
}

/* However many names an attacker tries. */
static void keeps_a_bounded_number_and_those_used_last(void **state)
{
    net_guesses gs;

    (void)state;
    set_up(&gs, NULL, 10, 0);
    for (uint64_t key = 0; key < 1000; key++) {
        net_guesses_take(&gs, 7777, 0);
        assert_int_equal(net_guesses_take(&gs, key, 0), MAIL_OK);
        assert_true(gs.by_key.count <= 10);
    }
    assert_true(net_guesses_is_barred(&gs, 7777, 0));
    net_guesses_deinit(&gs);
}

static void remembers_what_is_noted_for_its_time(void **state)
{
    net_guesses gs;

    (void)state;
    set_up(&gs, NULL, 10, MAIL_DAY);
    net_guesses_note(&gs, 1, 0);
    assert_int_equal(net_guesses_count(&gs, 1, 0), 0);
    net_guesses_note(&gs, 2, MAIL_HOUR);
    assert_true(net_guesses_knows(&gs, 1));
    net_guesses_note(&gs, 3, MAIL_DAY);
    assert_false(net_guesses_knows(&gs, 1));
    assert_true(net_guesses_knows(&gs, 2));
    net_guesses_deinit(&gs);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        net_guesses gs;

        set_up(&gs, &walk.mem, 10, 0);
        for (uint64_t key = 0; key < 20; key++) {
            int code = net_guesses_take(&gs, key, 0);

            assert_true(code == MAIL_OK || (code == MAIL_ENOMEM && walk.failed));
            net_guesses_note(&gs, key, 0);
        }
        net_guesses_deinit(&gs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_a_key_that_has_guessed_too_often),
        cmocka_unit_test(forgets_what_is_good_again),
        cmocka_unit_test(keeps_a_bounded_number_and_those_used_last),
        cmocka_unit_test(remembers_what_is_noted_for_its_time),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
