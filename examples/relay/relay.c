/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static void on_drain_timeout(void *arg)
{
    const relay *rl = arg;

    server_say(&rl->log, MAIL_LOG_WARN, "stopping with work under way", NULL);
    server_loop_stop(rl->runner);
}

static void on_drained(void *arg)
{
    relay *rl = arg;

    if (--rl->draining == 0) {
        server_loop_stop(rl->runner);
    }
}

/* Asked a second time it goes at once. */
static void on_stop(void *arg)
{
    relay *rl = arg;

    if (rl->is_stopping) {
        server_loop_stop(rl->runner);
        return;
    }
    rl->is_stopping = true;
    supervisor_tell(&rl->supervisor, "STOPPING=1");
    rl->draining = 2;
    server_say(&rl->log, MAIL_LOG_INFO, "stopping", NULL);
    rl->loop->ops->timer_set(rl->drain_timer, mail_loop_now(rl->loop) + rl->config.server.drain);
    mail_receive_drain(rl->receive, on_drained, rl);
    mail_deliver_drain(rl->deliver, on_drained, rl);
}

/* With the first accounts every other address would cease to exist, and with the last come back. */
static bool keeps_users(const relay *rl, const relay_config *config, mail_error *err)
{
    if ((config->users == NULL) == (rl->config.users == NULL)) {
        return true;
    }
    mail_error_set(err, MAIL_EINVAL, "users can't come or go without a restart");
    return false;
}

/* What is wrong goes where all else goes, without our name in front. */
static bool read_config_anew(const relay *rl, relay_config *config, mail_error *err)
{
    char *said = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&said, &length);
    int code = relay_config_read(config, rl->argc, rl->argv, out != NULL ? out : stderr);
    const char *colon = NULL;

    if (out != NULL && fclose(out) == 0 && code != OPTIONS_GO) {
        said[strcspn(said, "\n")] = '\0';
        colon = strstr(said, ": ");
    }
    mail_error_set(err, MAIL_EINVAL, "%s", colon != NULL ? colon + 2 : "the configuration is bad");
    free(said);
    return code == OPTIONS_GO;
}

static void on_reload(void *arg)
{
    relay *rl = arg;
    relay_config config;
    relay_tables tables;
    mail_error err;
    bool good;

    supervisor_tell_reloading(&rl->supervisor);
    good = read_config_anew(rl, &config, &err) && keeps_users(rl, &config, &err) &&
           relay_tables_read(&tables, &config, &err) == MAIL_OK;

    if (good) {
        relay_doubt(&rl->log, &config, &tables);
        (void)relay_measure(rl, &config, &tables); /* without memory they are missing there */
        mail_deliver_set_routes(rl->deliver, tables.routes);
        mail_receive_set_aliases(rl->receive, tables.aliases);
        mail_accounts_unref(rl->tables.accounts);
        rl->tables.accounts = tables.accounts;
        if (tables.accounts != NULL) {
            mail_receive_set_accounts(rl->receive, tables.accounts);
        }
        relay_take_tls(rl, &tables);
        relay_take_outgoing(rl, &tables);
        server_say(&rl->log, MAIL_LOG_INFO, "reloaded", NULL);
    } else {
        server_say(&rl->log, MAIL_LOG_ERROR, "not reloaded", err.text);
    }
    relay_config_deinit(&config);
    supervisor_tell(&rl->supervisor, "READY=1");
}

static int run(relay *rl)
{
    static const server_signal_ops ops = {on_stop, on_reload};
    server_ready ready = {""};
    int exit_code = relay_make(rl);
    int code;

    if (exit_code == EX_OK) {
        exit_code = relay_listen(rl, &ready);
    }
    if (exit_code != EX_OK) {
        return exit_code;
    }
    code = rl->loop->ops->timer(rl->loop, on_drain_timeout, rl, &rl->drain_timer);
    if (code == MAIL_OK) {
        code = server_signals_watch(rl->loop, &ops, rl);
    }
    if (code == MAIL_OK) {
        code = supervisor_watch(&rl->supervisor, rl->loop);
    }
    if (code != MAIL_OK) {
        return relay_fail(EX_OSERR, "start", mail_strerror(code));
    }
    (void)server_ready_print(&ready); /* whoever started us may not care */
    supervisor_tell(&rl->supervisor, "READY=1");
    server_say(&rl->log, MAIL_LOG_INFO, "started", ready.text + 1);
    return server_loop_run(rl->runner) == MAIL_OK ? EX_OK : EX_OSERR;
}

/* The loop outlives all that stands on it, and the store what its workers do. */
static int run_on_loop(relay *rl)
{
    int code = server_loop_create(&rl->runner);
    int exit_code;

    if (code != MAIL_OK) {
        return relay_fail(EX_OSERR, "start", mail_strerror(code));
    }
    rl->loop = server_loop_loop(rl->runner);
    exit_code = run(rl);
    server_signals_unwatch();
    supervisor_deinit(&rl->supervisor);
    relay_unmake(rl);
    rl->loop->ops->untimer(rl->drain_timer);
    server_loop_destroy(rl->runner);
    mail_store_destroy(rl->store);
    relay_tables_deinit(&rl->tables);
    return exit_code;
}

static int check(const relay_config *config)
{
    relay_tables tables;
    server_log log;
    confine_user user;
    mail_error err;

    if (relay_tables_read(&tables, config, &err) != MAIL_OK) {
        return relay_fail(EX_CONFIG, err.text, NULL);
    }
    server_log_init(&log, config->server.log_level, config->server.log_format);
    relay_doubt(&log, config, &tables);
    relay_tables_deinit(&tables);
    if (confine_find_user(&user, config->server.confine.user, &err) != MAIL_OK ||
        confine_check_dir(config->spool, &err) != MAIL_OK) {
        return relay_fail(EX_CONFIG, err.text, NULL);
    }
    return relay_check_spool(config);
}

static int serve(relay *rl)
{
    mail_error err;
    int exit_code;

    if (supervisor_init(&rl->supervisor, &err) != MAIL_OK) {
        return relay_fail(EX_CONFIG, err.text, NULL);
    }
    confine_early(SUPERVISOR_FIRST_SOCKET + (int)rl->supervisor.socket_count,
                  relay_runs_commands(&rl->config));
    server_raise_limits();
    /* Workers wait for the disk, not for the processor: more of them share its flushes. */
    setenv("UV_THREADPOOL_SIZE", "16", 0);
    server_log_init(&rl->log, rl->config.server.log_level, rl->config.server.log_format);
    exit_code = relay_settle(rl);
    if (exit_code != EX_OK) {
        relay_tables_deinit(&rl->tables);
        return exit_code;
    }
    return run_on_loop(rl);
}

int main(int argc, char **argv)
{
    relay rl = {.argc = argc, .argv = argv};
    int exit_code = relay_config_read(&rl.config, argc, argv, stderr);

    if (exit_code == OPTIONS_GO && rl.config.check) {
        exit_code = check(&rl.config);
    } else if (exit_code == OPTIONS_GO) {
        exit_code = serve(&rl);
    }
    relay_config_deinit(&rl.config);
    return exit_code;
}
