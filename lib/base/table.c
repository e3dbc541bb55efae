/* SPDX-License-Identifier: MIT */
#include "base/table.h"

#include <assert.h>

#include "base/mem.h"

#define FIRST_BUCKETS 16

void table_init(table *tb, const mail_mem *mem)
{
    *tb = (table){.mem = mem};
}

void table_deinit(table *tb)
{
    mem_free(tb->mem, tb->buckets, tb->bucket_count * sizeof(*tb->buckets));
    *tb = (table){.mem = tb->mem};
}

static table_entry **bucket(const table *tb, uint64_t hash)
{
    return &tb->buckets[hash & (tb->bucket_count - 1)];
}

static int resize(table *tb, size_t bucket_count)
{
    table old = *tb;

    tb->buckets = mem_alloc(tb->mem, bucket_count * sizeof(*tb->buckets));
    if (tb->buckets == NULL) {
        *tb = old;
        return MAIL_ENOMEM;
    }
    tb->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        table_entry *entry = old.buckets[i];

        while (entry != NULL) {
            table_entry *next = entry->next;
            table_entry **to = bucket(tb, entry->hash);

            entry->next = *to;
            *to = entry;
            entry = next;
        }
    }
    mem_free(tb->mem, old.buckets, old.bucket_count * sizeof(*old.buckets));
    return MAIL_OK;
}

int table_insert(table *tb, table_entry *entry, uint64_t hash)
{
    table_entry **to;

    if (tb->bucket_count == 0) {
        int code = resize(tb, FIRST_BUCKETS);

        if (code != MAIL_OK) {
            return code;
        }
    } else if (tb->count >= tb->bucket_count) {
        (void)resize(tb, tb->bucket_count * 2); /* without memory the chains grow instead */
    }
    to = bucket(tb, hash);
    entry->hash = hash;
    entry->next = *to;
    *to = entry;
    tb->count++;
    return MAIL_OK;
}

void table_remove(table *tb, table_entry *entry)
{
    table_entry **at = bucket(tb, entry->hash);

    while (*at != entry) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = entry->next;
    tb->count--;
}

static table_entry *with_hash(table_entry *entry, uint64_t hash)
{
    while (entry != NULL && entry->hash != hash) {
        entry = entry->next;
    }
    return entry;
}

table_entry *table_first(const table *tb, uint64_t hash)
{
    return tb->bucket_count > 0 ? with_hash(*bucket(tb, hash), hash) : NULL;
}

table_entry *table_next(const table_entry *entry)
{
    return with_hash(entry->next, entry->hash);
}

void table_each(table *tb, void (*fn)(table_entry *entry, void *arg), void *arg)
{
    for (size_t i = 0; i < tb->bucket_count; i++) {
        table_entry *entry = tb->buckets[i];

        while (entry != NULL) {
            table_entry *next = entry->next;

            fn(entry, arg);
            entry = next;
        }
    }
}
