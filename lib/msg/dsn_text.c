/* SPDX-License-Identifier: MIT */
/*
 * What a person reads first: for each recipient the address, the time, the host, its
 * answer, and what happens next.
 */
#include "msg/dsn.h"

#include <mail/date.h>

#include "msg/clean.h"

/* Lines are filled up to here; what has no blank for long is cut. */
#define FILL_TO 76
#define CUT_AT  400

#define MARGIN "            "

static void put_label(text *tx, const char *label)
{
    text_puts(tx, label);
    text_put(tx, mail_span_of(MARGIN, sizeof(MARGIN) - 1 - strlen(label)));
}

/* Remote text behind a label, filled; UTF-8 characters are not divided. */
static void put_filled(text *tx, const char *label, mail_span value)
{
    size_t column = sizeof(MARGIN) - 1;

    put_label(tx, label);
    while (value.length > 0) {
        size_t n = clean_character(value) > 0 ? clean_character(value) : 1;

        while (n < value.length && value.data[n] != ' ' &&
               (n < CUT_AT || ((unsigned char)value.data[n] & 0xc0) == 0x80)) {
            n++;
        }
        if (column + n > FILL_TO && column > sizeof(MARGIN) - 1) {
            text_puts(tx, "\r\n" MARGIN);
            column = sizeof(MARGIN) - 1;
            if (value.data[0] == ' ') {
                value = mail_span_from(value, 1);
                n--;
            }
        }
        text_put(tx, mail_span_first(value, n));
        column += n;
        value = mail_span_from(value, n);
    }
    text_puts(tx, "\r\n");
}

static void put_date(text *tx, mail_wall when, int zone)
{
    char date[MAIL_DATE_SIZE];

    text_put(tx, mail_span_of(date, mail_date_print(when, zone, date)));
}

static void put_cleaned(text *tx, mail_span value)
{
    char line[MAIL_PATH_MAX];

    text_put(tx, mail_span_of(line, clean_line(value, line, sizeof(line))));
}

static void put_next(text *tx, const mail_dsn *dsn, const mail_dsn_recipient *rcpt)
{
    static const char *const texts[] = {
        [MAIL_DSN_FAILED] = "It was not delivered and will not be tried again.\r\n",
        [MAIL_DSN_DELAYED] = "It will be tried again; you need do nothing.\r\n",
        [MAIL_DSN_DELIVERED] = "It is in the recipient's mailbox.\r\n",
        [MAIL_DSN_RELAYED] =
            "It went on to a host that sends no reports: this is the last one.\r\n",
        [MAIL_DSN_EXPANDED] = "It went on to the members of a list: this is the last report.\r\n",
    };

    put_label(tx, "What next:");
    if (rcpt->action == MAIL_DSN_DELAYED && rcpt->retry_until != 0) {
        text_puts(tx, "It will be tried again until\r\n" MARGIN);
        put_date(tx, rcpt->retry_until, dsn->zone);
        text_puts(tx, "; you need do nothing.\r\n");
        return;
    }
    if (rcpt->action == MAIL_DSN_FAILED && rcpt->has_expired) {
        text_puts(tx, "It was tried for too long and will not be tried again.\r\n");
        return;
    }
    text_puts(tx, texts[rcpt->action]);
}

void dsn_text_recipient(text *tx, const mail_dsn *dsn, const mail_dsn_recipient *rcpt)
{
    char line[MAIL_REPLY_TEXT_SIZE];
    size_t length = mail_reply_print(&rcpt->reply, line, sizeof(line));

    text_puts(tx, "\r\n");
    put_label(tx, "Recipient:");
    text_puts(tx, "<");
    put_cleaned(tx, rcpt->address);
    text_puts(tx, ">\r\n");
    put_label(tx, "Time:");
    put_date(tx, rcpt->last_attempt != 0 ? rcpt->last_attempt : dsn->when, dsn->zone);
    text_puts(tx, "\r\n");
    put_label(tx, "Host:");
    put_cleaned(tx, rcpt->remote_mta.length > 0 ? rcpt->remote_mta : dsn->hostname);
    text_puts(tx, "\r\n");
    if (length > 0) {
        put_filled(tx, "Answer:", mail_span_of(line, length));
    }
    put_next(tx, dsn, rcpt);
}

static bool is_mixed(const mail_dsn *dsn)
{
    for (size_t i = 1; i < dsn->count; i++) {
        if (dsn->recipients[i].action != dsn->recipients[0].action) {
            return true;
        }
    }
    return false;
}

/* What became of the message: where it differs, the worst of it. */
static void put_upshot(text *tx, const mail_dsn *dsn)
{
    static const char *const all[] = {
        [MAIL_DSN_FAILED] = "could not be delivered to these recipients",
        [MAIL_DSN_DELAYED] = "could not be delivered yet to these recipients",
        [MAIL_DSN_DELIVERED] = "was delivered to these recipients",
        [MAIL_DSN_RELAYED] = "was handed on for these recipients",
        [MAIL_DSN_EXPANDED] = "was handed on for these recipients",
    };
    static const char *const some[] = {
        [MAIL_DSN_FAILED] = "could not be delivered to some of these recipients",
        [MAIL_DSN_DELAYED] = "could not be delivered yet to some of these recipients",
        [MAIL_DSN_DELIVERED] = "was delivered to these recipients, or handed on for them",
        [MAIL_DSN_RELAYED] = "was handed on for these recipients",
    };
    mail_dsn_action worst = dsn_worst(dsn);

    text_puts(tx, is_mixed(dsn) ? some[worst] : all[worst]);
    text_puts(tx, ":\r\n");
}

void dsn_text_intro(text *tx, const mail_dsn *dsn, const dsn_form *form)
{
    text_puts(tx, "This is the mail system of ");
    put_cleaned(tx, dsn->hostname);
    text_puts(tx, ".\r\n\r\nYour message");
    if (dsn->arrival != 0) {
        text_puts(tx, " of ");
        put_date(tx, dsn->arrival, dsn->zone);
    }
    if (form->returns_full || form->returns_header) {
        text_puts(tx, form->returns_full ? " (attached)" : " (its header is attached)");
    }
    text_puts(tx, "\r\n");
    put_upshot(tx, dsn);
}
