/* SPDX-License-Identifier: MIT */
#include <mail/resolver.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/table.h"
#include "dns/answer.h"
#include "dns/cache.h"
#include "net/dns_exchange.h"
#include "net/resolv_conf.h"

/*
 * A lookup is a plan (mail_mx_plan) with somebody waiting for its verdict. What it must
 * know comes from the cache or from a flight: a question under way, which serves all
 * lookups that need the same. Whatever happens to a lookup puts it on the ready list,
 * and one timer works that off: the only place from which verdicts are given.
 */

#define DEFAULT_TIMEOUT   (3 * MAIL_SECOND)
#define DEFAULT_TRIES     4
#define DEFAULT_QUESTIONS 256
#define DEFAULT_CONF      "/etc/resolv.conf"
#define CONF_SERVERS_MAX  3 /* as many as libc takes */

struct mail_resolver {
    const mail_mem *mem;
    mail_loop *loop;
    dns_exchange_config exchange;
    mail_mx_options plan;
    mail_endpoint *servers;
    mail_endpoint *own_addresses;
    char *own_hostname;
    dns_cache *cache;
    hash_seed seed;
    table flights;
    list queued; /* flights that wait for others to land */
    size_t flying;
    size_t flying_max;
    list lookups; /* all of them */
    list ready;   /* those that may go on */
    mail_timer *ready_timer;
};

/* A question that is being asked, or queued. */
typedef struct flight {
    table_entry in_flights;
    list in_queue;
    mail_resolver *resolver;
    dns_exchange *exchange; /* NULL: queued */
    list askers;
    mail_dns_type type;
    char name[MAIL_DOMAIN_SIZE];
} flight;

struct mail_lookup {
    mail_resolver *resolver;
    list in_lookups;
    list in_ready;
    list askers;
    mail_mx_plan *plan;
    mail_mx_fn *fn;
    void *arg;
    bool has_failed; /* for want of memory */
};

/* One lookup's part in one flight. */
typedef struct asker {
    list in_flight;
    list in_lookup;
    mail_lookup *lookup;
    unsigned number; /* of the question in the lookup's plan */
} asker;

static void start_queued(mail_resolver *resolver);

static void make_ready(mail_lookup *lookup)
{
    mail_resolver *resolver = lookup->resolver;

    list_remove(&lookup->in_ready);
    list_push_back(&resolver->ready, &lookup->in_ready);
    resolver->loop->ops->timer_set(resolver->ready_timer, mail_loop_now(resolver->loop));
}

static void destroy_asker(asker *ask)
{
    const mail_mem *mem = ask->lookup->resolver->mem;

    list_remove(&ask->in_flight);
    list_remove(&ask->in_lookup);
    mem_free(mem, ask, sizeof(*ask));
}

static void destroy_lookup(mail_lookup *lookup)
{
    const mail_mem *mem = lookup->resolver->mem;

    while (!list_is_empty(&lookup->askers)) {
        destroy_asker(LIST_OWNER(lookup->askers.next, asker, in_lookup));
    }
    list_remove(&lookup->in_lookups);
    list_remove(&lookup->in_ready);
    mail_mx_plan_destroy(lookup->plan);
    mem_free(mem, lookup, sizeof(*lookup));
}

static void destroy_flight(flight *fl)
{
    mail_resolver *resolver = fl->resolver;

    while (!list_is_empty(&fl->askers)) {
        destroy_asker(LIST_OWNER(fl->askers.next, asker, in_flight));
    }
    if (fl->exchange != NULL) {
        dns_exchange_destroy(fl->exchange);
        resolver->flying--;
    }
    list_remove(&fl->in_queue);
    table_remove(&resolver->flights, &fl->in_flights);
    mem_free(resolver->mem, fl, sizeof(*fl));
}

/* Tells all who asked. They go on later, when the answer is in the cache. */
static void tell_askers(flight *fl, const mail_dns_answer *answer)
{
    for (list *at = fl->askers.next; at != &fl->askers; at = at->next) {
        asker *ask = LIST_OWNER(at, asker, in_flight);

        if (!ask->lookup->has_failed &&
            mail_mx_plan_tell(ask->lookup->plan, ask->number, answer) != MAIL_OK) {
            ask->lookup->has_failed = true;
        }
        make_ready(ask->lookup);
    }
}

static void on_answer(mail_dns_answer *answer, const char *reason, void *arg)
{
    flight *fl = arg;
    mail_resolver *resolver = fl->resolver;

    if (answer == NULL) {
        mail_dns_answer failed = dns_answer_failed(fl->type, reason);

        tell_askers(fl, &failed);
    } else {
        dns_cache_limit_ttl(resolver->cache, answer);
        tell_askers(fl, answer);
        dns_cache_store(resolver->cache, fl->name, answer, mail_loop_now(resolver->loop));
    }
    destroy_flight(fl);
    start_queued(resolver);
}

static void start_queued(mail_resolver *resolver)
{
    while (resolver->flying < resolver->flying_max && !list_is_empty(&resolver->queued)) {
        flight *fl = LIST_OWNER(list_pop_front(&resolver->queued), flight, in_queue);

        if (dns_exchange_create(&fl->exchange, &resolver->exchange, fl->name, fl->type, on_answer,
                                fl) == MAIL_OK) {
            resolver->flying++;
        } else {
            mail_dns_answer failed = dns_answer_failed(fl->type, "out of memory");

            tell_askers(fl, &failed);
            destroy_flight(fl);
        }
    }
}

static uint64_t flight_hash(const mail_resolver *resolver, const mail_mx_need *need)
{
    return hash_bytes(&resolver->seed, mail_span_text(need->name)) ^ (uint64_t)need->type << 8;
}

static flight *find_flight(const mail_resolver *resolver, const mail_mx_need *need)
{
    uint64_t hash = flight_hash(resolver, need);

    for (table_entry *te = table_first(&resolver->flights, hash); te != NULL; te = table_next(te)) {
        flight *fl = LIST_OWNER(te, flight, in_flights);

        if (fl->type == need->type && strcmp(fl->name, need->name) == 0) {
            return fl;
        }
    }
    return NULL;
}

static flight *make_flight(mail_resolver *resolver, const mail_mx_need *need)
{
    flight *fl = mem_alloc(resolver->mem, sizeof(*fl));

    if (fl == NULL) {
        return NULL;
    }
    if (table_insert(&resolver->flights, &fl->in_flights, flight_hash(resolver, need)) != MAIL_OK) {
        mem_free(resolver->mem, fl, sizeof(*fl));
        return NULL;
    }
    fl->resolver = resolver;
    fl->type = need->type;
    memcpy(fl->name, need->name, strlen(need->name) + 1);
    list_init(&fl->askers);
    list_push_back(&resolver->queued, &fl->in_queue);
    return fl;
}

static int join_flight(mail_lookup *lookup, const mail_mx_need *need)
{
    mail_resolver *resolver = lookup->resolver;
    flight *fl = find_flight(resolver, need);
    asker *ask;

    if (fl == NULL) {
        fl = make_flight(resolver, need);
    }
    ask = mem_alloc(resolver->mem, sizeof(*ask));
    if (fl == NULL || ask == NULL) {
        mem_free(resolver->mem, ask, sizeof(*ask));
        return MAIL_ENOMEM; /* a flight that nobody waits for is no harm */
    }
    ask->lookup = lookup;
    ask->number = need->number;
    list_push_back(&fl->askers, &ask->in_flight);
    list_push_back(&lookup->askers, &ask->in_lookup);
    return MAIL_OK;
}

/* Gets the plan all that it needs, as far as that is known already. */
static int drive(mail_lookup *lookup)
{
    mail_resolver *resolver = lookup->resolver;
    int code = MAIL_OK;
    mail_mx_need need;

    while (code == MAIL_OK && mail_mx_plan_next(lookup->plan, &need)) {
        mail_dns_answer answer;

        if (dns_cache_find(resolver->cache, need.name, need.type, mail_loop_now(resolver->loop),
                           &answer)) {
            code = mail_mx_plan_tell(lookup->plan, need.number, &answer);
        } else {
            code = join_flight(lookup, &need);
        }
    }
    return code;
}

/* The verdict, if there is one now. */
static const mail_mx_verdict *go_on(mail_lookup *lookup)
{
    static const mail_mx_verdict no_memory = {
        .reply = {451, {4, 3, 0}, {"Out of memory", sizeof("Out of memory") - 1}}};

    if (lookup->has_failed || drive(lookup) != MAIL_OK) {
        return &no_memory;
    }
    return mail_mx_plan_verdict(lookup->plan);
}

/* `fn` may destroy the resolver: nothing of that is touched after it. */
static void conclude(mail_lookup *lookup, const mail_mx_verdict *verdict)
{
    mail_resolver *resolver = lookup->resolver;
    mail_mx_plan *plan = lookup->plan;
    mail_mx_fn *fn = lookup->fn;
    void *arg = lookup->arg;

    lookup->plan = NULL;
    destroy_lookup(lookup);
    if (!list_is_empty(&resolver->ready)) {
        resolver->loop->ops->timer_set(resolver->ready_timer, mail_loop_now(resolver->loop));
    }
    fn(verdict, arg);
    mail_mx_plan_destroy(plan);
}

static void on_ready(void *arg)
{
    mail_resolver *resolver = arg;
    list *link;

    while ((link = list_pop_front(&resolver->ready)) != NULL) {
        mail_lookup *lookup = LIST_OWNER(link, mail_lookup, in_ready);
        const mail_mx_verdict *verdict = go_on(lookup);

        start_queued(resolver);
        if (verdict != NULL) {
            conclude(lookup, verdict);
            return;
        }
    }
}

static int copy_servers(mail_resolver *resolver, const mail_resolver_options *opts)
{
    const char *conf = opts->resolv_conf != NULL ? opts->resolv_conf : DEFAULT_CONF;
    mail_endpoint found[CONF_SERVERS_MAX];
    const mail_endpoint *from = opts->servers;
    size_t count = opts->server_count;

    if (count == 0) {
        from = found;
        count = resolv_conf_load(conf, found, CONF_SERVERS_MAX);
    }
    resolver->servers = mem_alloc(resolver->mem, count * sizeof(*from));
    if (resolver->servers == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(resolver->servers, from, count * sizeof(*from));
    resolver->exchange.servers = resolver->servers;
    resolver->exchange.server_count = count;
    return MAIL_OK;
}

static void set_exchange(mail_resolver *resolver, const mail_resolver_options *opts)
{
    dns_exchange_config *exchange = &resolver->exchange;

    exchange->loop = resolver->loop;
    exchange->mem = resolver->mem;
    exchange->net = opts->sockets != NULL ? opts->sockets : &net_system_sockets;
    exchange->random = opts->random;
    exchange->timeout = opts->timeout > 0 ? opts->timeout : DEFAULT_TIMEOUT;
    exchange->tries = opts->tries > 0 ? opts->tries : DEFAULT_TRIES;
    exchange->no_0x20 = opts->no_0x20;
}

/* Who we are, and the limits: what every plan is given. */
static int set_plan(mail_resolver *resolver, const mail_resolver_options *opts)
{
    mail_mx_options *plan = &resolver->plan;
    size_t size = opts->own_address_count * sizeof(*opts->own_addresses);

    *plan = (mail_mx_options)MAIL_MX_OPTIONS_INIT;
    plan->mem = resolver->mem;
    plan->allow_private = opts->allow_private;
    plan->max_hosts = opts->max_hosts;
    plan->max_addresses = opts->max_addresses;
    plan->random = opts->random;
    resolver->own_hostname = mem_text(resolver->mem, opts->own_hostname);
    if (resolver->own_hostname == NULL) {
        return MAIL_ENOMEM;
    }
    plan->own_hostname = mail_span_of(resolver->own_hostname, opts->own_hostname.length);
    if (size == 0) {
        return MAIL_OK;
    }
    resolver->own_addresses = mem_alloc(resolver->mem, size);
    if (resolver->own_addresses == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(resolver->own_addresses, opts->own_addresses, size);
    plan->own_addresses = resolver->own_addresses;
    plan->own_address_count = opts->own_address_count;
    return MAIL_OK;
}

static int make_cache(mail_resolver *resolver, const mail_resolver_options *opts)
{
    const dns_cache_options cache = {
        .mem = resolver->mem,
        .random = opts->random,
        .entries = opts->cache_entries,
        .ttl_min = opts->ttl_min,
        .ttl_max = opts->ttl_max,
        .negative_ttl_max = opts->negative_ttl_max,
    };

    return dns_cache_create(&resolver->cache, &cache);
}

static mail_resolver *make(mail_loop *loop, const mail_resolver_options *opts)
{
    mail_resolver *resolver = mem_alloc(opts->mem, sizeof(*resolver));

    if (resolver == NULL) {
        return NULL;
    }
    resolver->mem = opts->mem;
    resolver->loop = loop;
    resolver->flying_max = opts->max_questions > 0 ? opts->max_questions : DEFAULT_QUESTIONS;
    random_fill(opts->random, &resolver->seed, sizeof(resolver->seed));
    table_init(&resolver->flights, opts->mem);
    list_init(&resolver->queued);
    list_init(&resolver->lookups);
    list_init(&resolver->ready);
    return resolver;
}

int mail_resolver_create(mail_resolver **out, mail_loop *loop, const mail_resolver_options *opts)
{
    static const mail_resolver_options defaults = MAIL_RESOLVER_OPTIONS_INIT;
    mail_resolver *resolver;
    int code;

    opts = opts != NULL ? opts : &defaults;
    resolver = make(loop, opts);
    if (resolver == NULL) {
        return MAIL_ENOMEM;
    }
    set_exchange(resolver, opts);
    code = copy_servers(resolver, opts);
    if (code == MAIL_OK) {
        code = set_plan(resolver, opts);
    }
    if (code == MAIL_OK) {
        code = make_cache(resolver, opts);
    }
    if (code == MAIL_OK) {
        code = loop->ops->timer(loop, on_ready, resolver, &resolver->ready_timer);
    }
    if (code != MAIL_OK) {
        mail_resolver_destroy(resolver);
        return code;
    }
    *out = resolver;
    return MAIL_OK;
}

static void destroy_entry(table_entry *entry, void *arg)
{
    (void)arg;
    destroy_flight(LIST_OWNER(entry, flight, in_flights));
}

void mail_resolver_destroy(mail_resolver *resolver)
{
    const mail_mem *mem;

    if (resolver == NULL) {
        return;
    }
    mem = resolver->mem;
    while (!list_is_empty(&resolver->lookups)) {
        destroy_lookup(LIST_OWNER(resolver->lookups.next, mail_lookup, in_lookups));
    }
    table_each(&resolver->flights, destroy_entry, NULL);
    table_deinit(&resolver->flights);
    resolver->loop->ops->untimer(resolver->ready_timer);
    dns_cache_destroy(resolver->cache);
    mem_free(mem, resolver->own_addresses,
             resolver->plan.own_address_count * sizeof(*resolver->own_addresses));
    mem_free(mem, resolver->own_hostname, resolver->plan.own_hostname.length + 1);
    mem_free(mem, resolver->servers, resolver->exchange.server_count * sizeof(*resolver->servers));
    mem_free(mem, resolver, sizeof(*resolver));
}

static int begin_lookup(mail_resolver *resolver, mail_span domain, bool is_host, mail_mx_fn *fn,
                        void *arg, mail_lookup **out)
{
    mail_lookup *lookup = mem_alloc(resolver->mem, sizeof(*lookup));
    mail_mx_options opts = resolver->plan;
    int code;

    if (lookup == NULL) {
        return MAIL_ENOMEM;
    }
    opts.is_host = is_host;
    code = mail_mx_plan_create(&lookup->plan, domain, &opts);
    if (code != MAIL_OK) {
        mem_free(resolver->mem, lookup, sizeof(*lookup));
        return code;
    }
    lookup->resolver = resolver;
    lookup->fn = fn;
    lookup->arg = arg;
    list_init(&lookup->askers);
    list_init(&lookup->in_ready);
    list_push_back(&resolver->lookups, &lookup->in_lookups);
    make_ready(lookup);
    if (out != NULL) {
        *out = lookup;
    }
    return MAIL_OK;
}

int mail_resolver_mx(mail_resolver *resolver, mail_span domain, mail_mx_fn *fn, void *arg,
                     mail_lookup **out)
{
    return begin_lookup(resolver, domain, false, fn, arg, out);
}

int mail_resolver_host(mail_resolver *resolver, mail_span host, mail_mx_fn *fn, void *arg,
                       mail_lookup **out)
{
    return begin_lookup(resolver, host, true, fn, arg, out);
}

void mail_lookup_cancel(mail_lookup *lookup)
{
    destroy_lookup(lookup);
}
