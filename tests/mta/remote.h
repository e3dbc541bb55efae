/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MTA_REMOTE_H
#define TESTS_MTA_REMOTE_H

#include "mta/kit.h"

#include <mail/smtp_service.h>

#define REMOTE_MESSAGES 64

/* A message that a remote host has taken. */
typedef struct remote_message {
    char sender[400];
    char recipients[2000]; /* with blanks between them */
    mail_sink_memory text;
} remote_message;

/*
 * A host out there. The local part of a recipient says what becomes of it: `perm…` is refused for
 * good, `temp…` for now, anything else is taken.
 */
typedef struct remote {
    kit *k;
    mail_smtp_service *service;
    mail_endpoint at;
    remote_message messages[REMOTE_MESSAGES];
    size_t count;         /* taken */
    unsigned connections; /* in all */
    unsigned open;
    unsigned most;              /* at a time */
    unsigned allowed;           /* at a time; 0: any number. More are refused with 421 */
    unsigned shy;               /* which connection, from 1, waits for its greeting … */
    mail_ticket shy_ticket;     /* … until this is answered */
    const mail_reply *greeting; /* instead of 220 */
    const mail_reply *to_mail;  /* instead of 250 */
    bool is_slow;               /* leaves MAIL without an answer until remote_answer */
    mail_ticket ticket;
    unsigned asked;       /* how often MAIL came */
    char tls[16];         /* version of the last session's TLS; empty: in clear */
    bool is_resumed;      /* its session */
    char sni[100];        /* the name that was asked for in it */
    char user[100];       /* who it was, as of the last MAIL */
    bool saw_certificate; /* of a client, in it */
    const char *secret;   /* everybody's password */
} remote;

static inline void remote_end(remote_message *msg)
{
    mail_sink_memory_deinit(&msg->text);
    memset(msg, 0, sizeof(*msg));
}

static inline void remote_on_mail(remote *r, const mail_smtp_event *ev)
{
    remote_message *msg = &r->messages[r->count];

    assert_true(r->count < REMOTE_MESSAGES);
    remote_end(msg);
    snprintf(msg->sender, sizeof(msg->sender), "%.*s", (int)ev->path->length, ev->path->text);
}

static inline mail_reply remote_on_rcpt(remote *r, const mail_smtp_event *ev)
{
    remote_message *msg = &r->messages[r->count];
    size_t used = strlen(msg->recipients);

    if (strncmp(ev->path->text, "perm", 4) == 0) {
        return MAIL_REPLY(550, 5, 1, 1, "Nobody by that name");
    }
    if (strncmp(ev->path->text, "temp", 4) == 0) {
        return MAIL_REPLY(451, 4, 2, 1, "Come back later");
    }
    snprintf(msg->recipients + used, sizeof(msg->recipients) - used, "%s%.*s", used > 0 ? " " : "",
             (int)ev->path->length, ev->path->text);
    return (mail_reply){0};
}

/* A message counts from its end on; its sink is then done with. */
static inline int remote_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    remote *r = sink->on_room_arg; /* room never grows */

    (void)fn;
    (void)arg;
    r->count++;
    return MAIL_OK;
}

static inline void remote_on_data(remote *r, mail_ticket ticket)
{
    static mail_sink_ops ops;
    remote_message *msg = &r->messages[r->count];

    mail_sink_memory_init(&msg->text, NULL, 1 << 20);
    ops = *msg->text.sink.ops;
    ops.finish = remote_finish;
    msg->text.sink.ops = &ops;
    mail_smtp_service_take(ticket, &msg->text.sink, MAIL_SPAN("thanks"));
    msg->text.sink.on_room_arg = r;
}

static inline void remote_event(mail_smtp_session *session, mail_ticket ticket,
                                const mail_smtp_event *ev, void *arg)
{
    static const mail_reply busy = {421, {4, 3, 2}, {"Too many of you", 15}};
    remote *r = arg;
    mail_reply reply;

    switch (ev->type) {
    case MAIL_SMTP_EV_CONNECT:
        session->user = r;
        r->connections++;
        r->open++;
        r->most = r->open > r->most ? r->open : r->most;
        if (r->connections == r->shy) {
            r->shy_ticket = ticket;
            return;
        }
        mail_smtp_service_answer(ticket,
                                 r->allowed > 0 && r->open > r->allowed ? &busy : r->greeting);
        return;
    case MAIL_SMTP_EV_AUTH: {
        mail_sasl_answer answer = {.kind = MAIL_SASL_PASSWORD,
                                   .password = mail_span_text(r->secret)};

        if (ev->auth->mechanism == MAIL_SASL_EXTERNAL) {
            answer.kind = MAIL_SASL_ACCEPT;
        }
        mail_smtp_service_answer_auth(ticket, &answer);
        return;
    }
    case MAIL_SMTP_EV_MAIL:
        snprintf(r->tls, sizeof(r->tls), "%s", session->tls != NULL ? session->tls->version : "");
        r->saw_certificate = session->tls != NULL && session->tls->has_peer_certificate;
        r->is_resumed = session->tls != NULL && session->tls->resumed;
        snprintf(r->sni, sizeof(r->sni), "%s",
                 session->tls != NULL ? session->tls->server_name : "");
        snprintf(r->user, sizeof(r->user), "%.*s", (int)session->authenticated.length,
                 session->authenticated.length > 0 ? session->authenticated.data : "");
        r->ticket = ticket;
        r->asked++;
        if (r->to_mail == NULL) {
            remote_on_mail(r, ev);
        }
        if (!r->is_slow) {
            mail_smtp_service_answer(ticket, r->to_mail);
        }
        return;
    case MAIL_SMTP_EV_RCPT:
        reply = remote_on_rcpt(r, ev);
        mail_smtp_service_answer(ticket, reply.code != 0 ? &reply : NULL);
        return;
    case MAIL_SMTP_EV_DATA:
        remote_on_data(r, ticket);
        return;
    case MAIL_SMTP_EV_CLOSE:
        r->open -= session->user != NULL;
        return;
    default:
        mail_smtp_service_answer(ticket, NULL);
        return;
    }
}

/* With `tls` (which may be NULL) and whatever `engine` says; `path` for a unix socket. */
static inline void remote_serve(remote *r, kit *k, mail_smtp_server_options engine,
                                mail_tls_context *tls, const mail_endpoint *at, const char *path)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;

    memset(r, 0, sizeof(*r));
    r->k = k;
    r->secret = "";
    opts.on_event = remote_event;
    opts.arg = r;
    engine.hostname = MAIL_SPAN("remote.example");
    engine.no_dsn = true;
    assert_int_equal(mail_smtp_service_create(&r->service, k->w.loop, &opts), MAIL_OK);
    if (tls != NULL) {
        mail_smtp_service_set_tls(r->service, tls);
    }
    if (path != NULL) {
        assert_int_equal(mail_smtp_service_listen_unix(r->service, path, &engine, NULL, NULL),
                         MAIL_OK);
    } else {
        assert_int_equal(mail_smtp_service_listen(r->service, at != NULL ? at : &loopback, &engine,
                                                  NULL, &r->at, NULL),
                         MAIL_OK);
    }
}

/* `at` NULL: any port; `path` instead for a unix socket. */
static inline void remote_open(remote *r, kit *k, bool lmtp, const mail_endpoint *at,
                               const char *path)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;

    engine.lmtp = lmtp;
    remote_serve(r, k, engine, NULL, at, path);
}

static inline void remote_close(remote *r)
{
    mail_smtp_service_destroy(r->service);
    for (size_t i = 0; i < REMOTE_MESSAGES; i++) {
        remote_end(&r->messages[i]);
    }
}

static inline const char *remote_text(remote *r, size_t index)
{
    mail_sink_memory *text = &r->messages[index].text;

    (void)mail_sink_memory_bytes(text);
    if (text->length == 0 || text->data[text->length - 1] != '\0') {
        assert_int_equal(mail_sink_write(&text->sink, mail_span_of("", 1)), MAIL_OK);
    }
    return text->data;
}

#endif
