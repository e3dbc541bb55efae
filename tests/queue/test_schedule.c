/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "support/fault_files.h"

#define BODY "A: b\r\n\r\nx\r\n"

static const mail_reply later = {450, {4, 2, 0}, {"later", 5}};

/* Tries the one message and reports it as to be retried; when it is due again. */
static mail_duration try_once(kit *k, bool warned)
{
    mail_lane *lane;
    mail_lease *lease = kit_lease(k, &lane);
    mail_wall next;

    assert_non_null(lease);
    mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, &later, warned);
    next = mail_lease_next_try(lease, 0);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    queue_step(k->queue);
    return (next - k->wall) * MAIL_SECOND;
}

/* QR-001, QR-002, QR-003 */
static void tries_soon_at_first_and_then_less_often(void **state)
{
    static const mail_duration want[] = {
        5 * MAIL_MINUTE, 10 * MAIL_MINUTE, 20 * MAIL_MINUTE, 30 * MAIL_MINUTE,
        1 * MAIL_HOUR,   2 * MAIL_HOUR,    4 * MAIL_HOUR,    4 * MAIL_HOUR,
    };
    mail_queue_options opts = {.in_memory = true, .warn_after = 30 * MAIL_DAY};
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(want); i++) {
        mail_duration next = try_once(&k, false);

        assert_in_range(next, want[i], want[i] + want[i] / 8);
        assert_null(mail_queue_take_lane(k.queue));
        kit_later(&k, next + MAIL_SECOND);
    }
    kit_close(&k);
}

static void takes_the_delays_it_is_given(void **state)
{
    static const mail_duration delays[] = {MAIL_MINUTE, MAIL_HOUR};
    mail_queue_options opts = {.in_memory = true, .retry = delays, .retry_count = 2};
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    assert_in_range(try_once(&k, false), MAIL_MINUTE, MAIL_MINUTE + 8 * MAIL_SECOND);
    kit_later(&k, 2 * MAIL_MINUTE);
    assert_in_range(try_once(&k, false), MAIL_HOUR, MAIL_HOUR + MAIL_HOUR / 8);
    kit_close(&k);
}

/* QR-015 */
static void asks_for_one_notice_of_delay_at_its_time(void **state)
{
    mail_queue_options opts = {.in_memory = true};
    mail_time start;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    start = k.now;
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    while (k.now - start < 4 * MAIL_HOUR) {
        lease = kit_lease(&k, &lane);
        assert_false(mail_lease_warns(lease, 0));
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
        kit_later(&k, try_once(&k, false));
    }
    assert_in_range(k.now - start, 4 * MAIL_HOUR, 4 * MAIL_HOUR + MAIL_SECOND);
    lease = kit_lease(&k, &lane);
    assert_true(mail_lease_warns(lease, 0));
    mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, &later, true);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_later(&k, 5 * MAIL_HOUR);
    lease = kit_lease(&k, &lane);
    assert_false(mail_lease_warns(lease, 0));
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

static void tries_a_last_time_when_it_is_to_be_given_up(void **state)
{
    mail_queue_options opts = {.in_memory = true, .give_up = 6 * MAIL_HOUR};
    mail_time start;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    start = k.now;
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    while (k.now - start < 6 * MAIL_HOUR) {
        kit_later(&k, try_once(&k, true));
    }
    assert_in_range(k.now - start, 6 * MAIL_HOUR, 6 * MAIL_HOUR + MAIL_SECOND);
    lease = kit_lease(&k, &lane);
    assert_true(mail_lease_expires(lease, 0));
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, &later, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

/* What waits behind a dead host is given notice of, and up, without being tried. */
static void finds_what_is_overdue_behind_a_dead_host(void **state)
{
    mail_queue_options opts = {.in_memory = true};
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    }
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_ENOENT);
    mail_lane_give_back(lane, k.now + 5 * MAIL_HOUR);
    kit_later(&k, 5 * MAIL_HOUR);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "young@y.example", BODY), MAIL_OK);
    lane = mail_queue_take_lane(k.queue);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_OK);
        assert_true(mail_lease_warns(lease, 0));
        assert_false(mail_lease_expires(lease, 0));
        mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, &later, true);
        mail_lease_end(lease);
    }
    assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_ENOENT);
    mail_lane_give_back(lane, k.now + 5 * MAIL_DAY - 4 * MAIL_HOUR);
    kit_later(&k, 5 * MAIL_DAY - 4 * MAIL_HOUR);
    lane = mail_queue_take_lane(k.queue);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_OK);
        assert_true(mail_lease_expires(lease, 0));
        mail_lease_report(lease, 0, MAIL_QUEUE_DONE, &later, false);
        mail_lease_end(lease);
    }
    assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_OK);
    assert_span_equal(mail_envelope_recipient(mail_lease_envelope(lease), 0).address,
                      "young@y.example");
    mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, &later, true);
    mail_lease_end(lease);
    assert_int_equal(mail_lane_lease_overdue(lane, &lease), MAIL_ENOENT);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

/* QR-014: by a year forward or back, while it runs or while it does not. */
static void gives_nothing_up_because_the_calendar_jumps(void **state)
{
    static const struct {
        const char *name;
        mail_wall jump;
        bool reopens;
    } cases[] = {
        {"forward while it runs", 366 * 24 * 3600, false},
        {"back while it runs", -366 * 24 * 3600, false},
        {"forward over a restart", 366 * 24 * 3600, true},
        {"back over a restart", -366 * 24 * 3600, true},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fault_files *disk = fault_files_create(1);
        mail_queue_options opts = {.files = fault_files_table(disk), .segment_bytes = 64 << 10};
        mail_duration next;
        mail_lease *lease;
        mail_lane *lane;
        kit k;

        mail_test_case(cases[i].name);
        kit_init(&k, &opts);
        assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
        assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
        next = try_once(&k, false);
        k.wall += cases[i].jump;
        if (cases[i].reopens) {
            kit_close(&k);
            k.now = 5; /* the machine has been started again, too */
            assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
        }
        kit_later(&k, next + MAIL_SECOND);
        lease = kit_lease(&k, &lane);
        assert_non_null(lease);
        assert_false(mail_lease_expires(lease, 0));
        mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
        kit_close(&k);
        fault_files_destroy(disk);
    }
}

/* QR-016 */
static void never_gives_an_id_twice_whatever_the_calendar_says(void **state)
{
    fault_files *disk = fault_files_create(1);
    mail_queue_options opts = {.files = fault_files_table(disk), .segment_bytes = 64 << 10};
    char last[MAIL_QUEUE_ID_SIZE] = "";
    mail_sink *sink;
    kit k;

    (void)state;
    kit_init(&k, &opts);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
        for (int j = 0; j < 3; j++) {
            assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
            assert_true(strcmp(k.id, last) > 0);
            memcpy(last, k.id, sizeof(last));
            assert_true(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
        }
        assert_int_equal(kit_begin(&k, "", "b@y.example", 0, &sink), MAIL_OK); /* leaves no trace */
        assert_true(strcmp(k.id, last) > 0);
        memcpy(last, k.id, sizeof(last));
        mail_sink_abort(sink);
        kit_close(&k);
        k.wall -= 100000; /* ever further back */
    }
    fault_files_destroy(disk);
}

static void counts_a_pause_as_age(void **state)
{
    fault_files *disk = fault_files_create(1);
    mail_queue_options opts = {
        .files = fault_files_table(disk), .segment_bytes = 64 << 10, .give_up = 2 * MAIL_HOUR};
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    kit_close(&k);
    kit_later(&k, 3 * MAIL_HOUR);
    assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
    lease = kit_lease(&k, &lane);
    assert_true(mail_lease_expires(lease, 0));
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
    fault_files_destroy(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_soon_at_first_and_then_less_often),
        cmocka_unit_test(takes_the_delays_it_is_given),
        cmocka_unit_test(asks_for_one_notice_of_delay_at_its_time),
        cmocka_unit_test(tries_a_last_time_when_it_is_to_be_given_up),
        cmocka_unit_test(finds_what_is_overdue_behind_a_dead_host),
        cmocka_unit_test(gives_nothing_up_because_the_calendar_jumps),
        cmocka_unit_test(never_gives_an_id_twice_whatever_the_calendar_says),
        cmocka_unit_test(counts_a_pause_as_age),
    };

    return mail_test_run(tests);
}
