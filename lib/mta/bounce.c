/* SPDX-License-Identifier: MIT */
#include "mta/bounce.h"

#include <time.h>

#include <mail/dsn.h>

#include "base/mem.h"
#include "mta/job.h"

/* Octets written before the loop gets its turn. */
#define WRITE_STEP ((size_t)256 * 1024)

struct bounce_desk {
    mail_deliver *agent;
    mail_intake *intake;
    mail_bell *bell;
    list reports;
    size_t count;
};

/*
 * One report on its way into the queue. Only once it is safe there the queue hears of what it
 * tells: a crash in between sends it twice, and never not at all (RFC 5321, section 6.1).
 */
typedef struct report {
    list link;
    bounce_desk *desk;
    job *jb;
    mail_dsn_recipient *rows;
    size_t count;
    mail_source *text;
    mail_sink *sink;   /* NULL: not begun, or finished */
    mail_timer *timer; /* to go on writing */
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
    list_init(&desk->reports);
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

static void free_report(report *rp)
{
    bounce_desk *desk = rp->desk;
    const mail_deliver *agent = desk->agent;

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

/* Those that the queue is about to make safe are waited for: it is no more than a flush. */
static void await_finishing(bounce_desk *desk)
{
    const struct timespec pause = {.tv_nsec = (long)MAIL_MILLISECOND};

    for (list *link = desk->reports.next; link != &desk->reports;) {
        report *rp = LIST_OWNER(link, report, link);

        link = link->next;
        if (!rp->is_finishing) {
            job *jb = rp->jb;

            free_report(rp);
            job_drop(jb);
        }
    }
    while (!list_is_empty(&desk->reports)) {
        mail_intake_poll(desk->intake);
        if (!list_is_empty(&desk->reports)) {
            nanosleep(&pause, NULL);
        }
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
    desk->agent->loop->ops->unbell(desk->bell);
    mem_free(desk->agent->mem, desk, sizeof(*desk));
}

static void tell_end(const report *rp, int code)
{
    const mail_log_field fields[] = {
        {"queue_id", mail_span_text(mail_lease_id(rp->jb->lease))},
        {"report", mail_span_text(rp->id)},
        {"to", mail_envelope_sender(mail_lease_envelope(rp->jb->lease))},
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
    job *jb = rp->jb;

    tell_end(rp, code);
    free_report(rp);
    /* To a sender that is no address nothing can ever be reported. */
    job_settle(jb, code == MAIL_OK || code == MAIL_EINVAL);
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
static void go_on(void *arg)
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
        .address = recipient.address,
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

static int make_rows(report *rp)
{
    const job *jb = rp->jb;

    for (const list *link = jb->notices.next; link != &jb->notices; link = link->next) {
        rp->count++;
    }
    rp->rows = mem_alloc(jb->agent->mem, rp->count * sizeof(*rp->rows));
    if (rp->rows == NULL) {
        return MAIL_ENOMEM;
    }
    rp->count = 0;
    for (const list *link = jb->notices.next; link != &jb->notices; link = link->next) {
        rp->rows[rp->count++] = row_of(jb, LIST_OWNER(link, notice, link));
    }
    return MAIL_OK;
}

static mail_dsn describe(const report *rp)
{
    const mail_deliver *agent = rp->desk->agent;
    const mail_envelope *envelope = mail_lease_envelope(rp->jb->lease);
    const mail_smtp_content *content = mail_lease_content(rp->jb->lease);

    return (mail_dsn){
        .hostname = mail_span_text(agent->hostname),
        .sender = mail_envelope_sender(envelope),
        .envid = mail_envelope_envid(envelope),
        .queue_id = mail_span_text(mail_lease_id(rp->jb->lease)),
        .arrival = mail_lease_arrival(rp->jb->lease),
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

    if (mail_lease_body(rp->jb->lease, &original) != MAIL_OK) {
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

void bounce_begin(bounce_desk *desk, job *jb)
{
    mail_deliver *agent = desk->agent;
    report *rp = mem_alloc(agent->mem, sizeof(*rp));
    int code;

    if (rp == NULL) {
        job_settle(jb, false);
        return;
    }
    rp->desk = desk;
    rp->jb = jb;
    list_push_back(&desk->reports, &rp->link);
    desk->count++;
    code = agent->loop->ops->timer(agent->loop, go_on, rp, &rp->timer);
    if (code == MAIL_OK) {
        code = begin(rp);
    }
    if (code != MAIL_OK) {
        end(rp, code);
        return;
    }
    rp->sink->on_room = go_on;
    rp->sink->on_room_arg = rp;
    go_on(rp);
}
