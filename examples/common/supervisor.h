/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_SUPERVISOR_H
#define EXAMPLES_COMMON_SUPERVISOR_H

#include <mail/address.h>
#include <mail/loop.h>

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Who has started us, if it is a service manager such as systemd: it may hand over listening
 * sockets, is told how we are (sd_notify(3)), and may want a sign of life now and then. Three
 * variables of the environment and a datagram are all there is to it.
 */

/* Listening sockets that were handed over. */
typedef struct supervisor_socket {
    int fd;
    mail_endpoint at; /* family 0: a unix socket */
    char name[64];    /* as the manager calls it; empty: it does not say */
} supervisor_socket;

#define SUPERVISOR_SOCKETS_MAX 64

/* sd_listen_fds(3): their descriptors begin here. */
#define SUPERVISOR_FIRST_SOCKET 3

typedef struct supervisor {
    struct sockaddr_un notify;
    socklen_t notify_length; /* 0: nobody listens */
    mail_duration watchdog;  /* the longest it goes without a sign of life; 0: for ever */
    supervisor_socket sockets[SUPERVISOR_SOCKETS_MAX];
    size_t socket_count;
    mail_loop *loop;
    mail_timer *timer;
} supervisor;

/*
 * Reads what the environment says, which it does not say to any child of ours. MAIL_EINVAL with the reason in
 * `err` for sockets that are of no use. Ownership: the sockets are the caller's to close.
 */
int supervisor_init(supervisor *sv, mail_error *err);
void supervisor_deinit(supervisor *sv);

/* Whether somebody has said what a socket is for: by default it bears the name of its unit. */
bool supervisor_socket_is_named(const supervisor_socket *socket);

/* Gives signs of life from the loop, if they are wanted. MAIL_ENOMEM. */
int supervisor_watch(supervisor *sv, mail_loop *loop);

/* Tells it so: `READY=1`, `STOPPING=1`. */
void supervisor_tell(const supervisor *sv, const char *state);

/* That we read our files anew, to be followed by `READY=1`. */
void supervisor_tell_reloading(const supervisor *sv);

#endif
