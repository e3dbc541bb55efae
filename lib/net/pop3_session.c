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

/* Logins on workers at the same time: the others of the pool are left for files. */
#define MAX_LOGINS 2

/* The delay of refusals is doubled at most so often. */
#define MAX_DOUBLINGS 4

static void log_session(const pop3_session *ss, mail_log_level level, const char *what,
                        mail_log_field *fields, size_t count)
{
    char client[MAIL_IP_TEXT_SIZE] = "unix";

    if (ss->peer.ip.family != 0) {
        mail_endpoint_print(&ss->peer, client);
    }
    fields[0] = (mail_log_field){"client", mail_span_text(client)};
    mail_log_line(ss->service->opts.log, level, what, fields, count);
}

static mail_span print_count(char out[24], uint64_t count)
{
    return mail_span_of(out, (size_t)snprintf(out, 24, "%" PRIu64, count));
}

/* On a worker: from the name and password to the open mailbox. */

static int open_mailbox(pop3_session *ss, const mail_account *account)
{
    char path[MAIL_MAILBOX_PATH_SIZE];
    int code = mail_account_mailbox(account, ss->service->mail_dir, path);

    if (code != MAIL_OK) {
        return mail_error_set(&ss->login->err, code, "%s", mail_strerror(code));
    }
    return mail_mailbox_open(&ss->mailbox, ss->service->opts.store, path, &ss->login->err);
}

static int log_in(pop3_session *ss)
{
    pop3_login *login = ss->login;
    const mail_account *account;
    int code =
        mail_accounts_verify(login->accounts, mail_span_of(login->user, login->user_length),
                             mail_span_of(login->password, login->password_length), &account);

    login->is_known = code == MAIL_OK;
    if (!login->is_known) {
        return mail_error_set(&login->err, code, "wrong name or password");
    }
    return open_mailbox(ss, account);
}

static int read_piece(pop3_session *ss)
{
    return mail_source_peek(ss->message, &ss->piece);
}

static int open_message(pop3_session *ss)
{
    int code = mail_mailbox_read(ss->mailbox, ss->index, &ss->message);

    return code == MAIL_OK ? read_piece(ss) : code;
}

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
    case JOB_LOGIN:
        ss->job_code = log_in(ss);
        break;
    case JOB_MESSAGE:
        ss->job_code = open_message(ss);
        break;
    case JOB_PIECE:
        ss->job_code = read_piece(ss);
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

/* False: it could not be started, and `job_code` says why. */
static bool start_job(pop3_session *ss, pop3_job job)
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

static void free_login(pop3_session *ss)
{
    if (ss->login != NULL) {
        mail_accounts_release(ss->login->accounts);
        explicit_bzero(ss->login, sizeof(*ss->login));
        mem_free(ss->service->mem, ss->login, sizeof(*ss->login));
        ss->login = NULL;
    }
}

static void close_message(pop3_session *ss)
{
    if (ss->message != NULL) {
        mail_source_close(ss->message);
        ss->message = NULL;
        ss->piece = MAIL_SPAN("");
    }
}

static void free_session(pop3_session *ss)
{
    const mail_mem *mem = ss->service->mem;

    free_login(ss);
    mem_free(mem, ss->user, ss->user_size);
    mail_pop3_server_destroy(ss->engine);
    pop3_service_forget(ss);
    mem_free(mem, ss, sizeof(*ss));
}

/* The connection is gone: once nothing is under way, so is the session. */
static void retire(pop3_session *ss)
{
    if (ss->job != JOB_NONE) {
        return;
    }
    close_message(ss);
    if (ss->mailbox != NULL && start_job(ss, JOB_CLOSE)) {
        return;
    }
    close_mailbox(ss); /* without a worker rather here than never */
    free_session(ss);
}

/* Without memory for a reply the session can't go on. */
static void check_reply(pop3_session *ss, int code)
{
    if (code != MAIL_OK) {
        mail_pop3_server_shutdown(ss->engine, true);
    }
}

static mail_time now_of(const pop3_session *ss)
{
    return mail_loop_now(ss->service->loop);
}

static void accept_question(pop3_session *ss)
{
    check_reply(ss, mail_pop3_server_accept(ss->engine, now_of(ss)));
}

static void refuse(pop3_session *ss, mail_pop3_code code, const char *text)
{
    check_reply(ss, mail_pop3_server_refuse(ss->engine, now_of(ss), code, mail_span_text(text)));
}

static mail_pop3_code reply_code_of(int code)
{
    switch (code) {
    case MAIL_EBUSY:
        return MAIL_POP3_IN_USE;
    case MAIL_EPERM:
    case MAIL_EINVAL:
    case MAIL_ELIMIT:
        return MAIL_POP3_SYS_PERM;
    default:
        return MAIL_POP3_SYS_TEMP;
    }
}

static void log_login(pop3_session *ss, mail_log_level level, const char *what, mail_span why)
{
    mail_log_field fields[] = {
        {.key = "client"},
        {"user", mail_span_of(ss->login->user, ss->login->user_length)},
        {"reason", why},
    };

    log_session(ss, level, what, fields, why.length > 0 ? 3 : 2);
}

/* The answer waits, longer each time, and the host's failures are counted. */
static void put_off_refusal(pop3_session *ss)
{
    unsigned doublings = ss->failures < MAX_DOUBLINGS ? ss->failures : MAX_DOUBLINGS;

    ss->failures++;
    ss->refuse_at = now_of(ss) + (ss->service->opts.login_delay << doublings);
    if (ss->client != NULL) {
        net_client_failed(ss->client, now_of(ss));
    }
}

static void answer_wrong_login(pop3_session *ss)
{
    ss->refuse_at = MAIL_NEVER;
    refuse(ss, MAIL_POP3_AUTH, "wrong name or password");
}

/* The password was right. */
static void welcome(pop3_session *ss)
{
    pop3_login *login = ss->login;
    const mail_mailbox *box = ss->mailbox;

    if (ss->job_code != MAIL_OK) {
        log_login(ss, ss->job_code == MAIL_EBUSY ? MAIL_LOG_INFO : MAIL_LOG_ERROR,
                  "mailbox not opened", mail_span_text(login->err.text));
        refuse(ss, reply_code_of(ss->job_code),
               ss->job_code == MAIL_EBUSY ? "another session has this mailbox"
                                          : "the mailbox can't be opened");
        return;
    }
    ss->user_size = login->user_length + (size_t)1;
    ss->user = mem_text(ss->service->mem, mail_span_of(login->user, login->user_length));
    log_login(ss, MAIL_LOG_INFO, "login", MAIL_SPAN(""));
    check_reply(ss, mail_pop3_server_login(ss->engine, now_of(ss), box->messages, box->count));
}

static void after_login(pop3_session *ss)
{
    if (!ss->is_over) {
        if (ss->login->is_known) {
            welcome(ss);
        } else if (ss->job_code == MAIL_EPERM) {
            log_login(ss, MAIL_LOG_WARN, "login refused", mail_span_text(ss->login->err.text));
            put_off_refusal(ss);
        } else {
            refuse(ss, MAIL_POP3_SYS_TEMP, "the password can't be checked now");
        }
    }
    free_login(ss);
}

/* Lets as many log in as may at a time. */
static void start_logins(mail_pop3_service *service)
{
    while (service->logins < MAX_LOGINS && !list_is_empty(&service->waiting)) {
        pop3_session *ss = LIST_OWNER(list_pop_front(&service->waiting), pop3_session, waiting);

        if (start_job(ss, JOB_LOGIN)) {
            service->logins++;
        } else {
            after_login(ss);
            net_link_kick(&ss->link);
        }
    }
}

/*
 * The message as the engine sees it: pieces that workers have read. Only what can be
 * nothing but the end is looked for at once, which takes no disk.
 */
static int pieces_peek(mail_source *source, mail_span *out)
{
    pop3_session *ss = LIST_OWNER(source, pop3_session, pieces);

    if (ss->job == JOB_NONE && ss->job_code == MAIL_OK && ss->piece.length == 0 && !ss->at_end) {
        if (ss->message_left == 0) {
            ss->job_code = read_piece(ss);
        } else {
            start_job(ss, JOB_PIECE);
        }
    }
    if (ss->job != JOB_NONE) {
        return MAIL_EAGAIN;
    }
    ss->at_end = ss->piece.length == 0;
    *out = ss->piece;
    return ss->job_code;
}

static void pieces_drop(mail_source *source, size_t n)
{
    pop3_session *ss = LIST_OWNER(source, pop3_session, pieces);

    mail_source_drop(ss->message, n);
    ss->piece = mail_span_from(ss->piece, n);
    ss->message_left -= n < ss->message_left ? n : ss->message_left;
}

static void pieces_close(mail_source *source)
{
    (void)source;
}

/* Moves the message on, as far as the engine has room and pieces lie at hand. */
static void send_message(pop3_session *ss)
{
    mail_log_field fields[3] = {
        {.key = "client"}, {"user", mail_span_text(ss->user)}, {.key = "reason"}};
    int code;

    if (ss->job != JOB_NONE || ss->message == NULL ||
        (mail_pop3_server_wants(ss->engine) & MAIL_POP3_WANTS_MESSAGE) == 0) {
        return;
    }
    code = mail_pop3_server_send(ss->engine, now_of(ss), &ss->pieces);
    if (code == MAIL_EAGAIN) {
        return;
    }
    close_message(ss);
    if (code != MAIL_OK) {
        fields[2].value = mail_span_text(mail_strerror(code));
        log_session(ss, MAIL_LOG_ERROR, "message broken off", fields, 3);
    }
}

static void after_message(pop3_session *ss)
{
    if (ss->is_over) {
        return;
    }
    if (ss->job_code != MAIL_OK) {
        close_message(ss);
        refuse(ss, MAIL_POP3_SYS_TEMP,
               ss->job_code == MAIL_ENOENT ? "the message has vanished"
                                           : "the message can't be read now");
        return;
    }
    ss->at_end = false;
    ss->message_left = ss->mailbox->messages[ss->index].size;
    accept_question(ss);
    send_message(ss);
}

static void after_update(pop3_session *ss)
{
    mail_log_field fields[3] = {
        {.key = "client"},
        {"user", mail_span_text(ss->user)},
        {"reason", mail_span_text(mail_strerror(ss->job_code))},
    };

    if (ss->job_code != MAIL_OK) {
        log_session(ss, MAIL_LOG_ERROR, "messages not removed", fields, 3);
    }
    if (ss->is_over) {
        return;
    }
    if (ss->job_code == MAIL_OK) {
        accept_question(ss);
    } else {
        refuse(ss, MAIL_POP3_SYS_TEMP, "not all messages could be removed");
    }
}

/* What the job that has ended means for the session. */
static void finish_job(pop3_session *ss, pop3_job job)
{
    switch (job) {
    case JOB_NONE:
        break;
    case JOB_LOGIN:
        ss->service->logins--;
        after_login(ss);
        start_logins(ss->service);
        break;
    case JOB_MESSAGE:
        after_message(ss);
        break;
    case JOB_PIECE:
        if (!ss->is_over) {
            send_message(ss);
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

/* What the engine asks. */

static void on_login(pop3_session *ss, const mail_pop3_event *ev)
{
    mail_pop3_service *service = ss->service;
    pop3_login *login;

    if (ss->client != NULL && net_client_is_barred(ss->client, now_of(ss))) {
        refuse(ss, MAIL_POP3_SYS_TEMP, "too many wrong logins, try again later");
        return;
    }
    login = mem_alloc(service->mem, sizeof(*login));
    if (login == NULL) {
        refuse(ss, MAIL_POP3_SYS_TEMP, "out of memory");
        return;
    }
    login->accounts = mail_accounts_hold(service->accounts);
    login->user_length = (uint8_t)ev->user.length;
    memcpy(login->user, ev->user.data, ev->user.length);
    login->password_length = (uint8_t)ev->password.length;
    memcpy(login->password, ev->password.data, ev->password.length);
    ss->login = login;
    list_push_back(&service->waiting, &ss->waiting);
    start_logins(service);
}

static void on_message(pop3_session *ss, const mail_pop3_event *ev)
{
    ss->index = ev->index;
    ss->retrieved += ev->lines == MAIL_POP3_ALL_LINES;
    if (!start_job(ss, JOB_MESSAGE)) {
        after_message(ss);
    }
}

static void on_update(pop3_session *ss, const mail_pop3_event *ev)
{
    ss->marks = ev->marks;
    for (size_t i = 0; ev->marks != NULL && i < ss->mailbox->count; i++) {
        ss->removed += mail_mark_is_set(ev->marks, i);
    }
    if (!start_job(ss, JOB_UPDATE)) {
        after_update(ss);
    }
}

static void on_event(pop3_session *ss, const mail_pop3_event *ev)
{
    switch (ev->type) {
    case MAIL_POP3_EV_NONE:
        break;
    case MAIL_POP3_EV_CONNECT:
        accept_question(ss);
        break;
    case MAIL_POP3_EV_LOGIN:
        on_login(ss, ev);
        break;
    case MAIL_POP3_EV_MESSAGE:
        on_message(ss, ev);
        break;
    case MAIL_POP3_EV_UPDATE:
        on_update(ss, ev);
        break;
    case MAIL_POP3_EV_CLOSE:
        ss->is_over = true;
        ss->refuse_at = MAIL_NEVER;
        net_link_linger(&ss->link);
        break;
    }
}

/* What the link tells. */

static void link_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    pop3_session *ss = arg;
    mail_pop3_event ev;

    do {
        size_t n = 0;

        check_reply(ss, mail_pop3_server_feed(ss->engine, now, mail_span_from(in, *used), &n, &ev));
        *used += n;
        on_event(ss, &ev);
    } while (ev.type != MAIL_POP3_EV_NONE && !ss->is_over);
}

static void link_eof(void *arg, mail_time now)
{
    pop3_session *ss = arg;
    mail_pop3_event ev;

    (void)now;
    mail_pop3_server_eof(ss->engine, &ev);
    on_event(ss, &ev);
}

static void link_tick(void *arg, mail_time now)
{
    pop3_session *ss = arg;
    mail_pop3_event ev;

    if (ss->refuse_at <= now) {
        answer_wrong_login(ss);
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
    send_message(ss);
    if (!ss->is_over) {
        link_feed(ss, now, MAIL_SPAN(""), &used);
    }
}

static unsigned link_wants(void *arg)
{
    return mail_pop3_server_wants(((pop3_session *)arg)->engine);
}

static mail_time link_deadline(void *arg)
{
    pop3_session *ss = arg;
    mail_time deadline = mail_pop3_server_deadline(ss->engine);

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

    log_session(ss, ss->user != NULL ? MAIL_LOG_INFO : MAIL_LOG_DEBUG, "session over", fields,
                MAIL_COUNT(fields));
    ss->is_over = true;
    ss->is_disconnected = true;
    list_remove(&ss->waiting);
    retire(ss);
}

int pop3_session_open(mail_pop3_service *service, int fd, const mail_endpoint *peer,
                      net_client *client, mail_span said, const mail_pop3_server_options *engine)
{
    static const mail_source_ops pieces_ops = {pieces_peek, pieces_drop, pieces_close};
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
    ss->client = client;
    ss->refuse_at = MAIL_NEVER;
    ss->pieces.ops = &pieces_ops;
    list_init(&ss->waiting);
    code = mail_pop3_server_create(&ss->engine, engine, mail_loop_now(service->loop));
    if (code == MAIL_OK) {
        code =
            net_link_init(&ss->link, service->net, service->loop, service->mem, fd, &link_ops, ss);
    }
    if (code != MAIL_OK) {
        mail_pop3_server_destroy(ss->engine);
        mem_free(service->mem, ss, sizeof(*ss));
        return code;
    }
    list_push_back(&service->sessions, &ss->link_in_service);
    service->session_count++;
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
