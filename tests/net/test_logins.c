/* SPDX-License-Identifier: MIT */
/* How much may be tried, and what workers have to do: see test_login.c for one login. */
#include "login_kit.h"

/* PO-023: past the limit the right password is not even looked at. */
static void bars_hosts_that_guess(void **state)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    unsigned jobs;
    fixture fx;

    (void)state;
    opts.max_failures = 3;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), OUT);
        assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), IN);
    }
    jobs = fx.lp.jobs_ever;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), LATER);
    assert_int_equal(fx.lp.jobs_ever, jobs);
    assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), IN);
    fx.lp.now += 30 * MAIL_SECOND;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

/* Many guesses at a time are no more than one after the other. */
static void bars_hosts_that_guess_in_parallel(void **state)
{
    enum {
        ALLOWED = 3,
        ALL = 20
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    unsigned later = 0;
    fixture fx;

    (void)state;
    opts.max_failures = ALLOWED;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (unsigned i = 0; i < ALL; i++) {
        begin(&fx, &answers[i], &host_a, plain("alice", "wrong"));
    }
    run_now(&fx.lp);
    fx.lp.now += MAIL_MINUTE;
    run_now(&fx.lp);
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].calls, 1);
        later += answers[i].is_later;
        net_login_end(answers[i].login, false);
    }
    assert_int_equal(fx.lp.jobs_ever, ALLOWED);
    assert_int_equal(later, ALL - ALLOWED);
    tear_down(&fx);
}

/* Who has an account too can't buy guesses with it. */
static void forgives_no_guess_for_a_success(void **state)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    fixture fx;

    (void)state;
    opts.max_failures = 3;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 10; k++) {
            assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
        }
        assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), OUT);
    }
    assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), LATER);
    tear_down(&fx);
}

static void spares_loopback_unless_it_is_to_be_limited(void **state)
{
    static const mail_ip loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;

    (void)state;
    opts.max_failures = 1;
    opts.delay = 1;
    for (int limit = 0; limit < 2; limit++) {
        fixture fx;

        opts.includes_loopback = limit == 1;
        set_up(&fx, "alice:{PLAIN}secret\n", &opts);
        assert_int_equal(log_in(&fx, &loopback, "bob", "wrong"), OUT);
        assert_int_equal(log_in(&fx, &loopback, "alice", "secret"), limit ? LATER : IN);
        assert_int_equal(log_in(&fx, NULL, "carol", "wrong"), OUT);
        assert_int_equal(log_in(&fx, NULL, "alice", "secret"), limit ? LATER : IN);
        tear_down(&fx);
    }
}

static mail_ip host_number(unsigned n)
{
    return (mail_ip){.family = 4, .bytes = {10, (uint8_t)(n >> 8), (uint8_t)n, 1}};
}

/* A name is guessed at from everywhere, and still open to those who have come before. */
static void bars_names_but_not_from_hosts_that_know_them(void **state)
{
    static const char *const names[] = {"alice", "nobody"};
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    fixture fx;

    (void)state;
    opts.max_user_failures = 5;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    assert_int_equal(log_in(&fx, &host_a, "ALICE", "secret"), IN);
    for (unsigned i = 0; i < 12; i++) {
        mail_ip host = host_number(i);

        assert_int_equal(log_in(&fx, &host, names[i % 2], "wrong"), i < 10 ? OUT : LATER);
    }
    assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), LATER);
    assert_int_equal(log_in(&fx, &host_a, "alice", "wrong"), OUT);
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

/* Logins are no attack on the processor: few at a time, few in line, the rest is told at once. */
static void bounds_what_workers_have_to_do(void **state)
{
    enum {
        WORKING = 2,
        WAITING = 5,
        ALL = 12
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    fixture fx;

    (void)state;
    opts.max_working = WORKING;
    opts.max_waiting = WAITING;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (unsigned i = 0; i < ALL; i++) {
        begin(&fx, &answers[i], &host_a, plain("alice", "secret"));
    }
    assert_int_equal(fx.lp.jobs_ever, WORKING);
    while (tick_once(&fx.lp)) {
    }
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].is_later, i >= WORKING + WAITING);
    }
    while (work_once(&fx.lp)) {
        unsigned left = 0;

        for (list *link = fx.lp.jobs.next; link != &fx.lp.jobs; link = link->next) {
            left++;
        }
        assert_true(left <= WORKING);
    }
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].calls, 1);
        net_login_end(answers[i].login, !answers[i].is_later);
    }
    assert_int_equal(fx.lp.jobs_ever, WORKING + WAITING);
    assert_int_equal(fx.idle_calls, 1);
    tear_down(&fx);
}

/* Nor do they keep out those who have been here before: they have a line of their own, and first turn. */
static void lets_known_hosts_pass_a_flood_of_guesses(void **state)
{
    enum {
        WAITING = 5,
        ALL = 10
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    answer known;
    answer stranger;
    fixture fx;

    (void)state;
    opts.max_waiting = WAITING;
    opts.max_working = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    for (unsigned i = 0; i < ALL; i++) {
        mail_ip host = host_number(i);

        begin(&fx, &answers[i], &host, plain("bob", "wrong"));
    }
    begin(&fx, &known, &host_a, plain("alice", "secret"));
    begin(&fx, &stranger, &host_b, plain("alice", "secret"));
    while (tick_once(&fx.lp)) {
    }
    assert_true(stranger.is_later);
    assert_true(work_once(&fx.lp)); /* what was at work already */
    assert_int_equal(known.calls, 0);
    assert_true(work_once(&fx.lp));
    assert_int_equal(known.calls, 1);
    assert_int_equal(known.sasl.kind, MAIL_SASL_ACCEPT);
    net_login_end(known.login, true);
    net_login_end(stranger.login, false);
    for (unsigned i = 0; i < ALL; i++) {
        net_login_end(answers[i].login, false);
    }
    tear_down(&fx);
}

static void asks_again_later_without_workers(void **state)
{
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    fx.lp.has_no_workers = true;
    assert_int_equal(log_in(&fx, &host_a, "alice", "wrong"), LATER);
    fx.lp.has_no_workers = false;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

static void refuses_bad_options(void **state)
{
    static const struct {
        const char *name;
        mail_login_options opts;
    } cases[] = {
        {"no size", {.size = 0}},
        {"a size that is not known", {.size = sizeof(mail_login_options) + 1}},
        {"no accounts and nobody to ask", MAIL_LOGIN_OPTIONS_INIT},
        {"negative delay", {.size = sizeof(mail_login_options), .ask = on_ask, .delay = -1}},
        {"long delay", {.size = sizeof(mail_login_options), .ask = on_ask, .delay = MAIL_HOUR}},
        {"failures without end",
         {.size = sizeof(mail_login_options), .ask = on_ask, .max_failures = UINT32_MAX}},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fixture fx;

        mail_test_case(cases[i].name);
        assert_int_equal(open_fixture(&fx, NULL, NULL, &cases[i].opts), MAIL_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_hosts_that_guess),
        cmocka_unit_test(bars_hosts_that_guess_in_parallel),
        cmocka_unit_test(forgives_no_guess_for_a_success),
        cmocka_unit_test(spares_loopback_unless_it_is_to_be_limited),
        cmocka_unit_test(bars_names_but_not_from_hosts_that_know_them),
        cmocka_unit_test(bounds_what_workers_have_to_do),
        cmocka_unit_test(lets_known_hosts_pass_a_flood_of_guesses),
        cmocka_unit_test(asks_again_later_without_workers),
        cmocka_unit_test(refuses_bad_options),
    };

    return mail_test_run(tests);
}
