/* SPDX-License-Identifier: MIT */
#include "smtp/client.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"

#define DEFAULT_OUT (64 * 1024)

/* Several of the longest commands, and chunks of a useful size. */
#define LEAST_OUT (16 * 1024)

/* RFC 5321, section 4.5.3.1.5 allows 512 octets; more is borne, up to this. */
#define LINE_MAX_LENGTH 4096

/* RFC 5321, section 4.5.3.2.5: for a block of the message, or of commands, to be taken. */
#define SEND_TIMEOUT (3 * MAIL_MINUTE)

const char *mail_smtp_client_event_name(mail_smtp_client_event event)
{
    switch (event) {
    case MAIL_SMTP_CLIENT_NONE:
        return "none";
    case MAIL_SMTP_CLIENT_READY:
        return "ready";
    case MAIL_SMTP_CLIENT_BODY:
        return "body";
    case MAIL_SMTP_CLIENT_DONE:
        return "done";
    case MAIL_SMTP_CLIENT_CLOSED:
        return "closed";
    case MAIL_SMTP_CLIENT_STARTTLS:
        return "starttls";
    case MAIL_SMTP_CLIENT_AUTH:
        return "auth";
    }
    return "unknown";
}

/* RFC 5321, section 4.1.4: a domain or an address literal, never anything else. */
static int set_hostname(mail_smtp_client *cl, mail_span name)
{
    char domain[MAIL_DOMAIN_SIZE];
    mail_ip ip;

    if (mail_ip_parse_literal(name, &ip) != MAIL_OK) {
        int code = mail_domain_to_ascii(name, domain);

        if (code != MAIL_OK) {
            return code;
        }
        name = mail_span_text(domain);
    }
    cl->hostname = mem_text(cl->mem, name);
    cl->hostname_length = name.length;
    return cl->hostname != NULL ? MAIL_OK : MAIL_ENOMEM;
}

static int set_options(mail_smtp_client *cl, const mail_smtp_client_options *opts)
{
    size_t limit = opts->out_bytes > 0 ? opts->out_bytes : DEFAULT_OUT;
    int code = set_hostname(cl, opts->hostname);

    cl->lmtp = opts->lmtp;
    cl->no_pipelining = opts->no_pipelining;
    cl->no_chunking = opts->no_chunking;
    cl->max_timeout = opts->max_timeout;
    cl->tls = opts->tls;
    cl->authenticates = opts->authenticates;
    cl->random = opts->random;
    smtp_wire_init(&cl->wire, cl->mem, limit > LEAST_OUT ? limit : LEAST_OUT);
    return code == MAIL_OK ? smtp_wire_reserve(&cl->wire, 1) : code;
}

int mail_smtp_client_create(mail_smtp_client **out, const mail_smtp_client_options *opts,
                            mail_time now)
{
    mail_smtp_client_options own = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    mail_smtp_client *cl;
    int code;

    if (opts->size == 0 || opts->size > sizeof(own)) {
        return MAIL_EINVAL;
    }
    memcpy(&own, opts, opts->size);
    cl = mem_alloc(own.mem, sizeof(*cl));
    if (cl == NULL) {
        return MAIL_ENOMEM;
    }
    cl->mem = own.mem;
    cl->now = now;
    cl->body.ops = &smtp_body_ops;
    smtp_outcomes_init(&cl->outcomes, cl->mem);
    mail_reply_reader_init(&cl->reader, cl->reply_text, sizeof(cl->reply_text));
    code = set_options(cl, &own);
    if (code != MAIL_OK) {
        mail_smtp_client_destroy(cl);
        return code;
    }
    cl->wire.waits_since = now;
    smtp_wire_expect(&cl->wire, SMTP_COMMAND_GREETING, 0);
    if (cl->tls == MAIL_SMTP_TLS_IMPLICIT) {
        smtp_client_ask_for_tls(cl);
    }
    *out = cl;
    return MAIL_OK;
}

void mail_smtp_client_destroy(mail_smtp_client *cl)
{
    if (cl == NULL) {
        return;
    }
    smtp_client_forget_sasl(cl);
    smtp_outcomes_deinit(&cl->outcomes);
    smtp_wire_deinit(&cl->wire);
    mem_free(cl->mem, cl->domains, cl->domain_capacity * sizeof(*cl->domains));
    mem_free(cl->mem, cl->hostname, cl->hostname_length + 1);
    mem_free(cl->mem, cl, sizeof(*cl));
}

const mail_smtp_offer *mail_smtp_client_offer(const mail_smtp_client *cl)
{
    return &cl->offer;
}

mail_sink *mail_smtp_client_body(mail_smtp_client *cl)
{
    return &cl->body;
}

mail_reply mail_smtp_client_failure(const mail_smtp_client *cl)
{
    return cl->failure;
}

bool mail_smtp_client_failure_is_local(const mail_smtp_client *cl)
{
    return cl->failure_is_local;
}

const char *mail_smtp_client_phase(const mail_smtp_client *cl)
{
    const smtp_expected *head = smtp_wire_head(&cl->wire);

    switch (cl->state) {
    case SMTP_CLIENT_AWAIT_TLS:
        return "tls";
    case SMTP_CLIENT_AWAIT_CREDENTIALS:
        return "auth";
    case SMTP_CLIENT_AWAIT_BEGIN:
        return "ready";
    case SMTP_CLIENT_AWAIT_BODY:
        return "body";
    case SMTP_CLIENT_CLOSED:
        return cl->last_phase;
    case SMTP_CLIENT_OPENING:
    case SMTP_CLIENT_SENDING:
    case SMTP_CLIENT_AWAIT_REPLIES:
    case SMTP_CLIENT_AWAIT_FAREWELL:
        break;
    }
    return head != NULL ? smtp_command_phase(head->command) : "ready";
}

/* The end of a session, and of a transaction that is under way. */

void smtp_client_report(mail_smtp_client *cl, mail_smtp_client_event event)
{
    cl->due |= 1U << event;
}

static void set_failure(mail_smtp_client *cl, const mail_reply *why, bool is_local)
{
    size_t length = why->text.length;

    if (length > sizeof(cl->failure_text)) {
        length = sizeof(cl->failure_text);
    }
    cl->failure = *why;
    cl->failure_is_local = is_local;
    cl->failure.text = mail_span_of(cl->failure_text, length);
    memmove(cl->failure_text, why->text.data, length);
}

static bool has_transaction(const mail_smtp_client *cl)
{
    return cl->state == SMTP_CLIENT_SENDING || cl->state == SMTP_CLIENT_AWAIT_BODY ||
           cl->state == SMTP_CLIENT_AWAIT_REPLIES;
}

/*
 * RFC 1047: once the peer may have the whole message, silence says nothing of what
 * became of it.
 */
static void cut_transaction(mail_smtp_client *cl, const mail_reply *why, bool is_local)
{
    bool is_sent = cl->tx.end > 0 && smtp_wire_has_sent(&cl->wire, cl->tx.end);
    smtp_verdict verdict;

    if (smtp_outcomes_are_open(&cl->outcomes)) {
        verdict = smtp_outcomes_verdict(
            &cl->outcomes, is_sent ? MAIL_OUTCOME_AMBIGUOUS : MAIL_OUTCOME_UNTRIED, is_local, why);
        smtp_outcomes_decide_rest(&cl->outcomes, &verdict);
    }
    smtp_client_report(cl, MAIL_SMTP_CLIENT_DONE);
}

void smtp_client_fail(mail_smtp_client *cl, const mail_reply *why, bool is_local)
{
    if (cl->state == SMTP_CLIENT_CLOSED) {
        return;
    }
    cl->last_phase = mail_smtp_client_phase(cl);
    cl->due &= ~(1U << MAIL_SMTP_CLIENT_READY | 1U << MAIL_SMTP_CLIENT_BODY |
                 1U << MAIL_SMTP_CLIENT_STARTTLS | 1U << MAIL_SMTP_CLIENT_AUTH);
    if (cl->state != SMTP_CLIENT_AWAIT_FAREWELL) {
        set_failure(cl, why, is_local);
    }
    if (has_transaction(cl)) {
        cut_transaction(cl, why, is_local);
    }
    smtp_client_forget_sasl(cl);
    smtp_wire_clear(&cl->wire);
    cl->state = SMTP_CLIENT_CLOSED;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_CLOSED);
}

void smtp_client_fail_protocol(mail_smtp_client *cl, const char *what, const mail_reply *reply)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    mail_reply why = {.code = 451, .status = {4, 5, 0}};
    int length = snprintf(text, sizeof(text), "The host broke the protocol with %s (%s): ", what,
                          mail_smtp_client_phase(cl));

    if (reply != NULL) {
        length += (int)mail_reply_print(reply, text + length, sizeof(text) - (size_t)length);
    } else {
        length -= 2;
    }
    why.text = mail_span_of(text, (size_t)length);
    smtp_client_fail(cl, &why, true);
}

void smtp_client_fail_memory(mail_smtp_client *cl)
{
    mail_reply why = MAIL_REPLY(451, 4, 3, 0, "Out of memory on our side");

    cl->is_starved = true;
    smtp_client_fail(cl, &why, true);
}

void smtp_client_leave(mail_smtp_client *cl, const mail_reply *why, bool is_local)
{
    if (why != NULL) {
        set_failure(cl, why, is_local);
    }
    cl->state = SMTP_CLIENT_AWAIT_FAREWELL;
    cl->last_phase = smtp_command_phase(SMTP_COMMAND_QUIT);
    smtp_client_say(cl, SMTP_COMMAND_QUIT, "QUIT", MAIL_SPAN(""));
}

void smtp_client_settle(mail_smtp_client *cl)
{
    bool is_last = cl->offer.mail_max > 0 && cl->mails >= cl->offer.mail_max;

    if (cl->leaves || is_last) {
        smtp_client_leave(cl, NULL, false);
        return;
    }
    smtp_wire_rest(&cl->wire);
    cl->state = SMTP_CLIENT_AWAIT_BEGIN;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_READY);
}

void mail_smtp_client_quit(mail_smtp_client *cl, mail_time now)
{
    cl->now = now;
    cl->leaves = true;
    if (cl->state == SMTP_CLIENT_AWAIT_BEGIN) {
        cl->due &= ~(1U << MAIL_SMTP_CLIENT_READY);
        smtp_client_leave(cl, NULL, false);
        smtp_wire_time(&cl->wire, now);
    }
}

/* Octets and time. */

static void on_line(mail_smtp_client *cl, mail_span line)
{
    const smtp_expected *head = smtp_wire_head(&cl->wire);
    mail_reply reply;
    bool is_whole;

    cl->line_text = mail_span_from(line, line.length < 4 ? line.length : 4);
    if (head != NULL && head->command == SMTP_COMMAND_EHLO) {
        smtp_offer_line(&cl->heard, cl->line_text);
    }
    if (mail_reply_reader_line(&cl->reader, line, &reply, &is_whole) != MAIL_OK) {
        smtp_client_fail_protocol(cl, "what is no reply", NULL);
    } else if (is_whole) {
        smtp_client_on_reply(cl, &reply);
    }
}

/*
 * RFC 3207, section 5: what stands behind the reply to STARTTLS was not said in TLS, and
 * somebody wants it taken for that. False: there is nothing.
 */
static bool reject_input(mail_smtp_client *cl, mail_span in, size_t *used)
{
    if (*used == in.length) {
        return false;
    }
    *used = in.length;
    smtp_client_fail_protocol(cl, "words in clear where TLS begins", NULL);
    return true;
}

/* Takes the next line off `in`, as far as `*used` has not come yet; false: there is none. */
static bool take_line(mail_smtp_client *cl, mail_span in, size_t *used)
{
    mail_span rest = mail_span_from(in, *used);
    size_t length = rest.length < LINE_MAX_LENGTH ? rest.length : LINE_MAX_LENGTH;
    const char *lf = length > 0 ? memchr(rest.data, '\n', length) : NULL;

    if (cl->state == SMTP_CLIENT_AWAIT_TLS) {
        return reject_input(cl, in, used);
    }
    if (lf == NULL) {
        if (rest.length >= LINE_MAX_LENGTH) {
            smtp_client_fail_protocol(cl, "a line too long", NULL);
            return true;
        }
        return false;
    }
    length = (size_t)(lf - rest.data);
    *used += length + 1;
    /* RFC 5321, section 2.3.8: nothing but CRLF ends a line. */
    if (length == 0 || rest.data[length - 1] != '\r') {
        smtp_client_fail_protocol(cl, "a bare line feed", NULL);
    } else {
        on_line(cl, mail_span_first(rest, length - 1));
    }
    return true;
}

/* DONE comes before what follows a transaction. */
static bool next_event(mail_smtp_client *cl, mail_smtp_client_event *ev)
{
    static const mail_smtp_client_event order[] = {
        MAIL_SMTP_CLIENT_STARTTLS, MAIL_SMTP_CLIENT_AUTH,  MAIL_SMTP_CLIENT_BODY,
        MAIL_SMTP_CLIENT_DONE,     MAIL_SMTP_CLIENT_READY, MAIL_SMTP_CLIENT_CLOSED,
    };

    for (size_t i = 0; i < MAIL_COUNT(order); i++) {
        unsigned bit = 1U << order[i];

        if ((cl->due & bit) != 0) {
            cl->due &= ~bit;
            *ev = order[i];
            return true;
        }
    }
    *ev = MAIL_SMTP_CLIENT_NONE;
    return false;
}

/* MAIL_ENOMEM, once, if the session has ended for that. */
static int take_code(mail_smtp_client *cl)
{
    bool is_starved = cl->is_starved;

    cl->is_starved = false;
    return is_starved ? MAIL_ENOMEM : MAIL_OK;
}

int mail_smtp_client_feed(mail_smtp_client *cl, mail_time now, mail_span in, size_t *used,
                          mail_smtp_client_event *ev)
{
    *used = 0;
    *ev = MAIL_SMTP_CLIENT_NONE;
    cl->now = now;
    while (cl->due == 0 && cl->state != SMTP_CLIENT_CLOSED && take_line(cl, in, used)) {
    }
    smtp_wire_time(&cl->wire, now);
    if (cl->is_starved) {
        return take_code(cl);
    }
    next_event(cl, ev);
    return MAIL_OK;
}

int mail_smtp_client_eof(mail_smtp_client *cl, mail_smtp_client_event *ev)
{
    char text[80];
    mail_reply why = {.code = 451, .status = {4, 4, 2}};
    int length = snprintf(text, sizeof(text), "The host closed the connection (%s)",
                          mail_smtp_client_phase(cl));

    why.text = mail_span_of(text, (size_t)length);
    smtp_client_fail(cl, &why, true);
    next_event(cl, ev);
    return take_code(cl);
}

int mail_smtp_client_tick(mail_smtp_client *cl, mail_time now, mail_smtp_client_event *ev)
{
    cl->now = now;
    smtp_wire_time(&cl->wire, now);
    if (cl->due == 0 && mail_smtp_client_deadline(cl) <= now) {
        char text[80];
        mail_reply why = {.code = 451, .status = {4, 4, 7}};
        int length =
            snprintf(text, sizeof(text), "The host took too long (%s)", mail_smtp_client_phase(cl));

        why.text = mail_span_of(text, (size_t)length);
        smtp_client_fail(cl, &why, true);
    }
    next_event(cl, ev);
    return take_code(cl);
}

mail_span mail_smtp_client_out(const mail_smtp_client *cl)
{
    return smtp_wire_out(&cl->wire);
}

void mail_smtp_client_sent(mail_smtp_client *cl, mail_time now, size_t n)
{
    cl->now = now;
    smtp_wire_sent(&cl->wire, now, n);
    smtp_client_advance(cl);
    smtp_wire_time(&cl->wire, now);
}

unsigned mail_smtp_client_wants(const mail_smtp_client *cl)
{
    unsigned wants = smtp_wire_out(&cl->wire).length > 0 ? MAIL_WANTS_WRITE : 0;

    if (cl->state == SMTP_CLIENT_CLOSED && cl->due == 0) {
        return 0;
    }
    return wants | MAIL_WANTS_READ;
}

static mail_time after(const mail_smtp_client *cl, mail_time since, mail_duration timeout)
{
    if (cl->max_timeout > 0 && cl->max_timeout < timeout) {
        timeout = cl->max_timeout;
    }
    return since + timeout;
}

mail_time mail_smtp_client_deadline(const mail_smtp_client *cl)
{
    const smtp_expected *head = smtp_wire_head(&cl->wire);
    mail_time deadline = MAIL_NEVER;

    /* What came about in a call that gives no event, or knows no time, is fetched by `tick`. */
    if (cl->due != 0) {
        return cl->now;
    }
    if (cl->state == SMTP_CLIENT_AWAIT_TLS) {
        return smtp_client_tls_deadline(cl);
    }
    if (smtp_wire_out(&cl->wire).length > 0) {
        if (cl->wire.sent_at == SMTP_WIRE_UNTIMED) {
            return cl->now;
        }
        deadline = after(cl, cl->wire.sent_at, SEND_TIMEOUT);
    }
    if (head != NULL && smtp_wire_has_sent(&cl->wire, head->end)) {
        mail_time reply = after(cl, cl->wire.waits_since, smtp_command_timeout(head->command));

        deadline = reply < deadline ? reply : deadline;
    }
    return deadline;
}
