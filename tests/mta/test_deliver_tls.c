/* SPDX-License-Identifier: MIT */
/* What goes out in TLS, in clear, with a user's name, or not at all. */
#include "mta/post.h"

#include "net/fake_dns.h"
#include "support/certs.h"

#define SMART "smart.example"

static mail_test_tls shared;
static mail_tls_context *odd; /* a server that no client of today can talk to */

/* A server with old habits. */
static mail_tls_context *odd_context(void)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_pair pair = {mail_span_text(shared.cert.certificate), mail_span_text(shared.cert.key)};
    mail_tls_context *context;

    opts.pairs = &pair;
    opts.pair_count = 1;
    opts.no_trust = true;
    opts.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1";
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

static int set_up(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, SMART);
    odd = odd_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_tls_context_unref(odd);
    mail_test_tls_free(&shared);
    return 0;
}

static const char zone[] =
    "one.example MX 10 smart.example; two.example MX 10 smart.example; smart.example A 127.0.0.1";

/* A remote that is the MX of one.example and two.example, and may be a smart host too. */
typedef struct scene {
    post p;
    remote r;
    fake_dns dns;
    mail_resolver *resolver;
} scene;

static mail_tls_policy_table *policies_of(const char *const *rules)
{
    mail_tls_policy_table *table;

    assert_int_equal(mail_tls_policy_table_create(&table, NULL), MAIL_OK);
    for (; *rules != NULL; rules++) {
        assert_int_equal(mail_tls_policy_table_add(table, mail_span_text(*rules), NULL), MAIL_OK);
    }
    return table;
}

#define POLICIES(...) policies_of((const char *const[]){__VA_ARGS__, NULL})

static mail_smtp_server_options engine_with(bool starttls)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;

    engine.starttls = starttls;
    engine.requiretls = starttls;
    return engine;
}

/* `by` is `mx`, or a smart host's name whose port is the remote's. */
static void scene_open_with(scene *sc, int kind, mail_smtp_server_options engine,
                            mail_tls_context *tls, const char *by, const mail_mem *mem)
{
    mail_resolver_options dns = MAIL_RESOLVER_OPTIONS_INIT;
    mail_deliver_options opts;
    char rule[100];

    post_open(&sc->p, kind);
    remote_serve(&sc->r, &sc->p.k, engine, tls, NULL, NULL);
    fake_dns_start(&sc->dns, sc->p.k.w.loop, zone, 0);
    dns.servers = &sc->dns.at;
    dns.server_count = 1;
    dns.allow_private = true;
    dns.own_hostname = MAIL_SPAN("mx.example");
    assert_int_equal(mail_resolver_create(&sc->resolver, sc->p.k.w.loop, &dns), MAIL_OK);
    opts = post_options(&sc->p);
    opts.mem = mem;
    opts.resolver = sc->resolver;
    opts.smtp_port = sc->r.at.port;
    opts.idle = MAIL_MILLISECOND;
    opts.backoff = MAIL_HOUR;
    opts.backoff_max = MAIL_HOUR;
    snprintf(rule, sizeof(rule), strcmp(by, "mx") == 0 ? "*=%s" : "*=%s:%u", by, sc->r.at.port);
    post_start(&sc->p, ROUTES(rule), &opts);
}

static void scene_open(scene *sc, int kind, mail_smtp_server_options engine, mail_tls_context *tls,
                       const char *by)
{
    scene_open_with(sc, kind, engine, tls, by, NULL);
}

static void scene_close(scene *sc)
{
    bool is_drained = false;

    mail_deliver_drain(sc->p.deliver, post_stopped, &is_drained);
    world_until(&sc->p.k.w, is_drained);
    mail_resolver_destroy(sc->resolver);
    fake_dns_stop(&sc->dns);
    remote_close(&sc->r);
    post_close(&sc->p);
}

/* Sends one message to one.example and waits until there is news of it. */
static void try_once(scene *sc)
{
    SEND(&sc->p, "me@here.example", "a@one.example");
    world_until(&sc->p.k.w, post_queued(&sc->p) == 0 || strstr(sc->p.k.log, " deferred ") != NULL);
}

static void assert_logged(const scene *sc, const char *text)
{
    if (strstr(sc->p.k.log, text) == NULL) {
        fail_msg("%s is not in: %s", text, sc->p.k.log);
    }
}

/* SC-024, HOSTILE sections 2 and 11: what each level makes of each host. */
static void does_as_the_level_says(void **state)
{
    enum {
        NO_TLS,
        GOOD,
        ODD
    };
    static const struct {
        const char *name;
        const char *policy;
        int host;
        bool trusts;
        const char *tls; /* at the host; NULL: the message does not get there */
        const char *log;
    } cases[] = {
        {"none", "*=none", GOOD, true, "", " sent "},
        {"may, offered", "*=may", GOOD, true, "TLS1.3", " verified"},
        {"may, offered by anybody", "*=may", GOOD, false, "TLS1.3", " unverified"},
        {"may, not offered", "*=may", NO_TLS, true, "", " sent "},
        {"may, but it does not work", "*=may", ODD, true, "", "tls failed, goes in clear"},
        {"require", "*=require", GOOD, false, "TLS1.3", " unverified"},
        {"require, not offered", "*=require", NO_TLS, true, NULL,
         "reply=\"451 4.7.4 TLS is required, and the host does not offer it\""},
        {"require, but it does not work", "*=require", ODD, true, NULL, "451 4.7.5 TLS failed"},
        {"verify", "*=verify", GOOD, true, "TLS1.3", " verified"},
        {"verify, not trusted", "*=verify", GOOD, false, NULL,
         "451 4.7.5 TLS failed: certificate: not issued by a trusted authority"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            scene sc;

            mail_test_case(cases[i].name);
            scene_open(&sc, kind, engine_with(cases[i].host != NO_TLS),
                       cases[i].host == ODD ? odd : shared.server, "mx");
            mail_deliver_set_tls(sc.p.deliver, cases[i].trusts ? shared.trusting : shared.doubting,
                                 POLICIES(cases[i].policy));
            try_once(&sc);
            assert_int_equal(sc.r.count, cases[i].tls != NULL);
            if (cases[i].tls != NULL) {
                assert_string_equal(sc.r.tls, cases[i].tls);
                /* ST-012: it was asked for by its name. */
                assert_string_equal(sc.r.sni, *cases[i].tls != '\0' ? SMART : "");
            }
            assert_logged(&sc, cases[i].log);
            scene_close(&sc);
        }
    }
}

/* RFC 7435: not again for a while, nor is a message lost over it. */
static void remembers_that_tls_does_not_work_there(void **state)
{
    scene sc;

    (void)state;
    scene_open(&sc, WORLD_POLL, engine_with(true), odd, "mx");
    mail_deliver_set_tls(sc.p.deliver, shared.trusting, NULL);
    try_once(&sc);
    assert_int_equal(sc.r.count, 1);
    assert_int_equal(sc.r.connections, 2);
    SEND(&sc.p, "me@here.example", "b@two.example");
    world_until(&sc.p.k.w, post_queued(&sc.p) == 0);
    assert_int_equal(sc.r.count, 2);
    assert_int_equal(sc.r.connections, 3);
    assert_null(strstr(sc.p.k.log, "deferred"));
    scene_close(&sc);
}

static void shares_connections_only_on_the_same_terms(void **state)
{
    scene sc;

    (void)state;
    scene_open(&sc, WORLD_POLL, engine_with(true), shared.server, SMART);
    mail_deliver_set_tls(sc.p.deliver, shared.trusting,
                         POLICIES("one.example=none", "two.example=verify", "*=verify"));
    SEND(&sc.p, "me@here.example", "a@one.example", "b@two.example", "c@three.example");
    world_until(&sc.p.k.w, post_queued(&sc.p) == 0);
    assert_int_equal(sc.r.count, 2);
    assert_int_equal(sc.r.connections, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_first = strcmp(sc.r.messages[i].recipients, "a@one.example") == 0;

        if (!is_first) {
            assert_non_null(strstr(sc.r.messages[i].recipients, "b@two.example"));
            assert_non_null(strstr(sc.r.messages[i].recipients, "c@three.example"));
        }
    }
    scene_close(&sc);
}

/* A host that is useless to those who demand more is not for the others. */
static void a_demand_that_fails_does_not_concern_others(void **state)
{
    scene sc;

    (void)state;
    scene_open(&sc, WORLD_POLL, engine_with(true), shared.server, "mx");
    mail_deliver_set_tls(sc.p.deliver, shared.doubting, POLICIES("one.example=verify"));
    try_once(&sc);
    assert_int_equal(sc.r.count, 0);
    SEND(&sc.p, "me@here.example", "b@two.example");
    world_until(&sc.p.k.w, sc.r.count == 1);
    scene_close(&sc);
}

static void fails_closed_without_a_context(void **state)
{
    scene sc;

    (void)state;
    scene_open(&sc, WORLD_POLL, engine_with(true), shared.server, "mx");
    mail_deliver_set_tls(sc.p.deliver, NULL, POLICIES("one.example=require"));
    try_once(&sc);
    assert_int_equal(sc.r.count + sc.r.connections, 0);
    assert_logged(&sc, "451 4.7.4 TLS is required, and cannot be had on our side");
    SEND(&sc.p, "me@here.example", "b@two.example");
    world_until(&sc.p.k.w, sc.r.count == 1);
    assert_string_equal(sc.r.tls, "");
    scene_close(&sc);
}

static void send_confidential(scene *sc)
{
    char id[MAIL_QUEUE_ID_SIZE];
    mail_recipient to = {.address = MAIL_SPAN("a@one.example")};
    mail_envelope envelope;
    mail_sink *sink;

    mail_envelope_init(&envelope, NULL);
    envelope.requiretls = true;
    assert_int_equal(mail_envelope_set_sender(&envelope, MAIL_SPAN(""), MAIL_SPAN("")), MAIL_OK);
    assert_int_equal(mail_envelope_add(&envelope, &to), MAIL_OK);
    assert_int_equal(mail_intake_begin(sc->p.intake, &envelope, 0, id, &sink), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    (void)mail_sink_finish(sink, post_on_safe, &sc->p);
    world_until(&sc->p.k.w, post_queued(&sc->p) == 0);
}

/* SX-030: whatever the policy. */
static void sends_what_is_confidential_only_to_who_is_verified(void **state)
{
    static const struct {
        const char *name;
        const char *policy;
        bool trusts;
        bool offers;
        unsigned count;
    } cases[] = {
        {"verified", "*=may", true, true, 1},
        {"not verified", "*=may", false, true, 0},
        {"not offered", "*=verify", true, false, 0},
        {"in clear", "*=none", true, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_smtp_server_options engine = engine_with(true);
        scene sc;

        mail_test_case(cases[i].name);
        engine.requiretls = cases[i].offers;
        scene_open(&sc, WORLD_POLL, engine, shared.server, "mx");
        mail_deliver_set_tls(sc.p.deliver, cases[i].trusts ? shared.trusting : shared.doubting,
                             POLICIES(cases[i].policy));
        send_confidential(&sc);
        world_until(&sc.p.k.w,
                    strstr(sc.p.k.log, cases[i].count > 0 ? " sent " : " failed") != NULL);
        assert_int_equal(sc.r.count, cases[i].count);
        if (cases[i].count == 0) {
            assert_logged(&sc, "550 5.7.30");
        }
        scene_close(&sc);
    }
}

/* The rule for the remote, with `how` for what follows HOST:PORT=. */
static mail_credentials_table *credentials_of(const scene *sc, const char *how)
{
    mail_credentials_table *table;
    char rule[500];

    snprintf(rule, sizeof(rule), SMART ":%u=%s", sc->r.at.port, how);
    assert_int_equal(mail_credentials_table_create(&table, NULL), MAIL_OK);
    assert_int_equal(mail_credentials_table_add(table, mail_span_text(rule), NULL), MAIL_OK);
    return table;
}

/* HOSTILE section 2: a secret is shown to nobody who has not proved its name, unless told so. */
static void says_who_it_is_to_a_smart_host(void **state)
{
    static const struct {
        const char *name;
        const char *how;
        const char *policy;
        bool trusts;
        bool starttls;
        const char *user; /* NULL: the message does not get there */
        const char *log;
    } cases[] = {
        {"verified", "ann,command:echo pencil", "*=may", true, true, "ann", " verified"},
        {"policy none counts less", "ann,command:echo pencil", "*=none", true, true, "ann",
         " verified"},
        {"not verified", "ann,command:echo pencil", "*=may", false, true, NULL,
         "451 4.7.5 TLS failed: certificate: not issued by a trusted authority"},
        {"not verified, and well", "ann,unverified,command:echo pencil", "*=may", false, true,
         "ann", " unverified"},
        {"but if the policy says so", "ann,unverified,command:echo pencil", "*=verify", false, true,
         NULL, "451 4.7.5 TLS failed"},
        {"no TLS", "ann,unverified,command:echo pencil", "*=may", true, false, NULL,
         "451 4.7.4 TLS is required, and the host does not offer it"},
        {"in clear, and well", "ann,clear,command:echo pencil", "*=none", true, true, "ann",
         " sent "},
        {"wrong", "ann,command:echo crayon", "*=may", true, true, NULL,
         "535 5.7.8 Authentication failed"},
        {"no secret", "ann,command:exit 1", "*=may", true, true, NULL,
         "451 4.7.0 the command failed with 1"},
        {"no file", "ann,file:/nonexistent/secret", "*=may", true, true, NULL,
         "451 4.7.0 /nonexistent/secret: No such file or directory"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_server_options engine = engine_with(cases[i].starttls);
            scene sc;

            mail_test_case(cases[i].name);
            engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
            engine.auth_in_clear = true;
            scene_open(&sc, kind, engine, shared.server, SMART);
            sc.r.secret = "pencil";
            mail_deliver_set_tls(sc.p.deliver, cases[i].trusts ? shared.trusting : shared.doubting,
                                 POLICIES(cases[i].policy));
            mail_deliver_set_credentials(sc.p.deliver, credentials_of(&sc, cases[i].how));
            try_once(&sc);
            assert_int_equal(sc.r.count, cases[i].user != NULL);
            if (cases[i].user != NULL) {
                assert_string_equal(sc.r.user, cases[i].user);
            }
            assert_logged(&sc, cases[i].log);
            assert_null(strstr(sc.p.k.log, "pencil")); /* SC-034 */
            scene_close(&sc);
        }
    }
}

/* QR-018: a new password is used at once. */
static void looks_the_secret_up_for_each_connection(void **state)
{
    mail_smtp_server_options engine = engine_with(true);
    char *dir = mail_test_make_dir();
    char how[200];
    FILE *file;
    scene sc;

    (void)state;
    engine.auth_mechanisms = 1U << MAIL_SASL_SCRAM_SHA_256;
    scene_open(&sc, WORLD_POLL, engine, shared.server, SMART);
    mail_deliver_set_tls(sc.p.deliver, shared.trusting, NULL);
    snprintf(how, sizeof(how), "ann,file:%s/secret", dir);
    mail_deliver_set_credentials(sc.p.deliver, credentials_of(&sc, how));
    for (unsigned i = 1; i <= 2; i++) {
        file = fopen(how + strlen("ann,file:"), "w");
        assert_non_null(file);
        sc.r.secret = i == 1 ? "pencil" : "crayon";
        fprintf(file, "%s\n", sc.r.secret);
        fclose(file);
        SEND(&sc.p, "me@here.example", "a@one.example");
        world_until(&sc.p.k.w, post_queued(&sc.p) == 0 && sc.r.open == 0);
        assert_int_equal(sc.r.count, i);
        assert_int_equal(sc.r.connections, i);
        assert_string_equal(sc.r.user, "ann");
        assert_int_equal(sc.r.is_resumed, i == 2);
    }
    scene_close(&sc);
    mail_test_remove_dir(dir);
}

/* Hosts that the DNS names are told nothing, whatever they are called. */
static void tells_no_mx_host_who_it_is(void **state)
{
    mail_smtp_server_options engine = engine_with(true);
    scene sc;

    (void)state;
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    scene_open(&sc, WORLD_POLL, engine, shared.server, "mx");
    mail_deliver_set_tls(sc.p.deliver, shared.trusting, NULL);
    mail_deliver_set_credentials(sc.p.deliver, credentials_of(&sc, "ann,command:echo pencil"));
    try_once(&sc);
    assert_int_equal(sc.r.count, 1);
    assert_string_equal(sc.r.user, "");
    scene_close(&sc);
}

/* A context that shows a certificate for `address`. */
static mail_tls_context *certified_context(const char *address)
{
    mail_test_cert_options how = {.address = address, .issuer = &shared.authority};
    mail_tls_context *context;
    mail_test_cert cert;

    mail_test_cert_make(&cert, &how);
    context = mail_test_tls_context(&cert, &shared.authority);
    mail_test_cert_free(&cert);
    return context;
}

/* SC-025: by certificate, which next hops that are written down are shown and no others. */
static void shows_its_certificate_to_a_smart_host(void **state)
{
    static const struct {
        const char *name;
        const char *by;
        const char *how; /* NULL: no credentials */
        const char *user;
        bool shows;
    } cases[] = {
        {"as the certificate says", SMART, ",certificate", "me@here.example", true},
        {"as oneself", SMART, "me@here.example,certificate", "me@here.example", true},
        {"without AUTH", SMART, NULL, "", true},
        {"with a password", SMART, "ann,command:echo pencil", "ann", true},
        {"to a host that the DNS names", "mx", ",certificate", "", false},
    };
    mail_tls_context *asking = mail_test_tls_asking_context(&shared.cert, &shared.authority);
    mail_tls_context *certified = certified_context("me@here.example");

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            mail_smtp_server_options engine = engine_with(true);
            scene sc;

            mail_test_case(cases[i].name);
            engine.auth_mechanisms = 1U << MAIL_SASL_EXTERNAL | 1U << MAIL_SASL_PLAIN;
            scene_open(&sc, kind, engine, asking, cases[i].by);
            sc.r.secret = "pencil";
            mail_deliver_set_tls(sc.p.deliver, certified, NULL);
            if (cases[i].how != NULL) {
                mail_deliver_set_credentials(sc.p.deliver, credentials_of(&sc, cases[i].how));
            }
            for (unsigned n = 1; n <= 2; n++) { /* resumed, it is as well known */
                SEND(&sc.p, "me@here.example", "a@one.example");
                world_until(&sc.p.k.w, post_queued(&sc.p) == 0 && sc.r.open == 0);
                assert_int_equal(sc.r.count, n);
                assert_string_equal(sc.r.user, cases[i].user);
                assert_int_equal(sc.r.saw_certificate, cases[i].shows);
                assert_int_equal(sc.r.is_resumed, n == 2);
            }
            scene_close(&sc);
        }
    }
    mail_tls_context_unref(certified);
    mail_tls_context_unref(asking);
}

/* A host that does not ask for it, or does not believe it. */
static void keeps_the_mail_when_its_certificate_is_of_no_use(void **state)
{
    mail_tls_context *certified = certified_context("me@here.example");

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = engine_with(true);
        scene sc;

        engine.auth_mechanisms = 1U << MAIL_SASL_EXTERNAL | 1U << MAIL_SASL_PLAIN;
        scene_open(&sc, kind, engine, shared.server, SMART);
        mail_deliver_set_tls(sc.p.deliver, certified, NULL);
        mail_deliver_set_credentials(sc.p.deliver, credentials_of(&sc, ",certificate"));
        try_once(&sc);
        assert_int_equal(sc.r.count, 0);
        assert_logged(&sc, "451 4.7.4 The host offers no authentication that we can use");
        scene_close(&sc);
    }
    mail_tls_context_unref(certified);
}

/* The agent may go while a worker looks for a secret; what that holds is given back later. */
static void may_be_destroyed_while_it_looks_for_a_secret(void **state)
{
    mail_smtp_server_options engine = engine_with(true);
    mail_test_walk mem;
    scene sc;

    (void)state;
    mail_test_mem_init(&mem);
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    scene_open_with(&sc, WORLD_POLL, engine, shared.server, SMART, &mem.mem);
    mail_deliver_set_tls(sc.p.deliver, shared.trusting, NULL);
    mail_deliver_set_credentials(sc.p.deliver,
                                 credentials_of(&sc, "ann,command:sleep 1000; echo pencil"));
    SEND(&sc.p, "me@here.example", "a@one.example");
    world_until(&sc.p.k.w, sc.r.open == 1);
    for (int i = 0; i < 30; i++) {
        world_step(&sc.p.k.w);
    }
    mail_deliver_destroy(sc.p.deliver);
    sc.p.deliver = NULL;
    world_until(&sc.p.k.w, mem.bytes == 0);
    mail_test_mem_check(&mem);
    mail_resolver_destroy(sc.resolver);
    fake_dns_stop(&sc.dns);
    remote_close(&sc.r);
    mail_intake_close(sc.p.intake);
    sc.p.k.w.loop->ops->unbell(sc.p.bell);
    mail_store_destroy(sc.p.store);
    kit_close(&sc.p.k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_as_the_level_says),
        cmocka_unit_test(remembers_that_tls_does_not_work_there),
        cmocka_unit_test(shares_connections_only_on_the_same_terms),
        cmocka_unit_test(a_demand_that_fails_does_not_concern_others),
        cmocka_unit_test(fails_closed_without_a_context),
        cmocka_unit_test(sends_what_is_confidential_only_to_who_is_verified),
        cmocka_unit_test(says_who_it_is_to_a_smart_host),
        cmocka_unit_test(looks_the_secret_up_for_each_connection),
        cmocka_unit_test(tells_no_mx_host_who_it_is),
        cmocka_unit_test(shows_its_certificate_to_a_smart_host),
        cmocka_unit_test(keeps_the_mail_when_its_certificate_is_of_no_use),
        cmocka_unit_test(may_be_destroyed_while_it_looks_for_a_secret),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
