/* SPDX-License-Identifier: MIT */
#include "net/door.h"

#define MAX_SESSIONS 10000

static void on_unproxied(net_proxies *proxies, const mail_endpoint *proxy, const char *why)
{
    const net_door *door = LIST_OWNER(proxies, net_door, proxies);

    net_door_limited(door, proxy, NET_LIMIT_PROXY, "connection refused", why);
}

int net_door_init(net_door *door, const net_door_options *opts)
{
    int code;

    *door = (net_door){.opts = *opts};
    if (door->opts.limits.sessions == 0) {
        door->opts.limits.sessions = MAX_SESSIONS;
    }
    code = net_proxies_init(&door->proxies, opts->net, opts->loop, opts->mem, opts->proxy_from,
                            opts->proxy_count);
    door->proxies.proxied = opts->serve;
    door->proxies.unproxied = on_unproxied;
    if (code == MAIL_OK) {
        code = net_quotas_init(&door->quotas, opts->mem, &opts->limits);
    }
    if (code == MAIL_OK) {
        code = net_limit_measure_init(&door->measure, opts->metrics);
    }
    return code;
}

void net_door_deinit(net_door *door)
{
    net_proxies_deinit(&door->proxies);
    net_quotas_deinit(&door->quotas);
}

void net_door_shut(net_door *door)
{
    door->is_shut = true;
    net_proxies_close_all(&door->proxies);
}

/* The client of a proxy is counted once it is known; till then all that there are count. */
static int await_proxy(net_door *door, int fd, const mail_endpoint *peer, void *arg)
{
    if (door->sessions + door->proxies.waiting_count >= door->opts.limits.sessions) {
        return MAIL_ELIMIT;
    }
    return net_proxies_await(&door->proxies, fd, peer, arg);
}

void net_door_pass(net_door *door, int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    if (is_last) {
        door->opts.refuse(fd, peer, NET_LIMIT_SESSIONS, arg);
    } else if (!net_proxies_has(&door->proxies, peer)) {
        door->opts.serve(fd, peer, MAIL_SPAN(""), arg);
    } else if (await_proxy(door, fd, peer, arg) != MAIL_OK) {
        door->opts.refuse(fd, peer, NET_LIMIT_SESSIONS, arg);
    }
}

static bool is_free(const net_door *door, const mail_endpoint *peer)
{
    return peer->ip.family == 0 ||
           (mail_ip_is_loopback(&peer->ip) && !door->opts.limits.includes_loopback);
}

int net_door_admit(net_door *door, const mail_endpoint *peer, net_guest *guest, net_limit *limit)
{
    int code = MAIL_OK;

    *guest = (net_guest){{NULL}};
    *limit = NET_LIMIT_NONE;
    if (door->sessions >= door->opts.limits.sessions || door->is_shut) {
        *limit = NET_LIMIT_SESSIONS;
    } else if (!is_free(door, peer)) {
        code = net_quotas_enter(&door->quotas, &peer->ip, mail_loop_now(door->opts.loop), guest,
                                limit);
    }
    if (*limit != NET_LIMIT_NONE) {
        return MAIL_ELIMIT;
    }
    door->sessions += code == MAIL_OK;
    return code;
}

void net_door_leave(net_door *door, net_guest *guest)
{
    net_quotas_leave(&door->quotas, guest);
    door->sessions--;
}

void net_door_turn_away(net_door *door, int fd, const mail_endpoint *peer, net_limit limit,
                        mail_span words)
{
    const mail_sockets *net = door->opts.net;

    if (words.length > 0) {
        net->ops->write(net, fd, words.data, words.length);
    }
    net->ops->close(net, fd);
    net_door_limited(door, peer, limit, "connection refused", net_limit_text(limit));
}

void net_door_log(const net_door *door, const mail_endpoint *peer, mail_log_level level,
                  const char *what, mail_log_field *fields, size_t count)
{
    char client[MAIL_IP_TEXT_SIZE] = "unix";

    if (peer->ip.family != 0) {
        mail_endpoint_print(peer, client);
    }
    fields[0] = (mail_log_field){"client", mail_span_text(client)};
    mail_log_line(door->opts.log, level, what, fields, count);
}

void net_door_log_handshake(const net_door *door, const mail_endpoint *peer, const net_tls *tls)
{
    mail_span why = net_tls_failure(tls);
    mail_log_field fields[] = {{.key = "client"},
                               {"reason", why.length > 0 ? why : MAIL_SPAN("broken off")}};

    net_door_log(door, peer, MAIL_LOG_INFO, "no tls", fields, MAIL_COUNT(fields));
}

mail_span net_door_identify(const net_door *door, const mail_endpoint *peer, const net_tls *tls,
                            char out[MAIL_TLS_ADDRESS_SIZE])
{
    const mail_tls *session = net_tls_session(tls);
    mail_log_field fields[] = {{.key = "client"}, {.key = "reason"}};
    mail_error why;

    if (mail_tls_peer_address(session, out, &why) == MAIL_OK) {
        return mail_span_text(out);
    }
    if (mail_tls_peer_certificate(session, 0).length > 0) {
        fields[1].value = mail_span_text(why.text);
        net_door_log(door, peer, MAIL_LOG_INFO, "certificate of no use", fields,
                     MAIL_COUNT(fields));
    }
    return MAIL_SPAN("");
}

void net_door_limited(const net_door *door, const mail_endpoint *peer, net_limit limit,
                      const char *what, const char *why)
{
    mail_log_field fields[] = {{.key = "client"}, {"reason", mail_span_text(why)}};

    mail_metric_count(door->measure.met[limit], 1);
    net_door_log(door, peer, MAIL_LOG_WARN, what, fields, MAIL_COUNT(fields));
}
