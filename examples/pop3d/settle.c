/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <mail/listen.h>

static int fail(int exit_code, const char *why)
{
    fprintf(stderr, "pop3d: %s\n", why);
    return exit_code;
}

static void add(pop3d_sockets *sockets, int fd, const mail_endpoint *at, bool is_tls)
{
    sockets->items[sockets->count++] = (pop3d_socket){fd, *at, is_tls};
}

static bool is_called(const supervisor_socket *socket, const char *name)
{
    return supervisor_socket_is_named(socket) && strcmp(socket->name, name) == 0;
}

static int open_sockets(const pop3d_config *config, const supervisor *sv, pop3d_sockets *sockets)
{
    const pop3d_listeners *listen = &config->listeners;
    bool has_own = !config->listen_is_default || sv->socket_count == 0;

    sockets->items = calloc(listen->count + sv->socket_count, sizeof(*sockets->items));
    if (sockets->items == NULL) {
        return fail(EX_OSERR, mail_strerror(MAIL_ENOMEM));
    }
    for (size_t i = 0; has_own && i < listen->count; i++) {
        mail_endpoint at;
        mail_error err;
        int fd;

        if (mail_listen_open(&fd, &listen->items[i].at, &at, &err) != MAIL_OK) {
            return fail(EX_UNAVAILABLE, err.text);
        }
        add(sockets, fd, &at, listen->items[i].is_tls);
    }
    for (size_t i = 0; i < sv->socket_count; i++) {
        bool is_tls = is_called(&sv->sockets[i], "pop3s");

        if (supervisor_socket_is_named(&sv->sockets[i]) && !is_tls &&
            !is_called(&sv->sockets[i], "pop3")) {
            return fail(EX_CONFIG, "a socket was handed over with an unknown name");
        }
        add(sockets, sv->sockets[i].fd, &sv->sockets[i].at, is_tls);
    }
    return EX_OK;
}

static void limit_files(const pop3d_config *config, const mail_accounts *accounts,
                        const server_log *log)
{
    confine_files files;

    confine_files_begin(&files);
    confine_files_allow(&files, config->mail_dir, true);
    for (size_t i = 0; i < mail_accounts_count(accounts); i++) {
        confine_files_allow(&files, mail_accounts_at(accounts, i)->mailbox, true);
    }
    confine_files_allow(&files, config->users, false);
    for (size_t i = 0; i < config->server.tls.certificates.count; i++) {
        confine_files_allow(&files, config->server.tls.certificates.items[i], false);
        confine_files_allow(&files, config->server.tls.keys.items[i], false);
    }
    confine_files_allow(&files, config->server.tls.trust, false);
    if (!confine_files_end(&files)) {
        server_say(log, MAIL_LOG_DEBUG, "files not limited", "the system has no Landlock");
    }
}

int pop3d_settle(const pop3d_config *config, const mail_accounts *accounts, const supervisor *sv,
                 const server_log *log, pop3d_sockets *sockets, uint8_t disguise[LASTING_SIZE])
{
    confine_user user;
    mail_error err;
    int exit_code;

    if (confine_find_user(&user, config->server.confine.user, &err) != MAIL_OK) {
        return fail(EX_CONFIG, err.text);
    }
    lasting_secret(log, config->users, &user, disguise);
    exit_code = open_sockets(config, sv, sockets);
    if (exit_code != EX_OK) {
        return exit_code;
    }
    if (confine_become(&user, &err) != MAIL_OK) {
        return fail(EX_NOPERM, err.text);
    }
    if (!config->server.confine.no_sandbox) {
        confine_process();
        limit_files(config, accounts, log);
    }
    return EX_OK;
}
