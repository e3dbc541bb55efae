/* SPDX-License-Identifier: MIT */
/*
 * Who the client is: USER and PASS, APOP (RFC 1939, section 7), AUTH (RFC 5034). All of them ask
 * one question, EV_AUTH, and come to one end, EV_LOGIN or EV_DENY: PASS is an exchange of PLAIN
 * whose message the engine writes itself.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "pop3/server.h"
#include "sasl/scram.h"
#include "sasl/wire.h"

_Static_assert(MAIL_POP3_AUTH_LINE_MAX == SASL_LINE_MAX, "as in SMTP");

unsigned pop3_mechanisms(const mail_pop3_server *srv)
{
    sasl_offer offer = {
        .allowed = srv->auth_mechanisms,
        .is_private = srv->is_private,
        .in_clear = srv->auth_in_clear,
        .has_binding = srv->has_binding,
        .has_identity = srv->identity != NULL,
    };

    return sasl_offered(&offer);
}

bool pop3_takes_passwords(const mail_pop3_server *srv)
{
    return srv->is_private || srv->auth_in_clear;
}

/* RFC 1939, section 7, APOP: different each time the server greets. */
void pop3_make_timestamp(mail_pop3_server *srv)
{
    snprintf(srv->auth.timestamp, sizeof(srv->auth.timestamp), "<%" PRIx64 ".%" PRIx64 "@%s>",
             random_u64(srv->random), random_u64(srv->random), srv->hostname);
}

void pop3_forget_auth(mail_pop3_server *srv)
{
    mail_sasl_server_destroy(srv->auth.sasl);
    srv->auth.sasl = NULL;
    srv->auth.was_asked = false;
    srv->auth.user_length = 0;
}

/* An exchange that ends without any secret having been tried. */
static int give_up(mail_pop3_server *srv, const char *why)
{
    pop3_forget_auth(srv);
    srv->state = EXPECT_USER;
    return pop3_fault(srv, why);
}

/* What a step of the mechanism has led to. */
static int follow(mail_pop3_server *srv, mail_sasl_step step)
{
    switch (step) {
    case MAIL_SASL_CONTINUE:
        srv->state = EXPECT_AUTH;
        return sasl_challenge_append(srv->auth.sasl, MAIL_SPAN("+ "), &srv->out);
    case MAIL_SASL_ASK:
        srv->auth.question = *mail_sasl_server_question(srv->auth.sasl);
        srv->auth.was_asked = true;
        srv->state = ASKING;
        return MAIL_OK;
    case MAIL_SASL_OK:
        srv->state = PROVED;
        return MAIL_OK;
    case MAIL_SASL_FAILED:
        break;
    }
    if (mail_sasl_server_is_starved(srv->auth.sasl)) {
        return MAIL_ENOMEM;
    }
    if (srv->auth.was_asked) {
        srv->state = UNPROVED;
        return MAIL_OK;
    }
    return give_up(srv, "that is no message of this mechanism");
}

static int begin(mail_pop3_server *srv, mail_sasl_mechanism mechanism)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;

    opts.mem = srv->mem;
    opts.random = srv->random;
    opts.mechanism = mechanism;
    opts.hostname = mail_span_text(srv->hostname);
    opts.offers_plus = (pop3_mechanisms(srv) & 1U << MAIL_SASL_SCRAM_SHA_256_PLUS) != 0;
    memcpy(opts.disguise, srv->auth_disguise, sizeof(opts.disguise));
    if (srv->has_binding) {
        opts.binding = mail_span_of((const char *)srv->binding, sizeof(srv->binding));
    }
    if (srv->identity != NULL) {
        opts.identity = mail_span_text(srv->identity);
    }
    return mail_sasl_server_create(&srv->auth.sasl, &opts);
}

/* USER and PASS. */

int pop3_on_user(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)ev;
    if (!pop3_takes_passwords(srv)) {
        return pop3_fault(srv, "logging in needs an encrypted connection");
    }
    if (arg.length == 0) {
        return pop3_fault(srv, "USER needs a name");
    }
    /* Whoever it is: whether the name exists is not told (RFC 1939, section 7). */
    memcpy(srv->auth.user, arg.data, arg.length);
    srv->auth.user_length = (uint8_t)arg.length;
    srv->state = EXPECT_PASS;
    return pop3_say(srv, "+OK send PASS");
}

int pop3_on_pass(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    char text[2 * POP3_LINE_MAX + 2] = ""; /* RFC 4616, section 2: NUL, name, NUL, password */
    size_t length = srv->auth.user_length + arg.length + 2;
    mail_span message = mail_span_of(text, length);
    mail_sasl_step step;

    (void)ev;
    if (begin(srv, MAIL_SASL_PLAIN) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    memcpy(text + 1, srv->auth.user, srv->auth.user_length);
    if (arg.length > 0) {
        memcpy(text + 2 + srv->auth.user_length, arg.data, arg.length);
    }
    step = mail_sasl_server_step(srv->auth.sasl, &message);
    explicit_bzero(text, sizeof(text));
    /* A name that is not UTF-8 is nobody's, nor is such a password (RFC 6856, section 2.2). */
    if ((step == MAIL_SASL_FAILED && !mail_sasl_server_is_starved(srv->auth.sasl)) ||
        (srv->offers_utf8 && !sasl_password_is_good(arg))) {
        srv->state = UNPROVED;
        return MAIL_OK;
    }
    return follow(srv, step);
}

/* APOP. */

int pop3_on_apop(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    size_t name = arg.length > SASL_MD5_LENGTH + 1 ? arg.length - SASL_MD5_LENGTH - 1 : 0;

    (void)ev;
    if (srv->auth.timestamp[0] == '\0') {
        return pop3_fault(srv, "unknown command");
    }
    if (name == 0 || arg.data[name] != ' ') {
        return pop3_fault(srv, "APOP needs a name and a digest");
    }
    memcpy(srv->auth.user, arg.data, name);
    srv->auth.user_length = (uint8_t)name;
    memcpy(srv->auth.apop_digest, arg.data + name + 1, SASL_MD5_LENGTH);
    srv->auth.question = (mail_sasl_question){.mechanism = MAIL_SASL_CRAM_MD5,
                                              .user = mail_span_of(srv->auth.user, name)};
    srv->state = ASKING;
    return MAIL_OK;
}

static bool apop_holds(const mail_pop3_server *srv, const mail_sasl_answer *answer)
{
    return answer->kind == MAIL_SASL_PASSWORD &&
           sasl_apop_holds(mail_span_text(srv->auth.timestamp), answer->password,
                           mail_span_of(srv->auth.apop_digest, SASL_MD5_LENGTH));
}

/* AUTH. */

/* RFC 5034, section 4, leaves open what AUTH alone means; clients of old take it for a question. */
static int list_mechanisms(mail_pop3_server *srv)
{
    unsigned offered = pop3_mechanisms(srv);
    int code = pop3_say(srv, "+OK");

    for (unsigned i = 1; i < MAIL_SASL_MECHANISMS && code == MAIL_OK; i++) {
        if ((offered & 1U << i) != 0) {
            code = pop3_say(srv, "%s", mail_sasl_mechanism_name((mail_sasl_mechanism)i));
        }
    }
    return code == MAIL_OK ? pop3_say(srv, ".") : code;
}

/* Why there can be no exchange by `mechanism`; NULL: there can. */
static const char *refusal_of(const mail_pop3_server *srv, mail_sasl_mechanism mechanism)
{
    unsigned bit = 1U << mechanism;

    if (mechanism == MAIL_SASL_NONE || (srv->auth_mechanisms & bit) == 0) {
        return "mechanism unknown or not offered";
    }
    if ((pop3_mechanisms(srv) & bit) == 0) {
        return srv->is_private ? "mechanism unknown or not offered"
                               : "that mechanism needs an encrypted connection";
    }
    return NULL;
}

static int take_message(mail_pop3_server *srv, mail_span text)
{
    mail_sasl_step step;

    return sasl_step_base64(srv->auth.sasl, text, &step) ? follow(srv, step)
                                                         : give_up(srv, "that is not base64");
}

int pop3_on_auth(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    const char *space = arg.length > 0 ? memchr(arg.data, ' ', arg.length) : NULL;
    size_t before = space != NULL ? (size_t)(space - arg.data) : arg.length;
    mail_sasl_mechanism mechanism = mail_sasl_mechanism_parse(mail_span_first(arg, before));
    const char *refusal = refusal_of(srv, mechanism);
    mail_span message = mail_span_from(arg, space != NULL ? before + 1 : before);

    (void)ev;
    if (srv->auth_mechanisms == 0) {
        return pop3_fault(srv, "unknown command");
    }
    if (arg.length == 0) {
        return list_mechanisms(srv);
    }
    if (refusal != NULL) {
        return pop3_fault(srv, refusal);
    }
    if (begin(srv, mechanism) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    if (message.length == 0) {
        return follow(srv, mail_sasl_server_step(srv->auth.sasl, NULL));
    }
    return take_message(srv, message);
}

int pop3_auth_line(mail_pop3_server *srv, mail_span line)
{
    if (mail_span_equal(line, MAIL_SPAN("*"))) {
        return give_up(srv, "cancelled");
    }
    return take_message(srv, line);
}

int mail_pop3_server_answer_auth(mail_pop3_server *srv, mail_time now,
                                 const mail_sasl_answer *answer)
{
    if (srv->state == CLOSING) {
        return MAIL_OK; /* forced down while the question was open */
    }
    assert(srv->state == AWAIT_AUTH);
    srv->active_at = now;
    if (srv->auth.sasl == NULL) {
        srv->state = apop_holds(srv, answer) ? PROVED : UNPROVED;
        return MAIL_OK;
    }
    return follow(srv, mail_sasl_server_answer(srv->auth.sasl, answer));
}
