/* SPDX-License-Identifier: MIT */
/* The TLS of a connection: handshake, verification, resumption. */
#include "net/smtp_connection.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"

/*
 * The system's list of authorities is long: a worker reads it while the connection is made, and the
 * handshake waits for that.
 */
struct smtp_trust_reading {
    const mail_mem *mem;
    mail_tls_context *context;
    mail_smtp_connection *conn; /* NULL: it is gone */
};

static void end_reading(smtp_trust_reading *reading)
{
    mail_tls_context_unref(reading->context);
    mem_free(reading->mem, reading, sizeof(*reading));
}

static void read_trust(void *arg)
{
    mail_tls_context_read_trust(((smtp_trust_reading *)arg)->context);
}

static void on_trust(void *arg)
{
    smtp_trust_reading *reading = arg;
    mail_smtp_connection *conn = reading->conn;

    if (conn != NULL) {
        conn->reading = NULL;
        if (conn->state == SMTP_CONNECTION_OPEN) {
            net_link_soon(&conn->link);
        }
    }
    end_reading(reading);
}

static int begin_reading(mail_smtp_connection *conn)
{
    smtp_trust_reading *reading;
    int code;

    if (conn->opts.session.verification != MAIL_TLS_VERIFY_PKIX ||
        !mail_tls_context_awaits_trust(conn->opts.tls)) {
        return MAIL_OK;
    }
    reading = mem_alloc(conn->mem, sizeof(*reading));
    if (reading == NULL) {
        return MAIL_ENOMEM;
    }
    *reading = (smtp_trust_reading){conn->mem, mail_tls_context_ref(conn->opts.tls), conn};
    code = conn->loop->ops->work(conn->loop, read_trust, on_trust, reading);
    if (code != MAIL_OK) {
        end_reading(reading);
        return code;
    }
    conn->reading = reading;
    return MAIL_OK;
}

/* Pins and name are the caller's only until `open` returns. */
int smtp_connection_copy_tls(mail_smtp_connection *conn)
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
    return begin_reading(conn);
}

void smtp_connection_forget_tls(mail_smtp_connection *conn)
{
    if (conn->reading != NULL) {
        conn->reading->conn = NULL;
    }
    net_tls_destroy(conn->tls);
    mail_tls_context_unref(conn->opts.tls);
    mem_free(conn->mem, conn->pins, conn->opts.session.pin_count * sizeof(*conn->pins));
    mem_free(conn->mem, conn->name, conn->opts.session.name.length + 1);
}

/* Sessions are resumed with the same host, of which the same is demanded, and which knows the same. */
static size_t cache_key(const mail_smtp_connection *conn, char *out, size_t size)
{
    const mail_tls_options *session = &conn->opts.session;
    char at[MAIL_IP_TEXT_SIZE];
    int length;

    mail_endpoint_print(&conn->to, at);
    length = snprintf(out, size, "%s %.*s %d %d %d", at, (int)session->name.length, conn->name,
                      (int)session->verification, session->is_lenient, session->no_certificate);
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

bool smtp_connection_is_asking(const mail_smtp_connection *conn)
{
    return conn->tls != NULL ? net_tls_asks(conn->tls)
                             : conn->reading != NULL && mail_smtp_client_awaits_tls(conn->engine);
}

/* Only here the filter comes: what came in clear was seen by the engine, which wants none of it. */
void smtp_connection_start_tls(mail_smtp_connection *conn, mail_time now)
{
    mail_reply why = MAIL_REPLY(451, 4, 3, 0, "TLS cannot be begun for that name");
    int code;

    if (conn->reading != NULL) {
        return;
    }
    code = make_tls(conn);
    if (code != MAIL_OK) {
        if (code == MAIL_ENOMEM) {
            why.text = MAIL_SPAN("Out of memory on our side");
        }
        mail_smtp_client_refuse(conn->engine, now, &why);
        return;
    }
    net_link_set_filter(&conn->link, net_tls_filter(conn->tls));
}

static void tell_tls(mail_smtp_connection *conn, mail_time now)
{
    uint8_t binding[MAIL_TLS_BINDING_SIZE];
    mail_tls_facts facts;

    conn->is_private = true;
    mail_tls_facts_read(net_tls_session(conn->tls), &facts);
    mail_smtp_client_tls_started(conn->engine, now, net_tls_binding(conn->tls, binding),
                                 facts.is_verified);
}

/* True: nothing to be heard yet. */
bool smtp_connection_awaits_handshake(mail_smtp_connection *conn, mail_time now)
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
void smtp_connection_tell_failed_handshake(mail_smtp_connection *conn, mail_time now)
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
void smtp_connection_keep_session(mail_smtp_connection *conn)
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

void mail_smtp_connection_verify(mail_smtp_connection *conn)
{
    assert(conn->state == SMTP_CONNECTION_OPEN && conn->tls != NULL);
    if (net_tls_asks(conn->tls)) {
        net_tls_answer(conn->tls, true);
        net_link_soon(&conn->link);
    }
}

bool mail_smtp_connection_failed_in_tls(const mail_smtp_connection *conn)
{
    return conn->tls != NULL && !conn->has_heard;
}

const mail_tls *mail_smtp_connection_tls(const mail_smtp_connection *conn)
{
    return conn->tls != NULL ? net_tls_session(conn->tls) : NULL;
}
