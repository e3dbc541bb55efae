/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "queue/due.h"

#define NODES 300

static uint64_t state_of_chance = 88172645463325252U;

static uint64_t chance(uint64_t below)
{
    state_of_chance ^= state_of_chance << 13;
    state_of_chance ^= state_of_chance >> 7;
    state_of_chance ^= state_of_chance << 17;
    return state_of_chance % below;
}

static const due_node *least_of(const due_node *nodes)
{
    const due_node *least = NULL;

    for (size_t i = 0; i < NODES; i++) {
        if (due_is_in(&nodes[i]) && (least == NULL || nodes[i].key < least->key)) {
            least = &nodes[i];
        }
    }
    return least;
}

static void gives_the_least_whatever_goes_in_and_out(void **state)
{
    static due_node nodes[NODES];
    due_heap heap = {0};

    (void)state;
    for (int step = 0; step < 20000; step++) {
        due_node *node = &nodes[chance(NODES)];
        const due_node *least;

        if (due_is_in(node)) {
            due_remove(&heap, chance(2) == 0 ? node : heap.first);
        } else {
            due_insert(&heap, node, (mail_time)chance(1000) - 500);
        }
        least = least_of(nodes);
        if (least == NULL) {
            assert_null(heap.first);
        } else {
            assert_int_equal(heap.first->key, least->key);
        }
    }
}

static void takes_out_what_is_not_in_without_harm(void **state)
{
    due_node node = {0};
    due_heap heap = {0};

    (void)state;
    due_remove(&heap, &node);
    due_insert(&heap, &node, 1);
    due_remove(&heap, &node);
    due_remove(&heap, &node);
    assert_null(heap.first);
    assert_false(due_is_in(&node));
}

static void stays_flat_on_the_stack_however_many_there_are(void **state)
{
    const size_t count = 200000;
    due_node *nodes = calloc(count, sizeof(*nodes));
    due_heap heap = {0};

    (void)state;
    assert_non_null(nodes);
    for (size_t i = 0; i < count; i++) {
        due_insert(&heap, &nodes[i], (mail_time)i);
    }
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(heap.first, &nodes[i]);
        due_remove(&heap, heap.first);
    }
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_least_whatever_goes_in_and_out),
        cmocka_unit_test(takes_out_what_is_not_in_without_harm),
        cmocka_unit_test(stays_flat_on_the_stack_however_many_there_are),
    };

    return mail_test_run(tests);
}
