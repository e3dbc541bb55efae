/* SPDX-License-Identifier: MIT */
/*
 * A sending is a relay of its own for one message: a queue in memory, the delivery
 * agent, a resolver. Each recipient's first outcome is its result; the last result
 * ends it.
 */
#include <mail/send.h>

#include <stdio.h>
#include <unistd.h>

#include <mail/address.h>
#include <mail/credentials.h>
#include <mail/deliver.h>
#include <mail/loop_poll.h>
#include <mail/queue.h>
#include <mail/resolver.h>
#include <mail/route.h>

#include "base/mem.h"

#define TIMEOUT (10 * MAIL_MINUTE)

typedef struct result {
    mail_send_result shown;
    char *texts; /* reply and host */
    size_t texts_size;
} result;

struct mail_send_results {
    const mail_mem *mem;
    mail_envelope envelope; /* what the recipients' names lie in */
    size_t count;
    result results[];
};

struct mail_sending {
    const mail_mem *mem;
    mail_loop *loop;
    mail_send_fn *fn;
    void *arg;
    mail_send_results *results;
    size_t missing; /* results */
    mail_queue *queue;
    mail_intake *intake;
    mail_resolver *resolver;
    mail_deliver *deliver;
    mail_bell *bell;   /* the intake has something to say */
    mail_timer *timer; /* time is up, or all is known */
};

size_t mail_send_results_count(const mail_send_results *results)
{
    return results->count;
}

mail_send_result mail_send_results_at(const mail_send_results *results, size_t index)
{
    return results->results[index].shown;
}

bool mail_send_results_are_good(const mail_send_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        if (results->results[i].shown.kind != MAIL_OUTCOME_ACCEPTED) {
            return false;
        }
    }
    return true;
}

void mail_send_results_destroy(mail_send_results *results)
{
    if (results == NULL) {
        return;
    }
    for (size_t i = 0; i < results->count; i++) {
        mem_free(results->mem, results->results[i].texts, results->results[i].texts_size);
    }
    mail_envelope_deinit(&results->envelope);
    mem_free(results->mem, results, sizeof(*results) + results->count * sizeof(result));
}

static int create_results(mail_send_results **out, const mail_envelope *envelope,
                          const mail_mem *mem)
{
    static const mail_reply untried =
        MAIL_REPLY_INIT(451, 4, 4, 7, "Not tried in the time allowed");
    size_t count = mail_envelope_count(envelope);
    mail_send_results *results = mem_alloc(mem, sizeof(*results) + count * sizeof(result));

    if (results == NULL) {
        return MAIL_ENOMEM;
    }
    results->mem = mem;
    results->count = count;
    mail_envelope_init(&results->envelope, mem);
    if (mail_envelope_copy(&results->envelope, envelope) != MAIL_OK) {
        mail_send_results_destroy(results);
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        results->results[i].shown = (mail_send_result){
            .recipient = mail_envelope_recipient(&results->envelope, i).address,
            .reply = untried,
        };
    }
    *out = results;
    return MAIL_OK;
}

/* Keeps the texts of an outcome. Without memory for them the codes must do. */
static void set_result(mail_send_results *results, result *res, const mail_delivery *delivery)
{
    size_t size = delivery->reply.text.length + delivery->host.length;

    res->shown.kind = delivery->kind;
    res->shown.reply = delivery->reply;
    res->shown.reply.text = (mail_span){0};
    res->texts = size > 0 ? mem_alloc(results->mem, size) : NULL;
    if (res->texts == NULL) {
        return;
    }
    res->texts_size = size;
    if (delivery->reply.text.length > 0) {
        memcpy(res->texts, delivery->reply.text.data, delivery->reply.text.length);
    }
    if (delivery->host.length > 0) {
        memcpy(res->texts + delivery->reply.text.length, delivery->host.data,
               delivery->host.length);
    }
    res->shown.reply.text = mail_span_of(res->texts, delivery->reply.text.length);
    res->shown.host = mail_span_of(res->texts + delivery->reply.text.length, delivery->host.length);
}

static void on_delivery(const mail_delivery *delivery, void *arg)
{
    mail_sending *sending = arg;
    mail_send_results *results = sending->results;

    for (size_t i = 0; i < results->count; i++) {
        result *res = &results->results[i];

        if (res->shown.kind == MAIL_OUTCOME_UNTRIED &&
            mail_span_equal(res->shown.recipient, delivery->recipient)) {
            set_result(results, res, delivery);
            sending->missing--;
        }
    }
    if (sending->missing == 0) {
        sending->loop->ops->timer_set(sending->timer, mail_loop_now(sending->loop));
    }
}

/* All but the results. */
static void dismantle(mail_sending *sending)
{
    const mail_loop_ops *ops = sending->loop->ops;

    mail_deliver_destroy(sending->deliver);
    mail_resolver_destroy(sending->resolver);
    if (sending->intake != NULL) {
        mail_intake_poll(sending->intake); /* in memory nothing is long under way */
        mail_intake_close(sending->intake);
    }
    if (sending->queue != NULL) {
        mail_queue_close(sending->queue);
    }
    ops->unbell(sending->bell);
    ops->untimer(sending->timer);
}

void mail_sending_cancel(mail_sending *sending)
{
    dismantle(sending);
    mail_send_results_destroy(sending->results);
    mem_free(sending->mem, sending, sizeof(*sending));
}

static void on_end(void *arg)
{
    mail_sending *sending = arg;

    dismantle(sending);
    sending->fn(sending->results, sending->arg);
    mail_send_results_destroy(sending->results);
    mem_free(sending->mem, sending, sizeof(*sending));
}

static void on_wake(void *arg)
{
    mail_sending *sending = arg;

    sending->loop->ops->ring(sending->bell);
}

static void on_bell(void *arg)
{
    mail_intake_poll(((mail_sending *)arg)->intake);
}

static void on_due(void *arg)
{
    mail_sending *sending = arg;

    if (sending->deliver != NULL) {
        mail_deliver_wake(sending->deliver);
    }
}

static int open_queue(mail_sending *sending, const mail_send_options *opts)
{
    mail_queue_options queue = MAIL_QUEUE_OPTIONS_INIT;
    int code;

    queue.mem = opts->mem;
    queue.log = opts->log;
    queue.in_memory = true;
    queue.on_due = on_due;
    queue.on_due_arg = sending;
    code = mail_queue_open(&sending->queue, "", &queue, NULL);
    return code == MAIL_OK ? mail_intake_open(&sending->intake, sending->queue, on_wake, sending)
                           : code;
}

static int create_resolver(mail_sending *sending, const mail_send_options *opts,
                           const char *hostname)
{
    mail_resolver_options resolver = MAIL_RESOLVER_OPTIONS_INIT;

    resolver.mem = opts->mem;
    resolver.servers = opts->servers;
    resolver.server_count = opts->server_count;
    resolver.allow_private = opts->allow_private;
    resolver.own_hostname = mail_span_text(hostname);
    return mail_resolver_create(&sending->resolver, sending->loop, &resolver);
}

/* A smart host is one that speaks SMTP: the other next hops of a route make no sense here. */
static int check_smart_host(const mail_route_table *routes, const char *smart_host, mail_error *err)
{
    const mail_nexthop *hop = mail_route_table_find(routes, MAIL_SPAN("x"));

    if (smart_host != NULL && (hop == NULL || hop->kind != MAIL_NEXTHOP_SMTP)) {
        return mail_error_set(err, MAIL_EINVAL, "the smart host is not HOST:PORT");
    }
    return MAIL_OK;
}

static int make_routes(mail_route_table **out, const mail_send_options *opts, mail_error *err)
{
    char rule[1024];
    int code;
    int n =
        snprintf(rule, sizeof(rule), "*=%s", opts->smart_host != NULL ? opts->smart_host : "mx");

    if (n >= (int)sizeof(rule)) {
        return mail_error_set(err, MAIL_EINVAL, "the smart host's name is too long");
    }
    code = mail_route_table_create(out, opts->mem);
    if (code == MAIL_OK) {
        code = mail_route_table_add(*out, mail_span_text(rule), err);
        if (code == MAIL_OK || code == MAIL_EINVAL) {
            code = check_smart_host(*out, opts->smart_host, err);
        }
        if (code != MAIL_OK) {
            mail_route_table_destroy(*out);
        }
    }
    return code;
}

static int create_agent(mail_sending *sending, const mail_send_options *opts, const char *hostname,
                        mail_error *err)
{
    mail_deliver_options deliver = MAIL_DELIVER_OPTIONS_INIT;
    mail_route_table *routes;
    int code = make_routes(&routes, opts, err);

    if (code != MAIL_OK) {
        return code;
    }
    deliver.mem = opts->mem;
    deliver.log = opts->log;
    deliver.queue = sending->queue;
    deliver.resolver = sending->resolver;
    deliver.hostname = mail_span_text(hostname);
    deliver.smtp_port = opts->smtp_port;
    deliver.no_reports = true;
    deliver.on_delivery = on_delivery;
    deliver.delivery_arg = sending;
    code = mail_deliver_create(&sending->deliver, sending->loop, routes, &deliver);
    if (code != MAIL_OK) {
        mail_route_table_destroy(routes);
    }
    return code;
}

/* Whom to believe. A machine that can do no TLS still sends in clear what may go so. */
static mail_tls_context *make_trust(const mail_send_options *opts)
{
    mail_tls_context_options own = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_context *context = NULL;

    if (opts->trust != NULL) {
        return mail_tls_context_ref(opts->trust);
    }
    if (opts->tls == MAIL_TLS_LEVEL_NONE && opts->user == NULL && opts->auth == NULL) {
        return NULL;
    }
    return mail_tls_context_create(&context, &own, NULL) == MAIL_OK ? context : NULL;
}

static int add_host(mail_credentials_table *table, const mail_send_options *opts, mail_span host,
                    mail_error *err)
{
    char rule[1024];
    int n;

    if (opts->auth == NULL) {
        return mail_credentials_table_add_password(
            table, host, mail_span_text(opts->user),
            mail_span_text(opts->password != NULL ? opts->password : ""), err);
    }
    n = snprintf(rule, sizeof(rule), "%.*s=%s", (int)host.length, host.data, opts->auth);
    if (n >= (int)sizeof(rule)) {
        return mail_error_set(err, MAIL_EINVAL, "the credentials are too long");
    }
    return mail_credentials_table_add(table, mail_span_of(rule, (size_t)n), err);
}

/* The same for each of the smart hosts. */
static int add_hosts(mail_credentials_table *table, const mail_send_options *opts, mail_error *err)
{
    mail_span rest = mail_span_text(opts->smart_host);
    int code = MAIL_OK;

    while (code == MAIL_OK && rest.length > 0) {
        const char *comma = memchr(rest.data, ',', rest.length);
        size_t length = comma != NULL ? (size_t)(comma - rest.data) : rest.length;

        code = add_host(table, opts, mail_span_first(rest, length), err);
        rest = mail_span_from(rest, length + (comma != NULL));
    }
    return code;
}

static int say_who(mail_sending *sending, const mail_send_options *opts, mail_error *err)
{
    mail_credentials_table *table;
    int code;

    if (opts->user == NULL && opts->auth == NULL) {
        return MAIL_OK;
    }
    if (opts->smart_host == NULL) {
        return mail_error_set(err, MAIL_EINVAL, "credentials are for a smart host");
    }
    code = mail_credentials_table_create(&table, opts->mem);
    if (code != MAIL_OK) {
        return code;
    }
    code = add_hosts(table, opts, err);
    if (code != MAIL_OK) {
        mail_credentials_table_destroy(table);
        return code;
    }
    mail_deliver_set_credentials(sending->deliver, table);
    return MAIL_OK;
}

static int set_tls(mail_sending *sending, const mail_send_options *opts)
{
    mail_tls_policy_table *policies;
    mail_tls_context *trust;
    char rule[32];
    int n = snprintf(rule, sizeof(rule), "*=%s", mail_tls_level_name(opts->tls));
    int code = mail_tls_policy_table_create(&policies, opts->mem);

    if (code != MAIL_OK) {
        return code;
    }
    code = mail_tls_policy_table_add(policies, mail_span_of(rule, (size_t)n), NULL);
    if (code != MAIL_OK) {
        mail_tls_policy_table_destroy(policies);
        return code;
    }
    trust = make_trust(opts);
    mail_deliver_set_tls(sending->deliver, trust, policies);
    mail_tls_context_unref(trust);
    return MAIL_OK;
}

static void on_stored(int code, void *arg)
{
    mail_sending *sending = arg;

    if (code != MAIL_OK) {
        sending->loop->ops->timer_set(sending->timer, mail_loop_now(sending->loop));
    }
}

static int put_message(mail_sending *sending, const mail_envelope *envelope, mail_span message)
{
    char id[MAIL_QUEUE_ID_SIZE];
    mail_sink *sink;
    int code = mail_intake_begin(sending->intake, envelope, message.length, id, &sink);

    while (code == MAIL_OK && message.length > 0) {
        size_t room = mail_sink_room(sink);
        size_t n = message.length < room ? message.length : room;

        code = n > 0 ? mail_sink_write(sink, mail_span_first(message, n)) : MAIL_ENOMEM;
        message = mail_span_from(message, n);
        if (code != MAIL_OK) {
            mail_sink_abort(sink);
            return code;
        }
    }
    if (code == MAIL_OK) {
        code = mail_sink_finish(sink, on_stored, sending);
    }
    return code == MAIL_EAGAIN ? MAIL_OK : code;
}

static int set_up(mail_sending *sending, const mail_envelope *envelope, mail_span message,
                  const mail_send_options *opts, mail_error *err)
{
    const mail_loop_ops *ops = sending->loop->ops;
    char hostname[256] = "localhost.localdomain";
    int code;

    if (opts->hostname != NULL) {
        snprintf(hostname, sizeof(hostname), "%s", opts->hostname);
    } else {
        (void)gethostname(hostname, sizeof(hostname) - 1);
    }
    code = ops->bell(sending->loop, on_bell, sending, &sending->bell);
    if (code == MAIL_OK) {
        code = ops->timer(sending->loop, on_end, sending, &sending->timer);
    }
    if (code == MAIL_OK) {
        code = open_queue(sending, opts);
    }
    if (code == MAIL_OK) {
        code = create_resolver(sending, opts, hostname);
    }
    if (code == MAIL_OK) {
        code = create_agent(sending, opts, hostname, err);
    }
    if (code == MAIL_OK) {
        code = set_tls(sending, opts);
    }
    if (code == MAIL_OK) {
        code = say_who(sending, opts, err);
    }
    if (code == MAIL_OK) {
        code = create_results(&sending->results, envelope, opts->mem);
    }
    return code == MAIL_OK ? put_message(sending, envelope, message) : code;
}

/* What a program was given may be anything: `a@b\r\nRCPT TO:<c@d>` is no address, and an error. */
static int check_envelope(const mail_envelope *envelope, mail_error *err)
{
    const unsigned flags = MAIL_PATH_UTF8 | MAIL_PATH_BARE;
    mail_path path;
    int code = mail_path_from_text(mail_envelope_sender(envelope), flags | MAIL_PATH_NULL, &path);

    if (code != MAIL_OK) {
        return mail_error_set(err, code == MAIL_ENOMEM ? code : MAIL_EINVAL,
                              "the sender is no address");
    }
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        code = mail_path_from_text(mail_envelope_recipient(envelope, i).address, flags, &path);
        if (code != MAIL_OK) {
            return mail_error_set(err, code == MAIL_ENOMEM ? code : MAIL_EINVAL,
                                  "recipient %zu is no address", i + 1);
        }
    }
    return mail_envelope_count(envelope) > 0 ? MAIL_OK
                                             : mail_error_set(err, MAIL_EINVAL, "no recipients");
}

int mail_send(mail_sending **out, mail_loop *loop, const mail_envelope *envelope, mail_span message,
              const mail_send_options *opts, mail_send_fn *fn, void *arg, mail_error *err)
{
    mail_sending *sending;
    int code;

    code = check_envelope(envelope, err);
    if (code != MAIL_OK) {
        return code;
    }
    sending = mem_alloc(opts->mem, sizeof(*sending));
    if (sending == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "out of memory");
    }
    *sending = (mail_sending){.mem = opts->mem, .loop = loop, .fn = fn, .arg = arg};
    sending->missing = mail_envelope_count(envelope);
    code = set_up(sending, envelope, message, opts, err);
    if (code != MAIL_OK) {
        if (err != NULL && err->code != code) {
            mail_error_set(err, code, "cannot send: %s", mail_strerror(code));
        }
        mail_sending_cancel(sending);
        return code;
    }
    loop->ops->timer_set(sending->timer,
                         mail_loop_now(loop) + (opts->timeout > 0 ? opts->timeout : TIMEOUT));
    *out = sending;
    return MAIL_OK;
}

/* What the blocking twin waits for. */
typedef struct waiting {
    mail_loop_poll *loop;
    const mail_mem *mem;
    mail_send_results *results;
    int code;
} waiting;

/* The results that are lent are copied, to be given away. */
static void on_results(const mail_send_results *results, void *arg)
{
    waiting *wait = arg;

    wait->code = create_results(&wait->results, &results->envelope, wait->mem);
    for (size_t i = 0; wait->code == MAIL_OK && i < results->count; i++) {
        mail_send_result from = mail_send_results_at(results, i);
        mail_delivery as_told = {.kind = from.kind, .reply = from.reply, .host = from.host};

        set_result(wait->results, &wait->results->results[i], &as_told);
    }
    mail_loop_poll_stop(wait->loop);
}

int mail_send_wait(mail_send_results **out, const mail_envelope *envelope, mail_span message,
                   const mail_send_options *opts, mail_error *err)
{
    waiting wait = {.mem = opts->mem, .code = MAIL_ESYS};
    mail_sending *sending;
    int code;

    code = mail_loop_poll_create(&wait.loop, opts->mem);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "cannot send: %s", mail_strerror(code));
    }
    code = mail_send(&sending, mail_loop_poll_loop(wait.loop), envelope, message, opts, on_results,
                     &wait, err);
    if (code == MAIL_OK) {
        code = mail_loop_poll_run(wait.loop);
        if (code == MAIL_OK) {
            code = wait.code;
        } else {
            mail_sending_cancel(sending);
        }
        if (code != MAIL_OK) {
            mail_error_set(err, code, "cannot send: %s", mail_strerror(code));
        }
    }
    mail_loop_poll_destroy(wait.loop);
    *out = code == MAIL_OK ? wait.results : NULL;
    return code;
}
