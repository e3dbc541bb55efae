/* SPDX-License-Identifier: MIT */
/*
 * message/delivery-status (RFC 3464, section 2) and its UTF-8 sister (RFC 6533,
 * section 4.1). Whatever a remote host or a sender said goes in as one line of
 * harmless text, so that it can add no field and no group.
 */
#include "msg/dsn.h"

#include <stdio.h>

#include "base/utf8.h"
#include "msg/chars.h"
#include "msg/clean.h"

/* What a field's value is cut to; a name, an id or an address is shorter. */
#define VALUE_MAX MAIL_REPLY_TEXT_SIZE

/* A fold at a blank, or where there is none for too long. */
#define FOLD_AT   76
#define FOLD_HARD 900

/* The value of a field, folded. */
static void put_value(text *tx, mail_span value)
{
    size_t column = text_column(tx);

    while (value.length > 0) {
        size_t n = 1;

        while (n < value.length && value.data[n] != ' ' && n < FOLD_HARD) {
            n++;
        }
        if (column + n > FOLD_AT && column > 1 && value.data[0] == ' ' && n > 1) {
            text_puts(tx, "\r\n");
            column = 0;
        }
        text_put(tx, mail_span_first(value, n));
        column += n;
        value = mail_span_from(value, n);
        if (n == FOLD_HARD && value.length > 0) {
            text_puts(tx, "\r\n ");
            column = 1;
        }
    }
}

/* `name: type value`, the value cleaned; `type` has its semicolon and blank, or is empty. */
static void put_field(text *tx, const char *name, const char *type, mail_span value, bool utf8)
{
    char line[VALUE_MAX];
    size_t length =
        utf8 ? clean_line(value, line, sizeof(line)) : clean_ascii(value, line, sizeof(line));

    text_puts(tx, name);
    text_puts(tx, ": ");
    text_puts(tx, type);
    put_value(tx, mail_span_of(line, length));
    text_puts(tx, "\r\n");
}

/* The code point of the valid sequence of `length` octets at `at`. */
static unsigned code_point(const char *at, size_t length)
{
    unsigned char lead = (unsigned char)at[0];
    unsigned value = length == 1 ? lead : lead & (0xffU >> (length + 1));

    for (size_t i = 1; i < length; i++) {
        value = value << 6 | ((unsigned char)at[i] & 0x3f);
    }
    return value;
}

/*
 * utf-8-addr-xtext, the form of an address in UTF-8 that is ASCII (RFC 6533, section 3):
 * every character outside it, and those that xtext or this form use, as \x{HEX}.
 */
static size_t unitext(mail_span address, char *out, size_t size)
{
    size_t length = 0;

    while (address.length > 0 && size - length > sizeof("\\x{10FFFF}")) {
        size_t n = utf8_sequence(address);
        char c = address.data[0];

        if (n == 1 && char_is_printable(c) && strchr(" \\+=", c) == NULL) {
            out[length++] = c;
        } else {
            unsigned value = n > 0 ? code_point(address.data, n) : '?';

            length += (size_t)snprintf(out + length, size - length, "\\x{%02X}", value);
        }
        address = mail_span_from(address, n > 0 ? n : 1);
    }
    return length;
}

static void put_address(text *tx, const char *name, mail_span address, bool utf8)
{
    char ascii[VALUE_MAX];

    if (utf8_is_ascii(address)) {
        put_field(tx, name, "rfc822; ", address, false);
    } else if (utf8) {
        put_field(tx, name, "utf-8; ", address, true);
    } else {
        address = mail_span_of(ascii, unitext(address, ascii, sizeof(ascii)));
        put_field(tx, name, "utf-8; ", address, false);
    }
}

/* As ORCPT had it, out of its xtext, its type included (RFC 3461, section 6.3). */
static void put_original_recipient(text *tx, mail_span orcpt, bool utf8)
{
    const char *semicolon = orcpt.length > 0 ? memchr(orcpt.data, ';', orcpt.length) : NULL;
    char address[VALUE_MAX];
    char type[80];
    size_t type_length;
    int n;

    if (semicolon == NULL) {
        return;
    }
    type_length = clean_ascii(mail_span_first(orcpt, (size_t)(semicolon - orcpt.data)), type, 70);
    memcpy(type + type_length, "; ", 3);
    orcpt = mail_span_from(orcpt, (size_t)(semicolon - orcpt.data) + 1);
    n = mail_xtext_decode(orcpt, address, sizeof(address));
    /* What is no xtext, such as UTF-8 as it may be under SMTPUTF8, stays what it is. */
    put_field(tx, "Original-Recipient", type, n >= 0 ? mail_span_of(address, (size_t)n) : orcpt,
              utf8);
}

static void put_status(text *tx, const mail_dsn_recipient *rcpt)
{
    static const unsigned classes[] = {
        [MAIL_DSN_FAILED] = 5,  [MAIL_DSN_DELAYED] = 4,  [MAIL_DSN_DELIVERED] = 2,
        [MAIL_DSN_RELAYED] = 2, [MAIL_DSN_EXPANDED] = 2,
    };
    const uint16_t *status = rcpt->reply.status;
    char line[40];

    /* The class says what we do about it: a 4.4.1 that lasted too long has become a 5.4.1. */
    if (status[0] == 0) {
        snprintf(line, sizeof(line), "Status: %u.0.0\r\n", classes[rcpt->action]);
    } else {
        snprintf(line, sizeof(line), "Status: %u.%u.%u\r\n", classes[rcpt->action],
                 status[1] % 1000, status[2] % 1000);
    }
    text_puts(tx, line);
}

static void put_diagnostic(text *tx, const mail_dsn_recipient *rcpt)
{
    bool is_remote = rcpt->remote_mta.length > 0;
    char line[MAIL_REPLY_TEXT_SIZE];
    size_t length = mail_reply_print(&rcpt->reply, line, sizeof(line));

    if (is_remote) {
        put_field(tx, "Remote-MTA", "dns; ", rcpt->remote_mta, false);
    }
    if (length > 0) {
        put_field(tx, "Diagnostic-Code",
                  is_remote && rcpt->reply.code != 0 ? "smtp; " : "x-libmail; ",
                  mail_span_of(line, length), false);
    }
}

void dsn_status_message(text *tx, const mail_dsn *dsn)
{
    put_field(tx, "Reporting-MTA", "dns; ", dsn->hostname, false);
    if (dsn->envid.length > 0) {
        put_field(tx, "Original-Envelope-Id", "", dsn->envid, false);
    }
    if (dsn->arrival != 0) {
        text_put_date(tx, "Arrival-Date", dsn->arrival, dsn->zone);
    }
}

void dsn_status_recipient(text *tx, const mail_dsn *dsn, const dsn_form *form,
                          const mail_dsn_recipient *rcpt)
{
    text_puts(tx, "\r\n");
    put_original_recipient(tx, rcpt->orcpt, form->utf8_status);
    put_address(tx, "Final-Recipient", rcpt->address, form->utf8_status);
    text_puts(tx, "Action: ");
    text_puts(tx, mail_dsn_action_name(rcpt->action));
    text_puts(tx, "\r\n");
    put_status(tx, rcpt);
    put_diagnostic(tx, rcpt);
    text_put_date(tx, "Last-Attempt-Date", rcpt->last_attempt != 0 ? rcpt->last_attempt : dsn->when,
                  dsn->zone);
    if (dsn->queue_id.length > 0) {
        put_field(tx, "Final-Log-ID", "", dsn->queue_id, false);
    }
    if (rcpt->action == MAIL_DSN_DELAYED && rcpt->retry_until != 0) {
        text_put_date(tx, "Will-Retry-Until", rcpt->retry_until, dsn->zone);
    }
}
