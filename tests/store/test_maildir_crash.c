/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/store.h>

#include "support/fault_files.h"

/*
 * Deliveries on a disk that loses power after the first, the second, the third … operation,
 * and on one that fills up. Whatever the disk has kept by chance: what was acknowledged is
 * there, once and whole, and there is nothing that is not whole. (MD-001)
 */

#define SEEDS    10
#define MESSAGES 9
#define TOGETHER 3 /* finished at a time, in the stories where they are */
#define SIZE     3000

static const char *const paths[] = {"/mail/example.org/alice", "/mail/example.org/bob",
                                    "/mail/example.net/carol"};

typedef struct story {
    fault_files *disk;
    mail_store *store;
    bool together;
    bool acknowledged[2 * MESSAGES];
    unsigned seen[2 * MESSAGES];
} story;

static mail_wall fixed_wall(void *arg)
{
    (void)arg;
    return 1700000000;
}

static void open_store(story *s)
{
    mail_maildir_options opts = MAIL_MAILDIR_OPTIONS_INIT;

    opts.files = fault_files_table(s->disk);
    opts.random = fault_files_random(s->disk);
    opts.wall = fixed_wall;
    assert_int_equal(mail_maildir_create(&s->store, &opts), MAIL_OK);
}

/* Its number, over and over, in lines. */
static void fill(unsigned number, char text[SIZE])
{
    for (size_t i = 0; i < SIZE; i += 10) {
        char line[11];

        snprintf(line, sizeof(line), "%08u\r\n", number);
        memcpy(text + i, line, 10);
    }
}

static int write_one(story *s, unsigned number, mail_sink **out)
{
    char text[SIZE];
    mail_sink *sink;
    int code = mail_store_append(s->store, paths[number % MAIL_COUNT(paths)], &sink, NULL);

    if (code != MAIL_OK) {
        return code;
    }
    fill(number, text);
    code = mail_sink_write(sink, mail_span_of(text, SIZE));
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
        return code;
    }
    *out = sink;
    return MAIL_OK;
}

static int deliver(story *s, unsigned number)
{
    mail_sink *sink;
    int code = write_one(s, number, &sink);

    return code == MAIL_OK ? mail_sink_finish(sink, NULL, NULL) : code;
}

static void deliver_together(story *s, unsigned from, const unsigned numbers[TOGETHER])
{
    mail_sink *sinks[TOGETHER];
    unsigned written[TOGETHER];
    int codes[TOGETHER];
    size_t count = 0;

    for (size_t i = 0; i < TOGETHER; i++) {
        if (write_one(s, from + numbers[i], &sinks[count]) == MAIL_OK) {
            written[count++] = from + numbers[i];
        }
    }
    mail_store_finish(s->store, sinks, count, codes);
    for (size_t i = 0; i < count; i++) {
        s->acknowledged[written[i]] = codes[i] == MAIL_OK;
    }
}

static void deliver_some(story *s, unsigned from)
{
    /* Two for one mailbox and one for another. */
    static const unsigned groups[][TOGETHER] = {{0, 3, 1}, {4, 7, 2}, {5, 8, 6}};

    for (unsigned i = from; !s->together && i < from + MESSAGES; i++) {
        s->acknowledged[i] = deliver(s, i) == MAIL_OK;
    }
    for (size_t i = 0; s->together && i < MAIL_COUNT(groups); i++) {
        deliver_together(s, from, groups[i]);
    }
}

static void look_at(story *s, mail_mailbox *box, size_t index)
{
    char want[SIZE];
    char text[SIZE] = "";
    mail_source *source;
    size_t length = 0;
    unsigned number;
    mail_span bytes;

    assert_int_equal(box->messages[index].size, SIZE);
    assert_int_equal(mail_mailbox_read(box, index, &source), MAIL_OK);
    while (mail_source_peek(source, &bytes) == MAIL_OK && bytes.length > 0) {
        assert_true(length + bytes.length <= SIZE);
        memcpy(text + length, bytes.data, bytes.length);
        length += bytes.length;
        mail_source_drop(source, bytes.length);
    }
    mail_source_close(source);
    number = (unsigned)strtoul(text, NULL, 10);
    assert_true(number < MAIL_COUNT(s->seen));
    fill(number, want);
    assert_int_equal(length, SIZE);
    assert_memory_equal(text, want, SIZE);
    s->seen[number]++;
}

static void hold_against_what_is_known(story *s)
{
    memset(s->seen, 0, sizeof(s->seen));
    for (size_t i = 0; i < MAIL_COUNT(paths); i++) {
        mail_mailbox *box;

        assert_int_equal(mail_mailbox_open(&box, s->store, paths[i], NULL), MAIL_OK);
        for (size_t j = 0; j < box->count; j++) {
            look_at(s, box, j);
        }
        mail_mailbox_close(box);
    }
    for (size_t i = 0; i < MAIL_COUNT(s->seen); i++) {
        assert_true(s->seen[i] <= 1);
        assert_true(s->seen[i] == 1 || !s->acknowledged[i]);
    }
}

static void begin(story *s, uint64_t seed, bool together)
{
    *s = (story){.disk = fault_files_create(seed), .together = together};
    open_store(s);
}

static void end(story *s)
{
    assert_int_equal(fault_files_handles(s->disk), 0);
    mail_store_destroy(s->store);
    fault_files_destroy(s->disk);
}

static void tell_until_it_is_whole(bool together)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool has_crashed = true;

        for (uint64_t after = 1; has_crashed; after++) {
            char name[64];
            story s;

            snprintf(name, sizeof(name), "seed %d, power lost after %d", (int)seed, (int)after);
            mail_test_case(name);
            begin(&s, seed, together);
            fault_files_crash_after(s.disk, after);
            deliver_some(&s, 0);
            has_crashed = fault_files_has_crashed(s.disk);
            assert_int_equal(fault_files_handles(s.disk), 0);
            fault_files_reboot(s.disk);
            hold_against_what_is_known(&s);
            deliver_some(&s, MESSAGES); /* into whatever was left half made */
            for (unsigned i = MESSAGES; i < 2 * MESSAGES; i++) {
                assert_true(s.acknowledged[i]);
            }
            fault_files_reboot(s.disk);
            hold_against_what_is_known(&s);
            end(&s);
        }
    }
}

static void loses_no_acknowledged_message_with_the_power(void **state)
{
    (void)state;
    tell_until_it_is_whole(false);
}

static void loses_none_of_those_finished_together(void **state)
{
    (void)state;
    tell_until_it_is_whole(true);
}

static void fill_the_disk(bool together)
{
    for (uint64_t room = 0; room < SIZE * (MESSAGES - 2); room += 700) {
        story s;

        begin(&s, 1, together);
        fault_files_set_capacity(s.disk, room + 1);
        fault_files_set_short_writes(s.disk, true);
        deliver_some(&s, 0);
        hold_against_what_is_known(&s);
        for (unsigned i = 0; i < MESSAGES; i++) {
            assert_int_equal(s.seen[i], s.acknowledged[i]);
        }
        assert_true(together || !s.acknowledged[MESSAGES - 1]);
        fault_files_set_capacity(s.disk, UINT64_MAX);
        assert_int_equal(deliver(&s, MESSAGES), MAIL_OK);
        end(&s);
    }
}

static void goes_on_after_the_disk_was_full(void **state)
{
    (void)state;
    fill_the_disk(false);
    fill_the_disk(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loses_no_acknowledged_message_with_the_power),
        cmocka_unit_test(loses_none_of_those_finished_together),
        cmocka_unit_test(goes_on_after_the_disk_was_full),
    };

    return mail_test_run(tests);
}
