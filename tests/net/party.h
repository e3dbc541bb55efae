/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_PARTY_H
#define TESTS_NET_PARTY_H

#include "world.h"

#include <mail/smtp_service.h>

/* A sink with moods: how much room it has, when it fails, and when its `finish` is done. */
typedef struct bin {
    mail_sink sink;
    char *bytes; /* up to `keep` of them */
    size_t keep;
    size_t length;
    size_t room;       /* of each write; 0: plenty */
    bool is_full;      /* no room until bin_empty */
    size_t full_every; /* full after so many octets; 0: never */
    int write_code;    /* of a write that passes `fail_after` */
    size_t fail_after;
    int finish_code; /* MAIL_EAGAIN: bin_finish tells */
    mail_finish_fn *fn;
    void *fn_arg;
    unsigned finished;
    unsigned aborted;
} bin;

static inline size_t bin_room(mail_sink *sink)
{
    bin *b = (bin *)sink;

    return b->is_full ? 0 : b->room > 0 ? b->room : 1000000;
}

static inline int bin_write(mail_sink *sink, mail_span bytes)
{
    bin *b = (bin *)sink;

    assert_int_equal(b->finished + b->aborted, 0);
    assert_true(bytes.length > 0 && bytes.length <= bin_room(sink));
    if (b->write_code != MAIL_OK && b->length + bytes.length > b->fail_after) {
        return b->write_code;
    }
    if (b->length + bytes.length <= b->keep) {
        memcpy(b->bytes + b->length, bytes.data, bytes.length);
    }
    if (b->full_every > 0 &&
        (b->length + bytes.length) / b->full_every > b->length / b->full_every) {
        b->is_full = true;
    }
    b->length += bytes.length;
    return MAIL_OK;
}

static inline int bin_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    bin *b = (bin *)sink;

    assert_int_equal(b->finished + b->aborted, 0);
    b->finished++;
    b->fn = fn;
    b->fn_arg = arg;
    return b->finish_code;
}

static inline void bin_abort(mail_sink *sink)
{
    bin *b = (bin *)sink;

    assert_int_equal(b->finished + b->aborted, 0);
    b->aborted++;
}

/* Makes it usable for the next message; the mood stays. */
static inline void bin_reset(bin *b)
{
    static const mail_sink_ops ops = {bin_room, bin_write, bin_finish, bin_abort};

    b->sink = (mail_sink){.ops = &ops};
    b->length = 0;
    b->finished = 0;
    b->aborted = 0;
    b->is_full = false;
    b->fn = NULL;
}

static inline void bin_empty(bin *b)
{
    if (b->is_full && b->finished + b->aborted == 0) {
        b->is_full = false;
        b->sink.on_room(b->sink.on_room_arg);
    }
}

/* A service, and a policy that writes down what it hears. */
typedef struct party {
    world *w;
    mail_smtp_service *service;
    mail_endpoint at;
    char heard[2000];          /* the names of all events, each with a blank before it */
    mail_smtp_event_type slow; /* this question is left open */
    mail_ticket ticket;        /* of the last question */
    mail_reply reply;          /* to every `refuses` */
    mail_smtp_event_type refuses;
    const mail_reply *refusal; /* of a failed sink */
    int refusal_code;          /* what it was asked for */
    bool has_bin;
    bool asks_end; /* take_asking */
    bin box;
    mail_span accepted;
    char helo[300]; /* of the session, at the last event */
    char tls_version[16];
    char authenticated[100];
    char peer[MAIL_IP_TEXT_SIZE];
    bool esmtp;
    size_t opened; /* sessions that said anything, less those that closed */
    unsigned drained;
    mail_reply end_replies[3]; /* take_asking: to each recipient */
} party;

static inline bool party_is_question(mail_smtp_event_type type)
{
    switch (type) {
    case MAIL_SMTP_EV_CONNECT:
    case MAIL_SMTP_EV_HELO:
    case MAIL_SMTP_EV_MAIL:
    case MAIL_SMTP_EV_RCPT:
    case MAIL_SMTP_EV_DATA:
    case MAIL_SMTP_EV_END:
    case MAIL_SMTP_EV_VRFY:
    case MAIL_SMTP_EV_EXPN:
        return true;
    default:
        return false;
    }
}

static inline void party_answer(party *p, mail_smtp_event_type type, mail_ticket ticket)
{
    if (type == p->refuses) {
        mail_smtp_service_answer(ticket, &p->reply);
    } else if (type == MAIL_SMTP_EV_DATA && p->has_bin) {
        bin_reset(&p->box);
        if (p->asks_end) {
            mail_smtp_service_take_asking(ticket, &p->box.sink);
        } else {
            mail_smtp_service_take(ticket, &p->box.sink, p->accepted);
        }
    } else {
        mail_smtp_service_answer(ticket, NULL);
    }
}

static inline void party_event(mail_smtp_session *session, mail_ticket ticket,
                               const mail_smtp_event *ev, void *arg)
{
    party *p = arg;
    const char *name = mail_smtp_event_name(ev->type);

    if (strlen(p->heard) + strlen(name) + 2 < sizeof(p->heard)) {
        strcat(strcat(p->heard, " "), name);
    }
    snprintf(p->helo, sizeof(p->helo), "%.*s", (int)session->helo.length,
             session->helo.length > 0 ? session->helo.data : "");
    p->esmtp = session->esmtp;
    mail_endpoint_print(&session->peer, p->peer);
    snprintf(p->tls_version, sizeof(p->tls_version), "%s",
             session->tls != NULL ? session->tls->version : "");
    snprintf(p->authenticated, sizeof(p->authenticated), "%.*s", (int)session->authenticated.length,
             session->authenticated.length > 0 ? session->authenticated.data : "");
    if (session->user == NULL) {
        session->user = p;
        p->opened++;
    }
    if (ev->type == MAIL_SMTP_EV_CLOSE) {
        assert_ptr_equal(session->user, p);
        session->user = &p->opened; /* seen again, it would not be p */
        p->opened--;
    }
    if (ev->type == MAIL_SMTP_EV_AUTH) { /* everybody's password is a pencil */
        mail_sasl_answer answer = {.kind = MAIL_SASL_PASSWORD, .password = MAIL_SPAN("pencil")};

        mail_smtp_service_answer_auth(ticket, &answer);
        return;
    }
    if (!party_is_question(ev->type)) {
        assert_int_equal(mail_smtp_service_answer(ticket, NULL), MAIL_ECANCELED);
        return;
    }
    p->ticket = ticket;
    if (ev->type == p->slow) {
        return;
    }
    if (ev->type == MAIL_SMTP_EV_END && p->asks_end) {
        if (p->box.finished == 0) {
            mail_sink_finish(&p->box.sink, NULL, NULL);
        }
        mail_smtp_service_answer(ticket, &p->end_replies[ev->index]);
        return;
    }
    party_answer(p, ev->type, ticket);
}

static inline const mail_reply *party_refusal(mail_smtp_session *session, int code, void *arg)
{
    party *p = arg;

    assert_non_null(session);
    p->refusal_code = code;
    return p->refusal;
}

static inline void party_drained(void *arg)
{
    ((party *)arg)->drained++;
}

static inline int party_open(party *p, world *w, const mail_mem *mem,
                             const mail_smtp_server_options *engine,
                             mail_smtp_service_options *opts)
{
    mail_smtp_server_options own = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_smtp_service_options plain = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    int code;

    opts = opts != NULL ? opts : &plain;
    opts->mem = mem;
    opts->sockets = &w->sockets;
    opts->on_event = party_event;
    opts->refusal = party_refusal;
    opts->arg = p;
    own.hostname = MAIL_SPAN("mx.example");
    *p = (party){.w = w, .has_bin = true};
    code = mail_smtp_service_create(&p->service, w->loop, opts);
    if (code != MAIL_OK) {
        return code;
    }
    code = mail_smtp_service_listen(p->service, &loopback, engine != NULL ? engine : &own, NULL,
                                    &p->at, NULL);
    if (code != MAIL_OK) {
        mail_smtp_service_destroy(p->service);
    }
    return code;
}

static inline void party_close(party *p)
{
    mail_smtp_service_destroy(p->service);
    assert_int_equal(p->opened, 0);
}

/* The same with a world of its own. */
static inline void party_begin(party *p, world *w, int kind)
{
    assert_int_equal(world_open(w, kind, NULL), MAIL_OK);
    assert_int_equal(party_open(p, w, NULL, NULL, NULL), MAIL_OK);
}

static inline void party_end(party *p)
{
    world *w = p->w;

    party_close(p);
    world_close(w);
}

/* A client that types. */

static inline int guest_open(party *p)
{
    return world_connect(p->w, &p->at);
}

static inline void guest_says(party *p, int fd, const char *text)
{
    world_says(p->w, fd, text);
}

static inline void guest_hears(party *p, int fd, const char *want)
{
    (void)world_hears(p->w, fd, want);
}

static inline void guest_asks(party *p, int fd, const char *text, const char *want)
{
    guest_says(p, fd, text);
    guest_hears(p, fd, want);
}

/* The server has closed, after all that was heard. */
static inline void guest_hears_the_end(party *p, int fd)
{
    char byte;
    ssize_t n;

    do {
        world_step(p->w);
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EAGAIN);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fd);
}

/* Up to where the message is sent. */
static inline int guest_begins(party *p)
{
    int fd = guest_open(p);

    guest_hears(p, fd, "220 mx.example");
    guest_asks(p, fd, "EHLO client.example\r\n", "250");
    guest_asks(p, fd, "MAIL FROM:<a@client.example>\r\n", "250 2.1.0");
    guest_asks(p, fd, "RCPT TO:<b@mx.example>\r\n", "250 2.1.5");
    guest_asks(p, fd, "DATA\r\n", "354");
    return fd;
}

#endif
