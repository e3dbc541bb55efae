/* SPDX-License-Identifier: MIT */
/*
 * One POP3 session: a link, an engine, and a mailbox that only workers touch. While a job
 * is under way the engine waits for its answer, or for a piece of a message, so there is
 * never more than one; a session whose connection is lost meanwhile lives until the job
 * is done and another has closed the mailbox.
 */
#include "net/pop3_session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

void pop3_session_log(const pop3_session *ss, mail_log_level level, const char *what,
                      mail_log_field *fields, size_t count)
{
    net_door_log(&ss->service->door, &ss->peer, level, what, fields, count);
}

static mail_span print_count(char out[24], uint64_t count)
{
    return mail_span_of(out, (size_t)snprintf(out, 24, "%" PRIu64, count));
}

/* On a worker. */

static void close_mailbox(pop3_session *ss)
{
    mail_mailbox_close(ss->mailbox);
    ss->mailbox = NULL;
}

static void run_job(void *arg)
{
    pop3_session *ss = arg;

    switch (ss->job) {
    case JOB_NONE:
        break;
    case JOB_OPEN:
        ss->job_code = mail_mailbox_open(&ss->mailbox, ss->service->opts.store, ss->opening->path,
                                         &ss->opening->err);
        break;
    case JOB_MESSAGE:
        ss->job_code = pop3_pieces_open(ss);
        break;
    case JOB_PIECE:
        ss->job_code = pop3_pieces_read(ss);
        break;
    case JOB_UPDATE:
        ss->job_code = ss->marks != NULL ? mail_mailbox_remove(ss->mailbox, ss->marks) : MAIL_OK;
        close_mailbox(ss);
        break;
    case JOB_CLOSE:
        close_mailbox(ss);
        break;
    }
}

/* Back on the loop. */

static void on_job_done(void *arg);

bool pop3_session_start_job(pop3_session *ss, pop3_job job)
{
    mail_loop *loop = ss->service->loop;
    int code;

    assert(ss->job == JOB_NONE);
    ss->job = job;
    code = loop->ops->work(loop, run_job, on_job_done, ss);
    if (code == MAIL_OK) {
        return true; /* from here on, until it is done, the session is the worker's too */
    }
    ss->job = JOB_NONE;
    ss->job_code = code;
    return false;
}

static void free_session(pop3_session *ss)
{
    const mail_mem *mem = ss->service->mem;

    pop3_login_deinit(ss);
    mail_pop3_server_destroy(ss->engine);
    net_tls_destroy(ss->tls);
    pop3_service_forget(ss);
    mem_free(mem, ss, sizeof(*ss));
}

/* The connection is gone: once nothing is under way, so is the session. */
static void retire(pop3_session *ss)
{
    if (ss->job != JOB_NONE) {
        return;
    }
    pop3_pieces_close(ss);
    if (ss->mailbox != NULL && pop3_session_start_job(ss, JOB_CLOSE)) {
        return;
    }
    close_mailbox(ss); /* without a worker rather here than never */
    free_session(ss);
}

void pop3_session_check(pop3_session *ss, int code)
{
    if (code != MAIL_OK) {
        mail_pop3_server_shutdown(ss->engine, true);
    }
}

mail_time pop3_session_now(const pop3_session *ss)
{
    return mail_loop_now(ss->service->loop);
}

void pop3_session_accept(pop3_session *ss)
{
    pop3_session_check(ss, mail_pop3_server_accept(ss->engine, pop3_session_now(ss)));
}

void pop3_session_refuse(pop3_session *ss, mail_pop3_code code, const char *text)
{
    pop3_session_check(
        ss, mail_pop3_server_refuse(ss->engine, pop3_session_now(ss), code, mail_span_text(text)));
}

static void after_update(pop3_session *ss)
{
    mail_log_field fields[3] = {
        {.key = "client"},
        {"user", mail_span_text(ss->user)},
        {"reason", mail_span_text(mail_strerror(ss->job_code))},
    };

    if (ss->job_code != MAIL_OK) {
        pop3_session_log(ss, MAIL_LOG_ERROR, "messages not removed", fields, 3);
    } else {
        mail_metric_count(ss->service->measure.removed, ss->removed);
    }
    if (ss->is_over) {
        return;
    }
    if (ss->job_code == MAIL_OK) {
        pop3_session_accept(ss);
    } else {
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP, "not all messages could be removed");
    }
}

/* What the job that has ended means for the session. */
static void finish_job(pop3_session *ss, pop3_job job)
{
    switch (job) {
    case JOB_NONE:
        break;
    case JOB_OPEN:
        pop3_login_opened(ss);
        break;
    case JOB_MESSAGE:
        pop3_pieces_opened(ss);
        break;
    case JOB_PIECE:
        if (!ss->is_over) {
            pop3_pieces_send(ss);
        }
        break;
    case JOB_UPDATE:
        after_update(ss);
        break;
    case JOB_CLOSE:
        break;
    }
}

static void on_job_done(void *arg)
{
    pop3_session *ss = arg;
    pop3_job job = ss->job;

    ss->job = JOB_NONE;
    finish_job(ss, job);
    if (ss->is_disconnected) {
        retire(ss);
    } else if (ss->is_over) {
        net_link_kick(&ss->link);
    } else {
        net_link_run(&ss->link); /* what is said now and to the commands behind it leaves as one */
    }
}

/* TLS. */

static bool shakes_hands(const pop3_session *ss)
{
    return ss->link.filter != NULL && mail_pop3_server_awaits_tls(ss->engine);
}

static int accept_tls(pop3_session *ss)
{
    int code = net_tls_accept(&ss->tls, ss->service->tls, ss->service->mem);

    if (code == MAIL_OK) {
        net_tls_use_workers(ss->tls, ss->service->loop, net_link_wake, &ss->link);
    }
    return code;
}

/* The handshake is done: the engine begins anew. */
static void tell_tls(pop3_session *ss, mail_time now)
{
    uint8_t binding[MAIL_TLS_BINDING_SIZE];
    char address[MAIL_TLS_ADDRESS_SIZE];
    mail_span identity = net_door_identify(&ss->service->door, &ss->peer, ss->tls, address);

    pop3_session_check(ss, mail_pop3_server_tls_started(
                               ss->engine, now, net_tls_binding(ss->tls, binding), identity));
}

/* True: nothing to be heard yet. */
static bool awaits_handshake(pop3_session *ss, mail_time now)
{
    if (ss->is_over || !shakes_hands(ss)) {
        return false;
    }
    if (net_tls_is_ready(ss->tls)) {
        tell_tls(ss, now);
        return false;
    }
    return true;
}

/* What the engine asks. */

/* The filter comes once the reply has gone out in clear: see link_sent. */
static void on_stls(pop3_session *ss)
{
    if (accept_tls(ss) == MAIL_OK) {
        pop3_session_accept(ss);
    } else {
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP, "TLS is not available now");
    }
}

/* Somebody between us and the client tried to speak for it. */
static void on_dropped(pop3_session *ss)
{
    mail_log_field fields[] = {{.key = "client"}, {"reason", MAIL_SPAN("input behind STLS")}};

    pop3_session_log(ss, MAIL_LOG_WARN, "input dropped", fields, MAIL_COUNT(fields));
}

static void on_update(pop3_session *ss, const mail_pop3_event *ev)
{
    ss->marks = ev->marks;
    for (size_t i = 0; ev->marks != NULL && i < ss->mailbox->count; i++) {
        ss->removed += mail_mark_is_set(ev->marks, i);
    }
    if (!pop3_session_start_job(ss, JOB_UPDATE)) {
        after_update(ss);
    }
}

static void note_end(const pop3_session *ss, mail_pop3_end end)
{
    static const net_limit limits[] = {
        [MAIL_POP3_END_ORDERLY] = NET_LIMIT_NONE,
        [MAIL_POP3_END_LIMIT] = NET_LIMIT_SESSION,
        [MAIL_POP3_END_SLOW] = NET_LIMIT_TIME,
        [MAIL_POP3_END_FOREIGN] = NET_LIMIT_MANNERS,
    };

    if (limits[end] != NET_LIMIT_NONE) {
        net_door_limited(&ss->service->door, &ss->peer, limits[end], "session ended",
                         net_limit_text(limits[end]));
    }
}

static void on_event(pop3_session *ss, const mail_pop3_event *ev)
{
    switch (ev->type) {
    case MAIL_POP3_EV_NONE:
        break;
    case MAIL_POP3_EV_CONNECT:
        pop3_session_accept(ss);
        break;
    case MAIL_POP3_EV_AUTH:
        net_link_keep_secret(&ss->link);
        pop3_login_ask(ss, ev->auth);
        break;
    case MAIL_POP3_EV_DENY:
        pop3_login_deny(ss);
        break;
    case MAIL_POP3_EV_LOGIN:
        pop3_login_open(ss);
        break;
    case MAIL_POP3_EV_STLS:
        on_stls(ss);
        break;
    case MAIL_POP3_EV_DROPPED:
        on_dropped(ss);
        break;
    case MAIL_POP3_EV_MESSAGE:
        pop3_pieces_begin(ss, ev);
        break;
    case MAIL_POP3_EV_UPDATE:
        on_update(ss, ev);
        break;
    case MAIL_POP3_EV_CLOSE:
        ss->is_over = true;
        ss->gone_at = mail_loop_now(ss->service->loop) + ss->service->last_words;
        ss->refuse_at = MAIL_NEVER;
        note_end(ss, ev->end);
        net_link_linger(&ss->link);
        break;
    }
}

/* What the link tells. */

static void link_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    pop3_session *ss = arg;
    bool is_done = false;
    mail_pop3_event ev;

    if (awaits_handshake(ss, now)) {
        in = MAIL_SPAN(""); /* but it may be over */
    }
    do {
        size_t n = 0;
        int code = mail_pop3_server_feed(ss->engine, now, mail_span_from(in, *used), &n, &ev);

        *used += n;
        pop3_session_check(ss, code);
        if (code == MAIL_OK) {
            on_event(ss, &ev);
            is_done = ev.type == MAIL_POP3_EV_NONE;
        }
    } while (!is_done && !ss->is_over); /* without memory EV_CLOSE comes next */
}

static void link_eof(void *arg, mail_time now)
{
    pop3_session *ss = arg;
    mail_pop3_event ev;

    (void)now;
    if (shakes_hands(ss) && !ss->is_over) {
        net_door_log_handshake(&ss->service->door, &ss->peer, ss->tls);
    }
    mail_pop3_server_eof(ss->engine, &ev);
    on_event(ss, &ev);
}

static void link_tick(void *arg, mail_time now)
{
    pop3_session *ss = arg;
    mail_pop3_event ev;

    if (ss->is_over) {
        net_link_close(&ss->link);
        return;
    }
    if (ss->refuse_at <= now) {
        pop3_login_refuse(ss);
    }
    mail_pop3_server_tick(ss->engine, now, &ev);
    on_event(ss, &ev);
}

static mail_span link_out(void *arg)
{
    return mail_pop3_server_out(((pop3_session *)arg)->engine);
}

/* There is room again: for more of a message, or of a list. */
static void link_sent(void *arg, mail_time now, size_t n)
{
    pop3_session *ss = arg;
    size_t used = 0;

    mail_pop3_server_sent(ss->engine, now, n);
    if (ss->link.filter == NULL && mail_pop3_server_awaits_tls(ss->engine) &&
        mail_pop3_server_out(ss->engine).length == 0) {
        net_link_set_filter(&ss->link, net_tls_filter(ss->tls));
        return;
    }
    pop3_pieces_send(ss);
    if (!ss->is_over) {
        link_feed(ss, now, MAIL_SPAN(""), &used);
    }
}

/* Until EV_CLOSE there is always something to wait for. */
static unsigned link_wants(void *arg)
{
    const pop3_session *ss = arg;
    unsigned wants = mail_pop3_server_wants(ss->engine);

    if (net_tls_is_at_work(ss->tls)) {
        wants &= ~(unsigned)MAIL_WANTS_READ;
    }
    return ss->is_over ? wants & MAIL_WANTS_WRITE : wants | MAIL_WANTS_ANSWER;
}

static mail_time link_deadline(void *arg)
{
    pop3_session *ss = arg;
    mail_time deadline = mail_pop3_server_deadline(ss->engine);

    if (ss->is_over) {
        return ss->gone_at;
    }
    return ss->refuse_at < deadline ? ss->refuse_at : deadline;
}

static void link_closed(void *arg)
{
    pop3_session *ss = arg;
    char retrieved[24];
    char removed[24];
    mail_log_field fields[] = {
        {.key = "client"},
        {"user", mail_span_text(ss->user)},
        {"retrieved", print_count(retrieved, ss->retrieved)},
        {"removed", print_count(removed, ss->removed)},
    };

    pop3_session_log(ss, ss->user != NULL ? MAIL_LOG_INFO : MAIL_LOG_DEBUG, "session over", fields,
                     MAIL_COUNT(fields));
    mail_metric_count(ss->service->measure.retrieved, ss->retrieved);
    ss->is_over = true;
    ss->is_disconnected = true;
    pop3_login_drop(ss);
    retire(ss);
}

int pop3_session_open(mail_pop3_service *service, int fd, const mail_endpoint *peer,
                      const net_guest *guest, mail_span said,
                      const mail_pop3_server_options *engine)
{
    static const net_link_ops link_ops = {
        .feed = link_feed,
        .eof = link_eof,
        .tick = link_tick,
        .out = link_out,
        .sent = link_sent,
        .wants = link_wants,
        .deadline = link_deadline,
        .closed = link_closed,
    };
    pop3_session *ss = mem_alloc(service->mem, sizeof(*ss));
    int code;

    if (ss == NULL) {
        return MAIL_ENOMEM;
    }
    ss->service = service;
    ss->peer = *peer;
    ss->guest = *guest;
    ss->refuse_at = MAIL_NEVER;
    pop3_pieces_init(ss);
    code = mail_pop3_server_create(&ss->engine, engine, mail_loop_now(service->loop));
    if (code == MAIL_OK && engine->implicit_tls) {
        code = accept_tls(ss);
    }
    if (code == MAIL_OK) {
        code =
            net_link_init(&ss->link, service->net, service->loop, service->mem, fd, &link_ops, ss);
    }
    if (code != MAIL_OK) {
        mail_pop3_server_destroy(ss->engine);
        net_tls_destroy(ss->tls);
        mem_free(service->mem, ss, sizeof(*ss));
        return code;
    }
    if (engine->implicit_tls) {
        net_link_set_filter(&ss->link, net_tls_filter(ss->tls));
    }
    mail_metric_count(service->measure.sessions, 1);
    list_push_back(&service->sessions, &ss->link_in_service);
    net_link_preload(&ss->link, said);
    net_link_soon(&ss->link);
    return MAIL_OK;
}

void pop3_session_drain(pop3_session *ss)
{
    if (!ss->is_over) {
        mail_pop3_server_shutdown(ss->engine, false);
        net_link_soon(&ss->link);
    }
}

void pop3_session_cut(pop3_session *ss)
{
    if (!ss->is_disconnected) {
        net_link_close(&ss->link);
    }
}
