/* SPDX-License-Identifier: MIT */
/* The client engine against the server engine: what goes in comes out. */
#include "support/smtp_pair.h"
#include "support/support.h"

/* As MAIL_SPAN, where only constants may stand. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

enum {
    LONG_LINE = 100000,
    LARGE = 300000
};

/* A fixed sequence, so that a failure can be seen again. */
static size_t random_slice(void *arg, size_t most)
{
    uint64_t *seed = arg;
    uint64_t x = *seed;
    size_t n;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *seed = x;
    n = (x >> 8) % 2 == 0 ? most : (size_t)((x >> 16) % 23) + 1;
    return n < most ? n : most;
}

static size_t whole_slice(void *arg, size_t most)
{
    (void)arg;
    return most;
}

static char *line_of(size_t length)
{
    char *text = malloc(length + 3);

    assert_non_null(text);
    memset(text, 'x', length);
    memcpy(text + length, "\r\n", 3);
    return text;
}

/* Many lines, every other of them with a dot in front. */
static char *lines_of(size_t length)
{
    char *text = malloc(length + 1);

    assert_non_null(text);
    for (size_t i = 0; i < length; i++) {
        text[i] = ".abcd\r\n\r\n..\r\n"[i % 13];
    }
    memcpy(text + length - 2, "\r\n", 3);
    return text;
}

/* One manner of speaking. */
typedef struct manner {
    const char *name;
    bool lmtp;
    bool no_pipelining;
    bool no_chunking;
    bool size_is_known;
    bool tls;         /* by STARTTLS, and with AUTH */
    bool tls_at_once; /* from the first octet, and with AUTH */
} manner;

static const manner manners[] = {
    {"chunks at once", .size_is_known = true},
    {"chunks", .lmtp = false},
    {"chunks one by one", .no_pipelining = true},
    {"lines", .no_chunking = true, .size_is_known = true},
    {"lines one by one", .no_pipelining = true, .no_chunking = true},
    {"LMTP chunks", .lmtp = true, .size_is_known = true},
    {"LMTP lines", .lmtp = true, .no_chunking = true},
    {"TLS", .tls = true},
    {"TLS at once", .tls_at_once = true},
    {"TLS in LMTP", .lmtp = true, .tls = true},
};

typedef struct message {
    const char *name;
    mail_span bytes;
    bool is_8bit;
    bool is_binary;
    bool lacks_end; /* a line end is added */
} message;

static void open_pair(smtp_pair *pair, const manner *how, uint64_t *seed)
{
    mail_smtp_client_options client = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    mail_smtp_server_options server = MAIL_SMTP_SERVER_OPTIONS_INIT;

    client.hostname = MAIL_SPAN("client.example");
    client.lmtp = how->lmtp;
    client.no_pipelining = how->no_pipelining;
    client.no_chunking = how->no_chunking;
    client.out_bytes = 16 * 1024;
    if (how->tls || how->tls_at_once) {
        client.tls = how->tls ? MAIL_SMTP_TLS_REQUIRE : MAIL_SMTP_TLS_IMPLICIT;
        client.authenticates = true;
        server.starttls = how->tls;
        server.implicit_tls = how->tls_at_once;
        server.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    }
    server.hostname = MAIL_SPAN("mx.example");
    server.lmtp = how->lmtp;
    server.error_delay = -1;
    assert_null(
        smtp_pair_open(pair, &client, &server, seed != NULL ? random_slice : whole_slice, seed));
}

static void add(mail_envelope *envelope, mail_span address)
{
    mail_recipient recipient = {.address = address};

    assert_int_equal(mail_envelope_add(envelope, &recipient), MAIL_OK);
}

static void check_received(const smtp_pair *pair, const message *msg)
{
    mail_span got = buffer_bytes(&pair->received);

    assert_int_equal(got.length, msg->bytes.length + (msg->lacks_end ? 2 : 0));
    assert_true(got.length == 0 || memcmp(got.data, msg->bytes.data, msg->bytes.length) == 0);
    if (msg->lacks_end) {
        assert_memory_equal(got.data + msg->bytes.length, "\r\n", 2);
    }
}

static void check_outcomes(const smtp_pair *pair)
{
    mail_outcome first = mail_smtp_client_outcome(pair->client, 0);
    mail_outcome second = mail_smtp_client_outcome(pair->client, 1);
    mail_outcome third = mail_smtp_client_outcome(pair->client, 2);

    assert_int_equal(first.kind, MAIL_OUTCOME_ACCEPTED);
    assert_int_equal(second.kind, MAIL_OUTCOME_PERMANENT);
    assert_int_equal(second.reply.status[1], 1);
    assert_int_equal(third.kind, MAIL_OUTCOME_ACCEPTED);
}

/* Sends a message twice, so that the session is used again, and once to nobody between. */
static void send_in_one_manner(const message *msg, const manner *how, uint64_t *seed)
{
    mail_smtp_content content = {
        .size = how->size_is_known ? msg->bytes.length : 0,
        .has_8bit = msg->is_8bit,
        .has_nul = msg->is_binary,
    };
    mail_envelope envelope;
    mail_envelope nobody;
    smtp_pair pair;

    mail_envelope_init(&envelope, NULL);
    mail_envelope_init(&nobody, NULL);
    add(&envelope, MAIL_SPAN("b@mx.example"));
    add(&envelope, MAIL_SPAN("no@mx.example"));
    add(&envelope, MAIL_SPAN("c@mx.example"));
    add(&nobody, MAIL_SPAN("nobody@mx.example"));
    open_pair(&pair, how, seed);
    for (unsigned i = 0; i < 2; i++) {
        assert_null(smtp_pair_send(&pair, &envelope, &content, msg->bytes));
        check_outcomes(&pair);
        check_received(&pair, msg);
        assert_int_equal(pair.count, i + 1);
        assert_null(smtp_pair_send(&pair, &nobody, &content, msg->bytes));
        assert_int_equal(mail_smtp_client_outcome(pair.client, 0).kind, MAIL_OUTCOME_PERMANENT);
        assert_int_equal(pair.count, i + 1);
    }
    assert_null(smtp_pair_quit(&pair));
    assert_int_equal(mail_smtp_client_failure(pair.client).code, 0);
    smtp_pair_close(&pair);
    mail_envelope_deinit(&envelope);
    mail_envelope_deinit(&nobody);
}

static void send_in_all_manners(const message *msg, unsigned rounds)
{
    uint64_t seed = 0x9e3779b97f4a7c15U;

    for (size_t i = 0; i < MAIL_COUNT(manners); i++) {
        if (msg->is_binary && manners[i].no_chunking) {
            continue;
        }
        mail_test_case(manners[i].name);
        send_in_one_manner(msg, &manners[i], NULL);
        for (unsigned round = 0; round < rounds; round++) {
            send_in_one_manner(msg, &manners[i], &seed);
        }
    }
}

static void carries_short_messages_as_they_are(void **state)
{
    static const message messages[] = {
        {.name = "empty", .bytes = TEXT("")},
        {.name = "a line", .bytes = TEXT("hello\r\n")},
        {.name = "empty lines", .bytes = TEXT("\r\n\r\n")},
        {.name = "a dot", .bytes = TEXT(".\r\n")},
        {.name = "dots", .bytes = TEXT("..\r\n...\r\n.a\r\n")},
        {.name = "smuggled", .bytes = TEXT("a\r\n.\r\nMAIL FROM:<x@y>\r\n")},
        {.name = "no line end", .bytes = TEXT("hello"), .lacks_end = true},
        {.name = "a dot without one", .bytes = TEXT("a\r\n."), .lacks_end = true},
        {.name = "8-bit", .bytes = TEXT("\xc3\xa9\xff\x80\r\n"), .is_8bit = true},
        {.name = "NUL and bare line ends", .bytes = TEXT("\0a\nb\rc\r"), .is_binary = true},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(messages); i++) {
        mail_test_case(messages[i].name);
        send_in_all_manners(&messages[i], 20);
    }
}

/* Both engines' halves of AUTH, by each mechanism that needs a password. */
static void lets_in_by_each_mechanism(void **state)
{
    static const mail_sasl_mechanism mechanisms[] = {
        MAIL_SASL_SCRAM_SHA_256_PLUS,
        MAIL_SASL_SCRAM_SHA_256,
        MAIL_SASL_SCRAM_SHA_1,
        MAIL_SASL_PLAIN,
        MAIL_SASL_LOGIN,
        MAIL_SASL_EXTERNAL,
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(mechanisms); i++) {
        mail_smtp_client_options client = MAIL_SMTP_CLIENT_OPTIONS_INIT;
        mail_smtp_server_options server = MAIL_SMTP_SERVER_OPTIONS_INIT;
        smtp_pair pair;

        mail_test_case(mail_sasl_mechanism_name(mechanisms[i]));
        client.hostname = MAIL_SPAN("client.example");
        client.tls = MAIL_SMTP_TLS_REQUIRE;
        client.authenticates = true;
        server.hostname = MAIL_SPAN("mx.example");
        server.starttls = true;
        server.auth_mechanisms = 1U << mechanisms[i];
        assert_null(smtp_pair_open(&pair, &client, &server, whole_slice, NULL));
        assert_true(mail_span_equal(mail_smtp_server_user(pair.server), MAIL_SPAN("ann")));
        assert_null(smtp_pair_quit(&pair));
        smtp_pair_close(&pair);
    }
}

static void carries_long_lines(void **state)
{
    static const size_t lengths[] = {998, LONG_LINE};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(lengths); i++) {
        char *text = line_of(lengths[i]);
        message msg = {.name = "long", .bytes = mail_span_text(text)};

        send_in_all_manners(&msg, 1);
        free(text);
    }
}

static void carries_many_lines(void **state)
{
    char *text = lines_of(LARGE);
    message msg = {.name = "large", .bytes = mail_span_of(text, LARGE)};

    (void)state;
    send_in_all_manners(&msg, 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_short_messages_as_they_are),
        cmocka_unit_test(lets_in_by_each_mechanism),
        cmocka_unit_test(carries_long_lines),
        cmocka_unit_test(carries_many_lines),
    };

    return mail_test_run(tests);
}
