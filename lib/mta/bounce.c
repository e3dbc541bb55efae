/* SPDX-License-Identifier: MIT */
#include "mta/bounce.h"

#include <mail/dsn.h>

#include "base/mem.h"
#include "mta/job.h"

/* Octets written before the loop gets its turn. */
#define WRITE_STEP ((size_t)256 * 1024)

/* Jobs that one report gathers: each keeps its lease until the report is safe. */
#define JOBS_MAX 100

/*
 * Reports that gather at a time, and those on their way: each has a lease and then a copy of the
 * message in memory, for as long as others are slow, or the disk is.
 */
#define GATHERING_MAX 256
#define REPORTS_MAX   256

/* How long nothing is told that could as well be told later, once a report could not be queued. */
#define FAILURE_PAUSE (30 * MAIL_SECOND)

struct bounce_desk {
    mail_deliver *agent;
    mail_intake *intake;
    mail_bell *bell;
    list reports;
    table gathering; /* those that still wait for jobs, by the message's id */
    size_t count;
    bool was_full; /* and the agent waits for the end of some */
    mail_time stuck_until;
};

/*
 * One report on its way into the queue. It gathers what becomes of all recipients of a message
 * that are tried at this time, whichever ways they go (RFC 3461, section 5.2.8): until nothing
 * of the message is under way any more, or for a short while.
 *
 * Only once it is safe in the queue the queue hears of what it tells: a crash in between sends
 * it twice, and never not at all (RFC 5321, section 6.1). What it need not tell is written down
 * before, so that waiting repeats no delivery.
 *
 *     gathering -> being written -> finishing -> end
 */
typedef struct report {
    list link;
    table_entry by_id; /* while it gathers */
    bounce_desk *desk;
    list jobs; /* of one message; the first one's lease describes it */
    size_t job_count;
    size_t leased; /* recipients that they hold */
    mail_dsn_recipient *rows;
    size_t count;
    mail_source *text;
    mail_sink *sink;   /* NULL: not begun, or finished */
    mail_timer *timer; /* the end of gathering; then to go on writing */
    bool is_gathering;
    bool is_finishing;
    char id[MAIL_QUEUE_ID_SIZE];
} report;

static void on_bell(void *arg)
{
    bounce_desk *desk = arg;

    mail_intake_poll(desk->intake);
}

static void ring(void *arg)
{
    bounce_desk *desk = arg;

    desk->agent->loop->ops->ring(desk->bell);
}

int bounce_desk_create(bounce_desk **out, mail_deliver *agent)
{
    bounce_desk *desk = mem_alloc(agent->mem, sizeof(*desk));
    int code;

    if (desk == NULL) {
        return MAIL_ENOMEM;
    }
    desk->agent = agent;
    desk->stuck_until = INT64_MIN;
    list_init(&desk->reports);
    table_init(&desk->gathering, agent->mem);
    code = agent->loop->ops->bell(agent->loop, on_bell, desk, &desk->bell);
    if (code == MAIL_OK) {
        code = mail_intake_open(&desk->intake, agent->opts.queue, ring, desk);
    }
    if (code != MAIL_OK) {
        bounce_desk_destroy(desk);
        return code;
    }
    *out = desk;
    return MAIL_OK;
}

size_t bounce_desk_count(const bounce_desk *desk)
{
    return desk->count;
}

bool bounce_desk_is_stuck(const bounce_desk *desk)
{
    return mail_loop_now(desk->agent->loop) < desk->stuck_until;
}

void bounce_desk_stick(bounce_desk *desk)
{
    desk->stuck_until = mail_loop_now(desk->agent->loop) + FAILURE_PAUSE;
}

static size_t on_their_way(const bounce_desk *desk)
{
    return desk->count - desk->gathering.count;
}

bool bounce_desk_is_full(bounce_desk *desk)
{
    bool is_full = on_their_way(desk) >= REPORTS_MAX && !desk->agent->is_draining;

    desk->was_full |= is_full;
    return is_full;
}

/* What was not begun for the sake of the reports can be begun now. */
static void note_room(bounce_desk *desk)
{
    if (desk->was_full && on_their_way(desk) <= REPORTS_MAX / 2) {
        desk->was_full = false;
        deliver_call_soon(desk->agent);
    }
}

static mail_lease *lease_of(const report *rp)
{
    return LIST_OWNER(rp->jobs.next, job, in_report)->lease;
}

static void stop_gathering(report *rp)
{
    if (rp->is_gathering) {
        rp->is_gathering = false;
        rp->desk->agent->loop->ops->timer_set(rp->timer, MAIL_NEVER);
        table_remove(&rp->desk->gathering, &rp->by_id);
    }
}

/* Its jobs must have been taken out. */
static void free_report(report *rp)
{
    bounce_desk *desk = rp->desk;
    const mail_deliver *agent = desk->agent;

    stop_gathering(rp);
    if (rp->sink != NULL) {
        mail_sink_abort(rp->sink);
    }
    if (rp->text != NULL) {
        mail_source_close(rp->text);
    }
    agent->loop->ops->untimer(rp->timer);
    mem_free(agent->mem, rp->rows, rp->count * sizeof(*rp->rows));
    list_remove(&rp->link);
    desk->count--;
    mem_free(agent->mem, rp, sizeof(*rp));
}

static void drop_jobs(report *rp)
{
    list *link;

    while ((link = list_pop_front(&rp->jobs)) != NULL) {
        job_drop(LIST_OWNER(link, job, in_report));
    }
}

/* Those that the queue is about to make safe are waited for: it is no more than a flush. */
static void await_finishing(bounce_desk *desk)
{
    for (list *link = desk->reports.next; link != &desk->reports;) {
        report *rp = LIST_OWNER(link, report, link);

        link = link->next;
        if (!rp->is_finishing) {
            drop_jobs(rp);
            free_report(rp);
        }
    }
    if (desk->intake != NULL) {
        mail_intake_settle(desk->intake);
    }
}

void bounce_desk_destroy(bounce_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    await_finishing(desk);
    if (desk->intake != NULL) {
        mail_intake_close(desk->intake);
    }
    table_deinit(&desk->gathering);
    desk->agent->loop->ops->unbell(desk->bell);
    mem_free(desk->agent->mem, desk, sizeof(*desk));
}

static void tell_end(const report *rp, int code)
{
    const mail_log_field fields[] = {
        {"queue_id", mail_span_text(mail_lease_id(lease_of(rp)))},
        {"report", mail_span_text(rp->id)},
        {"to", mail_envelope_sender(mail_lease_envelope(lease_of(rp)))},
        {"reason", mail_span_text(mail_strerror(code))},
    };

    if (code == MAIL_OK) {
        mail_metric_count(rp->desk->agent->measure.reports, 1);
        mail_log_line(rp->desk->agent->log, MAIL_LOG_INFO, "reported to sender", fields, 3);
    } else {
        mail_log_line(rp->desk->agent->log, MAIL_LOG_ERROR, "not reported to sender", fields, 4);
    }
}

static void end(report *rp, int code)
{
    mail_deliver *agent = rp->desk->agent;
    /* To a sender that is no address nothing can ever be reported. */
    bool is_reported = code == MAIL_OK || code == MAIL_EINVAL;
    list *link;

    tell_end(rp, code);
    if (!is_reported) {
        bounce_desk_stick(rp->desk);
    }
    while ((link = list_pop_front(&rp->jobs)) != NULL) {
        job_settle(LIST_OWNER(link, job, in_report), is_reported);
    }
    free_report(rp);
    note_room(agent->bounces);
    deliver_note_end(agent);
}

static void on_finished(int code, void *arg)
{
    report *rp = arg;

    rp->is_finishing = false;
    end(rp, code);
}

static void finish(report *rp)
{
    mail_sink *sink = rp->sink;
    int code;

    rp->sink = NULL;
    rp->is_finishing = true;
    code = mail_sink_finish(sink, on_finished, rp);
    if (code != MAIL_EAGAIN) {
        rp->is_finishing = false;
        end(rp, code);
    }
}

/* As much as the queue has room for, within one step. */
static void write_on(void *arg)
{
    report *rp = arg;
    mail_loop *loop = rp->desk->agent->loop;
    size_t left = WRITE_STEP;

    while (left > 0) {
        size_t room = mail_sink_room(rp->sink);
        mail_span bytes;
        int code;

        if (room == 0) {
            return; /* on_room will come */
        }
        code = mail_source_peek(rp->text, &bytes);
        if (code == MAIL_OK && bytes.length == 0) {
            finish(rp);
            return;
        }
        bytes.length = bytes.length < room ? bytes.length : room;
        bytes.length = bytes.length < left ? bytes.length : left;
        if (code == MAIL_OK) {
            code = mail_sink_write(rp->sink, bytes);
        }
        if (code != MAIL_OK) {
            end(rp, code);
            return;
        }
        mail_source_drop(rp->text, bytes.length);
        left -= bytes.length;
    }
    loop->ops->timer_set(rp->timer, mail_loop_now(loop));
}

static mail_dsn_recipient row_of(const job *jb, const notice *nt)
{
    const mail_recipient recipient =
        mail_envelope_recipient(mail_lease_envelope(jb->lease), nt->index);
    mail_duration give_up = jb->agent->opts.give_up;
    mail_dsn_recipient row = {
        .address = nt->address,
        .orcpt = recipient.orcpt,
        .action = nt->action,
        .has_expired = nt->has_expired,
        .reply = nt->reply,
        .remote_mta = nt->is_local ? MAIL_SPAN("") : nt->host,
    };

    if (nt->action == MAIL_DSN_DELAYED && give_up > 0) {
        row.retry_until = mail_lease_arrival(jb->lease) + give_up / MAIL_SECOND;
    }
    return row;
}

static size_t count_notices(const report *rp)
{
    size_t count = 0;

    for (const list *at = rp->jobs.next; at != &rp->jobs; at = at->next) {
        const job *jb = LIST_OWNER(at, job, in_report);

        for (const list *link = jb->notices.next; link != &jb->notices; link = link->next) {
            count++;
        }
    }
    return count;
}

static int make_rows(report *rp)
{
    size_t n = 0;

    rp->count = count_notices(rp);
    rp->rows = mem_alloc(rp->desk->agent->mem, rp->count * sizeof(*rp->rows));
    if (rp->rows == NULL) {
        return MAIL_ENOMEM;
    }
    for (const list *at = rp->jobs.next; at != &rp->jobs; at = at->next) {
        const job *jb = LIST_OWNER(at, job, in_report);

        for (const list *link = jb->notices.next; link != &jb->notices; link = link->next) {
            rp->rows[n++] = row_of(jb, LIST_OWNER(link, notice, link));
        }
    }
    return MAIL_OK;
}

static mail_dsn describe(const report *rp)
{
    const mail_deliver *agent = rp->desk->agent;
    const mail_lease *lease = lease_of(rp);
    const mail_envelope *envelope = mail_lease_envelope(lease);
    const mail_smtp_content *content = mail_lease_content(lease);

    return (mail_dsn){
        .hostname = mail_span_text(agent->hostname),
        .sender = mail_envelope_sender(envelope),
        .envid = mail_envelope_envid(envelope),
        .queue_id = mail_span_text(mail_lease_id(lease)),
        .arrival = mail_lease_arrival(lease),
        .when = deliver_wall(agent),
        .ret = envelope->ret,
        .smtputf8 = envelope->smtputf8,
        .recipients = rp->rows,
        .count = rp->count,
        .original_size = content->size,
        .original_has_8bit = content->has_8bit,
        .original_has_nul = content->has_nul,
        .original_has_utf8_header = content->has_utf8_header,
        .max_original_bytes = agent->opts.max_return_bytes,
        .random = agent->opts.random,
    };
}

static int open_text(report *rp, const mail_dsn *dsn)
{
    mail_source *original;
    int code;

    if (mail_lease_body(lease_of(rp), &original) != MAIL_OK) {
        original = NULL; /* better a report without the message than none */
    }
    code = mail_dsn_open(&rp->text, dsn, original, rp->desk->agent->mem);
    if (code != MAIL_OK && original != NULL) {
        mail_source_close(original);
    }
    return code;
}

static int begin(report *rp)
{
    mail_envelope envelope;
    mail_dsn dsn;
    int code = make_rows(rp);

    if (code != MAIL_OK) {
        return code;
    }
    dsn = describe(rp);
    mail_envelope_init(&envelope, rp->desk->agent->mem);
    code = mail_dsn_address(&dsn, &envelope);
    if (code == MAIL_OK) {
        code = open_text(rp, &dsn);
    }
    if (code == MAIL_OK) {
        code = mail_intake_begin(rp->desk->intake, &envelope, 0, rp->id, &rp->sink);
    }
    if (code != MAIL_OK) {
        rp->sink = NULL;
    }
    mail_envelope_deinit(&envelope);
    return code;
}

static void start(report *rp)
{
    int code;

    stop_gathering(rp);
    code = begin(rp);
    if (code != MAIL_OK) {
        end(rp, code);
        return;
    }
    rp->sink->on_room = write_on;
    rp->sink->on_room_arg = rp;
    write_on(rp);
}

static void on_timer(void *arg)
{
    report *rp = arg;

    if (rp->is_gathering) {
        start(rp);
    } else {
        write_on(rp);
    }
}

/* Whether more is to be told soon. */
static bool is_worth_waiting(const report *rp)
{
    const mail_lease *first = lease_of(rp);
    size_t gathered = rp->leased - mail_lease_held(first);

    return !rp->desk->agent->is_draining && rp->job_count < JOBS_MAX &&
           rp->desk->gathering.count <= GATHERING_MAX && mail_lease_others(first) > gathered;
}

static uint64_t hash_of(const bounce_desk *desk, const char *id)
{
    return hash_bytes(&desk->agent->seed, mail_span_text(id));
}

static report *find(const bounce_desk *desk, const char *id)
{
    if (desk->gathering.count == 0) {
        return NULL; /* by far the most often */
    }
    for (table_entry *e = table_first(&desk->gathering, hash_of(desk, id)); e != NULL;
         e = table_next(e)) {
        report *rp = LIST_OWNER(e, report, by_id);

        if (strcmp(mail_lease_id(lease_of(rp)), id) == 0) {
            return rp;
        }
    }
    return NULL;
}

static report *make(bounce_desk *desk, const char *id)
{
    mail_deliver *agent = desk->agent;
    report *rp = mem_alloc(agent->mem, sizeof(*rp));
    int code;

    if (rp == NULL) {
        return NULL;
    }
    rp->desk = desk;
    list_init(&rp->jobs);
    list_push_back(&desk->reports, &rp->link);
    desk->count++;
    code = agent->loop->ops->timer(agent->loop, on_timer, rp, &rp->timer);
    if (code == MAIL_OK) {
        code = table_insert(&desk->gathering, &rp->by_id, hash_of(desk, id));
    }
    if (code != MAIL_OK) {
        free_report(rp);
        return NULL;
    }
    rp->is_gathering = true;
    agent->loop->ops->timer_set(rp->timer, mail_loop_now(agent->loop) + agent->opts.gather);
    return rp;
}

void bounce_add(bounce_desk *desk, job *jb)
{
    const char *id = mail_lease_id(jb->lease);
    report *rp = find(desk, id);

    if (rp == NULL) {
        rp = make(desk, id);
    }
    if (rp == NULL) {
        bounce_desk_stick(desk);
        job_settle(jb, false);
        return;
    }
    list_push_back(&rp->jobs, &jb->in_report);
    rp->job_count++;
    rp->leased += mail_lease_held(jb->lease);
    if (!is_worth_waiting(rp)) {
        start(rp);
    }
}

void bounce_look(bounce_desk *desk, const char *id)
{
    report *rp = find(desk, id);

    if (rp != NULL && !is_worth_waiting(rp)) {
        start(rp);
    }
}

void bounce_desk_hurry(bounce_desk *desk)
{
    for (list *link = desk->reports.next; link != &desk->reports;) {
        report *rp = LIST_OWNER(link, report, link);

        link = link->next;
        if (rp->is_gathering) {
            start(rp);
        }
    }
}
