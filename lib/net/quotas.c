/* SPDX-License-Identifier: MIT */
#include "net/quotas.h"

#include <assert.h>

#include "base/mem.h"
#include "base/random.h"

/* Parties without a session that are remembered, 5 MB of them. */
#define MAX_IDLE 65536

#define SESSIONS_PER_CLIENT  200
#define SESSIONS_PER_NETWORK 1000

static const struct {
    const char *label;
    const char *text;
} names[NET_LIMITS] = {
    [NET_LIMIT_NONE] = {"none", "no limit"},
    [NET_LIMIT_SESSIONS] = {"sessions", "too many connections"},
    [NET_LIMIT_CLIENT_SESSIONS] = {"client_sessions", "too many connections of this client"},
    [NET_LIMIT_NETWORK_SESSIONS] = {"network_sessions", "too many connections of this network"},
    [NET_LIMIT_CONNECTIONS] = {"connections", "too many connections of late"},
    [NET_LIMIT_MESSAGES] = {"messages", "too many messages of late"},
    [NET_LIMIT_RECIPIENTS] = {"recipients", "too many recipients of late"},
    [NET_LIMIT_SESSION] = {"session", "too much in one session"},
    [NET_LIMIT_TIME] = {"time", "too slow"},
    [NET_LIMIT_MANNERS] = {"manners", "another protocol, or out of turn"},
    [NET_LIMIT_PROXY] = {"proxy", "no good PROXY header"},
};

mail_ip net_host_of(const mail_ip *ip)
{
    mail_ip host = {.family = ip->family};

    memcpy(host.bytes, ip->bytes, ip->family == 6 ? 8 : 4);
    return host;
}

const char *net_limit_text(net_limit limit)
{
    return names[limit].text;
}

int net_limit_measure_init(net_limit_measure *measure, mail_metrics *metrics)
{
    int code = MAIL_OK;

    *measure = (net_limit_measure){{NULL}};
    for (size_t i = NET_LIMIT_NONE + 1; i < NET_LIMITS && code == MAIL_OK; i++) {
        const mail_metric_about about = {MAIL_METRIC_COUNTER, "libmail_limited_total",
                                         "Clients that met a limit, by which it was.", "limit",
                                         names[i].label};

        code = mail_metrics_add(metrics, &about, &measure->met[i]);
    }
    return code;
}

static int read_rate(mail_rate *rate, const mail_rate_options *given, uint32_t burst,
                     mail_duration interval)
{
    mail_rate_options opts = *given;

    if (opts.interval < 0) {
        return MAIL_OK;
    }
    if (opts.interval == 0) {
        opts = (mail_rate_options){burst, interval};
    }
    return mail_rate_init(rate, &opts);
}

int net_quotas_init(net_quotas *quotas, const mail_mem *mem, const mail_limits *limits)
{
    const struct {
        net_party party;
        net_resource resource;
        const mail_rate_options *given;
        uint32_t burst;
        mail_duration per;
    } rows[] = {
        {NET_CLIENT, NET_CONNECTIONS, &limits->client_connections, 1200, MAIL_MINUTE},
        {NET_NETWORK, NET_CONNECTIONS, &limits->network_connections, 6000, MAIL_MINUTE},
        {NET_CLIENT, NET_MESSAGES, &limits->client_messages, 30000, 10 * MAIL_MINUTE},
        {NET_CLIENT, NET_RECIPIENTS, &limits->client_recipients, 100000, 10 * MAIL_MINUTE},
        {NET_ACCOUNT, NET_MESSAGES, &limits->account_messages, 3000, MAIL_HOUR},
        {NET_ACCOUNT, NET_RECIPIENTS, &limits->account_recipients, 10000, MAIL_HOUR},
    };
    int code = MAIL_OK;

    *quotas = (net_quotas){.mem = mem};
    quotas->max_sessions[NET_CLIENT] =
        limits->sessions_per_client > 0 ? limits->sessions_per_client : SESSIONS_PER_CLIENT;
    quotas->max_sessions[NET_NETWORK] =
        limits->sessions_per_network > 0 ? limits->sessions_per_network : SESSIONS_PER_NETWORK;
    quotas->max_sessions[NET_ACCOUNT] = UINT32_MAX;
    random_fill(NULL, &quotas->seed, sizeof(quotas->seed));
    table_init(&quotas->by_key, mem);
    list_init(&quotas->idle);
    for (size_t i = 0; i < MAIL_COUNT(rows) && code == MAIL_OK; i++) {
        code = read_rate(&quotas->fresh[rows[i].party][rows[i].resource], rows[i].given,
                         rows[i].burst, rows[i].per / rows[i].burst);
    }
    return code;
}

static void forget(net_quotas *quotas, net_usage *usage)
{
    list_remove(&usage->link);
    quotas->idle_count--;
    table_remove(&quotas->by_key, &usage->entry);
    mem_free(quotas->mem, usage, sizeof(*usage));
}

void net_quotas_deinit(net_quotas *quotas)
{
    while (quotas->idle_count > 0) {
        forget(quotas, LIST_OWNER(quotas->idle.next, net_usage, link));
    }
    assert(quotas->by_key.count == 0);
    table_deinit(&quotas->by_key);
}

static bool is_full(const net_usage *usage, mail_time now)
{
    bool full = true;

    for (size_t i = 0; i < NET_RESOURCES; i++) {
        full = full && usage->full_at[i] <= now;
    }
    return full;
}

/* More than come are looked at, so that what nobody asks for any more goes. */
static void forget_some(net_quotas *quotas, mail_time now)
{
    for (int i = 0; i < 4 && quotas->idle_count > 0; i++) {
        net_usage *oldest = LIST_OWNER(quotas->idle.next, net_usage, link);

        if (!is_full(oldest, now) && quotas->idle_count <= MAX_IDLE) {
            break;
        }
        forget(quotas, oldest);
    }
}

/* The party's usage with one more session; NULL: no memory. */
static net_usage *add_session(net_quotas *quotas, net_party party, uint64_t key)
{
    table_entry *entry = table_first(&quotas->by_key, key);
    net_usage *usage = entry != NULL ? LIST_OWNER(entry, net_usage, entry) : NULL;

    if (usage != NULL) {
        quotas->idle_count -= usage->sessions == 0 ? 1 : 0;
        list_remove(&usage->link);
        usage->sessions++;
        return usage;
    }
    usage = mem_alloc(quotas->mem, sizeof(*usage));
    if (usage == NULL) {
        return NULL;
    }
    usage->party = party;
    usage->sessions = 1;
    for (size_t i = 0; i < NET_RESOURCES; i++) {
        usage->full_at[i] = INT64_MIN;
    }
    list_init(&usage->link);
    if (table_insert(&quotas->by_key, &usage->entry, key) != MAIL_OK) {
        mem_free(quotas->mem, usage, sizeof(*usage));
        return NULL;
    }
    return usage;
}

static void drop_session(net_quotas *quotas, net_usage **usage)
{
    if (*usage != NULL && --(*usage)->sessions == 0) {
        list_push_back(&quotas->idle, &(*usage)->link);
        quotas->idle_count++;
    }
    *usage = NULL;
}

/* A bucket is no more than the instant when it is full; all else is the same for all of a kind. */
static bool take(const net_quotas *quotas, net_usage *usage, net_resource resource, mail_time now)
{
    mail_rate rate = quotas->fresh[usage->party][resource];
    bool taken;

    if (rate.interval == 0) {
        return true;
    }
    rate.full_at = usage->full_at[resource];
    taken = mail_rate_take(&rate, now, 1);
    usage->full_at[resource] = rate.full_at;
    return taken;
}

static uint64_t key_of(const net_quotas *quotas, net_party party, const mail_ip *ip)
{
    static const uint8_t lengths[NET_PARTIES][2] = {[NET_CLIENT] = {4, 8}, [NET_NETWORK] = {3, 6}};
    uint8_t bytes[10] = {(uint8_t)party, ip->family};

    memcpy(bytes + 2, ip->bytes, lengths[party][ip->family == 6]);
    return hash_bytes(&quotas->seed, mail_span_of((const char *)bytes, sizeof(bytes)));
}

int net_quotas_enter(net_quotas *quotas, const mail_ip *ip, mail_time now, net_guest *guest,
                     net_limit *limit)
{
    static const net_limit too_many[] = {
        [NET_CLIENT] = NET_LIMIT_CLIENT_SESSIONS,
        [NET_NETWORK] = NET_LIMIT_NETWORK_SESSIONS,
    };

    *guest = (net_guest){{NULL}};
    *limit = NET_LIMIT_NONE;
    forget_some(quotas, now);
    for (net_party party = NET_CLIENT; party <= NET_NETWORK; party++) {
        net_usage *usage = add_session(quotas, party, key_of(quotas, party, ip));

        guest->usage[party] = usage;
        if (usage == NULL) {
            net_quotas_leave(quotas, guest);
            return MAIL_ENOMEM;
        }
        if (usage->sessions > quotas->max_sessions[party]) {
            *limit = too_many[party];
        } else if (!take(quotas, usage, NET_CONNECTIONS, now)) {
            *limit = NET_LIMIT_CONNECTIONS;
        }
        if (*limit != NET_LIMIT_NONE) {
            net_quotas_leave(quotas, guest);
            break;
        }
    }
    return MAIL_OK;
}

void net_quotas_leave(net_quotas *quotas, net_guest *guest)
{
    for (size_t i = 0; i < NET_PARTIES; i++) {
        drop_session(quotas, &guest->usage[i]);
    }
}

void net_quotas_log_in(net_quotas *quotas, net_guest *guest, mail_span account)
{
    drop_session(quotas, &guest->usage[NET_ACCOUNT]);
    if (guest->usage[NET_CLIENT] != NULL && account.length > 0) {
        guest->usage[NET_ACCOUNT] =
            add_session(quotas, NET_ACCOUNT, hash_bytes_nocase(&quotas->seed, account));
    }
}

bool net_quotas_take(const net_quotas *quotas, const net_guest *guest, net_resource resource,
                     mail_time now)
{
    net_usage *usage =
        guest->usage[NET_ACCOUNT] != NULL ? guest->usage[NET_ACCOUNT] : guest->usage[NET_CLIENT];

    return usage == NULL || take(quotas, usage, resource, now);
}
