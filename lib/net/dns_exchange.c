/* SPDX-License-Identifier: MIT */
#include "net/dns_exchange.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "dns/packet.h"

/*
 *     EXPECT_TRY ──timer──> AWAIT_PACKET ──answer──> done
 *         ^                   │     │ need TCP
 *         │ next server       │     v
 *         ├── time-out, error ┘   AWAIT_SENT ──sent──> AWAIT_STREAM ──answer──> done
 *         └────────── time-out, error ┴────────────────────┘
 *
 * Every try begins in the timer's callback, so that nothing calls back from within
 * `create` and failures in a row do not nest.
 */
typedef enum state {
    EXPECT_TRY,   /* the timer */
    AWAIT_PACKET, /* UDP */
    AWAIT_SENT,   /* TCP: the connection, then room for the question */
    AWAIT_STREAM, /* TCP: the answer */
} state;

#define DATAGRAMS_A_ROUND 16
#define LENGTH_OCTETS     2 /* before each packet on TCP (RFC 1035, section 4.2.2) */

struct dns_exchange {
    dns_exchange_config *config;
    dns_exchange_fn *fn;
    void *arg;
    mail_dns_question question;
    state state;
    size_t first_server;
    unsigned tries;    /* begun */
    unsigned refusals; /* by servers that answered, but had no answer */
    const char *reason;
    mail_timer *timer;
    int fd;
    mail_watch *watch;
    size_t sent;   /* of the packet and its length, on TCP */
    buffer stream; /* what came over TCP */
};

static void on_event(unsigned events, void *arg);

static void close_socket(dns_exchange *ex)
{
    ex->config->loop->ops->unwatch(ex->watch);
    ex->watch = NULL;
    if (ex->fd >= 0) {
        ex->config->net->ops->close(ex->config->net, ex->fd);
        ex->fd = -1;
    }
}

void dns_exchange_destroy(dns_exchange *ex)
{
    if (ex == NULL) {
        return;
    }
    close_socket(ex);
    ex->config->loop->ops->untimer(ex->timer);
    buffer_deinit(&ex->stream);
    mem_free(ex->config->mem, ex, sizeof(*ex));
}

static void set_timer(dns_exchange *ex, mail_duration after)
{
    ex->config->loop->ops->timer_set(ex->timer, mail_loop_now(ex->config->loop) + after);
}

static size_t server_of_try(const dns_exchange *ex)
{
    return (ex->first_server + ex->tries - 1) % ex->config->server_count;
}

static void finish(dns_exchange *ex, mail_dns_answer *answer)
{
    close_socket(ex);
    ex->config->loop->ops->timer_set(ex->timer, MAIL_NEVER);
    ex->fn(answer, ex->reason, ex->arg);
}

/* This try has come to nothing: the next one begins at once, if there is one. */
static void fail_try(dns_exchange *ex, const char *reason)
{
    ex->reason = reason;
    close_socket(ex);
    ex->state = EXPECT_TRY;
    set_timer(ex, 0);
}

static bool open_socket(dns_exchange *ex, int fd, state awaited)
{
    mail_loop *loop = ex->config->loop;

    if (fd < 0) {
        fail_try(ex,
                 fd == -EMFILE || fd == -ENFILE ? "no descriptor left" : "no way to the server");
        return false;
    }
    ex->fd = fd;
    if (loop->ops->watch(loop, fd, on_event, ex, &ex->watch) != MAIL_OK) {
        fail_try(ex, "out of memory");
        return false;
    }
    loop->ops->watch_set(ex->watch, awaited == AWAIT_SENT ? MAIL_WRITABLE : MAIL_READABLE);
    ex->state = awaited;
    set_timer(ex, ex->config->timeout);
    return true;
}

/* A datagram that the system has no room for is as lost as one on the way. */
static void send_datagram(dns_exchange *ex)
{
    mail_span packet = mail_dns_question_out(&ex->question);
    ssize_t n = ex->config->net->ops->write(ex->config->net, ex->fd, packet.data, packet.length);

    if (n < 0 && n != -EAGAIN) {
        fail_try(ex, "no way to the server");
    }
}

static void ask_by_udp(dns_exchange *ex)
{
    const mail_endpoint *server = &ex->config->servers[server_of_try(ex)];
    int fd = ex->config->net->ops->connect_udp(ex->config->net, server);

    if (open_socket(ex, fd, AWAIT_PACKET)) {
        send_datagram(ex);
    }
}

static void ask_by_tcp(dns_exchange *ex)
{
    const mail_endpoint *server = &ex->config->servers[server_of_try(ex)];

    close_socket(ex);
    buffer_clear(&ex->stream, 0);
    ex->sent = 0;
    (void)open_socket(ex, ex->config->net->ops->connect_tcp(ex->config->net, server), AWAIT_SENT);
}

static void on_timer(void *arg)
{
    dns_exchange *ex = arg;

    if (ex->state != EXPECT_TRY) {
        ex->reason = "no answer in time";
        close_socket(ex);
    }
    if (ex->tries == ex->config->tries || ex->refusals == ex->config->server_count) {
        finish(ex, NULL);
        return;
    }
    if (ex->tries++ > 0 && mail_dns_question_renew(&ex->question) != MAIL_OK) {
        fail_try(ex, "out of memory");
        return;
    }
    ask_by_udp(ex);
}

/* An answer that says no more than "I can't": another server may. */
static void take_answer(dns_exchange *ex, mail_dns_answer *answer)
{
    if (answer->status == MAIL_DNS_FAILED) {
        ex->refusals++;
        fail_try(ex, answer->reason);
        mail_dns_answer_destroy(answer);
        return;
    }
    ex->config->preferred = server_of_try(ex);
    finish(ex, answer);
}

/* Whether the exchange goes on to read from the same socket. */
static bool take_datagram(dns_exchange *ex, mail_span packet)
{
    mail_dns_event ev;

    if (mail_dns_question_feed(&ex->question, MAIL_DNS_UDP, packet, ex->config->mem, &ev) !=
        MAIL_OK) {
        fail_try(ex, "out of memory");
        return false;
    }
    switch (ev.type) {
    case MAIL_DNS_EV_IGNORED:
        return true;
    case MAIL_DNS_EV_ANSWER:
        take_answer(ex, ev.answer);
        return false;
    case MAIL_DNS_EV_NEED_TCP:
        ask_by_tcp(ex);
        return false;
    case MAIL_DNS_EV_AGAIN:
        send_datagram(ex);
        return ex->state == AWAIT_PACKET;
    }
    return false;
}

/* At most some at a time: a flood of forged packets must not hold up the loop. */
static void on_datagrams(dns_exchange *ex)
{
    char packet[DNS_PACKET_MAX];

    for (unsigned i = 0; i < DATAGRAMS_A_ROUND; i++) {
        ssize_t n = ex->config->net->ops->read(ex->config->net, ex->fd, packet, sizeof(packet));

        if (n == -EAGAIN) {
            return;
        }
        if (n < 0) {
            fail_try(ex, n == -ECONNREFUSED ? "nobody listens there" : "the network failed");
            return;
        }
        if (!take_datagram(ex, mail_span_of(packet, (size_t)n))) {
            return;
        }
    }
}

/* Sends what is missing of length and packet. */
static void on_writable(dns_exchange *ex)
{
    const mail_sockets *net = ex->config->net;
    mail_span packet = mail_dns_question_out(&ex->question);
    char bytes[LENGTH_OCTETS + MAIL_DNS_QUESTION_SIZE];
    size_t length = LENGTH_OCTETS + packet.length;
    ssize_t n;

    if (ex->sent == 0 && net->ops->connect_result(net, ex->fd) != 0) {
        fail_try(ex, "no way to the server over TCP");
        return;
    }
    bytes[0] = (char)(packet.length >> 8);
    bytes[1] = (char)packet.length;
    memcpy(bytes + LENGTH_OCTETS, packet.data, packet.length);
    n = net->ops->write(net, ex->fd, bytes + ex->sent, length - ex->sent);
    if (n < 0 && n != -EAGAIN) {
        fail_try(ex, "the connection was lost");
        return;
    }
    ex->sent += n > 0 ? (size_t)n : 0;
    if (ex->sent == length) {
        ex->state = AWAIT_STREAM;
        ex->config->loop->ops->watch_set(ex->watch, MAIL_READABLE);
    }
}

static void take_stream(dns_exchange *ex, mail_span packet)
{
    mail_dns_event ev;

    if (mail_dns_question_feed(&ex->question, MAIL_DNS_TCP, packet, ex->config->mem, &ev) !=
        MAIL_OK) {
        fail_try(ex, "out of memory");
        return;
    }
    switch (ev.type) {
    case MAIL_DNS_EV_ANSWER:
        take_answer(ex, ev.answer);
        return;
    case MAIL_DNS_EV_AGAIN:
        ask_by_tcp(ex);
        return;
    case MAIL_DNS_EV_IGNORED: /* nobody else can write into this connection */
    case MAIL_DNS_EV_NEED_TCP:
        fail_try(ex, ev.reason);
        return;
    }
}

/* How many octets the stream must have before there is something to judge. */
static size_t stream_length(const dns_exchange *ex)
{
    if (buffer_length(&ex->stream) < LENGTH_OCTETS) {
        return LENGTH_OCTETS;
    }
    return LENGTH_OCTETS + (size_t)dns_packet_u16(buffer_bytes(&ex->stream), 0);
}

static void on_stream(dns_exchange *ex)
{
    size_t need = stream_length(ex) - buffer_length(&ex->stream);
    char *to = buffer_space(&ex->stream, need);
    ssize_t n;

    if (to == NULL) {
        fail_try(ex, stream_length(ex) > LENGTH_OCTETS + DNS_PACKET_MAX ? "longer than 16 KiB"
                                                                        : "out of memory");
        return;
    }
    n = ex->config->net->ops->read(ex->config->net, ex->fd, to, need);
    if (n == 0 || (n < 0 && n != -EAGAIN)) {
        fail_try(ex, "the connection was lost");
        return;
    }
    buffer_added(&ex->stream, n > 0 ? (size_t)n : 0);
    if (buffer_length(&ex->stream) > LENGTH_OCTETS &&
        buffer_length(&ex->stream) == stream_length(ex)) {
        take_stream(ex, mail_span_from(buffer_bytes(&ex->stream), LENGTH_OCTETS));
    }
}

static void on_event(unsigned events, void *arg)
{
    dns_exchange *ex = arg;

    (void)events;
    switch (ex->state) {
    case EXPECT_TRY:
        return;
    case AWAIT_PACKET:
        on_datagrams(ex);
        return;
    case AWAIT_SENT:
        on_writable(ex);
        return;
    case AWAIT_STREAM:
        on_stream(ex);
        return;
    }
}

int dns_exchange_create(dns_exchange **out, dns_exchange_config *config, const char *name,
                        mail_dns_type type, dns_exchange_fn *fn, void *arg)
{
    mail_dns_question_options opts = {.no_0x20 = config->no_0x20, .random = config->random};
    dns_exchange *ex = mem_alloc(config->mem, sizeof(*ex));
    int code;

    if (ex == NULL) {
        return MAIL_ENOMEM;
    }
    ex->config = config;
    ex->fn = fn;
    ex->arg = arg;
    ex->state = EXPECT_TRY;
    ex->fd = -1;
    ex->first_server = config->preferred;
    buffer_init(&ex->stream, config->mem, LENGTH_OCTETS + DNS_PACKET_MAX);
    code = mail_dns_question_init(&ex->question, mail_span_text(name), type, &opts);
    if (code == MAIL_OK) {
        code = config->loop->ops->timer(config->loop, on_timer, ex, &ex->timer);
    }
    if (code != MAIL_OK) {
        dns_exchange_destroy(ex);
        return code;
    }
    set_timer(ex, 0);
    *out = ex;
    return MAIL_OK;
}
