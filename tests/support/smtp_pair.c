/* SPDX-License-Identifier: MIT */
#include "support/smtp_pair.h"

#include <stdlib.h>

#define NOW (1000 * MAIL_SECOND)

/* What may lie on the wire; less than either engine would like to send. */
#define WIRE_LIMIT 1024

/* Moves a slice of `out` onto a wire; how much. */
static size_t move(smtp_pair *pair, mail_span out, buffer *wire)
{
    size_t n = out.length < buffer_room(wire) ? out.length : buffer_room(wire);

    n = n > 0 ? pair->slice(pair->arg, n) : 0;
    if (n > 0 && buffer_append(wire, mail_span_first(out, n)) != MAIL_OK) {
        abort();
    }
    return n;
}

/* A block of just the size of what is on the wire, so that a sanitizer sees a look beyond. */
static char *copy_of(const buffer *wire)
{
    mail_span bytes = buffer_bytes(wire);
    char *copy = malloc(bytes.length > 0 ? bytes.length : 1);

    if (copy == NULL) {
        abort();
    }
    if (bytes.length > 0) {
        memcpy(copy, bytes.data, bytes.length);
    }
    return copy;
}

/* Everybody's password. */
#define PASSWORD MAIL_SPAN("secret")

static int answer_auth(smtp_pair *pair, mail_sasl_mechanism mechanism)
{
    mail_sasl_answer password = {.kind = MAIL_SASL_PASSWORD, .password = PASSWORD};

    if (mechanism == MAIL_SASL_EXTERNAL) {
        password.kind = MAIL_SASL_ACCEPT;
    }
    return mail_smtp_server_answer_auth(pair->server, NOW, &password);
}

static void answer(smtp_pair *pair, const mail_smtp_event *ev)
{
    mail_reply no = MAIL_REPLY(550, 5, 1, 1, "no such user");
    bool refuses = ev->type == MAIL_SMTP_EV_RCPT && ev->path->length > 2 &&
                   memcmp(ev->path->text, "no", 2) == 0;

    int code = ev->type == MAIL_SMTP_EV_AUTH
                   ? answer_auth(pair, ev->auth->mechanism)
                   : mail_smtp_server_answer(pair->server, NOW, refuses ? &no : NULL);

    if (code != MAIL_OK) {
        abort();
    }
}

static void on_server_event(smtp_pair *pair, const mail_smtp_event *ev)
{
    switch (ev->type) {
    case MAIL_SMTP_EV_DATA:
    case MAIL_SMTP_EV_ABORT:
        buffer_clear(&pair->received, SIZE_MAX);
        break;
    case MAIL_SMTP_EV_BODY:
        if (buffer_append(&pair->received, ev->body) != MAIL_OK) {
            abort();
        }
        break;
    case MAIL_SMTP_EV_END:
        pair->count += ev->index == 0 ? 1 : 0;
        break;
    case MAIL_SMTP_EV_NONE:
    case MAIL_SMTP_EV_CONNECT:
    case MAIL_SMTP_EV_HELO:
    case MAIL_SMTP_EV_MAIL:
    case MAIL_SMTP_EV_RCPT:
    case MAIL_SMTP_EV_RESET:
    case MAIL_SMTP_EV_VRFY:
    case MAIL_SMTP_EV_EXPN:
    case MAIL_SMTP_EV_STARTTLS:
    case MAIL_SMTP_EV_AUTH:
    case MAIL_SMTP_EV_REFUSED:
    case MAIL_SMTP_EV_CLOSE:
        break;
    }
    while (mail_smtp_server_asks(pair->server)) {
        answer(pair, ev);
        if (ev->type == MAIL_SMTP_EV_END) {
            break; /* LMTP asks for each recipient by an event of its own */
        }
    }
}

static bool step_server(smtp_pair *pair)
{
    size_t moved = move(pair, mail_smtp_client_out(pair->client), &pair->to_server);
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_NONE};
    char *in = copy_of(&pair->to_server);
    size_t used = 0;

    mail_smtp_client_sent(pair->client, NOW, moved);
    if (mail_smtp_server_feed(pair->server, NOW, mail_span_of(in, buffer_length(&pair->to_server)),
                              &used, &ev) != MAIL_OK) {
        abort();
    }
    on_server_event(pair, &ev);
    buffer_consume(&pair->to_server, used);
    free(in);
    return moved > 0 || used > 0 || ev.type != MAIL_SMTP_EV_NONE;
}

static void authenticate(smtp_pair *pair)
{
    unsigned offered = mail_smtp_client_offer(pair->client)->auth;
    mail_smtp_credentials credentials = {.user = MAIL_SPAN("ann"), .password = PASSWORD};

    if (offered == 1U << MAIL_SASL_EXTERNAL) {
        credentials.password = MAIL_SPAN("");
    }
    mail_smtp_client_authenticate(pair->client, NOW, &credentials);
}

static void on_client_event(smtp_pair *pair, mail_smtp_client_event event)
{
    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
        break;
    case MAIL_SMTP_CLIENT_READY:
        pair->is_ready = true;
        break;
    case MAIL_SMTP_CLIENT_BODY:
        pair->is_writing = true;
        break;
    case MAIL_SMTP_CLIENT_DONE:
        pair->is_writing = false;
        pair->is_done = true;
        break;
    case MAIL_SMTP_CLIENT_CLOSED:
        pair->is_closed = true;
        break;
    case MAIL_SMTP_CLIENT_STARTTLS:
        pair->wants_tls = true;
        break;
    case MAIL_SMTP_CLIENT_AUTH:
        authenticate(pair);
        break;
    }
}

static bool step_client(smtp_pair *pair)
{
    size_t moved = move(pair, mail_smtp_server_out(pair->server), &pair->to_client);
    mail_smtp_client_event event;
    char *in = copy_of(&pair->to_client);
    size_t used = 0;

    mail_smtp_server_sent(pair->server, moved);
    if (mail_smtp_client_feed(pair->client, NOW, mail_span_of(in, buffer_length(&pair->to_client)),
                              &used, &event) != MAIL_OK) {
        abort();
    }
    on_client_event(pair, event);
    buffer_consume(&pair->to_client, used);
    free(in);
    return moved > 0 || used > 0 || event != MAIL_SMTP_CLIENT_NONE;
}

/* Writes a slice of the message, or ends it; an error ends the transaction. */
static bool step_body(smtp_pair *pair)
{
    mail_sink *body = mail_smtp_client_body(pair->client);
    size_t room = pair->is_writing ? mail_sink_room(body) : 0;
    size_t n = pair->message.length < room ? pair->message.length : room;

    if (!pair->is_writing || (n == 0 && pair->message.length > 0)) {
        return false;
    }
    if (n == 0) {
        pair->is_writing = false;
        mail_sink_finish(body, NULL, NULL);
        return true;
    }
    n = pair->slice(pair->arg, n);
    if (mail_sink_write(body, mail_span_first(pair->message, n)) != MAIL_OK) {
        pair->is_writing = false;
        mail_sink_abort(body);
        return true;
    }
    pair->message = mail_span_from(pair->message, n);
    return true;
}

/* The handshake: nothing is on the wire, and both say that now it is time. */
static bool step_tls(smtp_pair *pair)
{
    static const char binding[32] = "what both ends know of the TLS";

    if (!pair->wants_tls || !mail_smtp_server_awaits_tls(pair->server) ||
        mail_smtp_server_out(pair->server).length > 0 || buffer_length(&pair->to_client) > 0) {
        return false;
    }
    pair->wants_tls = false;
    if (mail_smtp_server_tls_started(pair->server, NOW, mail_span_of(binding, sizeof(binding)),
                                     MAIL_SPAN("ann")) != MAIL_OK) {
        abort();
    }
    mail_smtp_client_tls_started(pair->client, NOW, mail_span_of(binding, sizeof(binding)), true);
    return true;
}

/* Lets both go on until `*until`. */
static const char *run(smtp_pair *pair, const bool *until)
{
    while (!*until && !pair->is_closed) {
        bool moves = step_server(pair);

        moves = step_client(pair) || moves;
        moves = step_body(pair) || moves;
        moves = step_tls(pair) || moves;
        if (!moves) {
            return "both wait for the other";
        }
    }
    return *until ? NULL : "the session ended early";
}

const char *smtp_pair_open(smtp_pair *pair, const mail_smtp_client_options *client,
                           const mail_smtp_server_options *server,
                           size_t (*slice)(void *arg, size_t most), void *arg)
{
    *pair = (smtp_pair){.slice = slice, .arg = arg};
    buffer_init(&pair->to_server, NULL, WIRE_LIMIT);
    buffer_init(&pair->to_client, NULL, WIRE_LIMIT);
    buffer_init(&pair->received, NULL, SIZE_MAX / 4);
    if (mail_smtp_client_create(&pair->client, client, NOW) != MAIL_OK ||
        mail_smtp_server_create(&pair->server, server, NOW) != MAIL_OK) {
        return "no memory";
    }
    return run(pair, &pair->is_ready);
}

const char *smtp_pair_send(smtp_pair *pair, const mail_envelope *envelope,
                           const mail_smtp_content *content, mail_span message)
{
    const char *problem;

    pair->is_ready = false;
    pair->is_done = false;
    pair->message = message;
    if (mail_smtp_client_begin(pair->client, NOW, envelope, content) != MAIL_OK) {
        return "the message was not begun";
    }
    problem = run(pair, &pair->is_done);
    if (problem == NULL && !pair->is_closed) {
        run(pair, &pair->is_ready);
    }
    return problem;
}

const char *smtp_pair_quit(smtp_pair *pair)
{
    mail_smtp_client_quit(pair->client, NOW);
    return run(pair, &pair->is_closed);
}

void smtp_pair_close(smtp_pair *pair)
{
    mail_smtp_client_destroy(pair->client);
    mail_smtp_server_destroy(pair->server);
    buffer_deinit(&pair->to_server);
    buffer_deinit(&pair->to_client);
    buffer_deinit(&pair->received);
}
