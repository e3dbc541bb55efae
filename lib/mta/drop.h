/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DROP_H
#define LIB_MTA_DROP_H

#include <mail/drop.h>

#include "base/file.h"
#include "base/random.h"

#define DROP_DIR     "drop"
#define DROP_CONTROL "control" /* the owner's socket, beside the folder */
#define DROP_MAGIC   "libmail drop "
#define DROP_VERSION "1"
#define DROP_SUFFIX  ".mail"
#define DROP_HELD    ".held" /* the same, but an operator wants it to stay */
#define DROP_PARTIAL ".part" /* being written: not yet a message */
#define DROP_BAD     ".bad"  /* behind one of the others */

/* More than any program has ever written for one message; they are held in memory. */
#define DROP_RECIPIENTS_MAX 100000

/* Octets of an ENVID, decoded: no more than SMTP takes (RFC 3461, section 4.4). */
#define DROP_ENVID_MAX 100

/* What a writer stands on, for a simulation to stand in. */
typedef struct drop_seams {
    const mail_files *files;
    const mail_random *random;
    mail_wall (*wall)(void *arg); /* NULL: CLOCK_REALTIME */
    void *wall_arg;
    bool no_poke; /* the owner finds the file when it looks */
} drop_seams;

/* Those of <mail/drop.h> over any files. */
int drop_begin(mail_sink **out, const drop_seams *seams, const char *spool,
               const mail_envelope *envelope, const mail_mem *mem, char *name, mail_error *err);
int drop_open(mail_drop **out, const mail_files *fs, const char *spool, const char *name,
              const mail_mem *mem, mail_error *err);
int drop_list(const mail_files *fs, const char *spool, bool (*fn)(const char *name, void *arg),
              void *arg);
/* The same, and `on_long` hears of what would be a whole file if its name were not too long. */
int drop_look(const mail_files *fs, const char *spool, bool (*fn)(const char *name, void *arg),
              void (*on_long)(const char *name, void *arg), void *arg);
/* The same for names that end in `suffix`. */
int drop_list_suffix(const mail_files *fs, const char *spool, const char *suffix,
                     bool (*fn)(const char *name, void *arg), void *arg);
/* Whether the file still has its name: an operator may have changed his mind about it. */
bool drop_is_there(const mail_files *fs, const char *spool, const char *name);
/* Whether it is a folder's. */
bool drop_is_dir(const mail_files *fs, const char *spool, const char *name);
/* Gives it another one. MAIL_ENOENT: it is gone. */
int drop_rename(const mail_files *fs, const char *spool, const char *name, const char *other);
int drop_remove(const mail_files *fs, const char *spool, const char *name);
/* The same of a file that is safe elsewhere, also if an operator has just put it on hold. */
int drop_remove_taken(const mail_files *fs, const char *spool, const char *name, uint64_t inode);
/* By which the file is known whatever its name. */
uint64_t drop_inode(const mail_drop *drop);
/* Makes last what was removed or renamed. */
int drop_sync(const mail_files *fs, const char *spool);
int drop_set_aside(const mail_files *fs, const char *spool, const char *name);

/* Removes what was begun before `limit` (seconds since 1970) and never came to its end. */
void drop_sweep(const mail_files *fs, const char *spool, int64_t limit);

/* The folder below `spool`, or -errno. */
int drop_open_dir(const mail_files *fs, const char *spool);

#endif
