/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_DUE_H
#define LIB_QUEUE_DUE_H

#include <mail/base.h>

/*
 * A pairing heap of instants, least first, made of what it holds alone: putting
 * something in can't fail, which a queue that must never forget a message needs more
 * than speed. Adding takes constant time, taking out amortised logarithmic.
 */
typedef struct due_node {
    mail_time key;
    struct due_node *child;
    struct due_node *next; /* the next child of the same parent */
    struct due_node *prev; /* the one before, or the parent; itself when it is the root */
} due_node;

typedef struct due_heap {
    due_node *first; /* the least; NULL: empty */
    size_t count;
} due_heap;

/* A zeroed node is in no heap. */
static inline bool due_is_in(const due_node *node)
{
    return node->prev != NULL;
}

/* `node` must be in no heap. */
void due_insert(due_heap *heap, due_node *node, mail_time key);

/* Does nothing if it is not in. */
void due_remove(due_heap *heap, due_node *node);

#endif
