/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_CONFINE_H
#define EXAMPLES_COMMON_CONFINE_H

#include <mail/base.h>

#include <sys/types.h>

/*
 * What a server gives up before it serves, so that whoever breaks into it has won little. All of
 * it before the first thread: threads inherit it, and not all of it could be given to those that
 * there are.
 */

/* How far it goes. */
typedef struct confine_options {
    const char *user; /* NULL: whoever we are */
    bool no_sandbox;
} confine_options;

/*
 * At the very start: nobody but us may read what we write, settings of strangers are forgotten
 * (unless a command of the operator's may need them), and so are files that were left open, from
 * descriptor `first` on. The standard ones are open.
 */
void confine_early(int first, bool keep_environment);

/* Whom to become. */
typedef struct confine_user {
    const char *name; /* NULL: whoever we are */
    uid_t uid;
    gid_t gid;
} confine_user;

/* `name` NULL: whoever we are. MAIL_EINVAL: there is none of that name, or it is root. */
int confine_find_user(confine_user *user, const char *name, mail_error *err);

/* A folder that belongs to the user, made if it is not there; does nothing without a user. */
int confine_make_dir(const confine_user *user, const char *path, mail_error *err);

/* Whether the folder is there, or the one in which it would be made. */
int confine_check_dir(const char *path, mail_error *err);

/* Gives a file that we have made to the user. */
int confine_give(const confine_user *user, const char *path, mail_error *err);

/* For good: groups, group, user, and a look whether there is a way back. MAIL_EPERM, MAIL_ESYS. */
int confine_become(const confine_user *user, mail_error *err);

/* No privileges by exec, no core files, no debuggers: they would show passwords and keys. */
void confine_process(void);

/*
 * The files that are left to us. A path that is not there yet stands for the nearest folder above it
 * that is; a path that is no folder for the one that it lies in, where it may be replaced.
 */
typedef struct confine_files {
    int ruleset; /* -1: the system has no Landlock that would do */
    uint64_t all;
} confine_files;

void confine_files_begin(confine_files *files);
void confine_files_allow(confine_files *files, const char *path, bool to_write);

/* To remove the file `path`, and others where it lies, but nothing else with them. */
void confine_files_allow_removal(confine_files *files, const char *path);

/* From now on there are no others; says whether that is so. Also what a library may need is allowed. */
bool confine_files_end(confine_files *files);

#endif
