/* SPDX-License-Identifier: MIT */
#include "mta/drop_shelf.h"

#include <stdio.h>

#define PAUSE     (30 * MAIL_SECOND)
#define PAUSE_MAX MAIL_HOUR

const drop_shelved *drop_shelf_find(const drop_shelf *shelf, const char *name)
{
    for (size_t i = 0; i < shelf->count; i++) {
        if (strcmp(shelf->items[i].name, name) == 0) {
            return &shelf->items[i];
        }
    }
    return NULL;
}

/*
 * A place for one more: a new one, or that of a file which nobody has met since long. One that
 * would be taken twice may have the place of one that would only be tried.
 */
static drop_shelved *make_place(drop_shelf *shelf, bool is_safe, mail_time now)
{
    if (shelf->count < DROP_SHELF_MAX) {
        return &shelf->items[shelf->count++];
    }
    for (size_t i = 0; i < shelf->count; i++) {
        if (shelf->items[i].again_at + PAUSE < now || (is_safe && !shelf->items[i].is_safe)) {
            return &shelf->items[i];
        }
    }
    return NULL;
}

bool drop_shelf_put(drop_shelf *shelf, const char *name, bool is_safe, mail_time now)
{
    drop_shelved *item = (drop_shelved *)(uintptr_t)drop_shelf_find(shelf, name);

    if (item == NULL) {
        item = make_place(shelf, is_safe, now);
        if (item == NULL) {
            return false;
        }
        *item = (drop_shelved){.pause = PAUSE / 2};
        snprintf(item->name, sizeof(item->name), "%s", name);
    }
    item->pause = item->pause * 2 < PAUSE_MAX ? item->pause * 2 : PAUSE_MAX;
    item->again_at = now + item->pause;
    item->is_safe = is_safe;
    return true;
}

bool drop_shelf_rests(const drop_shelf *shelf, const char *name, mail_time now)
{
    const drop_shelved *item = drop_shelf_find(shelf, name);

    return item != NULL && now < item->again_at;
}

void drop_shelf_take(drop_shelf *shelf, const char *name)
{
    const drop_shelved *item = drop_shelf_find(shelf, name);

    if (item != NULL) {
        shelf->items[item - shelf->items] = shelf->items[--shelf->count];
    }
}

bool drop_told_is_due(drop_told *told, uint64_t hash)
{
    told->was_asked = true;
    for (size_t i = 0; i < told->count; i++) {
        if (told->hashes[i] == hash) {
            return false;
        }
    }
    if (told->count == DROP_TOLD_MAX) {
        return false;
    }
    told->hashes[told->count++] = hash;
    return true;
}

void drop_told_end_look(drop_told *told)
{
    if (!told->was_asked) {
        told->count = 0;
    }
    told->was_asked = false;
}
