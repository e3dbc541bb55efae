/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <errno.h>

#include "queue/log.h"
#include "support/fault_files.h"

/* When those who wait for the disk are told, if more comes while it is at work. */

typedef struct bench {
    kit k;
    mail_intake *others[8];
    size_t other_count;
    fault_files *disk;
    size_t next_length;     /* of a message that comes during the next sync; 0: none */
    int failing;            /* the next write fails with it */
    unsigned told_at_write; /* how often somebody had been told at the last write … */
    unsigned told_at_sync;  /* … and sync */
    int codes[2];
    unsigned finished;
} bench;

static void on_finished(int code, void *arg)
{
    bench *b = arg;

    b->codes[b->finished++] = code;
}

static void hand_in(bench *b, size_t length)
{
    char body[4096];
    mail_sink *sink;

    memset(body, 'x', sizeof(body));
    assert_int_equal(kit_begin(&b->k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
    for (size_t n; length > 0; length -= n) {
        n = length < sizeof(body) ? length : sizeof(body);
        assert_int_equal(mail_sink_write(sink, mail_span_of(body, n)), MAIL_OK);
    }
    assert_int_equal(mail_sink_finish(sink, on_finished, b), MAIL_EAGAIN);
}

static int watch(fault_op op, const char *name, void *arg)
{
    bench *b = arg;
    size_t length = b->next_length;
    int code = 0;

    (void)name;
    if (op == FAULT_WRITE) {
        b->told_at_write = b->k.wakes;
        code = b->failing;
        b->failing = 0;
    } else if (op == FAULT_SYNC) {
        b->told_at_sync = b->k.wakes;
        b->next_length = 0;
        if (length > 0) {
            hand_in(b, length);
        }
    }
    return code;
}

static void set_up(bench *b, size_t threads)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    memset(b, 0, sizeof(*b));
    b->disk = fault_files_create(1);
    opts.files = fault_files_table(b->disk);
    opts.random = fault_files_random(b->disk);
    opts.segment_bytes = 4 << 20;
    kit_init(&b->k, &opts);
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
    while (b->other_count + 1 < threads) {
        mail_intake **other = &b->others[b->other_count++];

        assert_int_equal(mail_intake_open(other, b->k.queue, kit_wake, &b->k), MAIL_OK);
    }
    hand_in(b, 10); /* so that a segment has been begun */
    queue_step(b->k.queue);
    mail_intake_poll(b->k.intake);
    b->k.wakes = 0;
    b->finished = 0;
    fault_files_set(b->disk, watch, b);
}

static void tear_down(bench *b)
{
    fault_files_set(b->disk, NULL, NULL);
    while (b->other_count > 0) {
        mail_intake_close(b->others[--b->other_count]);
    }
    kit_close(&b->k);
    assert_int_equal(fault_files_handles(b->disk), 0);
    fault_files_destroy(b->disk);
}

/* One comes, and another while it is synced. */
static void hand_in_two(bench *b, size_t length)
{
    b->next_length = length;
    hand_in(b, 10);
    queue_step(b->k.queue);
    mail_intake_poll(b->k.intake);
    assert_int_equal(b->finished, 2);
    assert_int_equal(b->codes[0], MAIL_OK);
}

/* To wake many takes as long as the disk needs for those who came in the meantime. */
static void tells_of_one_batch_once_the_next_is_on_its_way(void **state)
{
    bench b;

    (void)state;
    set_up(&b, 8);
    hand_in_two(&b, 10);
    assert_int_equal(b.codes[1], MAIL_OK);
    assert_int_equal(b.told_at_write, 0);
    assert_int_equal(b.told_at_sync, 1);
    tear_down(&b);
}

static void tells_first_where_few_threads_bring_mail(void **state)
{
    bench b;

    (void)state;
    set_up(&b, 1);
    hand_in_two(&b, 10);
    assert_int_equal(b.codes[1], MAIL_OK);
    assert_int_equal(b.told_at_write, 1);
    tear_down(&b);
}

static void tells_first_if_there_is_much_to_write(void **state)
{
    bench b;

    (void)state;
    set_up(&b, 8);
    hand_in_two(&b, 700 << 10);
    assert_int_equal(b.codes[1], MAIL_OK);
    assert_int_equal(b.told_at_write, 1);
    tear_down(&b);
}

/* QR-011: what was safe has been accepted, whatever becomes of the next. */
static void tells_of_what_was_safe_before_a_failure(void **state)
{
    bench b;

    (void)state;
    set_up(&b, 8);
    b.next_length = 10;
    hand_in(&b, 10);
    assert_true(queue_writer_round((queue_log *)b.k.queue->store));
    b.failing = -EIO;
    queue_step(b.k.queue);
    mail_intake_poll(b.k.intake);
    assert_int_equal(b.finished, 2);
    assert_int_equal(b.codes[0], MAIL_OK);
    assert_int_equal(b.codes[1], MAIL_EIO);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_of_one_batch_once_the_next_is_on_its_way),
        cmocka_unit_test(tells_first_where_few_threads_bring_mail),
        cmocka_unit_test(tells_first_if_there_is_much_to_write),
        cmocka_unit_test(tells_of_what_was_safe_before_a_failure),
    };

    return mail_test_run(tests);
}
