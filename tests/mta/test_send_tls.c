/* SPDX-License-Identifier: MIT */
/* The easy call, with TLS and a user's name. */
#include "mta/remote.h"

#include <mail/send.h>

#include "support/certs.h"

typedef struct scene {
    kit k;
    remote r;
    mail_test_tls tls;
    mail_envelope envelope;
    char where[MAIL_IP_TEXT_SIZE];
    mail_send_options opts;
    unsigned calls;
    mail_outcome_kind kind;
    char reply[300];
} scene;

static void scene_open(scene *sc)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_recipient to = {.address = MAIL_SPAN("bob@b.example")};

    memset(sc, 0, sizeof(*sc));
    kit_open(&sc->k, WORLD_POLL);
    mail_test_tls_make(&sc->tls, "127.0.0.1");
    engine.starttls = true;
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    remote_serve(&sc->r, &sc->k, engine, sc->tls.server, NULL, NULL);
    sc->r.secret = "pencil";
    mail_endpoint_print(&sc->r.at, sc->where);
    mail_envelope_init(&sc->envelope, NULL);
    assert_int_equal(mail_envelope_add(&sc->envelope, &to), MAIL_OK);
    sc->opts = (mail_send_options)MAIL_SEND_OPTIONS_INIT;
    sc->opts.hostname = "client.example";
    sc->opts.smart_host = sc->where;
    sc->opts.trust = sc->tls.trusting;
}

static void scene_close(scene *sc)
{
    mail_test_tls_free(&sc->tls);
    mail_envelope_deinit(&sc->envelope);
    remote_close(&sc->r);
    kit_close(&sc->k);
}

static void on_results(const mail_send_results *results, void *arg)
{
    scene *sc = arg;
    mail_send_result result = mail_send_results_at(results, 0);

    sc->calls++;
    sc->kind = result.kind;
    mail_reply_print(&result.reply, sc->reply, sizeof(sc->reply));
}

static void sends_as_safely_as_is_asked_for(void **state)
{
    static const struct {
        const char *name;
        mail_tls_level level;
        bool trusts_nobody;
        const char *user;
        const char *password;
        const char *auth;
        const char *tls; /* at the host; NULL: the message does not get there */
        const char *reply;
    } cases[] = {
        {"by default", MAIL_TLS_LEVEL_MAY, false, NULL, NULL, NULL, "TLS1.3", "250 2.0.0 thanks"},
        {"in clear", MAIL_TLS_LEVEL_NONE, false, NULL, NULL, NULL, "", "250 2.0.0 thanks"},
        {"verified", MAIL_TLS_LEVEL_VERIFY, false, NULL, NULL, NULL, "TLS1.3", "250 2.0.0 thanks"},
        {"not verified", MAIL_TLS_LEVEL_VERIFY, true, NULL, NULL, NULL, NULL,
         "451 4.7.5 TLS failed: certificate: not issued by a trusted authority"},
        {"as a user", MAIL_TLS_LEVEL_MAY, false, "ann", "pencil", NULL, "TLS1.3",
         "250 2.0.0 thanks"},
        {"with a wrong password", MAIL_TLS_LEVEL_MAY, false, "ann", "crayon", NULL, NULL,
         "535 5.7.8 Authentication failed"},
        {"as a user, to somebody", MAIL_TLS_LEVEL_MAY, true, "ann", "pencil", NULL, NULL,
         "451 4.7.5 TLS failed: certificate: not issued by a trusted authority"},
        {"with a password of a command", MAIL_TLS_LEVEL_MAY, true, NULL, NULL,
         "ann,unverified,command:echo pencil", "TLS1.3", "250 2.0.0 thanks"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_context *doubting = mail_test_tls_context(NULL, NULL);
        mail_sending *sending;
        bool has_user = cases[i].user != NULL || cases[i].auth != NULL;
        scene sc;

        mail_test_case(cases[i].name);
        scene_open(&sc);
        sc.opts.tls = cases[i].level;
        sc.opts.trust = cases[i].trusts_nobody ? doubting : sc.tls.trusting;
        sc.opts.user = cases[i].user;
        sc.opts.password = cases[i].password;
        sc.opts.auth = cases[i].auth;
        assert_int_equal(mail_send(&sending, sc.k.w.loop, &sc.envelope, MAIL_SPAN("a: b\r\n\r\n"),
                                   &sc.opts, on_results, &sc, NULL),
                         MAIL_OK);
        world_until(&sc.k.w, sc.calls == 1);
        assert_string_equal(sc.reply, cases[i].reply);
        assert_int_equal(sc.r.count, cases[i].tls != NULL);
        assert_string_equal(sc.r.tls, cases[i].tls != NULL ? cases[i].tls : "");
        assert_string_equal(sc.r.user, cases[i].tls != NULL && has_user ? "ann" : "");
        scene_close(&sc);
        mail_tls_context_unref(doubting);
    }
}

static void refuses_credentials_for_nobody(void **state)
{
    static const struct {
        const char *name;
        const char *smart_host;
        const char *user;
        const char *auth;
        const char *why;
    } cases[] = {
        {"no smart host", NULL, "ann", NULL, "credentials are for a smart host"},
        {"no secret", "127.0.0.1:25", NULL, "ann", "credentials are HOST:PORT=USER,SOURCE"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sending *sending;
        mail_error err;
        scene sc;

        mail_test_case(cases[i].name);
        scene_open(&sc);
        sc.opts.smart_host = cases[i].smart_host;
        sc.opts.user = cases[i].user;
        sc.opts.auth = cases[i].auth;
        assert_int_equal(mail_send(&sending, sc.k.w.loop, &sc.envelope, MAIL_SPAN("a: b\r\n\r\n"),
                                   &sc.opts, on_results, &sc, &err),
                         MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].why);
        scene_close(&sc);
    }
}

static void survives_every_failed_allocation(void **state)
{
    scene sc;

    (void)state;
    scene_open(&sc);
    sc.opts.user = "ann";
    sc.opts.password = "pencil";
    MAIL_TEST_WALK(walk)
    {
        mail_sending *sending;

        sc.calls = 0;
        sc.opts.mem = &walk.mem;
        sc.opts.timeout = 5 * MAIL_SECOND;
        if (mail_send(&sending, sc.k.w.loop, &sc.envelope, MAIL_SPAN("a: b\r\n\r\n"), &sc.opts,
                      on_results, &sc, NULL) == MAIL_OK) {
            mail_sending_cancel(sending);
        }
    }
    scene_close(&sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_as_safely_as_is_asked_for),
        cmocka_unit_test(refuses_credentials_for_nobody),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
