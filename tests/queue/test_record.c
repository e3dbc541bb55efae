/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "queue/record.h"

static const queue_header sample = {
    .type = QUEUE_RECORD_MESSAGE,
    .unsafe = 3,
    .head_length = 5,
    .body_length = 7,
    .sequence = 0x1122334455667788,
    .generation = 0x99aabbccddeeff00,
    .id = 0xfedcba9876543210,
    .tick = 77,
    .body_crc = 0xdeadbeef,
    .wall = 1700000000,
};

static void reads_what_it_has_written(void **state)
{
    char record[QUEUE_RECORD_SIZE + 5] = {0};
    char again[QUEUE_RECORD_SIZE + 5] = {0};
    queue_header header;

    (void)state;
    memcpy(record + QUEUE_RECORD_SIZE, "hello", 5);
    memcpy(again, record, sizeof(again));
    queue_header_write(&sample, record);
    assert_true(queue_header_read(record, &header));
    assert_int_equal(header.type, QUEUE_RECORD_MESSAGE);
    assert_int_equal(header.unsafe, 3);
    assert_int_equal(header.id, sample.id);
    queue_header_write(&header, again);
    assert_memory_equal(again, record, sizeof(again));
    assert_true(queue_header_check(&header, record));
    assert_int_equal(queue_header_total(&header), 80);
}

static void notices_every_changed_octet_of_header_and_head(void **state)
{
    char record[QUEUE_RECORD_SIZE + 5] = {0};
    queue_header header;

    (void)state;
    memcpy(record + QUEUE_RECORD_SIZE, "hello", 5);
    queue_header_write(&sample, record);
    for (size_t i = 0; i < sizeof(record); i++) {
        record[i] ^= 1;
        if (queue_header_read(record, &header)) {
            header.head_length = 5; /* a wrong length would be found out by what lies there */
            assert_false(queue_header_check(&header, record));
        }
        record[i] ^= 1;
    }
}

static void prints_ids_that_sort_as_the_numbers_do(void **state)
{
    static const struct {
        const char *name;
        uint64_t id;
        const char *text;
    } cases[] = {
        {"zero", 0, "0000000000000"},
        {"one", 1, "0000000000001"},
        {"a digit beyond the letters that are left out", 31, "000000000000Z"},
        {"two digits", 32, "0000000000010"},
        {"the largest", UINT64_MAX, "FZZZZZZZZZZZZ"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char text[QUEUE_ID_DIGITS + 1];
        uint64_t id;

        mail_test_case(cases[i].name);
        queue_id_print(cases[i].id, text);
        assert_string_equal(text, cases[i].text);
        assert_true(queue_id_parse(mail_span_text(text), &id));
        assert_int_equal(id, cases[i].id);
    }
}

static void refuses_what_is_no_id(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        size_t length;
    } cases[] = {
        {"nothing", "", 0},
        {"too short", "000000000000", 12},
        {"too long", "00000000000000", 14},
        {"more than 64 bits", "G000000000000", 13},
        {"lower case", "000000000000z", 13},
        {"a letter that is left out", "00000000000I0", 13},
        {"a NUL", "000000000000\0", 13},
        {"a path", "../../etc/pas", 13},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        uint64_t id;

        mail_test_case(cases[i].name);
        assert_false(queue_id_parse(mail_span_of(cases[i].text, cases[i].length), &id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_has_written),
        cmocka_unit_test(notices_every_changed_octet_of_header_and_head),
        cmocka_unit_test(prints_ids_that_sort_as_the_numbers_do),
        cmocka_unit_test(refuses_what_is_no_id),
    };

    return mail_test_run(tests);
}
