/* SPDX-License-Identifier: MIT */
#include "mta/job.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

static int make(job **out, mail_deliver *agent, mail_lane *lane,
                int (*lease)(mail_lane *lane, mail_lease **out))
{
    job *jb = mem_alloc(agent->mem, sizeof(*jb));
    int code = jb != NULL ? lease(lane, &jb->lease) : MAIL_ENOMEM;

    while (code == MAIL_EDAMAGED) { /* set aside: the next one may be sound */
        code = lease(lane, &jb->lease);
    }
    if (code != MAIL_OK) {
        mem_free(agent->mem, jb, sizeof(*jb));
        return code;
    }
    jb->agent = agent;
    list_init(&jb->notices);
    list_init(&jb->in_report);
    list_push_back(&agent->jobs, &jb->link);
    *out = jb;
    return MAIL_OK;
}

void job_drop(job *jb)
{
    mail_deliver *agent = jb->agent;
    list *link;

    while ((link = list_pop_front(&jb->notices)) != NULL) {
        notice *nt = LIST_OWNER(link, notice, link);

        mem_free(agent->mem, nt, nt->size);
    }
    mail_lease_end(jb->lease);
    list_remove(&jb->link);
    mem_free(agent->mem, jb, sizeof(*jb));
    deliver_arm(agent);
}

/* How long the message has been here, by the calendar, which may have been put back. */
static int64_t age_of(const job *jb)
{
    mail_wall age = deliver_wall(jb->agent) - mail_lease_arrival(jb->lease);

    return age > 0 ? age : 0;
}

/* How long it waited in the queue, for a connection, and for its outcome: `3/0.05/0.20`. */
static size_t print_delays(const job *jb, const job_site *site, char *out, size_t size)
{
    int64_t connecting = site->connecting / MAIL_MILLISECOND;
    int64_t sending = site->sending / MAIL_MILLISECOND;
    int64_t waiting = age_of(jb) - (connecting + sending) / 1000;

    return (size_t)snprintf(out, size, "%" PRId64 "/%" PRId64 ".%02d/%" PRId64 ".%02d",
                            waiting > 0 ? waiting : 0, connecting / 1000,
                            (int)(connecting % 1000 / 10), sending / 1000,
                            (int)(sending % 1000 / 10));
}

/* One line for each try of a recipient. */
static void log_try(const job *jb, size_t index, mail_log_level level, const char *what,
                    const mail_reply *reply, const job_site *site)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    char delay[24];
    char delays[80];
    char tries[16];
    mail_log_field fields[] = {
        {"queue_id", mail_span_text(mail_lease_id(jb->lease))},
        {"to", mail_envelope_recipient(mail_lease_envelope(jb->lease), index).address},
        {"host", site->where},
        {"reply", {text, 0}},
        {"delay", {delay, 0}},
        {"delays", {delays, 0}},
        {"tries", {tries, 0}},
        {"tls", site->tls},
    };
    size_t count = MAIL_COUNT(fields) - (site->tls.length == 0);

    if (jb->agent->log == NULL || level > jb->agent->log->level) {
        return;
    }
    fields[3].value.length = mail_reply_print(reply, text, sizeof(text));
    fields[4].value.length = (size_t)snprintf(delay, sizeof(delay), "%" PRId64, age_of(jb));
    fields[5].value.length = print_delays(jb, site, delays, sizeof(delays));
    fields[6].value.length =
        (size_t)snprintf(tries, sizeof(tries), "%u", mail_lease_attempts(jb->lease, index) + 1);
    mail_log_line(jb->agent->log, level, what, fields, count);
}

/* Whether the sender wants to hear of it. A report has no sender (DS-002, DS-024). */
static bool is_wanted(const job *jb, size_t index, mail_dsn_action action)
{
    const mail_envelope *envelope = mail_lease_envelope(jb->lease);

    return !jb->agent->opts.no_reports && mail_envelope_sender(envelope).length > 0 &&
           mail_dsn_is_wanted(mail_envelope_recipient(envelope, index).notify, action);
}

static mail_span keep_text(char **at, mail_span text)
{
    char *place = *at;

    if (text.length > 0) {
        memcpy(place, text.data, text.length);
    }
    *at += text.length;
    return mail_span_of(place, text.length);
}

/* Who may not be seen is not to be read in the words of a host either. */
static void hide(char *text, size_t length, mail_span address)
{
    for (size_t at = 0; address.length > 0 && at + address.length <= length; at++) {
        if (mail_span_equal_nocase(mail_span_of(text + at, address.length), address)) {
            memset(text + at, '*', address.length);
        }
    }
}

/* The address by which the sender knows a recipient (RFC 3461, section 5.2.7.4). */
static mail_span keep_known(char **at, const mail_recipient *rcpt)
{
    const char *semicolon =
        rcpt->orcpt.length > 0 ? memchr(rcpt->orcpt.data, ';', rcpt->orcpt.length) : NULL;
    mail_span given;
    int n;

    if (rcpt->role != MAIL_RECIPIENT_HIDDEN || semicolon == NULL) {
        return keep_text(at, rcpt->address);
    }
    given = mail_span_from(rcpt->orcpt, (size_t)(semicolon - rcpt->orcpt.data) + 1);
    n = mail_xtext_decode(given, *at, given.length);
    if (n < 0) {
        return keep_text(at, given); /* UTF-8 as it is */
    }
    *at += n;
    return mail_span_of(*at - n, (size_t)n);
}

static bool add_notice(job *jb, size_t index, mail_dsn_action action, const mail_outcome *outcome,
                       const job_site *site)
{
    const mail_recipient rcpt = mail_envelope_recipient(mail_lease_envelope(jb->lease), index);
    size_t size = sizeof(notice) + outcome->reply.text.length + site->host.length +
                  rcpt.address.length + rcpt.orcpt.length;
    notice *nt = mem_alloc(jb->agent->mem, size);
    char *words = (char *)(nt + 1);
    char *texts = words;

    if (nt == NULL) {
        return false;
    }
    *nt = (notice){
        .index = index,
        .action = action,
        .is_local = outcome->is_local,
        .has_expired = action == MAIL_DSN_FAILED && outcome->kind != MAIL_OUTCOME_PERMANENT,
        .reply = outcome->reply,
        .size = size,
    };
    nt->reply.text = keep_text(&texts, outcome->reply.text);
    nt->host = keep_text(&texts, site->host);
    nt->address = keep_known(&texts, &rcpt);
    if (rcpt.role == MAIL_RECIPIENT_HIDDEN) {
        hide(words, nt->reply.text.length, rcpt.address);
    }
    list_push_back(&jb->notices, &nt->link);
    return true;
}

/* Nothing is delivered to an alias that was replaced: its sender is told so, and that is all. */
static bool end_expanded(job *jb)
{
    static const mail_outcome outcome = {
        MAIL_OUTCOME_ACCEPTED,
        true,
        {250, {2, 1, 5}, {"An alias for several addresses", 30}},
    };
    static const job_site nowhere = {.where = {"alias", 5}};

    if (mail_envelope_recipient(mail_lease_envelope(jb->lease), 0).role !=
        MAIL_RECIPIENT_EXPANDED) {
        return false;
    }
    for (size_t i = 0; i < job_count(jb); i++) {
        log_try(jb, i, MAIL_LOG_INFO, "expanded", &outcome.reply, &nowhere);
        if (!is_wanted(jb, i, MAIL_DSN_EXPANDED) ||
            !add_notice(jb, i, MAIL_DSN_EXPANDED, &outcome, &nowhere)) {
            mail_lease_report(jb->lease, i, MAIL_QUEUE_DONE, NULL, false);
        }
    }
    job_end(jb);
    return true;
}

static int next(job **out, mail_deliver *agent, mail_lane *lane,
                int (*lease)(mail_lane *lane, mail_lease **out))
{
    int code;

    do {
        code = make(out, agent, lane, lease);
    } while (code == MAIL_OK && end_expanded(*out));
    return code;
}

int job_lease(job **out, mail_deliver *agent, mail_lane *lane,
              bool (*same)(mail_span domain, void *arg), void *arg)
{
    int code = next(out, agent, lane, mail_lane_lease);

    if (code == MAIL_OK && same != NULL) {
        (void)mail_lease_widen((*out)->lease, same, arg); /* without memory they go on their own */
    }
    return code;
}

int job_lease_overdue(job **out, mail_deliver *agent, mail_lane *lane)
{
    return next(out, agent, lane, mail_lane_lease_overdue);
}

static void tell_accepted(job *jb, size_t index, const mail_outcome *outcome, const job_site *site)
{
    mail_dsn_action action = site->is_final ? MAIL_DSN_DELIVERED : MAIL_DSN_RELAYED;
    const deliver_measure *measure = &jb->agent->measure;

    log_try(jb, index, MAIL_LOG_INFO, site->is_final ? "delivered" : "sent", &outcome->reply, site);
    mail_metric_count(measure->delivered, 1);
    mail_metric_observe(measure->delay, age_of(jb) * MAIL_SECOND);
    /* RFC 3461, sections 5.2.2 and 5.2.3. Without memory for the notice the good news is lost. */
    if (!site->takes_dsn && is_wanted(jb, index, action) &&
        add_notice(jb, index, action, outcome, site)) {
        return;
    }
    mail_lease_report(jb->lease, index, MAIL_QUEUE_DONE, &outcome->reply, false);
}

static void tell_failed(job *jb, size_t index, const mail_outcome *outcome, const job_site *site)
{
    mail_metric_count(jb->agent->measure.failed, 1);
    if (!is_wanted(jb, index, MAIL_DSN_FAILED)) {
        log_try(jb, index, MAIL_LOG_INFO, "failed, not reported", &outcome->reply, site);
        mail_lease_report(jb->lease, index, MAIL_QUEUE_DONE, &outcome->reply, false);
        return;
    }
    log_try(jb, index, MAIL_LOG_INFO, "failed", &outcome->reply, site);
    if (!add_notice(jb, index, MAIL_DSN_FAILED, outcome, site)) {
        bounce_desk_stick(jb->agent->bounces);
        mail_lease_report(jb->lease, index, MAIL_QUEUE_RETRY, &outcome->reply, false);
    }
}

static void tell_deferred(job *jb, size_t index, const mail_outcome *outcome, const job_site *site)
{
    bool warns = mail_lease_warns(jb->lease, index);
    bool is_told = warns && is_wanted(jb, index, MAIL_DSN_DELAYED);

    log_try(jb, index, MAIL_LOG_INFO,
            outcome->kind == MAIL_OUTCOME_AMBIGUOUS ? "deferred, may come twice" : "deferred",
            &outcome->reply, site);
    mail_metric_count(jb->agent->measure.deferred, 1);
    if (is_told && add_notice(jb, index, MAIL_DSN_DELAYED, outcome, site)) {
        return;
    }
    if (is_told) {
        bounce_desk_stick(jb->agent->bounces);
    }
    /* A sender who wants no notice has had all that he is to have. */
    mail_lease_report(jb->lease, index, MAIL_QUEUE_RETRY, &outcome->reply, warns && !is_told);
}

static void tell_observer(const job *jb, size_t index, const mail_outcome *outcome,
                          const job_site *site)
{
    const mail_deliver_options *opts = &jb->agent->opts;
    mail_delivery delivery = {
        .queue_id = mail_lease_id(jb->lease),
        .recipient = mail_envelope_recipient(mail_lease_envelope(jb->lease), index).address,
        .kind = outcome->kind,
        .is_final = outcome->kind == MAIL_OUTCOME_ACCEPTED ||
                    outcome->kind == MAIL_OUTCOME_PERMANENT || mail_lease_expires(jb->lease, index),
        .reply = outcome->reply,
        .host = site->where,
    };

    if (opts->on_delivery != NULL && outcome->kind != MAIL_OUTCOME_UNTRIED) {
        opts->on_delivery(&delivery, opts->delivery_arg);
    }
}

void job_tell(job *jb, size_t index, const mail_outcome *outcome, const job_site *site)
{
    tell_observer(jb, index, outcome, site);
    switch (outcome->kind) {
    case MAIL_OUTCOME_UNTRIED:
        return;
    case MAIL_OUTCOME_ACCEPTED:
        tell_accepted(jb, index, outcome, site);
        return;
    case MAIL_OUTCOME_PERMANENT:
        tell_failed(jb, index, outcome, site);
        return;
    case MAIL_OUTCOME_TRANSIENT:
    case MAIL_OUTCOME_AMBIGUOUS:
        if (mail_lease_expires(jb->lease, index)) {
            tell_failed(jb, index, outcome, site);
        } else {
            tell_deferred(jb, index, outcome, site);
        }
        return;
    }
}

void job_tell_all(job *jb, const mail_outcome *outcome, const job_site *site)
{
    for (size_t i = 0; i < job_count(jb); i++) {
        job_tell(jb, i, outcome, site);
    }
}

void job_tell_elsewhere(const job *jb, size_t index, const mail_outcome *outcome,
                        const job_site *site)
{
    log_try(jb, index, MAIL_LOG_INFO, "deferred, another host is asked", &outcome->reply, site);
}

void job_hold_all(job *jb, const mail_reply *reply)
{
    for (size_t i = 0; i < job_count(jb); i++) {
        log_try(jb, i, MAIL_LOG_WARN, "held", reply, &(job_site){.where = MAIL_SPAN("")});
        mail_lease_report(jb->lease, i, MAIL_QUEUE_HELD, reply, false);
    }
}

void job_end(job *jb)
{
    bounce_desk *bounces = jb->agent->bounces;
    char id[MAIL_QUEUE_ID_SIZE];

    if (!list_is_empty(&jb->notices)) {
        mail_lease_settle(jb->lease);
        bounce_add(bounces, jb);
        return;
    }
    memcpy(id, mail_lease_id(jb->lease), sizeof(id));
    job_drop(jb);
    bounce_look(bounces, id);
}

/* What is told once the report is safe; if it could not be queued, all comes again. */
static mail_queue_verdict verdict_of(const notice *nt, bool reported)
{
    switch (nt->action) {
    case MAIL_DSN_FAILED:
        return reported ? MAIL_QUEUE_DONE : MAIL_QUEUE_RETRY;
    case MAIL_DSN_DELAYED:
        return MAIL_QUEUE_RETRY;
    case MAIL_DSN_DELIVERED:
    case MAIL_DSN_RELAYED:
    case MAIL_DSN_EXPANDED:
        break;
    }
    return MAIL_QUEUE_DONE; /* never a second copy for the sake of a report */
}

void job_settle(job *jb, bool reported)
{
    for (list *link = jb->notices.next; link != &jb->notices; link = link->next) {
        const notice *nt = LIST_OWNER(link, notice, link);

        mail_lease_report(jb->lease, nt->index, verdict_of(nt, reported), &nt->reply,
                          reported && nt->action == MAIL_DSN_DELAYED);
    }
    job_drop(jb);
}
