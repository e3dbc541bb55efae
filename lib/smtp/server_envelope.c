/* SPDX-License-Identifier: MIT */
/* MAIL, RCPT and DATA: what comes before a message. */
#include "smtp/server.h"

static const mail_reply NEEDS_FROM = SMTP_REPLY(501, 5, 5, 4, "Syntax: MAIL FROM:<address>");
static const mail_reply NEEDS_TO = SMTP_REPLY(501, 5, 5, 4, "Syntax: RCPT TO:<address>");
static const mail_reply TOO_MANY = SMTP_REPLY(452, 4, 5, 3, "Too many recipients");
static const mail_reply NEEDS_BDAT = SMTP_REPLY(503, 5, 5, 1, "BINARYMIME needs BDAT");

/*
 * Blanks behind the colon are not allowed and often sent (RFC 5321, section 3.3); there
 * is nothing that they could be mistaken for.
 */
static bool takes_prefix(mail_span *arg, mail_span prefix)
{
    if (arg->length < prefix.length ||
        !mail_span_equal_nocase(mail_span_first(*arg, prefix.length), prefix)) {
        return false;
    }
    *arg = mail_span_from(*arg, prefix.length);
    while (arg->length > 0 && arg->data[0] == ' ') {
        *arg = mail_span_from(*arg, 1);
    }
    return true;
}

static const mail_reply *take_mail(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    const mail_reply *refusal;

    if (!takes_prefix(&arg, MAIL_SPAN("FROM:"))) {
        return &NEEDS_FROM;
    }
    srv->mail = (mail_smtp_mail){.size = 0};
    refusal = smtp_server_take_path(srv, SMTP_MAIL, &arg);
    if (refusal != NULL) {
        return refusal;
    }
    ev->path = &srv->path;
    return smtp_server_take_params(srv, SMTP_MAIL, arg);
}

static const mail_reply *take_rcpt(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    const mail_reply *refusal;

    /* RFC 5321, section 4.5.3.1.10: for now; those accepted stay. */
    if (srv->rcpt_count >= srv->opts.max_recipients) {
        return &TOO_MANY;
    }
    if (!takes_prefix(&arg, MAIL_SPAN("TO:"))) {
        return &NEEDS_TO;
    }
    srv->rcpt = (mail_smtp_rcpt){.notify = 0};
    refusal = smtp_server_take_path(srv, SMTP_RCPT, &arg);
    if (refusal != NULL) {
        return refusal;
    }
    ev->path = &srv->path;
    return smtp_server_take_params(srv, SMTP_RCPT, arg);
}

int smtp_server_on_mail(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    const mail_reply *refusal = take_mail(srv, arg, ev);

    if (refusal != NULL) {
        return smtp_server_refuse(srv, refusal, ev);
    }
    ev->mail = &srv->mail;
    return smtp_server_ask(srv, MAIL_SMTP_EV_MAIL, ev);
}

int smtp_server_on_rcpt(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    const mail_reply *refusal = take_rcpt(srv, arg, ev);

    if (refusal != NULL) {
        return smtp_server_refuse(srv, refusal, ev);
    }
    ev->rcpt = &srv->rcpt;
    return smtp_server_ask(srv, MAIL_SMTP_EV_RCPT, ev);
}

int smtp_server_on_data(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    (void)arg;
    if (srv->mail.body == MAIL_BODY_BINARYMIME) {
        return smtp_server_refuse(srv, &NEEDS_BDAT, ev); /* RFC 3030, section 3 */
    }
    return smtp_server_ask(srv, MAIL_SMTP_EV_DATA, ev);
}
