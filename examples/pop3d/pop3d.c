/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include <mail/accounts.h>
#include <mail/loop_uv.h>
#include <mail/pop3_service.h>
#include <mail/store.h>

#include "common/server.h"
#include "settle.h"

/* A POP3 server is a store, the accounts that may open it, and a service on a loop. */
typedef struct pop3d {
    pop3d_config config;
    supervisor supervisor;
    pop3d_sockets sockets;
    server_log log;
    mail_loop_uv *uv;
    mail_loop *loop;
    mail_store *store;
    mail_accounts *accounts;
    mail_pop3_service *service;
    mail_timer *patience; /* how long a drain may take */
    bool is_stopping;
} pop3d;

static int fail(int exit_code, const char *why)
{
    fprintf(stderr, "pop3d: %s\n", why);
    return exit_code;
}

static void on_drained(void *arg)
{
    mail_loop_uv_stop(((pop3d *)arg)->uv);
}

static void on_impatient(void *arg)
{
    mail_pop3_service_cut(((pop3d *)arg)->service);
}

/* The second time, nobody is waited for. */
static void on_stop(void *arg)
{
    pop3d *pd = arg;

    if (pd->is_stopping) {
        on_impatient(pd);
        return;
    }
    pd->is_stopping = true;
    supervisor_tell(&pd->supervisor, "STOPPING=1");
    server_say(&pd->log, MAIL_LOG_INFO, "stopping", NULL);
    pd->loop->ops->timer_set(pd->patience, mail_loop_now(pd->loop) + pd->config.drain);
    mail_pop3_service_drain(pd->service, on_drained, pd);
}

/* A file with a mistake changes nothing. */
static void reload(pop3d *pd)
{
    mail_accounts *accounts;
    mail_error err;

    if (mail_accounts_load(&accounts, pd->config.users, NULL, &err) != MAIL_OK) {
        server_say(&pd->log, MAIL_LOG_ERROR, "users not reloaded", err.text);
        return;
    }
    mail_pop3_service_set_accounts(pd->service, accounts);
    mail_accounts_release(pd->accounts);
    pd->accounts = accounts;
    server_say(&pd->log, MAIL_LOG_INFO, "users reloaded", pd->config.users);
}

static void on_reload(void *arg)
{
    pop3d *pd = arg;

    supervisor_tell_reloading(&pd->supervisor);
    reload(pd);
    supervisor_tell(&pd->supervisor, "READY=1");
}

static int make_service(pop3d *pd)
{
    const pop3d_config *config = &pd->config;
    mail_pop3_service_options opts = MAIL_POP3_SERVICE_OPTIONS_INIT;

    opts.log = &pd->log.log;
    opts.store = pd->store;
    opts.accounts = pd->accounts;
    opts.mail_dir = config->mail_dir;
    opts.auth_insecure = config->auth_insecure;
    opts.proxy_from = config->proxy_from.items;
    opts.proxy_count = config->proxy_from.count;
    opts.max_sessions = config->max_sessions;
    opts.max_sessions_per_client = config->max_sessions_per_client;
    return mail_pop3_service_create(&pd->service, pd->loop, &opts);
}

static int make_parts(pop3d *pd)
{
    int code = mail_maildir_create(&pd->store, NULL);

    if (code == MAIL_OK) {
        code = mail_loop_uv_create(&pd->uv, NULL, NULL);
    }
    if (code != MAIL_OK) {
        return code;
    }
    pd->loop = mail_loop_uv_loop(pd->uv);
    code = pd->loop->ops->timer(pd->loop, on_impatient, pd, &pd->patience);
    return code == MAIL_OK ? make_service(pd) : code;
}

static int listen_all(pop3d *pd, server_ready *ready)
{
    mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;

    engine.hostname = mail_span_text(pd->config.hostname);
    engine.idle_timeout = pd->config.idle;
    for (size_t i = 0; i < pd->sockets.count; i++) {
        pop3d_socket *socket = &pd->sockets.items[i];
        int fd = socket->fd;
        mail_error err;

        socket->fd = -1;
        if (mail_pop3_service_listen_fd(pd->service, fd, &engine, &err) != MAIL_OK) {
            return fail(EX_UNAVAILABLE, err.text);
        }
        if (socket->at.ip.family == 0) {
            server_ready_add(ready, "pop3", "unix");
        } else {
            server_ready_add_endpoint(ready, "pop3", &socket->at);
        }
    }
    return EX_OK;
}

static int serve(pop3d *pd)
{
    static const server_signal_ops signals = {on_stop, on_reload};
    server_ready ready = {""};
    int code = make_parts(pd);

    if (code != MAIL_OK) {
        return fail(EX_OSERR, mail_strerror(code));
    }
    code = listen_all(pd, &ready);
    if (code != EX_OK) {
        return code;
    }
    code = server_signals_watch(pd->loop, &signals, pd);
    if (code == MAIL_OK) {
        code = supervisor_watch(&pd->supervisor, pd->loop);
    }
    if (code != MAIL_OK) {
        return fail(EX_OSERR, mail_strerror(code));
    }
    if (!server_ready_print(&ready)) {
        return fail(EX_IOERR, "standard output can't be written");
    }
    supervisor_tell(&pd->supervisor, "READY=1");
    mail_loop_uv_run(pd->uv);
    return EX_OK;
}

/* Everything up to the first thread. */
static int prepare(pop3d *pd)
{
    mail_error err;

    if (supervisor_init(&pd->supervisor, &err) != MAIL_OK) {
        return fail(EX_CONFIG, err.text);
    }
    confine_early(SUPERVISOR_FIRST_SOCKET + (int)pd->supervisor.socket_count);
    return pop3d_settle(&pd->config, pd->accounts, &pd->supervisor, &pd->log, &pd->sockets);
}

static int run(pop3d *pd)
{
    int code = prepare(pd);

    return code == EX_OK ? serve(pd) : code;
}

static void clean_up(pop3d *pd)
{
    server_signals_unwatch();
    supervisor_deinit(&pd->supervisor);
    mail_pop3_service_destroy(pd->service);
    if (pd->uv != NULL) {
        pd->loop->ops->untimer(pd->patience);
        mail_loop_uv_destroy(pd->uv);
    }
    mail_store_destroy(pd->store);
    mail_accounts_release(pd->accounts);
    free(pd->sockets.items);
}

int main(int argc, char **argv)
{
    pop3d pd = {.store = NULL};
    mail_error err;
    int code = pop3d_config_read(&pd.config, argc, argv);

    if (code == OPTIONS_GO) {
        server_log_init(&pd.log, pd.config.log_level, pd.config.log_format);
        if (mail_accounts_load(&pd.accounts, pd.config.users, NULL, &err) != MAIL_OK) {
            code = fail(EX_CONFIG, err.text);
        } else {
            code = pd.config.check ? EX_OK : run(&pd);
        }
        clean_up(&pd);
    }
    pop3d_config_deinit(&pd.config);
    return code;
}
