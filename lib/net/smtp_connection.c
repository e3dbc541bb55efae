/* SPDX-License-Identifier: MIT */
#include <mail/smtp_connection.h>

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/dialer.h"
#include "net/link.h"
#include "net/tls_filter.h"

#define CONNECT_TIMEOUT (30 * MAIL_SECOND)

/*
 *   DIALING --connected--> OPEN --over, lost--> CLOSED      (on_closed at the end of it)
 *      \--------refused, too late----------------^
 *
 * TLS begins within OPEN, once the engine says so: `tls` is there, and the link passes all
 * through it. What the engine would hear waits until the handshake is done.
 *
 * A callback may destroy the connection in the middle of a turn of its link. The link
 * then ends the turn, says that it is closed, and only there the memory goes.
 */
typedef enum state {
    DIALING,
    OPEN,
    CLOSED
} state;

struct mail_smtp_connection {
    mail_loop *loop;
    mail_smtp_connection_options opts;
    const mail_mem *mem;
    char *hostname; /* of opts.client, copied until the engine has it */
    state state;
    mail_endpoint to; /* ip.family 0: a unix socket */
    net_dialer dialer;
    net_link link;
    mail_smtp_client *engine; /* from OPEN on */
    mail_source *source;      /* of the message under way, until it is read */
    bool pumping;             /* the engine wants the message */
    net_tls *tls;             /* from the handshake on */
    bool is_private;          /* it is done */
    bool has_heard;           /* something, inside TLS */
    bool has_asked;           /* on_verify was called */
    uint8_t (*pins)[32];      /* of opts.session, copied, as is its name */
    char *name;
    bool leaves; /* QUIT as soon as possible */
    bool was_ready;
    bool is_destroyed;
    mail_reply failure; /* ours; code 0: ask the engine */
    char failure_text[128];
};

static void set_failure(mail_smtp_connection *conn, uint16_t subject, uint16_t detail,
                        const char *what, const char *why)
{
    int length = snprintf(conn->failure_text, sizeof(conn->failure_text), "%s: %s", what, why);

    if (length >= (int)sizeof(conn->failure_text)) {
        length = (int)sizeof(conn->failure_text) - 1;
    }
    conn->failure = (mail_reply){.code = 451, .status = {4, subject, detail}};
    conn->failure.text = mail_span_of(conn->failure_text, (size_t)length);
}

static void close_source(mail_smtp_connection *conn)
{
    mail_source *source = conn->source;

    conn->source = NULL;
    conn->pumping = false;
    if (source != NULL) {
        mail_source_close(source);
    }
}

static void release(mail_smtp_connection *conn)
{
    close_source(conn);
    mail_smtp_client_destroy(conn->engine);
    net_tls_destroy(conn->tls);
    mail_tls_context_unref(conn->opts.tls);
    mem_free(conn->mem, conn->pins, conn->opts.session.pin_count * sizeof(*conn->pins));
    mem_free(conn->mem, conn->name, conn->opts.session.name.length + 1);
    mem_free(conn->mem, conn->hostname, conn->opts.client.hostname.length + 1);
    mem_free(conn->mem, conn, sizeof(*conn));
}

/* Over: tells, unless the caller has gone already. */
static void tell_closed(mail_smtp_connection *conn)
{
    conn->state = CLOSED;
    close_source(conn);
    if (conn->is_destroyed) {
        release(conn);
        return;
    }
    conn->opts.ops->on_closed(conn, conn->opts.arg);
}

/* The message. */

/* One step of it from the source to the engine; false: that was all for now. */
static bool pump_step(mail_smtp_connection *conn)
{
    mail_sink *body = mail_smtp_client_body(conn->engine);
    size_t room = mail_sink_room(body);
    mail_span bytes;
    int code;

    if (room == 0) {
        return false;
    }
    code = mail_source_peek(conn->source, &bytes);
    if (code == MAIL_EAGAIN) {
        return false;
    }
    if (code == MAIL_OK && bytes.length == 0) {
        mail_sink_finish(body, NULL, NULL); /* refused, it is aborted: EV_DONE tells */
        close_source(conn);
        return true;
    }
    if (code == MAIL_OK) {
        bytes.length = bytes.length < room ? bytes.length : room;
        code = mail_sink_write(body, bytes);
        mail_source_drop(conn->source, bytes.length);
    }
    if (code != MAIL_OK) {
        mail_sink_abort(body);
        close_source(conn);
    }
    return true;
}

/* Moves of the message what there is room for; true: the engine may have news. */
static bool pump(mail_smtp_connection *conn)
{
    bool began = conn->pumping;

    while (conn->pumping && pump_step(conn)) {
    }
    return began && !conn->pumping;
}

static void on_bytes(void *arg)
{
    mail_smtp_connection *conn = arg;

    if (conn->state == OPEN) {
        pump(conn);
        net_link_kick(&conn->link);
    }
}

/* TLS. */

/* Sessions are resumed with the same host, of which the same is demanded. */
static size_t cache_key(const mail_smtp_connection *conn, char *out, size_t size)
{
    const mail_tls_options *session = &conn->opts.session;
    char at[MAIL_IP_TEXT_SIZE];
    int length;

    mail_endpoint_print(&conn->to, at);
    length = snprintf(out, size, "%s %.*s %d %d", at, (int)session->name.length, conn->name,
                      (int)session->verification, session->is_lenient);
    return (size_t)length < size ? (size_t)length : size - 1;
}

#define CACHE_KEY_SIZE 400

/* A session's secrets are kept only by a cache that can tell hosts apart: sockets with a path go without. */
static bool has_cache(const mail_smtp_connection *conn)
{
    return conn->opts.cache != NULL && conn->to.ip.family != 0;
}

static int make_tls(mail_smtp_connection *conn)
{
    mail_tls_options opts = conn->opts.session;
    char key[CACHE_KEY_SIZE];
    char session[MAIL_TLS_RESUMPTION_SIZE];
    size_t length;
    int code;

    opts.mem = conn->mem;
    opts.server = false;
    opts.resume = mail_span_of(NULL, 0);
    if (has_cache(conn) && mail_tls_cache_take(conn->opts.cache, mail_loop_now(conn->loop),
                                               mail_span_of(key, cache_key(conn, key, sizeof(key))),
                                               session, sizeof(session), &length) == MAIL_OK) {
        opts.resume = mail_span_of(session, length);
    }
    code = net_tls_create(&conn->tls, conn->opts.tls, &opts);
    explicit_bzero(session, opts.resume.length);
    return code;
}

/* Only here the filter comes: what came in clear was seen by the engine, which wants none of it. */
static void start_tls(mail_smtp_connection *conn, mail_time now)
{
    const mail_reply why = MAIL_REPLY(451, 4, 3, 0, "Out of memory on our side");

    if (make_tls(conn) != MAIL_OK) {
        mail_smtp_client_refuse(conn->engine, now, &why);
        return;
    }
    net_link_set_filter(&conn->link, net_tls_filter(conn->tls));
}

static void tell_tls(mail_smtp_connection *conn, mail_time now)
{
    const mail_tls *tls = net_tls_session(conn->tls);
    uint8_t binding[MAIL_TLS_BINDING_SIZE];
    mail_span shown = {0};
    mail_tls_facts facts;

    conn->is_private = true;
    if (mail_tls_binding(tls, binding) == MAIL_OK) {
        shown = mail_span_of(binding, sizeof(binding));
    }
    mail_tls_facts_read(tls, &facts);
    mail_smtp_client_tls_started(conn->engine, now, shown, facts.is_verified);
}

/* True: nothing to be heard yet. */
static bool awaits_handshake(mail_smtp_connection *conn, mail_time now)
{
    if (conn->tls == NULL || conn->is_private) {
        return false;
    }
    if (net_tls_asks(conn->tls) && !conn->has_asked) {
        conn->has_asked = true;
        conn->opts.ops->on_verify(conn, conn->opts.arg);
    }
    if (net_tls_is_ready(conn->tls) && mail_smtp_client_awaits_tls(conn->engine)) {
        tell_tls(conn, now);
    }
    return mail_smtp_client_awaits_tls(conn->engine);
}

/* The link has said that no more will come: in the handshake, TLS may know better why. */
static void tell_failed_handshake(mail_smtp_connection *conn, mail_time now)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    mail_reply why = {.code = 451, .status = {4, 7, 5}};
    mail_span reason;
    int length;

    if (conn->tls == NULL || conn->is_private) {
        return;
    }
    reason = mail_tls_failure(net_tls_session(conn->tls));
    if (reason.length > 0) {
        length = snprintf(text, sizeof(text), "TLS failed: %.*s", (int)reason.length, reason.data);
        why.text = mail_span_of(text, (size_t)length);
        mail_smtp_client_refuse(conn->engine, now, &why);
    }
}

/* TLS 1.3 gives the key only with the first words that are said inside. */
static void keep_session(mail_smtp_connection *conn)
{
    char session[MAIL_TLS_RESUMPTION_SIZE];
    char key[CACHE_KEY_SIZE];
    size_t length;

    if (conn->is_private && has_cache(conn) &&
        mail_tls_resumption(net_tls_session(conn->tls), session, sizeof(session), &length) ==
            MAIL_OK) {
        mail_tls_cache_put(conn->opts.cache, mail_loop_now(conn->loop),
                           mail_span_of(key, cache_key(conn, key, sizeof(key))),
                           mail_span_of(session, length));
        explicit_bzero(session, length);
    }
}

/* What the link asks of its owner. */

static void on_event(mail_smtp_connection *conn, mail_smtp_client_event event)
{
    const mail_smtp_connection_ops *ops = conn->opts.ops;

    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
    case MAIL_SMTP_CLIENT_STARTTLS: /* once it has seen all that came in clear */
    case MAIL_SMTP_CLIENT_CLOSED: /* the engine wants nothing more, so the link closes */
        break;
    case MAIL_SMTP_CLIENT_READY:
        if (!conn->was_ready) {
            keep_session(conn);
        }
        conn->was_ready = true;
        ops->on_ready(conn, conn->opts.arg);
        break;
    case MAIL_SMTP_CLIENT_BODY:
        conn->pumping = true;
        break;
    case MAIL_SMTP_CLIENT_DONE:
        close_source(conn);
        ops->on_done(conn, conn->opts.arg);
        break;
    case MAIL_SMTP_CLIENT_AUTH:
        ops->on_auth(conn, conn->opts.arg);
        break;
    }
}

/* MAIL_ENOMEM from the engine is told by it as the end of the session: no more need be done here. */
static void connection_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    mail_smtp_connection *conn = arg;
    mail_smtp_client_event event;
    bool goes_on = true;

    if (awaits_handshake(conn, now)) {
        return;
    }
    conn->has_heard |= conn->is_private && in.length > 0;
    while (goes_on && !conn->is_destroyed) {
        size_t n;
        int code = mail_smtp_client_feed(conn->engine, now, mail_span_from(in, *used), &n, &event);

        *used += n;
        on_event(conn, event);
        goes_on = code != MAIL_OK || event != MAIL_SMTP_CLIENT_NONE;
        if (!goes_on && !conn->is_destroyed) {
            goes_on = pump(conn);
        }
    }
    if (!conn->is_destroyed && conn->tls == NULL && mail_smtp_client_awaits_tls(conn->engine)) {
        start_tls(conn, now);
    }
}

static void connection_eof(void *arg, mail_time now)
{
    mail_smtp_connection *conn = arg;
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_DONE;
    int code = MAIL_OK;

    tell_failed_handshake(conn, now);
    while (!conn->is_destroyed && (event != MAIL_SMTP_CLIENT_NONE || code != MAIL_OK)) {
        code = mail_smtp_client_eof(conn->engine, &event);
        on_event(conn, event);
    }
}

static void connection_tick(void *arg, mail_time now)
{
    mail_smtp_connection *conn = arg;
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_DONE;
    int code = MAIL_OK;

    while (!conn->is_destroyed && (event != MAIL_SMTP_CLIENT_NONE || code != MAIL_OK)) {
        code = mail_smtp_client_tick(conn->engine, now, &event);
        on_event(conn, event);
    }
}

static mail_span connection_out(void *arg)
{
    return mail_smtp_client_out(((mail_smtp_connection *)arg)->engine);
}

static void connection_sent(void *arg, mail_time now, size_t n)
{
    mail_smtp_connection *conn = arg;

    mail_smtp_client_sent(conn->engine, now, n);
    pump(conn);
}

static unsigned connection_wants(void *arg)
{
    const mail_smtp_connection *conn = arg;
    unsigned wants = mail_smtp_client_wants(conn->engine);
    bool is_asking = conn->tls != NULL && net_tls_asks(conn->tls);

    if (wants != 0 && is_asking) {
        return (wants & ~(unsigned)MAIL_WANTS_READ) | MAIL_WANTS_ANSWER;
    }
    return wants;
}

static mail_time connection_deadline(void *arg)
{
    return mail_smtp_client_deadline(((mail_smtp_connection *)arg)->engine);
}

static void connection_closed(void *arg)
{
    tell_closed(arg);
}

static const net_link_ops connection_ops = {
    .feed = connection_feed,
    .eof = connection_eof,
    .tick = connection_tick,
    .out = connection_out,
    .sent = connection_sent,
    .wants = connection_wants,
    .deadline = connection_deadline,
    .closed = connection_closed,
};

/* Dialing. */

static int begin_session(mail_smtp_connection *conn, int fd)
{
    mail_time now = mail_loop_now(conn->loop);
    int code = mail_smtp_client_create(&conn->engine, &conn->opts.client, now);

    if (code != MAIL_OK) {
        return code;
    }
    if (conn->leaves) {
        mail_smtp_client_quit(conn->engine, now);
    }
    return net_link_init(&conn->link, conn->opts.sockets, conn->loop, conn->mem, fd,
                         &connection_ops, conn);
}

static void on_dialed(int result, void *arg)
{
    mail_smtp_connection *conn = arg;
    const mail_sockets *net = conn->opts.sockets != NULL ? conn->opts.sockets : &net_system_sockets;
    int code;

    if (result < 0) {
        set_failure(conn, 4, 1, "Cannot connect", strerror(-result));
        tell_closed(conn);
        return;
    }
    code = begin_session(conn, result);
    if (code != MAIL_OK) {
        net->ops->close(net, result);
        set_failure(conn, 3, 0, "Cannot begin a session", mail_strerror(code));
        tell_closed(conn);
        return;
    }
    conn->state = OPEN;
    net_link_run(&conn->link);
}

/* Pins and name are the caller's only until `open` returns. */
static int copy_tls_options(mail_smtp_connection *conn)
{
    mail_tls_options *session = &conn->opts.session;
    const uint8_t(*pins)[32] = session->pins;
    mail_span name = session->name;
    size_t pin_count = session->pin_count;

    session->pins = NULL;
    session->pin_count = 0;
    session->name = mail_span_of(NULL, 0);
    if (conn->opts.client.tls == MAIL_SMTP_TLS_NONE) {
        conn->opts.tls = NULL;
        return MAIL_OK;
    }
    if (conn->opts.tls == NULL) {
        return MAIL_EINVAL;
    }
    mail_tls_context_ref(conn->opts.tls);
    conn->name = mem_text(conn->mem, name);
    conn->pins = pin_count > 0 ? mem_alloc(conn->mem, pin_count * sizeof(*pins)) : NULL;
    if (conn->name == NULL || (conn->pins == NULL && pin_count > 0)) {
        mem_free(conn->mem, conn->name, conn->name != NULL ? name.length + 1 : 0);
        mem_free(conn->mem, conn->pins, pin_count * sizeof(*pins));
        conn->name = NULL;
        conn->pins = NULL;
        return MAIL_ENOMEM;
    }
    if (pin_count > 0) {
        memcpy(conn->pins, pins, pin_count * sizeof(*pins));
    }
    session->name = mail_span_of(conn->name, name.length);
    session->pins = (const uint8_t(*)[32])conn->pins;
    session->pin_count = pin_count;
    return MAIL_OK;
}

/* The engine is made once connected, so that its patience begins there; bad options are told at once. */
static int copy_client_options(mail_smtp_connection *conn)
{
    mail_smtp_client *engine;
    int code = mail_smtp_client_create(&engine, &conn->opts.client, 0);

    if (code != MAIL_OK) {
        return code;
    }
    mail_smtp_client_destroy(engine);
    conn->hostname = mem_text(conn->mem, conn->opts.client.hostname);
    if (conn->hostname == NULL) {
        return MAIL_ENOMEM;
    }
    conn->opts.client.hostname.data = conn->hostname;
    return MAIL_OK;
}

static int open_connection(mail_smtp_connection **out, mail_loop *loop, const mail_endpoint *to,
                           const char *path, const mail_smtp_connection_options *opts)
{
    mail_smtp_connection *conn;
    int code;

    if (opts->size == 0 || opts->size > sizeof(*opts)) {
        return MAIL_EINVAL;
    }
    conn = mem_alloc(opts->client.mem, sizeof(*conn));
    if (conn == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(&conn->opts, opts, opts->size);
    conn->loop = loop;
    conn->mem = opts->client.mem;
    if (to != NULL) {
        conn->to = *to;
    }
    if (conn->opts.connect_timeout == 0) {
        conn->opts.connect_timeout = CONNECT_TIMEOUT;
    }
    code = copy_tls_options(conn);
    if (code == MAIL_OK) {
        code = copy_client_options(conn);
    }
    if (code == MAIL_OK) {
        code = net_dialer_init(&conn->dialer, conn->opts.sockets, loop, to, path,
                               conn->opts.connect_timeout, on_dialed, conn);
    }
    if (code != MAIL_OK) {
        release(conn);
        return code;
    }
    *out = conn;
    return MAIL_OK;
}

int mail_smtp_connection_open(mail_smtp_connection **out, mail_loop *loop, const mail_endpoint *to,
                              const mail_smtp_connection_options *opts)
{
    return open_connection(out, loop, to, NULL, opts);
}

int mail_smtp_connection_open_unix(mail_smtp_connection **out, mail_loop *loop, const char *path,
                                   const mail_smtp_connection_options *opts)
{
    return open_connection(out, loop, NULL, path, opts);
}

void mail_smtp_connection_destroy(mail_smtp_connection *conn)
{
    if (conn == NULL) {
        return;
    }
    conn->is_destroyed = true;
    close_source(conn);
    switch (conn->state) {
    case DIALING:
        net_dialer_deinit(&conn->dialer);
        release(conn);
        break;
    case OPEN:
        net_link_close(&conn->link);
        break;
    case CLOSED:
        release(conn);
        break;
    }
}

int mail_smtp_connection_send(mail_smtp_connection *conn, const mail_envelope *envelope,
                              const mail_smtp_content *content, mail_source *body)
{
    int code;

    assert(conn->state == OPEN && conn->source == NULL);
    code = mail_smtp_client_begin(conn->engine, mail_loop_now(conn->loop), envelope, content);
    if (code != MAIL_OK) {
        return code;
    }
    conn->source = body;
    body->on_bytes = on_bytes;
    body->on_bytes_arg = conn;
    net_link_kick(&conn->link);
    return MAIL_OK;
}

mail_outcome mail_smtp_connection_outcome(const mail_smtp_connection *conn, size_t index)
{
    return mail_smtp_client_outcome(conn->engine, index);
}

void mail_smtp_connection_quit(mail_smtp_connection *conn)
{
    conn->leaves = true;
    if (conn->state == OPEN) {
        mail_smtp_client_quit(conn->engine, mail_loop_now(conn->loop));
        net_link_kick(&conn->link);
    }
}

void mail_smtp_connection_authenticate(mail_smtp_connection *conn,
                                       const mail_smtp_credentials *credentials)
{
    assert(conn->state == OPEN);
    mail_smtp_client_authenticate(conn->engine, mail_loop_now(conn->loop), credentials);
    net_link_kick(&conn->link);
}

void mail_smtp_connection_verify(mail_smtp_connection *conn)
{
    assert(conn->state == OPEN && net_tls_asks(conn->tls));
    net_tls_answer(conn->tls, true);
    net_link_soon(&conn->link);
}

void mail_smtp_connection_refuse(mail_smtp_connection *conn, const mail_reply *why)
{
    assert(conn->state == OPEN);
    if (conn->tls != NULL && net_tls_asks(conn->tls)) {
        net_tls_answer(conn->tls, false);
    }
    mail_smtp_client_refuse(conn->engine, mail_loop_now(conn->loop), why);
    net_link_kick(&conn->link);
}

mail_reply mail_smtp_connection_failure(const mail_smtp_connection *conn)
{
    if (conn->failure.code != 0 || conn->engine == NULL) {
        return conn->failure;
    }
    return mail_smtp_client_failure(conn->engine);
}

bool mail_smtp_connection_failure_is_local(const mail_smtp_connection *conn)
{
    return conn->failure.code != 0 || conn->engine == NULL ||
           mail_smtp_client_failure_is_local(conn->engine);
}

bool mail_smtp_connection_failed_in_tls(const mail_smtp_connection *conn)
{
    return conn->tls != NULL && !conn->has_heard;
}

const mail_tls *mail_smtp_connection_tls(const mail_smtp_connection *conn)
{
    return conn->tls != NULL ? net_tls_session(conn->tls) : NULL;
}

bool mail_smtp_connection_was_ready(const mail_smtp_connection *conn)
{
    return conn->was_ready;
}

const mail_smtp_offer *mail_smtp_connection_offer(const mail_smtp_connection *conn)
{
    static const mail_smtp_offer none;

    return conn->engine != NULL ? mail_smtp_client_offer(conn->engine) : &none;
}
