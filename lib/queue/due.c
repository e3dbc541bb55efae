/* SPDX-License-Identifier: MIT */
#include "queue/due.h"

#include <assert.h>

/* Joins two heaps, neither empty, whose roots have no sisters. */
static due_node *meld(due_node *a, due_node *b)
{
    if (b->key < a->key) {
        due_node *swap = a;

        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next != NULL) {
        b->next->prev = b;
    }
    b->prev = a;
    a->child = b;
    return a;
}

/* Joins a row of sisters: in pairs from the left, then all from the right. No recursion. */
static due_node *meld_row(due_node *row)
{
    due_node *pairs = NULL;
    due_node *all = NULL;

    while (row != NULL) {
        due_node *a = row;
        due_node *b = a->next;

        row = b != NULL ? b->next : NULL;
        a->next = NULL;
        if (b != NULL) {
            b->next = NULL;
            a = meld(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        due_node *next = pairs->next;

        pairs->next = NULL;
        all = all != NULL ? meld(all, pairs) : pairs;
        pairs = next;
    }
    return all;
}

static void set_root(due_heap *heap, due_node *root)
{
    heap->first = root;
    if (root != NULL) {
        root->prev = root;
        root->next = NULL;
    }
}

void due_insert(due_heap *heap, due_node *node, mail_time key)
{
    assert(!due_is_in(node));
    *node = (due_node){.key = key};
    set_root(heap, heap->first != NULL ? meld(heap->first, node) : node);
    heap->count++;
}

void due_remove(due_heap *heap, due_node *node)
{
    due_node *rest;

    if (!due_is_in(node)) {
        return;
    }
    heap->count--;
    rest = meld_row(node->child);
    if (node == heap->first) {
        set_root(heap, rest);
    } else {
        if (node->prev->child == node) {
            node->prev->child = node->next;
        } else {
            node->prev->next = node->next;
        }
        if (node->next != NULL) {
            node->next->prev = node->prev;
        }
        if (rest != NULL) {
            rest->next = NULL;
            set_root(heap, meld(heap->first, rest));
        }
    }
    *node = (due_node){0};
}
