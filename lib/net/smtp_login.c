/* SPDX-License-Identifier: MIT */
/* AUTH by the service's own accounts: one login from the engine's question to its verdict. */
#include "net/smtp_session.h"

#include <assert.h>

static void tell(const smtp_session *ss, mail_log_level level, const char *what)
{
    mail_log_field fields[] = {{.key = "client"}, {"user", net_login_user(ss->login)}};

    net_door_log(&ss->service->door, &ss->shown.peer, level, what, fields, MAIL_COUNT(fields));
}

static void end(smtp_session *ss, bool has_proved)
{
    net_login *login = ss->login;

    ss->login = NULL;
    net_login_end(login, has_proved);
}

void smtp_login_settle(smtp_session *ss)
{
    mail_time now;

    if (ss->login == NULL || mail_smtp_server_authenticates(ss->engine)) {
        return;
    }
    if (ss->shown.authenticated.length > 0) {
        tell(ss, MAIL_LOG_INFO, "authenticated");
        end(ss, true);
        return;
    }
    now = mail_loop_now(ss->service->loop);
    mail_smtp_server_delay(ss->engine, now + net_login_delay(ss->login));
    tell(ss, MAIL_LOG_WARN, "not authenticated");
    end(ss, false);
}

static void on_answer(const mail_sasl_answer *answer, void *arg)
{
    static const mail_reply not_now = {454, {4, 7, 0}, {"Try again later", 15}};
    smtp_session *ss = arg;

    if (answer != NULL) {
        (void)smtp_session_answer_auth(ss, answer);
        return;
    }
    tell(ss, MAIL_LOG_WARN, "no login now");
    end(ss, false);
    (void)smtp_session_answer(ss, &not_now);
}

void smtp_login_begin(smtp_session *ss, const mail_sasl_question *question)
{
    static const mail_reply no_memory = {454, {4, 7, 0}, {"Out of memory", 13}};

    assert(ss->login == NULL); /* settled before the next exchange begins */
    ss->question = MAIL_SMTP_EV_AUTH;
    if (net_login_begin(&ss->login, ss->service->logins,
                        ss->shown.peer_is_unix ? NULL : &ss->shown.peer.ip, question, on_answer,
                        ss) != MAIL_OK) {
        (void)smtp_session_answer(ss, &no_memory);
    }
}

void smtp_login_drop(smtp_session *ss)
{
    end(ss, false);
}
