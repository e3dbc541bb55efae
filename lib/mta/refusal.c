/* SPDX-License-Identifier: MIT */
#include "mta/refusal.h"

#include <stdio.h>

static void log_it(const mail_receive *rcv, const mail_smtp_session *session, const refusal *what)
{
    char peer[MAIL_IP_TEXT_SIZE] = "unix";
    char text[MAIL_REPLY_TEXT_SIZE];
    char number[24];
    mail_log_field fields[8];
    size_t count = 0;

    fields[count++] = (mail_log_field){
        "peer", mail_span_of(peer, session->peer_is_unix ? strlen(peer)
                                                         : mail_ip_print(&session->peer.ip, peer))};
    fields[count++] = (mail_log_field){"helo", session->helo};
    if (what->has_sender) {
        fields[count++] = (mail_log_field){"from", what->sender};
    }
    if (what->has_recipient) {
        fields[count++] = (mail_log_field){"to", what->recipient};
    }
    if (what->recipients > 0) {
        snprintf(number, sizeof(number), "%zu", what->recipients);
        fields[count++] = (mail_log_field){"recipients", mail_span_text(number)};
    }
    fields[count++] = (mail_log_field){
        "reply", mail_span_of(text, mail_reply_print(what->reply, text, sizeof(text)))};
    if (session->authenticated.length > 0) {
        fields[count++] = (mail_log_field){"user", session->authenticated};
    }
    if (what->command.length > 0) {
        fields[count++] = (mail_log_field){"command", what->command};
    }
    mail_log_line(rcv->log, MAIL_LOG_INFO, "refused", fields, count);
}

void refusal_tell(const mail_receive *rcv, const mail_smtp_session *session, const refusal *what)
{
    receive_measure_refusal(&rcv->measure, what->reply);
    if (rcv->log != NULL && rcv->log->level >= MAIL_LOG_INFO) {
        log_it(rcv, session, what);
    }
}

refusal refusal_of_message(const mail_envelope *envelope, mail_span command,
                           const mail_reply *reply)
{
    refusal what = {.command = command, .reply = reply};

    if (envelope != NULL) {
        what.has_sender = true;
        what.sender = mail_envelope_sender(envelope);
        what.recipients = mail_envelope_count(envelope);
    }
    if (what.recipients > 0) {
        what.has_recipient = true;
        what.recipient = mail_envelope_recipient(envelope, 0).address;
    }
    return what;
}

refusal refusal_of_mail(const mail_smtp_event *ev, const mail_reply *reply)
{
    return (refusal){.command = MAIL_SPAN("MAIL"),
                     .has_sender = ev->path != NULL,
                     .sender = ev->path != NULL ? mail_path_text(ev->path) : MAIL_SPAN(""),
                     .reply = reply};
}

refusal refusal_of_rcpt(const mail_envelope *envelope, const mail_smtp_event *ev,
                        const mail_reply *reply)
{
    return (refusal){.command = MAIL_SPAN("RCPT"),
                     .has_sender = envelope != NULL,
                     .sender = envelope != NULL ? mail_envelope_sender(envelope) : MAIL_SPAN(""),
                     .has_recipient = ev->path != NULL,
                     .recipient = ev->path != NULL ? mail_path_text(ev->path) : MAIL_SPAN(""),
                     .reply = reply};
}

/* With these a command is refused that has come where there is no message for it to be about. */
static bool is_out_of_place(const mail_reply *reply)
{
    return reply->code == 502 || reply->code == 503 || reply->code == 530;
}

refusal refusal_of_command(const mail_envelope *envelope, const mail_smtp_event *ev)
{
    if (mail_span_equal(ev->name, MAIL_SPAN("MAIL"))) {
        return refusal_of_mail(ev, ev->reply);
    }
    if (is_out_of_place(ev->reply)) {
        return (refusal){.command = ev->name, .reply = ev->reply};
    }
    if (mail_span_equal(ev->name, MAIL_SPAN("RCPT"))) {
        return refusal_of_rcpt(envelope, ev, ev->reply);
    }
    if (mail_span_equal(ev->name, MAIL_SPAN("DATA")) ||
        mail_span_equal(ev->name, MAIL_SPAN("BDAT"))) {
        return refusal_of_message(envelope, ev->name, ev->reply);
    }
    return (refusal){.command = ev->name, .reply = ev->reply};
}
