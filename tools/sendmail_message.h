/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_MESSAGE_H
#define TOOLS_SENDMAIL_MESSAGE_H

#include <mail/compose.h>
#include <mail/envelope.h>
#include <mail/sink.h>

#include "sendmail_options.h"

/*
 * The message on standard input: its header is held in memory, completed and
 * mined for recipients; the rest is read when it is written away.
 */
typedef struct sendmail_message {
    char *start; /* what was read so far: the header and some of the body */
    size_t start_length;
    size_t body;             /* where the body begins in it */
    mail_sink_memory header; /* completed */
    mail_newlines newlines;
} sendmail_message;

/*
 * Reads as far as the header goes, completes it and fills `envelope`, whose sender
 * is set. Returns 0 or an exit code, with the reason in `err`.
 */
int sendmail_message_begin(sendmail_message *message, const sendmail_options *opts,
                           const mail_submission *submission, mail_envelope *envelope,
                           mail_error *err);

/*
 * Adds the recipients of the command line, completed, that want the reports `notify`. Returns 0 or
 * an exit code, with the reason in `err`.
 */
int sendmail_recipients(const sendmail_options *opts, const mail_submission *submission,
                        mail_envelope *envelope, uint8_t notify, mail_error *err);

/* Writes the whole message to `sink`, without finishing it. Returns 0 or an exit code. */
int sendmail_message_write(sendmail_message *message, mail_sink *sink, mail_error *err);

/* No control character: a folded line is good in a header, never on a command line. */
bool sendmail_is_one_line(const char *text);

void sendmail_message_deinit(sendmail_message *message);

#endif
