/* SPDX-License-Identifier: MIT */
#include "net/smtp_session.h"

#include <assert.h>

#include "base/mem.h"

/*
 * One turn of a session: bytes to the engine, events to the policy, body to the
 * sink, until the engine has a question that is not answered at once, or the sink
 * no room, or the input ends.
 */

static const mail_ticket no_ticket;

static void tell_policy(smtp_session *ss, mail_ticket ticket, const mail_smtp_event *ev)
{
    mail_smtp_service *service = ss->service;

    if (service->opts.on_event != NULL) {
        service->calling++;
        service->opts.on_event(&ss->shown, ticket, ev, service->opts.arg);
        service->calling--;
    }
}

static void set_text(smtp_session *ss, char **text, size_t *length, char *to, size_t to_length)
{
    mem_free(ss->mem, *text, *length + 1);
    *text = to;
    *length = to_length;
}

/* TLS. */

static bool shakes_hands(const smtp_session *ss)
{
    return ss->link.filter != NULL && mail_smtp_server_awaits_tls(ss->engine);
}

static int accept_tls(smtp_session *ss)
{
    int code = net_tls_accept(&ss->tls, ss->service->tls, ss->mem);

    if (code == MAIL_OK) {
        net_tls_use_workers(ss->tls, ss->service->loop, net_link_wake, &ss->link);
    }
    return code;
}

/* Deriving it costs more than the rest of a session but the handshake: not where nobody can use it. */
static mail_span binding_of(const smtp_session *ss, uint8_t out[MAIL_TLS_BINDING_SIZE])
{
    return ss->binds ? net_tls_binding(ss->tls, out) : mail_span_of(NULL, 0);
}

/* The handshake is done: the engine begins anew. */
static void tell_tls(smtp_session *ss, mail_time now)
{
    uint8_t binding[MAIL_TLS_BINDING_SIZE];
    char address[MAIL_TLS_ADDRESS_SIZE];
    mail_span identity = net_door_identify(&ss->service->door, &ss->shown.peer, ss->tls, address);

    mail_tls_facts_read(net_tls_session(ss->tls), &ss->facts);
    ss->shown.tls = &ss->facts;
    ss->shown.helo = mail_span_of(NULL, 0);
    ss->shown.esmtp = false;
    ss->shown.authenticated = mail_span_of(NULL, 0);
    net_quotas_log_in(&ss->service->door.quotas, &ss->guest, ss->shown.authenticated);
    ss->starved =
        mail_smtp_server_tls_started(ss->engine, now, binding_of(ss, binding), identity) != MAIL_OK;
}

/* Answers. */

static void name_given(smtp_session *ss, const mail_reply *reply)
{
    /* RFC 5321, section 4.1.4: a name that was refused changes nothing. */
    if (reply == NULL || mail_reply_is_positive(reply)) {
        set_text(ss, &ss->helo, &ss->helo_length, ss->next_helo, ss->next_helo_length);
        ss->shown.helo = mail_span_of(ss->helo, ss->helo_length);
        ss->shown.esmtp = ss->next_esmtp;
    } else {
        mem_free(ss->mem, ss->next_helo, ss->next_helo_length + 1);
    }
    ss->next_helo = NULL;
}

/*
 * Most answers to END come from elsewhere and find nothing more to do than to be sent: what else
 * there may be is left to a turn, which costs a round.
 */
static void resume(smtp_session *ss, mail_smtp_event_type question)
{
    if (ss->feeding) {
        return;
    }
    net_link_kick(&ss->link);
    if (question != MAIL_SMTP_EV_END || ss->shown.lmtp || ss->starved ||
        ss->service->door.is_shut) {
        net_link_soon(&ss->link);
    }
}

int smtp_session_answer(smtp_session *ss, const mail_reply *reply)
{
    mail_smtp_event_type question = ss->question;
    int code;

    ss->question = MAIL_SMTP_EV_NONE;
    smtp_service_ticket(ss->service, ss->slot); /* the one that is out is used up */
    if (question == MAIL_SMTP_EV_HELO) {
        name_given(ss, reply);
    }
    code = mail_smtp_server_answer(ss->engine, mail_loop_now(ss->service->loop), reply);
    if (code != MAIL_OK) {
        ss->starved = true;
    } else if (reply != NULL && reply->code == 421) {
        question = MAIL_SMTP_EV_NONE; /* EV_CLOSE is to be fetched */
    }
    resume(ss, question);
    return code;
}

/* AUTH ends with an answer, or with what the peer says after one. */
static void note_user(smtp_session *ss)
{
    mail_span user = mail_smtp_server_user(ss->engine);

    if (user.length > 0 && ss->shown.authenticated.length == 0) {
        net_quotas_log_in(&ss->service->door.quotas, &ss->guest, user);
    }
    ss->shown.authenticated = user;
    smtp_login_settle(ss);
}

int smtp_session_answer_auth(smtp_session *ss, const mail_sasl_answer *answer)
{
    int code;

    assert(ss->question == MAIL_SMTP_EV_AUTH);
    ss->question = MAIL_SMTP_EV_NONE;
    smtp_service_ticket(ss->service, ss->slot); /* the one that is out is used up */
    code = mail_smtp_server_answer_auth(ss->engine, mail_loop_now(ss->service->loop), answer);
    ss->starved = ss->starved || code != MAIL_OK;
    note_user(ss);
    resume(ss, MAIL_SMTP_EV_AUTH);
    return code;
}

void smtp_session_free(smtp_session *ss)
{
    set_text(ss, &ss->helo, &ss->helo_length, NULL, 0);
    set_text(ss, &ss->next_helo, &ss->next_helo_length, NULL, 0);
    set_text(ss, &ss->accepted, &ss->accepted_length, NULL, 0);
    buffer_deinit(&ss->spill);
    mail_smtp_server_destroy(ss->engine);
    net_tls_destroy(ss->tls);
    mem_free(ss->mem, ss, sizeof(*ss));
}

/* Events. */

void smtp_session_ask(smtp_session *ss, const mail_smtp_event *ev)
{
    mail_ticket ticket = smtp_service_ticket(ss->service, ss->slot);

    ss->question = ev->type;
    if (ss->service->opts.on_event == NULL) {
        smtp_session_answer(ss, NULL);
    } else {
        tell_policy(ss, ticket, ev);
    }
}

/* The client has had too much of what it asks for: the answer is ours. */
static void refuse_more(smtp_session *ss, net_resource resource, const mail_smtp_event *ev)
{
    static const struct {
        mail_reply reply;
        net_limit limit;
    } rows[] = {
        [NET_MESSAGES] = {{450, {4, 7, 1}, {"Too many messages of late, try again later", 42}},
                          NET_LIMIT_MESSAGES},
        [NET_RECIPIENTS] = {{450, {4, 7, 1}, {"Too many recipients of late, try again later", 44}},
                            NET_LIMIT_RECIPIENTS},
    };
    const mail_reply *reply = &rows[resource].reply;
    mail_smtp_event refused = {.type = MAIL_SMTP_EV_REFUSED,
                               .name = ev->type == MAIL_SMTP_EV_MAIL ? MAIL_SPAN("MAIL")
                                                                     : MAIL_SPAN("RCPT"),
                               .path = ev->path,
                               .reply = reply};

    mail_metric_count(ss->service->door.measure.met[rows[resource].limit], 1);
    ss->question = ev->type;
    smtp_session_answer(ss, reply);
    tell_policy(ss, no_ticket, &refused);
}

static void ask_within(smtp_session *ss, net_resource resource, const mail_smtp_event *ev)
{
    mail_smtp_service *service = ss->service;

    if (net_quotas_take(&service->door.quotas, &ss->guest, resource,
                        mail_loop_now(service->loop))) {
        smtp_session_ask(ss, ev);
    } else {
        refuse_more(ss, resource, ev);
    }
}

static void on_helo(smtp_session *ss, const mail_smtp_event *ev)
{
    ss->next_helo = mem_text(ss->mem, ev->name);
    ss->next_helo_length = ev->name.length;
    ss->next_esmtp = ev->esmtp;
    if (ss->next_helo == NULL) {
        ss->starved = true;
        return;
    }
    smtp_session_ask(ss, ev);
}

/* The filter comes once the reply has gone out in clear: see session_sent. */
static void on_starttls(smtp_session *ss)
{
    static const mail_reply not_now = {454, {4, 7, 0}, {"TLS not available now", 21}};
    bool is_made = accept_tls(ss) == MAIL_OK;

    ss->starved = mail_smtp_server_answer(ss->engine, mail_loop_now(ss->service->loop),
                                          is_made ? NULL : &not_now) != MAIL_OK;
}

/* The engine has its own limits: what it said last tells which was met. */
static void note_limit(smtp_session *ss, const mail_reply *reply)
{
    static const struct {
        uint16_t code;
        uint8_t subject;
        net_limit limit;
    } rows[] = {
        {421, 7, NET_LIMIT_SESSION},
        {421, 4, NET_LIMIT_TIME},
        {500, 5, NET_LIMIT_MANNERS},
        {554, 5, NET_LIMIT_MANNERS},
    };
    char text[MAIL_REPLY_TEXT_SIZE];

    for (size_t i = 0; reply != NULL && i < MAIL_COUNT(rows); i++) {
        if (reply->code == rows[i].code && reply->status[1] == rows[i].subject) {
            text[mail_reply_print(reply, text, sizeof(text))] = '\0';
            net_door_limited(&ss->service->door, &ss->shown.peer, rows[i].limit, "session ended",
                             text);
        }
    }
}

static void on_auth(smtp_session *ss, const mail_smtp_event *ev)
{
    net_link_keep_secret(&ss->link);
    if (ss->service->logins != NULL) {
        smtp_login_begin(ss, ev->auth);
    } else {
        smtp_session_ask(ss, ev);
    }
}

static void on_close(smtp_session *ss, const mail_smtp_event *ev)
{
    bool is_orderly = ev->reply != NULL && ev->reply->code == 221;

    ss->is_over = true;
    ss->gone_at = mail_loop_now(ss->service->loop) + ss->service->last_words;
    ss->question = MAIL_SMTP_EV_NONE;
    smtp_service_ticket(ss->service, ss->slot); /* as is any that is still out */
    smtp_message_drop(ss);
    note_limit(ss, ev->reply);
    smtp_login_drop(ss);
    if (!is_orderly) {
        net_link_linger(&ss->link);
    }
    tell_policy(ss, no_ticket, ev);
}

static void on_event(smtp_session *ss, const mail_smtp_event *ev)
{
    switch (ev->type) {
    case MAIL_SMTP_EV_NONE:
        break;
    case MAIL_SMTP_EV_HELO:
        on_helo(ss, ev);
        break;
    case MAIL_SMTP_EV_MAIL:
        ask_within(ss, NET_MESSAGES, ev);
        break;
    case MAIL_SMTP_EV_RCPT:
        ask_within(ss, NET_RECIPIENTS, ev);
        break;
    case MAIL_SMTP_EV_CONNECT:
    case MAIL_SMTP_EV_VRFY:
    case MAIL_SMTP_EV_EXPN:
        smtp_session_ask(ss, ev);
        break;
    case MAIL_SMTP_EV_AUTH:
        on_auth(ss, ev);
        break;
    case MAIL_SMTP_EV_STARTTLS:
        on_starttls(ss);
        break;
    case MAIL_SMTP_EV_DATA:
        smtp_message_begin(ss, ev);
        break;
    case MAIL_SMTP_EV_BODY:
        smtp_message_put(ss, ev->body);
        break;
    case MAIL_SMTP_EV_END:
        smtp_message_end(ss, ev);
        break;
    case MAIL_SMTP_EV_ABORT:
        smtp_message_drop(ss);
        tell_policy(ss, no_ticket, ev);
        break;
    case MAIL_SMTP_EV_RESET:
    case MAIL_SMTP_EV_REFUSED:
        tell_policy(ss, no_ticket, ev);
        break;
    case MAIL_SMTP_EV_CLOSE:
        on_close(ss, ev);
        break;
    }
}

/* The engine closes without another word. */
static void end(smtp_session *ss)
{
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_ABORT};

    if (shakes_hands(ss) && !ss->is_over) {
        net_door_log_handshake(&ss->service->door, &ss->shown.peer, ss->tls);
    }
    while (!ss->is_over && ev.type != MAIL_SMTP_EV_NONE) {
        mail_smtp_server_eof(ss->engine, &ev);
        on_event(ss, &ev);
    }
}

static void end_mute(smtp_session *ss)
{
    ss->is_mute = true;
    end(ss);
}

/* What the link asks of its owner. */

/* True: nothing to be heard yet. Who has not come as far as TLS is not waited for in the end. */
static bool awaits_handshake(smtp_session *ss, mail_time now)
{
    if (ss->is_over || !shakes_hands(ss)) {
        return false;
    }
    if (net_tls_is_ready(ss->tls)) {
        tell_tls(ss, now);
        return false;
    }
    if (ss->service->door.is_shut) {
        end_mute(ss);
    }
    return true;
}

static void session_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    smtp_session *ss = arg;
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_CONNECT};

    if (awaits_handshake(ss, now)) {
        return;
    }
    ss->feeding = true;
    while (!ss->is_over && !ss->starved && ev.type != MAIL_SMTP_EV_NONE) {
        mail_span rest = mail_span_from(in, *used);
        size_t limit = smtp_message_limit(ss, rest.length);
        size_t n;

        if (limit == 0 && smtp_message_is_stalled(ss)) {
            mail_smtp_server_pause(ss->engine, now);
            break;
        }
        ss->starved = mail_smtp_server_feed(ss->engine, now, mail_span_first(rest, limit), &n,
                                            &ev) != MAIL_OK;
        *used += n;
        if (!ss->starved) {
            note_user(ss);
            on_event(ss, &ev);
        }
    }
    ss->feeding = false;
    if (ss->starved) {
        end_mute(ss);
    }
}

static void session_eof(void *arg, mail_time now)
{
    (void)now;
    end(arg);
}

static void session_tick(void *arg, mail_time now)
{
    smtp_session *ss = arg;
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_ABORT};

    if (ss->is_over) {
        net_link_close(&ss->link);
        return;
    }
    if (shakes_hands(ss)) { /* nothing can be said to the peer */
        if (now >= mail_smtp_server_deadline(ss->engine)) {
            end_mute(ss);
        }
        return;
    }
    ss->feeding = true;
    while (!ss->is_over && ev.type != MAIL_SMTP_EV_NONE) {
        if (mail_smtp_server_tick(ss->engine, now, &ev) != MAIL_OK) {
            end_mute(ss);
            break;
        }
        on_event(ss, &ev);
    }
    ss->feeding = false;
}

static mail_span session_out(void *arg)
{
    smtp_session *ss = arg;

    return ss->is_mute ? mail_span_of(NULL, 0) : mail_smtp_server_out(ss->engine);
}

static void session_sent(void *arg, mail_time now, size_t n)
{
    smtp_session *ss = arg;

    (void)now;
    mail_smtp_server_sent(ss->engine, n);
    if (ss->link.filter == NULL && mail_smtp_server_awaits_tls(ss->engine) &&
        mail_smtp_server_out(ss->engine).length == 0) {
        net_link_set_filter(&ss->link, net_tls_filter(ss->tls));
    }
}

/* Until EV_CLOSE there is always something to wait for, be it only a deadline. */
static unsigned session_wants(void *arg)
{
    smtp_session *ss = arg;
    unsigned wants;

    if (ss->is_over) {
        return session_out(ss).length > 0 ? MAIL_WANTS_WRITE : 0;
    }
    wants = mail_smtp_server_wants(ss->engine) | MAIL_WANTS_ANSWER;
    return smtp_message_is_stalled(ss) || net_tls_is_at_work(ss->tls)
               ? wants & ~(unsigned)MAIL_WANTS_READ
               : wants;
}

static mail_time session_deadline(void *arg)
{
    smtp_session *ss = arg;

    return ss->is_over ? ss->gone_at : mail_smtp_server_deadline(ss->engine);
}

static void session_closed(void *arg)
{
    smtp_session *ss = arg;

    smtp_service_forget(ss->service, ss);
    if (!ss->finishing) {
        smtp_session_free(ss);
    }
}

static const net_link_ops session_ops = {
    .feed = session_feed,
    .eof = session_eof,
    .tick = session_tick,
    .out = session_out,
    .sent = session_sent,
    .wants = session_wants,
    .deadline = session_deadline,
    .closed = session_closed,
};

int smtp_session_open(smtp_session **out, mail_smtp_service *service, uint32_t slot, int fd,
                      const mail_smtp_server_options *engine)
{
    smtp_session *ss = mem_alloc(service->mem, sizeof(*ss));
    int code;

    if (ss == NULL) {
        return MAIL_ENOMEM;
    }
    ss->mem = service->mem;
    ss->service = service;
    ss->slot = slot;
    ss->shown.lmtp = engine->lmtp;
    ss->binds = (engine->auth_mechanisms & 1U << MAIL_SASL_SCRAM_SHA_256_PLUS) != 0;
    ss->shown.serial = ++service->last_serial;
    list_init(&ss->orphan);
    buffer_init(&ss->spill, ss->mem, SIZE_MAX / 2);
    code = mail_smtp_server_create(&ss->engine, engine, mail_loop_now(service->loop));
    if (code == MAIL_OK && engine->implicit_tls) {
        code = accept_tls(ss);
    }
    if (code == MAIL_OK) {
        code = net_link_init(&ss->link, service->net, service->loop, ss->mem, fd, &session_ops, ss);
    }
    if (code == MAIL_OK && engine->implicit_tls) {
        net_link_set_filter(&ss->link, net_tls_filter(ss->tls));
    }
    if (code != MAIL_OK) {
        smtp_session_free(ss);
        return code;
    }
    *out = ss;
    return MAIL_OK;
}

void smtp_session_cut(smtp_session *ss)
{
    end(ss);
    net_link_close(&ss->link);
}

void smtp_session_drain(smtp_session *ss)
{
    if (!ss->is_over) {
        mail_smtp_server_shutdown(ss->engine, MAIL_SPAN("Shutting down, try again later"), false);
        net_link_soon(&ss->link);
    }
}
