/* SPDX-License-Identifier: MIT */
/*
 * An open Maildir. Other programs may move a message from new to cur and rename it to
 * change its flags at any time; what stays is the base of its name, by which it is found
 * again. Nothing but a lock file is written until messages are removed.
 */
#include "store/maildir.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

#define LOCK_NAME "session.lock"

/* A listing under which files vanished is repeated: they may only have been renamed. */
#define MAX_LISTINGS 3

/* The size of a message is not known from its name. */
#define UNKNOWN UINT64_MAX

typedef enum folder {
    NEW,
    CUR,
    FOLDER_COUNT,
} folder;

typedef struct item {
    uint64_t time; /* the list is in order of time, then of bases */
    char *name;    /* as it is now, or was a moment ago */
    size_t base_length;
    uint64_t size; /* in wire form, or UNKNOWN */
    folder in;
    char id[MAIL_MESSAGE_ID_MAX + 1];
} item;

typedef struct maildir_mailbox {
    mail_mailbox box;
    maildir *md;
    int lock;
    int folders[FOLDER_COUNT];
    item *items;
    size_t count;
    size_t capacity;
    mail_maildrop_message *messages;
} maildir_mailbox;

static void forget_items(maildir_mailbox *mb)
{
    for (size_t i = 0; i < mb->count; i++) {
        mem_free(mb->md->mem, mb->items[i].name, strlen(mb->items[i].name) + 1);
    }
    mb->count = 0;
}

static item *new_item(maildir_mailbox *mb)
{
    if (mb->count == mb->capacity) {
        size_t capacity = mb->capacity > 0 ? mb->capacity * 2 : 16;
        item *items = mem_resize(mb->md->mem, mb->items, mb->capacity * sizeof(*items),
                                 capacity * sizeof(*items));

        if (items == NULL) {
            return NULL;
        }
        mb->items = items;
        mb->capacity = capacity;
    }
    return &mb->items[mb->count];
}

/* The sizes in a name are trusted only if the one that can be checked is right. */
static uint64_t size_told(const maildir_name *name, uint64_t file_size)
{
    if (!name->has_size || !name->has_wire_size || name->size != file_size ||
        name->wire_size < file_size || name->wire_size - file_size > file_size + 2) {
        return UNKNOWN;
    }
    return name->wire_size;
}

static int add_item(maildir_mailbox *mb, folder in, const char *text, const file_info *info)
{
    item *it = new_item(mb);
    maildir_name name;

    if (it == NULL) {
        return MAIL_ENOMEM;
    }
    maildir_name_parse(text, &name);
    *it = (item){
        .time = maildir_name_time(name.base),
        .name = mem_text(mb->md->mem, mail_span_text(text)),
        .base_length = name.base.length,
        .size = size_told(&name, info->size),
        .in = in,
    };
    if (it->name == NULL) {
        return MAIL_ENOMEM;
    }
    maildir_name_id(name.base, it->id);
    mb->count++;
    return MAIL_OK;
}

typedef struct listing {
    maildir_mailbox *mb;
    folder in;
    bool vanished; /* a file was gone again before it could be looked at */
    int code;      /* MAIL_… why the listing was stopped */
} listing;

static int list_one(const char *name, void *arg)
{
    listing *ls = arg;
    const mail_files *fs = ls->mb->md->fs;
    file_info info;
    int code;

    if (name[0] == '.' || name[0] == ':') {
        return 0;
    }
    code = fs->ops->info_at(fs, ls->mb->folders[ls->in], name, &info);
    if (code == -ENOENT) {
        ls->vanished = true;
        return 0;
    }
    if (code < 0) {
        ls->code = maildir_code(code);
    } else if (info.is_file) {
        ls->code = add_item(ls->mb, ls->in, name, &info);
    }
    return ls->code != MAIL_OK;
}

/* Calls fn for every name of new and then of cur: what moves meanwhile moves that way. */
static int each_name(maildir_mailbox *mb, int (*fn)(const char *name, void *arg), listing *ls)
{
    for (ls->in = NEW; ls->in < FOLDER_COUNT; ls->in++) {
        int fd = mb->folders[ls->in];
        int code = fd >= 0 ? mb->md->fs->ops->list(mb->md->fs, fd, fn, ls) : 0;

        if (code < 0) {
            return maildir_code(code);
        }
        if (ls->code != MAIL_OK) {
            return ls->code;
        }
    }
    return MAIL_OK;
}

static int compare_bases(const item *it, uint64_t time, mail_span base)
{
    size_t shorter = it->base_length < base.length ? it->base_length : base.length;
    int order = memcmp(it->name, base.data, shorter);

    if (it->time != time) {
        return it->time < time ? -1 : 1;
    }
    if (order != 0) {
        return order;
    }
    return it->base_length < base.length ? -1 : it->base_length > base.length;
}

static int compare_items(const void *a, const void *b)
{
    const item *left = a;
    const item *right = b;
    int order = compare_bases(left, right->time, mail_span_of(right->name, right->base_length));

    return order != 0 ? order : (int)left->in - (int)right->in;
}

/* What was listed under two names was renamed meanwhile: the later one stays. */
static void drop_doubles(maildir_mailbox *mb)
{
    size_t kept = 0;

    for (size_t i = 0; i < mb->count; i++) {
        item *it = &mb->items[i];

        if (i + 1 < mb->count &&
            compare_bases(it, it[1].time, mail_span_of(it[1].name, it[1].base_length)) == 0) {
            mem_free(mb->md->mem, it->name, strlen(it->name) + 1);
            continue;
        }
        mb->items[kept++] = *it;
    }
    mb->count = kept;
}

static int list_messages(maildir_mailbox *mb)
{
    listing ls = {.mb = mb, .vanished = true};

    for (int i = 0; ls.vanished && i < MAX_LISTINGS; i++) {
        int code;

        forget_items(mb);
        ls.vanished = false;
        code = each_name(mb, list_one, &ls);
        if (code != MAIL_OK) {
            return code;
        }
    }
    if (mb->count > 0) {
        qsort(mb->items, mb->count, sizeof(*mb->items), compare_items);
    }
    drop_doubles(mb);
    return MAIL_OK;
}

static item *find(maildir_mailbox *mb, mail_span base)
{
    uint64_t time = maildir_name_time(base);
    size_t low = 0;
    size_t high = mb->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_bases(&mb->items[middle], time, base);

        if (order == 0) {
            return &mb->items[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

static int relocate_one(const char *text, void *arg)
{
    listing *ls = arg;
    const mail_mem *mem = ls->mb->md->mem;
    maildir_name name;
    char *copy;
    item *it;

    maildir_name_parse(text, &name);
    it = find(ls->mb, name.base);
    if (it == NULL || (it->in == ls->in && strcmp(it->name, text) == 0)) {
        return 0;
    }
    copy = mem_text(mem, mail_span_text(text));
    if (copy == NULL) {
        ls->code = MAIL_ENOMEM;
        return 1;
    }
    mem_free(mem, it->name, strlen(it->name) + 1);
    it->name = copy;
    it->in = ls->in;
    return 0;
}

/* Learns where all messages are by now. */
static int relocate(maildir_mailbox *mb)
{
    listing ls = {.mb = mb};

    return each_name(mb, relocate_one, &ls);
}

/* A handle or a MAIL_… code. */
static int open_item(maildir_mailbox *mb, const item *it)
{
    const mail_files *fs = mb->md->fs;
    int fd = fs->ops->open(fs, mb->folders[it->in], it->name, FILE_READ);

    if (fd == -ENOENT) {
        int code = relocate(mb);

        if (code != MAIL_OK) {
            return code;
        }
        fd = fs->ops->open(fs, mb->folders[it->in], it->name, FILE_READ);
    }
    return fd < 0 ? maildir_code(fd) : fd;
}

static int read_item(maildir_mailbox *mb, const item *it, mail_source **out)
{
    int fd = open_item(mb, it);
    int code;

    if (fd < 0) {
        return fd;
    }
    code = maildir_source_create(out, mb->md, fd);
    if (code != MAIL_OK) {
        mb->md->fs->ops->close(mb->md->fs, fd);
    }
    return code;
}

/* Counts what its source gives, so that the two can't disagree. */
static int measure(maildir_mailbox *mb, item *it)
{
    mail_source *source;
    mail_span bytes;
    uint64_t size = 0;
    int code = read_item(mb, it, &source);

    if (code != MAIL_OK) {
        return code;
    }
    do {
        code = mail_source_peek(source, &bytes);
        if (code != MAIL_OK) {
            break;
        }
        size += bytes.length;
        mail_source_drop(source, bytes.length);
    } while (bytes.length > 0);
    mail_source_close(source);
    it->size = size;
    return code;
}

/* A message that has vanished since it was listed was never there. */
static void drop_unmeasured(maildir_mailbox *mb)
{
    size_t kept = 0;

    for (size_t i = 0; i < mb->count; i++) {
        item *it = &mb->items[i];

        if (it->size == UNKNOWN) {
            mem_free(mb->md->mem, it->name, strlen(it->name) + 1);
            continue;
        }
        mb->items[kept++] = *it;
    }
    mb->count = kept;
}

static int measure_all(maildir_mailbox *mb)
{
    for (size_t i = 0; i < mb->count; i++) {
        int code = mb->items[i].size == UNKNOWN ? measure(mb, &mb->items[i]) : MAIL_OK;

        if (code != MAIL_OK && code != MAIL_ENOENT) {
            return code;
        }
    }
    drop_unmeasured(mb);
    return MAIL_OK;
}

static int show_messages(maildir_mailbox *mb)
{
    if (mb->count == 0) {
        return MAIL_OK;
    }
    mb->messages = mem_alloc(mb->md->mem, mb->count * sizeof(*mb->messages));
    if (mb->messages == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < mb->count; i++) {
        mb->messages[i] = (mail_maildrop_message){mb->items[i].size, mb->items[i].id};
    }
    mb->box.messages = mb->messages;
    mb->box.count = mb->count;
    return MAIL_OK;
}

static int mailbox_read(mail_mailbox *box, size_t index, mail_source **out)
{
    maildir_mailbox *mb = (maildir_mailbox *)box;

    return read_item(mb, &mb->items[index], out);
}

static int unlink_item(const maildir_mailbox *mb, const item *it)
{
    return mb->md->fs->ops->unlink(mb->md->fs, mb->folders[it->in], it->name);
}

/*
 * No sync: after a crash a removed message may stand there again, under its old id, by
 * which whoever has it already knows it.
 */
static int mailbox_remove(mail_mailbox *box, const uint8_t *marks)
{
    maildir_mailbox *mb = (maildir_mailbox *)box;
    bool relocated = false;
    int failure = MAIL_OK;

    for (size_t i = 0; i < mb->count; i++) {
        int code;

        if (!mail_mark_is_set(marks, i)) {
            continue;
        }
        code = unlink_item(mb, &mb->items[i]);
        if (code == -ENOENT && !relocated) {
            relocated = true; /* once, for all that follow */
            code = relocate(mb);
            failure = code != MAIL_OK ? code : failure;
            code = unlink_item(mb, &mb->items[i]);
        }
        if (code < 0 && code != -ENOENT) {
            failure = maildir_code(code);
        }
    }
    return failure;
}

static void mailbox_close(mail_mailbox *box)
{
    maildir_mailbox *mb = (maildir_mailbox *)box;
    const mail_files *fs = mb->md->fs;
    const mail_mem *mem = mb->md->mem;
    const int handles[] = {mb->folders[NEW], mb->folders[CUR], mb->lock};

    for (size_t i = 0; i < MAIL_COUNT(handles); i++) {
        if (handles[i] >= 0) {
            fs->ops->close(fs, handles[i]);
        }
    }
    mem_free(mem, mb->messages, mb->box.count * sizeof(*mb->messages));
    forget_items(mb);
    mem_free(mem, mb->items, mb->capacity * sizeof(*mb->items));
    mem_free(mem, mb, sizeof(*mb));
}

static int take_lock(maildir_mailbox *mb, int root)
{
    const mail_files *fs = mb->md->fs;
    int code;

    mb->lock = fs->ops->open(fs, root, LOCK_NAME, FILE_WRITE | FILE_CREATE);
    if (mb->lock < 0) {
        return maildir_code(mb->lock);
    }
    code = fs->ops->lock(fs, mb->lock);
    return code == -EAGAIN ? MAIL_EBUSY : maildir_code(code);
}

/*
 * One that is missing holds nothing: cur is made last, and a crash may have taken it
 * back while new holds mail already. MAIL_ENOENT: both are.
 */
static int open_folders(maildir_mailbox *mb, int root)
{
    static const char *const names[] = {[NEW] = "new", [CUR] = "cur"};
    int code = MAIL_ENOENT;

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        mb->folders[i] = maildir_open_sub(mb->md, root, names[i]);
        if (mb->folders[i] >= 0) {
            code = MAIL_OK;
        } else if (mb->folders[i] != MAIL_ENOENT) {
            return mb->folders[i];
        }
    }
    return code;
}

static void tidy(const maildir_mailbox *mb, int root)
{
    int tmp = maildir_open_sub(mb->md, root, "tmp");

    if (tmp >= 0) {
        maildir_tidy(mb->md, tmp);
        mb->md->fs->ops->close(mb->md->fs, tmp);
    }
}

static int load(maildir_mailbox *mb, const char *path)
{
    int root = mb->md->fs->ops->open_dir(mb->md->fs, FILE_CWD, path);
    int code;

    if (root == -ENOENT) {
        return MAIL_OK; /* nothing was ever delivered: an empty list needs no lock */
    }
    if (root < 0) {
        return maildir_code(root);
    }
    code = open_folders(mb, root);
    if (code == MAIL_OK) {
        code = take_lock(mb, root);
    }
    if (code == MAIL_OK) {
        tidy(mb, root);
        code = list_messages(mb);
    } else if (code == MAIL_ENOENT) {
        code = MAIL_OK; /* half made: as empty as one not made */
    }
    mb->md->fs->ops->close(mb->md->fs, root);
    if (code == MAIL_OK) {
        code = measure_all(mb);
    }
    return code == MAIL_OK ? show_messages(mb) : code;
}

int maildir_open(mail_store *store, const char *path, mail_mailbox **out, mail_error *err)
{
    static const mail_mailbox_ops ops = {
        .read = mailbox_read,
        .remove = mailbox_remove,
        .close = mailbox_close,
    };
    maildir *md = (maildir *)store;
    maildir_mailbox *mb = mem_alloc(md->mem, sizeof(*mb));
    int code;

    if (mb == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s: %s", path, mail_strerror(MAIL_ENOMEM));
    }
    mb->box.ops = &ops;
    mb->md = md;
    mb->folders[NEW] = mb->folders[CUR] = mb->lock = -1;
    code = load(mb, path);
    if (code != MAIL_OK) {
        mailbox_close(&mb->box);
        return mail_error_set(err, code, "%s: %s", path, mail_strerror(code));
    }
    *out = &mb->box;
    return MAIL_OK;
}
