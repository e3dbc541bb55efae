/* SPDX-License-Identifier: MIT */
/*
 * The input is a message, sent by the client engine to the server engine in slices
 * that the input chooses as well: it arrives as it was sent, or is refused for a NUL or
 * its line ends before it arrives.
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/smtp_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bits of the first octet. */
enum {
    LMTP = 1,
    NO_PIPELINING = 2,
    NO_CHUNKING = 4,
    BINARY = 8,
    SIZE_KNOWN = 16,
    TLS = 32,
    IMPLICIT = 64, /* with TLS: from the start */
    AUTH = 128
};

/* The first octets of the input: the flags, then sizes of slices, used over and over. */
enum {
    SLICES = 16,
    HEAD = 1 + SLICES
};

typedef struct slices {
    const uint8_t *sizes;
    size_t next;
} slices;

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static size_t slice(void *arg, size_t most)
{
    slices *sl = arg;
    size_t n = (size_t)sl->sizes[sl->next] * sl->sizes[sl->next] / 16 + 1;

    sl->next = (sl->next + 1) % SLICES;
    return n < most ? n : most;
}

/* Octet by octet, so that it shares no mistake with the engines. */
static bool is_no_text(mail_span message)
{
    for (size_t i = 0; i < message.length; i++) {
        bool after_cr = i > 0 && message.data[i - 1] == '\r';
        bool before_lf = i + 1 < message.length && message.data[i + 1] == '\n';

        if (message.data[i] == '\0' || (message.data[i] == '\n' && !after_cr) ||
            (message.data[i] == '\r' && !before_lf)) {
            return true;
        }
    }
    return false;
}

static bool has_8bit(mail_span message)
{
    for (size_t i = 0; i < message.length; i++) {
        if ((unsigned char)message.data[i] > 127) {
            return true;
        }
    }
    return false;
}

static bool ends_in_crlf(mail_span message)
{
    return message.length == 0 ||
           (message.length > 1 && memcmp(message.data + message.length - 2, "\r\n", 2) == 0);
}

static void check(const smtp_pair *pair, mail_span message, bool is_binary)
{
    mail_outcome first = mail_smtp_client_outcome(pair->client, 0);
    mail_span got = buffer_bytes(&pair->received);
    size_t added = is_binary || ends_in_crlf(message) ? 0 : 2;

    if (!is_binary && is_no_text(message)) {
        require(first.kind == MAIL_OUTCOME_PERMANENT && first.is_local, "was not refused");
        require(pair->count == 0, "arrived in spite of its NUL or line ends");
        return;
    }
    require(first.kind == MAIL_OUTCOME_ACCEPTED && pair->count == 1, "was not taken");
    require(mail_smtp_client_outcome(pair->client, 1).kind == MAIL_OUTCOME_PERMANENT,
            "was taken for nobody");
    require(got.length == message.length + added, "arrived with another length");
    require(message.length == 0 || memcmp(got.data, message.data, message.length) == 0,
            "arrived changed");
}

static void add(mail_envelope *envelope, mail_span address)
{
    mail_recipient recipient = {.address = address};

    require(mail_envelope_add(envelope, &recipient) == MAIL_OK, "no memory");
}

static void send(smtp_pair *pair, mail_span message, unsigned flags)
{
    bool is_binary = (flags & BINARY) != 0 && (flags & NO_CHUNKING) == 0;
    mail_smtp_content content = {
        .size = (flags & SIZE_KNOWN) != 0 ? message.length : 0,
        .has_8bit = has_8bit(message),
        .has_nul = is_binary,
    };
    mail_envelope envelope;
    const char *problem;

    mail_envelope_init(&envelope, NULL);
    add(&envelope, MAIL_SPAN("b@mx.example"));
    add(&envelope, MAIL_SPAN("no@mx.example"));
    problem = smtp_pair_send(pair, &envelope, &content, message);
    require(problem == NULL, problem);
    check(pair, message, is_binary);
    if (!pair->is_closed) {
        problem = smtp_pair_quit(pair);
        require(problem == NULL, problem);
    }
    mail_envelope_deinit(&envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_smtp_client_options client = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    mail_smtp_server_options server = MAIL_SMTP_SERVER_OPTIONS_INIT;
    slices sl = {.sizes = data + 1};
    const char *problem;
    smtp_pair pair;

    if (size < HEAD) {
        return 0;
    }
    client.hostname = MAIL_SPAN("client.example");
    client.lmtp = (data[0] & LMTP) != 0;
    client.no_pipelining = (data[0] & NO_PIPELINING) != 0;
    client.no_chunking = (data[0] & NO_CHUNKING) != 0;
    client.out_bytes = 1; /* the least there is */
    client.authenticates = (data[0] & AUTH) != 0;
    if ((data[0] & TLS) != 0) {
        server.implicit_tls = (data[0] & IMPLICIT) != 0;
        server.starttls = !server.implicit_tls;
        client.tls = server.implicit_tls ? MAIL_SMTP_TLS_IMPLICIT : MAIL_SMTP_TLS_REQUIRE;
    }
    server.auth_mechanisms =
        1U << MAIL_SASL_PLAIN | 1U << MAIL_SASL_SCRAM_SHA_256_PLUS | 1U << MAIL_SASL_SCRAM_SHA_256;
    server.hostname = MAIL_SPAN("mx.example");
    server.lmtp = client.lmtp;
    server.error_delay = -1;
    problem = smtp_pair_open(&pair, &client, &server, slice, &sl);
    require(problem == NULL, problem);
    send(&pair, mail_span_of(data + HEAD, size - HEAD), data[0]);
    smtp_pair_close(&pair);
    return 0;
}
