/* SPDX-License-Identifier: MIT */
#include "support/fault_files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/support.h"

#define SECTOR    512
#define FIRST_FD  1000
#define HANDLES   512
#define NAME_SIZE 256
#define NO_LIMIT  ((uint64_t)1 << 40)

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

typedef struct handle {
    node *target;
    bool has_lock;
} handle;

struct fault_files {
    mail_files files;
    mail_random random;
    uint64_t state;
    node *root;
    node *all;
    handle handles[HANDLES];
    size_t handle_count; /* open */
    uint64_t capacity;
    bool short_writes;
    uint64_t used; /* octets in files that are not gone */
    uint64_t serial;
    bool is_rebooting; /* nodes are freed afterwards */
    mail_wall (*wall)(void *arg);
    void *wall_arg;
    uint64_t operations;
    uint64_t crash_at;
    bool has_crashed;
    fault_fn *fn;
    void *arg;
};

static void *must(void *ptr)
{
    assert_non_null(ptr);
    return ptr;
}

static uint64_t next_random(fault_files *fs)
{
    fs->state ^= fs->state << 13;
    fs->state ^= fs->state >> 7;
    fs->state ^= fs->state << 17;
    return fs->state * 0x2545f4914f6cdd1dU;
}

static bool toss(fault_files *fs)
{
    return next_random(fs) >> 63 != 0;
}

static void fill_random(void *arg, void *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((char *)to)[i] = (char)(next_random(arg) >> 40);
    }
}

static fault_files *of(const mail_files *files)
{
    return (fault_files *)(uintptr_t)files;
}

/* Nodes */

static int64_t now_of(const fault_files *fs)
{
    return fs->wall != NULL ? fs->wall(fs->wall_arg) : 0;
}

static node *make_node(fault_files *fs, bool is_dir)
{
    node *made = must(calloc(1, sizeof(*made)));

    made->is_dir = is_dir;
    made->entries = is_dir ? must(calloc(1, sizeof(names))) : NULL;
    made->safe_entries = is_dir ? must(calloc(1, sizeof(names))) : NULL;
    made->last_change = &made->changes;
    made->serial = ++fs->serial;
    made->mtime = now_of(fs);
    made->all_next = fs->all;
    made->all_at = &fs->all;
    if (fs->all != NULL) {
        fs->all->all_at = &made->all_next;
    }
    fs->all = made;
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
static void resize_now(fault_files *fs, node *n, size_t size)
{
    if (!n->is_gone) {
        fs->used += size;
        fs->used -= n->now.size;
    }
    n->mtime = now_of(fs);
    resize_content(&n->now, size);
}

static void mark_dirty(node *n, uint64_t from, uint64_t to)
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

static void make_safe(node *n)
{
    resize_content(&n->safe, n->now.size);
    for (size_t i = 0; i < n->dirty_count; i++) {
        if (n->dirty[i] == 1) { /* 2: an earlier sync failed, and this one knows nothing of it */
            copy_sector(&n->safe, &n->now, i);
            n->dirty[i] = 0;
        }
    }
}

static void lose_some(fault_files *fs, node *n)
{
    size_t size = n->now.size != n->safe.size && toss(fs) ? n->now.size : n->safe.size;

    resize_content(&n->safe, size);
    for (size_t i = 0; i < n->dirty_count; i++) {
        if (n->dirty[i] != 0 && toss(fs)) {
            copy_sector(&n->safe, &n->now, i);
        }
    }
    free(n->dirty);
    n->dirty = NULL;
    n->dirty_count = 0;
    resize_now(fs, n, 0);
    resize_now(fs, n, n->safe.size);
    if (n->safe.size > 0) {
        memcpy(n->now.data, n->safe.data, n->safe.size);
    }
}

/* Folders */

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261U;

    while (*name != '\0') {
        hash = (hash ^ (unsigned char)*name++) * 16777619U;
    }
    return hash;
}

static entry **find_entry(names *in, const char *name)
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

/* Something that led to it has gone: perhaps it takes no room any more, or is forgotten. */
static void see_if_gone(fault_files *fs, node *n)
{
    bool is_gone = n->names == 0 && n->handles == 0 && n != fs->root;

    if (fs->is_rebooting) {
        return;
    }
    if (is_gone != n->is_gone) {
        fs->used += is_gone ? -n->now.size : n->now.size;
        n->is_gone = is_gone;
    }
    if (is_gone && n->kept == 0 && !n->is_dir) {
        free_node(n);
    }
}

static void drop_entry(fault_files *fs, names *from, const char *name)
{
    entry **at = find_entry(from, name);
    entry *gone = *at;

    if (gone != NULL) {
        *at = gone->next;
        from->count--;
        --*gone->counted;
        see_if_gone(fs, gone->target);
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

static void put_entry(fault_files *fs, names *to, const char *name, node *target, unsigned *counted)
{
    ++*counted; /* it may be the same */
    drop_entry(fs, to, name);
    add_entry(to, name, target, counted);
    --*counted;
}

static void change_folder(fault_files *fs, node *dir, const char *from, const char *to,
                          node *target)
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
        drop_entry(fs, dir->entries, made->from);
    }
    if (made->to[0] != '\0') {
        put_entry(fs, dir->entries, made->to, target, &target->names);
    }
}

static void settle_change(fault_files *fs, node *dir, const change *c)
{
    if (c->from[0] != '\0') {
        drop_entry(fs, dir->safe_entries, c->from);
    }
    if (c->to[0] != '\0') {
        put_entry(fs, dir->safe_entries, c->to, c->target, &c->target->kept);
    }
}

/* Makes the changes safe, all or (after a crash) some. */
static void settle_changes(fault_files *fs, node *dir, bool all)
{
    while (dir->changes != NULL) {
        change *c = dir->changes;

        if (all || toss(fs)) {
            settle_change(fs, dir, c);
        }
        dir->changes = c->next;
        if (c->target != NULL) {
            c->target->kept--;
            see_if_gone(fs, c->target);
        }
        free(c);
    }
    dir->last_change = &dir->changes;
}

static void free_entries(fault_files *fs, names *in)
{
    for (size_t i = 0; in != NULL && i < BUCKETS; i++) {
        while (in->buckets[i] != NULL) {
            drop_entry(fs, in, in->buckets[i]->name);
        }
    }
}

/* Operations */

/* What every operation that changes something begins with. */
static int begin(fault_files *fs, fault_op op, const char *name)
{
    int code;

    if (fs->has_crashed) {
        return -EIO;
    }
    code = fs->fn != NULL ? fs->fn(op, name, fs->arg) : 0;
    if (code < 0 || op == FAULT_READ) {
        return code;
    }
    fs->operations++;
    return 0;
}

/* … and ends with: it was done, and then the power went. */
static void end(fault_files *fs)
{
    if (fs->crash_at != 0 && fs->operations >= fs->crash_at) {
        fs->has_crashed = true;
    }
}

static handle *handle_of(fault_files *fs, int fd)
{
    assert_in_range(fd, FIRST_FD, FIRST_FD + HANDLES - 1);
    assert_non_null(fs->handles[fd - FIRST_FD].target);
    return &fs->handles[fd - FIRST_FD];
}

static int make_handle(fault_files *fs, node *target)
{
    for (int i = 0; i < HANDLES; i++) {
        if (fs->handles[i].target == NULL) {
            fs->handles[i] = (handle){.target = target};
            fs->handle_count++;
            target->handles++;
            return FIRST_FD + i;
        }
    }
    return -EMFILE;
}

/* The folder that `name` starts from, and the last component of the name. */
static node *resolve(fault_files *fs, int dir, const char *name, char last[NAME_SIZE])
{
    node *at = dir == FILE_CWD ? fs->root : handle_of(fs, dir)->target;

    for (;;) {
        size_t length;
        entry *found;

        while (*name == '/') {
            name++;
        }
        length = strcspn(name, "/");
        snprintf(last, NAME_SIZE, "%.*s", (int)length, name);
        if (name[length] == '\0') {
            return at;
        }
        found = *find_entry(at->entries, last);
        if (strcmp(last, ".") != 0) {
            if (found == NULL || !found->target->is_dir) {
                return NULL;
            }
            at = found->target;
        }
        name += length;
    }
}

static node *look_up(fault_files *fs, int dir, const char *name)
{
    char last[NAME_SIZE];
    node *folder = resolve(fs, dir, name, last);
    entry *found;

    if (folder == NULL || last[0] == '\0' || strcmp(last, ".") == 0) {
        return folder;
    }
    found = *find_entry(folder->entries, last);
    return found != NULL ? found->target : NULL;
}

static int fault_open(const mail_files *files, int dir, const char *name, int flags)
{
    fault_files *fs = of(files);
    char last[NAME_SIZE];
    node *folder = resolve(fs, dir, name, last);
    entry *found;
    int code;

    if (fs->has_crashed || folder == NULL) {
        return fs->has_crashed ? -EIO : -ENOENT;
    }
    found = *find_entry(folder->entries, last);
    if (found == NULL && (flags & FILE_CREATE) == 0) {
        return -ENOENT;
    }
    if (found != NULL && (flags & FILE_NEW)) {
        return -EEXIST;
    }
    if (found == NULL || (flags & FILE_TRUNCATE)) {
        code = begin(fs, FAULT_OPEN, name);
        if (code < 0) {
            return code;
        }
        if (found == NULL) {
            change_folder(fs, folder, "", last, make_node(fs, false));
            found = *find_entry(folder->entries, last);
        } else {
            mark_dirty(found->target, 0, found->target->now.size);
            resize_now(fs, found->target, 0);
        }
        end(fs);
    }
    return make_handle(fs, found->target);
}

static int fault_open_dir(const mail_files *files, int dir, const char *name)
{
    fault_files *fs = of(files);
    node *target = fs->has_crashed ? NULL : look_up(fs, dir, name);

    if (target == NULL) {
        return fs->has_crashed ? -EIO : -ENOENT;
    }
    return target->is_dir ? make_handle(fs, target) : -ENOTDIR;
}

static void fault_close(const mail_files *files, int fd)
{
    handle *h = handle_of(of(files), fd);
    node *target = h->target;

    if (h->has_lock) {
        target->is_locked = false;
    }
    target->handles--;
    *h = (handle){0};
    of(files)->handle_count--;
    see_if_gone(of(files), target);
}

static ssize_t fault_read(const mail_files *files, int fd, void *to, size_t size, uint64_t offset)
{
    node *n = handle_of(of(files), fd)->target;
    int code = begin(of(files), FAULT_READ, NULL);

    if (code < 0) {
        return code;
    }
    if (offset >= n->now.size) {
        return 0;
    }
    size = size < n->now.size - offset ? size : n->now.size - (size_t)offset;
    memcpy(to, n->now.data + offset, size);
    return (ssize_t)size;
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t length = 0;

    for (int i = 0; i < count; i++) {
        length += parts[i].iov_len;
    }
    return length;
}

/* How much of a write the disk takes. */
static size_t taken(fault_files *fs, const node *n, size_t length, uint64_t offset)
{
    uint64_t room = fs->capacity > fs->used ? fs->capacity - fs->used : 0;
    uint64_t limit = n->now.size + room;

    if (offset + length > limit) {
        length = offset < limit ? (size_t)(limit - offset) : 0;
    }
    if (fs->short_writes && length > 1) {
        length = 1 + (size_t)(next_random(fs) % length);
    }
    return length;
}

static ssize_t fault_write(const mail_files *files, int fd, const struct iovec *parts, int count,
                           uint64_t offset)
{
    fault_files *fs = of(files);
    node *n = handle_of(fs, fd)->target;
    size_t want = length_of(parts, count);
    size_t left;
    size_t length;
    int code = begin(fs, FAULT_WRITE, NULL);

    if (code < 0 || want == 0) {
        return code;
    }
    length = left = taken(fs, n, want, offset);
    if (length == 0) {
        return -ENOSPC;
    }
    if (offset + length > n->now.size) {
        resize_now(fs, n, (size_t)offset + length);
    }
    mark_dirty(n, offset, offset + length);
    for (int i = 0; left > 0; i++) {
        size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;

        if (part > 0) { /* an empty one may be nowhere */
            memcpy(n->now.data + offset + (length - left), parts[i].iov_base, part);
            left -= part;
        }
    }
    end(fs);
    return (ssize_t)length;
}

static void give_up_dirty(node *n)
{
    for (size_t i = 0; i < n->dirty_count; i++) {
        n->dirty[i] = n->dirty[i] != 0 ? 2 : 0;
    }
}

static void fault_begin_sync(const mail_files *files, int fd)
{
    (void)handle_of(of(files), fd);
}

static int fault_sync(const mail_files *files, int fd)
{
    fault_files *fs = of(files);
    node *n = handle_of(fs, fd)->target;
    int code = begin(fs, FAULT_SYNC, NULL);

    if (code < 0) {
        give_up_dirty(n);
        return code;
    }
    make_safe(n);
    settle_changes(fs, n, true);
    end(fs);
    return 0;
}

static int fault_truncate(const mail_files *files, int fd, uint64_t size)
{
    fault_files *fs = of(files);
    node *n = handle_of(fs, fd)->target;
    int code = begin(fs, FAULT_TRUNCATE, NULL);

    if (code < 0) {
        return code;
    }
    mark_dirty(n, size < n->now.size ? size : n->now.size, size);
    resize_now(fs, n, (size_t)size);
    end(fs);
    return 0;
}

static int fault_allocate(const mail_files *files, int fd, uint64_t offset, uint64_t size)
{
    fault_files *fs = of(files);
    node *n = handle_of(fs, fd)->target;
    int code = begin(fs, FAULT_ALLOCATE, NULL);

    if (code < 0) {
        return code;
    }
    if (offset + size > n->now.size) {
        if (fs->used + (offset + size - n->now.size) > fs->capacity) {
            return -ENOSPC;
        }
        mark_dirty(n, n->now.size, offset + size);
        resize_now(fs, n, (size_t)(offset + size));
    }
    end(fs);
    return 0;
}

static void fill_info(const node *n, file_info *out)
{
    *out = (file_info){
        .size = n->now.size,
        .inode = n->serial,
        .mtime = n->mtime,
        .links = n->names,
        .owner = geteuid(),
        .mode = n->is_dir ? 0700 : 0600,
        .is_file = !n->is_dir,
        .is_dir = n->is_dir,
    };
}

static int fault_info(const mail_files *files, int fd, file_info *out)
{
    if (of(files)->has_crashed) {
        return -EIO;
    }
    fill_info(handle_of(of(files), fd)->target, out);
    return 0;
}

static int fault_info_at(const mail_files *files, int dir, const char *name, file_info *out)
{
    node *n = of(files)->has_crashed ? NULL : look_up(of(files), dir, name);

    if (n == NULL) {
        return of(files)->has_crashed ? -EIO : -ENOENT;
    }
    fill_info(n, out);
    return 0;
}

static int rename_or_link(const mail_files *files, int from_dir, const char *from, int to_dir,
                          const char *to, bool keeps_old)
{
    fault_files *fs = of(files);
    char old[NAME_SIZE];
    char new[NAME_SIZE];
    node *source = resolve(fs, from_dir, from, old);
    node *folder = resolve(fs, to_dir, to, new);
    entry *found = source != NULL ? *find_entry(source->entries, old) : NULL;
    entry *there = folder != NULL ? *find_entry(folder->entries, new) : NULL;
    node *target;
    int code;

    if (found == NULL || folder == NULL) {
        return -ENOENT;
    }
    if (keeps_old && there != NULL) {
        return -EEXIST;
    }
    code = begin(fs, FAULT_RENAME, from);
    if (code < 0) {
        return code;
    }
    target = found->target;
    if (source == folder && !keeps_old) {
        change_folder(fs, folder, old, new, target);
    } else {
        change_folder(fs, folder, "", new, target);
        if (!keeps_old) {
            change_folder(fs, source, old, "", NULL);
        }
    }
    end(fs);
    return 0;
}

static int fault_rename(const mail_files *files, int from_dir, const char *from, int to_dir,
                        const char *to)
{
    return rename_or_link(files, from_dir, from, to_dir, to, false);
}

static int fault_link(const mail_files *files, int from_dir, const char *from, int to_dir,
                      const char *to)
{
    return rename_or_link(files, from_dir, from, to_dir, to, true);
}

static int fault_unlink(const mail_files *files, int dir, const char *name)
{
    fault_files *fs = of(files);
    char last[NAME_SIZE];
    node *folder = resolve(fs, dir, name, last);
    entry *found = folder != NULL ? *find_entry(folder->entries, last) : NULL;
    int code;

    if (found == NULL) {
        return -ENOENT;
    }
    code = begin(fs, FAULT_UNLINK, name);
    if (code < 0) {
        return code;
    }
    change_folder(fs, folder, last, "", NULL);
    end(fs);
    return 0;
}

static int fault_make_dir(const mail_files *files, int dir, const char *name)
{
    fault_files *fs = of(files);
    char last[NAME_SIZE];
    node *folder = resolve(fs, dir, name, last);
    int code;

    if (folder == NULL) {
        return -ENOENT;
    }
    if (*find_entry(folder->entries, last) != NULL) {
        return -EEXIST;
    }
    code = begin(fs, FAULT_MAKE_DIR, name);
    if (code < 0) {
        return code;
    }
    change_folder(fs, folder, "", last, make_node(fs, true));
    end(fs);
    return 0;
}

static int fault_list(const mail_files *files, int dir, int (*fn)(const char *name, void *arg),
                      void *arg)
{
    fault_files *fs = of(files);
    const names *in = handle_of(fs, dir)->target->entries;
    int code = fs->has_crashed ? -EIO : 0;

    for (size_t i = 0; in->count > 0 && code == 0 && i < BUCKETS; i++) {
        const entry *at = in->buckets[i];

        while (at != NULL && code == 0) {
            char name[NAME_SIZE];

            memcpy(name, at->name, sizeof(name));
            at = at->next; /* fn may remove this one */
            code = fn(name, arg);
        }
    }
    return code;
}

static int fault_lock(const mail_files *files, int fd)
{
    handle *h = handle_of(of(files), fd);

    if (of(files)->has_crashed) {
        return -EIO;
    }
    if (h->target->is_locked) {
        return -EAGAIN;
    }
    h->target->is_locked = true;
    h->has_lock = true;
    return 0;
}

static int fault_free_bytes(const mail_files *files, int dir, uint64_t *out)
{
    fault_files *fs = of(files);

    (void)dir;
    *out = fs->capacity > fs->used ? fs->capacity - fs->used : 0;
    return fs->has_crashed ? -EIO : 0;
}

static const mail_files_ops fault_ops = {
    .open = fault_open,
    .open_dir = fault_open_dir,
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .begin_sync = fault_begin_sync,
    .sync_data = fault_sync,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .allocate = fault_allocate,
    .info = fault_info,
    .info_at = fault_info_at,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .make_dir = fault_make_dir,
    .list = fault_list,
    .lock = fault_lock,
    .free_bytes = fault_free_bytes,
};

fault_files *fault_files_create(uint64_t seed)
{
    fault_files *fs = must(calloc(1, sizeof(*fs)));

    fs->files.ops = &fault_ops;
    fs->random = (mail_random){fill_random, fs};
    fs->state = seed * 0x9e3779b97f4a7c15U + 1;
    fs->capacity = NO_LIMIT;
    fs->root = make_node(fs, true);
    return fs;
}

void fault_files_destroy(fault_files *fs)
{
    if (fs == NULL) {
        return;
    }
    fs->is_rebooting = true;
    for (node *n = fs->all; n != NULL; n = n->all_next) {
        settle_changes(fs, n, true);
        free_entries(fs, n->entries);
        free_entries(fs, n->safe_entries);
    }
    while (fs->all != NULL) {
        free_node(fs->all);
    }
    free(fs);
}

const mail_files *fault_files_table(fault_files *fs)
{
    return &fs->files;
}

const mail_random *fault_files_random(fault_files *fs)
{
    return &fs->random;
}

void fault_files_set(fault_files *fs, fault_fn *fn, void *arg)
{
    fs->fn = fn;
    fs->arg = arg;
}

void fault_files_set_capacity(fault_files *fs, uint64_t bytes)
{
    fs->capacity = bytes;
}

void fault_files_set_short_writes(fault_files *fs, bool on)
{
    fs->short_writes = on;
}

void fault_files_crash_after(fault_files *fs, uint64_t operations)
{
    fs->crash_at = operations > 0 ? fs->operations + operations : 0;
}

bool fault_files_has_crashed(const fault_files *fs)
{
    return fs->has_crashed;
}

uint64_t fault_files_operations(const fault_files *fs)
{
    return fs->operations;
}

void fault_files_crash(fault_files *fs)
{
    fs->has_crashed = true;
}

void fault_files_set_clock(fault_files *fs, mail_wall (*wall)(void *arg), void *arg)
{
    fs->wall = wall;
    fs->wall_arg = arg;
}

static void reboot_node(fault_files *fs, node *n)
{
    n->handles = 0;
    n->is_locked = false;
    if (!n->is_dir) {
        lose_some(fs, n);
        return;
    }
    settle_changes(fs, n, false);
    free_entries(fs, n->entries);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const entry *e = n->safe_entries->buckets[i]; e != NULL; e = e->next) {
            add_entry(n->entries, e->name, e->target, &e->target->names);
        }
    }
}

void fault_files_reboot(fault_files *fs)
{
    node *next;

    memset(fs->handles, 0, sizeof(fs->handles));
    fs->has_crashed = false;
    fs->crash_at = 0;
    fs->is_rebooting = true;
    for (node *n = fs->all; n != NULL; n = n->all_next) {
        reboot_node(fs, n);
    }
    fs->is_rebooting = false;
    for (node *n = fs->all; n != NULL; n = next) {
        next = n->all_next;
        see_if_gone(fs, n);
    }
}

size_t fault_files_handles(const fault_files *fs)
{
    return fs->handle_count;
}

bool fault_files_damage(fault_files *fs, const char *path, uint64_t offset)
{
    node *n = look_up(fs, FILE_CWD, path);

    if (n == NULL || n->is_dir || offset >= n->now.size) {
        return false;
    }
    n->now.data[offset] ^= 0x40;
    if (offset < n->safe.size) {
        n->safe.data[offset] ^= 0x40;
    }
    return true;
}
