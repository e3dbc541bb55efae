/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ftw.h>
#include <sys/socket.h>
#include <unistd.h>

void mail_test_case(const char *name)
{
    print_message("[   CASE   ] %s\n", name);
}

void mail_test_assert_span(mail_span span, const char *text, size_t length, const char *file,
                           int line)
{
    if (span.length == length && (length == 0 || memcmp(span.data, text, length) == 0)) {
        return;
    }
    print_error("%s:%d: got \"%.*s\" (%zu octets), wanted \"%s\" (%zu)\n", file, line,
                (int)span.length, span.length > 0 ? span.data : "", span.length, text, length);
    _fail(file, line);
}

const char *mail_test_data(const char *name)
{
    static char path[4096];
    const char *base = getenv("MAIL_TEST_DATA");

    snprintf(path, sizeof(path), "%s/%s", base != NULL ? base : ".", name);
    return path;
}

size_t mail_test_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

char *mail_test_make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);

    assert_non_null(path);
    snprintf(path, 4096, "%s/libmail-test.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

int mail_test_dead_port(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

void mail_test_remove_dir(char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

int mail_test_enter_dir(void **state)
{
    *state = mail_test_make_dir();
    assert_int_equal(chdir(*state), 0);
    return 0;
}

int mail_test_leave_dir(void **state)
{
    assert_int_equal(chdir("/"), 0);
    mail_test_remove_dir(*state);
    return 0;
}
