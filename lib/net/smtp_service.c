/* SPDX-License-Identifier: MIT */
#include <mail/smtp_service.h>

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "net/smtp_session.h"

#define SMTP_PORT 25

static void on_drained(void *arg)
{
    mail_smtp_service *service = arg;

    service->drain_fn(service->drain_arg);
}

static void serve(int fd, const mail_endpoint *peer, mail_span said, void *arg);
static void refuse(int fd, const mail_endpoint *peer, net_limit limit, void *arg);

static void on_logins_idle(void *arg)
{
    smtp_service_check_drained(arg);
}

static int make_logins(mail_smtp_service *service)
{
    const mail_smtp_service_options *opts = &service->opts;

    if (opts->accounts == NULL && opts->login == NULL) {
        return MAIL_OK;
    }
    return net_logins_create(&service->logins, service->loop, service->mem, opts->accounts,
                             opts->login, on_logins_idle, service);
}

static int make_door(mail_smtp_service *service)
{
    const mail_smtp_service_options *opts = &service->opts;
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

static void free_service(mail_smtp_service *service)
{
    net_door_deinit(&service->door);
    service->loop->ops->untimer(service->drained);
    mail_tls_context_unref(service->tls);
    net_logins_destroy(service->logins);
    mem_free(service->mem, service->slots, service->slot_capacity * sizeof(*service->slots));
    mem_free(service->mem, service, sizeof(*service));
}

int mail_smtp_service_create(mail_smtp_service **out, mail_loop *loop,
                             const mail_smtp_service_options *opts)
{
    mail_smtp_service *service;
    int code;

    if (opts->size == 0 || opts->size > sizeof(*opts)) {
        return MAIL_EINVAL;
    }
    service = mem_alloc(opts->mem, sizeof(*service));
    if (service == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(&service->opts, opts, opts->size);
    service->loop = loop;
    service->mem = opts->mem;
    service->net = service->opts.sockets != NULL ? service->opts.sockets : &net_system_sockets;
    service->last_words = NET_LAST_WORDS;
    service->first_free = SLOT_NONE;
    list_init(&service->listeners);
    list_init(&service->orphans);
    code = make_door(service);
    if (code == MAIL_OK) {
        code = make_logins(service);
    }
    if (code == MAIL_OK) {
        code = loop->ops->timer(loop, on_drained, service, &service->drained);
    }
    if (code != MAIL_OK) {
        free_service(service);
        return code;
    }
    *out = service;
    return MAIL_OK;
}

static void close_listener(smtp_listener *ls)
{
    mail_smtp_service *service = ls->service;

    list_remove(&ls->link);
    net_listener_deinit(&ls->listener);
    mem_free(service->mem, ls->hostname, ls->engine.hostname.length + 1);
    mem_free(service->mem, ls, sizeof(*ls));
}

void mail_smtp_service_destroy(mail_smtp_service *service)
{
    if (service == NULL) {
        return;
    }
    assert(service->calling == 0);
    net_proxies_close_all(&service->door.proxies);
    while (!list_is_empty(&service->listeners)) {
        close_listener(LIST_OWNER(service->listeners.next, smtp_listener, link));
    }
    for (uint32_t i = 0; i < service->slot_count; i++) {
        if (service->slots[i].session != NULL) {
            smtp_session_cut(service->slots[i].session);
        }
    }
    while (!list_is_empty(&service->orphans)) {
        LIST_OWNER(list_pop_front(&service->orphans), smtp_session, orphan)->service = NULL;
    }
    free_service(service);
}

void mail_smtp_service_set_tls(mail_smtp_service *service, mail_tls_context *context)
{
    mail_tls_context *before = service->tls;

    assert(context != NULL);
    service->tls = mail_tls_context_ref(context);
    mail_tls_context_unref(before);
}

void mail_smtp_service_set_accounts(mail_smtp_service *service, mail_accounts *accounts)
{
    assert(service->logins != NULL);
    net_logins_set_accounts(service->logins, accounts);
}

/* Slots and tickets. */

/* A free slot, or MAIL_ENOMEM as a negative number. */
static int64_t find_slot(mail_smtp_service *service)
{
    uint32_t capacity = service->slot_capacity > 0 ? service->slot_capacity * 2 : 16;
    smtp_slot *slots;

    if (service->first_free != SLOT_NONE) {
        return service->first_free;
    }
    if (service->slot_count == service->slot_capacity) {
        slots = mem_resize(service->mem, service->slots, service->slot_capacity * sizeof(*slots),
                           capacity * sizeof(*slots));
        if (slots == NULL) {
            return MAIL_ENOMEM;
        }
        service->slots = slots;
        service->slot_capacity = capacity;
    }
    service->slots[service->slot_count] = (smtp_slot){.next_free = SLOT_NONE};
    service->first_free = service->slot_count;
    return service->slot_count++;
}

static void take_slot(mail_smtp_service *service, uint32_t slot, smtp_session *ss)
{
    service->first_free = service->slots[slot].next_free;
    service->slots[slot].session = ss;
}

mail_ticket smtp_service_ticket(mail_smtp_service *service, uint32_t slot)
{
    return (mail_ticket){service, slot, ++service->slots[slot].serial};
}

/* The session whose open question `ticket` is for, or NULL. */
static smtp_session *session_of(mail_ticket ticket)
{
    mail_smtp_service *service = ticket.service;
    smtp_session *ss;

    if (service == NULL || ticket.slot >= service->slot_count) {
        return NULL;
    }
    ss = service->slots[ticket.slot].session;
    if (ss == NULL || service->slots[ticket.slot].serial != ticket.serial ||
        ss->question == MAIL_SMTP_EV_NONE) {
        return NULL;
    }
    return ss;
}

int mail_smtp_service_answer(mail_ticket ticket, const mail_reply *reply)
{
    smtp_session *ss = session_of(ticket);

    return ss != NULL ? smtp_session_answer(ss, reply) : MAIL_ECANCELED;
}

int mail_smtp_service_answer_auth(mail_ticket ticket, const mail_sasl_answer *answer)
{
    smtp_session *ss = session_of(ticket);

    return ss != NULL ? smtp_session_answer_auth(ss, answer) : MAIL_ECANCELED;
}

static int take(mail_ticket ticket, mail_sink *sink, smtp_taking taking, mail_span accepted)
{
    smtp_session *ss = session_of(ticket);

    if (ss == NULL) {
        mail_sink_abort(sink);
        return MAIL_ECANCELED;
    }
    return smtp_message_take(ss, sink, taking, accepted);
}

int mail_smtp_service_take(mail_ticket ticket, mail_sink *sink, mail_span accepted)
{
    return take(ticket, sink, SMTP_TAKING_ALL, accepted);
}

int mail_smtp_service_take_asking(mail_ticket ticket, mail_sink *sink)
{
    return take(ticket, sink, SMTP_TAKING_ASKING, MAIL_SPAN(""));
}

/* Sessions come and go. */

void smtp_service_forget(mail_smtp_service *service, smtp_session *ss)
{
    smtp_slot *slot = &service->slots[ss->slot];

    net_door_leave(&service->door, &ss->guest);
    slot->session = NULL;
    slot->next_free = service->first_free;
    service->first_free = ss->slot;
    if (ss->finishing) {
        list_push_back(&service->orphans, &ss->orphan);
    }
    smtp_service_check_drained(service);
}

/* A session offers what the service can do by now. */
static void fit_options(const mail_smtp_service *service, mail_smtp_server_options *opts)
{
    opts->starttls = opts->starttls && service->tls != NULL;
    if (service->logins != NULL) {
        opts->auth_mechanisms &= net_logins_mechanisms(service->logins);
        memcpy(opts->auth_disguise, net_logins_disguise(service->logins),
               sizeof(opts->auth_disguise));
    }
}

static int open_session(mail_smtp_service *service, int fd, const mail_endpoint *peer,
                        const mail_smtp_server_options *engine, void *listener_arg,
                        const net_guest *guest, smtp_session **out)
{
    mail_smtp_server_options opts = *engine;
    int64_t slot = find_slot(service);
    smtp_session *ss;
    int code;

    if (slot < 0) {
        return (int)slot;
    }
    fit_options(service, &opts);
    code = smtp_session_open(&ss, service, (uint32_t)slot, fd, &opts);
    if (code != MAIL_OK) {
        return code;
    }
    take_slot(service, (uint32_t)slot, ss);
    ss->guest = *guest;
    ss->shown.peer = *peer;
    ss->shown.peer_is_unix = peer->ip.family == 0;
    ss->shown.listener_arg = listener_arg;
    *out = ss;
    return MAIL_OK;
}

/* A session, if it may begin; else MAIL_ELIMIT with the limit that forbids it, or another code. */
static int begin_session(mail_smtp_service *service, int fd, const mail_endpoint *peer,
                         const mail_smtp_server_options *engine, void *listener_arg,
                         net_limit *limit, smtp_session **out)
{
    net_guest guest;
    int code = net_door_admit(&service->door, peer, &guest, limit);

    if (code != MAIL_OK) {
        return code;
    }
    code = open_session(service, fd, peer, engine, listener_arg, &guest, out);
    if (code != MAIL_OK) {
        net_door_leave(&service->door, &guest);
    }
    return code;
}

/* RFC 5321, section 3.8: who can't be served is told so, if that is possible in one write. */
static void refuse(int fd, const mail_endpoint *peer, net_limit limit, void *arg)
{
    static const char busy[] = "421 4.3.2 Too many connections, try again later\r\n";
    static const char yours[] = "421 4.7.0 Too many connections from you, try again later\r\n";
    smtp_listener *ls = arg;
    const char *words = limit <= NET_LIMIT_SESSIONS ? busy : yours;

    net_door_turn_away(&ls->service->door, fd, peer, limit,
                       mail_span_text(ls->engine.implicit_tls ? "" : words));
}

static void serve(int fd, const mail_endpoint *peer, mail_span said, void *arg)
{
    smtp_listener *ls = arg;
    net_limit limit;
    smtp_session *ss;
    int code = begin_session(ls->service, fd, peer, &ls->engine, ls->arg, &limit, &ss);

    if (code != MAIL_OK) {
        refuse(fd, peer, limit, ls);
        return;
    }
    net_link_preload(&ss->link, said);
    net_link_start(&ss->link);
}

static void on_accept(int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    smtp_listener *ls = arg;

    net_door_pass(&ls->service->door, fd, peer, is_last, ls);
}

/* A caller built against an older header has fewer options; those it lacks are 0. */
static int copy_options(mail_smtp_service *service, const mail_smtp_server_options *from,
                        mail_smtp_server_options *to)
{
    if (from->size == 0 || from->size > sizeof(*to)) {
        return MAIL_EINVAL;
    }
    *to = (mail_smtp_server_options){.size = 0};
    memcpy(to, from, from->size);
    to->size = sizeof(*to);
    to->mem = service->mem;
    return to->implicit_tls && service->tls == NULL ? MAIL_EINVAL : MAIL_OK;
}

int mail_smtp_service_adopt(mail_smtp_service *service, int fd,
                            const mail_smtp_server_options *engine, void *listener_arg)
{
    mail_endpoint peer = net_socket_peer(fd);
    mail_smtp_server_options opts;
    net_limit limit;
    smtp_session *ss;
    int code = copy_options(service, engine, &opts);

    if (code == MAIL_OK) {
        code = begin_session(service, fd, &peer, &opts, listener_arg, &limit, &ss);
    }
    if (code != MAIL_OK) {
        return code;
    }
    net_link_soon(&ss->link);
    return MAIL_OK;
}

size_t mail_smtp_service_sessions(const mail_smtp_service *service)
{
    return service->door.sessions;
}

/* Listeners. */

/* Says now, and not to each client, that the options of the engine are bad. */
static int check_options(const mail_smtp_server_options *opts)
{
    mail_smtp_server *srv;
    int code = mail_smtp_server_create(&srv, opts, 0);

    if (code == MAIL_OK) {
        mail_smtp_server_destroy(srv);
    }
    return code;
}

static int make_listener(mail_smtp_service *service, const mail_smtp_server_options *engine,
                         void *arg, smtp_listener **out)
{
    smtp_listener *ls = mem_alloc(service->mem, sizeof(*ls));
    int code;

    if (ls == NULL) {
        return MAIL_ENOMEM;
    }
    ls->service = service;
    ls->arg = arg;
    list_init(&ls->link);
    code = copy_options(service, engine, &ls->engine);
    if (code == MAIL_OK) {
        code = check_options(&ls->engine);
    }
    if (code == MAIL_OK) {
        ls->hostname = mem_text(service->mem, ls->engine.hostname);
        code = ls->hostname != NULL ? MAIL_OK : MAIL_ENOMEM;
    }
    if (code != MAIL_OK) {
        close_listener(ls);
        return code;
    }
    ls->engine.hostname.data = ls->hostname;
    *out = ls;
    return MAIL_OK;
}

/* `fd` is what the network gave: a listening socket, or -errno. */
static int begin_to_listen(smtp_listener *ls, int fd, const char *where, mail_error *err)
{
    mail_smtp_service *service = ls->service;
    int code;

    if (fd < 0) {
        close_listener(ls);
        return mail_error_set(err, mail_error_from_errno(-fd), "%s: cannot listen there: %s", where,
                              strerror(-fd));
    }
    code = net_listener_init(&ls->listener, service->net, service->loop, fd, on_accept, ls);
    if (code != MAIL_OK) {
        service->net->ops->close(service->net, fd);
        close_listener(ls);
        return mail_error_set(err, code, "%s: cannot listen there: %s", where, mail_strerror(code));
    }
    list_push_back(&service->listeners, &ls->link);
    return MAIL_OK;
}

int mail_smtp_service_listen(mail_smtp_service *service, const mail_endpoint *endpoint,
                             const mail_smtp_server_options *engine, void *listener_arg,
                             mail_endpoint *bound, mail_error *err)
{
    unsigned flags = service->opts.share_ports ? NET_SHARED_PORT : 0;
    char where[MAIL_IP_TEXT_SIZE];
    smtp_listener *ls;
    int code = make_listener(service, engine, listener_arg, &ls);

    mail_endpoint_print(endpoint, where);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s: bad settings: %s", where, mail_strerror(code));
    }
    if (ls->engine.lmtp && endpoint->port == SMTP_PORT) { /* RFC 2033, section 5 */
        close_listener(ls);
        return mail_error_set(err, MAIL_EINVAL, "%s: LMTP on the port of SMTP", where);
    }
    return begin_to_listen(ls, service->net->ops->listen_tcp(service->net, endpoint, flags, bound),
                           where, err);
}

int mail_smtp_service_listen_unix(mail_smtp_service *service, const char *path,
                                  const mail_smtp_server_options *engine, void *listener_arg,
                                  mail_error *err)
{
    smtp_listener *ls;
    int code = make_listener(service, engine, listener_arg, &ls);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s: bad settings: %s", path, mail_strerror(code));
    }
    return begin_to_listen(ls, service->net->ops->listen_unix(service->net, path, 0), path, err);
}

int mail_smtp_service_listen_fd(mail_smtp_service *service, int fd,
                                const mail_smtp_server_options *engine, void *listener_arg,
                                mail_error *err)
{
    smtp_listener *ls;
    int code = make_listener(service, engine, listener_arg, &ls);

    if (code != MAIL_OK) {
        service->net->ops->close(service->net, fd);
        return mail_error_set(err, code, "bad settings for a socket: %s", mail_strerror(code));
    }
    return begin_to_listen(ls, fd, "a socket", err);
}

/* The end. */

void smtp_service_check_drained(mail_smtp_service *service)
{
    if (service->door.is_shut && service->door.sessions == 0 && list_is_empty(&service->orphans) &&
        (service->logins == NULL || !net_logins_are_busy(service->logins))) {
        service->loop->ops->timer_set(service->drained, mail_loop_now(service->loop));
    }
}

void mail_smtp_service_drain(mail_smtp_service *service, void (*fn)(void *arg), void *arg)
{
    service->drain_fn = fn;
    service->drain_arg = arg;
    net_door_shut(&service->door);
    for (list *at = service->listeners.next; at != &service->listeners; at = at->next) {
        net_listener_deinit(&LIST_OWNER(at, smtp_listener, link)->listener);
    }
    for (uint32_t i = 0; i < service->slot_count; i++) {
        if (service->slots[i].session != NULL) {
            smtp_session_drain(service->slots[i].session);
        }
    }
    smtp_service_check_drained(service);
}
