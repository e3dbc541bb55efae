/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULT_DISK_H
#define TESTS_FAULT_DISK_H

#include "support/support.h"

#include <stdlib.h>

#define SECTOR    512
#define NAME_SIZE 256

/*
 * The disk beneath fault_files.h: files and folders as programs see them now, and what of them is
 * safe, which is all that a loss of power leaves for sure.
 */

/* Bytes, and which of their sectors the disk has for sure. */
typedef struct content {
    char *data;
    size_t size;
    size_t capacity;
} content;

typedef struct node node;

typedef struct entry {
    struct entry *next;
    uint32_t hash;
    char name[NAME_SIZE];
    node *target;
    unsigned *counted; /* in the target: names or kept */
} entry;

/* The names of a folder, by their hash: some folders have thousands. */
#define BUCKETS 256
typedef struct names {
    size_t count;
    entry *buckets[BUCKETS];
} names;

/* A change of a folder that has not been synced. `from`: this name goes; `to`: this one comes. */
typedef struct change {
    struct change *next;
    char from[NAME_SIZE];
    char to[NAME_SIZE];
    node *target;
} change;

struct node {
    node *all_next;
    node **all_at; /* what points to it */
    uint64_t serial;
    int64_t mtime;
    bool is_dir;
    bool is_gone;   /* no name and no handle leads to it */
    unsigned names; /* that lead to it now */
    unsigned kept;  /* on the disk, or by changes that may still get there */
    content now;
    content safe;
    uint8_t *dirty; /* a byte for each sector: it may differ from the safe one */
    size_t dirty_count;
    bool is_locked;
    unsigned handles;
    names *entries;      /* of a folder, now */
    names *safe_entries; /* and on the disk */
    change *changes;
    change **last_change;
};

typedef struct fault_disk {
    uint64_t state; /* of chance */
    node *root;
    node *all;
    uint64_t used; /* octets in files that are not gone */
    uint64_t serial;
    bool is_rebooting; /* nodes are freed afterwards */
    mail_wall (*wall)(void *arg);
    void *wall_arg;
} fault_disk;

static inline void *must(void *ptr)
{
    assert_non_null(ptr);
    return ptr;
}

/* An empty one. */
void disk_init(fault_disk *disk, uint64_t seed);
void disk_deinit(fault_disk *disk);

/* The power goes and comes back: what was not safe is kept or lost by chance. No handle is open. */
void disk_reboot(fault_disk *disk);

uint64_t disk_random(fault_disk *disk);

node *disk_make_node(fault_disk *disk, bool is_dir);

/* The file now has `size` octets, the new ones zero; not safe. */
void disk_resize(fault_disk *disk, node *n, size_t size);

/* The octets from `from` to `to` are not safe any more. */
void disk_mark_dirty(node *n, uint64_t from, uint64_t to);

/* All of a file is. */
void disk_make_safe(node *n);

/* Where the entry of that name is, or would be. */
entry **disk_find(names *in, const char *name);

/* A name goes (`from`), one comes (`to`, for `target`), or both; either may be empty. Not safe. */
void disk_change_folder(fault_disk *disk, node *dir, const char *from, const char *to,
                        node *target);

/* What was changed in a folder is safe now: `all` of it, or what chance will have. */
void disk_settle(fault_disk *disk, node *dir, bool all);

/* Something that led to it has gone: perhaps it takes no room any more, or is forgotten. */
void disk_see_if_gone(fault_disk *disk, node *n);

#endif
