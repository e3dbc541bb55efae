/* SPDX-License-Identifier: MIT */
#include "sim/story.h"

#include <stdlib.h>

#include "support/support.h"

/* How long after the last fault everything must have come to its end: longer than a message waits. */
#define AFTERMATH (44 * MAIL_HOUR)

#define ZONE_SIZE 4096

#define ROOMY ((uint64_t)1 << 40)

typedef struct story {
    story_options opts;
    sim_world world;
    sim_ledger ledger;
    sim_dns dns;
    char zones[2][ZONE_SIZE];
    sim_mx mxs[3]; /* the last by LMTP */
    sim_town_host town[STORY_HOSTS];
    sim_relay relays[STORY_HOSTS];
    sim_load load;
    sim_readers readers;
    sim_operators operators;
    sim_event trouble;
    mail_time fine_from; /* no more faults */
} story;

/* In one zone moving.example is at one host, for no time at all, in the other one at the next. */
static void make_zone(const story *st, unsigned host, char zone[ZONE_SIZE])
{
    size_t used = (size_t)snprintf(
        zone, ZONE_SIZE,
        "a.outside.example MX 10 m0.outside.example; a.outside.example MX 20 m1.outside.example;"
        "b.outside.example MX 10 m1.outside.example; m0.outside.example A 10.0.1.1;"
        "m1.outside.example A 10.0.1.2; now.changing.example MX 10 m1.outside.example;"
        "moving.example TTL %u; moving.example MX 10 m%u.outside.example;"
        "chain.example ALIAS one.chain.example; one.chain.example ALIAS two.chain.example;"
        "two.chain.example CNAME a.outside.example;"
        "loop.example ALIAS one.loop.example; one.loop.example ALIAS loop.example;"
        "dead.example MX 10 mx.dead.example; mx.dead.example A 10.0.9.9;" SIM_DNS_EVIL
        " A 6.6.6.6; nomail.example MX 0 .",
        host * 60, host);

    for (unsigned i = 0; i < st->opts.hosts; i++) {
        used += (size_t)snprintf(zone + used, ZONE_SIZE - used,
                                 "; h%u.example MX 10 mx.h%u.example; mx.h%u.example A 10.0.0.%u",
                                 i, i, i, i + 1);
    }
    assert_true(used < ZONE_SIZE);
}

static bool has(const story *st, unsigned fault)
{
    return (st->opts.faults & fault) != 0;
}

/*
 * Each kind of fault has a rate of its own in each world: none, a third, the usual one or three
 * times as much. Worlds in which one thing never fails show what another one does all the more.
 */
static unsigned rate(story *st, unsigned usual)
{
    static const unsigned thirds[] = {0, 1, 3, 9};

    return usual * thirds[sim_below(&st->world, MAIL_COUNT(thirds))] / 3;
}

static mail_duration operators_pause(story *st)
{
    unsigned visits = has(st, STORY_OPERATORS) ? rate(st, 60) : 0; /* a day */

    return visits > 0 ? MAIL_DAY / visits : 0;
}

static void set_net_faults(story *st)
{
    st->world.faults = (sim_net_faults){
        .refused = rate(st, 20000),
        .unanswered = rate(st, 5000),
        .reset = rate(st, 15000),
        .stalled = rate(st, 5000),
        .dribbled = rate(st, 5000),
        .cut = rate(st, 50000),
        .deaf = rate(st, 5000),
        .slow = rate(st, 10000),
        .distant = rate(st, 20000),
        .lost = rate(st, 50000),
    };
}

static void set_dns_faults(story *st)
{
    st->dns.faults = (sim_dns_faults){
        .servfail = rate(st, 20000),
        .truncated = rate(st, 50000),
        .nxdomain = rate(st, 50000),
        .late = rate(st, 20000),
        .lost = rate(st, 50000),
        .forged = rate(st, 50000),
        .foreign = rate(st, 50000),
        .changed = rate(st, 20000),
    };
}

static void set_peer_faults(story *st)
{
    for (size_t i = 0; i < MAIL_COUNT(st->mxs); i++) {
        st->mxs[i].faults = (sim_mx_faults){
            .transient = rate(st, 20000),
            .permanent = rate(st, 5000),
            .closes = rate(st, 10000),
            .closes_after_dot = rate(st, 10000),
            .silent = rate(st, 1000),
            .unwelcoming = rate(st, 5000),
        };
    }
}

static void set_faults(story *st)
{
    if (has(st, STORY_NET)) {
        set_net_faults(st);
    }
    if (has(st, STORY_DNS)) {
        set_dns_faults(st);
    }
    if (has(st, STORY_PEERS)) {
        set_peer_faults(st);
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        sim_relay *rl = &st->relays[i];

        if (has(st, STORY_DISKS)) {
            rl->faults = (sim_disk_faults){.read = rate(st, 50),
                                           .write = rate(st, 50),
                                           .sync = rate(st, 50),
                                           .slow = rate(st, 300)};
            rl->loop.work_max = MAIL_MILLISECOND + rate(st, 1000) * MAIL_MILLISECOND;
        }
        if (has(st, STORY_MEMORY)) {
            rl->no_memory = rl->loop.no_memory = rate(st, 2000);
        }
    }
}

static void end_faults(story *st)
{
    st->world.faults = (sim_net_faults){0};
    st->dns.faults = (sim_dns_faults){0};
    for (size_t i = 0; i < MAIL_COUNT(st->mxs); i++) {
        st->mxs[i].faults = (sim_mx_faults){0};
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        st->relays[i].faults = (sim_disk_faults){0};
        st->relays[i].loop.work_max = MAIL_MILLISECOND;
        st->relays[i].no_memory = st->relays[i].loop.no_memory = 0;
        st->relays[i].power_left = 0;
        fault_files_set_capacity(st->relays[i].disk, ROOMY);
    }
}

/* Between two things that it does, or in the middle of one. */
static void crash(story *st, sim_relay *rl)
{
    mail_duration outage = MAIL_SECOND + (mail_duration)sim_below(&st->world, 15 * MAIL_MINUTE);
    bool silently = sim_below(&st->world, 2) == 0;

    if (sim_below(&st->world, 2) == 0) {
        (void)sim_relay_crash(rl, outage, silently);
    } else {
        sim_relay_crash_within(rl, 1 + (unsigned)sim_below(&st->world, 100), outage, silently);
    }
}

/* A relay crashes, its disk fills up or is emptied, or its clock jumps. */
static void make_trouble(void *arg)
{
    story *st = arg;
    sim_world *world = &st->world;
    sim_relay *rl = &st->relays[sim_below(world, st->opts.hosts)];
    uint64_t dice = sim_below(world, 3);

    if (world->now >= st->fine_from) {
        return;
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        fault_files_set_capacity(st->relays[i].disk, ROOMY);
    }
    if (dice == 0 && has(st, STORY_CRASHES)) {
        crash(st, rl);
    } else if (dice == 1 && has(st, STORY_DISKS)) {
        fault_files_set_capacity(rl->disk, sim_below(world, 4 << 20));
        sim_trace(world, "%s: disk full", rl->name);
    } else if (dice == 2 && has(st, STORY_CLOCKS)) {
        /* A restart ages messages by what the calendar says: far from all of their time. */
        rl->wall_ahead = (mail_duration)sim_below(world, 8 * MAIL_HOUR) - 4 * MAIL_HOUR;
        sim_trace(world, "%s: clock", rl->name);
    }
    sim_event_set(world, &st->trouble, world->now + (mail_duration)sim_below(world, MAIL_HOUR));
}

static void begin(story *st)
{
    sim_world *world = &st->world;
    const mail_endpoint dns = {{4, {10, 0, 0, 253}, 0}, 53};

    sim_world_init(world, st->opts.seed);
    world->trace = st->opts.trace;
    world->trace_arg = st->opts.trace_arg;
    sim_ledger_init(&st->ledger, world, st->opts.messages);
    make_zone(st, 0, st->zones[0]);
    make_zone(st, 1, st->zones[1]);
    sim_dns_start(&st->dns, world, dns.ip, st->zones[0]);
    st->dns.other_zone = st->zones[1];
    for (size_t i = 0; i < MAIL_COUNT(st->mxs); i++) {
        sim_mx_start(&st->mxs[i], world, &st->ledger, (sim_mx_kind)i,
                     (mail_ip){4, {10, 0, 1, (unsigned char)(i + 1)}, 0});
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        sim_relay_options relay;

        sim_town_host_init(&st->town[i], &st->ledger, i, st->opts.hosts, &relay);
        relay.dns = dns;
        relay.tls = st->opts.tls;
        sim_relay_init(&st->relays[i], world, &relay);
    }
    sim_load_start(&st->load, world, &st->ledger, st->relays, st->opts.hosts, st->opts.length);
    sim_readers_start(&st->readers, world, &st->ledger, st->opts.hosts, MAIL_MINUTE);
    sim_operators_start(&st->operators, world, &st->ledger, st->relays, st->opts.hosts,
                        operators_pause(st));
    st->fine_from = world->now + st->opts.length;
    st->trouble = (sim_event){.fn = make_trouble, .arg = st};
    sim_event_set(world, &st->trouble, world->now + MAIL_MINUTE);
    set_faults(st);
}

/* Between any two events. */
static void watch_limits(const story *st)
{
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        const char *excess = sim_relay_excess(&st->relays[i]);

        if (excess != NULL) {
            sim_broken(&st->ledger, "%s has too many or too much: %s", st->relays[i].name, excess);
        }
    }
}

static bool is_watched(void *arg)
{
    watch_limits(arg);
    return false;
}

static bool is_quiet(void *arg)
{
    const story *st = arg;

    watch_limits(st);

    if (!sim_load_is_done(&st->load) || st->readers.open > 0 ||
        !sim_operators_are_done(&st->operators)) {
        return false;
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        if (!sim_relay_is_done(&st->relays[i])) {
            return false;
        }
    }
    return true;
}

static bool is_drained(void *arg)
{
    const story *st = arg;

    for (unsigned i = 0; i < st->opts.hosts; i++) {
        if (!sim_relay_is_drained(&st->relays[i])) {
            return false;
        }
    }
    return true;
}

static char *read_all(mail_source *source, size_t *length)
{
    char *text = malloc((size_t)1 << 20);
    mail_span span;

    assert_non_null(text);
    *length = 0;
    while (mail_source_peek(source, &span) == MAIL_OK && span.length > 0) {
        memcpy(text + *length, span.data, span.length);
        *length += span.length;
        mail_source_drop(source, span.length);
    }
    mail_source_close(source);
    text[*length] = '\0';
    return text;
}

/* What nobody has fetched. */
static void sweep(story *st, const sim_relay *rl, unsigned user)
{
    char name[16];
    char path[64];
    mail_mailbox *box;

    snprintf(name, sizeof(name), "user%u", user);
    snprintf(path, sizeof(path), "mail/%s/%s", rl->name, name);
    assert_int_equal(mail_mailbox_open(&box, rl->store, path, NULL), MAIL_OK);
    for (size_t i = 0; i < box->count; i++) {
        mail_source *source;
        size_t length;
        char *text;

        assert_int_equal(mail_mailbox_read(box, i, &source), MAIL_OK);
        text = read_all(source, &length);
        sim_ledger_seen(&st->ledger, name, rl->name, box->messages[i].id,
                        mail_span_of(text, length))
            ->is_seen = true;
        free(text);
    }
    mail_mailbox_close(box);
}

static void finish(story *st, story_result *out)
{
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        sim_relay *rl = &st->relays[i];

        out->crashes += rl->crashes;
        out->starved += rl->starved;
        for (unsigned user = 0; user < TOWN_USERS; user++) {
            sweep(st, rl, user);
        }
        sim_relay_deinit(rl);
    }
    sim_ledger_check(&st->ledger);
    for (size_t i = 0; i < MAIL_COUNT(st->mxs); i++) {
        sim_mx_stop(&st->mxs[i]);
    }
    sim_dns_stop(&st->dns);
    sim_world_run(&st->world, st->world.now + 3 * MAIL_HOUR, NULL, NULL);
    out->trace_sum = st->world.trace_sum;
    out->steps = st->world.steps;
    out->delivered = st->ledger.delivered;
    out->reported = st->ledger.reported;
    out->dropped = st->ledger.dropped;
    out->vanished = st->ledger.vanished;
    out->duplicates = st->ledger.duplicates;
    out->sessions = st->readers.sessions;
    out->fetched = st->readers.fetched;
    out->removed = st->readers.removed;
    out->changed = st->operators.changed;
    out->encrypted = st->ledger.encrypted;
    sim_world_deinit(&st->world);
    sim_ledger_deinit(&st->ledger);
}

void story_play(const story_options *opts, story_result *out)
{
    story *st = calloc(1, sizeof(*st));
    mail_time start;

    assert_non_null(st);
    *out = (story_result){0};
    st->opts = *opts;
    begin(st);
    start = st->world.now;
    sim_world_run(&st->world, st->fine_from, is_watched, st);
    end_faults(st);
    sim_readers_stop(&st->readers);
    sim_operators_stop(&st->operators);
    sim_world_run(&st->world, st->fine_from + AFTERMATH, is_quiet, st);
    if (!is_quiet(st)) {
        sim_broken(&st->ledger, "it does not come to an end");
    }
    for (unsigned i = 0; i < st->opts.hosts; i++) {
        sim_relay_drain(&st->relays[i]);
    }
    sim_world_run(&st->world, st->world.now + MAIL_HOUR, is_drained, st);
    if (!is_drained(st)) {
        sim_broken(&st->ledger, "the relays do not come to rest");
    }
    out->took = st->world.now - start;
    finish(st, out);
    free(st);
}
