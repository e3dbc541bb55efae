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
        .tls = mail_span_text(ss->tls),
        .connecting = ss->connecting,
        .sending = now_of(ss) - ss->begun_at,
        .takes_dsn = offer != NULL && offer->dsn,
        .is_final = ss->dest->hop->kind == MAIL_NEXTHOP_LMTP, /* RFC 2033, section 1 */
    };
}

static void end_opening(session *ss)
{
    ss->is_opening = false;
    ss->dest->opening -= ss->is_second ? 0 : 1;
}

/* What was agreed on, once, for the log. */
static void note_tls(session *ss)
{
    const mail_tls *tls = mail_smtp_connection_tls(ss->conn);
    mail_tls_facts facts;

    if (tls != NULL) {
        mail_tls_facts_read(tls, &facts);
        snprintf(ss->tls, sizeof(ss->tls), "%s %s %s", facts.version, facts.cipher,
                 facts.is_verified ? "verified" : "unverified");
    }
}

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;

    (void)conn;
    if (ss->is_opening) {
        note_tls(ss);
    }
    if (ss->is_opening) {
        end_opening(ss);
        host_worked(ss->hst);
        ss->connecting = now_of(ss) - ss->begun_at;
    }
    ss->is_ready = true;
    ss->idle_since = now_of(ss);
    if (ss->first != NULL) {
        job *jb = ss->first;

        ss->first = NULL;
        session_send(ss, jb);
    }
    /* A peer that gives no verdict but stays on the line would be asked for ever. */
    if (ss->is_ready && ss->has_tried && !ss->is_useful) {
        session_quit(ss);
    }
    destination_go(dest);
}

/* What is refused for good is no better elsewhere, and what may have been taken must not be sent again. */
static bool is_all_deferred(const session *ss, const job *jb)
{
    for (size_t i = 0; i < job_count(jb); i++) {
        mail_outcome outcome = mail_smtp_connection_outcome(ss->conn, i);

        if (outcome.kind != MAIL_OUTCOME_TRANSIENT || outcome.is_local) {
            return false;
        }
    }
    return true;
}

/* Asks the next host, where there is one, before the queue is told that this one has refused. */
static bool hand_on(session *ss, job *jb, const job_site *site)
{
    const plan_entry *entry = is_all_deferred(ss, jb) ? destination_next(ss->dest, ss) : NULL;

    if (entry == NULL) {
        return false;
    }
    for (size_t i = 0; i < job_count(jb); i++) {
        mail_outcome outcome = mail_smtp_connection_outcome(ss->conn, i);

        job_tell_elsewhere(jb, i, &outcome, site);
    }
    ss->is_useful = true;
    host_worked(ss->hst);
    return destination_hand_on(ss->dest, entry, jb);
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;
    job_site site = site_of(ss);
    job *jb = ss->jb;
    bool accepted = false;

    ss->jb = NULL;
    ss->connecting = 0;
    if (hand_on(ss, jb, &site)) {
        destination_go(dest);
        return;
    }
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
    if (accepted && !ss->is_second && dest->limit < dest->agent->opts.max_out_per_destination) {
        dest->limit++;
    }
    job_end(jb);
    destination_go(dest);
}

/* How long a host is spared TLS that does not work there. */
#define CLEAR_TIME MAIL_HOUR

static void log_host(const session *ss, mail_log_level level, const char *event,
                     const mail_reply *why)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    mail_log_field fields[] = {
        {"host", mail_span_text(ss->where)},
        {"reply", {text, 0}},
    };

    if (ss->dest->agent->log != NULL) {
        fields[1].value.length = mail_reply_print(why, text, sizeof(text));
        mail_log_line(ss->dest->agent->log, level, event, fields, MAIL_COUNT(fields));
    }
}

/* True: the host's TLS does not work, and mail may go without (RFC 7435): the next connection will. */
static bool gives_up_tls(session *ss, const mail_reply *why)
{
    if (!ss->is_opening || ss->level != MAIL_TLS_LEVEL_MAY ||
        !mail_smtp_connection_failed_in_tls(ss->conn)) {
        return false;
    }
    host_spare_tls(ss->hst, now_of(ss) + CLEAR_TIME);
    log_host(ss, MAIL_LOG_WARN, "tls failed, goes in clear", why);
    return true;
}

/*
 * What it was opened for goes to the next host, or back to the queue: the first host is then asked
 * once more, and as this one rests by then, the queue is told what it says.
 */
static void pass_on(session *ss)
{
    job *jb = ss->first;
    const plan_entry *entry;

    if (jb == NULL) {
        return;
    }
    ss->first = NULL;
    entry = destination_next(ss->dest, ss);
    if (entry == NULL || !destination_hand_on(ss->dest, entry, jb)) {
        job_end(jb);
    }
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    destination *dest = ss->dest;
    mail_reply reply = mail_smtp_connection_failure(conn);
    bool is_local = mail_smtp_connection_failure_is_local(conn) || reply.code == 0;
    bool was_opening = ss->is_opening && !gives_up_tls(ss, &reply);

    if (ss->is_opening) {
        end_opening(ss);
    }
    if (was_opening || (ss->has_tried && !ss->is_useful)) {
        if (reply.code == 0) {
            reply = MAIL_REPLY(451, 4, 4, 2, "The connection was closed without a word");
        }
        log_host(ss, MAIL_LOG_INFO, "host failed", &reply);
        destination_session_failed(dest, ss, &reply, is_local);
    }
    pass_on(ss);
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

/* Only a next hop that is written down is told who we are, never a host that the DNS names. */
static bool is_named(const destination *dest, const host *hst)
{
    return dest->hop->kind != MAIL_NEXTHOP_MX && hst->at.ip.family != 0;
}

static const credential *credential_of(const destination *dest, const host *hst, const char *name)
{
    return is_named(dest, hst) ? credentials_find(dest->agent->credentials, name, hst->at.port)
                               : NULL;
}

/* RFC 8314, section 7.3: TLS from the first octet, or nothing. */
#define SUBMISSIONS 465

/* What both the policy and the secret want. */
static mail_tls_level level_of(const destination *dest, const host *hst, const char *name)
{
    const credential *who = credential_of(dest, hst, name);
    mail_tls_level level = dest->level;

    if (hst->at.ip.family == 0) {
        return MAIL_TLS_LEVEL_NONE; /* a unix socket */
    }
    if (hst->at.port == SUBMISSIONS && level == MAIL_TLS_LEVEL_MAY) {
        level = MAIL_TLS_LEVEL_REQUIRE;
    }
    if (who != NULL && who->needs != MAIL_TLS_LEVEL_NONE && level != MAIL_TLS_LEVEL_VERIFY) {
        level = who->needs;
    }
    return level;
}

bool session_is_possible(const destination *dest, const plan_entry *entry)
{
    mail_tls_level level = level_of(dest, entry->hst, entry->name);

    return dest->agent->tls != NULL || level == MAIL_TLS_LEVEL_NONE || level == MAIL_TLS_LEVEL_MAY;
}

static void on_secret(int code, mail_span secret, const char *why, void *arg)
{
    session *ss = arg;
    const credential *who = credential_of(ss->dest, ss->hst, ss->name);
    mail_smtp_credentials credentials = {.port = ss->hst->at.port};
    mail_reply reply = MAIL_REPLY(451, 4, 7, 0, "The credentials have changed meanwhile");

    ss->lookup = NULL;
    /* Rules that are new since the connection was opened may ask for more than it is. */
    if (code != MAIL_OK || who == NULL || level_of(ss->dest, ss->hst, ss->name) != ss->level) {
        if (code != MAIL_OK) {
            reply.text = mail_span_text(why);
        }
        mail_smtp_connection_refuse(ss->conn, &reply);
        return;
    }
    credentials.user = mail_span_text(who->user);
    credentials.host = mail_span_text(ss->name);
    credentials.in_clear = who->needs == MAIL_TLS_LEVEL_NONE;
    if (who->is_certificate) {
        credentials.authzid = credentials.user;
        credentials.mechanisms = 1U << MAIL_SASL_EXTERNAL;
    } else if (who->is_token) {
        credentials.token = secret;
    } else {
        credentials.password = secret;
    }
    mail_smtp_connection_authenticate(ss->conn, &credentials);
}

/* Looked up anew for each connection (QR-018), by a worker. */
static void on_auth(mail_smtp_connection *conn, void *arg)
{
    session *ss = arg;
    const mail_deliver *agent = ss->dest->agent;
    const credential *who = credential_of(ss->dest, ss->hst, ss->name);
    const mail_reply no_memory = MAIL_REPLY(451, 4, 3, 0, "Out of memory on our side");

    if (who == NULL || who->is_certificate) {
        on_secret(MAIL_OK, MAIL_SPAN(""), NULL, ss);
    } else if (who->place.kind == SECRET_GIVEN) {
        on_secret(MAIL_OK, mail_span_text(who->place.text), NULL, ss);
    } else if (secret_look_up(&ss->lookup, agent->loop, agent->mem, &who->place, on_secret, ss) !=
               MAIL_OK) {
        mail_smtp_connection_refuse(conn, &no_memory);
    }
}

/* A host is verified by its name, or its address where that is its name, even if it need not be. */
static void fill_tls(session *ss, mail_smtp_connection_options *opts)
{
    const mail_deliver *agent = ss->dest->agent;
    bool is_clear = ss->hst->clear_until > now_of(ss) || agent->tls == NULL;

    ss->level = level_of(ss->dest, ss->hst, ss->name);
    opts->client.authenticates = credential_of(ss->dest, ss->hst, ss->name) != NULL;
    if (ss->level == MAIL_TLS_LEVEL_NONE || (ss->level == MAIL_TLS_LEVEL_MAY && is_clear)) {
        return;
    }
    if (ss->hst->at.port == SUBMISSIONS) {
        opts->client.tls = MAIL_SMTP_TLS_IMPLICIT;
    } else if (ss->level == MAIL_TLS_LEVEL_MAY) {
        opts->client.tls = MAIL_SMTP_TLS_MAY;
    } else {
        opts->client.tls = MAIL_SMTP_TLS_REQUIRE;
    }
    opts->tls = agent->tls;
    opts->cache = agent->tls_cache;
    opts->session.name = mail_span_text(ss->name);
    opts->session.verification = MAIL_TLS_VERIFY_PKIX;
    opts->session.is_lenient = ss->level != MAIL_TLS_LEVEL_VERIFY;
    opts->session.no_certificate = !is_named(ss->dest, ss->hst);
}

static int connect_to(session *ss)
{
    static const mail_smtp_connection_ops ops = {
        .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed, .on_auth = on_auth};
    const mail_deliver *agent = ss->dest->agent;
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;

    opts.client.mem = agent->mem;
    opts.client.hostname = mail_span_text(agent->hostname);
    opts.client.lmtp = ss->dest->hop->kind == MAIL_NEXTHOP_LMTP;
    opts.client.max_timeout = agent->opts.max_timeout;
    opts.connect_timeout = agent->opts.connect_timeout;
    fill_tls(ss, &opts);
    opts.ops = &ops;
    opts.arg = ss;
    opts.sockets = agent->opts.sockets;
    if (ss->hst->at.ip.family == 0) {
        return mail_smtp_connection_open_unix(&ss->conn, agent->loop, ss->hst->path, &opts);
    }
    return mail_smtp_connection_open(&ss->conn, agent->loop, &ss->hst->at, &opts);
}

int session_open(destination *dest, const plan_entry *entry, job *first)
{
    mail_deliver *agent = dest->agent;
    session *ss = mem_alloc(agent->mem, sizeof(*ss));
    int code;

    if (ss == NULL) {
        return MAIL_ENOMEM;
    }
    ss->dest = dest;
    ss->hst = entry->hst;
    ss->begun_at = now_of(ss);
    memcpy(ss->name, entry->name, sizeof(ss->name));
    name_place(ss);
    code = connect_to(ss);
    if (code != MAIL_OK) {
        mem_free(agent->mem, ss, sizeof(*ss));
        return code;
    }
    ss->is_opening = true;
    ss->first = first;
    ss->is_second = first != NULL;
    ss->hst->uses++;
    list_push_back(&dest->sessions, &ss->link);
    dest->session_count++;
    dest->opening += ss->is_second ? 0 : 1;
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
    ss->begun_at = now_of(ss);
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

    secret_cancel(ss->lookup);
    mail_smtp_connection_destroy(ss->conn);
    if (ss->jb != NULL) {
        job_drop(ss->jb);
    }
    if (ss->first != NULL) {
        job_drop(ss->first);
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
