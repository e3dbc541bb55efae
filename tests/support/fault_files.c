/* SPDX-License-Identifier: MIT */
#include "support/fault_files.h"

#include <errno.h>
#include <unistd.h>

#include "support/fault_disk.h"

#define FIRST_FD 1000
#define HANDLES  512
#define NO_LIMIT ((uint64_t)1 << 40)

typedef struct handle {
    node *target;
    bool has_lock;
} handle;

struct fault_files {
    mail_files files;
    mail_random random;
    fault_disk disk;
    handle handles[HANDLES];
    size_t handle_count; /* open */
    uint64_t capacity;
    bool short_writes;
    uint64_t operations;
    uint64_t crash_at;
    bool has_crashed;
    fault_fn *fn;
    void *arg;
};

static void fill_random(void *arg, void *to, size_t size)
{
    fault_files *fs = arg;

    for (size_t i = 0; i < size; i++) {
        ((char *)to)[i] = (char)(disk_random(&fs->disk) >> 40);
    }
}

static fault_files *of(const mail_files *files)
{
    return (fault_files *)(uintptr_t)files;
}

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
    node *at = dir == FILE_CWD ? fs->disk.root : handle_of(fs, dir)->target;

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
        found = *disk_find(at->entries, last);
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
    found = *disk_find(folder->entries, last);
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
    found = *disk_find(folder->entries, last);
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
            disk_change_folder(&fs->disk, folder, "", last, disk_make_node(&fs->disk, false));
            found = *disk_find(folder->entries, last);
        } else {
            disk_mark_dirty(found->target, 0, found->target->now.size);
            disk_resize(&fs->disk, found->target, 0);
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
    disk_see_if_gone(&of(files)->disk, target);
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
    uint64_t room = fs->capacity > fs->disk.used ? fs->capacity - fs->disk.used : 0;
    uint64_t limit = n->now.size + room;

    if (offset + length > limit) {
        length = offset < limit ? (size_t)(limit - offset) : 0;
    }
    if (fs->short_writes && length > 1) {
        length = 1 + (size_t)(disk_random(&fs->disk) % length);
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
        disk_resize(&fs->disk, n, (size_t)offset + length);
    }
    disk_mark_dirty(n, offset, offset + length);
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
    disk_make_safe(n);
    disk_settle(&fs->disk, n, true);
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
    disk_mark_dirty(n, size < n->now.size ? size : n->now.size, size);
    disk_resize(&fs->disk, n, (size_t)size);
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
        if (fs->disk.used + (offset + size - n->now.size) > fs->capacity) {
            return -ENOSPC;
        }
        disk_mark_dirty(n, n->now.size, offset + size);
        disk_resize(&fs->disk, n, (size_t)(offset + size));
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
    entry *found = source != NULL ? *disk_find(source->entries, old) : NULL;
    entry *there = folder != NULL ? *disk_find(folder->entries, new) : NULL;
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
        disk_change_folder(&fs->disk, folder, old, new, target);
    } else {
        disk_change_folder(&fs->disk, folder, "", new, target);
        if (!keeps_old) {
            disk_change_folder(&fs->disk, source, old, "", NULL);
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
    entry *found = folder != NULL ? *disk_find(folder->entries, last) : NULL;
    int code;

    if (found == NULL) {
        return -ENOENT;
    }
    code = begin(fs, FAULT_UNLINK, name);
    if (code < 0) {
        return code;
    }
    disk_change_folder(&fs->disk, folder, last, "", NULL);
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
    if (*disk_find(folder->entries, last) != NULL) {
        return -EEXIST;
    }
    code = begin(fs, FAULT_MAKE_DIR, name);
    if (code < 0) {
        return code;
    }
    disk_change_folder(&fs->disk, folder, "", last, disk_make_node(&fs->disk, true));
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
    *out = fs->capacity > fs->disk.used ? fs->capacity - fs->disk.used : 0;
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
    fs->capacity = NO_LIMIT;
    disk_init(&fs->disk, seed);
    return fs;
}

void fault_files_destroy(fault_files *fs)
{
    if (fs != NULL) {
        disk_deinit(&fs->disk);
        free(fs);
    }
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
    fs->disk.wall = wall;
    fs->disk.wall_arg = arg;
}

void fault_files_reboot(fault_files *fs)
{
    memset(fs->handles, 0, sizeof(fs->handles));
    fs->has_crashed = false;
    fs->crash_at = 0;
    disk_reboot(&fs->disk);
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
