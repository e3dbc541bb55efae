/* SPDX-License-Identifier: MIT */
/* All logins of a service: its options, and the line before the workers. */
#include "net/logins.h"

#include <assert.h>

#include "base/mem.h"
#include "base/random.h"

#define DELAY             MAIL_SECOND
#define MAX_FAILURES      20
#define MAX_USER_FAILURES 50
#define MAX_WORKING       2
#define MAX_WAITING       200

static void set_defaults(mail_login_options *opts)
{
    static const uint8_t zeros[sizeof(opts->disguise)];

    opts->delay = opts->delay != 0 ? opts->delay : DELAY;
    opts->max_failures = opts->max_failures != 0 ? opts->max_failures : MAX_FAILURES;
    opts->max_user_failures =
        opts->max_user_failures != 0 ? opts->max_user_failures : MAX_USER_FAILURES;
    opts->max_working = opts->max_working != 0 ? opts->max_working : MAX_WORKING;
    opts->max_waiting = opts->max_waiting != 0 ? opts->max_waiting : MAX_WAITING;
    if (memcmp(opts->disguise, zeros, sizeof(zeros)) == 0) {
        random_fill(NULL, opts->disguise, sizeof(opts->disguise));
    }
}

static int read_options(mail_login_options *own, const mail_login_options *opts,
                        const mail_accounts *accounts)
{
    if (opts != NULL && (opts->size == 0 || opts->size > sizeof(*own))) {
        return MAIL_EINVAL;
    }
    if (opts != NULL) {
        memcpy(own, opts, opts->size);
    }
    if (own->delay < 0 || own->delay > MAIL_MINUTE || (own->ask == NULL && accounts == NULL)) {
        return MAIL_EINVAL;
    }
    set_defaults(own);
    return MAIL_OK;
}

int net_logins_create(net_logins **out, mail_loop *loop, const mail_mem *mem,
                      mail_accounts *accounts, const mail_login_options *opts,
                      void (*on_idle)(void *arg), void *arg)
{
    mail_login_options own = MAIL_LOGIN_OPTIONS_INIT;
    net_logins *ls;

    if (read_options(&own, opts, accounts) != MAIL_OK) {
        return MAIL_EINVAL;
    }
    ls = mem_alloc(mem, sizeof(*ls));
    if (ls == NULL) {
        return MAIL_ENOMEM;
    }
    ls->loop = loop;
    ls->mem = mem;
    ls->holders = 1;
    ls->opts = own;
    ls->on_idle = on_idle;
    ls->arg = arg;
    table_init(&ls->asking, mem);
    for (unsigned i = 0; i < LINES; i++) {
        list_init(&ls->waiting[i]);
    }
    if (login_guard_init(&ls->guard, mem, &ls->opts) != MAIL_OK) {
        mem_free(mem, ls, sizeof(*ls));
        return MAIL_EINVAL;
    }
    ls->accounts = accounts != NULL ? mail_accounts_ref(accounts) : NULL;
    *out = ls;
    return MAIL_OK;
}

void logins_release(net_logins *ls)
{
    const mail_mem *mem = ls->mem;

    if (--ls->holders > 0) {
        return;
    }
    login_guard_deinit(&ls->guard);
    table_deinit(&ls->asking);
    mail_accounts_unref(ls->accounts);
    explicit_bzero(ls, sizeof(*ls));
    mem_free(mem, ls, sizeof(*ls));
}

static net_login *next_in_line(const net_logins *ls)
{
    for (unsigned i = 0; i < LINES; i++) {
        if (!list_is_empty(&ls->waiting[i])) {
            return LIST_OWNER(ls->waiting[i].next, net_login, link);
        }
    }
    return NULL;
}

void logins_leave_line(net_login *login)
{
    list_remove(&login->link);
    login->logins->waiting_count[login->line]--;
}

void net_logins_destroy(net_logins *ls)
{
    if (ls != NULL) {
        assert(ls->asking.count == 0 && next_in_line(ls) == NULL);
        ls->is_closed = true;
        logins_release(ls);
    }
}

void net_logins_set_accounts(net_logins *ls, mail_accounts *accounts)
{
    mail_accounts_ref(accounts);
    mail_accounts_unref(ls->accounts);
    ls->accounts = accounts;
}

unsigned net_logins_mechanisms(const net_logins *ls)
{
    unsigned all = (1U << MAIL_SASL_MECHANISMS) - 1U - (1U << MAIL_SASL_NONE);

    return ls->opts.ask != NULL ? all : accounts_mechanisms(ls->accounts);
}

bool net_logins_are_busy(const net_logins *ls)
{
    return ls->working > 0;
}

const uint8_t *net_logins_disguise(const net_logins *ls)
{
    return ls->opts.disguise;
}

mail_time logins_now(const net_logins *ls)
{
    return mail_loop_now(ls->loop);
}

static void run(void *arg)
{
    login_job_run(&((net_login *)arg)->job);
}

static void start_some(net_logins *ls);

static void on_done(void *arg)
{
    net_login *login = arg;
    net_logins *ls = login->logins;

    ls->holders++;
    ls->working--;
    login->state = LOGIN_ANSWERED;
    if (login->fn == NULL) {
        login_free(login);
    } else {
        login_take_answer(login);
    }
    start_some(ls);
    if (ls->working == 0 && !ls->is_closed && ls->on_idle != NULL) {
        ls->on_idle(ls->arg);
    }
    logins_release(ls);
}

static void start(net_login *login)
{
    net_logins *ls = login->logins;

    if (login_try_charge(&login->try, logins_now(ls)) != MAIL_OK ||
        ls->loop->ops->work(ls->loop, run, on_done, login) != MAIL_OK) {
        login_put_off(login);
        return;
    }
    login->state = LOGIN_WORKING;
    ls->working++;
}

static void start_some(net_logins *ls)
{
    net_login *next;

    while (ls->working < ls->opts.max_working && (next = next_in_line(ls)) != NULL) {
        logins_leave_line(next);
        start(next);
    }
}

/* Past the bound nobody is served sooner for waiting longer. */
void logins_line_up(net_login *login)
{
    net_logins *ls = login->logins;

    login->line = login_try_is_known(&login->try) ? LINE_KNOWN : LINE_OTHERS;
    if (ls->waiting_count[login->line] >= ls->opts.max_waiting) {
        login_put_off(login);
        return;
    }
    login->state = LOGIN_WAITING;
    list_push_back(&ls->waiting[login->line], &login->link);
    ls->waiting_count[login->line]++;
    start_some(ls);
}
