/* SPDX-License-Identifier: MIT */
/* One login, from the question of an engine until the exchange is over. */
#include "net/logins.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

void login_free(net_login *login)
{
    net_logins *ls = login->logins;

    if (login->state == LOGIN_ASKING) {
        table_remove(&ls->asking, &login->entry);
    }
    if (login->state == LOGIN_WAITING) {
        logins_leave_line(login);
    }
    ls->loop->ops->untimer(login->timer);
    mail_accounts_unref(login->job.accounts);
    if (login->text != NULL) {
        explicit_bzero(login->text, login->text_size);
    }
    mem_free(ls->mem, login->text, login->text_size);
    if (login->told != NULL) {
        explicit_bzero(login->told, login->told_size);
    }
    mem_free(ls->mem, login->told, login->told_size);
    explicit_bzero(login, sizeof(*login));
    mem_free(ls->mem, login, sizeof(*login));
    logins_release(ls);
}

/* `login` may be gone afterwards. */
static void report(net_login *login)
{
    login->state = LOGIN_ANSWERED;
    login->fn(login->is_later ? NULL : &login->job.answer, login->arg);
}

static void on_timer(void *arg)
{
    report(arg);
}

static void tell_after(net_login *login, mail_duration delay)
{
    login->state = LOGIN_DELAYED;
    login->logins->loop->ops->timer_set(login->timer, logins_now(login->logins) + delay);
}

void login_put_off(net_login *login)
{
    login_try_refund(&login->try, logins_now(login->logins));
    login->is_later = true;
    tell_after(login, 0);
}

void login_take_answer(net_login *login)
{
    if (login->job.code != MAIL_OK) {
        login_put_off(login);
    } else if (login->job.answer.kind == MAIL_SASL_REFUSE) {
        tell_after(login, login_try_delay(&login->try, logins_now(login->logins)));
    } else {
        login->job.answer.user = net_login_user(login);
        report(login);
    }
}

char *login_keep(char **to, mail_span text)
{
    char *kept = *to;

    if (text.length > 0) {
        memcpy(kept, text.data, text.length);
    }
    kept[text.length] = '\0';
    *to += text.length + 1;
    return kept;
}

static int copy_question(net_login *login, const mail_sasl_question *asked)
{
    mail_sasl_question *own = &login->job.question;
    char *to;

    login->text_size = asked->user.length + asked->authzid.length + asked->password.length +
                       asked->token.length + 4;
    login->text = mem_alloc(login->logins->mem, login->text_size);
    if (login->text == NULL) {
        return MAIL_ENOMEM;
    }
    to = login->text;
    own->mechanism = asked->mechanism;
    own->user = mail_span_of(login_keep(&to, asked->user), asked->user.length);
    own->authzid = mail_span_of(login_keep(&to, asked->authzid), asked->authzid.length);
    own->password = mail_span_of(login_keep(&to, asked->password), asked->password.length);
    own->token = mail_span_of(login_keep(&to, asked->token), asked->token.length);
    return MAIL_OK;
}

static void set_client(net_login *login, const mail_ip *client)
{
    login->is_unix = client == NULL;
    if (client != NULL) {
        login->client = *client;
    }
}

/* Names are compared in the form in which accounts compare them; what can be none, as it is. */
static mail_span name_of(const net_login *login)
{
    const login_job *job = &login->job;

    return job->key.length > 0 ? mail_span_of(job->key.text, job->key.length) : job->question.user;
}

static void init_job(net_login *login)
{
    login_job *job = &login->job;
    net_logins *ls = login->logins;
    hash_seed lasting;

    job->mem = ls->mem;
    job->disguise = ls->opts.disguise;
    job->accounts = ls->opts.ask == NULL ? mail_accounts_ref(ls->accounts) : NULL;
    if (!account_key_of(job->question.user, &job->key)) {
        job->key.length = 0;
    }
    memcpy(&lasting, ls->opts.disguise, sizeof(lasting));
    job->chance = hash_bytes_nocase(&lasting, name_of(login));
}

static void init_try(net_login *login)
{
    net_logins *ls = login->logins;
    bool counts_host =
        ls->opts.includes_loopback || (!login->is_unix && !mail_ip_is_loopback(&login->client));

    login_try_init(&login->try, &ls->guard, &login->client, counts_host, name_of(login));
}

int net_login_begin(net_login **out, net_logins *ls, const mail_ip *client,
                    const mail_sasl_question *question, net_login_fn *fn, void *arg)
{
    net_login *login = mem_alloc(ls->mem, sizeof(*login));
    int code;

    if (login == NULL) {
        return MAIL_ENOMEM;
    }
    ls->holders++;
    login->logins = ls;
    login->state = LOGIN_DELAYED;
    login->fn = fn;
    login->arg = arg;
    list_init(&login->link);
    set_client(login, client);
    code = copy_question(login, question);
    if (code == MAIL_OK) {
        code = ls->loop->ops->timer(ls->loop, on_timer, login, &login->timer);
    }
    if (code != MAIL_OK) {
        login_free(login);
        return code;
    }
    init_job(login);
    init_try(login);
    *out = login;
    if (login_try_is_barred(&login->try, logins_now(ls))) {
        login_put_off(login);
    } else if (ls->opts.ask != NULL) {
        login_ask(login);
    } else {
        logins_line_up(login);
    }
    return MAIL_OK;
}

mail_duration net_login_delay(const net_login *login)
{
    assert(login->state == LOGIN_ANSWERED);
    return login->job.answer.kind != MAIL_SASL_REFUSE
               ? login_try_delay(&login->try, logins_now(login->logins))
               : 0;
}

mail_span net_login_user(const net_login *login)
{
    const mail_sasl_question *question = &login->job.question;

    if (login->told_user.length > 0) {
        return login->told_user;
    }
    if (login->job.account != NULL) {
        return mail_path_text(&login->job.account->name);
    }
    return question->authzid.length > 0 ? question->authzid : question->user;
}

int net_login_mailbox(const net_login *login, const char *dir, char out[MAIL_MAILBOX_PATH_SIZE])
{
    mail_account account = {.mailbox = NULL};

    if (login->job.account != NULL) {
        return mail_account_mailbox(login->job.account, dir, out);
    }
    if (login->told_mailbox != NULL && *login->told_mailbox != '\0') {
        account.mailbox = login->told_mailbox;
    } else if (mail_path_from_text(net_login_user(login), MAIL_PATH_UTF8 | MAIL_PATH_BARE,
                                   &account.name) != MAIL_OK) {
        return MAIL_EINVAL;
    }
    return mail_account_mailbox(&account, dir, out);
}

void net_login_end(net_login *login, bool has_proved)
{
    if (login == NULL) {
        return;
    }
    if (has_proved) {
        login_try_succeeded(&login->try, logins_now(login->logins));
    }
    login->fn = NULL;
    if (login->state != LOGIN_WORKING) {
        login_free(login);
    }
}
