/* SPDX-License-Identifier: MIT */
#include "mta/destination.h"

#include <stdio.h>

#include "base/mem.h"

static mail_time now_of(const session *ss)
{
    return mail_loop_now(ss->dest->agent->loop);
}

static job_site site_of(const session *ss)
{
    const mail_smtp_offer *offer = mail_smtp_connection_offer(ss->conn);

    return (job_site){
        .host = mail_span_text(ss->name),
        .where = mail_span_text(ss->where),
        .takes_dsn = offer != NULL && offer->dsn,
        .is_final = ss->dest->hop->kind == MAIL_NEXTHOP_LMTP, /* RFC 2033, section 1 */
    };
}

static void end_opening(session *ss)
{
    ss->is_opening = false;
    ss->dest->opening--;
}

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;

    (void)conn;
    if (ss->is_opening) {
        end_opening(ss);
        host_worked(ss->hst);
    }
    ss->is_ready = true;
    ss->idle_since = now_of(ss);
    /* A peer that gives no verdict but stays on the line would be asked for ever. */
    if (ss->has_tried && !ss->is_useful) {
        session_quit(ss);
    }
    destination_go(dest);
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;
    job_site site = site_of(ss);
    job *jb = ss->jb;
    bool accepted = false;

    ss->jb = NULL;
    for (size_t i = 0; i < job_count(jb); i++) {
        mail_outcome outcome = mail_smtp_connection_outcome(conn, i);

        accepted |= outcome.kind == MAIL_OUTCOME_ACCEPTED;
        ss->is_useful |=
            outcome.kind != MAIL_OUTCOME_UNTRIED && outcome.kind != MAIL_OUTCOME_AMBIGUOUS;
        job_tell(jb, i, &outcome, &site);
    }
    if (ss->is_useful) {
        host_worked(ss->hst);
    }
    if (accepted && dest->limit < dest->agent->opts.max_out_per_destination) {
        dest->limit++;
    }
    job_end(jb);
    destination_go(dest);
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;
    mail_reply reply = mail_smtp_connection_failure(conn);
    bool was_opening = ss->is_opening;

    if (was_opening) {
        end_opening(ss);
    }
    if (was_opening || (ss->has_tried && !ss->is_useful)) {
        if (reply.code == 0) {
            reply = MAIL_REPLY(451, 4, 4, 2, "The connection was closed without a word");
        }
        destination_session_failed(dest, ss, &reply);
    }
    session_destroy(ss);
    destination_go(dest);
}

static void name_place(session *ss)
{
    char at[MAIL_IP_TEXT_SIZE];

    if (ss->hst->at.ip.family == 0) {
        snprintf(ss->where, sizeof(ss->where), "unix:%s", ss->name);
        return;
    }
    mail_ip_print(&ss->hst->at.ip, at);
    snprintf(ss->where, sizeof(ss->where), "%s[%s]:%u", ss->name, at, ss->hst->at.port);
}

static int connect_to(session *ss)
{
    static const mail_smtp_connection_ops ops = {
        .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed};
    const mail_deliver *agent = ss->dest->agent;
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;

    opts.client.mem = agent->mem;
    opts.client.hostname = mail_span_text(agent->hostname);
    opts.client.lmtp = ss->dest->hop->kind == MAIL_NEXTHOP_LMTP;
    opts.client.max_timeout = agent->opts.max_timeout;
    opts.connect_timeout = agent->opts.connect_timeout;
    opts.ops = &ops;
    opts.arg = ss;
    opts.sockets = agent->opts.sockets;
    if (ss->hst->at.ip.family == 0) {
        return mail_smtp_connection_open_unix(&ss->conn, agent->loop, ss->hst->path, &opts);
    }
    return mail_smtp_connection_open(&ss->conn, agent->loop, &ss->hst->at, &opts);
}

int session_open(destination *dest, const plan_entry *entry)
{
    mail_deliver *agent = dest->agent;
    session *ss = mem_alloc(agent->mem, sizeof(*ss));
    int code;

    if (ss == NULL) {
        return MAIL_ENOMEM;
    }
    ss->dest = dest;
    ss->hst = entry->hst;
    memcpy(ss->name, entry->name, sizeof(ss->name));
    name_place(ss);
    code = connect_to(ss);
    if (code != MAIL_OK) {
        mem_free(agent->mem, ss, sizeof(*ss));
        return code;
    }
    ss->is_opening = true;
    ss->hst->uses++;
    list_push_back(&dest->sessions, &ss->link);
    dest->session_count++;
    dest->opening++;
    agent->sessions++;
    return MAIL_OK;
}

/* A message that could not even be begun. */
static void fail_job(const session *ss, job *jb, int code)
{
    job_site site = {.where = mail_span_text(ss->where)};
    mail_outcome outcome = {.kind = MAIL_OUTCOME_TRANSIENT, .is_local = true};

    switch (code) {
    case MAIL_EDAMAGED:
        job_hold_all(jb, &MAIL_REPLY(451, 4, 3, 0, "The stored message is damaged"));
        break;
    case MAIL_EINVAL:
        outcome.kind = MAIL_OUTCOME_PERMANENT;
        outcome.reply = MAIL_REPLY(553, 5, 1, 3, "The address cannot be sent in a command");
        job_tell_all(jb, &outcome, &site);
        break;
    default:
        outcome.reply = MAIL_REPLY(451, 4, 3, 0, "The stored message could not be read");
        job_tell_all(jb, &outcome, &site);
        break;
    }
    job_end(jb);
}

void session_send(session *ss, job *jb)
{
    mail_source *body;
    int code = mail_lease_body(jb->lease, &body);

    if (code != MAIL_OK) {
        fail_job(ss, jb, code);
        return;
    }
    code = mail_smtp_connection_send(ss->conn, mail_lease_envelope(jb->lease),
                                     mail_lease_content(jb->lease), body);
    if (code != MAIL_OK) {
        mail_source_close(body);
        fail_job(ss, jb, code);
        return;
    }
    ss->jb = jb;
    ss->is_ready = false;
    ss->has_tried = true;
}

void session_quit(session *ss)
{
    ss->is_ready = false;
    ss->is_closing = true;
    mail_smtp_connection_quit(ss->conn);
}

void session_destroy(session *ss)
{
    destination *dest = ss->dest;
    mail_deliver *agent = dest->agent;

    mail_smtp_connection_destroy(ss->conn);
    if (ss->jb != NULL) {
        job_drop(ss->jb);
    }
    host_drop(&agent->hosts, ss->hst);
    list_remove(&ss->link);
    dest->session_count--;
    agent->sessions--;
    mem_free(agent->mem, ss, sizeof(*ss));
    if (!list_is_empty(&agent->starving)) {
        deliver_call_soon(agent);
    }
}
