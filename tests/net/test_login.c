/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <crypt.h>

#include "base/list.h"
#include "net/login.h"

/* RFC 7677, section 3: the password is "pencil". */
#define SCRAM                                                                                      \
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define BINDING "0123456789abcdef0123456789abcdef"

/* A loop whose time and workers stand still until the test moves them. */

typedef struct fake_loop {
    mail_loop loop; /* first */
    const mail_mem *mem;
    mail_time now;
    list timers;
    list jobs;
    unsigned jobs_ever;
    bool has_no_workers;
} fake_loop;

struct mail_timer {
    list link;
    fake_loop *loop;
    mail_timer_fn *fn;
    void *arg;
    mail_time when;
};

typedef struct fake_job {
    list link;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
} fake_job;

static void *take_memory(const fake_loop *lp, size_t size)
{
    return lp->mem != NULL ? lp->mem->resize(lp->mem->arg, NULL, 0, size) : malloc(size);
}

static void give_memory(const fake_loop *lp, void *ptr, size_t size)
{
    if (lp->mem != NULL) {
        lp->mem->resize(lp->mem->arg, ptr, size, 0);
    } else {
        free(ptr);
    }
}

static mail_time fake_now(mail_loop *loop)
{
    return ((fake_loop *)loop)->now;
}

static int fake_timer(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out)
{
    fake_loop *lp = (fake_loop *)loop;
    mail_timer *timer = take_memory(lp, sizeof(*timer));

    if (timer == NULL) {
        return MAIL_ENOMEM;
    }
    *timer = (mail_timer){.loop = lp, .fn = fn, .arg = arg, .when = MAIL_NEVER};
    list_push_back(&lp->timers, &timer->link);
    *out = timer;
    return MAIL_OK;
}

static void fake_timer_set(mail_timer *timer, mail_time when)
{
    timer->when = when;
}

static void fake_untimer(mail_timer *timer)
{
    if (timer != NULL) {
        list_remove(&timer->link);
        give_memory(timer->loop, timer, sizeof(*timer));
    }
}

static int fake_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    fake_loop *lp = (fake_loop *)loop;
    fake_job *job = lp->has_no_workers ? NULL : take_memory(lp, sizeof(*job));

    if (job == NULL) {
        return MAIL_ENOMEM;
    }
    *job = (fake_job){.run = run, .done = done, .arg = arg};
    list_push_back(&lp->jobs, &job->link);
    lp->jobs_ever++;
    return MAIL_OK;
}

/* Does one job; false: there is none. */
static bool work_once(fake_loop *lp)
{
    list *link = list_pop_front(&lp->jobs);
    fake_job job;

    if (link == NULL) {
        return false;
    }
    job = *LIST_OWNER(link, fake_job, link);
    give_memory(lp, LIST_OWNER(link, fake_job, link), sizeof(job));
    job.run(job.arg);
    job.done(job.arg);
    return true;
}

/* Calls one timer whose time has come; false: there is none. */
static bool tick_once(fake_loop *lp)
{
    for (list *link = lp->timers.next; link != &lp->timers; link = link->next) {
        mail_timer *timer = LIST_OWNER(link, mail_timer, link);

        if (timer->when <= lp->now) {
            timer->when = MAIL_NEVER;
            timer->fn(timer->arg);
            return true;
        }
    }
    return false;
}

/* All that there is to do now. */
static void run_now(fake_loop *lp)
{
    while (work_once(lp) || tick_once(lp)) {
    }
}

static mail_time next_timer(const fake_loop *lp)
{
    mail_time when = MAIL_NEVER;

    for (list *link = lp->timers.next; link != &lp->timers; link = link->next) {
        mail_time of_this = LIST_OWNER(link, mail_timer, link)->when;

        when = of_this < when ? of_this : when;
    }
    return when;
}

static const mail_loop_ops fake_ops = {
    .now = fake_now,
    .timer = fake_timer,
    .timer_set = fake_timer_set,
    .untimer = fake_untimer,
    .work = fake_work,
};

/* Logins on such a loop. */

typedef struct fixture {
    fake_loop lp;
    mail_accounts *accounts;
    net_logins *logins;
    unsigned idle_calls;
    mail_login_known known; /* what the embedder answers at once */
    mail_ticket ticket;     /* of what it was asked last */
    unsigned asked;
    bool answers_later;
} fixture;

/* What a session has been told. */
typedef struct answer {
    net_login *login;
    unsigned calls;
    bool is_later;
    mail_sasl_answer sasl;
} answer;

static void on_idle(void *arg)
{
    ((fixture *)arg)->idle_calls++;
}

static void on_answer(const mail_sasl_answer *sasl, void *arg)
{
    answer *an = arg;

    an->calls++;
    an->is_later = sasl == NULL;
    if (sasl != NULL) {
        an->sasl = *sasl;
    }
}

static int open_fixture(fixture *fx, const char *users, const mail_mem *mem,
                        const mail_login_options *opts)
{
    int code = MAIL_OK;

    *fx = (fixture){.lp = {.loop = {&fake_ops}, .mem = mem, .now = MAIL_DAY}};
    list_init(&fx->lp.timers);
    list_init(&fx->lp.jobs);
    if (users != NULL) {
        code = mail_accounts_parse(&fx->accounts, mail_span_text(users), "users", mem, NULL);
    }
    return code == MAIL_OK
               ? net_logins_create(&fx->logins, &fx->lp.loop, mem, fx->accounts, opts, on_idle, fx)
               : code;
}

static void set_up(fixture *fx, const char *users, const mail_login_options *opts)
{
    assert_int_equal(open_fixture(fx, users, NULL, opts), MAIL_OK);
}

static void tear_down(fixture *fx)
{
    net_logins_destroy(fx->logins);
    mail_accounts_release(fx->accounts);
    while (work_once(&fx->lp)) {
    }
    assert_true(list_is_empty(&fx->lp.timers));
}

static const mail_ip host_a = {.family = 4, .bytes = {192, 0, 2, 1}};
static const mail_ip host_b = {.family = 4, .bytes = {192, 0, 2, 2}};

static mail_sasl_question plain(const char *user, const char *password)
{
    return (mail_sasl_question){.mechanism = MAIL_SASL_PLAIN,
                                .user = mail_span_text(user),
                                .password = mail_span_text(password)};
}

static void begin(fixture *fx, answer *an, const mail_ip *host, mail_sasl_question question)
{
    *an = (answer){.calls = 0};
    assert_int_equal(net_login_begin(&an->login, fx->logins, host, &question, on_answer, an),
                     MAIL_OK);
    assert_int_equal(an->calls, 0);
}

/* Runs until it is told, be it after a delay. */
static void await(fixture *fx, answer *an)
{
    run_now(&fx->lp);
    if (an->calls == 0) {
        fx->lp.now = next_timer(&fx->lp);
        run_now(&fx->lp);
    }
    assert_int_equal(an->calls, 1);
}

typedef enum outcome {
    IN,
    OUT,
    LATER,
} outcome;

/* A whole login with a password, by PLAIN. */
static outcome log_in(fixture *fx, const mail_ip *host, const char *user, const char *password)
{
    answer an;
    outcome result;

    begin(fx, &an, host, plain(user, password));
    await(fx, &an);
    result = an.is_later ? LATER : an.sasl.kind == MAIL_SASL_ACCEPT ? IN : OUT;
    net_login_end(an.login, result == IN);
    return result;
}

/* An exchange between both halves of a mechanism, in the middle of it the question to `fx`. */

typedef struct exchange {
    mail_sasl_mechanism mechanism;
    const char *user;
    const char *authzid;
    const char *password;
    char challenge[600]; /* the server's first: salt and iterations of SCRAM */
    char as_whom[400];
} exchange;

static mail_sasl_server *make_server(fixture *fx, const exchange *ex)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;
    mail_sasl_server *server;

    opts.mechanism = ex->mechanism;
    opts.binding = MAIL_SPAN(BINDING);
    opts.identity = mail_span_text(ex->user);
    opts.hostname = MAIL_SPAN("mail.example");
    memcpy(opts.disguise, net_logins_disguise(fx->logins), sizeof(opts.disguise));
    assert_int_equal(mail_sasl_server_create(&server, &opts), MAIL_OK);
    return server;
}

static mail_sasl_client *make_client(const exchange *ex)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
    mail_sasl_client *client;

    opts.mechanism = ex->mechanism;
    opts.user = mail_span_text(ex->user);
    opts.authzid = mail_span_text(ex->authzid != NULL ? ex->authzid : "");
    opts.password = mail_span_text(ex->password);
    opts.token = mail_span_text(ex->password);
    opts.binding = MAIL_SPAN(BINDING);
    opts.plus_was_offered = ex->mechanism == MAIL_SASL_SCRAM_SHA_256_PLUS;
    assert_int_equal(mail_sasl_client_create(&client, &opts), MAIL_OK);
    return client;
}

static mail_sasl_step ask(fixture *fx, mail_sasl_server *server, answer *an)
{
    begin(fx, an, &host_a, *mail_sasl_server_question(server));
    await(fx, an);
    assert_false(an->is_later);
    return mail_sasl_server_answer(server, &an->sasl);
}

static bool exchange_all(fixture *fx, exchange *ex)
{
    mail_sasl_server *server = make_server(fx, ex);
    mail_sasl_client *client = make_client(ex);
    answer an = {.calls = 0};
    mail_span said = {0};
    mail_span *message = NULL;
    mail_sasl_step step;

    if (mail_sasl_client_speaks_first(client)) {
        assert_int_equal(mail_sasl_client_step(client, NULL), MAIL_SASL_CONTINUE);
        said = mail_sasl_client_out(client);
        message = &said;
    }
    step = mail_sasl_server_step(server, message);
    while (step == MAIL_SASL_CONTINUE || step == MAIL_SASL_ASK) {
        mail_span challenge;

        if (step == MAIL_SASL_ASK) {
            step = ask(fx, server, &an);
            continue;
        }
        challenge = mail_sasl_server_out(server);
        if (an.calls > 0 && ex->challenge[0] == '\0') {
            memcpy(ex->challenge, challenge.data, challenge.length);
        }
        if (mail_sasl_client_step(client, &challenge) != MAIL_SASL_CONTINUE) {
            step = MAIL_SASL_FAILED;
            break;
        }
        said = mail_sasl_client_out(client);
        step = mail_sasl_server_step(server, &said);
    }
    if (step == MAIL_SASL_OK) {
        mail_span user = net_login_user(an.login);

        memcpy(ex->as_whom, user.data, user.length);
        if (an.sasl.kind == MAIL_SASL_ACCEPT) { /* the engine says the same */
            assert_true(mail_span_equal(mail_sasl_server_user(server), user));
        }
    }
    net_login_end(an.login, step == MAIL_SASL_OK);
    mail_sasl_server_destroy(server);
    mail_sasl_client_destroy(client);
    return step == MAIL_SASL_OK;
}

static char *hash_of(const char *password)
{
    static char text[CRYPT_OUTPUT_SIZE];
    struct crypt_data data = {0};

    strcpy(text, crypt_rn(password, "$6$rounds=1000$salt$", &data, sizeof(data)));
    return text;
}

static const mail_sasl_mechanism mechanisms[] = {
    MAIL_SASL_PLAIN,         MAIL_SASL_LOGIN,
    MAIL_SASL_SCRAM_SHA_256, MAIL_SASL_SCRAM_SHA_256_PLUS,
    MAIL_SASL_SCRAM_SHA_1,   MAIL_SASL_CRAM_MD5,
};

#define BIT(name) (1U << MAIL_SASL_##name)

static void lets_in_by_every_mechanism_that_a_secret_allows(void **state)
{
    static const struct {
        const char *user;
        const char *password;
        unsigned allowed;
    } cases[] = {
        {"plain@a.example", "pass", ~0U},
        {"PLAIN@A.Example", "pass", ~0U},
        {"hash", "geheim", BIT(PLAIN) | BIT(LOGIN)},
        {"scram", "pencil", BIT(PLAIN) | BIT(LOGIN) | BIT(SCRAM_SHA_256) | BIT(SCRAM_SHA_256_PLUS)},
        {"none", "*", 0},
        {"nobody", "pass", 0},
        {"plain@a.example", "Pass", 0},
        {"hash", "Geheim", 0},
        {"scram", "Pencil", 0},
        {"not a name", "pass", 0},
    };
    char users[1000];
    fixture fx;

    (void)state;
    snprintf(users, sizeof(users),
             "plain@a.example:{PLAIN}pass\nhash:%s\nscram:" SCRAM "\nnone:*\n", hash_of("geheim"));
    set_up(&fx, users, NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases) * MAIL_COUNT(mechanisms); i++) {
        size_t at = i / MAIL_COUNT(mechanisms);
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        bool is_allowed = (cases[at].allowed & 1U << mechanism) != 0;
        char name[100];
        exchange ex = {mechanism, cases[at].user, NULL, cases[at].password, "", ""};

        snprintf(name, sizeof(name), "%s by %s", cases[at].user,
                 mail_sasl_mechanism_name(mechanism));
        mail_test_case(name);
        fx.lp.now += MAIL_HOUR;
        assert_int_equal(exchange_all(&fx, &ex), is_allowed);
        if (is_allowed && at <= 1) { /* as the accounts spell it */
            assert_string_equal(ex.as_whom, "plain@a.example");
        }
    }
    tear_down(&fx);
}

/*
 * PO-023, HOSTILE 9. Measured in jobs of workers and in the scratch space that crypt(3) takes,
 * not in time: for each kind of secret that an account may have, names that don't exist cost what
 * known ones do.
 */
static void does_the_same_work_for_names_that_do_not_exist(void **state)
{
    static const char *const names[] = {"alice", "nobody", "none", "not a name", "a@b@c", ""};
    const char *const secrets[] = {"{PLAIN}secret", hash_of("geheim"), SCRAM};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(secrets) * MAIL_COUNT(mechanisms); i++) {
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        size_t known_jobs = 0;
        size_t known_blocks = 0;

        for (size_t k = 0; k < MAIL_COUNT(names); k++) {
            mail_sasl_question question = plain(names[k], "wrong");
            char users[1000];
            mail_test_walk walk;
            fixture fx;
            answer an;
            size_t before;

            question.mechanism = mechanism;
            snprintf(users, sizeof(users), "none:*\nalice:%s\n",
                     secrets[i / MAIL_COUNT(mechanisms)]);
            mail_test_mem_init(&walk);
            assert_int_equal(open_fixture(&fx, users, &walk.mem, NULL), MAIL_OK);
            before = walk.count;
            begin(&fx, &an, &host_a, question);
            await(&fx, &an);
            if (k == 0) {
                known_jobs = fx.lp.jobs_ever;
                known_blocks = walk.count - before;
            }
            mail_test_case(names[k]);
            assert_int_equal(fx.lp.jobs_ever, known_jobs);
            assert_int_equal(walk.count - before, known_blocks);
            net_login_end(an.login, false);
            tear_down(&fx);
            mail_test_mem_check(&walk);
        }
        assert_int_equal(known_jobs, 1);
    }
}

/* The part of a SCRAM challenge behind the nonce. */
static const char *salt_of(const exchange *ex)
{
    const char *salt = strstr(ex->challenge, ",s=");

    assert_non_null(salt);
    return salt;
}

static void show_salt(fixture *fx, exchange *ex, const char *user)
{
    *ex = (exchange){MAIL_SASL_SCRAM_SHA_256, user, NULL, "wrong", "", ""};
    fx->lp.now += MAIL_HOUR;
    assert_false(exchange_all(fx, ex));
}

/* What SCRAM shows of a user is the same each time, after new accounts too, and tells nothing. */
static void shows_unknown_users_a_lasting_salt(void **state)
{
    static const char *const users[] = {"alice:{PLAIN}secret\n", "alice:{PLAIN}changed\n",
                                        "alice:" SCRAM "\n"};
    static const char *const names[] = {"alice", "nobody", "Nobody"};
    fixture fx;
    exchange first[MAIL_COUNT(names)];

    (void)state;
    set_up(&fx, users[0], NULL);
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        show_salt(&fx, &first[i], names[i]);
    }
    assert_string_not_equal(salt_of(&first[0]), salt_of(&first[1]));
    assert_string_equal(salt_of(&first[1]), salt_of(&first[2])); /* names have no case */
    assert_int_equal(strlen(salt_of(&first[0])), strlen(salt_of(&first[1])));
    mail_accounts_release(fx.accounts);
    assert_int_equal(
        mail_accounts_parse(&fx.accounts, mail_span_text(users[1]), "users", NULL, NULL), MAIL_OK);
    net_logins_set_accounts(fx.logins, fx.accounts);
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        exchange again;

        show_salt(&fx, &again, names[i]);
        assert_string_equal(salt_of(&again), salt_of(&first[i]));
    }
    tear_down(&fx);
    set_up(&fx, users[2], NULL); /* where salts are kept, an unknown user's is of the same kind */
    show_salt(&fx, &first[0], "alice");
    show_salt(&fx, &first[1], "nobody");
    assert_non_null(strstr(first[0].challenge, ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    assert_int_equal(strlen(salt_of(&first[0])), strlen(salt_of(&first[1])));
    assert_string_equal(strstr(first[1].challenge, ",i="), ",i=4096");
    tear_down(&fx);
}

static void lets_nobody_act_as_another(void **state)
{
    static const struct {
        const char *authzid;
        bool want;
    } cases[] = {{"", true}, {"alice", true}, {"ALICE", true}, {"bob", false}, {"a b", false}};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}geheim\n", NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases) * MAIL_COUNT(mechanisms); i++) {
        mail_sasl_mechanism mechanism = mechanisms[i % MAIL_COUNT(mechanisms)];
        const char *authzid = cases[i / MAIL_COUNT(mechanisms)].authzid;
        exchange ex = {mechanism, "alice", authzid, "secret", "", ""};

        if (mechanism != MAIL_SASL_LOGIN && mechanism != MAIL_SASL_CRAM_MD5) {
            mail_test_case(authzid);
            fx.lp.now += MAIL_HOUR;
            assert_int_equal(exchange_all(&fx, &ex), cases[i / MAIL_COUNT(mechanisms)].want);
        }
    }
    tear_down(&fx);
}

/* TLS has verified whom a certificate names. */
static void lets_in_by_certificate_who_has_an_account(void **state)
{
    exchange known = {MAIL_SASL_EXTERNAL, "alice", NULL, "", "", ""};
    exchange other = {MAIL_SASL_EXTERNAL, "alice", "bob", "", "", ""};
    exchange unknown = {MAIL_SASL_EXTERNAL, "nobody", NULL, "", "", ""};
    exchange token = {MAIL_SASL_XOAUTH2, "alice", NULL, "secret", "", ""};
    exchange carol = {MAIL_SASL_EXTERNAL, "carol@A.example", NULL, "", "", ""};
    exchange password = {MAIL_SASL_PLAIN, "carol@a.example", NULL, "{EXTERNAL}", "", ""};
    exchange closed = {MAIL_SASL_EXTERNAL, "closed", NULL, "", "", ""};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}secret\ncarol@a.example:{EXTERNAL}\nclosed:*\n",
           NULL);
    assert_true(exchange_all(&fx, &known));
    assert_true(exchange_all(&fx, &carol));
    assert_string_equal(carol.as_whom, "carol@a.example");
    assert_false(exchange_all(&fx, &password));
    assert_false(exchange_all(&fx, &closed));
    assert_false(exchange_all(&fx, &other));
    assert_false(exchange_all(&fx, &unknown));
    assert_false(exchange_all(&fx, &token)); /* accounts know of no tokens */
    assert_int_equal(net_logins_mechanisms(fx.logins) & BIT(XOAUTH2), 0);
    tear_down(&fx);
}

/* PO-023: longer each time, by name from anywhere and by host for any name. */
static void delays_the_answer_to_wrong_passwords(void **state)
{
    static const struct {
        const mail_ip *host;
        const char *user;
        unsigned seconds;
    } cases[] = {{&host_a, "alice", 1}, {&host_a, "alice", 2},  {&host_a, "bob", 4},
                 {&host_b, "alice", 4}, {&host_a, "nobody", 8}, {&host_a, "eve", 16},
                 {&host_a, "eve", 16},  {&host_b, "nobody", 2}, {NULL, "dave", 1}};
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_time before = fx.lp.now;

        mail_test_case(cases[i].user);
        assert_int_equal(log_in(&fx, cases[i].host, cases[i].user, "wrong"), OUT);
        assert_int_equal(fx.lp.now - before, cases[i].seconds * MAIL_SECOND);
        fx.lp.now = before;
    }
    tear_down(&fx);
}

/* What a client proves only after the answer fails later: then the service waits as long. */
static void tells_how_long_a_late_refusal_must_wait(void **state)
{
    mail_sasl_question question = plain("alice", "");
    fixture fx;
    answer an;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    question.mechanism = MAIL_SASL_SCRAM_SHA_256;
    for (unsigned i = 0; i < 3; i++) {
        begin(&fx, &an, &host_a, question);
        run_now(&fx.lp);
        assert_int_equal(an.calls, 1);
        assert_int_equal(net_login_delay(an.login), MAIL_SECOND << i);
        net_login_end(an.login, false);
    }
    begin(&fx, &an, &host_a, plain("alice", "wrong"));
    await(&fx, &an);
    assert_int_equal(net_login_delay(an.login), 0); /* it has waited */
    net_login_end(an.login, false);
    tear_down(&fx);
}

/* PO-023: past the limit the right password is not even looked at. */
static void bars_hosts_that_guess(void **state)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    unsigned jobs;
    fixture fx;

    (void)state;
    opts.max_failures = 3;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), OUT);
        assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), IN);
    }
    jobs = fx.lp.jobs_ever;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), LATER);
    assert_int_equal(fx.lp.jobs_ever, jobs);
    assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), IN);
    fx.lp.now += 30 * MAIL_SECOND;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

/* Many guesses at a time are no more than one after the other. */
static void bars_hosts_that_guess_in_parallel(void **state)
{
    enum {
        ALLOWED = 3,
        ALL = 20
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    unsigned later = 0;
    fixture fx;

    (void)state;
    opts.max_failures = ALLOWED;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (unsigned i = 0; i < ALL; i++) {
        begin(&fx, &answers[i], &host_a, plain("alice", "wrong"));
    }
    run_now(&fx.lp);
    fx.lp.now += MAIL_MINUTE;
    run_now(&fx.lp);
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].calls, 1);
        later += answers[i].is_later;
        net_login_end(answers[i].login, false);
    }
    assert_int_equal(fx.lp.jobs_ever, ALLOWED);
    assert_int_equal(later, ALL - ALLOWED);
    tear_down(&fx);
}

/* Who has an account too can't buy guesses with it. */
static void forgives_no_guess_for_a_success(void **state)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    fixture fx;

    (void)state;
    opts.max_failures = 3;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 10; k++) {
            assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
        }
        assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), OUT);
    }
    assert_int_equal(log_in(&fx, &host_a, "bob", "wrong"), LATER);
    tear_down(&fx);
}

static void spares_loopback_unless_it_is_to_be_limited(void **state)
{
    static const mail_ip loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;

    (void)state;
    opts.max_failures = 1;
    opts.delay = 1;
    for (int limit = 0; limit < 2; limit++) {
        fixture fx;

        opts.includes_loopback = limit == 1;
        set_up(&fx, "alice:{PLAIN}secret\n", &opts);
        assert_int_equal(log_in(&fx, &loopback, "bob", "wrong"), OUT);
        assert_int_equal(log_in(&fx, &loopback, "alice", "secret"), limit ? LATER : IN);
        assert_int_equal(log_in(&fx, NULL, "carol", "wrong"), OUT);
        assert_int_equal(log_in(&fx, NULL, "alice", "secret"), limit ? LATER : IN);
        tear_down(&fx);
    }
}

static mail_ip host_number(unsigned n)
{
    return (mail_ip){.family = 4, .bytes = {10, (uint8_t)(n >> 8), (uint8_t)n, 1}};
}

/* A name is guessed at from everywhere, and still open to those who have come before. */
static void bars_names_but_not_from_hosts_that_know_them(void **state)
{
    static const char *const names[] = {"alice", "nobody"};
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    fixture fx;

    (void)state;
    opts.max_user_failures = 5;
    opts.delay = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    assert_int_equal(log_in(&fx, &host_a, "ALICE", "secret"), IN);
    for (unsigned i = 0; i < 12; i++) {
        mail_ip host = host_number(i);

        assert_int_equal(log_in(&fx, &host, names[i % 2], "wrong"), i < 10 ? OUT : LATER);
    }
    assert_int_equal(log_in(&fx, &host_b, "alice", "secret"), LATER);
    assert_int_equal(log_in(&fx, &host_a, "alice", "wrong"), OUT);
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

/* Logins are no attack on the processor: few at a time, few in line, the rest is told at once. */
static void bounds_what_workers_have_to_do(void **state)
{
    enum {
        WORKING = 2,
        WAITING = 5,
        ALL = 12
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    fixture fx;

    (void)state;
    opts.max_working = WORKING;
    opts.max_waiting = WAITING;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    for (unsigned i = 0; i < ALL; i++) {
        begin(&fx, &answers[i], &host_a, plain("alice", "secret"));
    }
    assert_int_equal(fx.lp.jobs_ever, WORKING);
    while (tick_once(&fx.lp)) {
    }
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].is_later, i >= WORKING + WAITING);
    }
    while (work_once(&fx.lp)) {
        unsigned left = 0;

        for (list *link = fx.lp.jobs.next; link != &fx.lp.jobs; link = link->next) {
            left++;
        }
        assert_true(left <= WORKING);
    }
    for (unsigned i = 0; i < ALL; i++) {
        assert_int_equal(answers[i].calls, 1);
        net_login_end(answers[i].login, !answers[i].is_later);
    }
    assert_int_equal(fx.lp.jobs_ever, WORKING + WAITING);
    assert_int_equal(fx.idle_calls, 1);
    tear_down(&fx);
}

/* Nor do they keep out those who have been here before: they have a line of their own, and first turn. */
static void lets_known_hosts_pass_a_flood_of_guesses(void **state)
{
    enum {
        WAITING = 5,
        ALL = 10
    };
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
    answer answers[ALL];
    answer known;
    answer stranger;
    fixture fx;

    (void)state;
    opts.max_waiting = WAITING;
    opts.max_working = 1;
    set_up(&fx, "alice:{PLAIN}secret\n", &opts);
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    for (unsigned i = 0; i < ALL; i++) {
        mail_ip host = host_number(i);

        begin(&fx, &answers[i], &host, plain("bob", "wrong"));
    }
    begin(&fx, &known, &host_a, plain("alice", "secret"));
    begin(&fx, &stranger, &host_b, plain("alice", "secret"));
    while (tick_once(&fx.lp)) {
    }
    assert_true(stranger.is_later);
    assert_true(work_once(&fx.lp)); /* what was at work already */
    assert_int_equal(known.calls, 0);
    assert_true(work_once(&fx.lp));
    assert_int_equal(known.calls, 1);
    assert_int_equal(known.sasl.kind, MAIL_SASL_ACCEPT);
    net_login_end(known.login, true);
    net_login_end(stranger.login, false);
    for (unsigned i = 0; i < ALL; i++) {
        net_login_end(answers[i].login, false);
    }
    tear_down(&fx);
}

static void asks_again_later_without_workers(void **state)
{
    fixture fx;

    (void)state;
    set_up(&fx, "alice:{PLAIN}secret\n", NULL);
    fx.lp.has_no_workers = true;
    assert_int_equal(log_in(&fx, &host_a, "alice", "wrong"), LATER);
    fx.lp.has_no_workers = false;
    assert_int_equal(log_in(&fx, &host_a, "alice", "secret"), IN);
    tear_down(&fx);
}

/* A session may die at any time, and the service with the last one. */
static void can_be_ended_at_any_point(void **state)
{
    (void)state;
    for (int point = 0; point < 4; point++) {
        mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
        answer first;
        answer second;
        fixture fx;

        opts.max_working = 1;
        set_up(&fx, "alice:{PLAIN}secret\n", &opts);
        begin(&fx, &first, &host_a, plain("alice", "wrong"));
        begin(&fx, &second, &host_a, plain("alice", "secret"));
        if (point == 1) { /* the first is delayed, the second at work */
            assert_true(work_once(&fx.lp));
        }
        if (point == 2) { /* the second has been told */
            run_now(&fx.lp);
        }
        net_login_end(first.login, false);
        if (point == 3) { /* nobody waits for the first any more, and it frees the way */
            assert_true(net_logins_are_busy(fx.logins));
            run_now(&fx.lp);
            assert_int_equal(second.calls, 1);
            assert_false(net_logins_are_busy(fx.logins));
        }
        net_login_end(second.login, false);
        assert_int_equal(first.calls, 0);
        tear_down(&fx);
    }
    net_login_end(NULL, false);
    net_logins_destroy(NULL);
}

/* The embedder. */

static void on_ask(mail_ticket ticket, const mail_sasl_question *question, const mail_ip *client,
                   void *arg)
{
    fixture *fx = arg;

    assert_true(mail_ip_equal(client, &host_a));
    assert_true(question->user.length <= MAIL_SASL_NAME_MAX);
    fx->asked++;
    fx->ticket = ticket;
    if (!fx->answers_later) {
        assert_int_equal(mail_login_answer(ticket, &fx->known), MAIL_OK);
    }
}

static void set_up_asking(fixture *fx)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;

    opts.ask = on_ask;
    opts.ask_arg = fx;
    set_up(fx, NULL, &opts);
}

static mail_sasl_verifier verifier_of(mail_sasl_mechanism mechanism, const char *password)
{
    mail_sasl_verifier verifier;

    assert_int_equal(mail_sasl_verifier_derive(&verifier, mechanism, mail_span_text(password),
                                               MAIL_SPAN("salt of ours"), 100),
                     MAIL_OK);
    return verifier;
}

static void takes_the_word_of_an_embedder(void **state)
{
    mail_sasl_verifier sha_1 = verifier_of(MAIL_SASL_SCRAM_SHA_1, "secret");
    mail_sasl_verifier sha_256 = verifier_of(MAIL_SASL_SCRAM_SHA_256, "secret");
    unsigned shown = BIT(PLAIN) | BIT(LOGIN);
    unsigned tokens = BIT(XOAUTH2) | BIT(OAUTHBEARER);
    unsigned scram_256 = BIT(SCRAM_SHA_256) | BIT(SCRAM_SHA_256_PLUS);
    const struct {
        const char *name;
        mail_login_known known;
        unsigned lets_in;
    } cases[] = {
        {"refuse", {.kind = MAIL_LOGIN_REFUSE}, 0},
        {"accept", {.kind = MAIL_LOGIN_ACCEPT}, shown | tokens | BIT(EXTERNAL)},
        {"password",
         {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("secret")},
         shown | scram_256 | BIT(SCRAM_SHA_1) | BIT(CRAM_MD5)},
        {"other password", {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("Secret")}, 0},
        {"hash", {.kind = MAIL_LOGIN_HASH, .secret = mail_span_text(hash_of("secret"))}, shown},
        {"no hash", {.kind = MAIL_LOGIN_HASH, .secret = MAIL_SPAN("secret")}, 0},
        {"verifier", {.kind = MAIL_LOGIN_VERIFIER, .verifier = &sha_256}, shown | scram_256},
        {"SHA-1", {.kind = MAIL_LOGIN_VERIFIER, .verifier = &sha_1}, shown | BIT(SCRAM_SHA_1)},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        for (unsigned m = 1; m < MAIL_SASL_MECHANISMS; m++) {
            mail_sasl_mechanism mechanism = (mail_sasl_mechanism)m;
            exchange ex = {mechanism, "alice", NULL, "secret", "", ""};
            fixture fx;

            mail_test_case(cases[i].name);
            set_up_asking(&fx);
            fx.known = cases[i].known;
            fx.known.user = MAIL_SPAN("uid=7");
            assert_int_equal(exchange_all(&fx, &ex), (cases[i].lets_in & 1U << m) != 0);
            assert_int_equal(fx.asked, 1);
            if (ex.as_whom[0] != '\0') {
                assert_string_equal(ex.as_whom, "uid=7");
            }
            tear_down(&fx);
        }
    }
}

static void waits_for_an_embedder_and_knows_stale_tickets(void **state)
{
    mail_login_known in = {.kind = MAIL_LOGIN_ACCEPT};
    mail_login_known later = {.kind = MAIL_LOGIN_LATER};
    fixture fx;
    answer an;

    (void)state;
    set_up_asking(&fx);
    fx.answers_later = true;
    assert_int_equal(mail_login_answer((mail_ticket){0}, &in), MAIL_ECANCELED);
    begin(&fx, &an, &host_a, plain("alice", "secret"));
    run_now(&fx.lp);
    assert_int_equal(an.calls, 0);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_OK);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_ECANCELED);
    assert_int_equal(an.calls, 0); /* not from inside */
    await(&fx, &an);
    assert_int_equal(an.sasl.kind, MAIL_SASL_ACCEPT);
    net_login_end(an.login, true);

    begin(&fx, &an, &host_a, plain("alice", "secret"));
    net_login_end(an.login, false);
    assert_int_equal(mail_login_answer(fx.ticket, &in), MAIL_ECANCELED);

    begin(&fx, &an, &host_a, plain("alice", "secret"));
    assert_int_equal(mail_login_answer(fx.ticket, &later), MAIL_OK);
    await(&fx, &an);
    assert_true(an.is_later);
    net_login_end(an.login, false);
    tear_down(&fx);
}

static void refuses_answers_that_can_not_be(void **state)
{
    static char text[5000];
    mail_sasl_question question = plain("alice", "secret");
    const struct {
        const char *name;
        mail_login_known known;
    } cases[] = {
        {"NUL in the password", {.kind = MAIL_LOGIN_PASSWORD, .secret = MAIL_SPAN("a\0b")}},
        {"password too long", {.kind = MAIL_LOGIN_PASSWORD, .secret = mail_span_of(text, 512)}},
        {"NUL in the user", {.kind = MAIL_LOGIN_ACCEPT, .user = MAIL_SPAN("a\0b")}},
        {"user too long",
         {.kind = MAIL_LOGIN_ACCEPT, .user = mail_span_of(text, MAIL_SASL_NAME_MAX + 1)}},
        {"mailbox too long",
         {.kind = MAIL_LOGIN_ACCEPT, .mailbox = mail_span_of(text, MAIL_MAILBOX_PATH_SIZE)}},
    };
    fixture fx;
    answer an;

    (void)state;
    memset(text, 'x', sizeof(text));
    set_up_asking(&fx);
    fx.answers_later = true;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        begin(&fx, &an, &host_a, question);
        assert_int_equal(mail_login_answer(fx.ticket, &cases[i].known), MAIL_EINVAL);
        await(&fx, &an);
        assert_true(an.is_later);
        net_login_end(an.login, false);
    }
    question.user = MAIL_SPAN("alice\0x"); /* HOSTILE 9: nobody is asked, nobody let in */
    fx.asked = 0;
    begin(&fx, &an, &host_a, question);
    await(&fx, &an);
    assert_int_equal(an.sasl.kind, MAIL_SASL_REFUSE);
    assert_int_equal(fx.asked, 0);
    net_login_end(an.login, false);
    tear_down(&fx);
}

static void finds_the_mailbox(void **state)
{
    static const struct {
        mail_login_known known;
        int code;
        const char *path;
    } cases[] = {
        {{.kind = MAIL_LOGIN_ACCEPT}, MAIL_OK, "mail/a.example/alice"},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"bob", 3}}, MAIL_OK, "mail/bob"},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"a b", 3}}, MAIL_EINVAL, ""},
        {{.kind = MAIL_LOGIN_ACCEPT, .user = {"a b", 3}, .mailbox = {"/srv/7", 6}},
         MAIL_OK,
         "/srv/7"},
    };
    char path[MAIL_MAILBOX_PATH_SIZE];
    fixture fx;
    answer an;

    (void)state;
    set_up_asking(&fx);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fx.known = cases[i].known;
        begin(&fx, &an, &host_a, plain("alice@a.example", "secret"));
        await(&fx, &an);
        assert_int_equal(net_login_mailbox(an.login, "mail", path), cases[i].code);
        if (cases[i].code == MAIL_OK) {
            assert_string_equal(path, cases[i].path);
        }
        net_login_end(an.login, true);
    }
    tear_down(&fx);
    set_up(&fx, "alice:{PLAIN}secret\nbob:{PLAIN}geheim:/srv/bob\n", NULL);
    begin(&fx, &an, &host_a, plain("Bob", "geheim"));
    await(&fx, &an);
    assert_int_equal(net_login_mailbox(an.login, "mail", path), MAIL_OK);
    assert_string_equal(path, "/srv/bob");
    net_login_end(an.login, true);
    tear_down(&fx);
}

static void refuses_bad_options(void **state)
{
    static const struct {
        const char *name;
        mail_login_options opts;
    } cases[] = {
        {"no size", {.size = 0}},
        {"a size that is not known", {.size = sizeof(mail_login_options) + 1}},
        {"no accounts and nobody to ask", MAIL_LOGIN_OPTIONS_INIT},
        {"negative delay", {.size = sizeof(mail_login_options), .ask = on_ask, .delay = -1}},
        {"long delay", {.size = sizeof(mail_login_options), .ask = on_ask, .delay = MAIL_HOUR}},
        {"failures without end",
         {.size = sizeof(mail_login_options), .ask = on_ask, .max_failures = UINT32_MAX}},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        fixture fx;

        mail_test_case(cases[i].name);
        assert_int_equal(open_fixture(&fx, NULL, NULL, &cases[i].opts), MAIL_EINVAL);
    }
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        MAIL_TEST_WALK(walk)
        {
            mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;
            mail_sasl_question question = plain("alice", "geheim");
            char users[1000];
            fixture fx;
            answer an = {.calls = 0};
            int code;

            snprintf(users, sizeof(users), "alice:%s\n", hash_of("geheim"));
            opts.ask = asks ? on_ask : NULL;
            opts.ask_arg = &fx;
            code = open_fixture(&fx, users, &walk.mem, &opts);
            fx.answers_later = true;
            if (code == MAIL_OK) {
                code = net_login_begin(&an.login, fx.logins, &host_a, &question, on_answer, &an);
            }
            if (code == MAIL_OK) {
                mail_login_known known = {.kind = MAIL_LOGIN_PASSWORD,
                                          .secret = MAIL_SPAN("geheim")};

                if (fx.asked > 0) {
                    mail_login_answer(fx.ticket, &known);
                }
                await(&fx, &an);
                assert_true(an.is_later ? walk.failed : an.sasl.kind == MAIL_SASL_ACCEPT);
            }
            assert_true(code == MAIL_OK || (code == MAIL_ENOMEM && walk.failed));
            net_login_end(an.login, code == MAIL_OK && !an.is_later);
            net_logins_destroy(fx.logins);
            mail_accounts_release(fx.accounts);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_by_every_mechanism_that_a_secret_allows),
        cmocka_unit_test(does_the_same_work_for_names_that_do_not_exist),
        cmocka_unit_test(shows_unknown_users_a_lasting_salt),
        cmocka_unit_test(lets_nobody_act_as_another),
        cmocka_unit_test(lets_in_by_certificate_who_has_an_account),
        cmocka_unit_test(delays_the_answer_to_wrong_passwords),
        cmocka_unit_test(tells_how_long_a_late_refusal_must_wait),
        cmocka_unit_test(bars_hosts_that_guess),
        cmocka_unit_test(bars_hosts_that_guess_in_parallel),
        cmocka_unit_test(forgives_no_guess_for_a_success),
        cmocka_unit_test(spares_loopback_unless_it_is_to_be_limited),
        cmocka_unit_test(bars_names_but_not_from_hosts_that_know_them),
        cmocka_unit_test(bounds_what_workers_have_to_do),
        cmocka_unit_test(lets_known_hosts_pass_a_flood_of_guesses),
        cmocka_unit_test(asks_again_later_without_workers),
        cmocka_unit_test(can_be_ended_at_any_point),
        cmocka_unit_test(takes_the_word_of_an_embedder),
        cmocka_unit_test(waits_for_an_embedder_and_knows_stale_tickets),
        cmocka_unit_test(refuses_answers_that_can_not_be),
        cmocka_unit_test(finds_the_mailbox),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
