/* SPDX-License-Identifier: MIT */
/*
 * From the rights of whoever started us to those that we need: files are read and ports opened
 * first, and all this before there is a second thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <mail/listen.h>

#include "common/doubts.h"
#include "relay.h"

/* A socket of no name is for other hosts. */
static int kind_of(const supervisor_socket *socket, mail_receive_kind *kind)
{
    *kind = MAIL_RECEIVE_SMTP;
    if (!supervisor_socket_is_named(socket)) {
        return MAIL_OK;
    }
    while (*kind <= MAIL_RECEIVE_SUBMISSIONS &&
           strcmp(socket->name, relay_listener_name(*kind)) != 0) {
        ++*kind;
    }
    return *kind <= MAIL_RECEIVE_SUBMISSIONS ? MAIL_OK : MAIL_EINVAL;
}

/* Those that were handed over come behind those that are asked for, and instead of the usual one. */
static int take_sockets(relay *rl)
{
    relay_config *config = &rl->config;

    if (rl->supervisor.socket_count > 0 && config->listeners.is_default) {
        config->listeners.count = 0;
    }
    for (size_t i = 0; i < rl->supervisor.socket_count; i++) {
        const supervisor_socket *socket = &rl->supervisor.sockets[i];
        relay_listener listener = {.at = socket->at, .fd = socket->fd};

        listener.path = socket->at.ip.family == 0 ? socket->name : NULL;
        if (kind_of(socket, &listener.kind) != MAIL_OK) {
            return relay_fail(EX_CONFIG, "a socket was handed over with an unknown name",
                              socket->name);
        }
        if (relay_config_add_listener(config, &listener) != MAIL_OK) {
            return relay_fail(EX_OSERR, "start", mail_strerror(MAIL_ENOMEM));
        }
    }
    return EX_OK;
}

/* A unix socket is for the user that we are about to be. */
static int open_unix(relay_listener *listener, const confine_user *user, mail_error *err)
{
    int code = mail_listen_open_unix(&listener->fd, listener->path, err);

    return code == MAIL_OK ? confine_give(user, listener->path, err) : code;
}

static int open_listeners(relay *rl, const confine_user *user)
{
    relay_listeners *listeners = &rl->config.listeners;
    mail_error err;

    for (size_t i = 0; i < listeners->count; i++) {
        relay_listener *listener = &listeners->items[i];
        int code;

        if (listener->fd >= 0) {
            continue;
        }
        code = listener->path != NULL
                   ? open_unix(listener, user, &err)
                   : mail_listen_open(&listener->fd, &listener->at, &listener->at, &err);
        if (code != MAIL_OK) {
            return relay_fail(EX_UNAVAILABLE, err.text, NULL);
        }
    }
    return EX_OK;
}

/* Mailboxes lie in the usual folder, or where the accounts say. */
static void allow_mailboxes(const relay *rl, confine_files *files)
{
    const mail_accounts *accounts = rl->tables.accounts;

    confine_files_allow(files, rl->config.mail_dir, true);
    for (size_t i = 0; accounts != NULL && i < mail_accounts_count(accounts); i++) {
        confine_files_allow(files, mail_accounts_at(accounts, i)->mailbox, true);
    }
}

static void allow_all(const option_texts *paths, confine_files *files)
{
    for (size_t i = 0; i < paths->count; i++) {
        confine_files_allow(files, paths->items[i], false);
    }
}

/* What stands behind `word` in a rule of --auth-out, or NULL. */
static const char *source_of(const char *rule, const char *word)
{
    const char *found = strstr(rule, word);

    return found != NULL ? found + strlen(word) : NULL;
}

bool relay_runs_commands(const relay_config *config)
{
    bool found = false;

    for (size_t i = 0; i < config->auth_out.count; i++) {
        const char *rule = config->auth_out.items[i];

        found = found || source_of(rule, ",command:") != NULL ||
                source_of(rule, ",token-command:") != NULL;
    }
    return found;
}

/* Passwords are read when they are needed. */
static void allow_secrets(const option_texts *rules, confine_files *files)
{
    for (size_t i = 0; i < rules->count; i++) {
        confine_files_allow(files, source_of(rules->items[i], ",file:"), false);
        confine_files_allow(files, source_of(rules->items[i], ",token-file:"), false);
    }
}

/* Unix sockets go with us. */
static void allow_sockets(const relay_listeners *listeners, confine_files *files)
{
    for (size_t i = 0; i < listeners->count; i++) {
        confine_files_allow_removal(files, listeners->items[i].path);
    }
}

void relay_doubt(const server_log *log, const relay_config *config, const relay_tables *tables)
{
    mail_wall now = time(NULL);

    doubt_secret(log, config->users);
    doubt_secrets(log, &config->server.tls.keys);
    doubt_secrets(log, &config->tls_outgoing.keys);
    for (size_t i = 0; i < config->auth_out.count; i++) {
        doubt_secret(log, source_of(config->auth_out.items[i], ",file:"));
        doubt_secret(log, source_of(config->auth_out.items[i], ",token-file:"));
    }
    doubt_certificates(log, &config->server.tls, tables->tls, now);
    doubt_certificates(log, &config->tls_outgoing, tables->tls_out, now);
}

static void limit_files(const relay *rl)
{
    const relay_config *config = &rl->config;
    confine_files files;

    confine_files_begin(&files);
    confine_files_allow(&files, config->spool, true);
    allow_mailboxes(rl, &files);
    confine_files_allow(&files, config->path, false);
    confine_files_allow(&files, config->users, false);
    confine_files_allow(&files, config->aliases, false);
    allow_all(&config->server.tls.certificates, &files);
    allow_all(&config->server.tls.keys, &files);
    confine_files_allow(&files, config->server.tls.trust, false);
    allow_all(&config->tls_outgoing.certificates, &files);
    allow_all(&config->tls_outgoing.keys, &files);
    confine_files_allow(&files, config->tls_outgoing.trust, false);
    allow_secrets(&config->auth_out, &files);
    allow_sockets(&config->listeners, &files);
    if (!confine_files_end(&files)) {
        server_say(&rl->log, MAIL_LOG_DEBUG, "files not limited", "the system has no Landlock");
    }
}

static int make_dirs(const relay_config *config, const confine_user *user, mail_error *err)
{
    int code = confine_make_dir(user, config->spool, err);

    return code == MAIL_OK ? confine_make_dir(user, config->mail_dir, err) : code;
}

static int give_up_rights(const relay *rl, const confine_user *user)
{
    mail_error err;

    if (make_dirs(&rl->config, user, &err) != MAIL_OK) {
        return relay_fail(EX_CANTCREAT, err.text, NULL);
    }
    if (confine_become(user, &err) != MAIL_OK) {
        return relay_fail(EX_NOPERM, err.text, NULL);
    }
    if (!rl->config.server.confine.no_sandbox) {
        confine_process();
        if (relay_runs_commands(&rl->config)) { /* and who knows what they need */
            server_say(&rl->log, MAIL_LOG_INFO, "files not limited", "--auth-out has a command");
        } else {
            limit_files(rl);
        }
    }
    return EX_OK;
}

int relay_settle(relay *rl)
{
    confine_user user;
    mail_error err;
    int exit_code;

    if (confine_find_user(&user, rl->config.server.confine.user, &err) != MAIL_OK ||
        relay_tables_read(&rl->tables, &rl->config, &err) != MAIL_OK) {
        return relay_fail(EX_CONFIG, err.text, NULL);
    }
    relay_doubt(&rl->log, &rl->config, &rl->tables);
    if (rl->config.users != NULL) {
        lasting_secret(&rl->log, rl->config.users, &user, rl->disguise);
    }
    exit_code = take_sockets(rl);
    if (exit_code == EX_OK) {
        exit_code = open_listeners(rl, &user);
    }
    return exit_code == EX_OK ? give_up_rights(rl, &user) : exit_code;
}
