/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/table.h"

typedef struct item {
    table_entry entry;
    unsigned number;
} item;

static item *find(const table *tb, unsigned number)
{
    for (table_entry *e = table_first(tb, number % 97); e != NULL; e = table_next(e)) {
        if (((item *)e)->number == number) {
            return (item *)e;
        }
    }
    return NULL;
}

static void drop(table_entry *entry, void *arg)
{
    table_remove(arg, entry);
}

static void finds_what_is_in_among_equal_hashes(void **state)
{
    static item items[1000];
    table tb;

    (void)state;
    table_init(&tb, NULL);
    assert_null(find(&tb, 3));
    for (unsigned i = 0; i < 1000; i++) {
        items[i].number = i;
        assert_int_equal(table_insert(&tb, &items[i].entry, i % 97), MAIL_OK);
    }
    for (unsigned i = 0; i < 1000; i += 2) {
        table_remove(&tb, &items[i].entry);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_ptr_equal(find(&tb, i), i % 2 == 0 ? NULL : &items[i]);
    }
    table_each(&tb, drop, &tb);
    assert_int_equal(tb.count, 0);
    table_deinit(&tb);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk) {
        static item items[100];
        unsigned in = 0;
        table tb;

        table_init(&tb, &walk.mem);
        for (unsigned i = 0; i < 100; i++) {
            items[i].number = i;
            if (table_insert(&tb, &items[i].entry, i % 97) == MAIL_OK) {
                assert_non_null(find(&tb, i));
                in++;
            }
        }
        assert_int_equal(tb.count, in);
        assert_true(in >= 99);
        table_deinit(&tb);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_in_among_equal_hashes),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
