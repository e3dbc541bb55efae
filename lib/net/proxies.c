/* SPDX-License-Identifier: MIT */
#include "net/proxies.h"

#include <errno.h>

#include "base/mem.h"
#include "net/proxy.h"

/* A proxy sends its header as soon as it is connected. */
#define PATIENCE (5 * MAIL_SECOND)

/* A connection whose header is not whole yet. */
typedef struct waiting {
    list link;
    net_proxies *proxies;
    mail_watch *watch;
    mail_timer *timer;
    int fd;
    mail_endpoint peer;
    void *arg;
    size_t length;
    char bytes[NET_PROXY_MAX];
} waiting;

int net_proxies_init(net_proxies *proxies, const mail_sockets *net, mail_loop *loop,
                     const mail_mem *mem, const mail_network *from, size_t from_count)
{
    *proxies = (net_proxies){.net = net, .loop = loop, .mem = mem, .patience = PATIENCE};
    list_init(&proxies->waiting);
    if (from_count == 0) {
        return MAIL_OK;
    }
    proxies->from = mem_alloc(mem, from_count * sizeof(*from));
    if (proxies->from == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(proxies->from, from, from_count * sizeof(*from));
    proxies->from_count = from_count;
    return MAIL_OK;
}

/* Frees it; the descriptor lives on. */
static void end_waiting(waiting *wt)
{
    net_proxies *proxies = wt->proxies;

    list_remove(&wt->link);
    proxies->waiting_count--;
    proxies->loop->ops->unwatch(wt->watch);
    proxies->loop->ops->untimer(wt->timer);
    mem_free(proxies->mem, wt, sizeof(*wt));
}

void net_proxies_close_all(net_proxies *proxies)
{
    while (proxies->waiting_count > 0) {
        waiting *wt = LIST_OWNER(proxies->waiting.next, waiting, link);
        int fd = wt->fd;

        end_waiting(wt);
        proxies->net->ops->close(proxies->net, fd);
    }
}

void net_proxies_deinit(net_proxies *proxies)
{
    net_proxies_close_all(proxies);
    mem_free(proxies->mem, proxies->from, proxies->from_count * sizeof(*proxies->from));
}

bool net_proxies_has(const net_proxies *proxies, const mail_endpoint *peer)
{
    for (size_t i = 0; i < proxies->from_count; i++) {
        if (mail_network_contains(&proxies->from[i], &peer->ip)) {
            return true;
        }
    }
    return false;
}

static void fail(waiting *wt, const char *why)
{
    net_proxies *proxies = wt->proxies;
    mail_endpoint peer = wt->peer;
    int fd = wt->fd;

    end_waiting(wt);
    proxies->net->ops->close(proxies->net, fd);
    proxies->unproxied(proxies, &peer, why);
}

/*
 * Loopback is whoever shares our host, and more is allowed there. A proxy on another host that
 * names its own loopback has named itself.
 */
static mail_endpoint client_of(const waiting *wt, const mail_endpoint *named)
{
    bool is_its_own = named->ip.family == 0 ||
                      (mail_ip_is_loopback(&named->ip) && !mail_ip_is_loopback(&wt->peer.ip));

    return is_its_own ? wt->peer : *named;
}

static void pass_on(waiting *wt, size_t used, const mail_endpoint *named)
{
    net_proxies *proxies = wt->proxies;
    mail_endpoint client = client_of(wt, named);
    mail_span rest = mail_span_of(wt->bytes + used, wt->length - used);
    char bytes[NET_PROXY_MAX];
    void *arg = wt->arg;
    int fd = wt->fd;

    if (net_proxy_is_header(rest)) {
        fail(wt, "a second PROXY header");
        return;
    }
    if (rest.length > 0) {
        memcpy(bytes, rest.data, rest.length);
    }
    end_waiting(wt);
    proxies->proxied(fd, &client, mail_span_of(bytes, rest.length), arg);
}

static void on_readable(unsigned events, void *arg)
{
    waiting *wt = arg;
    const mail_sockets *net = wt->proxies->net;
    mail_endpoint named;
    size_t used;
    ssize_t n = net->ops->read(net, wt->fd, wt->bytes + wt->length, NET_PROXY_MAX - wt->length);
    int code;

    (void)events;
    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        fail(wt, "closed before its PROXY header");
        return;
    }
    wt->length += (size_t)n;
    code = net_proxy_parse(mail_span_of(wt->bytes, wt->length), &used, &named);
    if (code == MAIL_OK) {
        pass_on(wt, used, &named);
    } else if (code != MAIL_EAGAIN) {
        fail(wt, code == MAIL_ELIMIT ? "too long a PROXY header" : "no good PROXY header");
    }
}

static void on_late(void *arg)
{
    fail(arg, "its PROXY header is late");
}

int net_proxies_await(net_proxies *proxies, int fd, const mail_endpoint *peer, void *arg)
{
    waiting *wt = mem_alloc(proxies->mem, sizeof(*wt));
    int code;

    if (wt == NULL) {
        return MAIL_ENOMEM;
    }
    wt->proxies = proxies;
    wt->fd = fd;
    wt->peer = *peer;
    wt->arg = arg;
    code = proxies->loop->ops->watch(proxies->loop, fd, on_readable, wt, &wt->watch);
    if (code == MAIL_OK) {
        code = proxies->loop->ops->timer(proxies->loop, on_late, wt, &wt->timer);
    }
    if (code != MAIL_OK) {
        proxies->loop->ops->unwatch(wt->watch);
        mem_free(proxies->mem, wt, sizeof(*wt));
        return code;
    }
    proxies->loop->ops->watch_set(wt->watch, MAIL_READABLE);
    proxies->loop->ops->timer_set(wt->timer, mail_loop_now(proxies->loop) + proxies->patience);
    list_push_back(&proxies->waiting, &wt->link);
    proxies->waiting_count++;
    return MAIL_OK;
}
