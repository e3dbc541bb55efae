/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include <mail/accounts.h>
#include <mail/pop3_service.h>
#include <mail/store.h>

#include "common/doubts.h"
#include "common/server.h"
#include "common/server_loop.h"
#include "common/server_metrics.h"
#include "settle.h"

/* What SIGHUP reads anew. */
typedef struct pop3d_tables {
    mail_accounts *accounts;
    mail_tls_context *tls; /* NULL: no certificate */
} pop3d_tables;

/* A POP3 server is a store, the accounts that may open it, and a service on a loop. */
typedef struct pop3d {
    pop3d_config config;
    supervisor supervisor;
    pop3d_sockets sockets;
    server_log log;
    server_loop *runner;
    mail_loop *loop;
    mail_store *store;
    pop3d_tables tables;
    uint8_t disguise[LASTING_SIZE];
    mail_pop3_service *service;
    server_metrics metrics;
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
    server_loop_stop(((pop3d *)arg)->runner);
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
    pd->loop->ops->timer_set(pd->patience, mail_loop_now(pd->loop) + pd->config.server.drain);
    mail_pop3_service_drain(pd->service, on_drained, pd);
}

static void drop_tables(pop3d_tables *tables)
{
    mail_accounts_unref(tables->accounts);
    mail_tls_context_unref(tables->tls);
    *tables = (pop3d_tables){.accounts = NULL};
}

static bool wants_tls(const pop3d_config *config)
{
    for (size_t i = 0; i < config->listeners.count; i++) {
        if (config->listeners.items[i].is_tls) {
            return true;
        }
    }
    return false;
}

static int read_tables(pop3d_tables *tables, const pop3d_config *config, mail_error *err)
{
    int code;

    *tables = (pop3d_tables){.accounts = NULL};
    code = mail_accounts_load(&tables->accounts, config->users, NULL, err);
    if (code == MAIL_OK) {
        code = tls_files_load(&config->server.tls, &tables->tls, err);
    }
    if (code == MAIL_OK && tables->tls == NULL && wants_tls(config)) {
        code = mail_error_set(err, MAIL_EINVAL, "--pop3s needs --tls-cert and --tls-key");
    }
    if (code != MAIL_OK) {
        drop_tables(tables);
    }
    return code;
}

/* Of files that serve, but that somebody should look after. */
static void doubt_files(const pop3d *pd, const pop3d_tables *tables)
{
    const server_options *options = &pd->config.server;

    doubt_secret(&pd->log, pd->config.users);
    doubt_secrets(&pd->log, &options->tls.keys);
    doubt_certificates(&pd->log, &options->tls, tables->tls, time(NULL));
}

/* Shows how long the certificates last. */
static int measure(pop3d *pd, const pop3d_tables *tables)
{
    server_metrics_forget_certificates(&pd->metrics);
    return server_metrics_add_certificates(&pd->metrics, &pd->config.server.tls, tables->tls);
}

/* A file with a mistake changes nothing. */
static void reload(pop3d *pd)
{
    pop3d_tables tables;
    mail_error err;

    if (read_tables(&tables, &pd->config, &err) != MAIL_OK) {
        server_say(&pd->log, MAIL_LOG_ERROR, "not reloaded", err.text);
        return;
    }
    doubt_files(pd, &tables);
    (void)measure(pd, &tables); /* without memory they are missing there */
    mail_pop3_service_set_accounts(pd->service, tables.accounts);
    if (tables.tls != NULL) {
        mail_pop3_service_set_tls(pd->service, tables.tls);
    }
    drop_tables(&pd->tables);
    pd->tables = tables;
    server_say(&pd->log, MAIL_LOG_INFO, "reloaded", NULL);
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
    mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
    int code;

    opts.log = &pd->log.log;
    opts.metrics = pd->metrics.registry;
    opts.store = pd->store;
    opts.accounts = pd->tables.accounts;
    memcpy(login.disguise, pd->disguise, sizeof(login.disguise));
    opts.login = &login;
    opts.mail_dir = config->mail_dir;
    opts.auth_insecure = config->auth_insecure;
    opts.proxy_from = config->server.proxy_from.items;
    opts.proxy_count = config->server.proxy_from.count;
    opts.limits = config->server.limits;
    code = mail_pop3_service_create(&pd->service, pd->loop, &opts);
    if (code == MAIL_OK && pd->tables.tls != NULL) {
        mail_pop3_service_set_tls(pd->service, pd->tables.tls);
    }
    return code;
}

static int make_parts(pop3d *pd)
{
    int code = mail_maildir_create(&pd->store, NULL);

    if (code == MAIL_OK) {
        code = server_loop_create(&pd->runner);
    }
    if (code != MAIL_OK) {
        return code;
    }
    pd->loop = server_loop_loop(pd->runner);
    code = pd->loop->ops->timer(pd->loop, on_impatient, pd, &pd->patience);
    if (code == MAIL_OK) {
        code = server_metrics_make(&pd->metrics, pd->config.server.metrics.count);
    }
    if (code == MAIL_OK) {
        code = measure(pd, &pd->tables);
    }
    return code == MAIL_OK ? make_service(pd) : code;
}

static int listen_all(pop3d *pd, server_ready *ready)
{
    mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;

    engine.hostname = mail_span_text(pd->config.hostname);
    engine.idle_timeout = pd->config.idle;
    engine.stls = true;
    engine.session_timeout = pd->config.server.session_timeout;
    engine.min_rate = pd->config.min_rate;
    for (size_t i = 0; i < pd->sockets.count; i++) {
        pop3d_socket *socket = &pd->sockets.items[i];
        const char *service = socket->is_tls ? "pop3s" : "pop3";
        int fd = socket->fd;
        mail_error err;

        socket->fd = -1;
        engine.implicit_tls = socket->is_tls;
        if (mail_pop3_service_listen_fd(pd->service, fd, &engine, &err) != MAIL_OK) {
            return fail(EX_UNAVAILABLE, err.text);
        }
        if (socket->at.ip.family == 0) {
            server_ready_add(ready, service, "unix");
        } else {
            server_ready_add_endpoint(ready, service, &socket->at);
        }
    }
    return EX_OK;
}

static int serve(pop3d *pd)
{
    static const server_signal_ops signals = {on_stop, on_reload};
    server_ready ready = {""};
    mail_error err;
    int code = make_parts(pd);

    if (code != MAIL_OK) {
        return fail(EX_OSERR, mail_strerror(code));
    }
    code = listen_all(pd, &ready);
    if (code != EX_OK) {
        return code;
    }
    if (server_metrics_serve(&pd->metrics, pd->loop, &pd->config.server.metrics, &ready, &err) !=
        MAIL_OK) {
        return fail(EX_UNAVAILABLE, err.text);
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
    server_say(&pd->log, MAIL_LOG_INFO, "started", ready.text + 1);
    server_loop_run(pd->runner);
    return EX_OK;
}

/* Everything up to the first thread. */
static int prepare(pop3d *pd)
{
    mail_error err;

    if (supervisor_init(&pd->supervisor, &err) != MAIL_OK) {
        return fail(EX_CONFIG, err.text);
    }
    confine_early(SUPERVISOR_FIRST_SOCKET + (int)pd->supervisor.socket_count, false);
    return pop3d_settle(&pd->config, pd->tables.accounts, &pd->supervisor, &pd->log, &pd->sockets,
                        pd->disguise);
}

static int run(pop3d *pd)
{
    int code = prepare(pd);

    return code == EX_OK ? serve(pd) : code;
}

static int check(const pop3d_config *config)
{
    confine_user user;
    mail_error err;

    return confine_find_user(&user, config->server.confine.user, &err) == MAIL_OK
               ? EX_OK
               : fail(EX_CONFIG, err.text);
}

static void clean_up(pop3d *pd)
{
    server_signals_unwatch();
    supervisor_deinit(&pd->supervisor);
    server_metrics_stop(&pd->metrics);
    mail_pop3_service_destroy(pd->service);
    server_metrics_deinit(&pd->metrics);
    if (pd->runner != NULL) {
        pd->loop->ops->untimer(pd->patience);
        server_loop_destroy(pd->runner);
    }
    mail_store_destroy(pd->store);
    drop_tables(&pd->tables);
    free(pd->sockets.items);
}

int main(int argc, char **argv)
{
    pop3d pd = {.store = NULL};
    mail_error err;
    int code = pop3d_config_read(&pd.config, argc, argv);

    if (code == OPTIONS_GO) {
        server_log_init(&pd.log, pd.config.server.log_level, pd.config.server.log_format);
        if (read_tables(&pd.tables, &pd.config, &err) != MAIL_OK) {
            code = fail(EX_CONFIG, err.text);
        } else {
            doubt_files(&pd, &pd.tables);
            code = pd.config.check ? check(&pd.config) : run(&pd);
        }
        clean_up(&pd);
    }
    pop3d_config_deinit(&pd.config);
    return code;
}
