/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <errno.h>

#include "queue/intake.h"
#include "support/fault_files.h"

typedef struct bench {
    kit k;
    fault_files *disk;
    mail_test_walk mem;
    mail_queue_options opts;
} bench;

static void set_up(bench *b, uint64_t segment_bytes)
{
    memset(b, 0, sizeof(*b));
    b->disk = fault_files_create(1);
    mail_test_mem_init(&b->mem);
    b->opts = (mail_queue_options){.files = fault_files_table(b->disk),
                                   .random = fault_files_random(b->disk),
                                   .mem = &b->mem.mem,
                                   .segment_bytes = segment_bytes};
    kit_init(&b->k, &b->opts);
    assert_int_equal(kit_open(&b->k, "spool"), MAIL_OK);
}

static void tear_down(bench *b)
{
    kit_close(&b->k);
    mail_test_mem_check(&b->mem);
    fault_files_destroy(b->disk);
}

static void ring_room(void *arg)
{
    ++*(unsigned *)arg;
}

/* Sinks that write as long as there is room leave the disk behind; then they wait. */
static void has_no_room_while_the_disk_is_behind(void **state)
{
    static char body[200000];
    unsigned rung = 0;
    unsigned begun = 0;
    mail_sink *sink;
    mail_sink *last;
    bench b;

    (void)state;
    set_up(&b, 4 << 20);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &last), MAIL_OK);
    last->on_room = ring_room;
    last->on_room_arg = &rung;
    while (mail_sink_room(last) > 0) {
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
        assert_int_equal(mail_sink_write(sink, mail_span_of(body, sizeof(body))), MAIL_OK);
        assert_int_equal(mail_sink_finish(sink, kit_finished, &b.k), MAIL_EAGAIN);
        assert_true(++begun < 1000);
    }
    assert_in_range(begun, QUEUE_WAITING_MAX / sizeof(body), QUEUE_WAITING_MAX / sizeof(body) + 2);
    mail_intake_poll(b.k.intake);
    assert_int_equal(rung, 0);
    queue_step(b.k.queue);
    mail_intake_poll(b.k.intake);
    assert_int_equal(b.k.finished, begun);
    assert_int_equal(rung, 1);
    assert_true(mail_sink_room(last) > 0);
    mail_sink_abort(last);
    tear_down(&b);
}

/* 200 connections, each in the midst of 50 MB: no more memory than they may have together. */
static void keeps_large_messages_out_of_memory(void **state)
{
    enum {
        COUNT = 200,
        MANY = 24
    }; /* MANY writes of 64 KiB stand for the 50 MB */
    static char body[64 << 10];
    mail_sink *sinks[COUNT];
    size_t most = 0;
    bench b;

    (void)state;
    set_up(&b, 8 << 20);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sinks[i]), MAIL_OK);
    }
    for (int j = 0; j < MANY; j++) {
        for (int i = 0; i < COUNT; i++) {
            assert_true(mail_sink_room(sinks[i]) >= sizeof(body));
            assert_int_equal(mail_sink_write(sinks[i], mail_span_of(body, sizeof(body))), MAIL_OK);
            most = b.mem.bytes > most ? b.mem.bytes : most;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mail_sink_abort(sinks[i]);
    }
    print_message("[   CASE   ] %zu MiB at most\n", most >> 20);
    assert_true(most < (size_t)100 << 20);
    tear_down(&b);
}

static unsigned set_out;

static void count_begin_sync(const mail_files *fs, int fd)
{
    (void)fs;
    (void)fd;
    set_out++;
}

/* So that little is left to be synced at its end. */
static void sets_a_large_body_out_for_the_disk_while_it_arrives(void **state)
{
    static char body[1 << 20];
    mail_files_ops ops;
    mail_files *files;
    mail_sink *sink;
    bench b;

    (void)state;
    set_up(&b, 8 << 20);
    files = (mail_files *)(uintptr_t)fault_files_table(b.disk);
    ops = *files->ops;
    ops.begin_sync = count_begin_sync;
    files->ops = &ops;
    set_out = 0;
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
    for (int i = 0; i < 10; i++) {
        for (size_t at = 0; at < sizeof(body); at += 64 << 10) {
            assert_int_equal(mail_sink_write(sink, mail_span_of(body + at, 64 << 10)), MAIL_OK);
        }
    }
    assert_in_range(set_out, 4, 10);
    mail_sink_abort(sink);
    tear_down(&b);
}

static const mail_files_ops *below;
static unsigned odd_writes;

static ssize_t note_odd_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    ssize_t n = below->write(fs, fd, parts, count, offset);

    odd_writes += offset % 4096 != 0 || n % 4096 != 0;
    return n;
}

/* Whatever comes at a time: a page that is written in two parts costs twice. */
static void writes_a_large_body_by_whole_pages(void **state)
{
    static char body[1000];
    mail_files_ops ops;
    mail_files *files;
    mail_sink *sink;
    bench b;

    (void)state;
    set_up(&b, 64 << 10);
    files = (mail_files *)(uintptr_t)fault_files_table(b.disk);
    below = files->ops;
    ops = *files->ops;
    ops.write = note_odd_write;
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
    files->ops = &ops;
    odd_writes = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mail_sink_write(sink, mail_span_of(body, sizeof(body))), MAIL_OK);
    }
    assert_int_equal(odd_writes, 0);
    files->ops = below;
    mail_sink_abort(sink);
    tear_down(&b);
}

static void takes_any_length_in_any_pieces(void **state)
{
    static const size_t lengths[] = {0,     1,     7,      8,      9,      4095,   16383,
                                     16384, 16385, 100000, 131071, 131072, 131073, 300000};
    static const size_t pieces[] = {1, 1000, 100000, 200000};
    static char body[300000];
    static char back[300000];

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)(i * 7);
    }
    for (size_t i = 0; i < MAIL_COUNT(lengths); i++) {
        for (size_t j = 0; j < MAIL_COUNT(pieces); j++) {
            mail_source *source;
            mail_sink *sink;
            bench b;

            set_up(&b, 64 << 10);
            assert_int_equal(kit_begin(&b.k, "", "b@y.example", j == 1 ? lengths[i] : 0, &sink),
                             MAIL_OK);
            for (size_t at = 0; at < lengths[i];) {
                size_t n = lengths[i] - at < pieces[j] ? lengths[i] - at : pieces[j];

                assert_int_equal(mail_sink_write(sink, mail_span_of(body + at, n)), MAIL_OK);
                at += n;
            }
            assert_int_equal(mail_sink_finish(sink, kit_finished, &b.k), MAIL_EAGAIN);
            queue_step(b.k.queue);
            mail_intake_poll(b.k.intake);
            assert_int_equal(b.k.code, MAIL_OK);
            assert_int_equal(mail_queue_read(b.k.queue, b.k.id, &source), MAIL_OK);
            assert_int_equal(kit_read(source, back, sizeof(back)), lengths[i]);
            assert_memory_equal(back, body, lengths[i]);
            tear_down(&b);
        }
    }
}

static void leaves_nothing_of_what_is_aborted(void **state)
{
    static char body[100000];
    mail_queue_stats stats;
    mail_sink *sink;
    bench b;

    (void)state;
    set_up(&b, 64 << 10);
    assert_int_equal(kit_begin(&b.k, "", "b@y.example", 50, &sink), MAIL_OK);
    mail_sink_abort(sink);
    assert_int_equal(kit_begin(&b.k, "", "b@y.example", 0, &sink), MAIL_OK);
    assert_int_equal(mail_sink_write(sink, mail_span_of(body, sizeof(body))), MAIL_OK);
    mail_sink_abort(sink);
    queue_step(b.k.queue);
    mail_queue_stats_read(b.k.queue, &stats);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(atomic_load(&b.k.queue->filling_bytes), 0);
    assert_int_equal(atomic_load(&b.k.queue->promised_bytes), 0);
    assert_int_equal(atomic_load(&b.k.queue->waiting_bytes), 0);
    assert_int_equal(b.k.queue->lanes.count, 0);
    tear_down(&b);
}

static int fail_writes(fault_op op, const char *name, void *arg)
{
    (void)name;
    return op == *(fault_op *)arg ? -EIO : 0;
}

static void refuses_a_large_message_that_can_not_be_kept(void **state)
{
    static const struct {
        const char *name;
        fault_op op;
    } cases[] = {
        {"its file can't be made", FAULT_OPEN},
        {"nor written", FAULT_WRITE},
        {"nor synced", FAULT_SYNC},
    };
    static char body[100000];

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fault_op op = cases[i].op;
        mail_queue_stats stats;
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b, 64 << 10);
        fault_files_set(b.disk, fail_writes, &op);
        assert_int_equal(kit_accept(&b.k, "", "b@y.example", mail_span_of(body, sizeof(body))),
                         MAIL_EIO);
        fault_files_set(b.disk, NULL, NULL);
        assert_int_equal(kit_accept(&b.k, "", "b@y.example", mail_span_of(body, sizeof(body))),
                         MAIL_OK);
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.messages, 1);
        assert_int_equal(atomic_load(&b.k.queue->waiting_bytes), 0);
        tear_down(&b);
    }
}

/* Whatever allocation fails: an error, nothing lost that was acknowledged, nothing left behind. */
static void survives_every_failing_allocation(void **state)
{
    static char body[20000];

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        fault_files *disk = fault_files_create(1);
        mail_queue_options opts = {.files = fault_files_table(disk),
                                   .random = fault_files_random(disk),
                                   .segment_bytes = 64 << 10,
                                   .mem = &walk.mem};
        mail_queue_selector all = {.all = true};
        mail_queue_stats stats;
        unsigned accepted = 0;
        unsigned done = 0;
        kit k;

        kit_init(&k, &opts);
        if (kit_open(&k, "spool") == MAIL_OK) {
            for (int i = 0; i < 3; i++) {
                accepted += kit_accept(&k, "a@x.example", "b@y.example c@z.example",
                                       mail_span_of(body, i == 1 ? sizeof(body) : 500)) == MAIL_OK;
            }
            for (int i = 0; i < 8; i++) {
                mail_lane *lane = mail_queue_take_lane(k.queue);
                mail_lease *lease;

                if (lane == NULL) {
                    continue;
                }
                if (mail_lane_lease(lane, &lease) == MAIL_OK) {
                    mail_reply reply = MAIL_REPLY(450, 4, 2, 0, "later");

                    mail_lease_report(lease, 0, i < 2 ? MAIL_QUEUE_RETRY : MAIL_QUEUE_DONE, &reply,
                                      false);
                    done += i < 2 ? 0 : 1;
                    mail_lease_end(lease);
                }
                mail_lane_give_back(lane, INT64_MIN);
                queue_step(k.queue);
            }
            (void)mail_queue_hold(k.queue, &all);
            kit_close(&k);
        }
        kit_init(&k, &opts);
        k.opts.mem = NULL;
        assert_int_equal(kit_open(&k, "spool"), MAIL_OK);
        mail_queue_stats_read(k.queue, &stats);
        assert_int_equal(stats.recipients, 2 * accepted - done);
        kit_close(&k);
        fault_files_destroy(disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_no_room_while_the_disk_is_behind),
        cmocka_unit_test(keeps_large_messages_out_of_memory),
        cmocka_unit_test(sets_a_large_body_out_for_the_disk_while_it_arrives),
        cmocka_unit_test(writes_a_large_body_by_whole_pages),
        cmocka_unit_test(takes_any_length_in_any_pieces),
        cmocka_unit_test(leaves_nothing_of_what_is_aborted),
        cmocka_unit_test(refuses_a_large_message_that_can_not_be_kept),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return mail_test_run(tests);
}
