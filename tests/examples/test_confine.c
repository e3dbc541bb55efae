/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/confine.h"

/* What is given up is given up for good: each test is a process of its own. */
static int in_a_child(int (*run)(const char *dir), const char *dir)
{
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        _exit(run(dir));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

enum {
    DONE = 0,
    SKIPPED = 77
};

static int touch(const char *dir, const char *name)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

static int look(const char *dir, const char *name)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

static int move(const char *dir, const char *from, const char *to)
{
    char a[512];
    char b[512];

    snprintf(a, sizeof(a), "%s/%s", dir, from);
    snprintf(b, sizeof(b), "%s/%s", dir, to);
    return rename(a, b) == 0 ? 0 : -errno;
}

#define CHECK(n, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return (n);                                                                            \
        }                                                                                          \
    } while (0)

static int limit_to_some(const char *dir)
{
    char spool[512];
    char users[512];
    char later[512];
    confine_files files;

    snprintf(spool, sizeof(spool), "%s/spool", dir);
    snprintf(users, sizeof(users), "%s/etc/users", dir);
    snprintf(later, sizeof(later), "%s/var/mail/here", dir); /* of which there is var */
    confine_files_begin(&files);
    confine_files_allow(&files, spool, true);
    confine_files_allow(&files, users, false);
    confine_files_allow(&files, later, true);
    snprintf(later, sizeof(later), "%s/run/socket", dir);
    confine_files_allow_removal(&files, later);
    if (!confine_files_end(&files)) {
        return SKIPPED;
    }
    CHECK(1, touch(dir, "spool/new") == 0);
    CHECK(2, move(dir, "spool/new", "spool/cur/new") == 0); /* as mail is delivered */
    CHECK(3, look(dir, "spool/cur/new") == 0);
    CHECK(4, look(dir, "etc/users") == 0);
    CHECK(5, look(dir, "etc/aliases") == 0); /* it may be replaced by rename */
    CHECK(6, touch(dir, "etc/users") == -EACCES);
    CHECK(7, touch(dir, "var/mail") == 0);
    CHECK(8, look(dir, "secret/key") == -EACCES);
    CHECK(9, touch(dir, "secret/new") == -EACCES);
    CHECK(10, touch(dir, "new") == -EACCES);
    CHECK(11, touch("/tmp", "libmail-confine-test") == -EACCES);
    CHECK(12, look("/etc", "passwd") == 0);
    CHECK(13, look("/dev", "urandom") == 0);
    CHECK(14, touch("/dev/shm", "libmail-confine-test") != 0);
    CHECK(15, unlink(later) == 0);
    CHECK(16, touch(dir, "run/socket") == -EACCES);
    return DONE;
}

static void only_the_files_that_are_allowed_are_left(void **state)
{
    static const char *const folders[] = {"spool", "spool/cur", "etc", "var", "secret", "run"};
    char *dir = mail_test_make_dir();
    char path[512];
    int code;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(touch(dir, "etc/users"), 0);
    assert_int_equal(touch(dir, "etc/aliases"), 0);
    assert_int_equal(touch(dir, "secret/key"), 0);
    assert_int_equal(touch(dir, "run/socket"), 0);
    code = in_a_child(limit_to_some, dir);
    mail_test_remove_dir(dir);
    if (code == SKIPPED) {
        print_message("this kernel has no Landlock that would do\n");
        skip();
    }
    assert_int_equal(code, DONE);
}

static int close_and_clean(const char *dir)
{
    struct stat st;
    int fd = open("/dev/null", O_RDONLY);

    (void)dir;
    setenv("LD_PRELOAD_OF_A_STRANGER", "x", 1);
    setenv("TZ", "UTC", 1);
    setenv("TZX", "no", 1);
    close(STDIN_FILENO);
    confine_early(3, true);
    CHECK(6, getenv("TZX") != NULL);
    confine_early(3, false);
    CHECK(1, fcntl(fd, F_GETFD) < 0 && errno == EBADF);
    CHECK(2, getenv("LD_PRELOAD_OF_A_STRANGER") == NULL && getenv("TZX") == NULL);
    CHECK(3, strcmp(getenv("TZ"), "UTC") == 0);
    CHECK(4, umask(077) == 077);
    CHECK(5, fstat(STDIN_FILENO, &st) == 0 && S_ISCHR(st.st_mode));
    return DONE;
}

static void begins_with_nothing_that_it_did_not_open(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(close_and_clean, NULL), DONE);
}

static int give_up_privileges(const char *dir)
{
    struct rlimit core;

    (void)dir;
    confine_process();
    CHECK(1, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(2, getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
#ifndef __SANITIZE_ADDRESS__
    CHECK(3, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
#endif
    return DONE;
}

static void leaves_no_core_and_gains_no_rights(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(give_up_privileges, NULL), DONE);
}

static int become_nobody(const char *dir)
{
    confine_user user;
    struct stat st;
    char path[512];
    mail_error err;

    CHECK(1, confine_find_user(&user, "nobody", &err) == MAIL_OK);
    snprintf(path, sizeof(path), "%s/spool", dir);
    CHECK(2, confine_make_dir(&user, path, &err) == MAIL_OK);
    CHECK(3, confine_make_dir(&user, path, &err) == MAIL_OK); /* it is there already */
    CHECK(4, stat(path, &st) == 0 && st.st_uid == user.uid && (st.st_mode & 07777) == 0700);
    CHECK(5, confine_become(&user, &err) == MAIL_OK);
    CHECK(6, geteuid() == user.uid && getegid() == user.gid && setuid(0) != 0);
    CHECK(7, getgroups(0, NULL) <= 1);
    CHECK(8, confine_become(&user, &err) == MAIL_OK); /* which it is */
    return DONE;
}

static void becomes_somebody_else_for_good(void **state)
{
    char *dir;
    int code;

    (void)state;
    if (geteuid() != 0 || getpwnam("nobody") == NULL) {
        print_message("only root can become somebody else\n");
        skip();
    }
    dir = mail_test_make_dir();
    code = in_a_child(become_nobody, dir);
    mail_test_remove_dir(dir);
    assert_int_equal(code, DONE);
}

static int become_daemon(const char *dir)
{
    confine_user user = {.name = "daemon", .uid = 1, .gid = 1};
    mail_error err;

    (void)dir;
    if (geteuid() == 0) {
        CHECK(1, setresuid(65534, 65534, 65534) == 0);
    }
    CHECK(2, confine_become(&user, &err) == MAIL_EPERM && err.text[0] != '\0');
    return DONE;
}

static void says_so_when_it_may_not(void **state)
{
    confine_user user;
    mail_error err;

    (void)state;
    assert_int_equal(in_a_child(become_daemon, NULL), DONE);
    assert_int_equal(confine_find_user(&user, "no such user", &err), MAIL_EINVAL);
    assert_non_null(strstr(err.text, "no such user"));
    assert_int_equal(confine_find_user(&user, "root", &err), MAIL_EINVAL);
    assert_int_equal(confine_find_user(&user, NULL, &err), MAIL_OK); /* whoever we are */
    assert_null(user.name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_files_that_are_allowed_are_left),
        cmocka_unit_test(begins_with_nothing_that_it_did_not_open),
        cmocka_unit_test(leaves_no_core_and_gains_no_rights),
        cmocka_unit_test(becomes_somebody_else_for_good),
        cmocka_unit_test(says_so_when_it_may_not),
    };

    return mail_test_run(tests);
}
