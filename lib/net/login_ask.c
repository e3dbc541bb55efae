/* SPDX-License-Identifier: MIT */
/* The embedder is asked who a user is, and answers now or later. */
#include "net/logins.h"

#include "base/mem.h"

static bool is_good(mail_span text, size_t max)
{
    return text.length <= max && (text.length == 0 || memchr(text.data, '\0', text.length) == NULL);
}

void login_ask(net_login *login)
{
    net_logins *ls = login->logins;
    uint64_t serial = ++ls->last_serial;
    mail_ticket ticket = {ls, (uint32_t)(serial >> 32), (uint32_t)serial};

    if (!is_good(login->job.question.user, MAIL_SASL_NAME_MAX)) {
        login->job.is_unknown = true;
        logins_line_up(login);
        return;
    }
    if (login_try_charge(&login->try, logins_now(ls)) != MAIL_OK ||
        table_insert(&ls->asking, &login->entry, serial) != MAIL_OK) {
        login_put_off(login);
        return;
    }
    login->state = LOGIN_ASKING;
    ls->opts.ask(ticket, &login->job.question, login->is_unix ? NULL : &login->client,
                 ls->opts.ask_arg);
}

static int keep_texts(net_login *login, const mail_login_known *known)
{
    size_t size = known->secret.length + known->user.length + known->mailbox.length + 3;
    char *to;

    if (!is_good(known->secret, SECRET_PASSWORD_MAX) || !is_good(known->user, MAIL_SASL_NAME_MAX) ||
        !is_good(known->mailbox, MAIL_MAILBOX_PATH_SIZE - 1)) {
        return MAIL_EINVAL;
    }
    login->told = mem_alloc(login->logins->mem, size);
    if (login->told == NULL) {
        return MAIL_ENOMEM;
    }
    login->told_size = size;
    to = login->told;
    login->job.secret.text = login_keep(&to, known->secret);
    login->told_user = mail_span_text(login_keep(&to, known->user));
    login->told_mailbox = login_keep(&to, known->mailbox);
    return MAIL_OK;
}

static void keep_kind(login_job *job, const mail_login_known *known)
{
    switch (known->kind) {
    case MAIL_LOGIN_REFUSE:
        job->is_unknown = true;
        break;
    case MAIL_LOGIN_LATER:
        break;
    case MAIL_LOGIN_ACCEPT:
        job->is_accepted = true;
        break;
    case MAIL_LOGIN_PASSWORD:
        job->secret.kind = SECRET_PLAIN;
        break;
    case MAIL_LOGIN_HASH:
        job->secret.kind = SECRET_CRYPT;
        break;
    case MAIL_LOGIN_VERIFIER:
        job->secret.kind = SECRET_SCRAM_SHA_256;
        job->verifier = *known->verifier;
        break;
    }
}

static net_login *find_asking(net_logins *ls, mail_ticket ticket)
{
    uint64_t serial = (uint64_t)ticket.slot << 32 | ticket.serial;
    table_entry *entry = ls != NULL ? table_first(&ls->asking, serial) : NULL;

    return entry != NULL ? LIST_OWNER(entry, net_login, entry) : NULL;
}

int mail_login_answer(mail_ticket ticket, const mail_login_known *known)
{
    net_login *login = find_asking(ticket.service, ticket);
    int code;

    if (login == NULL) {
        return MAIL_ECANCELED;
    }
    table_remove(&login->logins->asking, &login->entry);
    login->state = LOGIN_WAITING;
    code = keep_texts(login, known);
    if (code != MAIL_OK || known->kind == MAIL_LOGIN_LATER) {
        login_put_off(login);
        return code;
    }
    keep_kind(&login->job, known);
    logins_line_up(login);
    return MAIL_OK;
}
