/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_TABLE_H
#define LIB_BASE_TABLE_H

#include <mail/base.h>

/*
 * A hash table of structs that embed a table_entry. It compares nothing itself: a
 * look-up walks the entries with the same 64-bit hash, and the caller compares.
 *
 *     for (e = table_first(t, hash); e != NULL; e = table_next(e)) { … }
 */
typedef struct table_entry {
    struct table_entry *next;
    uint64_t hash;
} table_entry;

typedef struct table {
    const mail_mem *mem;
    table_entry **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
} table;

void table_init(table *tb, const mail_mem *mem);
void table_deinit(table *tb); /* the entries are the caller's */

/* MAIL_ENOMEM only while the table has never held anything; growing is best effort. */
int table_insert(table *tb, table_entry *entry, uint64_t hash);

/* `entry` must be in. */
void table_remove(table *tb, table_entry *entry);

table_entry *table_first(const table *tb, uint64_t hash);
table_entry *table_next(const table_entry *entry);

/* Calls fn for every entry, which fn may remove and free. */
void table_each(table *tb, void (*fn)(table_entry *entry, void *arg), void *arg);

#endif
