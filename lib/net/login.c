/* SPDX-License-Identifier: MIT */
#include "net/login.h"

#include <assert.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/guesses.h"
#include "net/login_job.h"
#include "net/quotas.h"

#define DELAY             MAIL_SECOND
#define MAX_DOUBLINGS     4
#define MAX_FAILURES      20
#define MAX_USER_FAILURES 50
#define FAILURE_INTERVAL  (30 * MAIL_SECOND)
#define MAX_WORKING       2
#define MAX_WAITING       200

/* Hosts, names, and pairs of both that are remembered. */
#define MAX_KEYS 65536

/* How long a host is remembered to have logged in to a name. */
#define PAIR_MEMORY (30 * MAIL_DAY)

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

struct net_logins {
    mail_loop *loop;
    const mail_mem *mem;
    unsigned holders; /* the service, and each login */
    mail_login_options opts;
    mail_accounts *accounts;
    void (*on_idle)(void *arg);
    void *arg;
    bool is_closed; /* the service is gone */
    hash_seed seed;
    net_guesses hosts;
    net_guesses users;
    net_guesses pairs; /* host and user, of those that have logged in */
    table asking;      /* by serial */
    list waiting;
    uint32_t waiting_count;
    uint32_t working;
    uint64_t last_serial;
};

struct net_login {
    list link;         /* in `waiting` */
    table_entry entry; /* in `asking` */
    net_logins *logins;
    login_state state;
    net_login_fn *fn; /* NULL: nobody waits for it any more */
    void *arg;
    mail_timer *timer;
    mail_ip client;
    bool is_unix;
    bool counts_host; /* the host may be barred */
    uint64_t host_key;
    uint64_t user_key;
    uint64_t pair_key;
    net_guesses *bucket; /* where wrong tries of the name are counted */
    uint64_t bucket_key;
    bool is_charged; /* as if it were wrong, until it has proved otherwise */
    bool is_later;   /* no answer: try again later */
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

static int init_guesses(net_logins *ls)
{
    mail_rate_options of_host = {ls->opts.max_failures, FAILURE_INTERVAL};
    mail_rate_options of_user = {ls->opts.max_user_failures, FAILURE_INTERVAL};
    int code = net_guesses_init(&ls->hosts, ls->mem, MAX_KEYS, 0, &of_host);

    if (code == MAIL_OK) {
        code = net_guesses_init(&ls->users, ls->mem, MAX_KEYS, 0, &of_user);
    }
    return code == MAIL_OK ? net_guesses_init(&ls->pairs, ls->mem, MAX_KEYS, PAIR_MEMORY, &of_host)
                           : code;
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
    random_fill(NULL, &ls->seed, sizeof(ls->seed));
    table_init(&ls->asking, mem);
    list_init(&ls->waiting);
    if (init_guesses(ls) != MAIL_OK) {
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
    net_guesses_deinit(&ls->hosts);
    net_guesses_deinit(&ls->users);
    net_guesses_deinit(&ls->pairs);
    table_deinit(&ls->asking);
    mail_accounts_release(ls->accounts);
    explicit_bzero(ls, sizeof(*ls));
    mem_free(mem, ls, sizeof(*ls));
}

void net_logins_destroy(net_logins *ls)
{
    if (ls != NULL) {
        assert(ls->asking.count == 0 && list_is_empty(&ls->waiting));
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

/* How often somebody has failed. */

static mail_time now_of(const net_logins *ls)
{
    return mail_loop_now(ls->loop);
}

/*
 * Whoever knows the password of a name from a host is not to be locked out by those who try the
 * name from elsewhere.
 */
static void choose_user_bucket(net_login *login)
{
    net_logins *ls = login->logins;
    uint64_t both[] = {login->host_key, login->user_key};
    uint64_t pair = hash_bytes(&ls->seed, mail_span_of((const char *)both, sizeof(both)));
    bool is_friend = net_guesses_knows(&ls->pairs, pair);

    login->pair_key = pair;
    login->bucket = is_friend ? &ls->pairs : &ls->users;
    login->bucket_key = is_friend ? pair : login->user_key;
}

static void find_keys(net_login *login)
{
    net_logins *ls = login->logins;
    const account_key *key = &login->job.key;
    mail_ip host = net_host_of(&login->client);
    hash_seed lasting;

    login->host_key =
        hash_bytes(&ls->seed, mail_span_of((const char *)host.bytes, sizeof(host.bytes)));
    login->user_key = key->length > 0 ? hash_bytes(&ls->seed, mail_span_of(key->text, key->length))
                                      : hash_bytes_nocase(&ls->seed, login->job.question.user);
    choose_user_bucket(login);
    memcpy(&lasting, ls->opts.disguise, sizeof(lasting));
    login->job.chance =
        hash_bytes_nocase(&lasting, key->length > 0 ? mail_span_of(key->text, key->length)
                                                    : login->job.question.user);
}

static bool is_barred(const net_login *login)
{
    mail_time now = now_of(login->logins);

    return (login->counts_host &&
            net_guesses_is_barred(&login->logins->hosts, login->host_key, now)) ||
           net_guesses_is_barred(login->bucket, login->bucket_key, now);
}

/* Holds the try against host and name until it has proved right. MAIL_EAGAIN, MAIL_ENOMEM. */
static int charge(net_login *login)
{
    mail_time now = now_of(login->logins);
    int code;

    if (login->is_charged) {
        return MAIL_OK;
    }
    code = net_guesses_take(&login->logins->hosts, login->host_key, now);
    if (code != MAIL_OK && (login->counts_host || code != MAIL_EAGAIN)) {
        return code;
    }
    code = net_guesses_take(login->bucket, login->bucket_key, now);
    if (code != MAIL_OK) {
        net_guesses_give(&login->logins->hosts, login->host_key, now);
    }
    login->is_charged = code == MAIL_OK;
    return code;
}

static void refund(net_login *login)
{
    mail_time now = now_of(login->logins);

    if (login->is_charged) {
        net_guesses_give(&login->logins->hosts, login->host_key, now);
        net_guesses_give(login->bucket, login->bucket_key, now);
        login->is_charged = false;
    }
}

static mail_duration delay_of(const net_login *login)
{
    mail_time now = now_of(login->logins);
    uint32_t of_host = net_guesses_count(&login->logins->hosts, login->host_key, now);
    uint32_t of_user = net_guesses_count(login->bucket, login->bucket_key, now);
    uint32_t count = of_host > of_user ? of_host : of_user;
    uint32_t doublings = count > 0 ? count - 1 : 0;

    return login->logins->opts.delay << (doublings < MAX_DOUBLINGS ? doublings : MAX_DOUBLINGS);
}

/* From a question to its answer. */

static void free_login(net_login *login)
{
    net_logins *ls = login->logins;

    if (login->state == LOGIN_ASKING) {
        table_remove(&ls->asking, &login->entry);
    }
    if (login->state == LOGIN_WAITING) {
        list_remove(&login->link);
        ls->waiting_count--;
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
    refund(login);
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
        put_off(login, delay_of(login));
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

    if (charge(login) != MAIL_OK || ls->loop->ops->work(ls->loop, run, on_done, login) != MAIL_OK) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_WORKING;
    ls->working++;
}

static void start_some(net_logins *ls)
{
    while (ls->working < ls->opts.max_working && !list_is_empty(&ls->waiting)) {
        ls->waiting_count--;
        start(LIST_OWNER(list_pop_front(&ls->waiting), net_login, link));
    }
}

/* Past the bound nobody is served sooner for waiting longer. */
static void wait_for_worker(net_login *login)
{
    net_logins *ls = login->logins;

    if (ls->waiting_count >= ls->opts.max_waiting) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_WAITING;
    list_push_back(&ls->waiting, &login->link);
    ls->waiting_count++;
    start_some(ls);
}

/* The embedder is asked. */

static bool can_be_asked(mail_span user)
{
    return user.length <= MAIL_SASL_NAME_MAX &&
           (user.length == 0 || memchr(user.data, '\0', user.length) == NULL);
}

static void ask(net_login *login)
{
    net_logins *ls = login->logins;
    uint64_t serial = ++ls->last_serial;
    mail_ticket ticket = {ls, (uint32_t)(serial >> 32), (uint32_t)serial};

    if (!can_be_asked(login->job.question.user)) {
        login->job.is_unknown = true;
        wait_for_worker(login);
        return;
    }
    if (charge(login) != MAIL_OK || table_insert(&ls->asking, &login->entry, serial) != MAIL_OK) {
        put_off_for_later(login);
        return;
    }
    login->state = LOGIN_ASKING;
    ls->opts.ask(ticket, &login->job.question, login->is_unix ? NULL : &login->client,
                 ls->opts.ask_arg);
}

static bool is_good(mail_span text, size_t max)
{
    return text.length <= max && (text.length == 0 || memchr(text.data, '\0', text.length) == NULL);
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
    login->counts_host =
        login->logins->opts.limit_loopback || (client != NULL && !mail_ip_is_loopback(client));
}

static void init_job(net_login *login)
{
    login_job *job = &login->job;
    net_logins *ls = login->logins;

    job->mem = ls->mem;
    job->disguise = ls->opts.disguise;
    job->accounts = ls->opts.ask == NULL ? mail_accounts_hold(ls->accounts) : NULL;
    if (!account_key_of(job->question.user, &job->key)) {
        job->key.length = 0;
    }
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
    find_keys(login);
    *out = login;
    if (is_barred(login)) {
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
    return login->job.answer.kind != MAIL_SASL_REFUSE ? delay_of(login) : 0;
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
        refund(login);
        net_guesses_note(&login->logins->pairs, login->pair_key, now_of(login->logins));
    }
    login->fn = NULL;
    if (login->state != LOGIN_WORKING) {
        free_login(login);
    }
}
