/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULT_FILES_H
#define TESTS_FAULT_FILES_H

#include <mail/base.h>

#include "base/file.h"
#include "base/random.h"

/*
 * A disk in memory that stands in for the system's files and can do its worst: fail any
 * operation, write short, fill up, and lose power.
 *
 * What was not synced when the power goes is kept or lost by chance: each sector of 512
 * octets by itself, the length of a file, and each change of a folder. A sync that fails
 * leaves its sectors as they are, and a later one that succeeds says nothing of them.
 *
 * One thread at a time. Paths start at one root, whatever the handle FILE_CWD means.
 */
typedef struct fault_files fault_files;

typedef enum fault_op {
    FAULT_OPEN, /* that makes or empties a file */
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_ALLOCATE,
    FAULT_RENAME, /* and link */
    FAULT_UNLINK,
    FAULT_MAKE_DIR
} fault_op;

/* Asked before each operation; 0: go on, or -errno. `name` is NULL for handles. */
typedef int fault_fn(fault_op op, const char *name, void *arg);

fault_files *fault_files_create(uint64_t seed);
void fault_files_destroy(fault_files *fs);

const mail_files *fault_files_table(fault_files *fs);

/* Chance that comes from the seed. */
const mail_random *fault_files_random(fault_files *fs);

void fault_files_set(fault_files *fs, fault_fn *fn, void *arg);
void fault_files_set_capacity(fault_files *fs, uint64_t bytes);
void fault_files_set_short_writes(fault_files *fs, bool on);

/* The power goes after so many more operations that change something; 0: never. */
void fault_files_crash_after(fault_files *fs, uint64_t operations);
bool fault_files_has_crashed(const fault_files *fs);

/* It goes now. */
void fault_files_crash(fault_files *fs);

/* Where the times of files come from; else they are 0. */
void fault_files_set_clock(fault_files *fs, mail_wall (*wall)(void *arg), void *arg);

/* How many operations have changed something. */
uint64_t fault_files_operations(const fault_files *fs);

/* Closes every handle and leaves what the disk has kept, as if the power had gone now. */
void fault_files_reboot(fault_files *fs);

/* How many handles are open. */
size_t fault_files_handles(const fault_files *fs);

/* Changes one octet of a file, as a bad disk would; false: there is none. */
bool fault_files_damage(fault_files *fs, const char *path, uint64_t offset);

#endif
