/* SPDX-License-Identifier: MIT */
#include "mta/destination.h"

#include "base/mem.h"

/* Where parallel connections begin; each accepted message adds one. */
#define LIMIT_START 2

/* How long a peer that wants fewer connections is left alone. */
#define LIMIT_PAUSE (5 * MAIL_SECOND)

/* Messages that are told of a failure before the loop gets its turn. */
#define SWEEP_STEP 100

static mail_time now_of(const destination *dest)
{
    return mail_loop_now(dest->agent->loop);
}

static void set_timer(destination *dest, mail_time when)
{
    dest->agent->loop->ops->timer_set(dest->timer, when);
}

/* MX destinations are told apart by domain, all others by what they lead to. */
static mail_span key_of(const mail_nexthop *hop, const lane_hold *hold)
{
    return hop->kind == MAIL_NEXTHOP_MX ? mail_lane_domain(hold->lane) : hop->text;
}

static destination *find(mail_deliver *agent, const mail_nexthop *hop, mail_tls_level level,
                         mail_span key, uint64_t hash)
{
    for (table_entry *e = table_first(&agent->destinations, hash); e != NULL; e = table_next(e)) {
        destination *dest = LIST_OWNER(e, destination, by_key);

        if (dest->hop->kind == hop->kind && dest->level == level &&
            mail_span_equal(mail_span_text(dest->key), key)) {
            return dest;
        }
    }
    return NULL;
}

static void on_timer(void *arg);

static void free_destination(destination *dest)
{
    mail_deliver *agent = dest->agent;

    plan_forget(dest);
    agent->loop->ops->untimer(dest->timer);
    route_book_drop(agent->mem, dest->book);
    mem_free(agent->mem, dest->key, dest->key != NULL ? strlen(dest->key) + 1 : 0);
    mem_free(agent->mem, dest, sizeof(*dest));
}

static destination *make(mail_deliver *agent, const mail_nexthop *hop, mail_tls_level level,
                         mail_span key, uint64_t hash)
{
    destination *dest = mem_alloc(agent->mem, sizeof(*dest));

    if (dest == NULL) {
        return NULL;
    }
    dest->agent = agent;
    dest->book = route_book_use(agent->routes);
    dest->hop = hop;
    dest->level = level;
    dest->limit = LIMIT_START;
    if (dest->limit > agent->opts.max_out_per_destination) {
        dest->limit = agent->opts.max_out_per_destination;
    }
    dest->open_after = INT64_MIN;
    dest->plan_expires = INT64_MIN;
    list_init(&dest->lanes);
    list_init(&dest->sessions);
    list_init(&dest->starving);
    dest->key = mem_text(agent->mem, key);
    if (dest->key == NULL ||
        agent->loop->ops->timer(agent->loop, on_timer, dest, &dest->timer) != MAIL_OK ||
        table_insert(&agent->destinations, &dest->by_key, hash) != MAIL_OK) {
        free_destination(dest);
        return NULL;
    }
    return dest;
}

void destination_take(mail_deliver *agent, const mail_nexthop *hop, lane_hold *hold)
{
    mail_span key = key_of(hop, hold);
    mail_tls_level level = deliver_tls_level(agent, mail_lane_domain(hold->lane));
    uint64_t hash = hash_bytes(&agent->seed, key);
    destination *dest = find(agent, hop, level, key, hash);

    if (dest == NULL) {
        dest = make(agent, hop, level, key, hash);
    }
    if (dest == NULL) {
        lane_release(hold, mail_loop_now(agent->loop) + SHORTAGE_PAUSE);
        return;
    }
    list_push_back(&dest->lanes, &hold->link);
    destination_go(dest);
}

static bool is_over(const destination *dest)
{
    return list_is_empty(&dest->lanes) && dest->session_count == 0 && dest->stash == NULL &&
           dest->lookup == NULL && !dest->is_failing;
}

static void retire(destination *dest)
{
    mail_deliver *agent = dest->agent;

    list_remove(&dest->starving);
    table_remove(&agent->destinations, &dest->by_key);
    free_destination(dest);
    deliver_note_end(agent);
}

/* Without callbacks: the lookup is cancelled, connections are cut, leases end unreported. */
void destination_destroy(destination *dest)
{
    list *link;

    if (dest->lookup != NULL) {
        mail_lookup_cancel(dest->lookup);
        dest->lookup = NULL;
    }
    while (!list_is_empty(&dest->sessions)) {
        session_destroy(LIST_OWNER(dest->sessions.next, session, link));
    }
    if (dest->stash != NULL) {
        job_drop(dest->stash);
    }
    while ((link = list_pop_front(&dest->lanes)) != NULL) {
        lane_release(LIST_OWNER(link, lane_hold, link), LANE_ANY_TIME);
    }
    list_remove(&dest->starving);
    table_remove(&dest->agent->destinations, &dest->by_key);
    free_destination(dest);
}

/* Recipients in other domains that go the same way, as safely, go along in the same transaction. */
static bool goes_here(mail_span domain, void *arg)
{
    const destination *dest = arg;
    const mail_nexthop *hop = route_of(dest->agent->routes, domain);

    return hop->kind == dest->hop->kind && mail_span_equal(hop->text, dest->hop->text) &&
           deliver_tls_level(dest->agent, domain) == dest->level;
}

/*
 * The next message of a lane. When nothing can be reached, those that must be told of that
 * though they are not due come last.
 */
static int lease_from(destination *dest, mail_lane *lane, job **out)
{
    mail_deliver *agent = dest->agent;
    bool widen = dest->hop->kind != MAIL_NEXTHOP_MX;
    int code = agent->is_draining ? MAIL_ENOENT
                                  : job_lease(out, agent, lane, widen ? goes_here : NULL, dest);

    if (code == MAIL_ENOENT && dest->is_failing && !agent->is_draining &&
        !bounce_desk_is_stuck(agent->bounces)) {
        code = job_lease_overdue(out, agent, lane);
    }
    return code;
}

/* Lanes take turns. One in which nothing is due goes back to the queue. */
static job *lease_next(destination *dest)
{
    mail_time not_before = dest->is_failing ? dest->not_before : LANE_ANY_TIME;

    while (!list_is_empty(&dest->lanes)) {
        lane_hold *hold = LIST_OWNER(list_pop_front(&dest->lanes), lane_hold, link);
        job *jb;
        int code = lease_from(dest, hold->lane, &jb);

        if (code == MAIL_OK) {
            list_push_back(&dest->lanes, &hold->link);
            return jb;
        }
        lane_release(hold, code == MAIL_ENOENT ? not_before : lane_again_at(dest->agent, code));
    }
    return NULL;
}

/* To be called again once there is room for what it lacks. */
static void starve(destination *dest)
{
    list_remove(&dest->starving);
    list_push_back(&dest->agent->starving, &dest->starving);
}

/* What might have to be reported waits until others have been. */
static bool awaits_reports(destination *dest)
{
    if (!bounce_desk_is_full(dest->agent->bounces)) {
        return false;
    }
    starve(dest);
    return true;
}

static job *take_stash(destination *dest)
{
    job *jb = dest->stash;

    dest->stash = NULL;
    return jb;
}

static void begin_failing(destination *dest, mail_outcome_kind kind, const mail_reply *reply,
                          bool is_local, mail_time not_before)
{
    size_t length = reply->text.length < HOST_REPLY_SIZE ? reply->text.length : HOST_REPLY_SIZE;

    dest->is_failing = true;
    dest->failure = (mail_outcome){.kind = kind, .is_local = is_local, .reply = *reply};
    if (length > 0) {
        memcpy(dest->failure_text, reply->text.data, length);
    }
    dest->failure.reply.text = mail_span_of(dest->failure_text, length);
    dest->failed_name = NULL;
    dest->not_before = not_before;
}

/*
 * One failure of the host answers for all that wait for it: each message is told, so that
 * its sender and the operator learn why it waits, and is not tried. Their lanes then rest.
 */
static void sweep(destination *dest)
{
    const job_site site = {
        .host = mail_span_text(dest->failure.is_local ? NULL : dest->failed_name),
        .where = mail_span_text(dest->failed_name != NULL ? dest->failed_name : dest->key),
    };

    for (int n = 0; n < SWEEP_STEP; n++) {
        job *jb;

        if (dest->stash == NULL && awaits_reports(dest)) {
            return;
        }
        jb = dest->stash != NULL ? take_stash(dest) : lease_next(dest);
        if (jb == NULL) {
            dest->is_failing = false;
            return;
        }
        job_tell_all(jb, &dest->failure, &site);
        job_end(jb);
    }
}

/*
 * How much the failure of one host tells of all. One that says "later" keeps hope for all (RFC 5321,
 * section 5.1), and one that was reached says more than one that was not (RFC 3463, X.4.1).
 */
static unsigned weight(const mail_reply *reply)
{
    if (mail_reply_is_permanent(reply)) {
        return 0;
    }
    return reply->status[1] == 4 && reply->status[2] == 1 ? 1 : 2;
}

/* The first host whose words weigh most speaks for all; the one that may be tried first sets when. */
static void fail_hosts(destination *dest)
{
    mail_time soonest = MAIL_NEVER;
    const mail_reply *reply = NULL;
    const char *name = NULL;
    bool is_local = false;

    for (size_t i = 0; i < dest->plan_count; i++) {
        const host *hst = dest->plan[i].hst;

        if (reply == NULL || weight(&hst->reply) > weight(reply)) {
            reply = &hst->reply;
            is_local = hst->is_local;
            name = dest->plan[i].name;
        }
        soonest = hst->down_until < soonest ? hst->down_until : soonest;
    }
    begin_failing(dest,
                  mail_reply_is_permanent(reply) && dest->hop->kind == MAIL_NEXTHOP_MX
                      ? MAIL_OUTCOME_PERMANENT
                      : MAIL_OUTCOME_TRANSIENT,
                  reply, is_local, soonest);
    dest->failed_name = name;
}

static void fail_plan(destination *dest)
{
    bool is_final = mail_reply_is_permanent(&dest->plan_reply);

    /* What is wrong with the network (RFC 3463, section 3.5) is our finding; the rest is the DNS's. */
    begin_failing(dest, is_final ? MAIL_OUTCOME_PERMANENT : MAIL_OUTCOME_TRANSIENT,
                  &dest->plan_reply, dest->plan_reply.status[1] == 4,
                  now_of(dest) + dest->agent->opts.backoff);
    dest->plan_expires = INT64_MIN;
}

void destination_session_failed(destination *dest, const session *ss, const mail_reply *reply,
                                bool is_local)
{
    mail_time now = now_of(dest);

    for (list *link = dest->sessions.next; link != &dest->sessions; link = link->next) {
        const session *other = LIST_OWNER(link, session, link);

        if (other != ss && other->hst == ss->hst && (other->has_tried || other->is_ready)) {
            /* It works, but not with so many of us. */
            dest->limit = dest->session_count > 2 ? (uint32_t)(dest->session_count - 1) : 1;
            dest->open_after = now + LIMIT_PAUSE;
            return;
        }
    }
    host_failed(&dest->agent->hosts, ss->hst, reply, is_local, now);
}

/* One for whatever waits; with `second` one to that host for what a better one has refused for now. */
static session *idle_session(const destination *dest, const host *second)
{
    for (list *link = dest->sessions.next; link != &dest->sessions; link = link->next) {
        session *ss = LIST_OWNER(link, session, link);

        if (ss->is_ready &&
            (second == NULL ? !ss->is_second : ss->is_second && ss->hst == second)) {
            return ss;
        }
    }
    return NULL;
}

static const plan_entry *first_up(const destination *dest)
{
    mail_time now = now_of(dest);

    for (size_t i = 0; i < dest->plan_count; i++) {
        if (!host_is_down(dest->plan[i].hst, now)) {
            return &dest->plan[i];
        }
    }
    return NULL;
}

static const plan_entry *choose(destination *dest)
{
    static const mail_reply no_tls =
        MAIL_REPLY_INIT(451, 4, 7, 4, "TLS is required, and cannot be had on our side");
    const plan_entry *entry;

    while ((entry = first_up(dest)) != NULL && !session_is_possible(dest, entry)) {
        host_failed(&dest->agent->hosts, entry->hst, &no_tls, true, now_of(dest));
    }
    return entry;
}

static bool may_open(destination *dest)
{
    mail_deliver *agent = dest->agent;

    if (dest->opening > 0 || dest->lookup != NULL || dest->session_count >= dest->limit ||
        now_of(dest) < dest->open_after) {
        return false;
    }
    if (agent->sessions >= agent->opts.max_out) {
        starve(dest);
        return false;
    }
    return true;
}

/* A message waits and no session is free. */
static void open_another(destination *dest)
{
    const plan_entry *entry;

    if (!may_open(dest)) {
        return;
    }
    if (dest->plan_expires <= now_of(dest) && plan_make(dest) == MAIL_EAGAIN) {
        return;
    }
    if (dest->plan_count == 0) {
        fail_plan(dest);
        return;
    }
    entry = choose(dest);
    if (entry != NULL) {
        if (session_open(dest, entry, NULL) != MAIL_OK) {
            dest->open_after = now_of(dest) + SHORTAGE_PAUSE;
        }
    } else if (dest->session_count == 0) {
        fail_hosts(dest);
    }
}

static bool is_same_host(const plan_entry *entry, const session *ss)
{
    return strcmp(entry->name, ss->name) == 0 && entry->hst->at.port == ss->hst->at.port;
}

/*
 * Whatever keeps a host from taking a message, a full disk or a list of strangers, the next one may
 * do without: each is tried until one succeeds (RFC 5321, section 5.1). Another address of the same
 * host would say the same.
 */
const plan_entry *destination_next(const destination *dest, const session *ss)
{
    size_t i = 0;

    if (dest->agent->is_draining) {
        return NULL;
    }

    while (i < dest->plan_count && dest->plan[i].hst != ss->hst) {
        i++;
    }
    for (; i < dest->plan_count; i++) {
        const plan_entry *entry = &dest->plan[i];

        if (!is_same_host(entry, ss) && !host_is_down(entry->hst, now_of(dest)) &&
            session_is_possible(dest, entry)) {
            return entry;
        }
    }
    return NULL;
}

bool destination_hand_on(destination *dest, const plan_entry *entry, job *jb)
{
    const mail_deliver *agent = dest->agent;
    session *idle = idle_session(dest, entry->hst);

    if (idle != NULL) {
        session_send(idle, jb);
        return true;
    }
    return agent->sessions < agent->opts.max_out &&
           dest->session_count < agent->opts.max_out_per_destination &&
           session_open(dest, entry, jb) == MAIL_OK;
}

static void send_all(destination *dest)
{
    for (;;) {
        session *ss = idle_session(dest, NULL);

        if (dest->stash == NULL && !awaits_reports(dest)) {
            dest->stash = lease_next(dest);
        }
        if (ss == NULL || dest->stash == NULL) {
            return;
        }
        session_send(ss, take_stash(dest));
    }
}

/* Closes those that nobody has used for long; says when the next one will be due. */
static mail_time close_idle(destination *dest)
{
    mail_duration idle = dest->agent->is_draining ? 0 : dest->agent->opts.idle;
    mail_time next = MAIL_NEVER;

    for (list *link = dest->sessions.next; link != &dest->sessions; link = link->next) {
        session *ss = LIST_OWNER(link, session, link);
        mail_time at = ss->idle_since + idle;

        if (!ss->is_ready) {
            continue;
        }
        if (at <= now_of(dest)) {
            session_quit(ss);
        } else {
            next = at < next ? at : next;
        }
    }
    return next;
}

static mail_time next_wake(destination *dest)
{
    mail_time next = close_idle(dest);

    if (dest->is_failing && !awaits_reports(dest)) {
        return now_of(dest);
    }
    if (dest->stash != NULL && dest->open_after > now_of(dest) && dest->open_after < next) {
        next = dest->open_after;
    }
    return next;
}

void destination_go(destination *dest)
{
    if (dest->agent->is_draining && dest->stash != NULL) {
        job_drop(take_stash(dest));
    }
    if (!dest->is_failing) {
        send_all(dest);
        if (dest->stash != NULL) {
            open_another(dest);
        }
    }
    if (dest->is_failing) {
        sweep(dest);
    }
    if (is_over(dest)) {
        retire(dest);
    } else {
        set_timer(dest, next_wake(dest));
    }
}

static void on_timer(void *arg)
{
    destination_go(arg);
}
