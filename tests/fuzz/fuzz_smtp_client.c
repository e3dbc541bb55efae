/* SPDX-License-Identifier: MIT */
/*
 * The input is what a server says to the client engine. Whatever that is, a message
 * that was begun is done with a verdict for everybody, and the session ends. When it wants
 * TLS, the handshake takes no octets.
 */
#include <stdlib.h>

#include <mail/smtp_client.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (1000 * MAIL_SECOND)

enum {
    RECIPIENTS = 5,
    MESSAGES = 8
};

/* Bits of the first octet. */
enum {
    LMTP = 1,
    NO_PIPELINING = 2,
    NO_CHUNKING = 4,
    BINARY = 8,
    SIZE_UNKNOWN = 16,
    LARGE = 32,
    SLICED = 64,
    SLOW = 128 /* what the client says is not always sent before it hears more */
};

/* Bits of the second octet: what the client wants first. */
enum {
    TLS = 3, /* mail_smtp_tls */
    AUTHENTICATES = 4,
    BY_TOKEN = 8,
    BOUND = 16,
    REFUSES = 32, /* has no credentials, after all, or no TLS */
    IN_CLEAR = 64,
    CONFIDENTIAL = 128
};

typedef struct run {
    mail_smtp_client *client;
    mail_envelope envelope;
    unsigned flags;
    unsigned wishes;
    unsigned begun;
    unsigned done;
    bool wants_tls;
    bool is_closed;
} run;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void make_envelope(mail_envelope *envelope)
{
    mail_recipient recipient = {.address = MAIL_SPAN("b@mx.example"),
                                .orcpt = MAIL_SPAN("rfc822;b@mx.example"),
                                .notify = MAIL_NOTIFY_DELAY};

    mail_envelope_init(envelope, NULL);
    require(mail_envelope_set_sender(envelope, MAIL_SPAN("a@client.example"), MAIL_SPAN("Q=Q")) ==
            MAIL_OK);
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        require(mail_envelope_add(envelope, &recipient) == MAIL_OK);
        recipient.address = i % 2 == 0 ? MAIL_SPAN("c@other.example") : MAIL_SPAN("d@mx.example");
    }
}

static void begin(run *rn)
{
    mail_smtp_content content = {
        .size = (rn->flags & SIZE_UNKNOWN) != 0 ? 0 : 100,
        .has_nul = (rn->flags & BINARY) != 0,
    };

    if (rn->begun == MESSAGES) {
        mail_smtp_client_quit(rn->client, NOW);
        return;
    }
    rn->begun++;
    require(mail_smtp_client_begin(rn->client, NOW, &rn->envelope, &content) == MAIL_OK);
}

static void write_body(run *rn)
{
    static char text[70000];
    mail_sink *body = mail_smtp_client_body(rn->client);
    size_t rest = (rn->flags & LARGE) != 0 ? sizeof(text) : 100;
    size_t room = mail_sink_room(body);

    rest = rest < room ? rest : room;
    memset(text, '.', rest);
    require(mail_sink_write(body, mail_span_of(text, rest)) == MAIL_OK);
    require(mail_sink_finish(body, NULL, NULL) == MAIL_OK);
}

/* What is secret is found nowhere in what the engine says about the session. */
#define SECRET "tanstaaf"

static void start_tls(run *rn)
{
    static const char binding[32] = "0123456789abcdef0123456789abcde";
    bool is_bound = (rn->wishes & BOUND) != 0;
    const mail_reply why = MAIL_REPLY(451, 4, 7, 5, "no TLS");

    if ((rn->wishes & REFUSES) != 0) {
        mail_smtp_client_refuse(rn->client, NOW, &why);
        return;
    }
    mail_smtp_client_tls_started(
        rn->client, NOW, is_bound ? mail_span_of(binding, sizeof(binding)) : mail_span_of("", 0),
        is_bound);
}

static void authenticate(run *rn)
{
    mail_smtp_credentials credentials = {
        .user = MAIL_SPAN("ann"),
        .mechanisms = (rn->wishes & REFUSES) != 0 ? ~0U : 0,
        .in_clear = (rn->wishes & IN_CLEAR) != 0,
    };

    if ((rn->wishes & BY_TOKEN) != 0) {
        credentials.token = MAIL_SPAN(SECRET);
    } else {
        credentials.password = MAIL_SPAN(SECRET);
    }
    mail_smtp_client_authenticate(rn->client, NOW, &credentials);
}

static void take(run *rn, mail_smtp_client_event event)
{
    require(!rn->is_closed);
    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
        break;
    case MAIL_SMTP_CLIENT_READY:
        require(rn->begun == rn->done);
        begin(rn);
        break;
    case MAIL_SMTP_CLIENT_BODY:
        write_body(rn);
        break;
    case MAIL_SMTP_CLIENT_DONE:
        rn->done++;
        for (unsigned i = 0; i < RECIPIENTS; i++) {
            mail_outcome outcome = mail_smtp_client_outcome(rn->client, i);

            require(outcome.kind <= MAIL_OUTCOME_AMBIGUOUS);
            require(outcome.kind == MAIL_OUTCOME_UNTRIED || outcome.reply.code >= 200);
            require(outcome.reply.text.length <= MAIL_REPLY_TEXT_SIZE);
        }
        break;
    case MAIL_SMTP_CLIENT_CLOSED:
        rn->is_closed = true;
        break;
    case MAIL_SMTP_CLIENT_STARTTLS:
        rn->wants_tls = true;
        break;
    case MAIL_SMTP_CLIENT_AUTH:
        require(rn->begun == 0);
        authenticate(rn);
        break;
    }
}

static void flush(run *rn)
{
    mail_span out;

    while ((out = mail_smtp_client_out(rn->client)).length > 0) {
        mail_smtp_client_sent(rn->client, NOW, out.length);
    }
}

/* Feeds `in`, in a block of its own, until nothing more comes of it; how much was used. */
static size_t feed(run *rn, const uint8_t *in, size_t size)
{
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_DONE;
    char *copy = malloc(size + 1);
    size_t used = 0;
    size_t n = 1;

    require(copy != NULL);
    memcpy(copy, in, size);
    while (!rn->is_closed && (event != MAIL_SMTP_CLIENT_NONE || n > 0)) {
        if ((rn->flags & SLOW) == 0 || size % 4 != 0) {
            flush(rn);
        }
        require(mail_smtp_client_feed(rn->client, NOW, mail_span_of(copy + used, size - used), &n,
                                      &event) == MAIL_OK);
        used += n;
        take(rn, event);
    }
    if (rn->wants_tls && !rn->is_closed) {
        rn->wants_tls = false;
        start_tls(rn);
    }
    free(copy);
    return used;
}

static void talk(run *rn, const uint8_t *data, size_t size)
{
    size_t step = (rn->flags & SLICED) != 0 ? 7 : size;
    size_t from = 0;
    size_t to = 0;

    while (to < size && !rn->is_closed) {
        to = size - to > step ? to + step : size;
        from += feed(rn, data + from, to - from);
    }
}

static void lose(run *rn)
{
    mail_smtp_client_event event;

    for (unsigned i = 0; i < 4 && !rn->is_closed; i++) {
        require(mail_smtp_client_eof(rn->client, &event) == MAIL_OK);
        take(rn, event);
    }
    require(rn->is_closed && rn->begun == rn->done);
    require(mail_smtp_client_wants(rn->client) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    run rn = {.flags = size > 0 ? data[0] : 0, .wishes = size > 1 ? data[1] : 0};

    opts.hostname = MAIL_SPAN("client.example");
    opts.lmtp = (rn.flags & LMTP) != 0;
    opts.no_pipelining = (rn.flags & NO_PIPELINING) != 0;
    opts.no_chunking = (rn.flags & NO_CHUNKING) != 0;
    opts.tls = (mail_smtp_tls)(rn.wishes & TLS);
    opts.authenticates = (rn.wishes & AUTHENTICATES) != 0;
    make_envelope(&rn.envelope);
    rn.envelope.requiretls = (rn.wishes & CONFIDENTIAL) != 0;
    require(mail_smtp_client_create(&rn.client, &opts, NOW) == MAIL_OK);
    if (size > 2) {
        talk(&rn, data + 2, size - 2);
    }
    lose(&rn);
    mail_smtp_client_destroy(rn.client);
    mail_envelope_deinit(&rn.envelope);
    return 0;
}
