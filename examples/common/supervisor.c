/* SPDX-License-Identifier: MIT */
#include "supervisor.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mail/listen.h>

/* A number of the environment that no child shall see; `otherwise` if it is none, or not there. */
static uint64_t take_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t number = otherwise;
    char *end;

    if (text != NULL && *text >= '0' && *text <= '9') {
        number = strtoull(text, &end, 10);
        number = *end == '\0' ? number : otherwise;
    }
    unsetenv(name);
    return number;
}

static void read_notify(supervisor *sv)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path != NULL ? strlen(path) : 0;

    /* In a folder, or abstract with an @; there are other kinds, for other sorts of hosts. */
    if (length > 1 && length < sizeof(sv->notify.sun_path) && (*path == '/' || *path == '@')) {
        sv->notify.sun_family = AF_UNIX;
        memcpy(sv->notify.sun_path, path, length);
        if (*path == '@') {
            sv->notify.sun_path[0] = '\0';
        }
        sv->notify_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    unsetenv("NOTIFY_SOCKET");
}

static void read_watchdog(supervisor *sv)
{
    uint64_t us = take_number("WATCHDOG_USEC", 0);
    bool is_ours = take_number("WATCHDOG_PID", (uint64_t)getpid()) == (uint64_t)getpid();

    if (is_ours && us > 0 && us < (uint64_t)MAIL_DAY / 1000) {
        sv->watchdog = (mail_duration)us * 1000;
    }
}

static void name_sockets(supervisor *sv, const char *names)
{
    for (size_t i = 0; i < sv->socket_count && names != NULL; i++) {
        size_t length = strcspn(names, ":");
        supervisor_socket *socket = &sv->sockets[i];

        if (length < sizeof(socket->name)) {
            memcpy(socket->name, names, length);
        }
        names = names[length] == ':' ? names + length + 1 : NULL;
    }
}

static int read_sockets(supervisor *sv, mail_error *err)
{
    bool is_ours = take_number("LISTEN_PID", 0) == (uint64_t)getpid();
    uint64_t count = take_number("LISTEN_FDS", 0);

    if (!is_ours) {
        return MAIL_OK;
    }
    if (count > SUPERVISOR_SOCKETS_MAX) {
        return mail_error_set(err, MAIL_ELIMIT, "more than %d sockets were handed over",
                              SUPERVISOR_SOCKETS_MAX);
    }
    for (int fd = SUPERVISOR_FIRST_SOCKET; fd < SUPERVISOR_FIRST_SOCKET + (int)count; fd++) {
        supervisor_socket *socket = &sv->sockets[sv->socket_count++];

        socket->fd = fd;
        if (mail_listen_check(fd, &socket->at) != MAIL_OK) {
            return mail_error_set(err, MAIL_EINVAL,
                                  "descriptor %d was handed over, and is no socket that listens",
                                  fd);
        }
    }
    name_sockets(sv, getenv("LISTEN_FDNAMES"));
    return MAIL_OK;
}

int supervisor_init(supervisor *sv, mail_error *err)
{
    int code;

    *sv = (supervisor){.notify_length = 0};
    read_notify(sv);
    read_watchdog(sv);
    code = read_sockets(sv, err);
    unsetenv("LISTEN_FDNAMES");
    return code;
}

bool supervisor_socket_is_named(const supervisor_socket *socket)
{
    static const char suffix[] = ".socket";
    size_t length = strlen(socket->name);

    return length > 0 && strcmp(socket->name, "unknown") != 0 &&
           (length < sizeof(suffix) ||
            strcmp(socket->name + length - (sizeof(suffix) - 1), suffix) != 0);
}

void supervisor_deinit(supervisor *sv)
{
    if (sv->timer != NULL) {
        sv->loop->ops->untimer(sv->timer);
        sv->timer = NULL;
    }
}

void supervisor_tell(const supervisor *sv, const char *state)
{
    int fd;

    if (sv->notify_length == 0) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sv->notify,
                      sv->notify_length); /* there is nobody else to tell */
        close(fd);
    }
}

void supervisor_tell_reloading(const supervisor *sv)
{
    struct timespec now;
    char state[64];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    supervisor_tell(sv, state);
}

/* A loop that does not come round any more gives no sign, and that is the point. */
static void give_sign(void *arg)
{
    supervisor *sv = arg;

    supervisor_tell(sv, "WATCHDOG=1");
    sv->loop->ops->timer_set(sv->timer, mail_loop_now(sv->loop) + sv->watchdog / 2);
}

int supervisor_watch(supervisor *sv, mail_loop *loop)
{
    int code;

    if (sv->watchdog == 0) {
        return MAIL_OK;
    }
    sv->loop = loop;
    code = loop->ops->timer(loop, give_sign, sv, &sv->timer);
    if (code == MAIL_OK) {
        give_sign(sv);
    }
    return code;
}
