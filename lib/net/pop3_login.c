/* SPDX-License-Identifier: MIT */
/*
 * How a session comes to its mailbox: who the client is, is asked of net/login.h; then a worker
 * opens the mailbox.
 */
#include "base/mem.h"
#include "net/pop3_session.h"

static void end_login(pop3_session *ss, bool has_proved)
{
    net_login_end(ss->login, has_proved);
    ss->login = NULL;
}

static void on_answer(const mail_sasl_answer *answer, void *arg)
{
    pop3_session *ss = arg;

    if (answer != NULL) {
        pop3_session_check(ss,
                           mail_pop3_server_answer_auth(ss->engine, pop3_session_now(ss), answer));
    } else {
        end_login(ss, false);
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP, "too many logins, try again later");
    }
    net_link_run(&ss->link);
}

void pop3_login_ask(pop3_session *ss, const mail_sasl_question *question)
{
    const mail_ip *client = ss->peer.ip.family != 0 ? &ss->peer.ip : NULL;

    end_login(ss, false); /* of an exchange that the client has broken off */
    if (net_login_begin(&ss->login, ss->service->logins, client, question, on_answer, ss) !=
        MAIL_OK) {
        ss->login = NULL;
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP, "out of memory");
    }
}

void pop3_login_refuse(pop3_session *ss)
{
    ss->refuse_at = MAIL_NEVER;
    pop3_session_refuse(ss, MAIL_POP3_AUTH, "wrong name or password");
}

void pop3_login_deny(pop3_session *ss)
{
    mail_log_field fields[] = {{.key = "client"}, {.key = "user"}};
    mail_duration delay = 0;

    if (ss->login != NULL) { /* or the name was one that nobody can have */
        fields[1].value = net_login_user(ss->login);
        delay = net_login_delay(ss->login);
    }
    pop3_session_log(ss, MAIL_LOG_WARN, "login refused", fields, MAIL_COUNT(fields));
    mail_metric_count(ss->service->measure.refused, 1);
    end_login(ss, false);
    if (delay == 0) {
        pop3_login_refuse(ss);
    } else {
        ss->refuse_at = pop3_session_now(ss) + delay;
    }
}

/* What opening needs on its way; false: no memory. */
static bool make_opening(pop3_session *ss)
{
    const mail_mem *mem = ss->service->mem;
    mail_span user = net_login_user(ss->login);

    ss->opening = mem_alloc(mem, sizeof(*ss->opening));
    ss->user_size = user.length + 1;
    ss->user = mem_text(mem, user);
    return ss->opening != NULL && ss->user != NULL;
}

static void free_user(pop3_session *ss)
{
    mem_free(ss->service->mem, ss->user, ss->user_size);
    ss->user = NULL;
}

static void free_opening(pop3_session *ss)
{
    mem_free(ss->service->mem, ss->opening, sizeof(*ss->opening));
    ss->opening = NULL;
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
    mail_log_field fields[4] = {{.key = "client"}, {"user", mail_span_text(ss->user)}};
    mail_tls_facts facts = {.version = NULL};
    size_t count = 2;

    if (ss->tls != NULL) {
        mail_tls_facts_read(net_tls_session(ss->tls), &facts);
        fields[count++] = (mail_log_field){"tls", mail_span_text(facts.version)};
    }
    if (why.length > 0) {
        fields[count++] = (mail_log_field){"reason", why};
    }
    pop3_session_log(ss, level, what, fields, count);
}

static void refuse_mailbox(pop3_session *ss, int code, const char *why)
{
    log_login(ss, code == MAIL_EBUSY ? MAIL_LOG_INFO : MAIL_LOG_ERROR, "mailbox not opened",
              mail_span_text(why));
    free_user(ss);
    pop3_session_refuse(ss, reply_code_of(code),
                        code == MAIL_EBUSY ? "another session has this mailbox"
                                           : "the mailbox can't be opened");
}

void pop3_login_open(pop3_session *ss)
{
    bool has_memory = make_opening(ss);
    int code = has_memory ? net_login_mailbox(ss->login, ss->service->mail_dir, ss->opening->path)
                          : MAIL_ENOMEM;

    end_login(ss, true);
    if (!has_memory) {
        free_opening(ss);
        free_user(ss);
        pop3_session_refuse(ss, MAIL_POP3_SYS_TEMP, "out of memory");
    } else if (code != MAIL_OK) {
        free_opening(ss);
        refuse_mailbox(ss, code, mail_strerror(code));
    } else if (!pop3_session_start_job(ss, JOB_OPEN)) {
        free_opening(ss);
        refuse_mailbox(ss, ss->job_code, mail_strerror(ss->job_code));
    }
}

void pop3_login_opened(pop3_session *ss)
{
    const mail_mailbox *box = ss->mailbox;

    if (ss->is_over) {
        free_user(ss);
    } else if (ss->job_code != MAIL_OK) {
        refuse_mailbox(ss, ss->job_code, ss->opening->err.text);
    } else {
        log_login(ss, MAIL_LOG_INFO, "login", MAIL_SPAN(""));
        mail_metric_count(ss->service->measure.accepted, 1);
        pop3_session_check(ss, mail_pop3_server_login(ss->engine, pop3_session_now(ss),
                                                      box->messages, box->count));
    }
    free_opening(ss);
}

void pop3_login_drop(pop3_session *ss)
{
    end_login(ss, false);
}

void pop3_login_deinit(pop3_session *ss)
{
    end_login(ss, false);
    free_opening(ss);
    free_user(ss);
}
