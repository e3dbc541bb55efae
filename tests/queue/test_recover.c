/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include <errno.h>
#include <limits.h>

#include "support/fault_files.h"

#define SEGMENT "spool/log/0000000000000001.seg"
#define FIRST   4096 /* where the records of a segment begin */
#define START   96   /* the length of the first one */

/* A spool on a disk in memory, and what was logged about it. */
typedef struct bench {
    kit k;
    fault_files *disk;
    mail_log log;
    mail_queue_options opts;
    unsigned errors;
    char last[256];
} bench;

static void on_log(mail_log_level level, const char *what, const mail_log_field *fields,
                   size_t count, void *arg)
{
    bench *b = arg;

    b->errors += level == MAIL_LOG_ERROR ? 1 : 0;
    mail_log_print(MAIL_LOG_TEXT, 0, level, what, fields, count, b->last, sizeof(b->last));
}

static void set_up_on(bench *b, unsigned seed)
{
    memset(b, 0, sizeof(*b));
    b->disk = fault_files_create(seed);
    b->log = (mail_log){on_log, b, MAIL_LOG_ERROR};
    b->opts = (mail_queue_options){.files = fault_files_table(b->disk),
                                   .random = fault_files_random(b->disk),
                                   .segment_bytes = 64 << 10,
                                   .reserve_bytes = 256 << 10,
                                   .log = &b->log};
    kit_init(&b->k, &b->opts);
}

static void set_up(bench *b)
{
    set_up_on(b, 1);
}

static void tear_down(bench *b)
{
    if (b->k.queue != NULL) {
        kit_close(&b->k);
    }
    assert_int_equal(fault_files_handles(b->disk), 0);
    fault_files_destroy(b->disk);
}

static int open_it(bench *b)
{
    return kit_open(&b->k, "spool");
}

static void reopen(bench *b)
{
    kit_close(&b->k);
    assert_int_equal(open_it(b), MAIL_OK);
}

static uint64_t messages_in(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats.messages;
}

static uint64_t damaged_in(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats.damaged;
}

static void accept_some(bench *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(kit_accept_text(&b->k, "a@x.example", "b@y.example", "A: b\r\n\r\nx\r\n"),
                         MAIL_OK);
    }
}

/* The length of the records that accept_some writes. */
static uint64_t length_of_one(bench *b)
{
    mail_queue_stats stats;

    mail_queue_stats_read(b->k.queue, &stats);
    return stats.log_bytes_live / stats.messages;
}

/* QR-012 */
static void sets_a_damaged_record_aside_and_goes_on(void **state)
{
    file_info info;
    uint64_t length;
    char name[64];
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 5);
    length = length_of_one(&b);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, SEGMENT, FIRST + START + 2 * length + length / 2));
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 4);
    assert_int_equal(damaged_in(&b), 1);
    assert_int_equal(b.errors, 1);
    snprintf(name, sizeof(name), "offset=%u", (unsigned)(FIRST + START + 2 * length));
    assert_non_null(strstr(b.last, name));
    assert_non_null(strstr(b.last, "file=0000000000000001.seg"));
    snprintf(name, sizeof(name), "spool/damaged/0000000000000001-%u",
             (unsigned)(FIRST + START + 2 * length));
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD, name, &info), 0);
    assert_int_equal(info.size, length);
    accept_some(&b, 1);
    reopen(&b);
    assert_int_equal(messages_in(&b), 5);
    tear_down(&b);
}

static void finds_every_other_record_whatever_octet_is_damaged(void **state)
{
    uint64_t length;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 3);
    length = length_of_one(&b);
    kit_close(&b.k);
    for (uint64_t at = 0; at < length; at++) {
        uint64_t offset = FIRST + START + length + at;

        assert_true(fault_files_damage(b.disk, SEGMENT, offset));
        assert_int_equal(open_it(&b), MAIL_OK);
        /* The padding may be anything. */
        assert_int_equal(messages_in(&b), damaged_in(&b) > 0 ? 2 : 3);
        assert_true(damaged_in(&b) == 1 || at + 8 > length);
        kit_close(&b.k);
        assert_true(fault_files_damage(b.disk, SEGMENT, offset));
    }
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 3);
    tear_down(&b);
}

static void reads_a_segment_whose_header_is_damaged(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 3);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, SEGMENT, 40));
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 3);
    tear_down(&b);
}

static void sets_aside_a_segment_that_is_none(void **state)
{
    file_info info;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 3);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, SEGMENT, 0));
    assert_true(fault_files_damage(b.disk, SEGMENT, FIRST));
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 0);
    assert_int_equal(damaged_in(&b), 1);
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD,
                                                "spool/damaged/0000000000000001.seg", &info),
                     0);
    accept_some(&b, 1);
    tear_down(&b);
}

static void says_that_a_segment_has_lost_its_end(void **state)
{
    const mail_files *files;
    char start[FIRST + START];
    struct iovec part = {start, sizeof(start)};
    bench b;
    int fd;

    (void)state;
    set_up(&b);
    files = b.opts.files;
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 3);
    kit_close(&b.k);
    fd = files->ops->open(files, FILE_CWD, SEGMENT, FILE_READ);
    assert_true(fd >= 0);
    assert_int_equal(files->ops->read(files, fd, start, sizeof(start), 0), sizeof(start));
    files->ops->close(files, fd);
    fd = files->ops->open(files, FILE_CWD, SEGMENT, FILE_WRITE | FILE_TRUNCATE);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(files, fd, &part, 1, 0), 0);
    files->ops->close(files, fd);
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 0);
    assert_int_equal(damaged_in(&b), 1);
    assert_int_equal(b.errors, 1);
    assert_non_null(strstr(b.last, "file=0000000000000001.seg"));
    accept_some(&b, 1);
    reopen(&b);
    assert_int_equal(messages_in(&b), 1);
    tear_down(&b);
}

static void gives_a_damaged_message_up_when_it_is_to_be_delivered(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 2);
    assert_true(fault_files_damage(b.disk, SEGMENT, FIRST + START + 70));
    lane = mail_queue_take_lane(b.k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_EDAMAGED);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    assert_int_equal(messages_in(&b), 0);
    assert_int_equal(damaged_in(&b), 1);
    tear_down(&b);
}

static void never_sends_the_end_of_a_body_that_is_damaged(void **state)
{
    static char body[14000];
    static char back[sizeof(body)];
    mail_source *source;
    bench b;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        bool is_large = i == 1; /* in a file of its own */
        char name[64];

        mail_test_case(is_large ? "in a file of its own" : "in the log");
        set_up(&b);
        b.k.opts.large_bytes = is_large ? 1000 : 0;
        b.k.opts.segment_bytes = 1 << 20; /* so that bodies may be longer than is read at once */
        assert_int_equal(open_it(&b), MAIL_OK);
        memset(body, 'x', sizeof(body));
        assert_int_equal(
            kit_accept(&b.k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))),
            MAIL_OK);
        assert_int_equal(mail_queue_read(b.k.queue, b.k.id, &source), MAIL_OK);
        assert_int_equal(kit_read(source, back, sizeof(back)), sizeof(body));
        snprintf(name, sizeof(name), "spool/large/%s", b.k.id);
        assert_true(fault_files_damage(b.disk, is_large ? name : SEGMENT, 10000));
        if (mail_queue_read(b.k.queue, b.k.id, &source) == MAIL_OK) {
            assert_int_equal(kit_read(source, back, sizeof(back)), MAIL_EDAMAGED);
        } else {
            assert_false(is_large);
        }
        tear_down(&b);
    }
}

static void lets_only_one_owner_in(void **state)
{
    mail_queue *other;
    mail_error err;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(mail_queue_open(&other, "spool", &b.k.opts, &err), MAIL_EBUSY); /* QR-013 */
    assert_int_equal(err.code, MAIL_EBUSY);
    accept_some(&b, 1);
    b.k.opts.read_only = true; /* whoever only looks needs no lock */
    assert_int_equal(mail_queue_open(&other, "spool", &b.k.opts, &err), MAIL_OK);
    assert_int_equal(mail_queue_has_room(other, 1), MAIL_EPERM);
    mail_queue_close(other);
    tear_down(&b);
}

static void changes_nothing_when_it_only_looks(void **state)
{
    mail_queue_stats stats;
    uint64_t operations;
    mail_queue *other;
    bench b;

    (void)state;
    set_up(&b);
    b.k.opts.read_only = true;
    assert_int_equal(mail_queue_open(&other, "spool", &b.k.opts, NULL), MAIL_ENOENT);
    b.k.opts.read_only = false;
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 3);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, SEGMENT, FIRST + START + 70));
    operations = fault_files_operations(b.disk);
    b.k.opts.read_only = true;
    assert_int_equal(mail_queue_open(&other, "spool", &b.k.opts, NULL), MAIL_OK);
    mail_queue_stats_read(other, &stats);
    assert_int_equal(stats.messages, 2);
    assert_int_equal(stats.damaged, 1);
    mail_queue_close(other);
    assert_int_equal(fault_files_operations(b.disk), operations);
    tear_down(&b);
}

static void write_file(bench *b, const char *path, const char *data, size_t length, uint64_t at)
{
    const mail_files *files = b->opts.files;
    struct iovec part = {(void *)(uintptr_t)data, length};
    int fd = files->ops->open(files, FILE_CWD, path, FILE_WRITE | FILE_CREATE);

    assert_true(fd >= 0);
    assert_int_equal(file_write_all(files, fd, &part, 1, at), 0);
    assert_int_equal(files->ops->sync(files, fd), 0);
    files->ops->close(files, fd);
}

static void segment_path(unsigned serial, char out[64])
{
    snprintf(out, 64, "spool/log/%016x.seg", serial);
}

static bool is_there(bench *b, const char *path)
{
    file_info info;

    return b->opts.files->ops->info_at(b->opts.files, FILE_CWD, path, &info) == 0;
}

/* Writes noise, or zeros, over all of a segment from `from` on. */
static void spoil(bench *b, unsigned serial, uint64_t from, bool with_zeros)
{
    static char noise[64 << 10];
    char path[64];
    uint64_t x = 88172645463325252U;

    for (size_t i = 0; i < sizeof(noise); i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        noise[i] = with_zeros ? 0 : (char)(x >> 56);
    }
    segment_path(serial, path);
    assert_true(is_there(b, path));
    write_file(b, path, noise, sizeof(noise) - (size_t)from, from);
}

/* Four segments of messages, the last of them not full. */
static void fill_segments(bench *b)
{
    static char body[14000];

    assert_int_equal(open_it(b), MAIL_OK);
    for (int i = 0; i < 14; i++) {
        assert_int_equal(
            kit_accept(&b->k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))),
            MAIL_OK);
    }
    kit_close(&b->k);
}

/* QR-012: what was used is never taken for what was made ready, whatever lies there now. */
static void reports_segments_of_which_no_record_is_left(void **state)
{
    static const struct {
        const char *name;
        unsigned serials[3];
        uint64_t from;
        bool with_zeros;
        unsigned lost;
        unsigned damaged;
    } cases[] = {
        {"noise in the last one", {4}, FIRST, false, 2, 1},
        {"zeros in the last one", {4}, FIRST, true, 2, 1},
        {"noise, and in the mark of its use, too", {4}, 64, false, 2, 1},
        {"noise in one that another names", {2}, FIRST, false, 4, 1},
        {"zeros in one that another names", {2}, FIRST, true, 4, 1},
        {"zeros, and no mark of its use", {2}, 64, true, 4, 1},
        {"noise in two, of which one was named by the other", {2, 3}, FIRST, false, 8, 2},
        {"zeros in two, and no mark of their use", {2, 3}, 64, true, 8, 2},
        {"noise in all but the first", {2, 3, 4}, FIRST, false, 10, 3},
        {"noise in two, the last among them", {1, 4}, FIRST, false, 6, 2},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char copy[64];
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        fill_segments(&b);
        for (size_t j = 0; j < 3 && cases[i].serials[j] > 0; j++) {
            spoil(&b, cases[i].serials[j], cases[i].from, cases[i].with_zeros);
        }
        assert_int_equal(open_it(&b), MAIL_OK);
        assert_int_equal(messages_in(&b), 14 - cases[i].lost);
        assert_int_equal(damaged_in(&b), cases[i].damaged);
        assert_int_equal(b.errors, cases[i].damaged);
        for (size_t j = 0; j < 3 && cases[i].serials[j] > 0; j++) {
            snprintf(copy, sizeof(copy), "spool/damaged/%016x-%d", cases[i].serials[j], FIRST);
            assert_true(is_there(&b, copy));
        }
        accept_some(&b, 5);
        reopen(&b);
        assert_int_equal(messages_in(&b), 14 - cases[i].lost + 5);
        tear_down(&b);
    }
}

/* Whatever a crash leaves of a segment that was about to be used is no damage. */
static void takes_a_segment_for_ready_that_a_crash_kept_from_being_used(void **state)
{
    bool is_over = false;

    (void)state;
    for (uint64_t at = 1; !is_over; at++) {
        for (unsigned seed = 1; seed <= 8; seed++) {
            static char body[15000];
            bench b;

            set_up_on(&b, seed);
            fault_files_crash_after(b.disk, at);
            if (open_it(&b) == MAIL_OK) {
                for (int i = 0; i < 12; i++) { /* into the third segment, and used again */
                    (void)kit_accept(&b.k, "a@x.example", "b@y.example",
                                     mail_span_of(body, sizeof(body)));
                    if (!fault_files_has_crashed(b.disk)) {
                        (void)kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL);
                    }
                }
                kit_close(&b.k);
            }
            b.k.queue = NULL;
            is_over = !fault_files_has_crashed(b.disk);
            fault_files_reboot(b.disk);
            b.errors = 0;
            assert_int_equal(open_it(&b), MAIL_OK);
            assert_int_equal(damaged_in(&b), 0);
            assert_int_equal(b.errors, 0);
            tear_down(&b);
        }
    }
}

static int refuse_copies(fault_op op, const char *name, void *arg)
{
    (void)arg;
    return op == FAULT_OPEN && name != NULL && strchr(name, '-') != NULL ? -ENOSPC : 0;
}

/* The only copy of what is damaged may be the segment itself. */
static void never_writes_over_damage_that_could_not_be_copied(void **state)
{
    char path[64];
    bench b;

    (void)state;
    set_up(&b);
    fill_segments(&b);
    spoil(&b, 2, FIRST, false);
    fault_files_set(b.disk, refuse_copies, NULL);
    assert_int_equal(open_it(&b), MAIL_OK);
    for (int i = 0; i < 10; i++) {
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    }
    for (int i = 0; i < 100; i++) {
        kit_later(&b.k, MAIL_SECOND);
        accept_some(&b, 1);
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL)); /* and some housekeeping */
    }
    segment_path(1, path);
    assert_false(is_there(&b, path)); /* had nothing of use any more */
    segment_path(2, path);
    assert_true(is_there(&b, path));
    tear_down(&b);
}

/* Mail may be handed to a spool that nobody has ever owned. */
static void makes_itself_at_home_where_only_mail_was_dropped(void **state)
{
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(b.opts.files->ops->make_dir(b.opts.files, FILE_CWD, "spool"), 0);
    assert_int_equal(b.opts.files->ops->make_dir(b.opts.files, FILE_CWD, "spool/drop"), 0);
    write_file(&b, "spool/drop/one.mail", "mail", 4, 0);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 1);
    reopen(&b);
    assert_int_equal(messages_in(&b), 1);
    tear_down(&b);
}

static void destroys_nothing_that_is_not_its_own(void **state)
{
    static const struct {
        const char *name;
        const char *path;
        const char *data;
        size_t length;
        uint64_t at;
        bool is_new; /* the folder has no spool in it */
        int want;
    } cases[] = {
        {"a folder of somebody's", "spool/active", "mail", 4, 0, true, MAIL_EPERM},
        {"a file 'spool' of somebody's", "spool/spool", "something else entirely, I say", 30, 0,
         true, MAIL_EPERM},
        {"a spool of a newer version", "spool/spool", "\2", 1, 8, false, MAIL_EVERSION},
        {"a segment of a newer version", SEGMENT, "\2", 1, 8, false, MAIL_EVERSION},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        uint64_t operations;
        mail_error err = {0};
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        if (cases[i].is_new) {
            assert_int_equal(b.opts.files->ops->make_dir(b.opts.files, FILE_CWD, "spool"), 0);
        } else {
            assert_int_equal(open_it(&b), MAIL_OK);
            accept_some(&b, 1);
            kit_close(&b.k);
        }
        write_file(&b, cases[i].path, cases[i].data, cases[i].length, cases[i].at);
        operations = fault_files_operations(b.disk);
        assert_int_equal(mail_queue_open(&b.k.queue, "spool", &b.k.opts, &err), cases[i].want);
        assert_int_equal(err.code, cases[i].want);
        assert_true(strlen(err.text) > 0);
        /* A sync at most; nothing is renamed, removed or written. */
        assert_true(fault_files_operations(b.disk) <= operations + 1);
        b.k.queue = NULL;
        tear_down(&b);
    }
}

/* Fails the operations of one kind from the first on, as long as there are some to fail. */
typedef struct fault {
    fault_op op;
    int code;
    unsigned left;
} fault;

static int fail_some(fault_op op, const char *name, void *arg)
{
    fault *f = arg;

    (void)name;
    if (op != f->op || f->left == 0) {
        return 0;
    }
    f->left--;
    return f->code;
}

/* QR-011: what a failed sync may have lost is never called good, and the next segment is. */
static void refuses_what_a_failed_sync_covers_and_goes_on_elsewhere(void **state)
{
    fault f = {FAULT_SYNC, -EIO, 0};
    mail_queue_stats stats;
    bench b;

    (void)state;
    set_up(&b);
    fault_files_set(b.disk, fail_some, &f);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 2);
    f.left = 1;
    assert_int_equal(kit_accept_text(&b.k, "a@x.example", "b@y.example", "x\r\n"), MAIL_EIO);
    accept_some(&b, 2);
    mail_queue_stats_read(b.k.queue, &stats);
    assert_int_equal(stats.messages, 4);
    assert_int_equal(stats.segments_live, 2);
    reopen(&b);
    assert_int_equal(messages_in(&b), 4); /* and not five: what was refused must not come back */
    assert_int_equal(damaged_in(&b), 0);
    tear_down(&b);
}

static void writes_outcomes_again_that_a_failed_sync_may_have_lost(void **state)
{
    static const fault_op ops[] = {FAULT_SYNC, FAULT_WRITE};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(ops); i++) {
        fault f = {ops[i], -EIO, 0};
        bench b;

        set_up(&b);
        fault_files_set(b.disk, fail_some, &f);
        assert_int_equal(open_it(&b), MAIL_OK);
        accept_some(&b, 3);
        f.left = 1;
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        assert_int_equal(f.left, 0);
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        assert_int_equal(messages_in(&b), 1);
        fault_files_crash_after(b.disk, 1);
        kit_close(&b.k);
        fault_files_reboot(b.disk);
        assert_int_equal(open_it(&b), MAIL_OK);
        assert_int_equal(messages_in(&b), 1);
        tear_down(&b);
    }
}

/* QR-011: nobody waits behind outcomes that a broken disk does not take, however many there are. */
static void refuses_messages_behind_outcomes_that_cannot_be_written(void **state)
{
    static const fault_op ops[] = {FAULT_SYNC, FAULT_WRITE};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(ops); i++) {
        fault f = {ops[i], -EIO, 0};
        mail_sink *sink;
        bench b;

        set_up(&b);
        fault_files_set(b.disk, fail_some, &f);
        assert_int_equal(open_it(&b), MAIL_OK);
        accept_some(&b, 1000);
        f.left = UINT_MAX;
        for (unsigned n = 0; n < 1000; n++) {
            assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        }
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
        b.k.code = MAIL_EAGAIN;
        assert_int_equal(mail_sink_finish(sink, kit_finished, &b.k), MAIL_EAGAIN);
        queue_step(b.k.queue);
        mail_intake_poll(b.k.intake);
        assert_int_equal(b.k.code, MAIL_EIO);
        f.left = 0;
        queue_step(b.k.queue);
        reopen(&b);
        assert_int_equal(messages_in(&b), 0);
        tear_down(&b);
    }
}

/* QR-011: refused before the disk is full, and what is there can still be delivered. */
static void refuses_messages_on_a_full_disk_and_delivers_the_rest(void **state)
{
    unsigned accepted = 0;
    int code;
    bench b;

    (void)state;
    set_up(&b);
    fault_files_set_capacity(b.disk, 700 << 10);
    assert_int_equal(open_it(&b), MAIL_OK);
    do {
        static char body[9000];

        code = kit_accept(&b.k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body)));
        accepted += code == MAIL_OK ? 1 : 0;
        assert_true(accepted < 100);
    } while (code == MAIL_OK);
    assert_int_equal(code, MAIL_ENOSPC);
    assert_true(accepted > 10);
    assert_int_equal(mail_queue_has_room(b.k.queue, 1), MAIL_ENOSPC);
    assert_int_equal(messages_in(&b), accepted);
    fault_files_set_capacity(b.disk, 0); /* somebody else has taken the rest */
    for (unsigned i = 0; i < accepted / 2; i++) {
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    }
    reopen(&b);
    assert_int_equal(messages_in(&b), accepted - accepted / 2);
    fault_files_set_capacity(b.disk, 10 << 20);
    accept_some(&b, 1);
    tear_down(&b);
}

/* The log keeps segments for later: what they take of a small disk is no reason to refuse. */
static void takes_messages_again_once_a_full_disk_holds_none(void **state)
{
    static char body[9000];
    unsigned accepted = 0;
    bench b;

    (void)state;
    set_up(&b);
    fault_files_set_capacity(b.disk, 500 << 10);
    assert_int_equal(open_it(&b), MAIL_OK);
    for (int round = 0; round < 3; round++) {
        while (kit_accept(&b.k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))) ==
               MAIL_OK) {
            accepted++;
        }
        assert_true(accepted > 10);
        while (accepted > 0) {
            assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
            accepted--;
        }
        queue_step(b.k.queue);
        assert_int_equal(mail_queue_has_room(b.k.queue, sizeof(body)), MAIL_OK);
        if (round == 1) {
            reopen(&b);
        }
    }
    tear_down(&b);
}

static void counts_on_what_senders_have_announced(void **state)
{
    mail_sink *sink;
    mail_sink *other;
    bench b;

    (void)state;
    set_up(&b);
    fault_files_set_capacity(b.disk, 2 << 20);
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 1 << 20, &sink), MAIL_OK);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 1 << 20, &other), MAIL_ENOSPC);
    assert_int_equal(mail_queue_has_room(b.k.queue, UINT64_MAX), MAIL_ENOSPC);
    mail_sink_abort(sink);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 1 << 20, &sink), MAIL_OK);
    mail_sink_abort(sink);
    tear_down(&b);
}

static void says_why_it_can_not_open(void **state)
{
    static const struct {
        const char *name;
        fault fault;
        int want;
    } cases[] = {
        {"no room for the folder", {FAULT_MAKE_DIR, -ENOSPC, 99}, MAIL_ENOSPC},
        {"no right to make the folder", {FAULT_MAKE_DIR, -EACCES, 99}, MAIL_EPERM},
        {"no room in the first file", {FAULT_WRITE, -ENOSPC, 99}, MAIL_ENOSPC},
        {"no room for the first file", {FAULT_OPEN, -ENOSPC, 99}, MAIL_ENOSPC},
        {"nothing can be written", {FAULT_WRITE, -EIO, 99}, MAIL_EIO},
        {"nothing can be synced", {FAULT_SYNC, -EIO, 99}, MAIL_EIO},
        {"nothing can be renamed", {FAULT_RENAME, -EIO, 99}, MAIL_EIO},
        {"nothing can be read", {FAULT_READ, -EIO, 99}, MAIL_EIO},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fault f = cases[i].fault;
        mail_error err = {0};
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        fault_files_set(b.disk, fail_some, &f);
        assert_int_equal(mail_queue_open(&b.k.queue, "spool", &b.k.opts, &err), cases[i].want);
        assert_int_equal(err.code, cases[i].want);
        if (cases[i].want != MAIL_EIO) { /* what somebody may mend, it names */
            assert_non_null(strstr(err.text, mail_strerror(cases[i].want)));
        }
        b.k.queue = NULL;
        tear_down(&b);
    }
}

static void keeps_only_the_large_bodies_that_messages_name(void **state)
{
    static char body[30000];
    mail_source *source;
    mail_sink *sink;
    file_info info;
    char name[64];
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(
        kit_accept(&b.k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))), MAIL_OK);
    snprintf(name, sizeof(name), "spool/large/%s", b.k.id);
    write_file(&b, "spool/large/0000000000001", "left by a crash", 15, 0);
    reopen(&b);
    assert_int_equal(
        b.opts.files->ops->info_at(b.opts.files, FILE_CWD, "spool/large/0000000000001", &info),
        -ENOENT);
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD, name, &info), 0);
    assert_int_equal(info.size, sizeof(body));
    assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    (void)messages_in(&b); /* sees that the end is safe */
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD, name, &info), -ENOENT);
    assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", sizeof(body), &sink), MAIL_OK);
    snprintf(name, sizeof(name), "spool/large/%s", b.k.id);
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD, name, &info), 0);
    mail_sink_abort(sink);
    assert_int_equal(b.opts.files->ops->info_at(b.opts.files, FILE_CWD, name, &info), -ENOENT);
    assert_int_equal(mail_queue_read(b.k.queue, b.k.id, &source), MAIL_ENOENT);
    tear_down(&b);
}

static void goes_on_in_the_segment_where_it_stopped(void **state)
{
    mail_queue_stats stats;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    for (int i = 0; i < 10; i++) {
        accept_some(&b, 1);
        reopen(&b);
    }
    mail_queue_stats_read(b.k.queue, &stats);
    assert_int_equal(stats.messages, 10);
    assert_int_equal(stats.segments_live, 1);
    tear_down(&b);
}

/* Two messages of one sync, the first of them torn: neither counts, and neither ever will. */
static void never_takes_up_again_what_lies_behind_a_tear(void **state)
{
    mail_sink *sink;
    uint64_t length;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    accept_some(&b, 1);
    length = length_of_one(&b);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_begin(&b.k, "a@x.example", "b@y.example", 0, &sink), MAIL_OK);
        assert_int_equal(mail_sink_write(sink, MAIL_SPAN("A: b\r\n\r\nx\r\n")), MAIL_OK);
        assert_int_equal(mail_sink_finish(sink, kit_finished, &b.k), MAIL_EAGAIN);
    }
    queue_step(b.k.queue);
    mail_intake_poll(b.k.intake);
    kit_close(&b.k);
    assert_true(fault_files_damage(b.disk, SEGMENT, FIRST + START + length + 70));
    assert_int_equal(open_it(&b), MAIL_OK);
    assert_int_equal(messages_in(&b), 1);
    accept_some(&b, 1); /* as long as the torn one */
    reopen(&b);
    assert_int_equal(messages_in(&b), 2);
    assert_int_equal(damaged_in(&b), 0);
    tear_down(&b);
}

static void holds_few_files_open_however_many_segments_there_are(void **state)
{
    static char body[15000];
    char first[MAIL_QUEUE_ID_SIZE];
    mail_queue_stats stats;
    mail_source *source;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(open_it(&b), MAIL_OK);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(
            kit_accept(&b.k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))),
            MAIL_OK);
        memcpy(first, i == 0 ? b.k.id : first, sizeof(first));
    }
    reopen(&b);
    mail_queue_stats_read(b.k.queue, &stats);
    assert_int_equal(stats.messages, 600);
    assert_true(stats.segments_live >= 150);
    assert_true(fault_files_handles(b.disk) < 140);
    assert_int_equal(mail_queue_read(b.k.queue, first, &source), MAIL_OK);
    assert_int_equal(kit_read(source, body, sizeof(body)), sizeof(body));
    for (int i = 0; i < 600; i++) {
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        assert_true(fault_files_handles(b.disk) < 140);
    }
    assert_int_equal(messages_in(&b), 0);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_a_damaged_record_aside_and_goes_on),
        cmocka_unit_test(finds_every_other_record_whatever_octet_is_damaged),
        cmocka_unit_test(reads_a_segment_whose_header_is_damaged),
        cmocka_unit_test(sets_aside_a_segment_that_is_none),
        cmocka_unit_test(says_that_a_segment_has_lost_its_end),
        cmocka_unit_test(gives_a_damaged_message_up_when_it_is_to_be_delivered),
        cmocka_unit_test(never_sends_the_end_of_a_body_that_is_damaged),
        cmocka_unit_test(lets_only_one_owner_in),
        cmocka_unit_test(changes_nothing_when_it_only_looks),
        cmocka_unit_test(reports_segments_of_which_no_record_is_left),
        cmocka_unit_test(takes_a_segment_for_ready_that_a_crash_kept_from_being_used),
        cmocka_unit_test(never_writes_over_damage_that_could_not_be_copied),
        cmocka_unit_test(makes_itself_at_home_where_only_mail_was_dropped),
        cmocka_unit_test(destroys_nothing_that_is_not_its_own),
        cmocka_unit_test(refuses_what_a_failed_sync_covers_and_goes_on_elsewhere),
        cmocka_unit_test(writes_outcomes_again_that_a_failed_sync_may_have_lost),
        cmocka_unit_test(refuses_messages_behind_outcomes_that_cannot_be_written),
        cmocka_unit_test(refuses_messages_on_a_full_disk_and_delivers_the_rest),
        cmocka_unit_test(takes_messages_again_once_a_full_disk_holds_none),
        cmocka_unit_test(counts_on_what_senders_have_announced),
        cmocka_unit_test(says_why_it_can_not_open),
        cmocka_unit_test(keeps_only_the_large_bodies_that_messages_name),
        cmocka_unit_test(goes_on_in_the_segment_where_it_stopped),
        cmocka_unit_test(never_takes_up_again_what_lies_behind_a_tear),
        cmocka_unit_test(holds_few_files_open_however_many_segments_there_are),
    };

    return mail_test_run(tests);
}
