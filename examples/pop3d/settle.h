/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_POP3D_SETTLE_H
#define EXAMPLES_POP3D_SETTLE_H

#include <mail/accounts.h>

#include "common/lasting.h"
#include "common/supervisor.h"
#include "config.h"

/* A listening socket that is open before there is a service. */
typedef struct pop3d_socket {
    int fd;           /* -1: not any more */
    mail_endpoint at; /* family 0: a unix socket */
    bool is_tls;      /* from the first octet */
} pop3d_socket;

typedef struct pop3d_sockets {
    pop3d_socket *items;
    size_t count;
} pop3d_sockets;

/*
 * All that needs the rights with which we were started, and then gives them up: opens the ports that
 * `config` asks for and takes those of the supervisor, before there is a second thread. `disguise`
 * becomes the accounts' lasting secret. Exit codes, the reason being told.
 */
int pop3d_settle(const pop3d_config *config, const mail_accounts *accounts, const supervisor *sv,
                 const server_log *log, pop3d_sockets *sockets, uint8_t disguise[LASTING_SIZE]);

#endif
