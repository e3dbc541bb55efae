/* SPDX-License-Identifier: MIT */
#include "support/fault_disk.h"

uint64_t disk_random(fault_disk *disk)
{
    disk->state ^= disk->state << 13;
    disk->state ^= disk->state >> 7;
    disk->state ^= disk->state << 17;
    return disk->state * 0x2545f4914f6cdd1dU;
}

static bool toss(fault_disk *disk)
{
    return disk_random(disk) >> 63 != 0;
}

static int64_t now_of(const fault_disk *disk)
{
    return disk->wall != NULL ? disk->wall(disk->wall_arg) : 0;
}

node *disk_make_node(fault_disk *disk, bool is_dir)
{
    node *made = must(calloc(1, sizeof(*made)));

    made->is_dir = is_dir;
    made->entries = is_dir ? must(calloc(1, sizeof(names))) : NULL;
    made->safe_entries = is_dir ? must(calloc(1, sizeof(names))) : NULL;
    made->last_change = &made->changes;
    made->serial = ++disk->serial;
    made->mtime = now_of(disk);
    made->all_next = disk->all;
    made->all_at = &disk->all;
    if (disk->all != NULL) {
        disk->all->all_at = &made->all_next;
    }
    disk->all = made;
    return made;
}

static void resize_content(content *c, size_t size)
{
    if (size > c->capacity) {
        size_t capacity = size < 4096 ? 4096 : size + size / 2;

        c->data = must(realloc(c->data, capacity));
        memset(c->data + c->capacity, 0, capacity - c->capacity);
        c->capacity = capacity;
    }
    if (size < c->size) {
        memset(c->data + size, 0, c->size - size);
    }
    c->size = size;
}

/* The contents that programs see, and the room they take. */
void disk_resize(fault_disk *disk, node *n, size_t size)
{
    if (!n->is_gone) {
        disk->used += size;
        disk->used -= n->now.size;
    }
    n->mtime = now_of(disk);
    resize_content(&n->now, size);
}

void disk_mark_dirty(node *n, uint64_t from, uint64_t to)
{
    size_t need = (size_t)((to + SECTOR - 1) / SECTOR);

    if (need > n->dirty_count) {
        n->dirty = must(realloc(n->dirty, need));
        memset(n->dirty + n->dirty_count, 0, need - n->dirty_count);
        n->dirty_count = need;
    }
    for (size_t i = (size_t)(from / SECTOR); i < need; i++) {
        n->dirty[i] = 1;
    }
}

/* Copies a sector between two contents, as far as both reach. */
static void copy_sector(content *to, const content *from, size_t sector)
{
    size_t at = sector * SECTOR;
    size_t length = at < to->size ? to->size - at : 0;
    size_t has = at < from->size ? from->size - at : 0;

    length = length < SECTOR ? length : SECTOR;
    has = has < length ? has : length;
    if (length > 0) {
        memset(to->data + at, 0, length);
    }
    if (has > 0) {
        memcpy(to->data + at, from->data + at, has);
    }
}

void disk_make_safe(node *n)
{
    resize_content(&n->safe, n->now.size);
    for (size_t i = 0; i < n->dirty_count; i++) {
        if (n->dirty[i] == 1) { /* 2: an earlier sync failed, and this one knows nothing of it */
            copy_sector(&n->safe, &n->now, i);
            n->dirty[i] = 0;
        }
    }
}

static void lose_some(fault_disk *disk, node *n)
{
    size_t size = n->now.size != n->safe.size && toss(disk) ? n->now.size : n->safe.size;

    resize_content(&n->safe, size);
    for (size_t i = 0; i < n->dirty_count; i++) {
        if (n->dirty[i] != 0 && toss(disk)) {
            copy_sector(&n->safe, &n->now, i);
        }
    }
    free(n->dirty);
    n->dirty = NULL;
    n->dirty_count = 0;
    disk_resize(disk, n, 0);
    disk_resize(disk, n, n->safe.size);
    if (n->safe.size > 0) {
        memcpy(n->now.data, n->safe.data, n->safe.size);
    }
}

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261U;

    while (*name != '\0') {
        hash = (hash ^ (unsigned char)*name++) * 16777619U;
    }
    return hash;
}

entry **disk_find(names *in, const char *name)
{
    uint32_t hash = hash_name(name);
    entry **at = &in->buckets[hash % BUCKETS];

    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->name, name) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static void free_node(node *n)
{
    *n->all_at = n->all_next;
    if (n->all_next != NULL) {
        n->all_next->all_at = n->all_at;
    }
    free(n->now.data);
    free(n->safe.data);
    free(n->dirty);
    free(n->entries);
    free(n->safe_entries);
    free(n);
}

void disk_see_if_gone(fault_disk *disk, node *n)
{
    bool is_gone = n->names == 0 && n->handles == 0 && n != disk->root;

    if (disk->is_rebooting) {
        return;
    }
    if (is_gone != n->is_gone) {
        disk->used += is_gone ? -n->now.size : n->now.size;
        n->is_gone = is_gone;
    }
    if (is_gone && n->kept == 0 && !n->is_dir) {
        free_node(n);
    }
}

static void drop_entry(fault_disk *disk, names *from, const char *name)
{
    entry **at = disk_find(from, name);
    entry *gone = *at;

    if (gone != NULL) {
        *at = gone->next;
        from->count--;
        --*gone->counted;
        disk_see_if_gone(disk, gone->target);
        free(gone);
    }
}

/* A name that is not there yet. */
static void add_entry(names *to, const char *name, node *target, unsigned *counted)
{
    entry **bucket;
    entry *made = must(calloc(1, sizeof(*made)));

    to->count++;
    ++*counted;
    snprintf(made->name, sizeof(made->name), "%s", name);
    made->hash = hash_name(made->name);
    made->target = target;
    made->counted = counted;
    bucket = &to->buckets[made->hash % BUCKETS];
    made->next = *bucket;
    *bucket = made;
}

static void put_entry(fault_disk *disk, names *to, const char *name, node *target,
                      unsigned *counted)
{
    ++*counted; /* it may be the same */
    drop_entry(disk, to, name);
    add_entry(to, name, target, counted);
    --*counted;
}

void disk_change_folder(fault_disk *disk, node *dir, const char *from, const char *to, node *target)
{
    change *made = must(calloc(1, sizeof(*made)));

    snprintf(made->from, sizeof(made->from), "%s", from);
    snprintf(made->to, sizeof(made->to), "%s", to);
    made->target = target;
    if (target != NULL) {
        target->kept++;
    }
    *dir->last_change = made;
    dir->last_change = &made->next;
    if (made->from[0] != '\0') {
        drop_entry(disk, dir->entries, made->from);
    }
    if (made->to[0] != '\0') {
        put_entry(disk, dir->entries, made->to, target, &target->names);
    }
}

static void settle_change(fault_disk *disk, node *dir, const change *c)
{
    if (c->from[0] != '\0') {
        drop_entry(disk, dir->safe_entries, c->from);
    }
    if (c->to[0] != '\0') {
        put_entry(disk, dir->safe_entries, c->to, c->target, &c->target->kept);
    }
}

/* Makes the changes safe, all or (after a crash) some. */
void disk_settle(fault_disk *disk, node *dir, bool all)
{
    while (dir->changes != NULL) {
        change *c = dir->changes;

        if (all || toss(disk)) {
            settle_change(disk, dir, c);
        }
        dir->changes = c->next;
        if (c->target != NULL) {
            c->target->kept--;
            disk_see_if_gone(disk, c->target);
        }
        free(c);
    }
    dir->last_change = &dir->changes;
}

static void free_entries(fault_disk *disk, names *in)
{
    for (size_t i = 0; in != NULL && i < BUCKETS; i++) {
        while (in->buckets[i] != NULL) {
            drop_entry(disk, in, in->buckets[i]->name);
        }
    }
}

static void reboot_node(fault_disk *disk, node *n)
{
    n->handles = 0;
    n->is_locked = false;
    if (!n->is_dir) {
        lose_some(disk, n);
        return;
    }
    disk_settle(disk, n, false);
    free_entries(disk, n->entries);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const entry *e = n->safe_entries->buckets[i]; e != NULL; e = e->next) {
            add_entry(n->entries, e->name, e->target, &e->target->names);
        }
    }
}

void disk_init(fault_disk *disk, uint64_t seed)
{
    *disk = (fault_disk){.state = seed * 0x9e3779b97f4a7c15U + 1};
    disk->root = disk_make_node(disk, true);
}

void disk_deinit(fault_disk *disk)
{
    disk->is_rebooting = true;
    for (node *n = disk->all; n != NULL; n = n->all_next) {
        disk_settle(disk, n, true);
        free_entries(disk, n->entries);
        free_entries(disk, n->safe_entries);
    }
    while (disk->all != NULL) {
        free_node(disk->all);
    }
}

void disk_reboot(fault_disk *disk)
{
    node *next;

    disk->is_rebooting = true;
    for (node *n = disk->all; n != NULL; n = n->all_next) {
        reboot_node(disk, n);
    }
    disk->is_rebooting = false;
    for (node *n = disk->all; n != NULL; n = next) {
        next = n->all_next;
        disk_see_if_gone(disk, n);
    }
}
