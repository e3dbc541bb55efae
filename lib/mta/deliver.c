/* SPDX-License-Identifier: MIT */
#include "mta/deliver.h"

#include <time.h>

#include "base/mem.h"
#include "base/random.h"
#include "mta/destination.h"
#include "mta/job.h"
#include "mta/local.h"

/* Lanes held at a time; the others wait in the queue, which is made for it. */
#define LANES_MAX 10000

/* Lanes taken, and messages that go nowhere, before the loop gets its turn. */
#define TAKE_STEP    100
#define INSTANT_STEP 100

route_book *route_book_use(route_book *book)
{
    book->uses++;
    return book;
}

void route_book_drop(const mail_mem *mem, route_book *book)
{
    if (book != NULL && --book->uses == 0) {
        mail_route_table_destroy(book->table);
        mem_free(mem, book, sizeof(*book));
    }
}

static route_book *make_book(const mail_mem *mem, mail_route_table *routes)
{
    route_book *book = mem_alloc(mem, sizeof(*book));

    if (book != NULL) {
        *book = (route_book){routes, 1};
    }
    return book;
}

const mail_nexthop *route_of(const route_book *book, mail_span domain)
{
    static const mail_nexthop by_mx = {.kind = MAIL_NEXTHOP_MX, .text = {"mx", 2}};
    const mail_nexthop *hop = mail_route_table_find(book->table, domain);

    return hop != NULL ? hop : &by_mx;
}

mail_tls_level deliver_tls_level(const mail_deliver *agent, mail_span domain)
{
    return agent->tls_policies != NULL ? mail_tls_policy_table_find(agent->tls_policies, domain)
                                       : MAIL_TLS_LEVEL_MAY;
}

mail_wall deliver_wall(const mail_deliver *agent)
{
    return agent->opts.wall != NULL ? agent->opts.wall(agent->opts.wall_arg)
                                    : (mail_wall)time(NULL);
}

static void set_timer(mail_deliver *agent, mail_time when)
{
    agent->timer_at = when;
    agent->loop->ops->timer_set(agent->timer, when);
}

void deliver_call_soon(mail_deliver *agent)
{
    set_timer(agent, mail_loop_now(agent->loop));
}

void deliver_arm(mail_deliver *agent)
{
    mail_time at = agent->is_draining || agent->lanes >= LANES_MAX
                       ? MAIL_NEVER
                       : mail_queue_due_at(agent->opts.queue);

    if (at < agent->timer_at) {
        set_timer(agent, at);
    }
}

void lane_release(lane_hold *hold, mail_time not_before)
{
    mail_deliver *agent = hold->agent;

    mail_lane_give_back(hold->lane, not_before);
    list_remove(&hold->link);
    mem_free(agent->mem, hold, sizeof(*hold));
    agent->lanes--;
    deliver_arm(agent);
}

/* How long a lane rests that can't be read. */
#define DAMAGE_PAUSE (30 * MAIL_SECOND)

mail_time lane_again_at(const mail_deliver *agent, int code)
{
    switch (code) {
    case MAIL_ENOENT:
        return LANE_ANY_TIME;
    case MAIL_ENOMEM:
        return mail_loop_now(agent->loop) + SHORTAGE_PAUSE;
    default:
        return mail_loop_now(agent->loop) + DAMAGE_PAUSE;
    }
}

static bool is_idle(const mail_deliver *agent)
{
    return agent->destinations.count == 0 && local_count(agent->local) == 0 &&
           bounce_desk_count(agent->bounces) == 0;
}

void deliver_note_end(mail_deliver *agent)
{
    if (!agent->drain_told && agent->is_draining && is_idle(agent)) {
        deliver_call_soon(agent);
    }
}

/* Discarded, or refused with the words of the route. */
static void settle_at_once(const mail_nexthop *hop, job *jb)
{
    const job_site site = {.where = hop->text, .takes_dsn = true};
    mail_outcome outcome = {
        .kind = MAIL_OUTCOME_ACCEPTED,
        .is_local = true,
        .reply = MAIL_REPLY(250, 2, 0, 0, "Discarded"),
    };

    if (hop->kind == MAIL_NEXTHOP_ERROR) {
        outcome.kind =
            mail_reply_is_permanent(&hop->reply) ? MAIL_OUTCOME_PERMANENT : MAIL_OUTCOME_TRANSIENT;
        outcome.reply = hop->reply;
    }
    job_tell_all(jb, &outcome, &site);
    job_end(jb);
}

static void go_instant(mail_deliver *agent)
{
    for (int n = 0; n < INSTANT_STEP && !list_is_empty(&agent->instant) &&
                    !bounce_desk_is_full(agent->bounces);
         n++) {
        lane_hold *hold = LIST_OWNER(list_pop_front(&agent->instant), lane_hold, link);
        const mail_nexthop *hop = route_of(agent->routes, mail_lane_domain(hold->lane));
        job *jb;
        int code = MAIL_ENOENT;

        /* The routes may have been replaced since the lane was taken. */
        if (hop->kind == MAIL_NEXTHOP_DISCARD || hop->kind == MAIL_NEXTHOP_ERROR) {
            code = job_lease(&jb, agent, hold->lane, NULL, NULL);
        }
        if (code == MAIL_OK) {
            list_push_back(&agent->instant, &hold->link);
            settle_at_once(hop, jb);
        } else {
            lane_release(hold, lane_again_at(agent, code));
        }
    }
    if (!list_is_empty(&agent->instant) && !bounce_desk_is_full(agent->bounces)) {
        deliver_call_soon(agent);
    }
}

static void log_hold(const mail_deliver *agent, const lane_hold *hold)
{
    const mail_log_field fields[] = {{"domain", mail_lane_domain(hold->lane)}};

    mail_log_line(agent->log, MAIL_LOG_INFO, "held by its route", fields, MAIL_COUNT(fields));
}

static void serve(mail_deliver *agent, lane_hold *hold)
{
    const mail_nexthop *hop = route_of(agent->routes, mail_lane_domain(hold->lane));

    switch (hop->kind) {
    case MAIL_NEXTHOP_MX:
    case MAIL_NEXTHOP_SMTP:
    case MAIL_NEXTHOP_LMTP:
        destination_take(agent, hop, hold);
        return;
    case MAIL_NEXTHOP_LOCAL:
        local_take(agent->local, hold);
        return;
    case MAIL_NEXTHOP_HOLD:
        log_hold(agent, hold);
        lane_release(hold, MAIL_NEVER);
        return;
    case MAIL_NEXTHOP_DISCARD:
    case MAIL_NEXTHOP_ERROR:
        list_push_back(&agent->instant, &hold->link);
        return;
    }
}

static void take_lanes(mail_deliver *agent)
{
    for (int n = 0; n < TAKE_STEP && agent->lanes < LANES_MAX; n++) {
        mail_lane *lane = mail_queue_take_lane(agent->opts.queue);
        lane_hold *hold;

        if (lane == NULL) {
            return;
        }
        hold = mem_alloc(agent->mem, sizeof(*hold));
        if (hold == NULL) {
            mail_lane_give_back(lane, mail_loop_now(agent->loop) + SHORTAGE_PAUSE);
            return;
        }
        *hold = (lane_hold){.agent = agent, .lane = lane};
        list_init(&hold->link);
        agent->lanes++;
        serve(agent, hold);
    }
}

static void feed_starving(mail_deliver *agent)
{
    list waiting;
    list *link;

    if (list_is_empty(&agent->starving)) {
        return;
    }
    /* Those that starve again line up at the end. */
    list_push_front(&agent->starving, &waiting);
    list_remove(&agent->starving);
    while ((link = list_pop_front(&waiting)) != NULL) {
        destination_go(LIST_OWNER(link, destination, starving));
    }
}

static void tell_drained(mail_deliver *agent)
{
    if (!agent->drain_told && is_idle(agent)) {
        agent->drain_told = true;
        agent->on_drained(agent->on_drained_arg);
    }
}

/* An operator who asks for a try now means one that reaches the host. */
static void heed_flush(mail_deliver *agent)
{
    uint32_t flushes = mail_queue_flushes(agent->opts.queue);

    if (flushes != agent->flushes) {
        agent->flushes = flushes;
        host_book_forgive(&agent->hosts);
    }
}

static void go(void *arg)
{
    mail_deliver *agent = arg;

    agent->timer_at = MAIL_NEVER;
    if (agent->is_draining) {
        tell_drained(agent); /* may destroy the agent */
        return;
    }
    heed_flush(agent);
    feed_starving(agent);
    take_lanes(agent);
    go_instant(agent);
    local_go_on(agent->local);
    deliver_arm(agent);
}

/* A default where nothing is said. */
#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0) {                                                                        \
            (field) = (value);                                                                     \
        }                                                                                          \
    } while (0)

static void fill_defaults(mail_deliver_options *opts)
{
    DEFAULT(opts->smtp_port, 25);
    DEFAULT(opts->max_out, 1000);
    DEFAULT(opts->max_out_per_destination, 20);
    DEFAULT(opts->connect_timeout, 30 * MAIL_SECOND);
    DEFAULT(opts->idle, 5 * MAIL_SECOND);
    DEFAULT(opts->backoff, MAIL_MINUTE);
    DEFAULT(opts->backoff_max, MAIL_HOUR);
    DEFAULT(opts->max_local, 16);
    DEFAULT(opts->max_return_bytes, 64 * 1024);
    DEFAULT(opts->gather, 5 * MAIL_SECOND);
}

static int fill_agent(mail_deliver *agent, mail_route_table *routes)
{
    const mail_loop_ops *ops = agent->loop->ops;
    int code;

    random_fill(agent->opts.random, &agent->seed, sizeof(agent->seed));
    host_book_init(&agent->hosts, agent->mem, &agent->seed, agent->opts.backoff,
                   agent->opts.backoff_max);
    agent->hosts.random = agent->opts.random;
    table_init(&agent->destinations, agent->mem);
    list_init(&agent->starving);
    list_init(&agent->instant);
    list_init(&agent->jobs);
    agent->timer_at = MAIL_NEVER;
    agent->hostname = mem_text(agent->mem, agent->opts.hostname);
    agent->routes = make_book(agent->mem, routes);
    if (agent->hostname == NULL || agent->routes == NULL) {
        return MAIL_ENOMEM;
    }
    code = local_create(&agent->local, agent);
    if (code == MAIL_OK) {
        code = bounce_desk_create(&agent->bounces, agent);
    }
    if (code == MAIL_OK) {
        code = ops->timer(agent->loop, go, agent, &agent->timer);
    }
    return code == MAIL_OK ? ops->bell(agent->loop, go, agent, &agent->bell) : code;
}

static void on_measure(void *arg)
{
    const mail_deliver *agent = arg;

    deliver_measure_queue(&agent->measure, agent->opts.queue);
    mail_metric_set(agent->measure.connections, agent->sessions);
}

static int start_measuring(mail_deliver *agent)
{
    int code = deliver_measure_init(&agent->measure, agent->opts.metrics);

    return code == MAIL_OK ? mail_metrics_ask(agent->opts.metrics, on_measure, agent) : code;
}

int mail_deliver_create(mail_deliver **out, mail_loop *loop, mail_route_table *routes,
                        const mail_deliver_options *opts)
{
    mail_deliver *agent;
    int code;

    if (opts->queue == NULL || opts->hostname.length == 0 ||
        (opts->store != NULL) != (opts->mailbox_of != NULL)) {
        return MAIL_EINVAL;
    }
    agent = mem_alloc(opts->mem, sizeof(*agent));
    if (agent == NULL) {
        return MAIL_ENOMEM;
    }
    agent->mem = opts->mem;
    agent->log = opts->log;
    agent->loop = loop;
    memcpy(&agent->opts, opts, opts->size < sizeof(*opts) ? opts->size : sizeof(*opts));
    fill_defaults(&agent->opts);
    code = fill_agent(agent, routes);
    if (code == MAIL_OK) {
        code = start_measuring(agent);
    }
    if (code != MAIL_OK) {
        if (agent->routes != NULL) {
            agent->routes->table = NULL; /* still the caller's */
        }
        mail_deliver_destroy(agent);
        return code;
    }
    deliver_call_soon(agent);
    *out = agent;
    return MAIL_OK;
}

static void destroy_any(table_entry *entry, void *arg)
{
    (void)arg;
    destination_destroy(LIST_OWNER(entry, destination, by_key));
}

void mail_deliver_destroy(mail_deliver *agent)
{
    list *link;

    if (agent == NULL) {
        return;
    }
    mail_metrics_forget(agent->opts.metrics, agent);
    agent->is_draining = true; /* nothing new from what is given back */
    agent->drain_told = true;
    table_each(&agent->destinations, destroy_any, NULL);
    local_destroy(agent->local);
    while ((link = list_pop_front(&agent->instant)) != NULL) {
        lane_release(LIST_OWNER(link, lane_hold, link), LANE_ANY_TIME);
    }
    bounce_desk_destroy(agent->bounces);
    table_deinit(&agent->destinations);
    host_book_deinit(&agent->hosts);
    route_book_drop(agent->mem, agent->routes);
    mail_tls_policy_table_destroy(agent->tls_policies);
    mail_tls_cache_destroy(agent->tls_cache);
    mail_tls_context_unref(agent->tls);
    mail_credentials_table_destroy(agent->credentials);
    agent->loop->ops->unbell(agent->bell);
    agent->loop->ops->untimer(agent->timer);
    mem_free(agent->mem, agent->hostname,
             agent->hostname != NULL ? agent->opts.hostname.length + 1 : 0);
    mem_free(agent->mem, agent, sizeof(*agent));
}

void mail_deliver_wake(mail_deliver *agent)
{
    agent->loop->ops->ring(agent->bell);
}

const mail_nexthop *mail_deliver_route(const mail_deliver *agent, mail_span domain)
{
    return route_of(agent->routes, domain);
}

void mail_deliver_set_routes(mail_deliver *agent, mail_route_table *routes)
{
    route_book *book = make_book(agent->mem, routes);

    if (book == NULL) {
        mail_route_table_destroy(routes); /* the old ones go on */
        return;
    }
    route_book_drop(agent->mem, agent->routes);
    agent->routes = book;
    mail_queue_offer_kept(agent->opts.queue);
    deliver_call_soon(agent);
}

void mail_deliver_set_tls(mail_deliver *agent, mail_tls_context *context,
                          mail_tls_policy_table *policies)
{
    mail_tls_cache_options opts = MAIL_TLS_CACHE_OPTIONS_INIT;

    opts.mem = agent->mem;
    if (context != NULL) {
        mail_tls_context_ref(context);
    }
    mail_tls_context_unref(agent->tls);
    agent->tls = context;
    mail_tls_policy_table_destroy(agent->tls_policies);
    agent->tls_policies = policies;
    /* Without memory for a cache each handshake is a whole one. */
    if (agent->tls_cache != NULL) {
        mail_tls_cache_clear(agent->tls_cache);
    } else if (mail_tls_cache_create(&agent->tls_cache, &opts) != MAIL_OK) {
        agent->tls_cache = NULL;
    }
}

void mail_deliver_set_credentials(mail_deliver *agent, mail_credentials_table *credentials)
{
    mail_credentials_table_destroy(agent->credentials);
    agent->credentials = credentials;
}

static void go_any(table_entry *entry, void *arg)
{
    (void)arg;
    destination_go(LIST_OWNER(entry, destination, by_key));
}

void mail_deliver_drain(mail_deliver *agent, void (*fn)(void *arg), void *arg)
{
    list *link;

    agent->is_draining = true;
    agent->drain_told = false;
    agent->on_drained = fn;
    agent->on_drained_arg = arg;
    table_each(&agent->destinations, go_any, NULL);
    local_go(agent->local);
    bounce_desk_hurry(agent->bounces);
    while ((link = list_pop_front(&agent->instant)) != NULL) {
        lane_release(LIST_OWNER(link, lane_hold, link), LANE_ANY_TIME);
    }
    deliver_note_end(agent);
}
