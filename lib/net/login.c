/* SPDX-License-Identifier: MIT */
#include "net/login.h"

#include <assert.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/login_guard.h"
#include "net/login_job.h"

#define DELAY             MAIL_SECOND
#define MAX_FAILURES      20
#define MAX_USER_FAILURES 50
#define MAX_WORKING       2
#define MAX_WAITING       200

/*
 *   begin ──> LOGIN_WAITING ──> LOGIN_WORKING ──────────> LOGIN_ANSWERED ──> end
 *     │          ^     │             │                          ^
 *     v          │     │ barred      │ wrong                    │
 *   LOGIN_ASKING ┘     v             v                          │
 *         └────────> LOGIN_DELAYED <─┘ ──────── timer ──────────┘
 *
 * `end` is possible anywhere; a login that is LOGIN_WORKING then lives on until the worker is done.
 */
typedef enum login_state {
    LOGIN_ASKING,  /* the embedder owes an answer */
    LOGIN_WAITING, /* for a worker */
    LOGIN_WORKING,
    LOGIN_DELAYED, /* the answer waits for the timer */
    LOGIN_ANSWERED,
} login_state;

/* The lines before the workers; whoever stands in the first one comes first. */
enum {
    LINE_KNOWN, /* hosts that have logged in to that name of late: no flood of guesses keeps them out */
    LINE_OTHERS,
    LINES
};

struct net_logins {
    mail_loop *loop;
    const mail_mem *mem;
    unsigned holders; /* the service, and each login */
    mail_login_options opts;
    mail_accounts *accounts;
    void (*on_idle)(void *arg);
    void *arg;
    bool is_closed; /* the service is gone */
    login_guard guard;
    table asking; /* by serial */
    list waiting[LINES];
    uint32_t waiting_count[LINES];
    uint32_t working;
    uint64_t last_serial;
};

struct net_login {
    list link; /* in `waiting[line]` */
    unsigned line;
    table_entry entry; /* in `asking` */
    net_logins *logins;
    login_state state;
    net_login_fn *fn; /* NULL: nobody waits for it any more */
    void *arg;
    mail_timer *timer;
    mail_ip client;
    bool is_unix;
    bool is_later; /* no answer: try again later */
    login_try try;
    login_job job;
    char *text; /* of the question */
    size_t text_size;
    char *told; /* by the embedder: secret, user and mailbox, each with a NUL */
    size_t told_size;
    mail_span told_user;
    const char *told_mailbox;
};

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
    ls->accounts = accounts != NULL ? mail_accounts_hold(accounts) : NULL;
    *out = ls;
    return MAIL_OK;
}

static void release(net_logins *ls)
{
    const mail_mem *mem = ls->mem;

    if (--ls->holders > 0) {
        return;
    }
    login_guard_deinit(&ls->guard);
    table_deinit(&ls->asking);
    mail_accounts_release(ls->accounts);
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

static void leave_line(net_login *login)
{
    list_remove(&login->link);
    login->logins->waiting_count[login->line]--;
}

void net_logins_destroy(net_logins *ls)
{
    if (ls != NULL) {
        assert(ls->asking.count == 0 && next_in_line(ls) == NULL);
        ls->is_closed = true;
        release(ls);
    }
}

void net_logins_set_accounts(net_logins *ls, mail_accounts *accounts)
{
    mail_accounts_hold(accounts);
    mail_accounts_release(ls->accounts);
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

static mail_time now_of(const net_logins *ls)
{
    return mail_loop_now(ls->loop);
}

/* From a question to its answer. */

static void free_login(net_login *login)
{
    net_logins *ls = login->logins;

    if (login->state == LOGIN_ASKING) {
        table_remove(&ls->asking, &login->entry);
    }
    if (login->state == LOGIN_WAITING) {
        leave_line(login);
    }
    ls->loop->ops->untimer(login->timer);
    mail_accounts_release(login->job.accounts);
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
    release(ls);
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

static void put_off(net_login *login, mail_duration delay)
{
    login->state = LOGIN_DELAYED;
    login->logins->loop->ops->timer_set(login->timer, now_of(login->logins) + delay);
}

/* No answer can be had: that is no fault of the client's. */
static void put_off_for_later(net_login *login)
{
    login_try_refund(&login->try, now_of(login->logins));
    login->is_later = true;
    put_off(login, 0);
}

static void run(void *arg)
{
    login_job_run(&((net_login *)arg)->job);
}

static void start_some(net_logins *ls);

static void take_answer(net_login *login)
{
    if (login->job.code != MAIL_OK) {
        put_off_for_later(login);
    } else if (login->job.answer.kind == MAIL_SASL_REFUSE) {
        put_off(login, login_try_delay(&login->try, now_of(login->logins)));
    } else {
        login->job.answer.user = net_login_user(login);
        report(login);
    }
}

static void on_done(void *arg)
{
    net_login *login = arg;
    net_logins *ls = login->logins;

    ls->holders++;
    ls->working--;
    login->state = LOGIN_ANSWERED;
    if (login->fn == NULL) {
        free_login(login);
    } else {
        take_answer(login);
    }
    start_some(ls);
    if (ls->working == 0 && !ls->is_closed && ls->on_idle != NULL) {
        ls->on_idle(ls->arg);
    }
    release(ls);
}

static void start(net_login *login)
{
    net_logins *ls = login->logins;

    if (login_try_charge(&login->try, now_of(ls)) != MAIL_OK ||
        ls->loop->ops->work(ls->loop, run, on_done, login) != MAIL_OK) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_WORKING;
    ls->working++;
}

static void start_some(net_logins *ls)
{
    net_login *next;

    while (ls->working < ls->opts.max_working && (next = next_in_line(ls)) != NULL) {
        leave_line(next);
        start(next);
    }
}

/* Past the bound nobody is served sooner for waiting longer. */
static void wait_for_worker(net_login *login)
{
    net_logins *ls = login->logins;

    login->line = login_try_is_known(&login->try) ? LINE_KNOWN : LINE_OTHERS;
    if (ls->waiting_count[login->line] >= ls->opts.max_waiting) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_WAITING;
    list_push_back(&ls->waiting[login->line], &login->link);
    ls->waiting_count[login->line]++;
    start_some(ls);
}

/* The embedder is asked. */

static bool is_good(mail_span text, size_t max)
{
    return text.length <= max && (text.length == 0 || memchr(text.data, '\0', text.length) == NULL);
}

static void ask(net_login *login)
{
    net_logins *ls = login->logins;
    uint64_t serial = ++ls->last_serial;
    mail_ticket ticket = {ls, (uint32_t)(serial >> 32), (uint32_t)serial};

    if (!is_good(login->job.question.user, MAIL_SASL_NAME_MAX)) {
        login->job.is_unknown = true;
        wait_for_worker(login);
        return;
    }
    if (login_try_charge(&login->try, now_of(ls)) != MAIL_OK ||
        table_insert(&ls->asking, &login->entry, serial) != MAIL_OK) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_ASKING;
    ls->opts.ask(ticket, &login->job.question, login->is_unix ? NULL : &login->client,
                 ls->opts.ask_arg);
}

/* Copies `text`, with a NUL, to `*to`, which moves behind it. */
static char *keep(char **to, mail_span text)
{
    char *kept = *to;

    if (text.length > 0) {
        memcpy(kept, text.data, text.length);
    }
    kept[text.length] = '\0';
    *to += text.length + 1;
    return kept;
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
    login->job.secret.text = keep(&to, known->secret);
    login->told_user = mail_span_text(keep(&to, known->user));
    login->told_mailbox = keep(&to, known->mailbox);
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
        put_off_for_later(login);
        return code;
    }
    keep_kind(&login->job, known);
    wait_for_worker(login);
    return MAIL_OK;
}

/* What a session does with it. */

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
    own->user = mail_span_of(keep(&to, asked->user), asked->user.length);
    own->authzid = mail_span_of(keep(&to, asked->authzid), asked->authzid.length);
    own->password = mail_span_of(keep(&to, asked->password), asked->password.length);
    own->token = mail_span_of(keep(&to, asked->token), asked->token.length);
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
    job->accounts = ls->opts.ask == NULL ? mail_accounts_hold(ls->accounts) : NULL;
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
        free_login(login);
        return code;
    }
    init_job(login);
    init_try(login);
    *out = login;
    if (login_try_is_barred(&login->try, now_of(ls))) {
        put_off_for_later(login);
    } else if (ls->opts.ask != NULL) {
        ask(login);
    } else {
        wait_for_worker(login);
    }
    return MAIL_OK;
}

mail_duration net_login_delay(const net_login *login)
{
    assert(login->state == LOGIN_ANSWERED);
    return login->job.answer.kind != MAIL_SASL_REFUSE
               ? login_try_delay(&login->try, now_of(login->logins))
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
        login_try_succeeded(&login->try, now_of(login->logins));
    }
    login->fn = NULL;
    if (login->state != LOGIN_WORKING) {
        free_login(login);
    }
}
