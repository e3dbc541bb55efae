/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/heap.h"

static void gives_entries_in_order_after_moves_and_removals(void **state)
{
    heap_entry entries[500] = {{0}};
    uint64_t seed = 1;
    int64_t last = INT64_MIN;
    size_t left = 0;
    heap hp;

    (void)state;
    heap_init(&hp, NULL);
    for (unsigned round = 0; round < 5; round++) {
        for (size_t i = 0; i < 500; i++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            assert_int_equal(heap_set(&hp, &entries[i], (int64_t)(seed >> 40)), MAIL_OK);
        }
    }
    for (size_t i = 0; i < 500; i += 3) {
        heap_remove(&hp, &entries[i]);
        heap_remove(&hp, &entries[i]);
    }
    for (heap_entry *e; (e = heap_first(&hp)) != NULL; left++) {
        assert_true(e->key >= last);
        last = e->key;
        heap_remove(&hp, e);
        assert_int_equal(e->place, 0);
    }
    assert_int_equal(left, 500 - 167);
    heap_deinit(&hp);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk) {
        heap_entry entries[40] = {{0}};
        size_t in = 0;
        heap hp;

        heap_init(&hp, &walk.mem);
        for (size_t i = 0; i < 40; i++) {
            in += heap_set(&hp, &entries[i], (int64_t)(40 - i)) == MAIL_OK;
        }
        assert_int_equal(hp.count, in);
        heap_deinit(&hp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_entries_in_order_after_moves_and_removals),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
