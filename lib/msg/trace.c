/* SPDX-License-Identifier: MIT */
/*
 * Trace fields carry what strangers said of themselves. Every text is cleaned and
 * cut on its way in, so that no line passes 998 octets and none can be added.
 */
#include <mail/trace.h>

#include <mail/date.h>

#include "base/ascii.h"
#include "msg/clean.h"

#define NAME_MAX_LENGTH 255
#define ID_MAX_LENGTH   100

/* The field as far as it is written. Sizes are such that it always fits. */
typedef struct writer {
    char *out;
    size_t length;
} writer;

static void put(writer *wr, const char *text)
{
    size_t n = strlen(text);

    memcpy(wr->out + wr->length, text, n);
    wr->length += n;
}

static size_t put_end(writer *wr)
{
    put(wr, "\r\n");
    wr->out[wr->length] = '\0';
    return wr->length;
}

static bool is_name_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("-_.:[]", c) != NULL);
}

/* A domain, literal or id, and nothing that could begin a comment or another clause. */
static void put_name(writer *wr, mail_span name, size_t longest)
{
    if (name.length == 0) {
        put(wr, "unknown");
    }
    for (size_t i = 0; i < name.length && i < longest; i++) {
        wr->out[wr->length++] = is_name_char(name.data[i]) ? name.data[i] : '?';
    }
}

static void put_address(writer *wr, mail_span address)
{
    wr->length += clean_line(address, wr->out + wr->length, MAIL_PATH_MAX);
}

const char *mail_with_name(unsigned with)
{
    static const char *const smtp[] = {"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"};
    static const char *const lmtp[] = {"LMTP", "LMTPS", "LMTPA", "LMTPSA"};
    static const char *const utf8_smtp[] = {"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"};
    static const char *const utf8_lmtp[] = {"UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"};
    unsigned how = with / MAIL_WITH_TLS & 3;

    if ((with & MAIL_WITH_LMTP) != 0) {
        return (with & MAIL_WITH_UTF8) != 0 ? utf8_lmtp[how] : lmtp[how];
    }
    if ((with & MAIL_WITH_ESMTP) == 0) {
        return "SMTP";
    }
    return (with & MAIL_WITH_UTF8) != 0 ? utf8_smtp[how] : smtp[how];
}

/* An address may be shown if it is one, and in UTF-8 only where the message may hold it. */
static bool shows_address(const mail_received *received)
{
    unsigned flags = (received->with & MAIL_WITH_UTF8) != 0 ? MAIL_PATH_UTF8 : 0;
    mail_path path;

    return mail_path_from_text(received->address, flags | MAIL_PATH_BARE, &path) == MAIL_OK;
}

size_t mail_received_write(const mail_received *received, char out[MAIL_TRACE_SIZE])
{
    char text[MAIL_IP_TEXT_SIZE];
    char date[MAIL_DATE_SIZE];
    writer wr = {out, 0};

    put(&wr, "Received: ");
    if (received->peer.family != 0) {
        put(&wr, "from ");
        put_name(&wr, received->helo, NAME_MAX_LENGTH);
        mail_ip_print_literal(&received->peer, text);
        put(&wr, " (");
        put(&wr, text);
        put(&wr, ")\r\n\t");
    }
    put(&wr, "by ");
    put_name(&wr, received->by, NAME_MAX_LENGTH);
    if (received->peer.family != 0) {
        put(&wr, " with ");
        put(&wr, mail_with_name(received->with));
    }
    if (received->id.length > 0) {
        put(&wr, " id ");
        put_name(&wr, received->id, ID_MAX_LENGTH);
    }
    if (shows_address(received)) {
        put(&wr, "\r\n\tfor <");
        put_address(&wr, received->address);
        put(&wr, ">");
    }
    mail_date_print(received->when, received->zone, date);
    put(&wr, ";\r\n\t");
    put(&wr, date);
    return put_end(&wr);
}

size_t mail_return_path_write(mail_span address, char out[MAIL_TRACE_SIZE])
{
    writer wr = {out, 0};

    put(&wr, "Return-Path: <");
    put_address(&wr, address);
    put(&wr, ">");
    return put_end(&wr);
}

size_t mail_delivered_to_write(mail_span address, char out[MAIL_TRACE_SIZE])
{
    writer wr = {out, 0};

    put(&wr, "Delivered-To: ");
    put_address(&wr, address);
    return put_end(&wr);
}
