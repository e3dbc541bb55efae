/* SPDX-License-Identifier: MIT */
#include "net/smtp_connection.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"

#define CONNECT_TIMEOUT (30 * MAIL_SECOND)

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
    smtp_connection_forget_tls(conn);
    mem_free(conn->mem, conn->hostname, conn->opts.client.hostname.length + 1);
    mem_free(conn->mem, conn, sizeof(*conn));
}

/* Over: tells, unless the caller has gone already. */
static void tell_closed(mail_smtp_connection *conn)
{
    conn->state = SMTP_CONNECTION_CLOSED;
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

    if (conn->state == SMTP_CONNECTION_OPEN) {
        pump(conn);
        net_link_kick(&conn->link);
    }
}

/* What the link asks of its owner. */

static void on_event(mail_smtp_connection *conn, mail_smtp_client_event event)
{
    const mail_smtp_connection_ops *ops = conn->opts.ops;

    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
    case MAIL_SMTP_CLIENT_STARTTLS: /* once it has seen all that came in clear */
    case MAIL_SMTP_CLIENT_CLOSED:   /* the engine wants nothing more, so the link closes */
        break;
    case MAIL_SMTP_CLIENT_READY:
        if (!conn->was_ready) {
            smtp_connection_keep_session(conn);
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

    if (smtp_connection_awaits_handshake(conn, now)) {
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
        smtp_connection_start_tls(conn, now);
    }
}

static void connection_eof(void *arg, mail_time now)
{
    mail_smtp_connection *conn = arg;
    mail_smtp_client_event event = MAIL_SMTP_CLIENT_DONE;
    int code = MAIL_OK;

    smtp_connection_tell_failed_handshake(conn, now);
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

    if (wants != 0 && smtp_connection_is_asking(conn)) {
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
    conn->state = SMTP_CONNECTION_OPEN;
    net_link_run(&conn->link);
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
    code = smtp_connection_copy_tls(conn);
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
    case SMTP_CONNECTION_DIALING:
        net_dialer_deinit(&conn->dialer);
        release(conn);
        break;
    case SMTP_CONNECTION_OPEN:
        net_link_close(&conn->link);
        break;
    case SMTP_CONNECTION_CLOSED:
        release(conn);
        break;
    }
}

int mail_smtp_connection_send(mail_smtp_connection *conn, const mail_envelope *envelope,
                              const mail_smtp_content *content, mail_source *body)
{
    int code;

    assert(conn->state == SMTP_CONNECTION_OPEN && conn->source == NULL);
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
    if (conn->state == SMTP_CONNECTION_OPEN) {
        mail_smtp_client_quit(conn->engine, mail_loop_now(conn->loop));
        net_link_kick(&conn->link);
    }
}

void mail_smtp_connection_authenticate(mail_smtp_connection *conn,
                                       const mail_smtp_credentials *credentials)
{
    assert(conn->state == SMTP_CONNECTION_OPEN);
    if (mail_smtp_client_awaits_credentials(conn->engine)) {
        mail_smtp_client_authenticate(conn->engine, mail_loop_now(conn->loop), credentials);
        net_link_kick(&conn->link);
    }
}

void mail_smtp_connection_refuse(mail_smtp_connection *conn, const mail_reply *why)
{
    assert(conn->state == SMTP_CONNECTION_OPEN);
    if (conn->tls != NULL && net_tls_asks(conn->tls)) {
        net_tls_answer(conn->tls, false);
    }
    if (mail_smtp_client_awaits_tls(conn->engine) ||
        mail_smtp_client_awaits_credentials(conn->engine)) {
        mail_smtp_client_refuse(conn->engine, mail_loop_now(conn->loop), why);
        net_link_kick(&conn->link);
    }
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

bool mail_smtp_connection_was_ready(const mail_smtp_connection *conn)
{
    return conn->was_ready;
}

const mail_smtp_offer *mail_smtp_connection_offer(const mail_smtp_connection *conn)
{
    static const mail_smtp_offer none;

    return conn->engine != NULL ? mail_smtp_client_offer(conn->engine) : &none;
}
