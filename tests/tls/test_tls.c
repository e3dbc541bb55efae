/* SPDX-License-Identifier: MIT */
#include "support/certs.h"
#include "support/support.h"

#include <pthread.h>

#include <mail/tls.h>

/* What the tests present and believe. */
static struct {
    mail_test_cert authority;
    mail_test_cert mx;       /* mx.b.example */
    mail_test_cert wildcard; /* *.w.example */
    mail_test_cert expired;
    mail_test_cert common;   /* only a common name */
    mail_test_cert stranger; /* signed by nobody */
} certs;

static int make_certs(void **state)
{
    (void)state;
    mail_test_cert_make(&certs.authority, &(mail_test_cert_options){.is_authority = true});
    mail_test_cert_make(&certs.mx, &(mail_test_cert_options){.issuer = &certs.authority,
                                                             .ip = "192.0.2.1",
                                                             .dns_name = "mx.b.example"});
    mail_test_cert_make(&certs.wildcard, &(mail_test_cert_options){.issuer = &certs.authority,
                                                                   .dns_name = "*.w.example"});
    mail_test_cert_make(&certs.expired, &(mail_test_cert_options){.issuer = &certs.authority,
                                                                  .dns_name = "mx.b.example",
                                                                  .from = -7200,
                                                                  .until = -3600});
    mail_test_cert_make(&certs.common, &(mail_test_cert_options){.issuer = &certs.authority,
                                                                 .common_name = "mx.b.example"});
    mail_test_cert_make(&certs.stranger, &(mail_test_cert_options){.dns_name = "mx.b.example"});
    return 0;
}

static int free_certs(void **state)
{
    (void)state;
    mail_test_cert_free(&certs.authority);
    mail_test_cert_free(&certs.mx);
    mail_test_cert_free(&certs.wildcard);
    mail_test_cert_free(&certs.expired);
    mail_test_cert_free(&certs.common);
    mail_test_cert_free(&certs.stranger);
    return 0;
}

static mail_tls_pair pair_of(const mail_test_cert *cert)
{
    return (mail_tls_pair){mail_span_text(cert->certificate), mail_span_text(cert->key)};
}

static mail_tls_context *server_context(const mail_test_cert *first, const mail_test_cert *second)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_pair pairs[2] = {pair_of(first)};
    mail_tls_context *context;

    opts.pairs = pairs;
    opts.pair_count = 1;
    if (second != NULL) {
        pairs[1] = pair_of(second);
        opts.pair_count = 2;
    }
    opts.no_trust = true;
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

static mail_tls_context *client_context(const char *priority)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_context *context;

    opts.trust = mail_span_text(certs.authority.certificate);
    opts.priority = priority;
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

/* Both ends of a connection, and what each has seen. */
typedef struct wire {
    mail_tls *ends[2];
    mail_tls_event last[2]; /* READY, END or FAILED */
    size_t chunk;           /* octets moved at a time; 0: all */
    bool asked;
    char got[2][300000];
    size_t got_length[2];
} wire;

enum {
    CLIENT,
    SERVER
};

static void note(wire *w, int end, mail_tls_event event)
{
    mail_span plain;

    switch (event) {
    case MAIL_TLS_PLAIN:
        plain = mail_tls_plain(w->ends[end]);
        assert_true(w->got_length[end] + plain.length <= sizeof(w->got[end]));
        memcpy(w->got[end] + w->got_length[end], plain.data, plain.length);
        w->got_length[end] += plain.length;
        mail_tls_drop(w->ends[end], plain.length);
        break;
    case MAIL_TLS_VERIFY:
        w->asked = true;
        break;
    case MAIL_TLS_NONE:
        break;
    default:
        w->last[end] = event;
    }
}

static void feed(wire *w, int end, mail_span in)
{
    mail_tls_event event;

    do {
        size_t used;

        event = mail_tls_feed(w->ends[end], in, &used);
        in = mail_span_from(in, used);
        note(w, end, event);
    } while (event != MAIL_TLS_NONE && event != MAIL_TLS_VERIFY && event != MAIL_TLS_FAILED);
    assert_true(in.length == 0 || w->asked || event == MAIL_TLS_FAILED);
}

/* Moves bytes both ways until nothing moves. */
static void run(wire *w)
{
    bool moved;

    do {
        moved = false;
        for (int end = 0; end < 2; end++) {
            mail_span out = mail_tls_out(w->ends[end]);
            char copy[200000];
            size_t n = w->chunk > 0 && out.length > w->chunk ? w->chunk : out.length;

            if (n > sizeof(copy)) {
                n = sizeof(copy);
            }
            if (n == 0) {
                continue;
            }
            memcpy(copy, out.data, n);
            mail_tls_sent(w->ends[end], n);
            feed(w, !end, mail_span_of(copy, n));
            moved = true;
        }
    } while (moved);
}

static wire *connect_ends(mail_tls_context *client, const mail_tls_options *client_opts,
                          mail_tls_context *server, const mail_tls_options *server_opts,
                          size_t chunk)
{
    mail_tls_options defaults = MAIL_TLS_OPTIONS_INIT;
    wire *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    defaults.server = true;
    w->chunk = chunk;
    assert_int_equal(
        mail_tls_create(&w->ends[SERVER], server, server_opts != NULL ? server_opts : &defaults),
        MAIL_OK);
    assert_int_equal(mail_tls_create(&w->ends[CLIENT], client, client_opts), MAIL_OK);
    mail_tls_context_unref(client);
    mail_tls_context_unref(server);
    run(w);
    return w;
}

static void disconnect(wire *w)
{
    mail_tls_destroy(w->ends[CLIENT]);
    mail_tls_destroy(w->ends[SERVER]);
    free(w);
}

static mail_tls_options client_options(mail_tls_verification verification, const char *name)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;

    opts.verification = verification;
    opts.name = mail_span_text(name);
    return opts;
}

static void carries_bytes_both_ways_however_the_wire_cuts_them(void **state)
{
    static const size_t chunks[] = {0, 1, 7, 1000};
    static char data[200000];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i * 31 + i / 251);
    }
    for (size_t i = 0; i < MAIL_COUNT(chunks); i++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "mx.b.example");
        wire *w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL,
                               chunks[i]);
        mail_tls_facts facts;
        size_t sent = 0;

        assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
        assert_int_equal(w->last[SERVER], MAIL_TLS_READY);
        while (sent < sizeof(data)) {
            size_t room = mail_tls_room(w->ends[CLIENT]);
            size_t n = sizeof(data) - sent < room ? sizeof(data) - sent : room;

            assert_int_equal(mail_tls_write(w->ends[CLIENT], mail_span_of(data + sent, n)),
                             MAIL_OK);
            sent += n;
            run(w);
        }
        assert_int_equal(mail_tls_write(w->ends[SERVER], MAIL_SPAN("250 OK\r\n")), MAIL_OK);
        run(w);
        assert_int_equal(w->got_length[SERVER], sizeof(data));
        assert_memory_equal(w->got[SERVER], data, sizeof(data));
        assert_int_equal(w->got_length[CLIENT], 8);
        mail_tls_facts_read(w->ends[CLIENT], &facts);
        assert_string_equal(facts.version, "TLS1.3");
        assert_true(facts.is_verified && facts.has_peer_certificate && !facts.resumed);
        mail_tls_facts_read(w->ends[SERVER], &facts);
        assert_string_equal(facts.server_name, "mx.b.example");
        disconnect(w);
    }
}

/* Of what both know the server chooses, whatever order the client names it in. */
static void prefers_what_costs_it_least(void **state)
{
    static const struct {
        const char *name;
        const char *client; /* its priorities */
        const char *want;
    } cases[] = {
        {"GnuTLS's own order", "NORMAL", "AES_128_GCM_SHA256"},
        {"a client of TLS 1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "AES_128_GCM_SHA256"},
        {"only AES-256", "NORMAL:-CIPHER-ALL:+AES-256-GCM", "AES_256_GCM_SHA384"},
        {"only P-384", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1", "AES_128_GCM_SHA256"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "mx.b.example");
        mail_tls_facts facts;
        wire *w;

        mail_test_case(cases[i].name);
        w = connect_ends(client_context(cases[i].client), &opts, server_context(&certs.mx, NULL),
                         NULL, 0);
        assert_int_equal(w->last[SERVER], MAIL_TLS_READY);
        mail_tls_facts_read(w->ends[SERVER], &facts);
        assert_non_null(strstr(facts.cipher, cases[i].want));
        disconnect(w);
    }
}

static void judges_certificates(void **state)
{
    const struct {
        const char *name;
        const mail_test_cert *cert;
        mail_tls_verification verification;
        const char *host;
        const char *failure; /* NULL: ready */
    } cases[] = {
        {"good", &certs.mx, MAIL_TLS_VERIFY_PKIX, "mx.b.example", NULL},
        {"wildcard", &certs.wildcard, MAIL_TLS_VERIFY_PKIX, "mx.w.example", NULL},
        {"wildcard covers one label", &certs.wildcard, MAIL_TLS_VERIFY_PKIX, "a.mx.w.example",
         "certificate: the name does not match"},
        {"other name", &certs.mx, MAIL_TLS_VERIFY_PKIX, "mx.c.example",
         "certificate: the name does not match"},
        {"expired", &certs.expired, MAIL_TLS_VERIFY_PKIX, "mx.b.example", "certificate: expired"},
        {"nobody's", &certs.stranger, MAIL_TLS_VERIFY_PKIX, "mx.b.example",
         "certificate: not issued by a trusted authority"},
        {"common name only (ST-008)", &certs.common, MAIL_TLS_VERIFY_PKIX, "mx.b.example",
         "certificate: it names no host (RFC 6125)"},
        {"by address", &certs.mx, MAIL_TLS_VERIFY_PKIX, "192.0.2.1", NULL},
        {"by another address", &certs.mx, MAIL_TLS_VERIFY_PKIX, "192.0.2.2",
         "certificate: the name does not match"},
        {"by an address that it does not name", &certs.wildcard, MAIL_TLS_VERIFY_PKIX, "192.0.2.1",
         "certificate: the name does not match"},
        {"nobody's, unverified", &certs.stranger, MAIL_TLS_VERIFY_NONE, "mx.b.example", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_options opts = client_options(cases[i].verification, cases[i].host);
        wire *w;

        mail_test_case(cases[i].name);
        w = connect_ends(client_context(NULL), &opts, server_context(cases[i].cert, NULL), NULL, 0);
        if (cases[i].failure == NULL) {
            assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
        } else {
            assert_int_equal(w->last[CLIENT], MAIL_TLS_FAILED);
            assert_span_equal(mail_tls_failure(w->ends[CLIENT]), cases[i].failure);
            assert_int_equal(w->last[SERVER], MAIL_TLS_FAILED); /* by the alert */
            assert_int_equal(mail_tls_room(w->ends[CLIENT]), 0);
        }
        disconnect(w);
    }
}

static void believes_pins_and_nothing_else(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    wire *w =
        connect_ends(client_context(NULL), &opts, server_context(&certs.stranger, NULL), NULL, 0);
    mail_tls_facts facts;
    uint8_t pins[2][32] = {{0}};

    (void)state;
    mail_tls_facts_read(w->ends[CLIENT], &facts);
    disconnect(w);
    memcpy(pins[1], facts.peer_pin, 32);
    opts.verification = MAIL_TLS_VERIFY_PIN;
    opts.pins = (const uint8_t(*)[32])pins;
    opts.pin_count = 2;
    w = connect_ends(client_context(NULL), &opts, server_context(&certs.stranger, NULL), NULL, 0);
    assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
    disconnect(w);
    opts.pin_count = 1;
    w = connect_ends(client_context(NULL), &opts, server_context(&certs.stranger, NULL), NULL, 0);
    assert_int_equal(w->last[CLIENT], MAIL_TLS_FAILED);
    disconnect(w);
}

static void waits_for_the_verdict_it_asks_for(void **state)
{
    (void)state;
    for (int accept = 0; accept < 2; accept++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_ASK, "mx.b.example");
        wire *w =
            connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);
        mail_tls_event event;
        size_t used;

        assert_true(w->asked);
        assert_int_equal(mail_tls_room(w->ends[CLIENT]), 0);
        assert_true(mail_tls_peer_certificate(w->ends[CLIENT], 0).length > 100);
        assert_int_equal(mail_tls_feed(w->ends[CLIENT], (mail_span){0}, &used), MAIL_TLS_NONE);
        mail_tls_answer(w->ends[CLIENT], accept != 0);
        event = mail_tls_feed(w->ends[CLIENT], (mail_span){0}, &used);
        assert_int_equal(event, accept ? MAIL_TLS_READY : MAIL_TLS_FAILED);
        disconnect(w);
    }
}

static void chooses_the_certificate_by_name(void **state)
{
    static const struct {
        const char *asked;
        bool wildcard;
    } cases[] = {
        {"mx.b.example", false},
        {"mx.w.example", true},
        {"deep.mx.w.example", false},
        {"unknown.example", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, cases[i].asked);
        mail_tls_options alone = client_options(MAIL_TLS_VERIFY_NONE, "");
        mail_tls_facts facts;
        mail_tls_facts wanted;
        wire *w;

        mail_test_case(cases[i].asked);
        w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, &certs.wildcard),
                         NULL, 0);
        mail_tls_facts_read(w->ends[CLIENT], &facts);
        disconnect(w);
        w = connect_ends(client_context(NULL), &alone,
                         server_context(cases[i].wildcard ? &certs.wildcard : &certs.mx, NULL),
                         NULL, 0);
        mail_tls_facts_read(w->ends[CLIENT], &wanted);
        disconnect(w);
        assert_memory_equal(facts.peer_pin, wanted.peer_pin, 32);
    }
}

static void resumes_both_versions(void **state)
{
    static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.2",
                                           "NORMAL:-VERS-ALL:+VERS-TLS1.3"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(versions); i++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "mx.b.example");
        mail_tls_context *server = server_context(&certs.mx, NULL);
        mail_tls_context *client = client_context(versions[i]);
        mail_tls_facts facts;
        char key[2048];
        size_t length = 0;
        wire *w;

        mail_test_case(versions[i]);
        w = connect_ends(mail_tls_context_ref(client), &opts, mail_tls_context_ref(server), NULL,
                         0);
        assert_int_equal(mail_tls_write(w->ends[SERVER], MAIL_SPAN("250 OK\r\n")), MAIL_OK);
        run(w);
        assert_int_equal(mail_tls_resumption(w->ends[CLIENT], key, 10, &length), MAIL_ELIMIT);
        assert_int_equal(mail_tls_resumption(w->ends[CLIENT], key, sizeof(key), &length), MAIL_OK);
        disconnect(w);
        opts.resume = mail_span_of(key, length);
        w = connect_ends(client, &opts, server, NULL, 0);
        assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
        mail_tls_facts_read(w->ends[CLIENT], &facts);
        assert_true(facts.resumed);
        assert_true(facts.is_verified);
        disconnect(w);
    }
}

static mail_tls_context *without_tickets(bool serves, const char *priority)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_pair pair = pair_of(&certs.mx);
    mail_tls_context *context;

    opts.pairs = &pair;
    opts.pair_count = serves ? 1 : 0;
    opts.no_trust = true;
    opts.no_tickets = true;
    opts.priority = priority;
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

/* Either end can do without. */
static void resumes_nothing_without_tickets(void **state)
{
    static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.2",
                                           "NORMAL:-VERS-ALL:+VERS-TLS1.3"};

    (void)state;
    for (size_t i = 0; i < 2 * MAIL_COUNT(versions); i++) {
        const char *version = versions[i / 2];
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
        mail_tls_context *server =
            i % 2 == 0 ? without_tickets(true, version) : server_context(&certs.mx, NULL);
        mail_tls_context *client =
            i % 2 == 0 ? client_context(version) : without_tickets(false, version);
        mail_tls_facts facts;
        char key[2048];
        size_t length = 0;
        wire *w;

        mail_test_case(version);
        w = connect_ends(mail_tls_context_ref(client), &opts, mail_tls_context_ref(server), NULL,
                         0);
        assert_int_equal(mail_tls_write(w->ends[SERVER], MAIL_SPAN("250 OK\r\n")), MAIL_OK);
        run(w);
        (void)mail_tls_resumption(w->ends[CLIENT], key, sizeof(key), &length);
        disconnect(w);
        opts.resume = mail_span_of(key, length);
        w = connect_ends(client, &opts, server, NULL, 0);
        assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
        mail_tls_facts_read(w->ends[CLIENT], &facts);
        assert_false(facts.resumed);
        disconnect(w);
    }
}

/* HOSTILE, section 11: what was believed once is judged anew. */
/* Else it lies unacknowledged, and what the client has to say next with it. */
static void answers_the_last_word_of_a_handshake(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    mail_tls_options server_opts = MAIL_TLS_OPTIONS_INIT;
    wire *w = calloc(1, sizeof(*w));
    mail_tls_context *client = client_context(NULL);
    mail_tls_context *server = server_context(&certs.mx, NULL);

    (void)state;
    assert_non_null(w);
    server_opts.server = true;
    assert_int_equal(mail_tls_create(&w->ends[SERVER], server, &server_opts), MAIL_OK);
    assert_int_equal(mail_tls_create(&w->ends[CLIENT], client, &opts), MAIL_OK);
    for (int end = CLIENT; w->last[SERVER] != MAIL_TLS_READY; end = !end) {
        mail_span out = mail_tls_out(w->ends[end]);

        assert_true(out.length > 0);
        feed(w, !end, out);
        mail_tls_sent(w->ends[end], out.length);
    }
    assert_true(mail_tls_out(w->ends[SERVER]).length > 0);
    disconnect(w);
    mail_tls_context_unref(client);
    mail_tls_context_unref(server);
}

static void verifies_who_is_resumed(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    mail_tls_context *server = server_context(&certs.mx, NULL);
    mail_tls_context *client = client_context(NULL);
    char key[MAIL_TLS_RESUMPTION_SIZE];
    size_t length = 0;
    wire *w;

    (void)state;
    w = connect_ends(mail_tls_context_ref(client), &opts, mail_tls_context_ref(server), NULL, 0);
    assert_int_equal(mail_tls_write(w->ends[SERVER], MAIL_SPAN("250 OK\r\n")), MAIL_OK);
    run(w);
    assert_int_equal(mail_tls_resumption(w->ends[CLIENT], key, sizeof(key), &length), MAIL_OK);
    disconnect(w);
    opts = client_options(MAIL_TLS_VERIFY_PKIX, "other.example");
    opts.resume = mail_span_of(key, length);
    w = connect_ends(client, &opts, server, NULL, 0);
    assert_int_equal(w->last[CLIENT], MAIL_TLS_FAILED);
    disconnect(w);
}

static void goes_on_unverified_where_that_may_be(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "other.example");
    mail_tls_facts facts;
    wire *w;

    (void)state;
    opts.is_lenient = true;
    w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);
    assert_int_equal(w->last[CLIENT], MAIL_TLS_READY);
    mail_tls_facts_read(w->ends[CLIENT], &facts);
    assert_false(facts.is_verified);
    assert_string_equal(facts.doubt, "the name does not match");
    disconnect(w);
}

static void tells_an_end_from_a_cut(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    wire *w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);

    (void)state;
    assert_int_equal(mail_tls_write(w->ends[CLIENT], MAIL_SPAN("QUIT\r\n")), MAIL_OK);
    mail_tls_close(w->ends[CLIENT]);
    run(w);
    assert_int_equal(w->last[SERVER], MAIL_TLS_END);
    assert_int_equal(w->got_length[SERVER], 6);
    assert_int_equal(mail_tls_eof(w->ends[SERVER]), MAIL_TLS_END);
    assert_int_equal(mail_tls_eof(w->ends[CLIENT]), MAIL_TLS_FAILED);
    disconnect(w);
}

/* Hands on what the other end has written, up to the first event. */
static mail_tls_event feed_once(wire *w, int end)
{
    mail_span out = mail_tls_out(w->ends[!end]);
    char copy[1000];
    size_t used;

    assert_in_range(out.length, 1, sizeof(copy));
    memcpy(copy, out.data, out.length);
    mail_tls_sent(w->ends[!end], out.length);
    return mail_tls_feed(w->ends[end], mail_span_of(copy, out.length), &used);
}

/* Nothing that came before a cut is whole, nor may be waited for. */
static void knows_a_cut_wherever_it_comes(void **state)
{
    mail_tls_options server_opts = MAIL_TLS_OPTIONS_INIT;
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_ASK, "mx.b.example");
    mail_tls_context *server = server_context(&certs.mx, NULL);
    mail_tls *tls;
    wire *w;

    (void)state;
    mail_test_case("in the handshake");
    server_opts.server = true;
    assert_int_equal(mail_tls_create(&tls, server, &server_opts), MAIL_OK);
    assert_int_equal(mail_tls_eof(tls), MAIL_TLS_FAILED);
    assert_int_equal(mail_tls_eof(tls), MAIL_TLS_FAILED);
    mail_tls_destroy(tls);

    mail_test_case("while a question is open");
    w = connect_ends(client_context(NULL), &opts, mail_tls_context_ref(server), NULL, 0);
    assert_true(w->asked);
    assert_int_equal(mail_tls_eof(w->ends[CLIENT]), MAIL_TLS_FAILED);
    assert_span_equal(mail_tls_failure(w->ends[CLIENT]), "connection: cut off");
    disconnect(w);

    mail_test_case("behind plain bytes");
    opts.verification = MAIL_TLS_VERIFY_NONE;
    w = connect_ends(client_context(NULL), &opts, server, NULL, 0);
    assert_int_equal(mail_tls_write(w->ends[CLIENT], MAIL_SPAN("QUIT\r\n")), MAIL_OK);
    assert_int_equal(feed_once(w, SERVER), MAIL_TLS_PLAIN);
    assert_int_equal(mail_tls_eof(w->ends[SERVER]), MAIL_TLS_NONE);
    assert_span_equal(mail_tls_plain(w->ends[SERVER]), "QUIT\r\n");
    mail_tls_drop(w->ends[SERVER], 6);
    assert_int_equal(mail_tls_eof(w->ends[SERVER]), MAIL_TLS_FAILED);
    disconnect(w);
}

static void refuses_old_versions_and_other_protocols(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    mail_tls_options server_opts = MAIL_TLS_OPTIONS_INIT;
    mail_tls_context *server = server_context(&certs.mx, NULL);
    mail_tls *tls;
    size_t used;
    wire *w;

    (void)state;
    w = connect_ends(client_context("NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"), &opts,
                     mail_tls_context_ref(server), NULL, 0);
    assert_int_equal(w->last[SERVER], MAIL_TLS_FAILED);
    assert_int_equal(w->last[CLIENT], MAIL_TLS_FAILED); /* it was told by an alert */
    disconnect(w);
    server_opts.server = true;
    assert_int_equal(mail_tls_create(&tls, server, &server_opts), MAIL_OK);
    assert_int_equal(
        mail_tls_feed(tls, MAIL_SPAN("EHLO client.example\r\nMAIL FROM:<>\r\n"), &used),
        MAIL_TLS_FAILED);
    assert_int_equal(mail_tls_feed(tls, MAIL_SPAN("RCPT"), &used), MAIL_TLS_NONE);
    assert_int_equal(used, 4);
    mail_tls_destroy(tls);
    mail_tls_context_unref(server);
}

/* Octets of a message of 16 MiB, in records of 1000, that `tls` takes until it has enough. */
static size_t feed_endless_message(mail_tls *tls, mail_tls_event *event)
{
    char record[5 + 1000] = {22, 3, 1, 1000 >> 8, (char)(1000 & 255), 1, (char)255, 3, 3};
    size_t total = 0;

    do {
        size_t used;

        *event = mail_tls_feed(tls, mail_span_of(record, sizeof(record)), &used);
        total += used;
        memset(record + 5, 3, 4);
    } while (*event == MAIL_TLS_NONE && total < 1000000);
    return total;
}

static void holds_no_message_without_end(void **state)
{
    static const struct {
        const char *name;
        bool server;
        bool asks;
        size_t limit;
    } cases[] = {
        {"a hello", true, false, 32 * 1024},
        {"a chain of certificates that is asked for", true, true, 128 * 1024},
        {"a server's", false, false, 128 * 1024},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
        mail_tls_context *context = server_context(&certs.mx, NULL);
        mail_tls_event event;
        mail_tls *tls;

        mail_test_case(cases[i].name);
        opts.server = cases[i].server;
        opts.verification = cases[i].asks ? MAIL_TLS_VERIFY_ASK : MAIL_TLS_VERIFY_NONE;
        assert_int_equal(mail_tls_create(&tls, context, &opts), MAIL_OK);
        assert_in_range(feed_endless_message(tls, &event), cases[i].limit, cases[i].limit + 2000);
        assert_int_equal(event, MAIL_TLS_FAILED);
        assert_non_null(strstr(mail_tls_failure(tls).data, "too large"));
        mail_tls_destroy(tls);
        mail_tls_context_unref(context);
    }
}

static void keeps_old_sessions_when_a_context_is_replaced(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    wire *w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);
    mail_tls_context *next = server_context(&certs.wildcard, NULL);

    /* The last reference but the session's own has gone in connect_ends. */
    (void)state;
    assert_int_equal(mail_tls_write(w->ends[CLIENT], MAIL_SPAN("NOOP\r\n")), MAIL_OK);
    run(w);
    assert_int_equal(w->got_length[SERVER], 6);
    disconnect(w);
    mail_tls_context_unref(next);
}

static void binds_both_ends_to_the_same_channel(void **state)
{
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    uint8_t bindings[3][MAIL_TLS_BINDING_SIZE];
    wire *w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);

    (void)state;
    assert_int_equal(mail_tls_binding(w->ends[CLIENT], bindings[0]), MAIL_OK);
    assert_int_equal(mail_tls_binding(w->ends[SERVER], bindings[1]), MAIL_OK);
    assert_memory_equal(bindings[0], bindings[1], MAIL_TLS_BINDING_SIZE);
    disconnect(w);
    w = connect_ends(client_context(NULL), &opts, server_context(&certs.mx, NULL), NULL, 0);
    assert_int_equal(mail_tls_binding(w->ends[CLIENT], bindings[2]), MAIL_OK);
    assert_memory_not_equal(bindings[0], bindings[2], MAIL_TLS_BINDING_SIZE);
    disconnect(w);
}

static void asks_clients_for_certificates(void **state)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_options client_opts = client_options(MAIL_TLS_VERIFY_NONE, "mx.b.example");
    mail_tls_options server_opts = MAIL_TLS_OPTIONS_INIT;
    mail_tls_pair pair = pair_of(&certs.wildcard);
    mail_tls_context *with;
    mail_tls_facts facts;
    wire *w;

    (void)state;
    opts.pairs = &pair;
    opts.pair_count = 1;
    opts.no_trust = true;
    assert_int_equal(mail_tls_context_create(&with, &opts, NULL), MAIL_OK);
    server_opts.server = true;
    server_opts.verification = MAIL_TLS_VERIFY_ASK;
    w = connect_ends(with, &client_opts, server_context(&certs.mx, NULL), &server_opts, 0);
    assert_true(w->asked);
    mail_tls_facts_read(w->ends[SERVER], &facts);
    assert_true(facts.has_peer_certificate);
    disconnect(w);
}

static mail_tls_context *system_context(bool asks)
{
    mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_pair pair = pair_of(&certs.mx);
    mail_tls_context *context;

    opts.pairs = &pair;
    opts.pair_count = 1;
    opts.ask_client_certificate = asks;
    assert_int_equal(mail_tls_context_create(&context, &opts, NULL), MAIL_OK);
    return context;
}

/* No certificate of ours is issued by anybody whom the system believes. */
static void reads_the_systems_list_when_it_is_needed(void **state)
{
    static const struct {
        const char *name;
        mail_tls_verification client;
        mail_tls_verification server;
        bool is_read[2];
    } cases[] = {
        {"nobody is verified", MAIL_TLS_VERIFY_NONE, MAIL_TLS_VERIFY_NONE, {false, false}},
        {"the server is", MAIL_TLS_VERIFY_PKIX, MAIL_TLS_VERIFY_NONE, {true, false}},
        {"the client is", MAIL_TLS_VERIFY_NONE, MAIL_TLS_VERIFY_PKIX, {false, true}},
    };
    mail_tls_context *asking = system_context(true);

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_context *contexts[2] = {system_context(false), system_context(false)};
        mail_tls_options client = client_options(cases[i].client, "mx.b.example");
        mail_tls_options server = MAIL_TLS_OPTIONS_INIT;
        wire *w;

        mail_test_case(cases[i].name);
        server.server = true;
        server.verification = cases[i].server;
        w = connect_ends(mail_tls_context_ref(contexts[CLIENT]), &client,
                         mail_tls_context_ref(contexts[SERVER]), &server, 0);
        for (int end = 0; end < 2; end++) {
            assert_int_equal(mail_tls_context_awaits_trust(contexts[end]), !cases[i].is_read[end]);
            assert_true(!cases[i].is_read[end] || w->last[end] == MAIL_TLS_FAILED);
            mail_tls_context_unref(contexts[end]);
        }
        disconnect(w);
    }
    assert_false(mail_tls_context_awaits_trust(asking));
    mail_tls_context_unref(asking);
}

static void *read_trust(void *context)
{
    mail_tls_context_read_trust(context);
    return mail_tls_context_awaits_trust(context) ? NULL : context;
}

static void several_threads_may_want_the_list(void **state)
{
    mail_tls_context *context = system_context(false);
    pthread_t threads[3];

    (void)state;
    assert_true(mail_tls_context_awaits_trust(context));
    for (size_t i = 0; i < MAIL_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_trust, context), 0);
    }
    for (size_t i = 0; i < MAIL_COUNT(threads); i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, context);
    }
    mail_tls_context_unref(context);
}

static void refuses_bad_material_with_a_reason(void **state)
{
    const struct {
        const char *name;
        mail_tls_pair pair;
        const char *priority;
        const char *trust;
        const char *reason;
    } cases[] = {
        {"no certificate",
         {MAIL_SPAN("x"), mail_span_text(certs.mx.key)},
         NULL,
         NULL,
         "bad certificate: "},
        {"no key",
         {mail_span_text(certs.mx.certificate), MAIL_SPAN("x")},
         NULL,
         NULL,
         "bad private key: "},
        {"key of another",
         {mail_span_text(certs.mx.certificate), mail_span_text(certs.wildcard.key)},
         NULL,
         NULL,
         "the private key does not fit"},
        {"bad priority", pair_of(&certs.mx), "NORMAL:+WHAT", NULL,
         "bad priority string at \"+WHAT\""},
        {"bad trust", pair_of(&certs.mx), NULL, "x", "bad trust list: "},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
        mail_tls_context *context;
        mail_error err;

        mail_test_case(cases[i].name);
        opts.pairs = &cases[i].pair;
        opts.pair_count = 1;
        opts.priority = cases[i].priority;
        opts.trust = mail_span_text(cases[i].trust);
        opts.no_trust = cases[i].trust == NULL;
        assert_int_equal(mail_tls_context_create(&context, &opts, &err), MAIL_EINVAL);
        assert_memory_equal(err.text, cases[i].reason, strlen(cases[i].reason));
    }
}

static char *joined(const char *first, const char *second)
{
    char *text = malloc(strlen(first) + strlen(second) + 1);

    assert_non_null(text);
    return strcat(strcpy(text, first), second);
}

/* A chain as long as its shortest part, in the order in which each certificate signs the one before. */
static void knows_when_a_chain_is_valid(void **state)
{
    mail_test_cert middle;
    mail_test_cert leaf;
    mail_wall now = time(NULL);

    (void)state;
    mail_test_cert_make(&middle, &(mail_test_cert_options){.issuer = &certs.authority,
                                                           .is_authority = true,
                                                           .common_name = "middle",
                                                           .from = -1000,
                                                           .until = 5000});
    mail_test_cert_make(
        &leaf, &(mail_test_cert_options){
                   .issuer = &middle, .dns_name = "mx.b.example", .from = -500, .until = 9000});
    for (int in_order = 0; in_order < 2; in_order++) {
        char *chain = in_order ? joined(leaf.certificate, middle.certificate)
                               : joined(middle.certificate, leaf.certificate);
        mail_tls_context_options opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
        mail_tls_pair pair = {mail_span_text(chain), mail_span_text(leaf.key)};
        mail_tls_context *context;
        mail_wall from;
        mail_wall until;
        mail_error err;

        opts.pairs = &pair;
        opts.pair_count = 1;
        opts.no_trust = true;
        if (in_order) {
            assert_int_equal(mail_tls_context_create(&context, &opts, &err), MAIL_OK);
            assert_int_equal(mail_tls_context_pair_count(context), 1);
            mail_tls_context_validity(context, 0, &from, &until);
            assert_in_range(from, now - 500 - 10, now - 500 + 60);
            assert_in_range(until, now + 5000 - 10, now + 5000 + 60);
            mail_tls_context_validity(context, 1, &from, &until);
            assert_int_equal(from, until);
            mail_tls_context_unref(context);
        } else {
            assert_int_equal(mail_tls_context_create(&context, &opts, &err), MAIL_EINVAL);
            assert_string_equal(err.text, "bad certificate: the chain is out of order: each one "
                                          "signs the one before it");
        }
        free(chain);
    }
    mail_test_cert_free(&leaf);
    mail_test_cert_free(&middle);
}

static void refuses_bad_options(void **state)
{
    mail_tls_context *context = client_context(NULL);
    mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "");
    char long_name[300];
    mail_tls *tls;

    (void)state;
    assert_int_equal(mail_tls_create(&tls, context, &opts), MAIL_EINVAL);
    opts.name = mail_span_of("a\0b", 3);
    assert_int_equal(mail_tls_create(&tls, context, &opts), MAIL_EINVAL);
    memset(long_name, 'a', sizeof(long_name));
    opts.name = mail_span_of(long_name, sizeof(long_name));
    assert_int_equal(mail_tls_create(&tls, context, &opts), MAIL_EINVAL);
    opts = client_options(MAIL_TLS_VERIFY_PIN, "mx.b.example");
    assert_int_equal(mail_tls_create(&tls, context, &opts), MAIL_EINVAL);
    mail_tls_context_unref(context);
}

static void survives_every_failed_allocation_of_its_own(void **state)
{
    mail_tls_context *context = client_context(NULL);

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_tls_options opts = client_options(MAIL_TLS_VERIFY_PKIX, "mx.b.example");
        mail_tls *tls = NULL;
        int code;

        opts.mem = &walk.mem;
        code = mail_tls_create(&tls, context, &opts);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (code == MAIL_OK) {
            assert_true(mail_tls_out(tls).length > 0);
            mail_tls_destroy(tls);
        }
    }
    mail_tls_context_unref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_bytes_both_ways_however_the_wire_cuts_them),
        cmocka_unit_test(prefers_what_costs_it_least),
        cmocka_unit_test(judges_certificates),
        cmocka_unit_test(believes_pins_and_nothing_else),
        cmocka_unit_test(waits_for_the_verdict_it_asks_for),
        cmocka_unit_test(chooses_the_certificate_by_name),
        cmocka_unit_test(resumes_both_versions),
        cmocka_unit_test(resumes_nothing_without_tickets),
        cmocka_unit_test(answers_the_last_word_of_a_handshake),
        cmocka_unit_test(verifies_who_is_resumed),
        cmocka_unit_test(goes_on_unverified_where_that_may_be),
        cmocka_unit_test(tells_an_end_from_a_cut),
        cmocka_unit_test(knows_a_cut_wherever_it_comes),
        cmocka_unit_test(refuses_old_versions_and_other_protocols),
        cmocka_unit_test(holds_no_message_without_end),
        cmocka_unit_test(keeps_old_sessions_when_a_context_is_replaced),
        cmocka_unit_test(binds_both_ends_to_the_same_channel),
        cmocka_unit_test(asks_clients_for_certificates),
        cmocka_unit_test(reads_the_systems_list_when_it_is_needed),
        cmocka_unit_test(several_threads_may_want_the_list),
        cmocka_unit_test(refuses_bad_material_with_a_reason),
        cmocka_unit_test(knows_when_a_chain_is_valid),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation_of_its_own),
    };

    return cmocka_run_group_tests(tests, make_certs, free_certs);
}
