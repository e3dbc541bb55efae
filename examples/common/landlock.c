/* SPDX-License-Identifier: MIT */
/*
 * Landlock by its three system calls: a library for them is not worth its place, and older headers
 * know only some of the rights.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && defined(SYS_landlock_create_ruleset)

/* linux/landlock.h, as far as we need it. */
enum {
    RULE_PATH_BENEATH = 1,
    CREATE_RULESET_VERSION = 1
};

#define READ_FILE    (1ULL << 2)
#define READ_DIR     (1ULL << 3)
#define REMOVE_FILE  (1ULL << 5)
#define RIGHTS_ABI_1 ((1ULL << 13) - 1)
#define REFER        (1ULL << 13) /* from version 2 on */
#define TRUNCATE     (1ULL << 14) /* 3 */
#define IOCTL_DEV    (1ULL << 15) /* 5 */

/* Rights of folders only: for a file the kernel takes none of them. */
#define READING (READ_FILE | READ_DIR)

typedef struct ruleset_attr {
    uint64_t handled_access_fs;
} ruleset_attr;

typedef struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed)) path_beneath_attr;

/* Without REFER nothing can be moved between folders, as mail is all the time. */
static uint64_t rights_of(long version)
{
    uint64_t rights = RIGHTS_ABI_1 | REFER;

    if (version < 2) {
        return 0;
    }
    if (version >= 3) {
        rights |= TRUNCATE;
    }
    if (version >= 5) {
        rights |= IOCTL_DEV;
    }
    return rights;
}

void confine_files_begin(confine_files *files)
{
    ruleset_attr attr;

    *files = (confine_files){.ruleset = -1};
    files->all = rights_of(syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION));
    attr.handled_access_fs = files->all;
    if (files->all != 0) {
        files->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    }
}

/* Cuts the last part off; false: there is none. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');

    if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0) {
        return false;
    }
    if (slash == NULL) {
        strcpy(path, ".");
    } else {
        slash[slash == path ? 1 : 0] = '\0';
    }
    return true;
}

/* The folder that a path is, or lies in. */
static int open_dir(const char *path)
{
    char at[4096];
    int fd;

    if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at) || *path == '\0') {
        return -1;
    }
    do {
        fd = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && (errno == ENOENT || errno == ENOTDIR) && go_up(at));
    return fd;
}

static void allow(confine_files *files, const char *path, uint64_t rights)
{
    path_beneath_attr attr = {.allowed_access = rights};

    if (files->ruleset < 0 || path == NULL) {
        return;
    }
    attr.parent_fd = open_dir(path);
    if (attr.parent_fd >= 0) {
        (void)syscall(SYS_landlock_add_rule, files->ruleset, RULE_PATH_BENEATH, &attr, 0);
        close(attr.parent_fd);
    }
}

void confine_files_allow(confine_files *files, const char *path, bool to_write)
{
    allow(files, path, to_write ? files->all : READING);
}

void confine_files_allow_removal(confine_files *files, const char *path)
{
    allow(files, path, REMOVE_FILE);
}

/* Names, time, trust, chance, and what is loaded late. */
static void allow_the_usual(confine_files *files)
{
    static const char *const places[] = {"/etc",  "/usr", "/lib", "/lib64",
                                         "/proc", "/sys", "/dev", "/var/lib/ca-certificates"};
    /* Often links to where whoever manages the network writes them. */
    static const char *const linked[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/localtime",
                                         "/etc/ssl/certs/ca-certificates.crt"};

    for (size_t i = 0; i < MAIL_COUNT(places); i++) {
        if (access(places[i], F_OK) == 0) { /* or what lies above it would be allowed */
            confine_files_allow(files, places[i], false);
        }
    }
    for (size_t i = 0; i < MAIL_COUNT(linked); i++) {
        char *path = realpath(linked[i], NULL);

        confine_files_allow(files, path, false);
        free(path);
    }
}

bool confine_files_end(confine_files *files)
{
    bool done;

    if (files->ruleset < 0) {
        return false;
    }
    allow_the_usual(files);
    done = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_landlock_restrict_self, files->ruleset, 0) == 0;
    close(files->ruleset);
    files->ruleset = -1;
    return done;
}

#else

void confine_files_begin(confine_files *files)
{
    *files = (confine_files){.ruleset = -1};
}

void confine_files_allow(confine_files *files, const char *path, bool to_write)
{
    (void)files;
    (void)path;
    (void)to_write;
}

void confine_files_allow_removal(confine_files *files, const char *path)
{
    (void)files;
    (void)path;
}

bool confine_files_end(confine_files *files)
{
    (void)files;
    return false;
}

#endif
