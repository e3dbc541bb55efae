/* SPDX-License-Identifier: MIT */
#include <mail/serve.h>

#include <assert.h>

#include "base/list.h"
#include "base/mem.h"
#include "mta/transaction.h"

#define MAX_MESSAGE_BYTES ((uint64_t)10 * 1024 * 1024)
#define MAX_SESSIONS      1000

struct mail_server {
    mail_serve_options opts;
    mail_smtp_service *service;
    mail_endpoint endpoint;
    list receptions; /* messages that are coming in or wait for their answer */
    uint32_t serial;
};

/* One message on its way into memory and to the callback. */
typedef struct reception {
    mail_sink sink;
    list link;
    mail_server *server;
    uint32_t serial;
    mail_sink_memory content;
    mail_envelope envelope;
    char *helo;
    size_t helo_length;
    mail_endpoint peer;
    bool in_tls;
    mail_finish_fn *fn; /* set while the answer is owed */
    void *arg;
} reception;

static void drop_reception(reception *rec)
{
    const mail_mem *mem = rec->server->opts.mem;

    list_remove(&rec->link);
    mail_sink_memory_deinit(&rec->content);
    mail_envelope_deinit(&rec->envelope);
    mem_free(mem, rec->helo, rec->helo_length + 1);
    mem_free(mem, rec, sizeof(*rec));
}

static size_t reception_room(mail_sink *sink)
{
    return mail_sink_room(&((reception *)sink)->content.sink);
}

static int reception_write(mail_sink *sink, mail_span bytes)
{
    return mail_sink_write(&((reception *)sink)->content.sink, bytes);
}

static void reception_abort(mail_sink *sink)
{
    drop_reception((reception *)sink);
}

static int reception_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    reception *rec = (reception *)sink;
    mail_server *server = rec->server;
    mail_incoming message = {
        .envelope = &rec->envelope,
        .content = mail_sink_memory_bytes(&rec->content),
        .helo = mail_span_of(rec->helo, rec->helo_length),
        .peer = rec->peer,
        .in_tls = rec->in_tls,
        .ticket = {server, 0, rec->serial},
    };
    int code;

    rec->fn = fn;
    rec->arg = arg;
    code = server->opts.on_message(&message, server->opts.arg);
    if (code != MAIL_EAGAIN) {
        drop_reception(rec);
    }
    return code;
}

int mail_server_answer(mail_ticket ticket, int code)
{
    mail_server *server = ticket.service;

    for (list *link = server->receptions.next; link != &server->receptions; link = link->next) {
        reception *rec = LIST_OWNER(link, reception, link);

        if (rec->serial == ticket.serial && rec->fn != NULL) {
            mail_finish_fn *fn = rec->fn;
            void *arg = rec->arg;

            drop_reception(rec);
            fn(code, arg);
            return MAIL_OK;
        }
    }
    return MAIL_ECANCELED;
}

static int begin_reception(mail_server *server, const mail_smtp_session *session, reception **out)
{
    static const mail_sink_ops ops = {reception_room, reception_write, reception_finish,
                                      reception_abort};
    const mail_mem *mem = server->opts.mem;
    reception *rec = mem_alloc(mem, sizeof(*rec));

    if (rec == NULL) {
        return MAIL_ENOMEM;
    }
    rec->sink.ops = &ops;
    rec->server = server;
    rec->serial = ++server->serial;
    rec->peer = session->peer;
    rec->in_tls = session->tls != NULL;
    list_push_back(&server->receptions, &rec->link);
    mail_sink_memory_init(&rec->content, mem, (size_t)server->opts.max_message_bytes);
    mail_envelope_init(&rec->envelope, mem);
    rec->helo_length = session->helo.length;
    rec->helo = mem_text(mem, session->helo);
    if (rec->helo == NULL || mail_envelope_copy(&rec->envelope, session->user) != MAIL_OK) {
        drop_reception(rec);
        return MAIL_ENOMEM;
    }
    *out = rec;
    return MAIL_OK;
}

static const mail_reply no_memory = MAIL_REPLY_INIT(452, 4, 3, 1, "Out of memory");

/* The session's `user` is the envelope of its transaction; NULL while it never had one. */
static const mail_reply *on_mail(mail_server *server, mail_smtp_session *session,
                                 const mail_smtp_event *ev)
{
    mail_envelope *envelope = session->user;

    if (envelope == NULL) {
        envelope = mem_alloc(server->opts.mem, sizeof(*envelope));
        if (envelope == NULL) {
            return &no_memory;
        }
        mail_envelope_init(envelope, server->opts.mem);
        session->user = envelope;
    }
    return transaction_begin(envelope, ev) == MAIL_OK ? NULL : &no_memory;
}

static const mail_reply *on_rcpt(mail_server *server, mail_smtp_session *session,
                                 const mail_smtp_event *ev)
{
    static const mail_reply unknown = MAIL_REPLY_INIT(550, 5, 1, 1, "No such user here");
    mail_recipient recipient = transaction_recipient(ev);

    if (server->opts.on_recipient != NULL &&
        !server->opts.on_recipient(ev->path, server->opts.arg)) {
        return &unknown;
    }
    return mail_envelope_add(session->user, &recipient) == MAIL_OK ? NULL : &no_memory;
}

static void on_data(mail_server *server, mail_smtp_session *session, mail_ticket ticket)
{
    reception *rec;

    if (begin_reception(server, session, &rec) != MAIL_OK) {
        (void)mail_smtp_service_answer(ticket, &no_memory);
        return;
    }
    (void)mail_smtp_service_take(ticket, &rec->sink, (mail_span){0});
}

static void on_event(mail_smtp_session *session, mail_ticket ticket, const mail_smtp_event *ev,
                     void *arg)
{
    mail_server *server = arg;

    switch (ev->type) {
    case MAIL_SMTP_EV_MAIL:
        (void)mail_smtp_service_answer(ticket, on_mail(server, session, ev));
        break;
    case MAIL_SMTP_EV_RCPT:
        (void)mail_smtp_service_answer(ticket, on_rcpt(server, session, ev));
        break;
    case MAIL_SMTP_EV_DATA:
        on_data(server, session, ticket);
        break;
    case MAIL_SMTP_EV_CONNECT:
    case MAIL_SMTP_EV_HELO:
    case MAIL_SMTP_EV_VRFY:
    case MAIL_SMTP_EV_EXPN:
    case MAIL_SMTP_EV_STARTTLS:
    case MAIL_SMTP_EV_AUTH:
        (void)mail_smtp_service_answer(ticket, NULL);
        break;
    case MAIL_SMTP_EV_CLOSE:
        if (session->user != NULL) {
            mail_envelope_deinit(session->user);
            mem_free(server->opts.mem, session->user, sizeof(mail_envelope));
            session->user = NULL;
        }
        break;
    case MAIL_SMTP_EV_NONE:
    case MAIL_SMTP_EV_BODY:
    case MAIL_SMTP_EV_END:
    case MAIL_SMTP_EV_ABORT:
    case MAIL_SMTP_EV_RESET:
    case MAIL_SMTP_EV_REFUSED:
        break;
    }
}

static const mail_reply *refusal(mail_smtp_session *session, int code, void *arg)
{
    static const mail_reply refused = MAIL_REPLY_INIT(554, 5, 6, 0, "Message refused");

    (void)session;
    (void)arg;
    return code == MAIL_EINVAL ? &refused : NULL;
}

static int open_service(mail_server *server, mail_loop *loop, mail_error *err)
{
    const mail_serve_options *opts = &server->opts;
    mail_smtp_service_options service = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
    const char *at = opts->listen != NULL ? opts->listen : "127.0.0.1:2525";
    mail_endpoint endpoint;
    int code;

    if (mail_endpoint_parse(mail_span_text(at), &endpoint) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "not an address and port: %.100s", at);
    }
    service.mem = opts->mem;
    service.log = opts->log;
    service.on_event = on_event;
    service.refusal = refusal;
    service.arg = server;
    service.limits.sessions = opts->max_sessions > 0 ? opts->max_sessions : MAX_SESSIONS;
    engine.hostname =
        mail_span_text(opts->hostname != NULL ? opts->hostname : "localhost.localdomain");
    engine.lmtp = opts->lmtp;
    engine.max_message_bytes = opts->max_message_bytes;
    engine.bare_newline = opts->bare_newline;
    engine.starttls = !opts->implicit_tls; /* once there are certificates */
    engine.implicit_tls = opts->implicit_tls;
    code = mail_smtp_service_create(&server->service, loop, &service);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "cannot serve: %s", mail_strerror(code));
    }
    if (opts->tls != NULL) {
        mail_smtp_service_set_tls(server->service, opts->tls);
    } else if (opts->implicit_tls) {
        return mail_error_set(err, MAIL_EINVAL, "TLS needs a certificate");
    }
    return mail_smtp_service_listen(server->service, &endpoint, &engine, NULL, &server->endpoint,
                                    err);
}

int mail_serve(mail_server **out, mail_loop *loop, const mail_serve_options *opts, mail_error *err)
{
    mail_server *server;
    int code;

    assert(opts->on_message != NULL);
    server = mem_alloc(opts->mem, sizeof(*server));
    if (server == NULL) {
        return MAIL_ENOMEM;
    }
    server->opts = *opts;
    if (server->opts.max_message_bytes == 0) {
        server->opts.max_message_bytes = MAX_MESSAGE_BYTES;
    }
    list_init(&server->receptions);
    code = open_service(server, loop, err);
    if (code != MAIL_OK) {
        mail_server_destroy(server);
        return code;
    }
    *out = server;
    return MAIL_OK;
}

void mail_server_set_tls(mail_server *server, mail_tls_context *context)
{
    mail_smtp_service_set_tls(server->service, context);
}

mail_endpoint mail_server_endpoint(const mail_server *server)
{
    return server->endpoint;
}

void mail_server_drain(mail_server *server, void (*fn)(void *arg), void *arg)
{
    mail_smtp_service_drain(server->service, fn, arg);
}

/* The sessions that still wait are told so; they could not end otherwise. */
static void answer_all(mail_server *server)
{
    list *link = server->receptions.next;

    while (link != &server->receptions) {
        reception *rec = LIST_OWNER(link, reception, link);

        link = link->next;
        if (rec->fn != NULL) {
            mail_finish_fn *fn = rec->fn;
            void *arg = rec->arg;

            drop_reception(rec);
            fn(MAIL_ECANCELED, arg);
        }
    }
}

void mail_server_destroy(mail_server *server)
{
    if (server == NULL) {
        return;
    }
    answer_all(server);
    mail_smtp_service_destroy(server->service);
    while (!list_is_empty(&server->receptions)) {
        drop_reception(LIST_OWNER(server->receptions.next, reception, link));
    }
    mem_free(server->opts.mem, server, sizeof(*server));
}
