/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_TRANSACTION_H
#define LIB_MTA_TRANSACTION_H

#include <mail/envelope.h>
#include <mail/smtp_server.h>

/* What MAIL says of a message: the envelope is emptied and begins with it. MAIL_ENOMEM, MAIL_ELIMIT. */
int transaction_begin(mail_envelope *envelope, const mail_smtp_event *ev);

/* Whom RCPT names. Lends from the event. */
mail_recipient transaction_recipient(const mail_smtp_event *ev);

#endif
