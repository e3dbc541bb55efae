/* SPDX-License-Identifier: MIT */
#include "mta/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* As long as an interactive program may make somebody wait. */
#define COMMAND_PATIENCE (30 * MAIL_SECOND)

struct secret_lookup {
    const mail_mem *mem;
    secret_fn *fn;
    void *arg;
    secret_place place; /* its text behind this struct */
    size_t size;
    atomic_bool is_cancelled;
    int code;
    size_t length;
    mail_error why;
    char secret[SECRET_SIZE];
    char text[];
};

/* The first line of what was read, without its end. */
static int cut_line(const char *text, size_t *length, mail_error *why)
{
    const char *lf = *length > 0 ? memchr(text, '\n', *length) : NULL;

    if (lf == NULL && *length == SECRET_SIZE) {
        return mail_error_set(why, MAIL_ELIMIT, "the secret is longer than %d octets", SECRET_SIZE);
    }
    *length = lf != NULL ? (size_t)(lf - text) : *length;
    if (*length > 0 && text[*length - 1] == '\r') {
        (*length)--;
    }
    return *length > 0 ? MAIL_OK : mail_error_set(why, MAIL_ENOENT, "the secret is empty");
}

static int read_file(const char *path, char out[SECRET_SIZE], size_t *length, mail_error *why)
{
    int fd = file_system.ops->open(&file_system, FILE_CWD, path, FILE_READ);
    ssize_t n;

    if (fd < 0) {
        return mail_error_set(why, MAIL_ESYS, "%s: %s", path, strerror(-fd));
    }
    n = file_read_all(&file_system, fd, out, SECRET_SIZE, 0);
    file_system.ops->close(&file_system, fd);
    if (n < 0) {
        return mail_error_set(why, MAIL_ESYS, "%s: %s", path, strerror((int)-n));
    }
    *length = (size_t)n;
    return cut_line(out, length, why);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How long it may take until a command is ended that nobody waits for. */
#define SLICE_MS 20

/* What comes through the pipe until it ends, is more than a secret, or takes too long. */
static int read_pipe(int fd, char *out, size_t *length, mail_duration patience,
                     const atomic_bool *is_cancelled)
{
    int64_t until = now_ms() + patience / MAIL_MILLISECOND;

    for (*length = 0; *length < SECRET_SIZE;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int64_t left = until - now_ms();
        ssize_t n;

        if (left <= 0 || (is_cancelled != NULL && *is_cancelled)) {
            return MAIL_ECANCELED;
        }
        if (poll(&ready, 1, (int)(left < SLICE_MS ? left : SLICE_MS)) <= 0) {
            continue;
        }
        n = read(fd, out + *length, SECRET_SIZE - *length);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return MAIL_ESYS;
        }
        *length += n > 0 ? (size_t)n : 0;
    }
    return *length < SECRET_SIZE ? MAIL_OK : MAIL_ELIMIT;
}

/* The shell, in a process group of its own so that all of it can be ended. */
static int start(const char *command, int output, pid_t *pid)
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                    NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t ours; /* that we may ignore, and a program expects to end it */
    int code;

    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    if (posix_spawn_file_actions_init(&files) != 0) {
        return MAIL_ENOMEM;
    }
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return MAIL_ENOMEM;
    }
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ours);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    code = posix_spawn(pid, "/bin/sh", &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return code == 0 ? MAIL_OK : MAIL_ESYS;
}

static int finish(pid_t pid, int code, mail_error *why)
{
    int status = 0;

    if (code != MAIL_OK) {
        kill(-pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (code == MAIL_ECANCELED) {
        return mail_error_set(why, code, "the command took too long");
    }
    if (code == MAIL_ELIMIT) {
        return mail_error_set(why, code, "the command prints more than %d octets", SECRET_SIZE - 1);
    }
    if (code != MAIL_OK) {
        return mail_error_set(why, code, "the command's output could not be read");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return mail_error_set(why, MAIL_ENOENT, "the command failed with %d",
                              WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    }
    return MAIL_OK;
}

static int read_command(const char *command, char out[SECRET_SIZE], size_t *length,
                        mail_duration patience, const atomic_bool *is_cancelled, mail_error *why)
{
    int ends[2];
    pid_t pid;
    int code;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return mail_error_set(why, MAIL_ESYS, "the command could not be run: %s", strerror(errno));
    }
    code = start(command, ends[1], &pid);
    close(ends[1]);
    if (code != MAIL_OK) {
        close(ends[0]);
        return mail_error_set(why, code, "the command could not be run");
    }
    code = read_pipe(ends[0], out, length, patience, is_cancelled);
    close(ends[0]);
    code = finish(pid, code, why);
    return code == MAIL_OK ? cut_line(out, length, why) : code;
}

int secret_read(const secret_place *place, char out[SECRET_SIZE], size_t *length,
                mail_duration patience, const atomic_bool *is_cancelled, mail_error *why)
{
    switch (place->kind) {
    case SECRET_GIVEN:
        *length = strnlen(place->text, SECRET_SIZE);
        memcpy(out, place->text, *length);
        return cut_line(out, length, why);
    case SECRET_FILE:
        return read_file(place->text, out, length, why);
    case SECRET_COMMAND:
        return read_command(place->text, out, length, patience, is_cancelled, why);
    }
    return MAIL_EINVAL;
}

static void run(void *arg)
{
    secret_lookup *lookup = arg;

    lookup->code = secret_read(&lookup->place, lookup->secret, &lookup->length, COMMAND_PATIENCE,
                               &lookup->is_cancelled, &lookup->why);
}

static void done(void *arg)
{
    secret_lookup *lookup = arg;
    const mail_mem *mem = lookup->mem;
    size_t size = lookup->size;

    if (!lookup->is_cancelled) {
        lookup->fn(lookup->code, mail_span_of(lookup->secret, lookup->length), lookup->why.text,
                   lookup->arg);
    }
    explicit_bzero(lookup, size);
    mem_free(mem, lookup, size);
}

int secret_look_up(secret_lookup **out, mail_loop *loop, const mail_mem *mem,
                   const secret_place *place, secret_fn *fn, void *arg)
{
    size_t length = strlen(place->text);
    size_t size = sizeof(secret_lookup) + length + 1;
    secret_lookup *lookup = mem_alloc(mem, size);
    int code;

    if (lookup == NULL) {
        return MAIL_ENOMEM;
    }
    *lookup = (secret_lookup){.mem = mem, .fn = fn, .arg = arg, .size = size};
    memcpy(lookup->text, place->text, length + 1);
    lookup->place = (secret_place){place->kind, lookup->text};
    code = loop->ops->work(loop, run, done, lookup);
    if (code != MAIL_OK) {
        mem_free(mem, lookup, size);
        return code;
    }
    *out = lookup;
    return MAIL_OK;
}

void secret_cancel(secret_lookup *lookup)
{
    if (lookup != NULL) {
        lookup->is_cancelled = true;
    }
}
