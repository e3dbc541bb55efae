/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_DSN_H
#define LIB_MSG_DSN_H

#include <mail/dsn.h>

#include "msg/text.h"

/* The most that is written for one recipient, in either part, or before or between parts. */
#define DSN_PIECE_SIZE 16384

/* How a report must be written, as far as its content decides it. */
typedef struct dsn_form {
    bool returns_full;   /* the message comes back whole */
    bool returns_header; /* or its header */
    bool utf8_status;    /* message/global-delivery-status */
    bool utf8_text;      /* the text for people is not ASCII */
    bool has_8bit;       /* some part is sent in 8 bits */
} dsn_form;

/* The worst of what became of the recipients. */
mail_dsn_action dsn_worst(const mail_dsn *dsn);

/* The text for people: what is said first, and about one recipient. */
void dsn_text_intro(text *tx, const mail_dsn *dsn, const dsn_form *form);
void dsn_text_recipient(text *tx, const mail_dsn *dsn, const mail_dsn_recipient *rcpt);

/* The fields of the message/delivery-status part: of the message, and of one recipient. */
void dsn_status_message(text *tx, const mail_dsn *dsn);
void dsn_status_recipient(text *tx, const mail_dsn *dsn, const dsn_form *form,
                          const mail_dsn_recipient *rcpt);

#endif
