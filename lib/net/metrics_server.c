/* SPDX-License-Identifier: MIT */
#include <mail/metrics_server.h>

#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/link.h"
#include "net/listener.h"

#define MAX_CONNECTIONS 16
#define REQUEST_MAX     ((size_t)8 * 1024)
#define PATIENCE        (10 * MAIL_SECOND) /* for the request, and again for the reply to be read */

/* A connection: one request, one reply. */
typedef struct visitor {
    list link;
    mail_metrics_server *server;
    net_link net;
    mail_sink_memory out;
    size_t sent;
    bool is_answered;
    mail_time deadline;
} visitor;

struct mail_metrics_server {
    const mail_mem *mem;
    const mail_sockets *net;
    mail_loop *loop;
    mail_metrics *metrics;
    size_t max_connections;
    net_listener listener;
    list visitors;
    size_t count;
};

/* What a request is answered with, if not with the metrics. RFC 9110, section 15.5. */
typedef enum refusal {
    NONE,
    BAD_REQUEST,
    NOT_FOUND,
    NOT_ALLOWED,
    TOO_LONG,
    FAILED
} refusal;

static const char *const status_lines[] = {
    [NONE] = "200 OK",
    [BAD_REQUEST] = "400 Bad Request",
    [NOT_FOUND] = "404 Not Found",
    [NOT_ALLOWED] = "405 Method Not Allowed\r\nAllow: GET",
    [TOO_LONG] = "431 Request Header Fields Too Large",
    [FAILED] = "503 Service Unavailable",
};

static bool begins(mail_span text, const char *with)
{
    size_t length = strlen(with);

    return text.length >= length && memcmp(text.data, with, length) == 0;
}

/* RFC 9112, section 3: method SP target SP version. A query changes nothing. */
static refusal judge(mail_span request)
{
    const char *cr = memchr(request.data, '\r', request.length);
    mail_span line = mail_span_first(request, cr != NULL ? (size_t)(cr - request.data) : 0);
    const char *version = memmem(line.data, line.length, " HTTP/1.", 8);
    mail_span target;

    if (version == NULL || version - line.data < 4 || line.data + line.length != version + 9) {
        return BAD_REQUEST;
    }
    if (!begins(line, "GET ")) {
        return NOT_ALLOWED;
    }
    target = mail_span_of(line.data + 4, (size_t)(version - line.data) - 4);
    if (!begins(target, "/metrics")) {
        return NOT_FOUND;
    }
    return target.length == 8 || target.data[8] == '?' ? NONE : NOT_FOUND;
}

static int put_reply(visitor *vs, refusal why, mail_span body)
{
    char head[256];
    int length =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                 status_lines[why], body.length);
    int code = mail_sink_write(&vs->out.sink, mail_span_of(head, (size_t)length));

    return code == MAIL_OK ? mail_sink_write(&vs->out.sink, body) : code;
}

static int put_metrics(visitor *vs)
{
    mail_sink_memory body;
    int code;

    mail_sink_memory_init(&body, vs->server->mem, SIZE_MAX / 2);
    code = mail_metrics_print(vs->server->metrics, &body.sink);
    if (code == MAIL_OK) {
        code = put_reply(vs, NONE, mail_sink_memory_bytes(&body));
    }
    mail_sink_memory_deinit(&body);
    return code;
}

/* Whatever happens, there is one reply; without memory even for that there is none. */
static void answer(visitor *vs, refusal why, mail_time now)
{
    vs->is_answered = true;
    vs->deadline = now + PATIENCE;
    if (why == NONE && put_metrics(vs) == MAIL_OK) {
        return;
    }
    mail_sink_memory_deinit(&vs->out);
    mail_sink_memory_init(&vs->out, vs->server->mem, SIZE_MAX / 2);
    (void)put_reply(vs, why == NONE ? FAILED : why, MAIL_SPAN(""));
}

static void on_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    visitor *vs = arg;

    *used = 0;
    if (vs->is_answered) {
        *used = in.length;
    } else if (in.length > 0 && memmem(in.data, in.length, "\r\n\r\n", 4) != NULL) {
        *used = in.length;
        answer(vs, judge(in), now);
    } else if (in.length > REQUEST_MAX) {
        *used = in.length;
        answer(vs, TOO_LONG, now);
    }
}

static void on_eof(void *arg, mail_time now)
{
    visitor *vs = arg;

    (void)now;
    vs->is_answered = true;
}

static void on_tick(void *arg, mail_time now)
{
    visitor *vs = arg;

    (void)now;
    net_link_close(&vs->net);
}

static mail_span on_out(void *arg)
{
    const visitor *vs = arg;

    return mail_span_from(mail_sink_memory_bytes(&vs->out), vs->sent);
}

static void on_sent(void *arg, mail_time now, size_t n)
{
    visitor *vs = arg;

    (void)now;
    vs->sent += n;
}

static unsigned on_wants(void *arg)
{
    const visitor *vs = arg;

    if (!vs->is_answered) {
        return MAIL_WANTS_READ;
    }
    return on_out(arg).length > 0 ? MAIL_WANTS_WRITE : 0;
}

static mail_time on_deadline(void *arg)
{
    const visitor *vs = arg;

    return vs->deadline;
}

static void on_closed(void *arg)
{
    visitor *vs = arg;
    mail_metrics_server *server = vs->server;

    mail_sink_memory_deinit(&vs->out);
    list_remove(&vs->link);
    server->count--;
    mem_free(server->mem, vs, sizeof(*vs));
}

static int open_visitor(mail_metrics_server *server, int fd)
{
    static const net_link_ops ops = {on_feed, on_eof,   on_tick,     on_out,
                                     on_sent, on_wants, on_deadline, on_closed};
    visitor *vs = mem_alloc(server->mem, sizeof(*vs));
    int code;

    if (vs == NULL) {
        return MAIL_ENOMEM;
    }
    vs->server = server;
    vs->deadline = mail_loop_now(server->loop) + PATIENCE;
    mail_sink_memory_init(&vs->out, server->mem, SIZE_MAX / 2);
    code = net_link_init(&vs->net, server->net, server->loop, server->mem, fd, &ops, vs);
    if (code != MAIL_OK) {
        mem_free(server->mem, vs, sizeof(*vs));
        return code;
    }
    list_push_back(&server->visitors, &vs->link);
    server->count++;
    net_link_linger(&vs->net);
    net_link_run(&vs->net);
    return MAIL_OK;
}

static void on_accept(int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    mail_metrics_server *server = arg;

    (void)peer;
    if (is_last || server->count >= server->max_connections ||
        open_visitor(server, fd) != MAIL_OK) {
        server->net->ops->close(server->net, fd);
    }
}

static int start(mail_metrics_server *server, const mail_endpoint *at, mail_endpoint *bound,
                 mail_error *err)
{
    char where[MAIL_IP_TEXT_SIZE];
    mail_endpoint got;
    int fd = server->net->ops->listen_tcp(server->net, at, 0, &got);
    int code;

    where[mail_endpoint_print(at, where)] = '\0';
    if (fd < 0) {
        return mail_error_set(err, mail_error_from_errno(-fd), "%s: %s", where, strerror(-fd));
    }
    code = net_listener_init(&server->listener, server->net, server->loop, fd, on_accept, server);
    if (code != MAIL_OK) {
        server->net->ops->close(server->net, fd);
        return mail_error_set(err, code, "%s: %s", where, mail_strerror(code));
    }
    if (bound != NULL) {
        *bound = got;
    }
    return MAIL_OK;
}

int mail_metrics_server_create(mail_metrics_server **out, mail_loop *loop,
                               const mail_metrics_server_options *opts, const mail_endpoint *at,
                               mail_endpoint *bound, mail_error *err)
{
    mail_metrics_server_options all = {.size = 0};
    mail_metrics_server *server;
    int code;

    if (opts->size > sizeof(all)) {
        return mail_error_set(err, MAIL_EINVAL, "metrics options of a newer library");
    }
    memcpy(&all, opts, opts->size);
    if (all.metrics == NULL) {
        return mail_error_set(err, MAIL_EINVAL, "there are no metrics to be served");
    }
    server = mem_alloc(all.mem, sizeof(*server));
    if (server == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    server->mem = all.mem;
    server->loop = loop;
    server->metrics = all.metrics;
    server->net = all.sockets != NULL ? all.sockets : &net_system_sockets;
    server->max_connections = all.max_connections > 0 ? all.max_connections : MAX_CONNECTIONS;
    list_init(&server->visitors);
    code = start(server, at, bound, err);
    if (code != MAIL_OK) {
        mem_free(server->mem, server, sizeof(*server));
        return code;
    }
    *out = server;
    return MAIL_OK;
}

void mail_metrics_server_destroy(mail_metrics_server *server)
{
    if (server == NULL) {
        return;
    }
    net_listener_deinit(&server->listener);
    while (!list_is_empty(&server->visitors)) {
        net_link_close(&LIST_OWNER(server->visitors.next, visitor, link)->net);
    }
    mem_free(server->mem, server, sizeof(*server));
}
