/* SPDX-License-Identifier: MIT */
#include "mta/drop.h"

#include <errno.h>
#include <stdio.h>

#include "base/ascii.h"
#include "base/mem.h"

/* Holds the longest line of an envelope many times over. */
#define READ_BYTES ((size_t)32 * 1024)

struct mail_drop {
    mail_source source;
    const mail_mem *mem;
    const mail_files *fs;
    int fd;
    uint64_t offset; /* of what follows `bytes`, in the file */
    uint64_t size;   /* of the message, as it was when it was opened */
    uint64_t left;   /* of that: what its writer adds now is not part of it */
    uint32_t user;
    uint64_t inode;
    mail_wall time;
    mail_envelope envelope;
    size_t start; /* of what is held in `bytes` */
    size_t end;
    char bytes[READ_BYTES];
};

static mail_span held(const mail_drop *drop)
{
    return mail_span_of(drop->bytes + drop->start, drop->end - drop->start);
}

/* Reads on behind what is held; MAIL_OK with nothing more held is the end. */
static int fill(mail_drop *drop)
{
    ssize_t n;

    memmove(drop->bytes, drop->bytes + drop->start, drop->end - drop->start);
    drop->end -= drop->start;
    drop->start = 0;
    n = drop->fs->ops->read(drop->fs, drop->fd, drop->bytes + drop->end, READ_BYTES - drop->end,
                            drop->offset);
    if (n < 0) {
        return mail_error_from_errno((int)-n);
    }
    drop->offset += (uint64_t)n;
    drop->end += (size_t)n;
    return MAIL_OK;
}

static int body_peek(mail_source *source, mail_span *out)
{
    mail_drop *drop = (mail_drop *)source;
    int code = drop->start == drop->end && drop->left > 0 ? fill(drop) : MAIL_OK;

    *out = held(drop);
    out->length = out->length < drop->left ? out->length : (size_t)drop->left;
    return code;
}

static void body_drop(mail_source *source, size_t n)
{
    mail_drop *drop = (mail_drop *)source;

    drop->start += n;
    drop->left -= n;
}

static void body_close(mail_source *source)
{
    (void)source;
}

static const mail_source_ops body_ops = {body_peek, body_drop, body_close};

/* The next line without its LF; it lends from `bytes`. */
static int next_line(mail_drop *drop, mail_span *line)
{
    mail_span have = held(drop);
    const char *end = have.length > 0 ? memchr(have.data, '\n', have.length) : NULL;

    if (end == NULL) {
        int code = fill(drop);

        if (code != MAIL_OK) {
            return code;
        }
        have = held(drop);
        end = have.length > 0 ? memchr(have.data, '\n', have.length) : NULL;
    }
    if (end == NULL) {
        return MAIL_EDAMAGED;
    }
    *line = mail_span_first(have, (size_t)(end - have.data));
    drop->start += line->length + 1;
    return MAIL_OK;
}

static bool skip_prefix(mail_span *text, const char *prefix)
{
    size_t length = strlen(prefix);

    if (text->length < length || memcmp(text->data, prefix, length) != 0) {
        return false;
    }
    *text = mail_span_from(*text, length);
    return true;
}

/* Cuts off the word before the next blank, and the blank. */
static bool cut_word(mail_span *text, mail_span *word)
{
    const char *blank = text->length > 0 ? memchr(text->data, ' ', text->length) : NULL;

    if (blank == NULL) {
        return false;
    }
    *word = mail_span_first(*text, (size_t)(blank - text->data));
    *text = mail_span_from(*text, word->length + 1);
    return true;
}

/* MAIL_NOTIFY_NEVER stands alone: nothing above it is anything. */
static bool parse_notify(mail_span word, uint8_t *notify)
{
    uint64_t bits = 0;
    bool is_number = ascii_number(word, MAIL_NOTIFY_NEVER, &bits);

    *notify = (uint8_t)bits;
    return is_number;
}

static bool is_printable(mail_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (ascii_is_control(text.data[i]) || text.data[i] == ' ') {
            return false;
        }
    }
    return true;
}

/* `to NOTIFY ORCPT ADDRESS` */
static int take_recipient(mail_drop *drop, mail_span rest)
{
    mail_recipient rcpt = {.notify = 0};
    mail_path path;
    mail_span word;

    if (!cut_word(&rest, &word) || !parse_notify(word, &rcpt.notify) || !cut_word(&rest, &word)) {
        return MAIL_EDAMAGED;
    }
    if (!mail_span_equal(word, MAIL_SPAN("-"))) {
        rcpt.orcpt = word;
    }
    if (!is_printable(rcpt.orcpt) || mail_envelope_count(&drop->envelope) >= DROP_RECIPIENTS_MAX ||
        mail_path_from_text(rest, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) != MAIL_OK) {
        return MAIL_EDAMAGED;
    }
    rcpt.address = mail_path_text(&path);
    return mail_envelope_add(&drop->envelope, &rcpt);
}

/* The lines between `sender` and the first `to`, all optional. */
static bool take_parameter(mail_envelope *envelope, mail_span line)
{
    if (mail_span_equal(line, MAIL_SPAN("ret full"))) {
        envelope->ret = MAIL_RET_FULL;
    } else if (mail_span_equal(line, MAIL_SPAN("ret hdrs"))) {
        envelope->ret = MAIL_RET_HDRS;
    } else if (mail_span_equal(line, MAIL_SPAN("body 7bit"))) {
        envelope->body = MAIL_BODY_7BIT;
    } else if (mail_span_equal(line, MAIL_SPAN("body 8bitmime"))) {
        envelope->body = MAIL_BODY_8BITMIME;
    } else if (mail_span_equal(line, MAIL_SPAN("body binarymime"))) {
        envelope->body = MAIL_BODY_BINARYMIME;
    } else if (mail_span_equal(line, MAIL_SPAN("smtputf8"))) {
        envelope->smtputf8 = true;
    } else if (mail_span_equal(line, MAIL_SPAN("requiretls"))) {
        envelope->requiretls = true;
    } else {
        return false;
    }
    return true;
}

/* Sender and ENVID come in two lines but are set in one go. */
static int set_sender(mail_drop *drop, const mail_path *sender, mail_span xtext)
{
    char envid[DROP_ENVID_MAX];
    int length = mail_xtext_decode(xtext, envid, sizeof(envid));

    if (length < 0) {
        return MAIL_EDAMAGED;
    }
    return mail_envelope_set_sender(&drop->envelope, mail_path_text(sender),
                                    mail_span_of(envid, (size_t)length));
}

static int read_sender(mail_drop *drop, mail_span *line)
{
    mail_path sender = {.length = 0};
    mail_span xtext = MAIL_SPAN("");
    int code = next_line(drop, line);

    if (code != MAIL_OK) {
        return code;
    }
    if (!skip_prefix(line, "sender ") ||
        (line->length > 0 &&
         mail_path_from_text(*line, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &sender) != MAIL_OK)) {
        return MAIL_EDAMAGED;
    }
    code = next_line(drop, line);
    if (code != MAIL_OK) {
        return code;
    }
    if (skip_prefix(line, "envid ")) {
        xtext = *line;
    }
    code = set_sender(drop, &sender, xtext);
    return code == MAIL_OK && xtext.length > 0 ? next_line(drop, line) : code;
}

static int read_magic(mail_drop *drop)
{
    mail_span line;
    int code = next_line(drop, &line);

    if (code != MAIL_OK) {
        return code;
    }
    if (!skip_prefix(&line, DROP_MAGIC)) {
        return MAIL_EDAMAGED;
    }
    return mail_span_equal(line, MAIL_SPAN(DROP_VERSION)) ? MAIL_OK : MAIL_EVERSION;
}

static int read_envelope(mail_drop *drop)
{
    mail_span line;
    int code = read_magic(drop);

    if (code == MAIL_OK) {
        code = read_sender(drop, &line);
    }
    while (code == MAIL_OK && line.length > 0) {
        if (skip_prefix(&line, "to ")) {
            code = take_recipient(drop, line);
        } else if (!take_parameter(&drop->envelope, line)) {
            code = MAIL_EDAMAGED;
        }
        if (code == MAIL_OK) {
            code = next_line(drop, &line);
        }
    }
    return code == MAIL_OK && mail_envelope_count(&drop->envelope) == 0 ? MAIL_EDAMAGED : code;
}

/* A pipe, a link elsewhere or a second name for another's file is not ours to read. */
static int check_file(mail_drop *drop)
{
    file_info info;
    int number = drop->fs->ops->info(drop->fs, drop->fd, &info);

    if (number < 0) {
        return mail_error_from_errno(-number);
    }
    drop->user = info.owner;
    drop->inode = info.inode;
    drop->size = info.size;
    drop->time = info.mtime;
    return info.is_file && info.links == 1 ? MAIL_OK : MAIL_EDAMAGED;
}

static int open_file(const mail_files *fs, const char *spool, const char *name)
{
    int dir = drop_open_dir(fs, spool);
    int fd;

    if (dir < 0) {
        return dir;
    }
    fd = fs->ops->open(fs, dir, name, FILE_READ);
    fs->ops->close(fs, dir);
    return fd;
}

int drop_open(mail_drop **out, const mail_files *fs, const char *spool, const char *name,
              const mail_mem *mem, mail_error *err)
{
    mail_drop *drop = mem_alloc(mem, sizeof(*drop));
    int code;

    if (drop == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    drop->source.ops = &body_ops;
    drop->mem = mem;
    drop->fs = fs;
    mail_envelope_init(&drop->envelope, mem);
    drop->fd = open_file(fs, spool, name);
    if (drop->fd < 0) {
        /* ELOOP: a symbolic link; ENXIO: a socket. */
        code = drop->fd == -ELOOP || drop->fd == -ENXIO ? MAIL_EDAMAGED
                                                        : mail_error_from_errno(-drop->fd);
    } else {
        code = check_file(drop);
    }
    if (code == MAIL_OK) {
        code = read_envelope(drop);
    }
    if (code != MAIL_OK) {
        mail_drop_close(drop);
        return mail_error_set(err, code, "%s/" DROP_DIR "/%s: %s", spool, name,
                              mail_strerror(code));
    }
    drop->size -= drop->offset - held(drop).length;
    drop->left = drop->size;
    *out = drop;
    return MAIL_OK;
}

int mail_drop_open(mail_drop **out, const char *spool, const char *name, const mail_mem *mem,
                   mail_error *err)
{
    return drop_open(out, &file_system, spool, name, mem, err);
}

void mail_drop_close(mail_drop *drop)
{
    if (drop == NULL) {
        return;
    }
    if (drop->fd >= 0) {
        drop->fs->ops->close(drop->fs, drop->fd);
    }
    mail_envelope_deinit(&drop->envelope);
    mem_free(drop->mem, drop, sizeof(*drop));
}

const mail_envelope *mail_drop_envelope(const mail_drop *drop)
{
    return &drop->envelope;
}

uint64_t mail_drop_size(const mail_drop *drop)
{
    return drop->size;
}

uint32_t mail_drop_user(const mail_drop *drop)
{
    return drop->user;
}

uint64_t drop_inode(const mail_drop *drop)
{
    return drop->inode;
}

mail_wall mail_drop_time(const mail_drop *drop)
{
    return drop->time;
}

mail_source *mail_drop_body(mail_drop *drop)
{
    return &drop->source;
}

typedef struct listing {
    const char *suffix;
    bool (*fn)(const char *name, void *arg);
    void (*on_long)(const char *name, void *arg); /* NULL: nobody wants to know */
    void *arg;
} listing;

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name);
    size_t want = strlen(suffix);

    return length > want && strcmp(name + length - want, suffix) == 0;
}

static int list_one(const char *name, void *arg)
{
    listing *ls = arg;

    if (!ends_in(name, ls->suffix)) {
        return 0;
    }
    if (strlen(name) >= MAIL_DROP_NAME_SIZE) {
        if (ls->on_long != NULL) {
            ls->on_long(name, ls->arg);
        }
        return 0;
    }
    return ls->fn(name, ls->arg) ? 0 : 1;
}

static int list_all(const mail_files *fs, const char *spool, listing *ls)
{
    int dir = drop_open_dir(fs, spool);
    int number;

    if (dir < 0) {
        return mail_error_from_errno(-dir);
    }
    number = fs->ops->list(fs, dir, list_one, ls);
    fs->ops->close(fs, dir);
    return number < 0 ? mail_error_from_errno(-number) : MAIL_OK;
}

int drop_list_suffix(const mail_files *fs, const char *spool, const char *suffix,
                     bool (*fn)(const char *name, void *arg), void *arg)
{
    listing ls = {.suffix = suffix, .fn = fn, .arg = arg};

    return list_all(fs, spool, &ls);
}

int drop_look(const mail_files *fs, const char *spool, bool (*fn)(const char *name, void *arg),
              void (*on_long)(const char *name, void *arg), void *arg)
{
    listing ls = {.suffix = DROP_SUFFIX, .fn = fn, .on_long = on_long, .arg = arg};

    return list_all(fs, spool, &ls);
}

int drop_list(const mail_files *fs, const char *spool, bool (*fn)(const char *name, void *arg),
              void *arg)
{
    return drop_look(fs, spool, fn, NULL, arg);
}

int mail_drop_list(const char *spool, bool (*fn)(const char *name, void *arg), void *arg)
{
    return drop_list(&file_system, spool, fn, arg);
}

int drop_remove(const mail_files *fs, const char *spool, const char *name)
{
    int dir = drop_open_dir(fs, spool);
    int number;

    if (dir < 0) {
        return mail_error_from_errno(-dir);
    }
    number = fs->ops->unlink(fs, dir, name);
    fs->ops->close(fs, dir);
    return number < 0 && number != -ENOENT ? mail_error_from_errno(-number) : MAIL_OK;
}

/* In `dir`, the held one of `name`, if it is that file and no other. 0, or -errno. */
static int remove_held(const mail_files *fs, int dir, const char *name, uint64_t inode)
{
    char held[MAIL_DROP_NAME_SIZE + sizeof(DROP_HELD)];
    file_info info;
    int number;

    snprintf(held, sizeof(held), "%.*s" DROP_HELD, (int)(strlen(name) - strlen(DROP_SUFFIX)), name);
    number = fs->ops->info_at(fs, dir, held, &info);
    return number == 0 && info.inode == inode ? fs->ops->unlink(fs, dir, held) : number;
}

int drop_remove_taken(const mail_files *fs, const char *spool, const char *name, uint64_t inode)
{
    int dir = drop_open_dir(fs, spool);
    int number;

    if (dir < 0) {
        return mail_error_from_errno(-dir);
    }
    number = fs->ops->unlink(fs, dir, name);
    if (number == -ENOENT) {
        number = remove_held(fs, dir, name, inode);
    }
    fs->ops->close(fs, dir);
    return number < 0 && number != -ENOENT ? mail_error_from_errno(-number) : MAIL_OK;
}

int mail_drop_remove(const char *spool, const char *name)
{
    return drop_remove(&file_system, spool, name);
}

int drop_sync(const mail_files *fs, const char *spool)
{
    int dir = drop_open_dir(fs, spool);
    int number = dir;

    if (dir >= 0) {
        number = fs->ops->sync(fs, dir);
        fs->ops->close(fs, dir);
    }
    return number < 0 ? mail_error_from_errno(-number) : MAIL_OK;
}

/* What has that name. 0, or -errno: -ENOENT also where there is no folder to look into. */
static int look_at(const mail_files *fs, const char *spool, const char *name, file_info *info)
{
    int dir = drop_open_dir(fs, spool);
    int number;

    if (dir < 0) {
        return -ENOENT;
    }
    number = fs->ops->info_at(fs, dir, name, info);
    fs->ops->close(fs, dir);
    return number;
}

bool drop_is_there(const mail_files *fs, const char *spool, const char *name)
{
    file_info info;

    return look_at(fs, spool, name, &info) != -ENOENT;
}

bool drop_is_dir(const mail_files *fs, const char *spool, const char *name)
{
    file_info info;

    return look_at(fs, spool, name, &info) == 0 && info.is_dir;
}

int drop_rename(const mail_files *fs, const char *spool, const char *name, const char *other)
{
    int dir = drop_open_dir(fs, spool);
    int number;

    if (dir < 0) {
        return mail_error_from_errno(-dir);
    }
    number = fs->ops->rename(fs, dir, name, dir, other);
    fs->ops->close(fs, dir);
    return number < 0 ? mail_error_from_errno(-number) : MAIL_OK;
}

int drop_set_aside(const mail_files *fs, const char *spool, const char *name)
{
    char aside[MAIL_DROP_NAME_SIZE + sizeof(DROP_BAD)];

    snprintf(aside, sizeof(aside), "%s" DROP_BAD, name);
    return drop_rename(fs, spool, name, aside);
}

int mail_drop_set_aside(const char *spool, const char *name)
{
    return drop_set_aside(&file_system, spool, name);
}

/* Names that a listing is to be done with before they are removed. */
#define SWEPT_MAX 64

typedef struct sweeping {
    const mail_files *fs;
    int dir;
    int64_t limit;
    size_t count;
    char names[SWEPT_MAX][MAIL_DROP_NAME_SIZE];
} sweeping;

/* A folder is not to be removed so, and must not have the place of what is. */
static int sweep_one(const char *name, void *arg)
{
    sweeping *sw = arg;
    file_info info;

    if (!ends_in(name, DROP_PARTIAL) || strlen(name) >= MAIL_DROP_NAME_SIZE ||
        sw->fs->ops->info_at(sw->fs, sw->dir, name, &info) < 0 || info.is_dir ||
        info.mtime >= sw->limit) {
        return 0;
    }
    memcpy(sw->names[sw->count++], name, strlen(name) + 1);
    return sw->count == SWEPT_MAX;
}

void drop_sweep(const mail_files *fs, const char *spool, int64_t limit)
{
    sweeping sw = {.fs = fs, .limit = limit};

    sw.dir = drop_open_dir(fs, spool);
    if (sw.dir < 0) {
        return;
    }
    (void)fs->ops->list(fs, sw.dir, sweep_one, &sw);
    for (size_t i = 0; i < sw.count; i++) {
        (void)fs->ops->unlink(fs, sw.dir, sw.names[i]);
    }
    fs->ops->close(fs, sw.dir);
}
