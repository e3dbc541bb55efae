/* SPDX-License-Identifier: MIT */
#include "sim/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "mta/drop.h"
#include "queue/queue.h"

/* A disk is asked to be safe within so much. */
#define SYNC_MAX (20 * MAIL_MILLISECOND)

/* The real writer looks again by itself; here somebody has to. */
#define STEP_EVERY (5 * MAIL_SECOND)

#define SPOOL "spool"

#define SEGMENT_BYTES ((uint64_t)512 << 10)

static mail_time relay_now(void *arg)
{
    return ((sim_relay *)arg)->world->now;
}

static mail_wall relay_wall(void *arg)
{
    const sim_relay *rl = arg;

    return sim_wall(rl->world) + rl->wall_ahead / MAIL_SECOND;
}

static void on_line(mail_log_level level, const char *what, const mail_log_field *fields,
                    size_t count, void *arg)
{
    sim_relay *rl = arg;
    char line[1024];
    size_t length =
        mail_log_print(MAIL_LOG_TEXT, 0, level, what, fields, count, line, sizeof(line));

    line[length > 0 ? length - 1 : 0] = '\0';
    sim_trace(rl->world, "%s: %s", rl->name, strchr(line, ' ') + 1); /* the time is the world's */
    if (rl->opts.on_log != NULL) {
        rl->opts.on_log(level, what, fields, count, rl->opts.arg);
    }
}

/* From this moment on nothing reaches the disk or the network, whatever the relay still does. */
static void lose_power(sim_relay *rl)
{
    sim_trace(rl->world, "%s: crash", rl->name);
    rl->power_left = 0;
    fault_files_crash(rl->disk);
    if (rl->opts.on_outage != NULL) {
        rl->opts.on_outage(rl->opts.arg);
    }
    if (rl->is_up) {
        rl->crashes++;
        rl->is_up = false;
        rl->host.is_down = true;
        sim_host_cut(&rl->host, rl->silently);
        sim_event_set(rl->world, &rl->dying, rl->world->now);
    }
}

/* The loop that waits for a disk holds up all that is due meanwhile, at other hosts too. */
static void take_time(const sim_relay *rl)
{
    if (sim_chance(rl->world, rl->faults.slow)) {
        rl->world->now += (mail_duration)sim_below(rl->world, 3 * MAIL_SECOND);
    }
}

static int on_operation(fault_op op, const char *name, void *arg)
{
    sim_relay *rl = arg;
    unsigned chance = op == FAULT_READ   ? rl->faults.read
                      : op == FAULT_SYNC ? rl->faults.sync
                                         : rl->faults.write;

    (void)name;
    take_time(rl);
    if (rl->power_left > 0 && op != FAULT_READ && --rl->power_left == 0) {
        lose_power(rl);
        return -EIO;
    }
    return sim_chance(rl->world, chance) ? -EIO : 0;
}

/* Giving back and shrinking never fail. */
static void *resize(void *arg, void *old, size_t old_size, size_t size)
{
    sim_relay *rl = arg;

    /* A host that can't get up for want of memory gets some in the end. */
    if (size > old_size && rl->failed_in_a_row < 3 && sim_chance(rl->world, rl->no_memory)) {
        rl->starved++;
        return NULL;
    }
    return rl->mem.mem.resize(rl->mem.mem.arg, old, old_size, size);
}

static void on_work(void *arg)
{
    sim_relay *rl = arg;
    mail_time when = rl->world->now + (mail_duration)sim_below(rl->world, SYNC_MAX);

    if (rl->stepping.due.place == 0 || rl->stepping.due.key > when) {
        sim_event_set(rl->world, &rl->stepping, when);
    }
}

static void step_queue(void *arg)
{
    sim_relay *rl = arg;

    if (rl->queue != NULL) {
        queue_step(rl->queue);
        sim_event_set(rl->world, &rl->stepping, rl->world->now + STEP_EVERY);
    }
}

static void on_due(void *arg)
{
    const sim_relay *rl = arg;

    if (rl->deliver != NULL) {
        mail_deliver_wake(rl->deliver);
    }
}

static bool has_user(const mail_path *address, void *arg)
{
    const sim_relay *rl = arg;
    char path[MAIL_MAILBOX_PATH_SIZE];

    return rl->opts.mailbox_of(address, path, rl->opts.arg) == MAIL_OK;
}

static int open_queue(sim_relay *rl)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    opts.mem = &rl->scarce;
    opts.log = &rl->log;
    opts.retry = rl->opts.retry;
    opts.retry_count = rl->opts.retry_count;
    opts.give_up = rl->opts.give_up;
    opts.warn_after = rl->opts.warn_after;
    opts.segment_bytes = SEGMENT_BYTES;
    opts.large_bytes = 32 << 10;
    opts.reserve_bytes = 1 << 20;
    opts.on_due = on_due;
    opts.on_due_arg = rl;
    opts.now = relay_now;
    opts.wall = relay_wall;
    opts.clock_arg = rl;
    opts.files = fault_files_table(rl->disk);
    opts.random = &rl->world->random;
    opts.manual = true;
    opts.on_work = on_work;
    opts.on_work_arg = rl;
    return mail_queue_open(&rl->queue, SPOOL, &opts, NULL);
}

static int make_store(sim_relay *rl)
{
    mail_maildir_options opts = MAIL_MAILDIR_OPTIONS_INIT;

    opts.mem = &rl->scarce;
    opts.hostname = mail_span_text(rl->name);
    opts.wall = relay_wall;
    opts.wall_arg = rl;
    opts.files = fault_files_table(rl->disk);
    opts.random = &rl->world->random;
    opts.process = 1 + (long)rl->crashes + (long)rl->failed_boots;
    return mail_maildir_create(&rl->store, &opts);
}

static int make_resolver(sim_relay *rl)
{
    mail_resolver_options opts = MAIL_RESOLVER_OPTIONS_INIT;

    opts.mem = &rl->scarce;
    opts.servers = &rl->opts.dns;
    opts.server_count = 1;
    opts.own_hostname = mail_span_text(rl->name);
    opts.allow_private = true;
    opts.sockets = &rl->host.sockets;
    opts.random = &rl->world->random;
    return mail_resolver_create(&rl->resolver, &rl->loop.loop, &opts);
}

static int add_routes(const sim_relay *rl, mail_route_table *routes)
{
    int code = MAIL_OK;

    for (size_t i = 0; code == MAIL_OK && i < rl->opts.domain_count; i++) {
        char rule[MAIL_DOMAIN_SIZE + sizeof("=local")];
        mail_span domain = rl->opts.domains[i];

        snprintf(rule, sizeof(rule), "%.*s=local", (int)domain.length, domain.data);
        code = mail_route_table_add(routes, mail_span_text(rule), NULL);
    }
    for (size_t i = 0; code == MAIL_OK && i < rl->opts.route_count; i++) {
        code = mail_route_table_add(routes, mail_span_text(rl->opts.routes[i]), NULL);
    }
    return code;
}

static int make_routes(const sim_relay *rl, mail_route_table **out)
{
    int code = mail_route_table_create(out, &rl->scarce);

    if (code == MAIL_OK) {
        code = add_routes(rl, *out);
        if (code != MAIL_OK) {
            mail_route_table_destroy(*out);
        }
    }
    return code;
}

static int make_deliver(sim_relay *rl)
{
    mail_deliver_options opts = MAIL_DELIVER_OPTIONS_INIT;
    mail_route_table *routes;
    int code = make_routes(rl, &routes);

    if (code != MAIL_OK) {
        return code;
    }
    opts.mem = &rl->scarce;
    opts.log = &rl->log;
    opts.queue = rl->queue;
    opts.resolver = rl->resolver;
    opts.hostname = mail_span_text(rl->name);
    opts.store = rl->store;
    opts.mailbox_of = rl->opts.mailbox_of;
    opts.mailbox_arg = rl->opts.arg;
    opts.give_up = rl->opts.give_up;
    opts.on_delivery = rl->opts.on_delivery;
    opts.delivery_arg = rl->opts.arg;
    opts.max_out = rl->opts.max_out;
    opts.wall = relay_wall;
    opts.wall_arg = rl;
    opts.sockets = &rl->host.sockets;
    opts.random = &rl->world->random;
    code = mail_deliver_create(&rl->deliver, &rl->loop.loop, routes, &opts);
    if (code != MAIL_OK) {
        mail_route_table_destroy(routes);
    } else if (rl->opts.tls != NULL) {
        mail_deliver_set_tls(rl->deliver, rl->opts.tls, NULL);
    }
    return code;
}

static int set_aliases(const sim_relay *rl)
{
    mail_aliases *aliases;
    int code;

    if (rl->opts.aliases == NULL) {
        return MAIL_OK;
    }
    code = mail_aliases_read(&aliases, mail_span_text(rl->opts.aliases), "aliases",
                             rl->opts.domains, rl->opts.domain_count, &rl->scarce, NULL);
    if (code == MAIL_OK) {
        mail_receive_set_aliases(rl->receive, aliases);
    }
    return code;
}

static int make_receive(sim_relay *rl)
{
    const mail_endpoint smtp = {rl->host.address, 25};
    const mail_endpoint lmtp = {rl->host.address, 24};
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    int code;

    opts.mem = &rl->scarce;
    opts.log = &rl->log;
    opts.queue = rl->queue;
    opts.hostname = mail_span_text(rl->name);
    opts.local_domains = rl->opts.domains;
    opts.local_count = rl->opts.domain_count;
    opts.relay_from = &rl->opts.clients;
    opts.relay_count = 1;
    opts.has_user = has_user;
    opts.user_arg = rl;
    opts.wall = relay_wall;
    opts.wall_arg = rl;
    opts.sockets = &rl->host.sockets;
    opts.files = fault_files_table(rl->disk);
    opts.engine.max_message_bytes = rl->opts.max_message_bytes;
    opts.limits.sessions = rl->opts.max_sessions;
    opts.limits.sessions_per_client = rl->opts.max_sessions_per_client;
    code = mail_receive_create(&rl->receive, &rl->loop.loop, &opts);
    if (code == MAIL_OK && rl->opts.tls != NULL) {
        mail_receive_set_tls(rl->receive, rl->opts.tls);
    }
    if (code == MAIL_OK) {
        code = set_aliases(rl);
    }
    if (code == MAIL_OK) {
        code = mail_receive_listen(rl->receive, &smtp, MAIL_RECEIVE_SMTP, NULL, NULL);
    }
    if (code == MAIL_OK && rl->opts.takes_lmtp) {
        code = mail_receive_listen(rl->receive, &lmtp, MAIL_RECEIVE_LMTP, NULL, NULL);
    }
    if (code == MAIL_OK && rl->opts.takes_drop) {
        code = mail_receive_watch_drop(rl->receive, SPOOL, NULL);
    }
    return code;
}

static int make_pop3(sim_relay *rl)
{
    const mail_endpoint at = {rl->host.address, 110};
    mail_pop3_service_options opts = MAIL_POP3_SERVICE_OPTIONS_INIT;
    mail_pop3_server_options engine = MAIL_POP3_SERVER_OPTIONS_INIT;
    int code = mail_accounts_parse(&rl->accounts, mail_span_text(rl->opts.accounts), "accounts",
                                   &rl->scarce, NULL);

    if (code != MAIL_OK) {
        return code;
    }
    opts.mem = &rl->scarce;
    opts.log = &rl->log;
    opts.store = rl->store;
    opts.accounts = rl->accounts;
    opts.mail_dir = "mail";
    opts.auth_insecure = true;
    opts.limits.sessions = rl->opts.max_sessions;
    opts.limits.sessions_per_client = rl->opts.max_sessions_per_client;
    opts.sockets = &rl->host.sockets;
    engine.hostname = mail_span_text(rl->name);
    code = mail_pop3_service_create(&rl->pop3, &rl->loop.loop, &opts);
    return code == MAIL_OK ? mail_pop3_service_listen(rl->pop3, &at, &engine, NULL, NULL) : code;
}

/* What works with files on the loop is left: it needs the store. */
static void stop(sim_relay *rl)
{
    mail_receive_destroy(rl->receive);
    rl->receive = NULL;
    mail_deliver_destroy(rl->deliver);
    rl->deliver = NULL;
    if (rl->queue != NULL) {
        mail_queue_close(rl->queue);
    }
    rl->queue = NULL;
    mail_resolver_destroy(rl->resolver);
    rl->resolver = NULL;
    sim_event_unset(rl->world, &rl->stepping);
}

static void free_store(sim_relay *rl)
{
    if (rl->pop3 != NULL) {
        mail_pop3_service_destroy(rl->pop3);
    }
    rl->pop3 = NULL;
    mail_accounts_unref(rl->accounts);
    rl->accounts = NULL;
    mail_store_destroy(rl->store);
    rl->store = NULL;
    mail_test_mem_check(&rl->mem);
}

static int make_all(sim_relay *rl)
{
    int code = make_store(rl);

    if (code == MAIL_OK) {
        code = make_resolver(rl);
    }
    if (code == MAIL_OK) {
        code = open_queue(rl);
    }
    if (code == MAIL_OK) {
        code = make_deliver(rl);
    }
    if (code == MAIL_OK) {
        code = make_receive(rl);
    }
    return code == MAIL_OK ? make_pop3(rl) : code;
}

/* What was under way when the power went still uses the store. */
bool sim_relay_is_still(const sim_relay *rl)
{
    return rl->loop.works == 0 && (rl->pop3 == NULL || mail_pop3_service_sessions(rl->pop3) == 0);
}

static void boot(void *arg)
{
    sim_relay *rl = arg;
    int code;

    if (!sim_relay_is_still(rl)) {
        sim_event_set(rl->world, &rl->booting, rl->world->now + MAIL_SECOND);
        return;
    }
    free_store(rl);
    fault_files_reboot(rl->disk);
    rl->host.is_down = false;
    code = make_all(rl);
    if (fault_files_has_crashed(rl->disk)) {
        code = MAIL_EIO; /* the power has gone again */
    }
    sim_trace(rl->world, "%s: boot %d", rl->name, code);
    if (code != MAIL_OK) { /* the disk or the memory: later perhaps */
        assert_true(code == MAIL_EIO || code == MAIL_ENOMEM);
        stop(rl);
        rl->failed_boots++;
        rl->failed_in_a_row++;
        sim_event_set(rl->world, &rl->booting, rl->world->now + 10 * MAIL_SECOND);
        return;
    }
    rl->failed_in_a_row = 0;
    rl->is_up = true;
    on_work(rl);
}

static void on_pop3_cut(void *arg)
{
    (void)arg;
}

static void die(void *arg)
{
    sim_relay *rl = arg;

    mail_pop3_service_drain(rl->pop3, on_pop3_cut, NULL);
    mail_pop3_service_cut(rl->pop3);
    stop(rl);
    sim_event_set(rl->world, &rl->booting, rl->world->now + rl->outage);
}

void sim_relay_init(sim_relay *rl, sim_world *world, const sim_relay_options *opts)
{
    *rl = (sim_relay){.world = world, .opts = *opts, .name = opts->name};
    sim_host_init(&rl->host, world, rl->name, opts->address);
    sim_loop_init(&rl->loop, world);
    mail_test_mem_init(&rl->mem);
    rl->scarce = (mail_mem){resize, rl};
    rl->disk = fault_files_create(sim_below(world, UINT32_MAX));
    fault_files_set(rl->disk, on_operation, rl);
    fault_files_set_clock(rl->disk, relay_wall, rl);
    fault_files_set_short_writes(rl->disk, true);
    rl->log = (mail_log){on_line, rl, MAIL_LOG_INFO};
    rl->stepping = (sim_event){.fn = step_queue, .arg = rl};
    rl->booting = (sim_event){.fn = boot, .arg = rl};
    rl->dying = (sim_event){.fn = die, .arg = rl};
    boot(rl);
    assert_true(rl->is_up);
}

bool sim_relay_crash(sim_relay *rl, mail_duration outage, bool silently)
{
    if (!rl->is_up) {
        return false;
    }
    rl->outage = outage;
    rl->silently = silently;
    lose_power(rl);
    sim_event_unset(rl->world, &rl->dying);
    die(rl);
    return true;
}

void sim_relay_switch_off(sim_relay *rl)
{
    sim_relay_crash(rl, 0, true);
    sim_event_unset(rl->world, &rl->booting);
}

void sim_relay_crash_within(sim_relay *rl, unsigned n, mail_duration outage, bool silently)
{
    rl->power_left = n;
    rl->outage = outage;
    rl->silently = silently;
}

int sim_relay_drop(sim_relay *rl, const mail_envelope *envelope, mail_span content)
{
    const drop_seams seams = {
        .files = fault_files_table(rl->disk),
        .random = &rl->world->random,
        .wall = relay_wall,
        .wall_arg = rl,
        .no_poke = true,
    };
    mail_sink *sink;
    int code;

    if (!rl->is_up) {
        return MAIL_EAGAIN;
    }
    code = drop_begin(&sink, &seams, SPOOL, envelope, NULL, NULL, NULL);
    if (code != MAIL_OK) {
        return code;
    }
    code = mail_sink_write(sink, content);
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
        return code;
    }
    return mail_sink_finish(sink, NULL, NULL);
}

/* Measured, with room to spare: what a session holds, what a message, and what is always there. */
#define SESSION_BYTES ((size_t)128 << 10)
#define MESSAGE_BYTES ((size_t)4 << 10)
#define OTHER_BYTES   ((size_t)12 << 20)

/* Listeners, operators, questions to the DNS, files of the queue and of those who write mailboxes. */
#define OTHER_DESCRIPTORS 200

static bool has_more_sessions(const sim_relay *rl, size_t count)
{
    return rl->opts.max_sessions > 0 && count > rl->opts.max_sessions;
}

/* The index of the queue is looked at as it is: to ask the queue would have it take in what is new. */
const char *sim_relay_excess(const sim_relay *rl)
{
    size_t receiving;
    size_t reading;
    size_t sessions;

    if (!rl->is_up) {
        return NULL;
    }
    receiving = mail_receive_sessions(rl->receive);
    reading = mail_pop3_service_sessions(rl->pop3);
    sessions = receiving + reading;
    if (has_more_sessions(rl, receiving) || has_more_sessions(rl, reading)) {
        return "sessions";
    }
    if (rl->opts.max_out > 0 && rl->host.calls > rl->opts.max_out) {
        return "connections to others";
    }
    if (rl->mem.bytes > OTHER_BYTES + sessions * SESSION_BYTES +
                            (size_t)rl->queue->stats.recipients * MESSAGE_BYTES) {
        return "memory";
    }
    if (rl->host.fds > OTHER_DESCRIPTORS + sessions + rl->host.calls ||
        fault_files_handles(rl->disk) > OTHER_DESCRIPTORS + sessions) {
        return "descriptors";
    }
    return NULL;
}

static bool note_file(const char *name, void *arg)
{
    (void)name;
    *(bool *)arg = true;
    return false;
}

bool sim_relay_is_done(const sim_relay *rl)
{
    mail_queue_stats stats;
    bool has_files = false;

    if (!rl->is_up) {
        return false;
    }
    mail_queue_stats_read(rl->queue, &stats);
    if (stats.messages == 0) {
        (void)drop_list(fault_files_table(rl->disk), SPOOL, note_file, &has_files);
    }
    return stats.messages == 0 && !has_files;
}

static void on_drained(void *arg)
{
    ((sim_relay *)arg)->draining--;
}

void sim_relay_drain(sim_relay *rl)
{
    rl->draining = 3;
    mail_receive_drain(rl->receive, on_drained, rl);
    mail_deliver_drain(rl->deliver, on_drained, rl);
    mail_pop3_service_drain(rl->pop3, on_drained, rl);
}

bool sim_relay_is_drained(const sim_relay *rl)
{
    return rl->draining == 0 && rl->loop.works == 0;
}

void sim_relay_deinit(sim_relay *rl)
{
    stop(rl);
    free_store(rl);
    if (!rl->is_up) {
        fault_files_reboot(rl->disk);
    }
    assert_int_equal(fault_files_handles(rl->disk), 0);
    fault_files_destroy(rl->disk);
}
