/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

static void on_due(void *arg)
{
    relay *rl = arg;
    mail_deliver *deliver = rl->deliver;

    if (deliver != NULL) {
        mail_deliver_wake(deliver);
    }
}

static bool is_postmaster(const mail_path *address)
{
    return mail_span_equal_nocase(mail_path_local(address), MAIL_SPAN("postmaster"));
}

static bool has_user(const mail_path *address, void *arg)
{
    const relay *rl = arg;
    char path[MAIL_MAILBOX_PATH_SIZE];

    if (rl->tables.accounts != NULL) {
        return mail_accounts_find(rl->tables.accounts, address) != NULL;
    }
    return mail_mailbox_path(rl->config.mail_dir, address, path) == MAIL_OK;
}

/* The postmaster has a mailbox even without an account. */
static int mailbox_of(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE], void *arg)
{
    const relay *rl = arg;
    const mail_account *account;

    if (rl->tables.accounts == NULL || rl->config.capture) {
        return mail_mailbox_path(rl->config.mail_dir, address, path);
    }
    account = mail_accounts_find(rl->tables.accounts, address);
    if (account != NULL) {
        return mail_account_mailbox(account, rl->config.mail_dir, path);
    }
    return is_postmaster(address) ? mail_mailbox_path(rl->config.mail_dir, address, path)
                                  : MAIL_ENOENT;
}

static const mail_nexthop *route_of(mail_span domain, void *arg)
{
    const relay *rl = arg;

    return mail_deliver_route(rl->deliver, domain);
}

int relay_fail(int exit_code, const char *what, const char *why)
{
    fprintf(stderr, "relay: %s%s%s\n", what, why != NULL ? ": " : "", why != NULL ? why : "");
    return exit_code;
}

/* Of a spool that can't be opened. */
static int exit_code_of(int code)
{
    switch (code) {
    case MAIL_EBUSY:
        return EX_TEMPFAIL;
    case MAIL_EDAMAGED:
        return EX_DATAERR;
    case MAIL_EIO:
        return EX_IOERR;
    case MAIL_EPERM:
        return EX_NOPERM;
    case MAIL_EVERSION:
        return EX_CONFIG;
    default:
        return EX_CANTCREAT;
    }
}

/* How long an owner of the spool may take to let go of it, and how often it is tried. */
#define SPOOL_PATIENCE (3 * MAIL_SECOND)
#define SPOOL_PAUSE    (20 * MAIL_MILLISECOND)

/*
 * A command that an operator gives, or sendmail with two seconds to deliver, must not keep us from
 * starting: a service manager soon gives up.
 */
static int open_free_queue(relay *rl, const mail_queue_options *opts, mail_error *err)
{
    static const struct timespec pause = {.tv_nsec = SPOOL_PAUSE};
    const char *spool = rl->config.spool;
    int code = mail_queue_open(&rl->queue, spool, opts, err);

    for (mail_duration waited = 0; code == MAIL_EBUSY && waited < SPOOL_PATIENCE;
         waited += SPOOL_PAUSE) {
        if (waited == 0) {
            server_say(&rl->log, MAIL_LOG_DEBUG, "waiting for the spool", err->text);
        }
        nanosleep(&pause, NULL);
        code = mail_queue_open(&rl->queue, spool, opts, err);
    }
    return code;
}

static int open_queue(relay *rl)
{
    const relay_config *config = &rl->config;
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    mail_error err;
    int code;

    opts.log = &rl->log.log;
    opts.retry = config->retry.count > 0 ? config->retry.items : NULL;
    opts.retry_count = config->retry.count;
    opts.give_up = config->give_up;
    opts.warn_after = config->warn_after;
    opts.on_due = on_due;
    opts.on_due_arg = rl;
    code = open_free_queue(rl, &opts, &err);
    return code == MAIL_OK ? EX_OK : relay_fail(exit_code_of(code), config->spool, err.text);
}

int relay_check_spool(const relay_config *config)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    mail_queue *queue;
    mail_error err;
    int code;

    opts.read_only = true;
    code = mail_queue_open(&queue, config->spool, &opts, &err);
    if (code == MAIL_OK) {
        mail_queue_close(queue);
    }
    /* None is there yet: it will be made. */
    return code == MAIL_OK || code == MAIL_ENOENT ? EX_OK
                                                  : relay_fail(EX_CONFIG, config->spool, err.text);
}

static int make_resolver(relay *rl)
{
    const relay_config *config = &rl->config;
    mail_resolver_options opts = MAIL_RESOLVER_OPTIONS_INIT;

    opts.servers = config->resolvers.items;
    opts.server_count = config->resolvers.count;
    opts.own_hostname = mail_span_text(config->hostname);
    opts.allow_private = config->allow_private_mx;
    return mail_resolver_create(&rl->resolver, rl->loop, &opts);
}

/* A host is left alone no longer than the schedule of the messages that wait for it. */
static mail_duration shorter(mail_duration limit, const option_durations *retry, size_t index)
{
    return retry->count > 0 && retry->items[index] < limit ? retry->items[index] : limit;
}

void relay_take_outgoing(relay *rl, relay_tables *tables)
{
    mail_deliver_set_tls(rl->deliver, tables->tls_out, tables->tls_policies);
    mail_deliver_set_credentials(rl->deliver, tables->credentials);
    mail_tls_context_unref(tables->tls_out);
    tables->tls_out = NULL;
    tables->tls_policies = NULL;
    tables->credentials = NULL;
}

/* Whoever has dropped a message may wait for what becomes of it. */
static void on_delivery(const mail_delivery *delivery, void *arg)
{
    relay *rl = arg;

    if (rl->receive != NULL) {
        mail_receive_tell(rl->receive, delivery);
    }
}

static int make_deliver(relay *rl)
{
    const relay_config *config = &rl->config;
    const option_durations *retry = &config->retry;
    mail_deliver_options opts = MAIL_DELIVER_OPTIONS_INIT;
    mail_deliver *deliver;
    int code;

    opts.log = &rl->log.log;
    opts.queue = rl->queue;
    opts.resolver = rl->resolver;
    opts.hostname = mail_span_text(config->hostname);
    opts.smtp_port = config->smtp_port;
    opts.max_out_per_destination = config->max_out_per_destination;
    opts.max_timeout = config->out_timeout;
    opts.connect_timeout = config->out_timeout;
    opts.backoff = shorter(MAIL_MINUTE, retry, 0);
    opts.backoff_max = shorter(MAIL_HOUR, retry, retry->count > 0 ? retry->count - 1 : 0);
    opts.give_up = config->give_up;
    opts.store = rl->store;
    opts.metrics = rl->metrics.registry;
    opts.on_delivery = on_delivery;
    opts.delivery_arg = rl;
    opts.mailbox_of = mailbox_of;
    opts.mailbox_arg = rl;
    code = mail_deliver_create(&deliver, rl->loop, rl->tables.routes, &opts);
    if (code == MAIL_OK) {
        rl->deliver = deliver;
        rl->tables.routes = NULL;
        relay_take_outgoing(rl, &rl->tables);
    }
    return code;
}

void relay_take_tls(relay *rl, relay_tables *tables)
{
    if (tables->tls != NULL) {
        mail_receive_set_tls(rl->receive, tables->tls);
        mail_tls_context_unref(tables->tls);
        tables->tls = NULL;
    }
}

static int make_receive(relay *rl)
{
    const relay_config *config = &rl->config;
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    mail_login_options login = MAIL_LOGIN_OPTIONS_INIT;
    size_t count;
    mail_span *domains = relay_local_domains(config, &count);
    int code;

    if (domains == NULL) {
        return MAIL_ENOMEM;
    }
    opts.log = &rl->log.log;
    opts.queue = rl->queue;
    opts.hostname = mail_span_text(config->hostname);
    opts.local_domains = domains;
    opts.local_count = config->local.count;
    opts.relay_from = config->relay_from.list.items;
    opts.relay_count = config->relay_from.list.count;
    opts.proxy_from = config->server.proxy_from.items;
    opts.proxy_count = config->server.proxy_from.count;
    opts.metrics = rl->metrics.registry;
    opts.accept_all = config->capture;
    opts.has_user = has_user;
    opts.user_arg = rl;
    opts.route_of = route_of;
    opts.route_arg = rl;
    opts.accounts = rl->tables.accounts;
    memcpy(login.disguise, rl->disguise, sizeof(login.disguise));
    opts.login = rl->tables.accounts != NULL ? &login : NULL;
    opts.auth_insecure = config->auth_insecure;
    opts.engine.bare_newline = config->bare_newline;
    opts.engine.max_message_bytes = config->max_message_size;
    opts.engine.max_recipients = config->max_recipients;
    opts.engine.command_timeout = config->idle;
    opts.engine.data_timeout = config->idle;
    opts.limits = config->server.limits;
    opts.engine.max_errors = config->max_errors;
    opts.engine.max_refused = config->max_unknown_recipients;
    opts.engine.min_data_rate = config->min_rate;
    opts.engine.session_timeout = config->server.session_timeout;
    opts.engine.allow_early_talk = config->allow_early_talk;
    code = mail_receive_create(&rl->receive, rl->loop, &opts);
    free(domains);
    if (code == MAIL_OK) {
        mail_receive_set_aliases(rl->receive, rl->tables.aliases);
        rl->tables.aliases = NULL;
        relay_take_tls(rl, &rl->tables);
    }
    return code;
}

int relay_measure(relay *rl, const relay_config *config, const relay_tables *tables)
{
    int code;

    server_metrics_forget_certificates(&rl->metrics);
    code = server_metrics_add_certificates(&rl->metrics, &config->server.tls, tables->tls);
    return code == MAIL_OK ? server_metrics_add_certificates(&rl->metrics, &config->tls_outgoing,
                                                             tables->tls_out)
                           : code;
}

int relay_make(relay *rl)
{
    int exit_code = open_queue(rl);
    int code;

    if (exit_code != EX_OK) {
        return exit_code;
    }
    code = mail_maildir_create(&rl->store, NULL);
    if (code == MAIL_OK) {
        code = server_metrics_make(&rl->metrics, rl->config.server.metrics.count);
    }
    if (code == MAIL_OK) {
        code = relay_measure(rl, &rl->config, &rl->tables);
    }
    if (code == MAIL_OK) {
        code = make_resolver(rl);
    }
    if (code == MAIL_OK) {
        code = make_deliver(rl);
    }
    if (code == MAIL_OK) {
        code = make_receive(rl);
    }
    if (code != MAIL_OK) {
        return relay_fail(code == MAIL_EINVAL ? EX_CONFIG : EX_OSERR, "start", mail_strerror(code));
    }
    return EX_OK;
}

static int serve_listener(relay *rl, relay_listener *listener, server_ready *ready)
{
    const char *service = relay_listener_name(listener->kind);
    char where[SERVER_READY_SIZE];
    mail_error err;
    int fd = listener->fd;

    listener->fd = -1;
    if (mail_receive_listen_fd(rl->receive, fd, listener->kind, &err) != MAIL_OK) {
        return relay_fail(EX_UNAVAILABLE, err.text, NULL);
    }
    if (listener->path != NULL) {
        snprintf(where, sizeof(where), "unix:%s", listener->path);
        server_ready_add(ready, service, where);
    } else {
        server_ready_add_endpoint(ready, service, &listener->at);
    }
    return EX_OK;
}

int relay_listen(relay *rl, server_ready *ready)
{
    mail_error err;

    for (size_t i = 0; i < rl->config.listeners.count; i++) {
        int exit_code = serve_listener(rl, &rl->config.listeners.items[i], ready);

        if (exit_code != EX_OK) {
            return exit_code;
        }
    }
    if (server_metrics_serve(&rl->metrics, rl->loop, &rl->config.server.metrics, ready, &err) !=
        MAIL_OK) {
        return relay_fail(EX_UNAVAILABLE, err.text, NULL);
    }
    if (mail_receive_watch_drop(rl->receive, rl->config.spool, &err) != MAIL_OK) {
        return relay_fail(EX_CANTCREAT, err.text, NULL);
    }
    return EX_OK;
}

void relay_unmake(relay *rl)
{
    mail_deliver *deliver = rl->deliver;

    server_metrics_stop(&rl->metrics);
    mail_receive_destroy(rl->receive);
    rl->receive = NULL; /* deliveries that end now have nobody to tell */
    rl->deliver = NULL;
    mail_deliver_destroy(deliver);
    server_metrics_deinit(&rl->metrics);
    if (rl->queue != NULL) {
        mail_queue_close(rl->queue);
    }
    mail_resolver_destroy(rl->resolver);
}
