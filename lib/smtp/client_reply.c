/* SPDX-License-Identifier: MIT */
/*
 * What each reply means. Replies come in the order of the commands, so the oldest
 * command without one is what a reply answers; only its code decides, and of a code
 * that is not known its first digit (RFC 5321, section 4.2).
 *
 *       AWAIT_TLS, AWAIT_CREDENTIALS
 *         ^  |
 *         |  v EHLO 250, 235            begin             354, or BDAT
 *     OPENING --------------> AWAIT_BEGIN ----> SENDING ----------------> AWAIT_BODY
 *       | refused              |   ^               | nobody is left            | finish
 *       |                 quit |   | DONE, READY   v                           |
 *       |                      |   +------- AWAIT_REPLIES <--------------------+
 *       v                      v
 *      AWAIT_FAREWELL <--------+         from every state, when the connection is lost, at 421,
 *       | 221, or not                    at a time-out or a broken protocol: (DONE,) CLOSED
 *       v
 *     CLOSED
 */
#include "smtp/client.h"

void smtp_client_say_ehlo(mail_smtp_client *cl)
{
    mail_span hostname = mail_span_of(cl->hostname, cl->hostname_length);

    cl->offer = (mail_smtp_offer){.esmtp = false};
    cl->heard = cl->offer;
    smtp_client_say(cl, SMTP_COMMAND_EHLO, cl->lmtp ? "LHLO" : "EHLO", hostname);
}

/* What the peer says to open the session is a refusal, or nothing that can be said there. */
static bool refuse(mail_smtp_client *cl, const mail_reply *reply)
{
    if (reply->code < 400) {
        smtp_client_fail_protocol(cl, "a reply that does not fit its command", reply);
    } else {
        smtp_client_leave(cl, reply, false);
    }
    return true;
}

/* RFC 5321, section 4.3.1; RFC 7504 for 521. */
static bool on_greeting(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (!mail_reply_is_positive(reply)) {
        return refuse(cl, reply);
    }
    smtp_client_say_ehlo(cl);
    return true;
}

/* SC-002: who greets with HELO gives up STARTTLS and AUTH, and whoever can forge a 502 can have that. */
static bool may_say_helo(const mail_smtp_client *cl)
{
    return !cl->lmtp && !cl->is_private && !cl->authenticates && cl->tls != MAIL_SMTP_TLS_REQUIRE;
}

void smtp_client_proceed(mail_smtp_client *cl)
{
    static const mail_reply no_tls =
        MAIL_REPLY_INIT(451, 4, 7, 4, "TLS is required, and the host does not offer it");

    if (smtp_client_wants_starttls(cl)) {
        smtp_client_say(cl, SMTP_COMMAND_STARTTLS, "STARTTLS", MAIL_SPAN(""));
    } else if (cl->tls == MAIL_SMTP_TLS_REQUIRE && !cl->is_private) {
        smtp_client_leave(cl, &no_tls, true);
    } else if (cl->authenticates && !cl->is_authenticated) {
        smtp_client_ask_for_credentials(cl);
    } else {
        smtp_client_settle(cl);
    }
}

static bool on_ehlo(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    static const mail_reply no_ehlo = MAIL_REPLY_INIT(
        451, 4, 7, 4, "The host knows no EHLO, and so neither TLS nor authentication");
    mail_span hostname = mail_span_of(cl->hostname, cl->hostname_length);

    (void)index;
    /* RFC 5321, sections 3.2 and 4.1.1.1; RFC 2033 knows no other greeting than LHLO. */
    if ((reply->code == 500 || reply->code == 502) && may_say_helo(cl)) {
        smtp_client_say(cl, SMTP_COMMAND_HELO, "HELO", hostname);
        return true;
    }
    if (reply->code == 500 || reply->code == 502) {
        smtp_client_leave(cl, cl->lmtp ? reply : &no_ehlo, !cl->lmtp);
        return true;
    }
    if (!mail_reply_is_positive(reply)) {
        return refuse(cl, reply);
    }
    cl->offer = cl->heard;
    cl->offer.esmtp = true;
    cl->offer.pipelining = cl->offer.pipelining && !cl->no_pipelining;
    cl->offer.chunking = cl->offer.chunking && !cl->no_chunking;
    smtp_client_proceed(cl);
    return true;
}

static bool on_helo(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (!mail_reply_is_positive(reply)) {
        return refuse(cl, reply);
    }
    smtp_client_settle(cl);
    return true;
}

static bool on_rset(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (!mail_reply_is_positive(reply)) {
        smtp_client_fail_protocol(cl, "a refused RSET", reply);
    }
    return true;
}

/* Nobody gets the message; what was left to send of it is not sent. */
static void refuse_all(mail_smtp_client *cl, const mail_reply *reply)
{
    smtp_verdict verdict;

    if (smtp_outcomes_are_open(&cl->outcomes)) {
        verdict = smtp_outcomes_judge(&cl->outcomes, reply);
        smtp_outcomes_decide_rest(&cl->outcomes, &verdict);
    }
    smtp_body_cut(cl);
}

static bool on_mail(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (mail_reply_is_positive(reply)) {
        cl->tx.mail_taken = true;
    } else {
        refuse_all(cl, reply);
    }
    return true;
}

static bool on_rcpt(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    mail_reply meant = *reply;
    smtp_verdict verdict;

    if (cl->outcomes.all[index].progress == SMTP_PROGRESS_DECIDED) {
        return true; /* MAIL was refused */
    }
    if (mail_reply_is_positive(reply)) {
        smtp_outcomes_take(&cl->outcomes, index);
        return true;
    }
    /* RFC 5321, section 4.5.3.1.10: too many recipients. */
    if (reply->code == 552) {
        meant.code = 452;
        meant.status[0] = meant.status[0] > 0 ? 4 : 0;
    }
    verdict = smtp_outcomes_judge(&cl->outcomes, &meant);
    smtp_outcomes_decide(&cl->outcomes, index, &verdict);
    if (!smtp_outcomes_are_open(&cl->outcomes)) {
        smtp_body_cut(cl);
    }
    return true;
}

/*
 * RFC 2920, section 3.1: DATA that went out with the recipients may be taken although
 * none of them was. A lone dot then ends the message at once.
 */
static bool on_data(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (mail_reply_is_positive(reply)) {
        smtp_client_fail_protocol(cl, "a reply that does not fit its command", reply);
    } else if (reply->code >= 400) {
        refuse_all(cl, reply);
    } else if (smtp_outcomes_are_open(&cl->outcomes)) {
        smtp_body_open(cl);
    } else {
        smtp_client_say(cl, SMTP_COMMAND_VOID_END, ".", MAIL_SPAN(""));
    }
    return true;
}

/* RFC 3030, section 2: after a refused chunk only RSET leads on. */
static bool on_bdat(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (mail_reply_is_positive(reply)) {
        return true;
    }
    refuse_all(cl, reply);
    /* How many replies an LMTP server gives to a last chunk behind this one is not defined. */
    if (cl->lmtp && cl->tx.end > 0) {
        smtp_client_fail(cl, reply, false);
    }
    return true;
}

/* The next recipient whom LMTP has a final reply for; the count if there is none. */
static size_t next_final(mail_smtp_client *cl)
{
    while (cl->tx.next_final < cl->outcomes.count &&
           cl->outcomes.all[cl->tx.next_final].progress != SMTP_PROGRESS_TAKEN) {
        cl->tx.next_final++;
    }
    return cl->tx.next_final;
}

static bool on_end(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    smtp_verdict verdict;

    (void)index;
    /* After the dot nothing is left of the transaction; after a refused chunk, who knows. */
    cl->tx.is_clean = !cl->tx.by_bdat || mail_reply_is_positive(reply);
    if (!smtp_outcomes_are_open(&cl->outcomes)) {
        return true;
    }
    verdict = smtp_outcomes_judge(&cl->outcomes, reply);
    if (!cl->lmtp) {
        smtp_outcomes_decide_rest(&cl->outcomes, &verdict);
        return true;
    }
    /* RFC 2033, section 4.2: one reply for each recipient that was taken. */
    smtp_outcomes_decide(&cl->outcomes, next_final(cl), &verdict);
    return cl->outcomes.taken == 0;
}

static bool on_void_end(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)cl;
    (void)reply;
    (void)index;
    return true;
}

/* Whatever the peer says to QUIT: it was heard. */
static bool on_quit(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)reply;
    (void)index;
    cl->state = SMTP_CLIENT_CLOSED;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_CLOSED);
    return true;
}

/* RFC 5321, section 4.5.3.2; what it does not name gets the time of a command. */
static const struct command {
    const char *phase;
    mail_duration timeout;
    /* False: more replies to the same command follow. */
    bool (*on_reply)(mail_smtp_client *cl, const mail_reply *reply, size_t index);
} commands[] = {
    [SMTP_COMMAND_GREETING] = {"greeting", 5 * MAIL_MINUTE, on_greeting},
    [SMTP_COMMAND_EHLO] = {"ehlo", 5 * MAIL_MINUTE, on_ehlo},
    [SMTP_COMMAND_HELO] = {"helo", 5 * MAIL_MINUTE, on_helo},
    [SMTP_COMMAND_STARTTLS] = {"starttls", 5 * MAIL_MINUTE, smtp_client_on_starttls},
    [SMTP_COMMAND_AUTH] = {"auth", 5 * MAIL_MINUTE, smtp_client_on_auth},
    [SMTP_COMMAND_RSET] = {"rset", 5 * MAIL_MINUTE, on_rset},
    [SMTP_COMMAND_MAIL] = {"mail", 5 * MAIL_MINUTE, on_mail},
    [SMTP_COMMAND_RCPT] = {"rcpt", 5 * MAIL_MINUTE, on_rcpt},
    [SMTP_COMMAND_DATA] = {"data", 2 * MAIL_MINUTE, on_data},
    [SMTP_COMMAND_BDAT] = {"body", 3 * MAIL_MINUTE, on_bdat},
    [SMTP_COMMAND_END] = {"dot", 10 * MAIL_MINUTE, on_end},
    [SMTP_COMMAND_VOID_END] = {"dot", 10 * MAIL_MINUTE, on_void_end},
    [SMTP_COMMAND_QUIT] = {"quit", 10 * MAIL_SECOND, on_quit},
};

mail_duration smtp_command_timeout(smtp_command command)
{
    return commands[command].timeout;
}

const char *smtp_command_phase(smtp_command command)
{
    return commands[command].phase;
}

/*
 * RFC 5321, section 3.8: at any time. After the message it is a verdict too; before,
 * nothing that was sent behind `command` is carried out.
 */
static void on_shutdown(mail_smtp_client *cl, const mail_reply *reply, smtp_command command)
{
    if (command == SMTP_COMMAND_END) {
        on_end(cl, reply, 0);
    } else {
        cl->tx.end = 0;
    }
    smtp_client_fail(cl, reply, false);
}

/* Commands that "go on" is an answer to. After any other the peer is out of step: no more mail for it. */
static bool takes_intermediate(smtp_command command)
{
    return command == SMTP_COMMAND_DATA || command == SMTP_COMMAND_AUTH;
}

void smtp_client_on_reply(mail_smtp_client *cl, const mail_reply *reply)
{
    const smtp_expected *head = smtp_wire_head(&cl->wire);
    bool is_due = head != NULL && smtp_wire_has_sent(&cl->wire, head->end);

    if (cl->sasl != NULL) {
        smtp_client_mask(cl, reply->text.length);
    }
    if (reply->code == 421) {
        on_shutdown(cl, reply, is_due ? (smtp_command)head->command : SMTP_COMMAND_QUIT);
        return;
    }
    if (!is_due) {
        smtp_client_fail_protocol(cl, "a reply that nothing has asked for", reply);
        return;
    }
    cl->leaves |=
        reply->code < 400 && !mail_reply_is_positive(reply) && !takes_intermediate(head->command);
    if (commands[head->command].on_reply(cl, reply, head->index) && cl->wire.count > 0) {
        smtp_wire_pop(&cl->wire, cl->now);
    } else {
        cl->wire.waits_since = cl->now;
    }
    smtp_client_advance(cl);
}
