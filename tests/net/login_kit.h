/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_LOGIN_KIT_H
#define TESTS_NET_LOGIN_KIT_H

#include "net/fake_loop.h"

#include <crypt.h>

#include "net/login.h"

#define BINDING "0123456789abcdef0123456789abcdef"

/* Logins on a loop that stands still. */

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

static inline void on_idle(void *arg)
{
    ((fixture *)arg)->idle_calls++;
}

static inline void on_answer(const mail_sasl_answer *sasl, void *arg)
{
    answer *an = arg;

    an->calls++;
    an->is_later = sasl == NULL;
    if (sasl != NULL) {
        an->sasl = *sasl;
    }
}

static inline int open_fixture(fixture *fx, const char *users, const mail_mem *mem,
                               const mail_login_options *opts)
{
    int code = MAIL_OK;

    *fx = (fixture){.accounts = NULL};
    fake_loop_init(&fx->lp, mem);
    if (users != NULL) {
        code = mail_accounts_parse(&fx->accounts, mail_span_text(users), "users", mem, NULL);
    }
    return code == MAIL_OK
               ? net_logins_create(&fx->logins, &fx->lp.loop, mem, fx->accounts, opts, on_idle, fx)
               : code;
}

static inline void set_up(fixture *fx, const char *users, const mail_login_options *opts)
{
    assert_int_equal(open_fixture(fx, users, NULL, opts), MAIL_OK);
}

static inline void tear_down(fixture *fx)
{
    net_logins_destroy(fx->logins);
    mail_accounts_unref(fx->accounts);
    while (work_once(&fx->lp)) {
    }
    assert_true(list_is_empty(&fx->lp.timers));
}

static const mail_ip host_a = {.family = 4, .bytes = {192, 0, 2, 1}};
static const mail_ip host_b = {.family = 4, .bytes = {192, 0, 2, 2}};

static inline mail_sasl_question plain(const char *user, const char *password)
{
    return (mail_sasl_question){.mechanism = MAIL_SASL_PLAIN,
                                .user = mail_span_text(user),
                                .password = mail_span_text(password)};
}

static inline void begin(fixture *fx, answer *an, const mail_ip *host, mail_sasl_question question)
{
    *an = (answer){.calls = 0};
    assert_int_equal(net_login_begin(&an->login, fx->logins, host, &question, on_answer, an),
                     MAIL_OK);
    assert_int_equal(an->calls, 0);
}

/* Runs until it is told, be it after a delay. */
static inline void await(fixture *fx, answer *an)
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
static inline outcome log_in(fixture *fx, const mail_ip *host, const char *user,
                             const char *password)
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

static inline mail_sasl_server *make_server(fixture *fx, const exchange *ex)
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

static inline mail_sasl_client *make_client(const exchange *ex)
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

static inline mail_sasl_step ask(fixture *fx, mail_sasl_server *server, answer *an)
{
    begin(fx, an, &host_a, *mail_sasl_server_question(server));
    await(fx, an);
    assert_false(an->is_later);
    return mail_sasl_server_answer(server, &an->sasl);
}

static inline bool exchange_all(fixture *fx, exchange *ex)
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

static inline char *hash_of(const char *password)
{
    static char text[CRYPT_OUTPUT_SIZE];
    struct crypt_data data = {0};

    strcpy(text, crypt_rn(password, "$6$rounds=1000$salt$", &data, sizeof(data)));
    return text;
}

#define BIT(name) (1U << MAIL_SASL_##name)

/* The embedder. */

static inline void on_ask(mail_ticket ticket, const mail_sasl_question *question,
                          const mail_ip *client, void *arg)
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

static inline void set_up_asking(fixture *fx)
{
    mail_login_options opts = MAIL_LOGIN_OPTIONS_INIT;

    opts.ask = on_ask;
    opts.ask_arg = fx;
    set_up(fx, NULL, &opts);
}

#endif
