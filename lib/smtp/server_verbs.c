/* SPDX-License-Identifier: MIT */
/* The verbs that are not about an envelope or a message. */
#include "base/ascii.h"
#include "base/utf8.h"
#include "smtp/server.h"

static const mail_reply OK = SMTP_REPLY(250, 2, 0, 0, "OK");
static const mail_reply BYE = SMTP_REPLY(221, 2, 0, 0, "Bye");
static const mail_reply UNVERIFIED = SMTP_REPLY(252, 2, 5, 0, "Not checked; mail will be tried");
static const mail_reply UNSUPPORTED = SMTP_REPLY(502, 5, 5, 1, "Command not implemented");
static const mail_reply FOREIGN = SMTP_REPLY(554, 5, 5, 1, "Only SMTP is spoken here");
static const mail_reply BAD_NAME =
    SMTP_REPLY(501, 5, 5, 4, "Give your host name or address literal");
static const mail_reply NEEDS_ARGUMENT = SMTP_REPLY(501, 5, 5, 4, "Say what");
static const mail_reply NEEDS_UTF8 = SMTP_REPLY(553, 5, 6, 7, "SMTPUTF8 is needed for that");

/*
 * RFC 5321, section 4.1.1.1, and what real hosts call themselves: underscores too. No more,
 * since the name goes into Received fields and logs.
 */
static bool is_domain(mail_span name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '.' && c != '_') {
            return false;
        }
    }
    return name.length > 0 && name.length <= 255;
}

static bool is_host(mail_span name)
{
    mail_ip ip;

    return is_domain(name) || mail_ip_parse_literal(name, &ip) == MAIL_OK;
}

static int ask_helo(mail_smtp_server *srv, mail_span name, bool esmtp, mail_smtp_event *ev)
{
    if (!is_host(name)) {
        return smtp_server_refuse(srv, &BAD_NAME, ev);
    }
    srv->asked_esmtp = esmtp;
    ev->name = name;
    ev->esmtp = esmtp;
    return smtp_server_ask(srv, MAIL_SMTP_EV_HELO, ev);
}

int smtp_server_on_ehlo(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    return ask_helo(srv, arg, true, ev);
}

int smtp_server_on_helo(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    return ask_helo(srv, arg, false, ev);
}

int smtp_server_on_rset(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    if (srv->state != SMTP_EXPECT_HELO) {
        ev->type = smtp_server_end_transaction(srv);
    }
    srv->was_refused = false;
    return smtp_server_say(srv, &OK);
}

int smtp_server_on_noop(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    (void)ev;
    return smtp_server_say(srv, &OK);
}

/*
 * RFC 6531, section 3.7.4.2: VRFY and EXPN take the parameter SMTPUTF8, without
 * which their argument is ASCII.
 */
static const mail_reply *take_argument(const mail_smtp_server *srv, mail_span *arg)
{
    static const mail_span flag = {" SMTPUTF8", 9};
    bool utf8 = false;

    if (smtp_server_offers(srv, SMTP_EXT_SMTPUTF8) && arg->length > flag.length &&
        mail_span_equal_nocase(mail_span_from(*arg, arg->length - flag.length), flag)) {
        arg->length -= flag.length;
        utf8 = true;
    }
    if (arg->length == 0) {
        return &NEEDS_ARGUMENT;
    }
    if (!utf8_is_ascii(*arg) && !(utf8 && utf8_is_valid(*arg))) {
        return &NEEDS_UTF8;
    }
    return NULL;
}

static int ask_about(mail_smtp_server *srv, mail_smtp_event_type question, mail_span arg,
                     mail_smtp_event *ev)
{
    const mail_reply *refusal = take_argument(srv, &arg);

    if (refusal != NULL) {
        return smtp_server_refuse(srv, refusal, ev);
    }
    ev->argument = arg;
    return smtp_server_ask(srv, question, ev);
}

/* VRFY must be there (RFC 5321, section 4.5.1), but need not tell anything (section 7.3). */
int smtp_server_on_vrfy(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    if (srv->opts.no_vrfy && arg.length > 0) {
        return smtp_server_say(srv, &UNVERIFIED);
    }
    return ask_about(srv, MAIL_SMTP_EV_VRFY, arg, ev);
}

int smtp_server_on_expn(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    if (!srv->opts.expn) {
        return smtp_server_on_unsupported(srv, arg, ev);
    }
    return ask_about(srv, MAIL_SMTP_EV_EXPN, arg, ev);
}

int smtp_server_on_quit(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    (void)ev;
    return smtp_server_hang_up(srv, &BYE);
}

int smtp_server_on_unsupported(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    return smtp_server_refuse(srv, &UNSUPPORTED, ev);
}

int smtp_server_on_foreign(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    (void)ev;
    return smtp_server_hang_up(srv, &FOREIGN);
}
