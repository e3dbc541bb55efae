/* SPDX-License-Identifier: MIT */
#include <mail/pop3_service.h>

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "net/pop3_session.h"

static void on_drained(void *arg)
{
    mail_pop3_service *service = arg;

    service->drain_fn(service->drain_arg);
}

static void check_drained(mail_pop3_service *service);

static void on_idle(void *arg)
{
    check_drained(arg);
}

static void set_defaults(mail_pop3_service_options *opts)
{
    if (opts->mail_dir == NULL) {
        opts->mail_dir = ".";
    }
}

static bool is_valid(const mail_pop3_service_options *opts)
{
    return opts->size > 0 && opts->size <= sizeof(*opts) && opts->store != NULL;
}

static void serve(int fd, const mail_endpoint *peer, mail_span said, void *arg);
static void refuse(int fd, const mail_endpoint *peer, net_limit limit, void *arg);

static int make_door(mail_pop3_service *service)
{
    const mail_pop3_service_options *opts = &service->opts;
    const net_door_options door = {
        .loop = service->loop,
        .mem = service->mem,
        .net = service->net,
        .log = opts->log,
        .metrics = opts->metrics,
        .limits = opts->limits,
        .proxy_from = opts->proxy_from,
        .proxy_count = opts->proxy_count,
        .serve = serve,
        .refuse = refuse,
    };

    return net_door_init(&service->door, &door);
}

#define COUNTER(name, help, label, value)                                                          \
    {                                                                                              \
        MAIL_METRIC_COUNTER, "libmail_pop3_" name, help, label, value                              \
    }

static void on_measure(void *arg)
{
    mail_pop3_service *service = arg;

    mail_metric_set(service->measure.open, service->door.sessions);
}

static int start_measuring(mail_pop3_service *service)
{
    static const mail_metric_about open = {MAIL_METRIC_GAUGE, "libmail_pop3_sessions_open",
                                           "POP3 sessions open now.", NULL, NULL};
    static const char logins[] = "Logins to mailboxes, by what came of them.";
    pop3_measure *measure = &service->measure;
    const struct {
        mail_metric_about about;
        mail_metric **metric;
    } rows[] = {
        {COUNTER("sessions_total", "POP3 sessions with clients.", NULL, NULL), &measure->sessions},
        {open, &measure->open},
        {COUNTER("logins_total", logins, "outcome", "accepted"), &measure->accepted},
        {COUNTER("logins_total", logins, "outcome", "refused"), &measure->refused},
        {COUNTER("retrieved_total", "Messages sent to clients.", NULL, NULL), &measure->retrieved},
        {COUNTER("removed_total", "Messages removed for clients.", NULL, NULL), &measure->removed},
    };
    int code = MAIL_OK;

    for (size_t i = 0; i < MAIL_COUNT(rows) && code == MAIL_OK; i++) {
        code = mail_metrics_add(service->opts.metrics, &rows[i].about, rows[i].metric);
    }
    return code == MAIL_OK ? mail_metrics_ask(service->opts.metrics, on_measure, service) : code;
}

int mail_pop3_service_create(mail_pop3_service **out, mail_loop *loop,
                             const mail_pop3_service_options *opts)
{
    mail_pop3_service *service;
    int code = MAIL_ENOMEM;

    if (!is_valid(opts)) {
        return MAIL_EINVAL;
    }
    service = mem_alloc(opts->mem, sizeof(*service));
    if (service == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(&service->opts, opts, opts->size);
    set_defaults(&service->opts);
    service->loop = loop;
    service->mem = opts->mem;
    service->net = service->opts.sockets != NULL ? service->opts.sockets : &net_system_sockets;
    list_init(&service->listeners);
    list_init(&service->sessions);
    service->last_words = NET_LAST_WORDS;
    service->mail_dir = mem_text(service->mem, mail_span_text(service->opts.mail_dir));
    if (service->mail_dir != NULL) {
        code = make_door(service);
    }
    if (code == MAIL_OK) {
        code = net_logins_create(&service->logins, loop, service->mem, opts->accounts, opts->login,
                                 on_idle, service);
    }
    if (code == MAIL_OK) {
        code = loop->ops->timer(loop, on_drained, service, &service->drained);
    }
    if (code == MAIL_OK) {
        code = start_measuring(service);
    }
    if (code != MAIL_OK) {
        loop->ops->untimer(service->drained);
        net_logins_destroy(service->logins);
        net_door_deinit(&service->door);
        mem_free(service->mem, service->mail_dir, strlen(service->opts.mail_dir) + 1);
        mem_free(service->mem, service, sizeof(*service));
        return code;
    }
    *out = service;
    return MAIL_OK;
}

static void close_listeners(mail_pop3_service *service)
{
    while (!list_is_empty(&service->listeners)) {
        pop3_listener *ls = LIST_OWNER(list_pop_front(&service->listeners), pop3_listener, link);

        net_listener_deinit(&ls->listener);
        mem_free(service->mem, ls->hostname, ls->engine.hostname.length + 1);
        mem_free(service->mem, ls, sizeof(*ls));
    }
}

void mail_pop3_service_destroy(mail_pop3_service *service)
{
    if (service == NULL) {
        return;
    }
    assert(service->door.sessions == 0);
    mail_metrics_forget(service->opts.metrics, service);
    close_listeners(service);
    service->loop->ops->untimer(service->drained);
    net_door_deinit(&service->door);
    net_logins_destroy(service->logins);
    mail_tls_context_unref(service->tls);
    mem_free(service->mem, service->mail_dir, strlen(service->mail_dir) + 1);
    mem_free(service->mem, service, sizeof(*service));
}

static bool is_loopback(const mail_endpoint *peer)
{
    return peer->ip.family == 0 || mail_ip_is_loopback(&peer->ip);
}

/* Nothing is offered that could not be kept. */
static void fit_engine(const mail_pop3_service *service, const mail_endpoint *peer,
                       mail_pop3_server_options *engine)
{
    unsigned possible = net_logins_mechanisms(service->logins);
    unsigned weak = 1U << MAIL_SASL_CRAM_MD5;

    engine->auth_mechanisms =
        possible & (engine->auth_mechanisms != 0 ? engine->auth_mechanisms : ~weak);
    engine->apop = engine->apop && (possible & weak) != 0; /* it needs what CRAM-MD5 does */
    engine->auth_in_clear =
        engine->auth_in_clear || service->opts.auth_insecure || is_loopback(peer);
    engine->stls = engine->stls && service->tls != NULL;
    memcpy(engine->auth_disguise, net_logins_disguise(service->logins),
           sizeof(engine->auth_disguise));
}

static int read_engine(const mail_pop3_service *service, const mail_pop3_server_options *options,
                       mail_pop3_server_options *engine)
{
    *engine = (mail_pop3_server_options)MAIL_POP3_SERVER_OPTIONS_INIT;
    if (options->size == 0 || options->size > sizeof(*engine)) {
        return MAIL_EINVAL;
    }
    memcpy(engine, options, options->size);
    engine->size = sizeof(*engine);
    engine->mem = service->mem;
    return engine->implicit_tls && service->tls == NULL ? MAIL_EINVAL : MAIL_OK;
}

/*
 * A session, if it may begin; else MAIL_ELIMIT with the limit that forbids it, or another code.
 * `said` is what the client has said already.
 */
static int open_session(mail_pop3_service *service, int fd, const mail_endpoint *peer,
                        mail_span said, const mail_pop3_server_options *options, net_limit *limit)
{
    mail_pop3_server_options engine;
    net_guest guest;
    int code = read_engine(service, options, &engine);

    *limit = NET_LIMIT_NONE;
    if (code == MAIL_OK) {
        code = net_door_admit(&service->door, peer, &guest, limit);
    }
    if (code != MAIL_OK) {
        return code;
    }
    fit_engine(service, peer, &engine);
    code = pop3_session_open(service, fd, peer, &guest, said, &engine);
    if (code != MAIL_OK) {
        net_door_leave(&service->door, &guest);
    }
    return code;
}

/* Whoever can't be served is told so, if that can be said at once. */
static void refuse(int fd, const mail_endpoint *peer, net_limit limit, void *arg)
{
    pop3_listener *ls = arg;

    net_door_turn_away(&ls->service->door, fd, peer, limit,
                       ls->engine.implicit_tls
                           ? MAIL_SPAN("")
                           : MAIL_SPAN("-ERR [SYS/TEMP] too busy, try again later\r\n"));
}

static void serve(int fd, const mail_endpoint *peer, mail_span said, void *arg)
{
    pop3_listener *ls = arg;
    net_limit limit;

    if (open_session(ls->service, fd, peer, said, &ls->engine, &limit) != MAIL_OK) {
        refuse(fd, peer, limit, ls);
    }
}

static void on_accept(int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    pop3_listener *ls = arg;

    net_door_pass(&ls->service->door, fd, peer, is_last, ls);
}

static int check_engine(const mail_pop3_service *service, const mail_pop3_server_options *options,
                        mail_error *err)
{
    mail_pop3_server *trial;
    int code = mail_pop3_server_create(&trial, options, 0);

    if (code == MAIL_OK) {
        mail_pop3_server_destroy(trial);
        return options->implicit_tls && service->tls == NULL
                   ? mail_error_set(err, MAIL_EINVAL,
                                    "TLS from the first octet, and no certificate")
                   : MAIL_OK;
    }
    return mail_error_set(err, code, "bad options of the engine: %s", mail_strerror(code));
}

/* `fd` is what the network gave: a listening socket, or -errno. */
static int listen_on(mail_pop3_service *service, int fd, const char *where, pop3_listener *ls,
                     mail_error *err)
{
    int code = mail_error_from_errno(fd < 0 ? -fd : 0);

    if (fd >= 0) {
        code = net_listener_init(&ls->listener, service->net, service->loop, fd, on_accept, ls);
    }
    if (code != MAIL_OK && fd >= 0) {
        service->net->ops->close(service->net, fd);
    }
    return code == MAIL_OK ? MAIL_OK
                           : mail_error_set(err, code, "%s: %s", where, mail_strerror(code));
}

static int make_listener(mail_pop3_service *service, const mail_pop3_server_options *engine,
                         pop3_listener **out, mail_error *err)
{
    pop3_listener *ls;
    int code = check_engine(service, engine, err);

    if (code != MAIL_OK) {
        return code;
    }
    ls = mem_alloc(service->mem, sizeof(*ls));
    if (ls == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    ls->service = service;
    memcpy(&ls->engine, engine, engine->size); /* which was found good */
    ls->hostname = mem_text(service->mem, engine->hostname);
    ls->engine.hostname = mail_span_text(ls->hostname);
    if (ls->hostname == NULL) {
        mem_free(service->mem, ls, sizeof(*ls));
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    *out = ls;
    return MAIL_OK;
}

static int begin_to_listen(pop3_listener *ls, int fd, const char *where, mail_error *err)
{
    mail_pop3_service *service = ls->service;
    int code = listen_on(service, fd, where, ls, err);

    if (code != MAIL_OK) {
        mem_free(service->mem, ls->hostname, ls->engine.hostname.length + 1);
        mem_free(service->mem, ls, sizeof(*ls));
        return code;
    }
    list_push_back(&service->listeners, &ls->link);
    return MAIL_OK;
}

int mail_pop3_service_listen(mail_pop3_service *service, const mail_endpoint *endpoint,
                             const mail_pop3_server_options *engine, mail_endpoint *bound,
                             mail_error *err)
{
    char where[MAIL_IP_TEXT_SIZE];
    pop3_listener *ls;
    int code = make_listener(service, engine, &ls, err);

    if (code != MAIL_OK) {
        return code;
    }
    mail_endpoint_print(endpoint, where);
    return begin_to_listen(ls, service->net->ops->listen_tcp(service->net, endpoint, 0, bound),
                           where, err);
}

int mail_pop3_service_listen_fd(mail_pop3_service *service, int fd,
                                const mail_pop3_server_options *engine, mail_error *err)
{
    pop3_listener *ls;
    int code = make_listener(service, engine, &ls, err);

    if (code != MAIL_OK) {
        service->net->ops->close(service->net, fd);
        return code;
    }
    return begin_to_listen(ls, fd, "a socket", err);
}

int mail_pop3_service_adopt(mail_pop3_service *service, int fd,
                            const mail_pop3_server_options *engine)
{
    mail_endpoint peer = net_socket_peer(fd);
    net_limit limit;

    return open_session(service, fd, &peer, MAIL_SPAN(""), engine, &limit);
}

void mail_pop3_service_set_accounts(mail_pop3_service *service, mail_accounts *accounts)
{
    net_logins_set_accounts(service->logins, accounts);
}

void mail_pop3_service_set_tls(mail_pop3_service *service, mail_tls_context *context)
{
    mail_tls_context *before = service->tls;

    assert(context != NULL);
    service->tls = mail_tls_context_ref(context);
    mail_tls_context_unref(before);
}

size_t mail_pop3_service_sessions(const mail_pop3_service *service)
{
    return service->door.sessions;
}

static void check_drained(mail_pop3_service *service)
{
    if (service->door.is_shut && service->door.sessions == 0 &&
        !net_logins_are_busy(service->logins)) {
        service->loop->ops->timer_set(service->drained, mail_loop_now(service->loop));
    }
}

void pop3_service_forget(pop3_session *ss)
{
    mail_pop3_service *service = ss->service;

    net_door_leave(&service->door, &ss->guest);
    list_remove(&ss->link_in_service);
    check_drained(service);
}

/* Calls fn for each session, which may be gone afterwards. */
static void each_session(mail_pop3_service *service, void (*fn)(pop3_session *ss))
{
    list *link = service->sessions.next;

    while (link != &service->sessions) {
        list *next = link->next;

        fn(LIST_OWNER(link, pop3_session, link_in_service));
        link = next;
    }
}

void mail_pop3_service_drain(mail_pop3_service *service, void (*fn)(void *arg), void *arg)
{
    service->drain_fn = fn;
    service->drain_arg = arg;
    net_door_shut(&service->door);
    close_listeners(service);
    each_session(service, pop3_session_drain);
    check_drained(service);
}

void mail_pop3_service_cut(mail_pop3_service *service)
{
    each_session(service, pop3_session_cut);
}
