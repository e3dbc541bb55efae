/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DROP_SHELF_H
#define LIB_MTA_DROP_SHELF_H

#include <mail/drop.h>

/*
 * Files of the drop folder that could not be dealt with, and can't be put out of the way either:
 * each is left alone for a while, twice as long each time, so that it neither fills the log nor
 * keeps others waiting.
 */
#define DROP_SHELF_MAX 64

typedef struct drop_shelved {
    char name[MAIL_DROP_NAME_SIZE];
    mail_time again_at;
    mail_duration pause;
    bool is_safe; /* the queue has it: all that is left is to remove it */
} drop_shelved;

typedef struct drop_shelf {
    drop_shelved items[DROP_SHELF_MAX];
    size_t count;
} drop_shelf;

/* Puts a file on the shelf, again if it was there. False: there is no place for one more. */
bool drop_shelf_put(drop_shelf *shelf, const char *name, bool is_safe, mail_time now);

/* Whether it has been there before; NULL: it has not. */
const drop_shelved *drop_shelf_find(const drop_shelf *shelf, const char *name);

/* Whether it is to be left alone now. */
bool drop_shelf_rests(const drop_shelf *shelf, const char *name, mail_time now);

/* It has gone. */
void drop_shelf_take(drop_shelf *shelf, const char *name);

/*
 * Names of which something has been said, by their hashes: each is told of once, and no more than so
 * many, until a look finds none of the kind.
 */
#define DROP_TOLD_MAX 64

typedef struct drop_told {
    uint64_t hashes[DROP_TOLD_MAX];
    size_t count;
    bool was_asked; /* in this look */
} drop_told;

/* Whether this one is to be told of; then it has been. */
bool drop_told_is_due(drop_told *told, uint64_t hash);

/* All has been looked at. */
void drop_told_end_look(drop_told *told);

#endif
