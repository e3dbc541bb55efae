/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "support/fault_files.h"

/* A message that comes alone is synced by the thread that brings it. */

typedef struct bench {
    kit k;
    fault_files *disk;
    mail_duration pace; /* what a sync takes */
    int failing;        /* what fails from now on; 0: nothing */
    fault_op which;
} bench;

static int disturb(fault_op op, const char *name, void *arg)
{
    bench *b = arg;

    (void)name;
    if (op == FAULT_SYNC) {
        b->k.now += b->pace;
    }
    if (b->failing > 0 && op == b->which) {
        b->failing--;
        return -EIO;
    }
    return 0;
}

static void set_up(bench *b)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    memset(b, 0, sizeof(*b));
    b->disk = fault_files_create(1);
    opts.files = fault_files_table(b->disk);
    opts.random = fault_files_random(b->disk);
    opts.segment_bytes = 64 << 10;
    kit_init(&b->k, &opts);
    b->k.opts.hand_over = false;
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
    fault_files_set(b->disk, disturb, b);
}

static void tear_down(bench *b)
{
    kit_close(&b->k);
    assert_int_equal(fault_files_handles(b->disk), 0);
    fault_files_destroy(b->disk);
}

/* What `finish` gives; what has come later is in `k.code`. */
static int hand_in(bench *b)
{
    mail_sink *sink;

    assert_int_equal(kit_begin(&b->k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\nHello\r\n")), MAIL_OK);
    b->k.code = MAIL_EAGAIN;
    return mail_sink_finish(sink, kit_finished, &b->k);
}

static int settle(bench *b)
{
    queue_step(b->k.queue);
    mail_intake_poll(b->k.intake);
    return b->k.code;
}

/* The first sync tells how quick the disk is. */
static void get_to_know(bench *b)
{
    assert_int_equal(hand_in(b), MAIL_EAGAIN);
    assert_int_equal(settle(b), MAIL_OK);
}

static uint64_t count(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats.messages;
}

/* As after a loss of power. */
static uint64_t count_after_reboot(bench *b)
{
    fault_files_set(b->disk, NULL, NULL);
    fault_files_crash(b->disk);
    kit_close(&b->k);
    fault_files_reboot(b->disk);
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
    return count(b);
}

/* QR-010: it is on the disk when `finish` says so, though nobody else has done a thing. */
static void is_safe_at_once_on_a_quick_disk(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    b.k.wakes = 0;
    b.k.finished = 0;
    b.k.dues = 0;
    assert_int_equal(hand_in(&b), MAIL_OK);
    assert_int_equal(b.k.finished, 0);
    assert_int_equal(b.k.wakes, 0);
    assert_int_equal(count(&b), 2);
    assert_int_equal(hand_in(&b), MAIL_OK);
    assert_int_equal(b.k.dues, 1); /* the owner had looked in between */
    assert_int_equal(count_after_reboot(&b), 3);
    tear_down(&b);
}

static void shares_the_sync_when_another_is_on_its_way_in(void **state)
{
    unsigned left = 0;
    mail_sink *other;
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &other), MAIL_OK);
    assert_int_equal(hand_in(&b), MAIL_EAGAIN);
    mail_sink_abort(other);
    assert_int_equal(hand_in(&b), MAIL_EAGAIN); /* the first has not been told yet */
    assert_int_equal(settle(&b), MAIL_OK);
    while (hand_in(&b) != MAIL_OK) { /* where there were two there may be more */
        assert_int_equal(settle(&b), MAIL_OK);
        assert_true(++left < 20);
    }
    assert_true(left > 0);
    tear_down(&b);
}

static uint64_t syncs(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats.syncs;
}

static int finish(bench *b, mail_sink *sink)
{
    return mail_sink_finish(sink, kit_finished, &b->k);
}

/* What ends in one round of the loop is synced at once, when the round is over. */
static void goes_with_the_others_of_its_round(void **state)
{
    mail_sink *sinks[12];
    uint64_t before;
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    for (size_t i = 0; i < MAIL_COUNT(sinks); i++) {
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sinks[i]), MAIL_OK);
    }
    before = syncs(&b);
    b.k.wakes = 0;
    b.k.finished = 0;
    assert_int_equal(finish(&b, sinks[0]), MAIL_EAGAIN);
    queue_step(b.k.queue);
    assert_int_equal(finish(&b, sinks[1]), MAIL_EAGAIN);
    queue_step(b.k.queue);
    assert_int_equal(count(&b), 1);
    assert_int_equal(b.k.wakes, 1);
    mail_intake_poll(b.k.intake);
    assert_int_equal(b.k.finished, 0);
    assert_int_equal(settle(&b), MAIL_OK);
    assert_int_equal(b.k.finished, 2);
    assert_int_equal(syncs(&b), before + 1);
    for (size_t i = 2; i < MAIL_COUNT(sinks); i++) {
        assert_int_equal(finish(&b, sinks[i]), MAIL_EAGAIN);
    }
    mail_intake_settle(b.k.intake);
    assert_int_equal(b.k.finished, 12);
    assert_int_equal(count_after_reboot(&b), 13);
    tear_down(&b);
}

/* Nor does a crowd wait for its last: some are synced while others come in. */
static void does_not_wait_for_more_than_a_quarter(void **state)
{
    mail_sink *sinks[12];
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    for (size_t i = 0; i < MAIL_COUNT(sinks); i++) {
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sinks[i]), MAIL_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(count(&b), 1);
        assert_int_equal(finish(&b, sinks[i]), MAIL_EAGAIN);
        queue_step(b.k.queue);
    }
    assert_int_equal(count(&b), 4);
    for (size_t i = 3; i < MAIL_COUNT(sinks); i++) {
        mail_sink_abort(sinks[i]);
    }
    assert_int_equal(settle(&b), MAIL_OK);
    tear_down(&b);
}

static void goes_behind_what_is_to_be_written_already(void **state)
{
    mail_lane *lane;
    mail_lease *lease;
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    lease = kit_lease(&b.k, &lane);
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    assert_int_equal(hand_in(&b), MAIL_EAGAIN);
    assert_int_equal(settle(&b), MAIL_OK);
    assert_int_equal(count_after_reboot(&b), 1);
    tear_down(&b);
}

static void leaves_a_slow_disk_to_the_writer(void **state)
{
    unsigned left = 0;
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    b.pace = MAIL_MILLISECOND;
    assert_int_equal(hand_in(&b), MAIL_OK); /* nobody could know */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(hand_in(&b), MAIL_EAGAIN);
        assert_int_equal(settle(&b), MAIL_OK);
    }
    b.pace = 100 * MAIL_MICROSECOND;
    while (hand_in(&b) != MAIL_OK) { /* one quick sync says little */
        assert_int_equal(settle(&b), MAIL_OK);
        left++;
    }
    assert_in_range(left, 10, 100);
    tear_down(&b);
}

/* QR-011: whether the write or the sync fails, it is not accepted, and the next segment is good. */
static void hears_later_of_what_went_wrong(void **state)
{
    static const fault_op ops[] = {FAULT_WRITE, FAULT_SYNC};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(ops); i++) {
        bench b;

        set_up(&b);
        get_to_know(&b);
        b.which = ops[i];
        b.failing = 1;
        assert_int_equal(hand_in(&b), MAIL_EAGAIN);
        assert_int_equal(b.failing, 0);
        assert_int_equal(b.k.code, MAIL_EAGAIN);
        assert_int_equal(settle(&b), MAIL_EIO);
        assert_int_equal(count(&b), 1);
        assert_int_equal(hand_in(&b), MAIL_OK);
        assert_int_equal(count_after_reboot(&b), 2);
        tear_down(&b);
    }
}

/* A thread whose loop runs no more waits for what the writer is still to mend. */
static void is_settled_without_a_loop(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    b.which = FAULT_SYNC;
    b.failing = 1;
    assert_int_equal(hand_in(&b), MAIL_EAGAIN);
    mail_intake_settle(b.k.intake);
    assert_int_equal(b.k.code, MAIL_EIO);
    mail_intake_settle(b.k.intake); /* nothing is owed */
    tear_down(&b);
}

/* A disk of the system's on which one sync of the bringing thread fails. */
typedef struct flaky {
    mail_files fs;
    mail_files_ops ops;
    pthread_t bringer;
    atomic_bool is_armed;
} flaky;

static int sync_or_fail(const mail_files *fs, int fd)
{
    flaky *f = (flaky *)(uintptr_t)fs;

    if (pthread_equal(pthread_self(), f->bringer) && atomic_exchange(&f->is_armed, false)) {
        return -EIO;
    }
    return file_system.ops->sync_data(fs, fd);
}

/* QR-011: as above, but with threads: the writer hears that what it had lent went wrong. */
static void is_mended_by_the_writers_thread(void **state)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    char *dir = mail_test_make_dir();
    flaky f = {.ops = *file_system.ops, .bringer = pthread_self()};
    bench b = {0};

    (void)state;
    f.fs.ops = &f.ops;
    f.ops.sync_data = sync_or_fail;
    opts.files = &f.fs;
    opts.segment_bytes = 256 << 10;
    kit_init(&b.k, &opts);
    b.k.opts.hand_over = false;
    b.k.opts.manual = false;
    assert_int_equal(kit_open(&b.k, dir), MAIL_OK);
    atomic_store(&f.is_armed, true);
    do { /* until the writer rests when one comes */
        if (hand_in(&b) == MAIL_EAGAIN) {
            mail_intake_settle(b.k.intake);
            assert_int_not_equal(b.k.code, MAIL_EAGAIN);
        }
    } while (atomic_load(&f.is_armed));
    assert_int_equal(b.k.code, MAIL_EIO);
    kit_close(&b.k);
    mail_test_remove_dir(dir);
}

/* Its place is not made while a thread that brings mail waits. */
static void leaves_it_to_the_writer_to_begin_a_segment(void **state)
{
    unsigned handed_over = 0;
    bench b;

    (void)state;
    set_up(&b);
    get_to_know(&b);
    for (unsigned i = 0; i < 1000; i++) {
        if (hand_in(&b) == MAIL_EAGAIN) {
            assert_int_equal(settle(&b), MAIL_OK);
            handed_over++;
        }
    }
    assert_in_range(handed_over, 2, 10);
    assert_int_equal(count_after_reboot(&b), 1001);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_safe_at_once_on_a_quick_disk),
        cmocka_unit_test(shares_the_sync_when_another_is_on_its_way_in),
        cmocka_unit_test(goes_with_the_others_of_its_round),
        cmocka_unit_test(does_not_wait_for_more_than_a_quarter),
        cmocka_unit_test(goes_behind_what_is_to_be_written_already),
        cmocka_unit_test(leaves_a_slow_disk_to_the_writer),
        cmocka_unit_test(hears_later_of_what_went_wrong),
        cmocka_unit_test(is_settled_without_a_loop),
        cmocka_unit_test(is_mended_by_the_writers_thread),
        cmocka_unit_test(leaves_it_to_the_writer_to_begin_a_segment),
    };

    return mail_test_run(tests);
}
