/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_HEAP_H
#define LIB_BASE_HEAP_H

#include <mail/base.h>

/*
 * A binary heap of instants, least first. What is scheduled embeds a heap_entry,
 * which knows its place, so that it can be moved or taken out.
 */
typedef struct heap_entry {
    int64_t key;
    size_t place; /* in the heap, from 1; 0: not in it */
} heap_entry;

typedef struct heap {
    const mail_mem *mem;
    heap_entry **entries;
    size_t count;
    size_t capacity;
} heap;

void heap_init(heap *hp, const mail_mem *mem);
void heap_deinit(heap *hp); /* the entries are the caller's */

/* Makes room for `count` entries in all, after which inserting them can't fail. */
int heap_reserve(heap *hp, size_t count);

/* Inserts `entry` with `key`, or moves it if it is in already. MAIL_ENOMEM only when it was not. */
int heap_set(heap *hp, heap_entry *entry, int64_t key);

/* Does nothing if it is not in. */
void heap_remove(heap *hp, heap_entry *entry);

/* The least, or NULL. */
heap_entry *heap_first(const heap *hp);

#endif
