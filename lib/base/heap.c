/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/mem.h"

/* Places count from 1, so that 0 can mean "not in the heap"; entry p is entries[p - 1]. */

void heap_init(heap *hp, const mail_mem *mem)
{
    *hp = (heap){.mem = mem};
}

void heap_deinit(heap *hp)
{
    mem_free(hp->mem, hp->entries, hp->capacity * sizeof(*hp->entries));
    *hp = (heap){.mem = hp->mem};
}

int heap_reserve(heap *hp, size_t count)
{
    size_t capacity = hp->capacity > 0 ? hp->capacity : 16;
    heap_entry **entries;

    if (count <= hp->capacity) {
        return MAIL_OK;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    entries = mem_resize(hp->mem, hp->entries, hp->capacity * sizeof(*entries),
                         capacity * sizeof(*entries));
    if (entries == NULL) {
        return MAIL_ENOMEM;
    }
    hp->entries = entries;
    hp->capacity = capacity;
    return MAIL_OK;
}

static void put(heap *hp, size_t place, heap_entry *entry)
{
    hp->entries[place - 1] = entry;
    entry->place = place;
}

static void sift_up(heap *hp, heap_entry *entry)
{
    size_t place = entry->place;

    while (place > 1 && hp->entries[place / 2 - 1]->key > entry->key) {
        put(hp, place, hp->entries[place / 2 - 1]);
        place /= 2;
    }
    put(hp, place, entry);
}

static void sift_down(heap *hp, heap_entry *entry)
{
    size_t place = entry->place;

    for (;;) {
        size_t child = place * 2;

        if (child > hp->count) {
            break;
        }
        if (child < hp->count && hp->entries[child]->key < hp->entries[child - 1]->key) {
            child++;
        }
        if (hp->entries[child - 1]->key >= entry->key) {
            break;
        }
        put(hp, place, hp->entries[child - 1]);
        place = child;
    }
    put(hp, place, entry);
}

int heap_set(heap *hp, heap_entry *entry, int64_t key)
{
    if (entry->place == 0) {
        int code = heap_reserve(hp, hp->count + 1);

        if (code != MAIL_OK) {
            return code;
        }
        hp->count++;
        entry->key = key;
        put(hp, hp->count, entry);
        sift_up(hp, entry);
        return MAIL_OK;
    }
    entry->key = key;
    sift_up(hp, entry);
    sift_down(hp, entry);
    return MAIL_OK;
}

void heap_remove(heap *hp, heap_entry *entry)
{
    size_t place = entry->place;
    heap_entry *last;

    if (place == 0) {
        return;
    }
    entry->place = 0;
    last = hp->entries[hp->count - 1];
    hp->count--;
    if (last != entry) {
        put(hp, place, last);
        sift_up(hp, last);
        sift_down(hp, last);
    }
}

heap_entry *heap_first(const heap *hp)
{
    return hp->count > 0 ? hp->entries[0] : NULL;
}
