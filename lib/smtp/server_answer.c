/* SPDX-License-Identifier: MIT */
#include <assert.h>

#include "smtp/server.h"

static int on_connect(mail_smtp_server *srv, const mail_reply *reply)
{
    mail_span text = reply->text;

    if (!mail_reply_is_positive(reply)) {
        srv->state = SMTP_EXPECT_QUIT;
        return smtp_server_say(srv, reply);
    }
    srv->state = SMTP_EXPECT_HELO;
    if (text.length == 0) {
        text = srv->opts.lmtp ? MAIL_SPAN("LMTP") : MAIL_SPAN("ESMTP");
    }
    return smtp_server_say_name(srv, 220, text, true);
}

/* RFC 5321, section 4.1.4: accepted it clears the transaction, refused it changes nothing. */
static int on_helo(mail_smtp_server *srv, const mail_reply *reply)
{
    int code;

    if (!mail_reply_is_positive(reply)) {
        return smtp_server_say(srv, reply);
    }
    srv->owed = smtp_server_end_transaction(srv);
    srv->esmtp = srv->asked_esmtp;
    code = smtp_server_say_name(srv, 250, reply->text, !srv->esmtp);
    return code == MAIL_OK && srv->esmtp ? smtp_extensions_say(srv) : code;
}

static int on_mail(mail_smtp_server *srv, const mail_reply *reply)
{
    if (mail_reply_is_positive(reply)) {
        srv->state = SMTP_EXPECT_RCPT;
    }
    return smtp_server_say(srv, reply);
}

/* Whoever guesses which recipients there are guesses in vain, and gets no answer in the end. */
static int refuse_rcpt(mail_smtp_server *srv, const mail_reply *reply)
{
    static const mail_reply enough = SMTP_REPLY(421, 4, 7, 0, "Too many unknown recipients");
    int code = smtp_server_say(srv, reply);

    if (code == MAIL_OK && ++srv->refused >= srv->opts.max_refused) {
        code = smtp_server_hang_up(srv, &enough);
    }
    return code;
}

static int on_rcpt(mail_smtp_server *srv, const mail_reply *reply)
{
    if (mail_reply_is_permanent(reply)) {
        return refuse_rcpt(srv, reply);
    }
    if (mail_reply_is_positive(reply)) {
        srv->state = SMTP_EXPECT_DATA;
        srv->rcpt_count++;
    }
    return smtp_server_say(srv, reply);
}

/* A chunk for which there is no message: its octets follow all the same. */
static int refuse_chunk(mail_smtp_server *srv, const mail_reply *reply)
{
    size_t before = buffer_length(&srv->out);

    for (uint32_t i = smtp_server_chunk_replies(srv); i > 0; i--) {
        int code = smtp_server_say(srv, reply);

        if (code != MAIL_OK) {
            return code;
        }
    }
    srv->owed = smtp_server_end_transaction(srv);
    smtp_server_swallow_chunk(srv, SMTP_EXPECT_MAIL, buffer_length(&srv->out) - before);
    return MAIL_OK;
}

static int on_data(mail_smtp_server *srv, const mail_reply *reply)
{
    bool takes = reply->code == 354;
    bool by_bdat = srv->asked_by_bdat;

    srv->asked_by_bdat = false;
    if (!takes) {
        return by_bdat ? refuse_chunk(srv, reply) : smtp_server_say(srv, reply);
    }
    smtp_server_begin_message(srv);
    srv->state = by_bdat ? SMTP_EXPECT_OCTETS : SMTP_EXPECT_DOT;
    return by_bdat ? MAIL_OK : smtp_server_say(srv, reply);
}

/* One verdict for all recipients, or in LMTP one for each. */
static int on_end(mail_smtp_server *srv, const mail_reply *reply)
{
    if (mail_reply_is_positive(reply)) {
        srv->errors = 0;
        srv->junk = 0;
        srv->refused = 0;
    }
    srv->verdict_index++;
    if (!srv->opts.lmtp || srv->verdict_index == srv->rcpt_count) {
        smtp_server_end_transaction(srv);
    }
    return smtp_server_say(srv, reply);
}

/* One row a question: the ordinary answer, and what follows from an answer. */
static const struct question {
    mail_reply ordinary;
    int (*answered)(mail_smtp_server *srv, const mail_reply *reply);
} questions[] = {
    [MAIL_SMTP_EV_CONNECT] = {SMTP_REPLY(220, 0, 0, 0, ""), on_connect},
    [MAIL_SMTP_EV_HELO] = {SMTP_REPLY(250, 0, 0, 0, ""), on_helo},
    [MAIL_SMTP_EV_MAIL] = {SMTP_REPLY(250, 2, 1, 0, "OK"), on_mail},
    [MAIL_SMTP_EV_RCPT] = {SMTP_REPLY(250, 2, 1, 5, "OK"), on_rcpt},
    [MAIL_SMTP_EV_DATA] = {SMTP_REPLY(354, 0, 0, 0, "End with <CRLF>.<CRLF>"), on_data},
    [MAIL_SMTP_EV_END] = {SMTP_REPLY(250, 2, 0, 0, "OK"), on_end},
    [MAIL_SMTP_EV_STARTTLS] = {SMTP_REPLY(220, 2, 0, 0, "Go ahead with TLS"),
                               smtp_server_starttls_answered},
    [MAIL_SMTP_EV_AUTH] = {SMTP_REPLY(535, 5, 7, 8, "Authentication failed"),
                           smtp_server_auth_refused},
    [MAIL_SMTP_EV_VRFY] = {SMTP_REPLY(252, 2, 5, 0, "Not checked; mail will be tried"),
                           smtp_server_say},
    [MAIL_SMTP_EV_EXPN] = {SMTP_REPLY(252, 2, 5, 0, "Not checked; mail will be tried"),
                           smtp_server_say},
};

/* Whether `reply` can answer what `ordinary` does: of the same class, or a refusal. */
static inline bool fits(const mail_reply *reply, const mail_reply *ordinary)
{
    return reply->code / 100 == ordinary->code / 100 || mail_reply_is_transient(reply) ||
           mail_reply_is_permanent(reply);
}

int mail_smtp_server_answer(mail_smtp_server *srv, mail_time now, const mail_reply *reply)
{
    const struct question *asked = &questions[srv->question];

    assert(srv->question != MAIL_SMTP_EV_NONE);
    reply = reply != NULL ? reply : &asked->ordinary;
    assert(fits(reply, &asked->ordinary));
    srv->now = now;
    srv->since = now;
    if (reply->code == 421) {
        int code = smtp_server_say(srv, reply);

        smtp_server_close(srv, NULL);
        return code;
    }
    srv->question = MAIL_SMTP_EV_NONE;
    srv->was_refused = reply->code >= 400;
    return asked->answered(srv, reply);
}
