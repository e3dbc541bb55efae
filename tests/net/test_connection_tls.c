/* SPDX-License-Identifier: MIT */
/* SMTP connections with TLS and AUTH, to our own service and to hosts that misbehave. */
#include "party.h"

#include <mail/smtp_connection.h>
#include <mail/tls.h>

#include "net/smtp_connection.h"
#include "smtp/client.h"
#include "support/certs.h"

#define NAME "mx.example"

static mail_test_tls shared;

static int set_up(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, NAME);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_test_tls_free(&shared);
    return 0;
}

typedef enum verdict {
    NO_VERDICT,
    ACCEPT,
    REFUSE
} verdict;

/* Who connects: sends nothing, and notes how far it came. */
typedef struct caller {
    mail_smtp_connection *conn;
    const char *password; /* NULL: refuses to say */
    verdict verdict;      /* at once */
    bool rests;           /* does not quit when ready */
    unsigned ready;
    unsigned asked_auth;
    unsigned asked_verify;
    unsigned closed;
    bool is_private; /* when ready: */
    bool is_verified;
    bool is_resumed;
    char version[16];
    char doubt[100];
    char failure[300];
    bool is_local;
    bool failed_in_tls;
} caller;

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    caller *c = arg;
    const mail_tls *tls = mail_smtp_connection_tls(conn);
    mail_tls_facts facts;

    c->ready++;
    c->is_private = tls != NULL;
    if (tls != NULL) {
        mail_tls_facts_read(tls, &facts);
        c->is_verified = facts.is_verified;
        c->is_resumed = facts.resumed;
        snprintf(c->version, sizeof(c->version), "%s", facts.version);
        snprintf(c->doubt, sizeof(c->doubt), "%s", facts.doubt);
    }
    if (!c->rests) {
        mail_smtp_connection_quit(conn);
    }
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    (void)conn;
    (void)arg;
    fail();
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    caller *c = arg;
    mail_reply failure = mail_smtp_connection_failure(conn);

    c->closed++;
    c->is_local = mail_smtp_connection_failure_is_local(conn);
    c->failed_in_tls = mail_smtp_connection_failed_in_tls(conn);
    if (failure.code != 0) {
        mail_reply_print(&failure, c->failure, sizeof(c->failure));
    }
    mail_smtp_connection_destroy(conn);
    c->conn = NULL;
}

static void say_who(caller *c)
{
    const mail_smtp_credentials credentials = {.user = MAIL_SPAN("ann"),
                                               .password = mail_span_text(c->password)};

    mail_smtp_connection_authenticate(c->conn, &credentials);
}

static void on_auth(mail_smtp_connection *conn, void *arg)
{
    caller *c = arg;

    c->conn = conn;
    c->asked_auth++;
    if (c->password != NULL && *c->password != '\0') {
        say_who(c);
    } else if (c->password == NULL) {
        mail_smtp_connection_refuse(conn, &MAIL_REPLY(451, 4, 7, 0, "no password"));
    }
}

static void refuse_peer(caller *c)
{
    mail_smtp_connection_refuse(c->conn, &MAIL_REPLY(451, 4, 7, 5, "not that key"));
}

static void on_verify(mail_smtp_connection *conn, void *arg)
{
    caller *c = arg;

    c->conn = conn;
    c->asked_verify++;
    assert_true(mail_tls_peer_certificate(mail_smtp_connection_tls(conn), 0).length > 0);
    if (c->verdict == ACCEPT) {
        mail_smtp_connection_verify(conn);
    } else if (c->verdict == REFUSE) {
        refuse_peer(c);
    }
}

static mail_smtp_connection_options options(mail_smtp_tls tls, mail_tls_context *context,
                                            mail_tls_verification verification)
{
    static const mail_smtp_connection_ops ops = {on_ready, on_done, on_closed, on_auth, on_verify};
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;

    opts.client.hostname = MAIL_SPAN("client.example");
    opts.client.tls = tls;
    opts.tls = context;
    opts.session.verification = verification;
    opts.session.name = MAIL_SPAN(NAME);
    opts.ops = &ops;
    return opts;
}

static int caller_open(caller *c, world *w, const mail_endpoint *at,
                       mail_smtp_connection_options *opts)
{
    opts->arg = c;
    opts->sockets = &w->sockets;
    return mail_smtp_connection_open(&c->conn, w->loop, at, opts);
}

/* A whole session with `p`. */
static void call(caller *c, party *p, mail_smtp_connection_options *opts)
{
    assert_int_equal(caller_open(c, p->w, &p->at, opts), MAIL_OK);
    world_until(p->w, c->closed == 1);
    world_until(p->w, p->opened == 0);
}

static int open_party(party *p, world *w, const mail_mem *mem, mail_smtp_server_options *engine)
{
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    int code;

    engine->hostname = MAIL_SPAN(NAME);
    opts.mem = mem;
    opts.sockets = &w->sockets;
    opts.on_event = party_event;
    opts.refusal = party_refusal;
    opts.arg = p;
    *p = (party){.w = w, .has_bin = true};
    code = mail_smtp_service_create(&p->service, w->loop, &opts);
    if (code != MAIL_OK) {
        return code;
    }
    mail_smtp_service_set_tls(p->service, shared.server);
    code = mail_smtp_service_listen(p->service, &loopback, engine, NULL, &p->at, NULL);
    if (code != MAIL_OK) {
        mail_smtp_service_destroy(p->service);
    }
    return code;
}

/* What the tests below have in common. */
typedef struct scene {
    world w;
    party p;
} scene;

static void scene_open(scene *sc, int kind, mail_smtp_server_options engine)
{
    world_open(&sc->w, kind, NULL);
    assert_int_equal(open_party(&sc->p, &sc->w, NULL, &engine), MAIL_OK);
}

static void scene_close(scene *sc)
{
    party_close(&sc->p);
    world_close(&sc->w);
}

static mail_smtp_server_options with_starttls(void)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;

    engine.starttls = true;
    return engine;
}

/* SC-022, SC-024: what is demanded, and what comes of it. */
static void believes_whom_it_should(void **state)
{
    static const struct {
        const char *name;
        mail_smtp_tls tls;
        mail_tls_verification verification;
        bool is_lenient;
        bool trusts;
        const char *peer;
        bool is_verified;
        const char *failure; /* NULL: it is ready */
    } cases[] = {
        {"any", MAIL_SMTP_TLS_REQUIRE, MAIL_TLS_VERIFY_NONE, false, false, NAME, false, NULL},
        {"verified", MAIL_SMTP_TLS_REQUIRE, MAIL_TLS_VERIFY_PKIX, false, true, NAME, true, NULL},
        {"not issued by whom we trust", MAIL_SMTP_TLS_REQUIRE, MAIL_TLS_VERIFY_PKIX, false, false,
         NAME, false, "451 4.7.5 TLS failed: certificate: not issued by a trusted authority"},
        {"another name", MAIL_SMTP_TLS_REQUIRE, MAIL_TLS_VERIFY_PKIX, false, true, "other.example",
         false, "451 4.7.5 TLS failed: certificate: the name does not match"},
        {"another name, but never mind", MAIL_SMTP_TLS_MAY, MAIL_TLS_VERIFY_PKIX, true, true,
         "other.example", false, NULL},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_connection_options opts =
                options(cases[i].tls, cases[i].trusts ? shared.trusting : shared.doubting,
                        cases[i].verification);
            caller c = {.conn = NULL};
            scene sc;

            mail_test_case(cases[i].name);
            opts.session.name = mail_span_text(cases[i].peer);
            opts.session.is_lenient = cases[i].is_lenient;
            scene_open(&sc, kind, with_starttls());
            call(&c, &sc.p, &opts);
            assert_string_equal(c.failure, cases[i].failure != NULL ? cases[i].failure : "");
            assert_int_equal(c.ready, cases[i].failure == NULL);
            assert_int_equal(c.failed_in_tls, cases[i].failure != NULL);
            assert_int_equal(c.is_private, c.ready);
            assert_int_equal(c.is_verified, cases[i].is_verified);
            if (c.ready > 0) {
                assert_string_equal(c.version, "TLS1.3");
            }
            if (cases[i].is_lenient) {
                assert_string_equal(c.doubt, "the name does not match");
            }
            scene_close(&sc);
        }
    }
}

static void read_pin(uint8_t pin[32])
{
    mail_smtp_connection_options opts =
        options(MAIL_SMTP_TLS_REQUIRE, shared.doubting, MAIL_TLS_VERIFY_NONE);
    caller c = {.rests = true};
    mail_tls_facts facts;
    scene sc;

    scene_open(&sc, WORLD_POLL, with_starttls());
    assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
    world_until(&sc.w, c.ready == 1);
    mail_tls_facts_read(mail_smtp_connection_tls(c.conn), &facts);
    memcpy(pin, facts.peer_pin, sizeof(facts.peer_pin));
    mail_smtp_connection_quit(c.conn);
    world_until(&sc.w, c.closed == 1 && sc.p.opened == 0);
    scene_close(&sc);
}

static void believes_a_pinned_key(void **state)
{
    uint8_t pins[2][32] = {{1}};

    (void)state;
    read_pin(pins[1]);
    for (unsigned good = 0; good < 2; good++) {
        mail_smtp_connection_options opts =
            options(MAIL_SMTP_TLS_REQUIRE, shared.doubting, MAIL_TLS_VERIFY_PIN);
        uint8_t passed[2][32];
        caller c = {.conn = NULL};
        scene sc;

        memcpy(passed, pins, sizeof(passed));
        opts.session.pins = (const uint8_t(*)[32])passed;
        opts.session.pin_count = 1 + good;
        scene_open(&sc, WORLD_POLL, with_starttls());
        assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
        memset(passed, 0, sizeof(passed)); /* they were copied */
        world_until(&sc.w, c.closed == 1 && sc.p.opened == 0);
        assert_int_equal(c.is_verified, good);
        assert_string_equal(
            c.failure,
            good != 0 ? "" : "451 4.7.5 TLS failed: certificate: its key is not the pinned one");
        scene_close(&sc);
    }
}

static void asks_whom_to_believe(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int later = 0; later < 2; later++) {
            for (verdict answer = ACCEPT; answer <= REFUSE; answer++) {
                mail_smtp_connection_options opts =
                    options(MAIL_SMTP_TLS_REQUIRE, shared.doubting, MAIL_TLS_VERIFY_ASK);
                caller c = {.verdict = later != 0 ? NO_VERDICT : answer};
                scene sc;

                mail_test_case(later != 0 ? "later" : "at once");
                scene_open(&sc, kind, with_starttls());
                assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
                world_until(&sc.w, c.asked_verify == 1);
                if (later != 0) {
                    world_idle(&sc.w);
                    assert_int_equal(c.ready + c.closed, 0);
                    if (answer == ACCEPT) {
                        mail_smtp_connection_verify(c.conn);
                    } else {
                        refuse_peer(&c);
                    }
                }
                world_until(&sc.w, c.closed == 1 && sc.p.opened == 0);
                assert_int_equal(c.asked_verify, 1);
                assert_int_equal(c.ready, answer == ACCEPT);
                assert_int_equal(c.is_verified, answer == ACCEPT);
                assert_string_equal(c.failure, answer == ACCEPT ? "" : "451 4.7.5 not that key");
                scene_close(&sc);
            }
        }
    }
}

static void speaks_tls_from_the_start(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_connection_options opts =
            options(MAIL_SMTP_TLS_IMPLICIT, shared.trusting, MAIL_TLS_VERIFY_PKIX);
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        caller c = {.conn = NULL};
        scene sc;

        engine.implicit_tls = true;
        scene_open(&sc, kind, engine);
        call(&c, &sc.p, &opts);
        assert_string_equal(c.failure, "");
        assert_true(c.is_verified);
        scene_close(&sc);
    }
}

/* Who believes the system's list, which is still to be read. */
static mail_smtp_connection_options options_of_the_system(mail_smtp_tls tls)
{
    mail_tls_context_options system = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_smtp_connection_options opts = options(tls, NULL, MAIL_TLS_VERIFY_PKIX);

    opts.session.is_lenient = true;
    assert_int_equal(mail_tls_context_create(&opts.tls, &system, NULL), MAIL_OK);
    assert_true(mail_tls_context_awaits_trust(opts.tls));
    return opts;
}

static void has_the_systems_list_read_before_the_handshake(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int implicit = 0; implicit < 2; implicit++) {
            mail_smtp_connection_options opts = options_of_the_system(
                implicit != 0 ? MAIL_SMTP_TLS_IMPLICIT : MAIL_SMTP_TLS_REQUIRE);
            mail_smtp_server_options engine = with_starttls();
            caller c = {.conn = NULL};
            scene sc;

            engine.implicit_tls = implicit != 0;
            scene_open(&sc, kind, engine);
            call(&c, &sc.p, &opts);
            assert_string_equal(c.failure, "");
            assert_int_equal(c.ready, 1);
            assert_string_equal(c.doubt, "not issued by a trusted authority");
            assert_false(mail_tls_context_awaits_trust(opts.tls));
            mail_tls_context_unref(opts.tls);
            scene_close(&sc);
        }
    }
}

static void may_be_destroyed_while_the_list_is_read(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_connection_options opts = options_of_the_system(MAIL_SMTP_TLS_REQUIRE);
        caller c = {.conn = NULL};
        scene sc;

        scene_open(&sc, kind, with_starttls());
        assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
        mail_smtp_connection_destroy(c.conn);
        mail_tls_context_unref(opts.tls);
        world_idle(&sc.w);
        assert_int_equal(c.ready + c.closed, 0);
        scene_close(&sc);
    }
}

static int no_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    (void)loop;
    (void)run;
    (void)done;
    (void)arg;
    return MAIL_ESYS;
}

/* It is the worker that reads: without one there is no connection, and the loop does not stand still. */
static void needs_a_worker_to_read_the_list(void **state)
{
    mail_smtp_connection_options opts = options_of_the_system(MAIL_SMTP_TLS_REQUIRE);
    const mail_loop_ops *whole;
    mail_loop_ops workless;
    caller c = {.conn = NULL};
    scene sc;

    (void)state;
    scene_open(&sc, WORLD_POLL, with_starttls());
    whole = sc.w.loop->ops;
    workless = *whole;
    workless.work = no_work;
    sc.w.loop->ops = &workless;
    MAIL_TEST_WALK(walk)
    {
        int code;

        opts.client.mem = &walk.mem;
        code = caller_open(&c, &sc.w, &sc.p.at, &opts);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_ESYS);
    }
    sc.w.loop->ops = whole;
    assert_true(mail_tls_context_awaits_trust(opts.tls));
    mail_tls_context_unref(opts.tls);
    scene_close(&sc);
}

/* SC-024: no MAIL without the TLS that is required; in clear only where that may be. */
static void does_without_only_where_it_may(void **state)
{
    (void)state;
    for (int require = 0; require < 2; require++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        mail_smtp_connection_options opts =
            options(require != 0 ? MAIL_SMTP_TLS_REQUIRE : MAIL_SMTP_TLS_MAY, shared.doubting,
                    MAIL_TLS_VERIFY_NONE);
        caller c = {.conn = NULL};
        scene sc;

        scene_open(&sc, WORLD_POLL, engine);
        call(&c, &sc.p, &opts);
        assert_int_equal(c.ready, require == 0);
        assert_false(c.is_private);
        assert_false(c.failed_in_tls);
        assert_string_equal(
            c.failure,
            require != 0 ? "451 4.7.4 TLS is required, and the host does not offer it" : "");
        assert_true(require == 0 || c.is_local);
        scene_close(&sc);
    }
}

/* A host whose service takes STARTTLS and has its own idea of the handshake. */
typedef struct impostor {
    int listener;
    int fd;
    mail_endpoint at;
} impostor;

static void impostor_open(impostor *im, world *w)
{
    im->listener = w->sockets.ops->listen_tcp(&w->sockets, &loopback, 0, &im->at);
    im->fd = -1;
    assert_true(im->listener >= 0);
}

static void impostor_accepts(impostor *im, world *w)
{
    mail_endpoint peer;

    while (im->fd < 0) {
        world_step(w);
        im->fd = w->sockets.ops->accept(&w->sockets, im->listener, &peer);
    }
}

static void impostor_says(impostor *im, const char *text)
{
    assert_int_equal(send(im->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Waits for a command; what else comes with it is forgotten. */
static void impostor_hears(impostor *im, world *w, const char *want)
{
    char bytes[2000];
    ssize_t n;

    do {
        world_step(w);
        n = read(im->fd, bytes, sizeof(bytes));
    } while (n < 0 && errno == EAGAIN);
    assert_true(n >= (ssize_t)strlen(want));
    assert_memory_equal(bytes, want, strlen(want));
}

static void impostor_close(impostor *im)
{
    close(im->listener);
    if (im->fd >= 0) {
        close(im->fd);
    }
}

/* Up to where the hello of a client has come. */
static void impostor_begins(impostor *im, world *w, const char *go_ahead)
{
    impostor_accepts(im, w);
    impostor_says(im, "220 mx.example\r\n");
    impostor_hears(im, w, "EHLO");
    impostor_says(im, "250-mx.example\r\n250 STARTTLS\r\n");
    impostor_hears(im, w, "STARTTLS\r\n");
    impostor_says(im, go_ahead);
}

/* SC-023, HOSTILE section 2: octets behind the 220, and things that are no handshake. */
static void hears_nothing_before_the_handshake(void **state)
{
    static const struct {
        const char *name;
        const char *go_ahead;
        const char *then; /* after the hello; NULL: hangs up */
        const char *failure;
    } cases[] = {
        {"words behind the 220", "220 go\r\n250-mx.example\r\n250 AUTH PLAIN\r\n", "",
         "451 4.5.0 The host broke the protocol with words in clear where TLS begins (tls)"},
        {"words instead of a hello", "220 go\r\n", "250 mx.example\r\n",
         "451 4.7.5 TLS failed: handshake: An unexpected TLS packet was received."},
        {"a connection that is cut", "220 go\r\n", NULL,
         "451 4.4.2 The host closed the connection (tls)"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_connection_options opts =
                options(MAIL_SMTP_TLS_MAY, shared.doubting, MAIL_TLS_VERIFY_NONE);
            caller c = {.conn = NULL};
            impostor im;
            world w;

            mail_test_case(cases[i].name);
            world_open(&w, kind, NULL);
            impostor_open(&im, &w);
            assert_int_equal(caller_open(&c, &w, &im.at, &opts), MAIL_OK);
            impostor_begins(&im, &w, cases[i].go_ahead);
            if (cases[i].then == NULL || *cases[i].then != '\0') {
                impostor_hears(&im, &w, "\x16\x03");
            }
            if (cases[i].then != NULL) {
                impostor_says(&im, cases[i].then);
            } else {
                shutdown(im.fd, SHUT_RDWR);
            }
            world_until(&w, c.closed == 1);
            assert_int_equal(c.ready, 0);
            assert_string_equal(c.failure, cases[i].failure);
            assert_true(c.is_local);
            impostor_close(&im);
            world_close(&w);
        }
    }
}

static void the_handshake_has_its_time(void **state)
{
    mail_smtp_connection_options opts =
        options(MAIL_SMTP_TLS_MAY, shared.doubting, MAIL_TLS_VERIFY_NONE);
    caller c = {.conn = NULL};
    impostor im;
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    impostor_open(&im, &w);
    assert_int_equal(caller_open(&c, &w, &im.at, &opts), MAIL_OK);
    impostor_begins(&im, &w, "220 go\r\n");
    impostor_hears(&im, &w, "\x16\x03");
    c.conn->engine->max_timeout = MAIL_MILLISECOND; /* not before: the machine may be busy */
    impostor_says(&im, "\x16");                     /* so that it looks again how long it has */
    world_until(&w, c.closed == 1);
    assert_string_equal(c.failure, "451 4.4.7 The host took too long (tls)");
    assert_true(c.failed_in_tls);
    impostor_close(&im);
    world_close(&w);
}

/* HOSTILE section 11: tickets are bound to the host and what is demanded of it. */
static void resumes_with_the_same_host_and_demands(void **state)
{
    mail_tls_cache_options cache_opts = MAIL_TLS_CACHE_OPTIONS_INIT;
    static const struct {
        const char *name;
        mail_tls_verification verification;
        bool is_lenient;
        const char *peer;
        bool is_resumed;
    } calls[] = {
        {"first", MAIL_TLS_VERIFY_PKIX, false, NAME, false},
        {"again", MAIL_TLS_VERIFY_PKIX, false, NAME, true},
        {"and again", MAIL_TLS_VERIFY_PKIX, false, NAME, true},
        {"with less demanded", MAIL_TLS_VERIFY_PKIX, true, NAME, false},
        {"with nothing demanded", MAIL_TLS_VERIFY_NONE, false, NAME, false},
        {"by another name", MAIL_TLS_VERIFY_PKIX, true, "other.example", false},
        {"by that name again", MAIL_TLS_VERIFY_PKIX, true, "other.example", true},
    };
    mail_tls_cache *cache;
    scene sc;

    (void)state;
    assert_int_equal(mail_tls_cache_create(&cache, &cache_opts), MAIL_OK);
    scene_open(&sc, WORLD_POLL, with_starttls());
    for (size_t i = 0; i < MAIL_COUNT(calls); i++) {
        mail_smtp_connection_options opts =
            options(MAIL_SMTP_TLS_REQUIRE, shared.trusting, calls[i].verification);
        caller c = {.conn = NULL};

        mail_test_case(calls[i].name);
        opts.cache = cache;
        opts.session.name = mail_span_text(calls[i].peer);
        opts.session.is_lenient = calls[i].is_lenient;
        call(&c, &sc.p, &opts);
        assert_int_equal(c.ready, 1);
        assert_int_equal(c.is_resumed, calls[i].is_resumed);
        assert_int_equal(c.is_verified, strcmp(calls[i].peer, NAME) == 0 &&
                                            calls[i].verification == MAIL_TLS_VERIFY_PKIX);
    }
    scene_close(&sc);
    mail_tls_cache_destroy(cache);
}

/* SC-025, SC-034: who we are is asked when it is needed. */
static void says_who_it_is(void **state)
{
    static const struct {
        const char *name;
        const char *password; /* "": later */
        bool offers;
        const char *failure;
    } cases[] = {
        {"at once", "pencil", true, ""},
        {"later", "", true, ""},
        {"wrong", "crayon", true, "535 5.7.8 Authentication failed"},
        {"not at all", NULL, true, "451 4.7.0 no password"},
        {"not asked", "pencil", false, "451 4.7.4 The host offers no authentication that we know"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_connection_options opts =
                options(MAIL_SMTP_TLS_REQUIRE, shared.trusting, MAIL_TLS_VERIFY_PKIX);
            mail_smtp_server_options engine = with_starttls();
            caller c = {.password = cases[i].password};
            bool is_good = *cases[i].failure == '\0';
            scene sc;

            mail_test_case(cases[i].name);
            opts.client.authenticates = true;
            engine.auth_mechanisms = cases[i].offers ? 1U << MAIL_SASL_PLAIN : 0;
            scene_open(&sc, kind, engine);
            assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
            if (c.password != NULL && *c.password == '\0') {
                world_until(&sc.w, c.asked_auth == 1);
                world_idle(&sc.w);
                c.password = "pencil";
                say_who(&c);
            }
            world_until(&sc.w, c.closed == 1 && sc.p.opened == 0);
            assert_string_equal(c.failure, cases[i].failure);
            assert_int_equal(c.ready, is_good);
            assert_int_equal(c.asked_auth, cases[i].offers);
            assert_int_equal(c.is_local, c.failure[0] == '4');
            assert_string_equal(sc.p.authenticated, is_good ? "ann" : "");
            scene_close(&sc);
        }
    }
}

static void refuses_to_open_without_a_context(void **state)
{
    mail_smtp_connection_options opts = options(MAIL_SMTP_TLS_MAY, NULL, MAIL_TLS_VERIFY_NONE);
    caller c = {.conn = NULL};
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    assert_int_equal(caller_open(&c, &w, &loopback, &opts), MAIL_EINVAL);
    world_close(&w);
}

static void may_be_destroyed_at_any_time(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 30; steps++) {
        mail_smtp_connection_options opts =
            options(MAIL_SMTP_TLS_REQUIRE, shared.trusting, MAIL_TLS_VERIFY_ASK);
        mail_smtp_server_options engine = with_starttls();
        caller c = {.password = "pencil", .verdict = steps % 2 == 0 ? ACCEPT : NO_VERDICT};
        scene sc;

        opts.client.authenticates = true;
        engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
        scene_open(&sc, WORLD_POLL, engine);
        assert_int_equal(caller_open(&c, &sc.w, &sc.p.at, &opts), MAIL_OK);
        for (unsigned i = 0; i < steps; i++) {
            world_step(&sc.w);
        }
        mail_smtp_connection_destroy(c.conn);
        world_until(&sc.w, sc.p.opened == 0);
        scene_close(&sc);
    }
}

static void survives_every_failed_allocation(void **state)
{
    mail_tls_cache_options cache_opts = MAIL_TLS_CACHE_OPTIONS_INIT;
    mail_tls_cache *cache;
    scene sc;

    (void)state;
    assert_int_equal(mail_tls_cache_create(&cache, &cache_opts), MAIL_OK);
    scene_open(&sc, WORLD_POLL, with_starttls());
    MAIL_TEST_WALK(walk)
    {
        mail_smtp_connection_options opts =
            options(MAIL_SMTP_TLS_REQUIRE, shared.trusting, MAIL_TLS_VERIFY_PKIX);
        caller c = {.conn = NULL};

        opts.client.mem = &walk.mem;
        opts.cache = cache;
        if (caller_open(&c, &sc.w, &sc.p.at, &opts) == MAIL_OK) {
            world_until(&sc.w, c.closed == 1);
            assert_true(c.ready == 1 || c.failure[0] != '\0');
        }
        world_until(&sc.w, sc.p.opened == 0);
    }
    scene_close(&sc);
    mail_tls_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(believes_whom_it_should),
        cmocka_unit_test(believes_a_pinned_key),
        cmocka_unit_test(asks_whom_to_believe),
        cmocka_unit_test(speaks_tls_from_the_start),
        cmocka_unit_test(has_the_systems_list_read_before_the_handshake),
        cmocka_unit_test(may_be_destroyed_while_the_list_is_read),
        cmocka_unit_test(needs_a_worker_to_read_the_list),
        cmocka_unit_test(does_without_only_where_it_may),
        cmocka_unit_test(hears_nothing_before_the_handshake),
        cmocka_unit_test(the_handshake_has_its_time),
        cmocka_unit_test(resumes_with_the_same_host_and_demands),
        cmocka_unit_test(says_who_it_is),
        cmocka_unit_test(refuses_to_open_without_a_context),
        cmocka_unit_test(may_be_destroyed_at_any_time),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
