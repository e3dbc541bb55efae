/* SPDX-License-Identifier: MIT */
/*
 * AUTH (RFC 4954): one exchange of a SASL mechanism, whose messages go in base64.
 *
 *   EXPECT_MAIL --AUTH, message--> (EV_AUTH) --334--> EXPECT_AUTH --message--> … --235, 5yz--> EXPECT_MAIL
 *
 * Between question and answer, and between messages, `sasl` holds all there is of it.
 */
#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "sasl/wire.h"
#include "smtp/server.h"

_Static_assert(MAIL_SMTP_AUTH_LINE_MAX == SASL_LINE_MAX, "RFC 4954, section 4.3");

static const mail_reply SAY_EHLO = SMTP_REPLY(503, 5, 5, 1, "Say EHLO first");
static const mail_reply NOT_HERE = SMTP_REPLY(502, 5, 5, 1, "Command not implemented");
static const mail_reply TWICE = SMTP_REPLY(503, 5, 5, 1, "Already authenticated");
static const mail_reply NEEDS_NAME = SMTP_REPLY(501, 5, 5, 4, "Syntax: AUTH mechanism");
static const mail_reply UNKNOWN = SMTP_REPLY(504, 5, 5, 4, "Mechanism unknown or not offered");
static const mail_reply NEEDS_TLS =
    SMTP_REPLY(538, 5, 7, 11, "Encryption required for that mechanism");
static const mail_reply NOT_BASE64 = SMTP_REPLY(501, 5, 5, 2, "That is not base64");
static const mail_reply TOO_LONG = SMTP_REPLY(500, 5, 5, 6, "Authentication line too long");
static const mail_reply CANCELLED = SMTP_REPLY(501, 5, 7, 0, "Cancelled");
static const mail_reply REFUSED = SMTP_REPLY(535, 5, 7, 8, "Authentication failed");
static const mail_reply PROVED = SMTP_REPLY(235, 2, 7, 0, "Authenticated");

unsigned smtp_server_mechanisms(const mail_smtp_server *srv)
{
    sasl_offer offer = {
        .allowed = srv->opts.auth_mechanisms,
        .is_private = srv->is_private,
        .in_clear = srv->opts.auth_in_clear,
        .has_binding = srv->has_binding,
        .has_identity = srv->identity != NULL,
    };

    if (srv->opts.auth_needs_tls && !srv->is_private) {
        return 0;
    }
    return sasl_offered(&offer);
}

/* What stands behind AUTH in the reply to EHLO. */
void smtp_server_write_mechanisms(const mail_smtp_server *srv, char *to, size_t size)
{
    char names[MAIL_SASL_MECHANISMS_SIZE];

    mail_sasl_mechanisms_print(smtp_server_mechanisms(srv), names);
    snprintf(to, size, "%s%s", names[0] != '\0' ? " " : "", names);
}

void smtp_server_forget_sasl(mail_smtp_server *srv)
{
    mail_sasl_server_destroy(srv->sasl);
    srv->sasl = NULL;
    if (srv->state == SMTP_EXPECT_AUTH) {
        srv->state = SMTP_EXPECT_MAIL;
    }
}

void smtp_server_forget_user(mail_smtp_server *srv)
{
    mem_free(srv->mem, srv->user, srv->user_length + 1);
    srv->user = NULL;
    srv->user_length = 0;
}

static int say_challenge(mail_smtp_server *srv)
{
    srv->state = SMTP_EXPECT_AUTH;
    return sasl_challenge_append(srv->sasl, MAIL_SPAN("334 "), &srv->out);
}

static int succeed(mail_smtp_server *srv)
{
    mail_span user = mail_sasl_server_user(srv->sasl);
    char *text = mem_text(srv->mem, user);

    if (text == NULL) {
        return MAIL_ENOMEM;
    }
    srv->user = text;
    srv->user_length = user.length;
    srv->is_authenticated = true;
    srv->errors = 0;
    smtp_server_forget_sasl(srv);
    return smtp_server_say(srv, &PROVED);
}

static int end_refused(mail_smtp_server *srv, const mail_reply *reply, mail_smtp_event *ev)
{
    smtp_server_forget_sasl(srv);
    return smtp_server_refuse(srv, reply, ev);
}

/* What a step of the mechanism has led to. */
static int follow(mail_smtp_server *srv, mail_sasl_step step, mail_smtp_event *ev)
{
    switch (step) {
    case MAIL_SASL_CONTINUE:
        return say_challenge(srv);
    case MAIL_SASL_ASK:
        ev->auth = mail_sasl_server_question(srv->sasl);
        return smtp_server_ask(srv, MAIL_SMTP_EV_AUTH, ev);
    case MAIL_SASL_OK:
        return succeed(srv);
    case MAIL_SASL_FAILED:
        break;
    }
    return mail_sasl_server_is_starved(srv->sasl) ? MAIL_ENOMEM : end_refused(srv, &REFUSED, ev);
}

static int take_message(mail_smtp_server *srv, mail_span text, mail_smtp_event *ev)
{
    mail_sasl_step step;

    return sasl_step_base64(srv->sasl, text, &step) ? follow(srv, step, ev)
                                                    : end_refused(srv, &NOT_BASE64, ev);
}

static int begin(mail_smtp_server *srv, mail_sasl_mechanism mechanism)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;
    unsigned offered = smtp_server_mechanisms(srv);

    opts.mem = srv->mem;
    opts.mechanism = mechanism;
    opts.hostname = srv->opts.hostname;
    opts.offers_plus = (offered & 1U << MAIL_SASL_SCRAM_SHA_256_PLUS) != 0;
    memcpy(opts.disguise, srv->opts.auth_disguise, sizeof(opts.disguise));
    if (srv->has_binding) {
        opts.binding = mail_span_of(srv->binding, sizeof(srv->binding));
    }
    if (srv->identity != NULL) {
        opts.identity = mail_span_text(srv->identity);
    }
    return mail_sasl_server_create(&srv->sasl, &opts);
}

/* Why there can be no AUTH now, or with that mechanism; NULL: it can. */
static const mail_reply *refusal_of(const mail_smtp_server *srv, mail_span name,
                                    mail_sasl_mechanism mechanism)
{
    unsigned bit = 1U << mechanism;

    if (srv->opts.auth_mechanisms == 0) {
        return &NOT_HERE;
    }
    if (!srv->esmtp) {
        return &SAY_EHLO;
    }
    if (srv->is_authenticated) {
        return &TWICE;
    }
    if (name.length == 0) {
        return &NEEDS_NAME;
    }
    if (mechanism == MAIL_SASL_NONE || (srv->opts.auth_mechanisms & bit) == 0) {
        return &UNKNOWN;
    }
    if ((smtp_server_mechanisms(srv) & bit) == 0) {
        return srv->is_private ? &UNKNOWN : &NEEDS_TLS;
    }
    return NULL;
}

int smtp_server_on_auth(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    mail_span name = smtp_take_word(&arg);
    mail_sasl_mechanism mechanism = mail_sasl_mechanism_parse(name);
    const mail_reply *refusal = refusal_of(srv, name, mechanism);

    if (refusal != NULL) {
        return smtp_server_refuse(srv, refusal, ev);
    }
    if (begin(srv, mechanism) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    if (arg.length == 0) {
        return follow(srv, mail_sasl_server_step(srv->sasl, NULL), ev);
    }
    return take_message(srv, arg, ev);
}

/* A line that passes the limit ends the exchange; where it ends itself is for the command step. */
static int give_up_line(mail_smtp_server *srv)
{
    srv->skips_line = true;
    srv->skips_auth = true;
    smtp_server_forget_sasl(srv);
    return MAIL_OK;
}

const mail_reply *smtp_server_skipped_auth(mail_smtp_server *srv)
{
    bool skipped = srv->skips_auth;

    srv->skips_auth = false;
    return skipped ? &TOO_LONG : NULL;
}

/* Only CRLF ends a line here as well; base64 has no room for anything else. */
int smtp_server_auth_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    size_t scan = in.length < MAIL_SMTP_AUTH_LINE_MAX ? in.length : MAIL_SMTP_AUTH_LINE_MAX;
    const char *lf = scan > 0 ? memchr(in.data, '\n', scan) : NULL;
    mail_span line;

    if (lf == NULL) {
        return in.length >= MAIL_SMTP_AUTH_LINE_MAX ? give_up_line(srv) : MAIL_EAGAIN;
    }
    *used = (size_t)(lf - in.data) + 1;
    srv->since = srv->now;
    line = mail_span_first(in, *used - 1);
    if (line.length == 0 || line.data[line.length - 1] != '\r') {
        return end_refused(srv, &NOT_BASE64, ev);
    }
    line.length--;
    if (mail_span_equal(line, MAIL_SPAN("*"))) {
        return end_refused(srv, &CANCELLED, ev);
    }
    return take_message(srv, line, ev);
}

int mail_smtp_server_answer_auth(mail_smtp_server *srv, mail_time now,
                                 const mail_sasl_answer *answer)
{
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_NONE};

    assert(srv->question == MAIL_SMTP_EV_AUTH);
    srv->now = now;
    srv->since = now;
    srv->question = MAIL_SMTP_EV_NONE;
    return follow(srv, mail_sasl_server_answer(srv->sasl, answer), &ev);
}

/* Refused with a reply of the embedder's: for now (454, 432), or for good. */
int smtp_server_auth_refused(mail_smtp_server *srv, const mail_reply *reply)
{
    mail_smtp_event ev = {.type = MAIL_SMTP_EV_NONE};

    return end_refused(srv, reply, &ev);
}

bool mail_smtp_server_authenticates(const mail_smtp_server *srv)
{
    return srv->sasl != NULL;
}

mail_span mail_smtp_server_user(const mail_smtp_server *srv)
{
    return mail_span_of(srv->user, srv->user_length);
}
