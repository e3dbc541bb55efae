/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <errno.h>

#include "queue/log.h"
#include "support/fault_files.h"

typedef struct bench {
    kit k;
    fault_files *disk;
} bench;

static void set_up(bench *b)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    memset(b, 0, sizeof(*b));
    b->disk = fault_files_create(1);
    opts.files = fault_files_table(b->disk);
    opts.random = fault_files_random(b->disk);
    opts.segment_bytes = 64 << 10;
    kit_init(&b->k, &opts);
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
}

static void tear_down(bench *b)
{
    kit_close(&b->k);
    assert_int_equal(fault_files_handles(b->disk), 0);
    fault_files_destroy(b->disk);
}

static const queue_log *log_of(const bench *b)
{
    return (const queue_log *)b->k.queue->store;
}

static void accept_to(bench *b, const char *to, unsigned count)
{
    static char body[6000];

    memset(body, 'x', sizeof(body));
    while (count-- > 0) {
        assert_int_equal(kit_accept(&b->k, "a@x.example", to, mail_span_of(body, sizeof(body))),
                         MAIL_OK);
    }
}

static void remove_to(bench *b, const char *domain)
{
    mail_queue_selector which = {.domain = mail_span_text(domain)};

    assert_true(mail_queue_remove(b->k.queue, &which) > 0);
    queue_step(b->k.queue);
}

/* Lets the housekeeping come to rest. */
static void keep(bench *b)
{
    for (int i = 0; i < 500; i++) {
        mail_lane *lane;

        kit_later(&b->k, 10 * MAIL_MILLISECOND);
        lane = mail_queue_take_lane(b->k.queue);
        if (lane != NULL) {
            mail_lane_give_back(lane, MAIL_NEVER);
        }
        queue_step(b->k.queue);
    }
    kit_later(&b->k, 2 * MAIL_SECOND);
}

static mail_queue_stats stats_of(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats;
}

static void reopen(bench *b)
{
    kit_close(&b->k);
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
}

static void check_all_readable(bench *b, unsigned count)
{
    mail_queue_selector all = {.all = true};

    assert_int_equal(stats_of(b).messages, count);
    assert_int_equal(stats_of(b).damaged, 0);
    assert_true(mail_queue_flush(b->k.queue, &all) >= 0);
    for (unsigned i = 0; i < count; i++) {
        assert_true(kit_deliver(&b->k, MAIL_QUEUE_RETRY, NULL));
    }
    assert_false(kit_deliver(&b->k, MAIL_QUEUE_RETRY, NULL));
}

static void uses_segments_again_when_all_in_them_is_done(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    for (int i = 0; i < 50; i++) {
        accept_to(&b, "b@y.example", 10);
        remove_to(&b, "y.example");
        keep(&b);
        assert_true(stats_of(&b).segments_live <= 8);
        assert_true(stats_of(&b).segments_free <= 8);
    }
    reopen(&b);
    assert_int_equal(stats_of(&b).messages, 0);
    tear_down(&b);
}

static void lets_no_stuck_message_pin_a_segment(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    for (int i = 0; i < 20; i++) {
        accept_to(&b, "stuck@z.example", 1);
        accept_to(&b, "b@y.example", 30);
        remove_to(&b, "y.example");
    }
    assert_true(stats_of(&b).segments_live > 40);
    keep(&b);
    keep(&b);
    assert_true(stats_of(&b).segments_live <= 8);
    reopen(&b);
    check_all_readable(&b, 20);
    tear_down(&b);
}

/* What is half alive stays where it is; what is known of its dead half must not be forgotten. */
static void brings_nothing_back_whose_end_was_in_a_segment_used_again(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    for (int i = 0; i < 5; i++) { /* segments that stay half alive */
        accept_to(&b, "stuck@z.example", 5);
        accept_to(&b, "c@w.example", 5);
    }
    accept_to(&b, "b@y.example", 30);
    remove_to(&b, "w.example"); /* the ends of the dead half, among messages that will go */
    accept_to(&b, "b@y.example", 30);
    remove_to(&b, "y.example");
    keep(&b);
    assert_true(log_of(&b)->checkpoint.serial != 0);
    assert_true(stats_of(&b).segments_live <= 12);
    reopen(&b); /* the newest segment began before the checkpoint was complete */
    check_all_readable(&b, 25);
    accept_to(&b, "b@y.example", 20);
    remove_to(&b, "y.example");
    reopen(&b); /* and now one knows of it */
    check_all_readable(&b, 25);
    tear_down(&b);
}

/* Fills the log until there is a checkpoint, and one segment more, which knows of it. */
static void make_checkpoint(bench *b)
{
    accept_to(b, "stuck@z.example", 60);
    keep(b);
    assert_true(log_of(b)->checkpoint.serial != 0);
    accept_to(b, "stuck@z.example", 12);
    keep(b);
}

static void reads_nothing_before_the_last_checkpoint(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    make_checkpoint(&b);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, "spool/log/0000000000000001.seg", 5000));
    assert_int_equal(kit_open(&b.k, "spool"), MAIL_OK);
    assert_int_equal(stats_of(&b).damaged, 0);
    assert_int_equal(stats_of(&b).messages, 72);
    tear_down(&b);
}

static void believes_no_checkpoint_that_is_damaged(void **state)
{
    uint64_t offset;
    char name[64];
    bench b;

    (void)state;
    for (unsigned at = 0; at < 200; at += 33) { /* from its first record into its first part */
        set_up(&b);
        make_checkpoint(&b);
        offset = log_of(&b)->checkpoint.offset;
        snprintf(name, sizeof(name), "spool/log/%016x.seg",
                 (unsigned)log_of(&b)->checkpoint.serial);
        kit_close(&b.k);
        assert_true(fault_files_damage(b.disk, name, offset + at));
        assert_int_equal(kit_open(&b.k, "spool"), MAIL_OK);
        assert_int_equal(stats_of(&b).damaged, 1);
        assert_int_equal(stats_of(&b).messages, 72);
        tear_down(&b);
    }
}

static bool check_reply(const mail_queue_item *item, void *arg)
{
    (void)arg;
    assert_int_equal(item->recipient_count, 2);
    assert_true(item->recipients[0].done);
    assert_span_equal(item->recipients[1].last_reply, "450 4.2.1 mailbox busy");
    return true;
}

static void keeps_states_and_replies_over_checkpoints_and_copies(void **state)
{
    static const mail_reply busy = {450, {4, 2, 1}, {"mailbox busy", 12}};
    mail_queue_selector all = {.all = true};
    char id[MAIL_QUEUE_ID_SIZE];
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    accept_to(&b, "one@v.example two@v.example", 1);
    memcpy(id, b.k.id, sizeof(id));
    lease = kit_lease(&b.k, &lane);
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_report(lease, 1, MAIL_QUEUE_RETRY, &busy, true);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    for (int i = 0; i < 6; i++) { /* it is copied, and copied again */
        accept_to(&b, "b@y.example", 40);
        remove_to(&b, "y.example");
        keep(&b);
    }
    assert_true(log_of(&b)->checkpoint.serial != 0);
    reopen(&b);
    assert_int_equal(mail_queue_list(b.k.queue, &all, check_reply, NULL), MAIL_OK);
    kit_later(&b.k, 5 * MAIL_HOUR);
    lease = kit_lease(&b.k, &lane);
    assert_string_equal(mail_lease_id(lease), id);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 1);
    assert_span_equal(mail_envelope_recipient(mail_lease_envelope(lease), 0).address,
                      "two@v.example");
    assert_int_equal(mail_lease_attempts(lease, 0), 1);
    assert_false(mail_lease_warns(lease, 0));
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    tear_down(&b);
}

/* Its outcome lies before the copy in the log, where a restart that begins later has no use for it. */
static void copies_a_message_with_what_was_said_of_it_elsewhere(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    accept_to(&b, "one@v.example", 1);
    accept_to(&b, "b@y.example", 15); /* these go, and what holds the first message is copied */
    accept_to(&b, "stuck@z.example", 6);
    lane = mail_queue_take_lane(b.k.queue);
    assert_span_equal(mail_lane_domain(lane), "v.example");
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, NULL, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    accept_to(&b, "stuck@z.example", 6); /* these keep the outcome where it is */
    remove_to(&b, "y.example");
    keep(&b);
    assert_true(LIST_OWNER(log_of(&b)->segments.next, queue_segment, link)->serial > 1);
    reopen(&b);
    lane = mail_queue_take_lane(b.k.queue); /* one try has been made: the others come first */
    assert_span_equal(mail_lane_domain(lane), "z.example");
    mail_lane_give_back(lane, MAIL_NEVER);
    kit_later(&b.k, MAIL_HOUR);
    lane = mail_queue_take_lane(b.k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    assert_int_equal(mail_lease_attempts(lease, 0), 1);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    tear_down(&b);
}

static int fail_a_sync(fault_op op, const char *name, void *arg)
{
    unsigned *left = arg;

    (void)name;
    return op == FAULT_SYNC && *left > 0 && (*left)-- > 0 ? -EIO : 0;
}

static void never_takes_back_that_a_message_was_refused(void **state)
{
    unsigned left = 0;
    bench b;

    (void)state;
    set_up(&b);
    fault_files_set(b.disk, fail_a_sync, &left);
    accept_to(&b, "stuck@z.example", 5);
    left = 1;
    assert_int_equal(kit_accept_text(&b.k, "a@x.example", "b@y.example", "x\r\n"), MAIL_EIO);
    accept_to(&b, "b@y.example", 80);
    remove_to(&b, "y.example");
    keep(&b);
    assert_true(log_of(&b)->checkpoint.serial != 0);
    assert_true(stats_of(&b).segments_live <= 6);
    reopen(&b);
    check_all_readable(&b, 5);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_segments_again_when_all_in_them_is_done),
        cmocka_unit_test(lets_no_stuck_message_pin_a_segment),
        cmocka_unit_test(brings_nothing_back_whose_end_was_in_a_segment_used_again),
        cmocka_unit_test(reads_nothing_before_the_last_checkpoint),
        cmocka_unit_test(believes_no_checkpoint_that_is_damaged),
        cmocka_unit_test(keeps_states_and_replies_over_checkpoints_and_copies),
        cmocka_unit_test(copies_a_message_with_what_was_said_of_it_elsewhere),
        cmocka_unit_test(never_takes_back_that_a_message_was_refused),
    };

    return mail_test_run(tests);
}
