/* SPDX-License-Identifier: MIT */
#include "mta/receive.h"

#include <mail/trace.h>

#include <string.h>

#include "base/mem.h"
#include "mta/refusal.h"
#include "mta/submit.h"
#include "mta/transaction.h"
#include "net/socket.h"

/* What a listener is for, seen by its sessions as their `listener_arg`. */
typedef struct listener_kind {
    bool lmtp;
    bool logs_in; /* users may */
    bool submits; /* and nobody else comes */
    bool implicit_tls;
} listener_kind;

static const listener_kind kinds[] = {
    [MAIL_RECEIVE_SMTP] = {.logs_in = true},
    [MAIL_RECEIVE_LMTP] = {.lmtp = true},
    [MAIL_RECEIVE_SUBMISSION] = {.logs_in = true, .submits = true},
    [MAIL_RECEIVE_SUBMISSIONS] = {.logs_in = true, .submits = true, .implicit_tls = true},
};

/* What is offered unless the options say otherwise: nothing weak, and no tokens. */
#define MECHANISMS                                                                                 \
    (1U << MAIL_SASL_EXTERNAL | 1U << MAIL_SASL_SCRAM_SHA_256_PLUS |                               \
     1U << MAIL_SASL_SCRAM_SHA_256 | 1U << MAIL_SASL_PLAIN | 1U << MAIL_SASL_LOGIN)

/* A session's transaction; made at its first MAIL, since most time is spent waiting for one. */
typedef struct visit {
    mail_envelope envelope;
    uint64_t size; /* as declared */
    arrival *message;
    submit *submit; /* NULL: no user has sent anything yet */
} visit;

static visit *visit_of(mail_receive *rcv, mail_smtp_session *session)
{
    visit *vs = session->user;

    if (vs != NULL) {
        return vs;
    }
    vs = mem_alloc(rcv->mem, sizeof(*vs));
    if (vs == NULL) {
        return NULL;
    }
    vs->message = arrival_create(rcv);
    if (vs->message == NULL) {
        mem_free(rcv->mem, vs, sizeof(*vs));
        return NULL;
    }
    mail_envelope_init(&vs->envelope, rcv->mem);
    session->user = vs;
    return vs;
}

/* NULL: nothing has been begun. */
static const mail_envelope *envelope_of(const mail_smtp_session *session)
{
    const visit *vs = session->user;

    return vs != NULL ? &vs->envelope : NULL;
}

static void visit_end(mail_receive *rcv, mail_smtp_session *session)
{
    visit *vs = session->user;

    if (vs != NULL) {
        submit_destroy(vs->submit);
        arrival_destroy(vs->message);
        mail_envelope_deinit(&vs->envelope);
        mem_free(rcv->mem, vs, sizeof(*vs));
        session->user = NULL;
    }
}

static const mail_reply NO_MEMORY = {451, {4, 3, 0}, {"Out of memory", 13}};
static const mail_reply NO_ROOM = {452, {4, 3, 1}, {"No room for more messages now", 29}};
static const mail_reply BROKEN = {451, {4, 3, 0}, {"Messages cannot be stored now", 29}};

static const mail_reply *reply_for(int code)
{
    switch (code) {
    case MAIL_ENOSPC:
        return &NO_ROOM;
    case MAIL_ENOMEM:
        return &NO_MEMORY;
    default:
        return &BROKEN;
    }
}

/*
 * A client that sends several commands at once learns late that the first was refused. What is said
 * to the others is no news.
 */
static void on_refused(const mail_receive *rcv, const mail_smtp_session *session,
                       const mail_smtp_event *ev)
{
    if (!ev->is_consequence) {
        refusal what = refusal_of_command(envelope_of(session), ev);

        refusal_tell(rcv, session, &what);
    }
}

/* A message whose content ends its session (a bare CR or LF) gets no other word than the last. */
static void on_close(mail_receive *rcv, mail_smtp_session *session, const mail_smtp_event *ev)
{
    const visit *vs = session->user;

    if (vs != NULL && ev->reply != NULL && ev->reply->code == 550 && ev->reply->status[1] == 6) {
        refusal what = refusal_of_message(envelope_of(session), MAIL_SPAN("DATA"), ev->reply);

        refusal_tell(rcv, session, &what);
    }
    visit_end(rcv, session);
}

static bool may_send_as(const mail_receive *rcv, const mail_smtp_session *session,
                        const mail_path *sender)
{
    return session->authenticated.length == 0 || sender->length == 0 ||
           sender_is_allowed(rcv, session->authenticated, sender);
}

static void on_mail(mail_receive *rcv, mail_smtp_session *session, mail_ticket ticket,
                    const mail_smtp_event *ev)
{
    static const mail_reply not_yours = {550, {5, 7, 1}, {"You may not send as that address", 32}};
    visit *vs = visit_of(rcv, session);
    int code = vs != NULL ? mail_queue_has_room(rcv->opts.queue, ev->mail->size) : MAIL_ENOMEM;
    const mail_reply *reply = NULL;

    if (!may_send_as(rcv, session, ev->path)) {
        reply = &not_yours;
    } else if (code == MAIL_OK) {
        vs->size = ev->mail->size;
        code = transaction_begin(&vs->envelope, ev);
    }
    if (reply == NULL && code != MAIL_OK) {
        reply = reply_for(code);
    }
    if (reply != NULL) {
        refusal what = refusal_of_mail(ev, reply);

        refusal_tell(rcv, session, &what);
    }
    (void)mail_smtp_service_answer(ticket, reply);
}

static origin origin_of(const mail_receive *rcv, const mail_smtp_session *session)
{
    origin from = {
        .helo = session->helo,
        .with = (session->esmtp ? MAIL_WITH_ESMTP : 0U) | (session->lmtp ? MAIL_WITH_LMTP : 0U) |
                (session->tls != NULL ? MAIL_WITH_TLS : 0U) |
                (session->authenticated.length > 0 ? MAIL_WITH_AUTH : 0U),
        .user = session->authenticated,
        .tls = session->tls != NULL ? session->tls->version : NULL,
        .may_relay = recipient_may_relay(rcv, session),
    };

    if (!session->peer_is_unix) {
        from.peer = session->peer.ip;
    }
    return from;
}

static void on_rcpt(mail_receive *rcv, mail_smtp_session *session, mail_ticket ticket,
                    const mail_smtp_event *ev)
{
    const mail_recipient given = transaction_recipient(ev);
    visit *vs = session->user;
    origin from = origin_of(rcv, session);
    mail_reply reply = recipient_add(rcv, &from, ev->path, &given, &vs->envelope);

    if (reply.code != 0) {
        refusal what = refusal_of_rcpt(&vs->envelope, ev, &reply);

        refusal_tell(rcv, session, &what);
    }
    (void)mail_smtp_service_answer(ticket, reply.code == 0 ? NULL : &reply);
}

/* Where the message goes: of a user through the judgement of its header. NULL: no memory. */
static mail_sink *sink_for(mail_receive *rcv, const mail_smtp_session *session, visit *vs)
{
    const listener_kind *kind = session->listener_arg;
    mail_sink *into = &vs->message->sink;

    if (session->authenticated.length == 0) {
        submit_destroy(vs->submit); /* of somebody who was here before STARTTLS */
        vs->submit = NULL;
        return into;
    }
    if (vs->submit == NULL) {
        vs->submit = submit_create(rcv);
    }
    if (vs->submit == NULL) {
        return NULL;
    }
    submit_begin(vs->submit, into, session->authenticated, mail_envelope_sender(&vs->envelope),
                 kind->submits);
    return &vs->submit->sink;
}

static void refuse_data(const mail_receive *rcv, const mail_smtp_session *session,
                        mail_ticket ticket, const mail_reply *reply)
{
    refusal what = refusal_of_message(envelope_of(session), MAIL_SPAN("DATA"), reply);

    refusal_tell(rcv, session, &what);
    (void)mail_smtp_service_answer(ticket, reply);
}

static void on_data(mail_receive *rcv, mail_smtp_session *session, mail_ticket ticket)
{
    visit *vs = session->user;
    origin from = origin_of(rcv, session);
    int code = arrival_begin(vs->message, &vs->envelope, &from, vs->size);
    mail_sink *sink;
    char accepted[sizeof("queued as ") + MAIL_QUEUE_ID_SIZE] = "queued as ";

    if (code != MAIL_OK) {
        refuse_data(rcv, session, ticket, reply_for(code));
        return;
    }
    sink = sink_for(rcv, session, vs);
    if (sink == NULL) {
        mail_sink_abort(&vs->message->sink);
        refuse_data(rcv, session, ticket, &NO_MEMORY);
        return;
    }
    memcpy(accepted + strlen(accepted), vs->message->id, MAIL_QUEUE_ID_SIZE);
    (void)mail_smtp_service_take(ticket, sink, mail_span_text(accepted));
}

static void on_event(mail_smtp_session *session, mail_ticket ticket, const mail_smtp_event *ev,
                     void *arg)
{
    mail_receive *rcv = arg;

    switch (ev->type) {
    case MAIL_SMTP_EV_MAIL:
        on_mail(rcv, session, ticket, ev);
        return;
    case MAIL_SMTP_EV_RCPT:
        on_rcpt(rcv, session, ticket, ev);
        return;
    case MAIL_SMTP_EV_DATA:
        on_data(rcv, session, ticket);
        return;
    case MAIL_SMTP_EV_CONNECT:
        mail_metric_count(rcv->measure.sessions, 1);
        (void)mail_smtp_service_answer(ticket, NULL);
        return;
    case MAIL_SMTP_EV_HELO:
    case MAIL_SMTP_EV_VRFY:
    case MAIL_SMTP_EV_EXPN:
    case MAIL_SMTP_EV_STARTTLS:
    case MAIL_SMTP_EV_AUTH:
        (void)mail_smtp_service_answer(ticket, NULL);
        return;
    case MAIL_SMTP_EV_REFUSED:
        on_refused(rcv, session, ev);
        return;
    case MAIL_SMTP_EV_CLOSE:
        on_close(rcv, session, ev);
        return;
    case MAIL_SMTP_EV_NONE:
    case MAIL_SMTP_EV_BODY:
    case MAIL_SMTP_EV_END:
    case MAIL_SMTP_EV_ABORT:
    case MAIL_SMTP_EV_RESET:
        return; /* the envelope is emptied by the next MAIL */
    }
}

/* SS-047. That the queue could not make a message safe is in the log already, as "not accepted". */
static const mail_reply *on_refusal(mail_smtp_session *session, int code, void *arg)
{
    static const mail_reply looping = {
        554, {5, 4, 6}, {"Too many hops, this message is looping", 38}};
    const visit *vs = session->user;
    const mail_reply *reply = submit_refusal(vs != NULL ? vs->submit : NULL);

    if (reply == NULL) {
        reply = code == MAIL_ELIMIT ? &looping : reply_for(code);
    }
    if (vs == NULL || !vs->message->is_told) {
        refusal what = refusal_of_message(envelope_of(session), MAIL_SPAN("DATA"), reply);

        refusal_tell(arg, session, &what);
        if (vs != NULL) {
            vs->message->is_told = true; /* LMTP asks for each recipient */
        }
    }
    return reply;
}

static void on_intake_bell(void *arg)
{
    mail_receive *rcv = arg;

    mail_intake_poll(rcv->intake);
}

static void ring(void *arg)
{
    mail_receive *rcv = arg;

    rcv->loop->ops->ring(rcv->bell);
}

static int copy_options(mail_receive *rcv)
{
    const mail_receive_options *opts = &rcv->opts;
    mail_span first = opts->local_count > 0 ? opts->local_domains[0] : opts->hostname;
    int code = domain_set_init(&rcv->local, opts->local_domains, opts->local_count, rcv->mem);

    if (code != MAIL_OK) {
        return code;
    }
    rcv->hostname = mem_text(rcv->mem, opts->hostname);
    rcv->default_domain = mem_text(rcv->mem, first);
    rcv->relay_from = mem_alloc(rcv->mem, opts->relay_count * sizeof(*rcv->relay_from) + 1);
    if (rcv->hostname == NULL || rcv->default_domain == NULL || rcv->relay_from == NULL) {
        return MAIL_ENOMEM;
    }
    if (opts->relay_count > 0) {
        memcpy(rcv->relay_from, opts->relay_from, opts->relay_count * sizeof(*rcv->relay_from));
    }
    rcv->accounts = opts->accounts != NULL ? mail_accounts_ref(opts->accounts) : NULL;
    rcv->opts.local_domains = NULL;
    if (rcv->opts.max_received == 0) {
        rcv->opts.max_received = 100;
    }
    if (rcv->opts.engine.max_message_bytes == 0) {
        rcv->opts.engine.max_message_bytes = MAIL_SMTP_MESSAGE_BYTES;
    }
    return MAIL_OK;
}

static int make_parts(mail_receive *rcv)
{
    mail_smtp_service_options service = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    int code = rcv->loop->ops->bell(rcv->loop, on_intake_bell, rcv, &rcv->bell);

    if (code == MAIL_OK) {
        code = mail_intake_open(&rcv->intake, rcv->opts.queue, ring, rcv);
    }
    if (code != MAIL_OK) {
        return code;
    }
    service.mem = rcv->mem;
    service.log = rcv->log;
    service.on_event = on_event;
    service.refusal = on_refusal;
    service.arg = rcv;
    service.accounts = rcv->opts.accounts;
    service.login = rcv->opts.login;
    service.sockets = rcv->opts.sockets;
    service.proxy_from = rcv->opts.proxy_from;
    service.proxy_count = rcv->opts.proxy_count;
    service.limits = rcv->opts.limits;
    service.metrics = rcv->opts.metrics;
    return mail_smtp_service_create(&rcv->service, rcv->loop, &service);
}

static void on_measure(void *arg)
{
    const mail_receive *rcv = arg;

    mail_metric_set(rcv->measure.open, mail_receive_sessions(rcv));
}

static int start_measuring(mail_receive *rcv)
{
    int code = receive_measure_init(&rcv->measure, rcv->opts.metrics);

    return code == MAIL_OK ? mail_metrics_ask(rcv->opts.metrics, on_measure, rcv) : code;
}

int mail_receive_create(mail_receive **out, mail_loop *loop, const mail_receive_options *opts)
{
    mail_receive *rcv;
    int code;

    if (opts->queue == NULL || opts->hostname.length == 0) {
        return MAIL_EINVAL;
    }
    rcv = mem_alloc(opts->mem, sizeof(*rcv));
    if (rcv == NULL) {
        return MAIL_ENOMEM;
    }
    rcv->mem = opts->mem;
    rcv->log = opts->log;
    rcv->loop = loop;
    memcpy(&rcv->opts, opts, opts->size < sizeof(*opts) ? opts->size : sizeof(*opts));
    code = copy_options(rcv);
    if (code == MAIL_OK) {
        code = make_parts(rcv);
    }
    if (code == MAIL_OK) {
        code = start_measuring(rcv);
    }
    if (code != MAIL_OK) {
        mail_receive_destroy(rcv);
        return code;
    }
    *out = rcv;
    return MAIL_OK;
}

void mail_receive_destroy(mail_receive *rcv)
{
    if (rcv == NULL) {
        return;
    }
    mail_metrics_forget(rcv->opts.metrics, rcv);
    dropbox_stop(rcv->dropbox);
    if (rcv->intake != NULL) { /* whoever waits for a message hears of it before it goes */
        mail_intake_settle(rcv->intake);
    }
    dropbox_destroy(rcv->dropbox);
    mail_smtp_service_destroy(rcv->service);
    if (rcv->intake != NULL) {
        mail_intake_close(rcv->intake);
    }
    rcv->loop->ops->unbell(rcv->bell);
    mail_aliases_destroy(rcv->aliases);
    mail_accounts_unref(rcv->accounts);
    domain_set_deinit(&rcv->local);
    mem_free(rcv->mem, rcv->relay_from, rcv->opts.relay_count * sizeof(*rcv->relay_from) + 1);
    mem_free(rcv->mem, rcv->default_domain,
             rcv->default_domain != NULL ? strlen(rcv->default_domain) + 1 : 0);
    mem_free(rcv->mem, rcv->hostname, rcv->hostname != NULL ? strlen(rcv->hostname) + 1 : 0);
    mem_free(rcv->mem, rcv, sizeof(*rcv));
}

static bool knows_users(const mail_receive *rcv)
{
    return rcv->accounts != NULL || rcv->opts.login != NULL;
}

static mail_smtp_server_options engine_of(const mail_receive *rcv, const listener_kind *kind)
{
    mail_smtp_server_options engine = rcv->opts.engine;
    unsigned mechanisms = engine.auth_mechanisms != 0 ? engine.auth_mechanisms : MECHANISMS;

    engine.mem = rcv->mem;
    engine.hostname = mail_span_text(rcv->hostname);
    engine.lmtp = kind->lmtp;
    engine.starttls = !kind->implicit_tls; /* once there are certificates */
    engine.implicit_tls = kind->implicit_tls;
    engine.requires_tls = kind->submits && !rcv->opts.auth_insecure;
    engine.requiretls = true;
    engine.requires_auth = kind->submits;
    engine.auth_mechanisms = kind->logs_in && knows_users(rcv) ? mechanisms : 0;
    engine.auth_needs_tls = !rcv->opts.auth_insecure;
    engine.auth_in_clear = rcv->opts.auth_insecure;
    return engine;
}

/* A listener for users that nobody could use is a mistake best seen before the first comes. */
static int check_kind(const mail_receive *rcv, const listener_kind *kind, mail_error *err)
{
    if (kind->submits && !knows_users(rcv)) {
        return mail_error_set(err, MAIL_EINVAL, "submission needs accounts");
    }
    if (!rcv->has_tls && (kind->implicit_tls || (kind->submits && !rcv->opts.auth_insecure))) {
        return mail_error_set(err, MAIL_EINVAL, "submission needs a certificate");
    }
    return MAIL_OK;
}

int mail_receive_listen(mail_receive *rcv, const mail_endpoint *endpoint, mail_receive_kind kind,
                        mail_endpoint *bound, mail_error *err)
{
    mail_smtp_server_options engine = engine_of(rcv, &kinds[kind]);
    int code = check_kind(rcv, &kinds[kind], err);

    return code == MAIL_OK ? mail_smtp_service_listen(rcv->service, endpoint, &engine,
                                                      (void *)(uintptr_t)&kinds[kind], bound, err)
                           : code;
}

int mail_receive_listen_unix(mail_receive *rcv, const char *path, mail_receive_kind kind,
                             mail_error *err)
{
    mail_smtp_server_options engine = engine_of(rcv, &kinds[kind]);
    int code = check_kind(rcv, &kinds[kind], err);

    engine.starttls = engine.requires_tls; /* else nobody reads along inside a host */
    return code == MAIL_OK ? mail_smtp_service_listen_unix(rcv->service, path, &engine,
                                                           (void *)(uintptr_t)&kinds[kind], err)
                           : code;
}

int mail_receive_listen_fd(mail_receive *rcv, int fd, mail_receive_kind kind, mail_error *err)
{
    mail_smtp_server_options engine = engine_of(rcv, &kinds[kind]);
    int code = check_kind(rcv, &kinds[kind], err);

    if (code != MAIL_OK) {
        net_system_sockets.ops->close(&net_system_sockets, fd);
        return code;
    }
    if (net_socket_own(fd).ip.family == 0) {
        engine.starttls = engine.requires_tls; /* as by path */
    }
    return mail_smtp_service_listen_fd(rcv->service, fd, &engine, (void *)(uintptr_t)&kinds[kind],
                                       err);
}

int mail_receive_watch_drop(mail_receive *rcv, const char *spool, mail_error *err)
{
    return dropbox_create(&rcv->dropbox, rcv, spool, err);
}

void mail_receive_tell(mail_receive *rcv, const mail_delivery *delivery)
{
    dropbox_tell(rcv->dropbox, delivery);
}

void mail_receive_set_aliases(mail_receive *rcv, mail_aliases *aliases)
{
    mail_aliases_destroy(rcv->aliases);
    rcv->aliases = aliases;
}

void mail_receive_set_tls(mail_receive *rcv, mail_tls_context *context)
{
    mail_smtp_service_set_tls(rcv->service, context);
    rcv->has_tls = true;
}

void mail_receive_set_accounts(mail_receive *rcv, mail_accounts *accounts)
{
    mail_smtp_service_set_accounts(rcv->service, accounts);
    mail_accounts_ref(accounts);
    mail_accounts_unref(rcv->accounts);
    rcv->accounts = accounts;
}

size_t mail_receive_sessions(const mail_receive *rcv)
{
    return mail_smtp_service_sessions(rcv->service);
}

void mail_receive_drain(mail_receive *rcv, void (*fn)(void *arg), void *arg)
{
    dropbox_stop(rcv->dropbox);
    mail_smtp_service_drain(rcv->service, fn, arg);
}
