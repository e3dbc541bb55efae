/* SPDX-License-Identifier: MIT */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

extern char **environ;

/* What stays of the environment: time zone, and what measures and debugs us. */
static bool is_kept(const char *entry)
{
    static const char *const kept[] = {"PATH=",
                                       "TZ=",
                                       "LANG=",
                                       "LC_",
                                       "NOTIFY_SOCKET=",
                                       "WATCHDOG_USEC=",
                                       "WATCHDOG_PID=",
                                       "LISTEN_PID=",
                                       "LISTEN_FDS=",
                                       "LISTEN_FDNAMES=",
                                       "UV_",
                                       "GNUTLS_",
                                       "ASAN_OPTIONS=",
                                       "UBSAN_",
                                       "LSAN_OPTIONS=",
                                       "LLVM_PROFILE_",
                                       "GCOV_",
                                       "MALLOC_",
                                       "GLIBC_TUNABLES="};

    for (size_t i = 0; i < MAIL_COUNT(kept); i++) {
        if (strncmp(entry, kept[i], strlen(kept[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void clean_environment(void)
{
    char **to = environ;

    for (char **from = environ; from != NULL && *from != NULL; from++) {
        if (is_kept(*from)) {
            *to++ = *from;
        }
    }
    if (to != NULL) {
        *to = NULL;
    }
}

/* Or the next socket would be standard output. */
static void open_standard_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

void confine_early(int first, bool keep_environment)
{
    umask(077);
    if (!keep_environment) {
        clean_environment();
    }
#ifdef SYS_close_range
    (void)syscall(SYS_close_range, first, ~0U, 0); /* where there is none they are none of ours */
#endif
    open_standard_files();
}

int confine_find_user(confine_user *user, const char *name, mail_error *err)
{
    const struct passwd *entry;

    *user = (confine_user){.name = NULL};
    if (name == NULL) {
        return MAIL_OK;
    }
    entry = getpwnam(name);
    if (entry == NULL) {
        return mail_error_set(err, MAIL_EINVAL, "there is no user \"%s\"", name);
    }
    if (entry->pw_uid == 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" has all rights, and none to give up", name);
    }
    *user = (confine_user){.name = name, .uid = entry->pw_uid, .gid = entry->pw_gid};
    return MAIL_OK;
}

int confine_make_dir(const confine_user *user, const char *path, mail_error *err)
{
    if (user->name == NULL || (mkdir(path, 0700) != 0 && errno == EEXIST)) {
        return MAIL_OK;
    }
    return confine_give(user, path, err);
}

int confine_check_dir(const char *path, mail_error *err)
{
    char *copy = strdup(path);
    struct stat found;
    int code = MAIL_OK;

    if (copy == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    if ((stat(path, &found) != 0 && (errno != ENOENT || stat(dirname(copy), &found) != 0)) ||
        !S_ISDIR(found.st_mode)) {
        code = mail_error_set(err, MAIL_EINVAL, "%s: no such folder, and none to make it in", path);
    }
    free(copy);
    return code;
}

int confine_give(const confine_user *user, const char *path, mail_error *err)
{
    if (user->name != NULL && lchown(path, user->uid, user->gid) != 0) {
        return mail_error_set(err, mail_error_from_errno(errno), "%s: %s", path, strerror(errno));
    }
    return MAIL_OK;
}

/* Whether nothing of what we were is left, and no way leads back to it. */
static bool has_become(const confine_user *user)
{
    uid_t uids[3];
    gid_t gids[3];

    return getresuid(&uids[0], &uids[1], &uids[2]) == 0 &&
           getresgid(&gids[0], &gids[1], &gids[2]) == 0 && uids[0] == user->uid &&
           uids[1] == user->uid && uids[2] == user->uid && gids[0] == user->gid &&
           gids[1] == user->gid && gids[2] == user->gid && setuid(0) != 0 && seteuid(0) != 0;
}

int confine_become(const confine_user *user, mail_error *err)
{
    if (user->name == NULL || (geteuid() == user->uid && getuid() == user->uid)) {
        return MAIL_OK;
    }
    if (initgroups(user->name, user->gid) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0) {
        return mail_error_set(err, mail_error_from_errno(errno), "cannot become %s: %s", user->name,
                              strerror(errno));
    }
    return has_become(user) ? MAIL_OK
                            : mail_error_set(err, MAIL_EPERM, "did not become %s", user->name);
}

void confine_process(void)
{
    static const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef HAS_ASAN /* its search for leaks looks at us as a debugger would */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
