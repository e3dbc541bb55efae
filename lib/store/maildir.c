/* SPDX-License-Identifier: MIT */
#include "store/maildir.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/mem.h"

/* A file in tmp that has not been touched for so long belongs to no delivery any more. */
#define TMP_MAX_AGE (36 * 3600)

int maildir_code(long result)
{
    if (result == -ENOTDIR || result == -EISDIR) {
        return MAIL_EINVAL; /* there is something, but no mailbox */
    }
    return result < 0 ? mail_error_from_errno((int)-result) : MAIL_OK;
}

int maildir_open_sub(const maildir *md, int root, const char *name)
{
    int fd = md->fs->ops->open_dir(md->fs, root, name);

    return fd < 0 ? maildir_code(fd) : fd;
}

static int sync_folder(const maildir *md, const char *path)
{
    int fd = md->fs->ops->open_dir(md->fs, FILE_CWD, path);
    int code;

    if (fd < 0) {
        return fd;
    }
    code = md->fs->ops->sync(md->fs, fd);
    md->fs->ops->close(md->fs, fd);
    return code;
}

/*
 * Makes one folder and puts its entry on the disk: also when it was there already,
 * since another delivery may have made it a moment ago. But then the folder above
 * need not be ours to open.
 */
static int make_folder(const maildir *md, const char *parent, const char *path)
{
    int made = md->fs->ops->make_dir(md->fs, FILE_CWD, path);
    int code;

    if (made < 0 && made != -EEXIST) {
        return made;
    }
    code = sync_folder(md, parent);
    return made < 0 && code == -EACCES ? 0 : code;
}

static int make_path(const maildir *md, const char *path)
{
    char parent[MAIL_MAILBOX_PATH_SIZE] = ".";
    char here[MAIL_MAILBOX_PATH_SIZE];
    size_t length = strspn(path, "/");

    if (strlen(path) >= sizeof(here)) {
        return -ENAMETOOLONG;
    }
    if (length > 0) {
        memcpy(parent, "/", 2);
    }
    while (path[length] != '\0') {
        int code;

        length += strcspn(path + length, "/");
        memcpy(here, path, length);
        here[length] = '\0';
        code = make_folder(md, parent, here);
        if (code < 0) {
            return code;
        }
        memcpy(parent, here, length + 1);
        length += strspn(path + length, "/");
    }
    return 0;
}

/*
 * Makes what a Maildir is made of, `cur` last and after a sync: where `cur` stands,
 * everything above and beside it is on the disk, and a delivery need not ask again.
 */
static int make_subs(const maildir *md, int root)
{
    static const char *const names[] = {"tmp", "new", NULL, "cur"};
    const mail_files_ops *ops = md->fs->ops;

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        int code =
            names[i] != NULL ? ops->make_dir(md->fs, root, names[i]) : ops->sync(md->fs, root);

        if (code < 0 && code != -EEXIST) {
            return code;
        }
    }
    return 0;
}

static bool is_complete(const maildir *md, int root)
{
    static const char *const names[] = {"cur", "new", "tmp"};
    file_info info;

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        if (md->fs->ops->info_at(md->fs, root, names[i], &info) < 0 || !info.is_dir) {
            return false;
        }
    }
    return true;
}

int maildir_open_made(const maildir *md, const char *path)
{
    int root = md->fs->ops->open_dir(md->fs, FILE_CWD, path);
    int code;

    if (root >= 0 && is_complete(md, root)) {
        return root;
    }
    if (root >= 0) {
        md->fs->ops->close(md->fs, root);
    } else if (root != -ENOENT) {
        return maildir_code(root);
    }
    code = make_path(md, path);
    if (code < 0) {
        return maildir_code(code);
    }
    root = md->fs->ops->open_dir(md->fs, FILE_CWD, path);
    if (root < 0) {
        return maildir_code(root);
    }
    code = make_subs(md, root);
    if (code < 0) {
        md->fs->ops->close(md->fs, root);
        return maildir_code(code);
    }
    return root;
}

typedef struct tidy_job {
    const maildir *md;
    int tmp;
    mail_wall now;
} tidy_job;

static int tidy_one(const char *name, void *arg)
{
    const tidy_job *job = arg;
    const mail_files *fs = job->md->fs;
    file_info info;

    if (fs->ops->info_at(fs, job->tmp, name, &info) == 0 && info.is_file &&
        job->now - info.mtime > TMP_MAX_AGE) {
        fs->ops->unlink(fs, job->tmp, name);
    }
    return 0;
}

void maildir_tidy(const maildir *md, int tmp)
{
    tidy_job job = {.md = md, .tmp = tmp, .now = maildir_now(md, NULL)};

    /* What can't be removed now will be tried again: it is in nobody's way. */
    md->fs->ops->list(md->fs, tmp, tidy_one, &job);
}

static void maildir_destroy(mail_store *store)
{
    maildir *md = (maildir *)store;

    pthread_mutex_destroy(&md->lock);
    mem_free(md->mem, md, sizeof(*md));
}

/* As Maildirs have always done it: octal for what would end or split a name. */
static void set_hostname(maildir *md, mail_span hostname)
{
    size_t length = 0;

    for (size_t i = 0; i < hostname.length && length + 4 < sizeof(md->hostname); i++) {
        char c = hostname.data[i];

        if (ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.') {
            md->hostname[length++] = c;
        } else {
            length += (size_t)snprintf(md->hostname + length, 5, "\\%03o", (unsigned char)c);
        }
    }
}

int mail_maildir_create(mail_store **out, const mail_maildir_options *opts)
{
    static const mail_store_ops ops = {
        .append = maildir_append,
        .finish = maildir_finish,
        .open = maildir_open,
        .destroy = maildir_destroy,
    };
    mail_maildir_options own = MAIL_MAILDIR_OPTIONS_INIT;
    char hostname[256] = "localhost";
    maildir *md;

    if (opts != NULL && (opts->size == 0 || opts->size > sizeof(own))) {
        return MAIL_EINVAL;
    }
    if (opts != NULL) {
        memcpy(&own, opts, opts->size);
    }
    md = mem_alloc(own.mem, sizeof(*md));
    if (md == NULL) {
        return MAIL_ENOMEM;
    }
    *md = (maildir){
        .store = {.ops = &ops},
        .mem = own.mem,
        .fs = own.files != NULL ? own.files : &file_system,
        .random = own.random,
        .wall = own.wall,
        .wall_arg = own.wall_arg,
        .process = own.process != 0 ? own.process : (long)getpid(),
    };
    if (own.hostname.length == 0 && gethostname(hostname, sizeof(hostname) - 1) == 0) {
        hostname[sizeof(hostname) - 1] = '\0';
    }
    pthread_mutex_init(&md->lock, NULL);
    list_init(&md->folders);
    set_hostname(md, own.hostname.length > 0 ? own.hostname : mail_span_text(hostname));
    *out = &md->store;
    return MAIL_OK;
}
