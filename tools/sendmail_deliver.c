/* SPDX-License-Identifier: MIT */
#include "sendmail_deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <mail/deliver.h>
#include <mail/loop_poll.h>
#include <mail/queue.h>
#include <mail/receive.h>
#include <mail/resolver.h>
#include <mail/route.h>

#include "exit_code.h"

/* How long is tried when nobody waits for the outcome. */
#define BUDGET (2 * MAIL_SECOND)

/* The same when that is all that was asked for. */
#define FLUSH_BUDGET MAIL_MINUTE

/* One after another: a spool of a single user needs no large segments. */
#define SEGMENT_BYTES ((uint64_t)1 << 20)

/*
 * A relay without listeners: what lies in drop/ goes into the queue, and from there
 * to other hosts, until nothing is left to do or the time is up.
 */
typedef struct attempt {
    const sendmail_options *opts;
    mail_loop_poll *loop;
    mail_queue *queue;
    mail_receive *receive;
    mail_resolver *resolver;
    mail_deliver *deliver;
    mail_timer *timer;
    mail_time until;
    bool is_over;
    char (*older)[MAIL_QUEUE_ID_SIZE]; /* messages that lay there before: their fate is not ours */
    size_t older_count;
    int worst;       /* exit code of the worst outcome */
    size_t outcomes; /* seen, of what came with this call */
    char reply[300];
} attempt;

static void on_due(void *arg)
{
    attempt *at = arg;

    if (at->deliver != NULL) {
        mail_deliver_wake(at->deliver);
    }
}

static int exit_code_of(const mail_delivery *delivery)
{
    switch (delivery->kind) {
    case MAIL_OUTCOME_ACCEPTED:
        return EX_OK;
    case MAIL_OUTCOME_PERMANENT:
        return exit_code_of_refusal(&delivery->reply);
    default:
        return EX_TEMPFAIL;
    }
}

static bool note_older(const mail_queue_item *item, void *arg)
{
    attempt *at = arg;
    void *grown = realloc(at->older, (at->older_count + 1) * sizeof(*at->older));

    if (grown == NULL) {
        return false;
    }
    at->older = grown;
    snprintf(at->older[at->older_count++], MAIL_QUEUE_ID_SIZE, "%s", item->id);
    return true;
}

static bool is_older(const attempt *at, const char *id)
{
    for (size_t i = 0; i < at->older_count; i++) {
        if (strcmp(at->older[i], id) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Each step where that was asked for. Else what is refused for good where nobody waits for the
 * outcome: it is said here, since a report to a user of this host may have no way to him.
 */
static void tell(const sendmail_options *opts, const mail_delivery *delivery, const char *reply)
{
    int length = (int)delivery->recipient.length;

    if (opts->verbose || opts->explain) {
        fprintf(stderr, "sendmail: %.*s: %s: %s", length, delivery->recipient.data,
                mail_outcome_kind_name(delivery->kind), reply);
        fprintf(stderr, delivery->host.length > 0 ? " (%.*s)\n" : "%.*s\n",
                (int)delivery->host.length, delivery->host.data);
    } else if (delivery->kind == MAIL_OUTCOME_PERMANENT && !opts->wait && !opts->flushes) {
        fprintf(stderr, "sendmail: %.*s: %s\n", length, delivery->recipient.data, reply);
    }
}

/* What became of one recipient; a refusal for good outweighs one for now. */
static void note_outcome(const mail_delivery *delivery, void *arg)
{
    attempt *at = arg;
    char reply[MAIL_REPLY_TEXT_SIZE];
    int code = exit_code_of(delivery);

    at->outcomes++;
    mail_reply_print(&delivery->reply, reply, sizeof(reply));
    tell(at->opts, delivery, reply);
    if (code != EX_OK && (at->worst == EX_OK || at->worst == EX_TEMPFAIL)) {
        at->worst = code;
        snprintf(at->reply, sizeof(at->reply), "%.*s: %.200s", (int)delivery->recipient.length,
                 delivery->recipient.data, reply);
    }
}

/* While we own the spool others may ask us. */
static void on_delivery(const mail_delivery *delivery, void *arg)
{
    const attempt *at = arg;

    if (at->receive != NULL) {
        mail_receive_tell(at->receive, delivery);
    }
    if (at->opts->flushes || !is_older(at, delivery->queue_id)) {
        note_outcome(delivery, arg);
    }
}

/* Looks now and then whether there is anything left that could be done. */
static void on_timer(void *arg)
{
    attempt *at = arg;
    mail_loop *loop = mail_loop_poll_loop(at->loop);
    mail_queue_stats stats;

    mail_queue_stats_read(at->queue, &stats);
    at->is_over = at->until <= mail_loop_now(loop) || (at->outcomes > 0 && stats.messages == 0);
    if (at->is_over) {
        mail_loop_poll_stop(at->loop);
        return;
    }
    /* Nothing is under way and nothing will be before the next retry. */
    if (at->outcomes > 0 && stats.leased == 0 && mail_queue_due_at(at->queue) > at->until) {
        at->is_over = true;
        mail_loop_poll_stop(at->loop);
        return;
    }
    loop->ops->timer_set(at->timer, mail_loop_now(loop) + 5 * MAIL_MILLISECOND);
}

int sendmail_resolver_make(mail_resolver **out, mail_loop *loop, const sendmail_options *opts,
                           const char *hostname, mail_error *err)
{
    mail_resolver_options own = MAIL_RESOLVER_OPTIONS_INIT;

    own.servers = opts->resolvers;
    own.server_count = opts->resolver_count;
    own.allow_private = opts->allow_private_mx;
    own.own_hostname = mail_span_text(hostname);
    if (mail_resolver_create(out, loop, &own) != MAIL_OK) {
        mail_error_set(err, MAIL_ENOMEM, "cannot resolve names");
        return EX_OSERR;
    }
    return EX_OK;
}

static int open_agent(attempt *at, const char *hostname, sendmail_tls *tls, mail_error *err)
{
    mail_deliver_options opts = MAIL_DELIVER_OPTIONS_INIT;
    mail_route_table *routes;
    char rule[SENDMAIL_ROUTE_SIZE];
    int code;

    snprintf(rule, sizeof(rule), "*=%s",
             at->opts->smart_host != NULL ? at->opts->smart_host : "mx");
    if (mail_route_table_create(&routes, NULL) != MAIL_OK) {
        return EX_OSERR;
    }
    if (mail_route_table_add(routes, mail_span_text(rule), err) != MAIL_OK) {
        mail_route_table_destroy(routes);
        return EX_OSERR;
    }
    opts.queue = at->queue;
    opts.resolver = at->resolver;
    opts.hostname = mail_span_text(hostname);
    opts.smtp_port = at->opts->smtp_port;
    opts.on_delivery = on_delivery;
    opts.delivery_arg = at;
    code = mail_deliver_create(&at->deliver, mail_loop_poll_loop(at->loop), routes, &opts);
    if (code != MAIL_OK) {
        mail_route_table_destroy(routes);
        mail_error_set(err, code, "cannot deliver: %s", mail_strerror(code));
        return EX_OSERR;
    }
    sendmail_tls_apply(tls, at->deliver);
    return EX_OK;
}

static int open_receive(attempt *at, const char *spool, const char *hostname, mail_error *err)
{
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    mail_loop *loop = mail_loop_poll_loop(at->loop);

    opts.queue = at->queue;
    opts.hostname = mail_span_text(hostname);
    opts.engine.max_message_bytes = UINT64_MAX; /* that is for the next host to judge */
    if (mail_receive_create(&at->receive, loop, &opts) != MAIL_OK ||
        mail_receive_watch_drop(at->receive, spool, err) != MAIL_OK ||
        loop->ops->timer(loop, on_timer, at, &at->timer) != MAIL_OK) {
        return EX_OSERR;
    }
    return EX_OK;
}

static void close_attempt(attempt *at)
{
    mail_deliver_destroy(at->deliver);
    mail_receive_destroy(at->receive);
    mail_resolver_destroy(at->resolver);
    if (at->queue != NULL) {
        mail_queue_close(at->queue);
    }
    if (at->timer != NULL) {
        mail_loop_poll_loop(at->loop)->ops->untimer(at->timer);
    }
    mail_loop_poll_destroy(at->loop);
}

static mail_duration patience_of(const sendmail_options *opts)
{
    return (mail_duration)(opts->wait_seconds * 1e9);
}

static int run(attempt *at, const char *spool, const char *hostname, sendmail_tls *tls,
               mail_error *err)
{
    mail_loop *loop = mail_loop_poll_loop(at->loop);
    int code = sendmail_resolver_make(&at->resolver, loop, at->opts, hostname, err);

    if (code == EX_OK) {
        code = open_agent(at, hostname, tls, err);
    }
    if (code == EX_OK) {
        code = open_receive(at, spool, hostname, err);
    }
    if (code != EX_OK) {
        return code;
    }
    at->until = mail_loop_now(loop) + (at->opts->wait      ? patience_of(at->opts)
                                       : at->opts->flushes ? FLUSH_BUDGET
                                                           : BUDGET);
    loop->ops->timer_set(at->timer, mail_loop_now(loop));
    while (!at->is_over && mail_loop_poll_run(at->loop) == MAIL_OK) {
    }
    return EX_OK;
}

/* The worst of what is known now, and which recipient it is about. */
static int judge(const attempt *at, mail_error *err)
{
    mail_error_set(err, MAIL_EAGAIN, "%s",
                   at->outcomes > 0 ? at->reply : "no outcome in the time allowed");
    return at->outcomes > 0 ? at->worst : EX_TEMPFAIL;
}

/* The owner of the spool takes the message, and how it fares is in its log: if we wait, from there. */
static int leave_to_owner(attempt *at, mail_operator *owner, mail_error *err)
{
    int code;

    if (at->opts->verbose || at->opts->explain) {
        fputs("sendmail: a relay owns the spool and delivers it\n", stderr);
    }
    if (owner == NULL) {
        return EX_OK;
    }
    code = mail_operator_outcomes(owner, patience_of(at->opts), note_outcome, at, err);
    if (code == MAIL_OK && at->outcomes == 0) {
        mail_error_set(err, MAIL_EAGAIN, "stored, and on hold or removed");
        return EX_TEMPFAIL;
    }
    if (code == MAIL_OK) {
        return judge(at, err);
    }
    /* It has gone, or needs longer: the message is stored all the same. */
    return code == MAIL_ELIMIT ? EX_DATAERR : EX_TEMPFAIL;
}

int sendmail_deliver(const char *spool, const sendmail_options *opts, const char *hostname,
                     sendmail_tls *tls, mail_operator *owner, mail_error *err)
{
    mail_queue_options queue = MAIL_QUEUE_OPTIONS_INIT;
    attempt at = {.opts = opts};
    int code = EX_OK;
    int opened;

    if (mail_loop_poll_create(&at.loop, NULL) != MAIL_OK) {
        return opts->wait ? EX_TEMPFAIL : EX_OK;
    }
    queue.segment_bytes = SEGMENT_BYTES;
    queue.on_due = on_due;
    queue.on_due_arg = &at;
    opened = mail_queue_open(&at.queue, spool, &queue, err);
    if (opened == MAIL_OK) {
        (void)mail_queue_list(at.queue, &(mail_queue_selector){.all = true}, note_older, &at);
        code = run(&at, spool, hostname, tls, err);
    } else if (opened == MAIL_EBUSY || opened == MAIL_EPERM) { /* of a spool for all users, too */
        code = leave_to_owner(&at, owner, err);
    } else if (opts->wait) {
        code = EX_TEMPFAIL;
    }
    close_attempt(&at);
    free(at.older);
    if (code == EX_OK && opts->wait && opened == MAIL_OK) {
        code = judge(&at, err);
    }
    return code;
}
