/* SPDX-License-Identifier: MIT */
#ifndef LIB_STORE_MAILDIR_H
#define LIB_STORE_MAILDIR_H

#include <mail/store.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/list.h"
#include "base/random.h"

/* The longest name of a file, final NUL included. */
#define MAILDIR_NAME_SIZE 256

/* How much of a message is read or written at once. */
#define MAILDIR_CHUNK 32768

typedef struct maildir {
    mail_store store;
    const mail_mem *mem;
    const mail_files *fs;
    const mail_random *random;
    mail_wall (*wall)(void *arg); /* NULL: the system's clock */
    void *wall_arg;
    atomic_uint deliveries; /* begun by this store: part of the names, and when to tidy */
    long process;           /* part of the names */
    char hostname[33];      /* escaped */
    pthread_mutex_t lock;
    list folders; /* maildir_folder; guarded by the lock */
} maildir;

/* A Maildir that is open for the deliveries into it, which share it while they last. */
typedef struct maildir_folder {
    list link;
    unsigned uses;
    int tmp;
    int new;
    char path[];
} maildir_folder;

/* What the name of a message's file says: `UNIQUE,S=SIZE,W=WIRE:2,FLAGS`. */
typedef struct maildir_name {
    mail_span base; /* all before the colon: what keeps its value when flags change */
    uint64_t size;
    uint64_t wire_size;
    bool has_size;
    bool has_wire_size;
} maildir_name;

void maildir_name_parse(const char *text, maildir_name *out);

/* The time of day; `micro_out` may be NULL. */
mail_wall maildir_now(const maildir *md, unsigned *micro_out);

/* Writes a name that no other message has or had, without sizes. */
void maildir_name_make(maildir *md, char out[MAILDIR_NAME_SIZE]);

/* The id of the message whose name has this base. */
void maildir_name_id(mail_span base, char out[MAIL_MESSAGE_ID_MAX + 1]);

/* The delivery order that a name tells: the number it begins with, or 0. */
uint64_t maildir_name_time(mail_span base);

/* -errno of a file operation as a MAIL_… code. */
int maildir_code(long result);

/* Opens the subfolder `name` of `root`; a link or a file there is MAIL_EINVAL. Handle or code. */
int maildir_open_sub(const maildir *md, int root, const char *name);

/* Opens the Maildir at `path`, made if it is missing or was left half made. Handle or code. */
int maildir_open_made(const maildir *md, const char *path);

/* Removes files that deliveries left in tmp and that nobody can still be writing. */
void maildir_tidy(const maildir *md, int tmp);

/* maildir_folder.c. Opens it as maildir_open_made does, or shares what is open. Thread-safe. */
int maildir_folder_use(maildir *md, const char *path, maildir_folder **out);
void maildir_folder_drop(maildir *md, maildir_folder *folder);

void maildir_finish(mail_store *store, mail_sink *const *sinks, size_t count, int *codes);
int maildir_append(mail_store *store, const char *path, mail_sink **out, mail_error *err);
int maildir_open(mail_store *store, const char *path, mail_mailbox **out, mail_error *err);

/* A source over the open file `fd`, which it takes if it succeeds. */
int maildir_source_create(mail_source **out, const maildir *md, int fd);

#endif
