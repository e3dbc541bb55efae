/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mail/listen.h>
#include <mail/loop_poll.h>

#include "common/supervisor.h"

/* A manager that waits for datagrams; in a folder, or abstract. */
static int open_manager(char path[108], const char *dir)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length;

    if (dir != NULL) {
        snprintf(path, 108, "%s/notify", dir);
    } else {
        snprintf(path, 108, "@libmail-test-%d", (int)getpid());
    }
    memcpy(at.sun_path, path, strlen(path));
    if (dir == NULL) {
        at.sun_path[0] = '\0';
    }
    length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    return fd;
}

static const char *hear(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void tells_how_it_is(void **state)
{
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        char *dir = mail_test_make_dir();
        char path[108];
        int fd = open_manager(path, abstract ? NULL : dir);
        supervisor sv;

        setenv("NOTIFY_SOCKET", path, 1);
        assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
        assert_null(getenv("NOTIFY_SOCKET")); /* no child shall speak for us */
        supervisor_tell(&sv, "READY=1");
        assert_string_equal(hear(fd), "READY=1");
        supervisor_tell_reloading(&sv);
        assert_int_equal(strncmp(hear(fd), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        supervisor_tell(&sv, "STOPPING=1");
        assert_string_equal(hear(fd), "STOPPING=1");
        close(fd);
        supervisor_tell(&sv, "READY=1"); /* into the void */
        supervisor_deinit(&sv);
        mail_test_remove_dir(dir);
    }
}

static void says_nothing_when_nobody_listens(void **state)
{
    static const char *const odd[] = {"", "/", "vsock:2:1", "relative", NULL};
    char too_long[200];
    supervisor sv;

    (void)state;
    for (size_t i = 0; odd[i] != NULL; i++) {
        setenv("NOTIFY_SOCKET", odd[i], 1);
        assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
        assert_int_equal(sv.notify_length, 0);
        supervisor_tell(&sv, "READY=1");
    }
    memset(too_long, '/', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    setenv("NOTIFY_SOCKET", too_long, 1);
    assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
    assert_int_equal(sv.notify_length, 0);
}

static void gives_signs_of_life_while_its_loop_turns(void **state)
{
    char *dir = mail_test_make_dir();
    char path[108];
    int fd = open_manager(path, dir);
    mail_loop_poll *poll;
    supervisor sv;
    int signs = 0;

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "2000", 1);
    assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_int_equal(mail_loop_poll_create(&poll, NULL), MAIL_OK);
    assert_int_equal(supervisor_watch(&sv, mail_loop_poll_loop(poll)), MAIL_OK);
    while (signs < 3) {
        signs += strcmp(hear(fd), "WATCHDOG=1") == 0;
        mail_loop_poll_run_once(poll, MAIL_MILLISECOND);
    }
    supervisor_deinit(&sv);
    mail_loop_poll_destroy(poll);
    close(fd);
    mail_test_remove_dir(dir);
}

static void gives_no_signs_that_are_not_wanted(void **state)
{
    static const char *const odd[] = {"", "-1", "x", "10x", "0", "99999999999999999999", NULL};
    supervisor sv;

    (void)state;
    for (size_t i = 0; odd[i] != NULL; i++) {
        setenv("WATCHDOG_USEC", odd[i], 1);
        assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
        assert_int_equal(sv.watchdog, 0);
        assert_int_equal(supervisor_watch(&sv, NULL), MAIL_OK);
    }
    setenv("WATCHDOG_USEC", "1000", 1);
    setenv("WATCHDOG_PID", "1", 1); /* another process is meant */
    assert_int_equal(supervisor_init(&sv, NULL), MAIL_OK);
    assert_int_equal(sv.watchdog, 0);
}

/* In a child, whose low descriptors are its own. */
static int with_sockets(int how)
{
    static const mail_endpoint loopback = {.ip = {.family = 4, .bytes = {127, 0, 0, 1}}};
    char pid[16];
    supervisor sv;
    mail_error err;
    int fd;
    int code;

    for (int i = 0; i < 2; i++) {
        if (mail_listen_open(&fd, &loopback, NULL, NULL) != MAIL_OK ||
            dup2(fd, SUPERVISOR_FIRST_SOCKET + i) < 0) {
            return 1;
        }
    }
    snprintf(pid, sizeof(pid), "%d", how == 1 ? 1 : (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", how == 2 ? "65" : how == 3 ? "3" : "2", 1);
    setenv("LISTEN_FDNAMES", "lmtp:relay.socket", 1);
    close(SUPERVISOR_FIRST_SOCKET + 2);
    code = supervisor_init(&sv, &err);
    if (getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDS") != NULL ||
        getenv("LISTEN_FDNAMES") != NULL) {
        return 2;
    }
    switch (how) {
    case 0:
        return code == MAIL_OK && sv.socket_count == 2 && sv.sockets[0].fd == 3 &&
                       strcmp(sv.sockets[0].name, "lmtp") == 0 && sv.sockets[1].at.port != 0 &&
                       supervisor_socket_is_named(&sv.sockets[0]) &&
                       !supervisor_socket_is_named(&sv.sockets[1])
                   ? 0
                   : 3;
    case 1: /* for somebody else */
        return code == MAIL_OK && sv.socket_count == 0 ? 0 : 4;
    case 2: /* too many */
        return code == MAIL_ELIMIT ? 0 : 5;
    default: /* one of them is none */
        return code == MAIL_EINVAL && strstr(err.text, "descriptor 5") != NULL ? 0 : 6;
    }
}

static void takes_the_sockets_that_are_handed_to_it(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0) {
            _exit(with_sockets(how));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_how_it_is),
        cmocka_unit_test(says_nothing_when_nobody_listens),
        cmocka_unit_test(gives_signs_of_life_while_its_loop_turns),
        cmocka_unit_test(gives_no_signs_that_are_not_wanted),
        cmocka_unit_test(takes_the_sockets_that_are_handed_to_it),
    };

    return mail_test_run(tests);
}
