/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_REFUSAL_H
#define LIB_MTA_REFUSAL_H

#include "mta/receive.h"

/* What was refused, as far as it is known, for the log and the numbers. */
typedef struct refusal {
    mail_span command;
    mail_span sender;
    mail_span recipient;
    bool has_sender;
    bool has_recipient;
    size_t recipients; /* of a whole message, `recipient` being the first; else 0 */
    const mail_reply *reply;
} refusal;

void refusal_tell(const mail_receive *rcv, const mail_smtp_session *session, const refusal *what);

/* `envelope` is that of the session, NULL when nothing has been begun. */
refusal refusal_of_mail(const mail_smtp_event *ev, const mail_reply *reply);
refusal refusal_of_rcpt(const mail_envelope *envelope, const mail_smtp_event *ev,
                        const mail_reply *reply);
refusal refusal_of_message(const mail_envelope *envelope, mail_span command,
                           const mail_reply *reply);

/* A command that the engine has refused by itself. */
refusal refusal_of_command(const mail_envelope *envelope, const mail_smtp_event *ev);

#endif
