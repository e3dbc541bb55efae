/* SPDX-License-Identifier: MIT */
/*
 * AUTH (RFC 4954): one exchange of a SASL mechanism, whose messages go in base64.
 *
 *     AWAIT_CREDENTIALS --AUTH, message--> OPENING --334--> message … --235--> AWAIT_BEGIN
 *
 * An exchange that fails ends the session: without the user that we claim to be,
 * nothing that the peer would take is meant by it.
 */
#include "smtp/client.h"

#include <assert.h>
#include <stdio.h>

#include <mail/encode.h>

#include "base/ascii.h"

/* RFC 5321, section 4.5.3.1.4: of a command line, CRLF included. */
#define COMMAND_MAX 512

/* 15 ms of work; a host that asks for more would hold up all others. */
#define ITERATIONS_MAX 100000

/* What a line of the peer can hold. */
#define CHALLENGE_SIZE 4096

void smtp_client_forget_sasl(mail_smtp_client *cl)
{
    mail_sasl_client_destroy(cl->sasl);
    cl->sasl = NULL;
    smtp_wire_wipe(&cl->wire);
}

void smtp_client_ask_for_credentials(mail_smtp_client *cl)
{
    static const mail_reply not_offered =
        MAIL_REPLY_INIT(451, 4, 7, 4, "The host offers no authentication that we know");

    if (cl->offer.auth == 0) {
        smtp_client_leave(cl, &not_offered, true);
        return;
    }
    cl->state = SMTP_CLIENT_AWAIT_CREDENTIALS;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_AUTH);
}

/* Writes `head` and the message in base64, `=` for an empty one behind a command. */
static void say_message(mail_smtp_client *cl, const char *head, bool is_initial)
{
    mail_span message = mail_sasl_client_out(cl->sasl);
    size_t size = strlen(head) + MAIL_BASE64_SIZE(message.length) + 4;
    char *start = smtp_wire_space(&cl->wire, size);
    size_t length = strlen(head);

    if (start == NULL) {
        smtp_client_fail_memory(cl);
        return;
    }
    memcpy(start, head, length);
    if (is_initial && message.length == 0) {
        start[length++] = '=';
    } else {
        length += mail_base64_encode(message, start + length);
    }
    memcpy(start + length, "\r\n", 2);
    smtp_wire_commit(&cl->wire, length + 2);
    smtp_wire_expect(&cl->wire, SMTP_COMMAND_AUTH, 0);
}

/* RFC 4954, section 4: what does not fit into a command line waits for an empty challenge. */
static void say_auth(mail_smtp_client *cl, mail_sasl_mechanism mechanism, bool has_message)
{
    char head[64];
    size_t length =
        (size_t)snprintf(head, sizeof(head), "AUTH %s ", mail_sasl_mechanism_name(mechanism));
    size_t encoded = MAIL_BASE64_SIZE(mail_sasl_client_out(cl->sasl).length);

    if (has_message && length + encoded + 2 <= COMMAND_MAX) {
        say_message(cl, head, true);
        return;
    }
    cl->has_more = has_message;
    head[length - 1] = '\0';
    smtp_client_say(cl, SMTP_COMMAND_AUTH, head, MAIL_SPAN(""));
}

/* What the credentials are to the SASL layer. */
static mail_sasl_client_options means_of(const mail_smtp_client *cl,
                                         const mail_smtp_credentials *credentials)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;

    opts.mem = cl->mem;
    opts.user = credentials->user;
    opts.authzid = credentials->authzid;
    opts.password = credentials->password;
    opts.token = credentials->token;
    opts.host = credentials->host;
    opts.port = credentials->port;
    opts.max_iterations = ITERATIONS_MAX;
    opts.random = cl->random;
    opts.plus_was_offered = (cl->offer.auth & 1U << MAIL_SASL_SCRAM_SHA_256_PLUS) != 0;
    if (cl->has_binding) {
        opts.binding = mail_span_of(cl->binding, sizeof(cl->binding));
    }
    return opts;
}

/* SC-025: of those that are offered and allowed, the best. */
static mail_sasl_mechanism choose(const mail_smtp_client *cl, const mail_sasl_client_options *opts,
                                  const mail_smtp_credentials *credentials)
{
    char offered[MAIL_SASL_MECHANISMS_SIZE];
    size_t length = mail_sasl_mechanisms_print(cl->offer.auth, offered);

    return mail_sasl_client_choose(opts, mail_span_of(offered, length), credentials->mechanisms,
                                   cl->is_private || credentials->in_clear);
}

/* Whether TLS is all that is missing, as far as we know. */
static mail_reply why_none(const mail_smtp_client *cl, const mail_sasl_client_options *opts,
                           const mail_smtp_credentials *credentials)
{
    mail_smtp_credentials in_clear = *credentials;

    in_clear.in_clear = true;
    return choose(cl, opts, &in_clear) != MAIL_SASL_NONE
               ? MAIL_REPLY(451, 4, 7, 11, "The secret is not shown to the host without TLS")
               : MAIL_REPLY(451, 4, 7, 4, "The host offers no authentication that we can use");
}

/* Creates the exchange and takes its first step; the reply says why not. */
static bool begin(mail_smtp_client *cl, mail_sasl_client_options *opts, bool *has_message)
{
    mail_reply bad = MAIL_REPLY(451, 4, 7, 0,
                                "The credentials cannot be used: too long, or with odd characters");
    int code = mail_sasl_client_create(&cl->sasl, opts);

    if (code == MAIL_ENOMEM) {
        smtp_client_fail_memory(cl);
        return false;
    }
    if (code != MAIL_OK) {
        smtp_client_leave(cl, &bad, true);
        return false;
    }
    *has_message = mail_sasl_client_speaks_first(cl->sasl);
    if (*has_message && mail_sasl_client_step(cl->sasl, NULL) == MAIL_SASL_FAILED) {
        smtp_client_fail_memory(cl);
        return false;
    }
    return true;
}

bool mail_smtp_client_awaits_credentials(const mail_smtp_client *cl)
{
    return cl->state == SMTP_CLIENT_AWAIT_CREDENTIALS;
}

void mail_smtp_client_authenticate(mail_smtp_client *cl, mail_time now,
                                   const mail_smtp_credentials *credentials)
{
    mail_sasl_client_options opts = means_of(cl, credentials);
    bool has_message;

    assert(cl->state == SMTP_CLIENT_AWAIT_CREDENTIALS);
    cl->now = now;
    cl->state = SMTP_CLIENT_OPENING;
    opts.mechanism = choose(cl, &opts, credentials);
    if (opts.mechanism == MAIL_SASL_NONE) {
        mail_reply why = why_none(cl, &opts, credentials);

        smtp_client_leave(cl, &why, true);
    } else if (begin(cl, &opts, &has_message)) {
        say_auth(cl, opts.mechanism, has_message);
    }
    smtp_wire_time(&cl->wire, now);
}

/* The exchange has gone wrong on our side; what the peer says to that does not matter. */
static void cancel(mail_smtp_client *cl)
{
    if (mail_sasl_client_is_starved(cl->sasl)) {
        smtp_client_fail_memory(cl);
        return;
    }
    smtp_client_forget_sasl(cl);
    smtp_client_say(cl, SMTP_COMMAND_AUTH, "*", MAIL_SPAN(""));
}

static void on_challenge(mail_smtp_client *cl)
{
    char decoded[CHALLENGE_SIZE];
    mail_span message;
    size_t length;

    if (cl->sasl == NULL) {
        smtp_client_fail_protocol(cl, "a challenge after all is said", NULL);
        return;
    }
    if (cl->has_more) {
        cl->has_more = false;
        say_message(cl, "", false);
        return;
    }
    if (mail_base64_decode(cl->line_text, decoded, &length) != MAIL_OK) {
        cancel(cl);
        return;
    }
    message = mail_span_of(decoded, length);
    if (mail_sasl_client_step(cl->sasl, &message) == MAIL_SASL_FAILED) {
        cancel(cl);
    } else {
        say_message(cl, "", false);
    }
}

static bool is_base64(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '+' || c == '/' || c == '=';
}

/* So much of a message is enough to know it by, should the rest be cut off. */
#define MASK_BY 16

/* A shorter one could be any word. */
#define MASK_LEAST 4

static void mask_encoded(char *at, const char *end, mail_span sent)
{
    size_t by = sent.length < MASK_BY ? sent.length : MASK_BY;

    while (by > 0 && (at = memmem(at, (size_t)(end - at), sent.data, by)) != NULL) {
        while (at < end && is_base64(*at)) {
            *at++ = '*';
        }
    }
}

static void mask_plain(char *at, const char *end, mail_span secret)
{
    while (secret.length >= MASK_LEAST &&
           (at = memmem(at, (size_t)(end - at), secret.data, secret.length)) != NULL) {
        memset(at, '*', secret.length);
    }
}

/* What stands behind the last NUL: of PLAIN the password, of others all. */
static mail_span secret_of(mail_span message)
{
    const char *nul = message.length > 0 ? memrchr(message.data, '\0', message.length) : NULL;

    return nul != NULL ? mail_span_from(message, (size_t)(nul - message.data) + 1) : message;
}

/* SC-034: some hosts repeat what they were told last; that must get into no log. */
void smtp_client_mask(mail_smtp_client *cl, size_t length)
{
    char sent[MAIL_BASE64_SIZE(MAIL_SASL_MESSAGE_MAX)];
    mail_span message = mail_sasl_client_out(cl->sasl);
    size_t n = mail_base64_encode(message, sent);

    mask_encoded(cl->reply_text, cl->reply_text + length, mail_span_of(sent, n));
    mask_plain(cl->reply_text, cl->reply_text + length, secret_of(message));
    explicit_bzero(sent, n);
}

/* SC-028: with what an OAuth server said was wrong. */
static void on_refusal(mail_smtp_client *cl, const mail_reply *reply)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    mail_span error = mail_sasl_client_error(cl->sasl);
    mail_reply why = *reply;
    int length =
        snprintf(text, sizeof(text), "%.*s%s%.*s", (int)reply->text.length,
                 reply->text.length > 0 ? reply->text.data : "", error.length > 0 ? " " : "",
                 (int)error.length, error.length > 0 ? error.data : "");

    if (length >= (int)sizeof(text)) {
        length = (int)sizeof(text) - 1;
    }
    why.text = mail_span_of(text, (size_t)length);
    smtp_client_forget_sasl(cl);
    smtp_client_leave(cl, &why, false);
}

/* RFC 5802, section 5: a host that lets us in must have shown that it knows the password. */
static void on_success(mail_smtp_client *cl)
{
    mail_reply unproved =
        MAIL_REPLY(451, 4, 7, 0, "The host did not prove that it knows the password");

    if (!mail_sasl_client_is_satisfied(cl->sasl)) {
        smtp_client_fail(cl, &unproved, true);
        return;
    }
    smtp_client_forget_sasl(cl);
    cl->is_authenticated = true;
    smtp_client_proceed(cl);
}

bool smtp_client_on_auth(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    mail_reply broken = MAIL_REPLY(451, 4, 7, 0, "The host's part of the authentication is wrong");

    (void)index;
    if (reply->code >= 300 && reply->code < 400) {
        on_challenge(cl);
    } else if (cl->sasl == NULL) {
        smtp_client_leave(cl, &broken, true); /* cancelled */
    } else if (mail_reply_is_positive(reply)) {
        on_success(cl);
    } else if (reply->code >= 400) {
        on_refusal(cl, reply);
    } else {
        smtp_client_fail_protocol(cl, "a reply that does not fit its command", reply);
    }
    return true;
}
