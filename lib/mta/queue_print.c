/* SPDX-License-Identifier: MIT */
#include <mail/operator.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <mail/drop.h>

#include "base/ascii.h"
#include "base/buffer.h"
#include "base/utf8.h"
#include "mta/operator.h"

/* As wide as Postfix's with long ids, so that what cuts its columns cuts ours. */
#define MAILQ_HEADINGS "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
#define MAILQ_WIDTH    76 /* reasons end there */

/* What a terminal must not be sent is shown as `?`. */
static int put_plain(buffer *out, mail_span text)
{
    int code = MAIL_OK;

    while (text.length > 0 && code == MAIL_OK) {
        size_t n = utf8_sequence(text);
        bool is_plain = n > 0 && !ascii_is_control(text.data[0]);

        code = buffer_append(out, is_plain ? mail_span_first(text, n) : MAIL_SPAN("?"));
        text = mail_span_from(text, n > 0 ? n : 1);
    }
    return code;
}

/* RFC 8259, section 7; an octet that is no UTF-8 is taken for the character of that number. */
static int put_string(buffer *out, mail_span text)
{
    int code = buffer_append(out, MAIL_SPAN("\""));

    while (text.length > 0 && code == MAIL_OK) {
        size_t n = utf8_sequence(text);
        char c = text.data[0];

        if (n == 0 || ascii_is_control(c)) {
            code = buffer_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
        } else {
            code = c == '"' || c == '\\' ? buffer_append(out, MAIL_SPAN("\\")) : MAIL_OK;
            code = code == MAIL_OK ? buffer_append(out, mail_span_first(text, n)) : code;
        }
        text = mail_span_from(text, n > 0 ? n : 1);
    }
    return code == MAIL_OK ? buffer_append(out, MAIL_SPAN("\"")) : code;
}

static bool was_tried(const mail_queue_item *item)
{
    for (size_t i = 0; i < item->recipient_count; i++) {
        if (item->recipients[i].attempts > 0) {
            return true;
        }
    }
    return false;
}

/* The names of Postfix's queues, which its users know. */
static const char *queue_name(const mail_queue_item *item)
{
    switch (item->state) {
    case MAIL_QUEUE_ACTIVE:
        return "active";
    case MAIL_QUEUE_ON_HOLD:
        return "hold";
    case MAIL_QUEUE_DROPPED:
        return "maildrop";
    case MAIL_QUEUE_WAITING:
        break;
    }
    return was_tried(item) ? "deferred" : "incoming";
}

static int put_json_recipient(buffer *out, const mail_queue_recipient *rcpt)
{
    int code = buffer_append(out, MAIL_SPAN("{\"address\":"));

    if (code == MAIL_OK) {
        code = put_string(out, rcpt->address);
    }
    if (code == MAIL_OK && rcpt->last_reply.length > 0) {
        code = buffer_append(out, MAIL_SPAN(",\"delay_reason\":"));
        code = code == MAIL_OK ? put_string(out, rcpt->last_reply) : code;
    }
    return code == MAIL_OK
               ? buffer_printf(out, ",\"next_try\":%" PRId64 ",\"attempts\":%u,\"held\":%s}",
                               rcpt->next_try, rcpt->attempts, rcpt->held ? "true" : "false")
               : code;
}

static int put_json(const mail_queue_printer *printer, const mail_queue_item *item, buffer *out)
{
    bool is_first = true;
    int code = buffer_printf(out,
                             "{\"queue_name\":\"%s\",\"queue_id\":\"%s\",\"arrival_time\":%" PRId64
                             ",\"message_size\":%" PRIu64 ",\"sender\":",
                             queue_name(item), item->id, item->arrival, item->size);

    (void)printer;
    if (code == MAIL_OK) {
        code = put_string(out, item->sender);
    }
    if (code == MAIL_OK) {
        code = buffer_append(out, MAIL_SPAN(",\"recipients\":["));
    }
    for (size_t i = 0; i < item->recipient_count && code == MAIL_OK; i++) {
        if (!item->recipients[i].done) {
            code = is_first ? MAIL_OK : buffer_append(out, MAIL_SPAN(","));
            code = code == MAIL_OK ? put_json_recipient(out, &item->recipients[i]) : code;
            is_first = false;
        }
    }
    return code == MAIL_OK ? buffer_append(out, MAIL_SPAN("]}\n")) : code;
}

static int put_sender(buffer *out, mail_span sender)
{
    int code = put_plain(out, sender.length > 0 ? sender : MAIL_SPAN("MAILER-DAEMON"));

    return code == MAIL_OK ? buffer_append(out, MAIL_SPAN("\n")) : code;
}

static void local_time(mail_wall when, const char *format, char *out, size_t size)
{
    time_t seconds = (time_t)when;
    struct tm parts;

    if (localtime_r(&seconds, &parts) == NULL || strftime(out, size, format, &parts) == 0) {
        snprintf(out, size, "?");
    }
}

/* The reason stands above the address that it is about. */
static int put_mailq_recipient(buffer *out, const mail_queue_recipient *rcpt)
{
    size_t length = rcpt->last_reply.length + 2;
    size_t indent = length < MAILQ_WIDTH ? MAILQ_WIDTH - length : 0;
    int code = MAIL_OK;

    if (rcpt->last_reply.length > 0) {
        code = buffer_printf(out, "%*s(", (int)indent, "");
        code = code == MAIL_OK ? put_plain(out, rcpt->last_reply) : code;
        code = code == MAIL_OK ? buffer_append(out, MAIL_SPAN(")\n")) : code;
    }
    if (code == MAIL_OK) {
        code = buffer_printf(out, "%-17s %8s %-19s ", "", "", "");
    }
    code = code == MAIL_OK ? put_plain(out, rcpt->address) : code;
    return code == MAIL_OK ? buffer_append(out, MAIL_SPAN("\n")) : code;
}

static int put_mailq(const mail_queue_printer *printer, const mail_queue_item *item, buffer *out)
{
    static const char *const marks[] = {[MAIL_QUEUE_WAITING] = "",
                                        [MAIL_QUEUE_ACTIVE] = "*",
                                        [MAIL_QUEUE_ON_HOLD] = "!",
                                        [MAIL_QUEUE_DROPPED] = ""};
    char id[MAIL_DROP_NAME_SIZE + 1];
    char arrival[40];
    int code;

    snprintf(id, sizeof(id), "%s%s", item->id, marks[item->state]);
    local_time(item->arrival, "%a %b %e %H:%M:%S", arrival, sizeof(arrival));
    code = buffer_printf(out, "%s%-17s %8" PRIu64 " %-19s ",
                         printer->messages == 0 ? MAILQ_HEADINGS : "\n", id, item->size, arrival);
    code = code == MAIL_OK ? put_sender(out, item->sender) : code;
    for (size_t i = 0; i < item->recipient_count && code == MAIL_OK; i++) {
        if (!item->recipients[i].done) {
            code = put_mailq_recipient(out, &item->recipients[i]);
        }
    }
    return code;
}

/* Like `in 25m` or `now`: what matters is how long it takes. */
static void print_wait(const mail_queue_printer *printer, const mail_queue_recipient *rcpt,
                       char *out, size_t size)
{
    int64_t left = rcpt->next_try - printer->now;

    if (rcpt->held) {
        snprintf(out, size, "held");
    } else if (left <= 0) {
        snprintf(out, size, "due now");
    } else if (left < 90) {
        snprintf(out, size, "next in %ds", (int)left);
    } else if (left < 90 * 60) {
        snprintf(out, size, "next in %dm", (int)((left + 30) / 60));
    } else {
        snprintf(out, size, "next in %" PRId64 "h", (left + 1800) / 3600);
    }
}

static int put_table_recipient(const mail_queue_printer *printer, buffer *out,
                               const mail_queue_recipient *rcpt)
{
    char wait[40];
    int code = buffer_append(out, MAIL_SPAN("    to "));

    print_wait(printer, rcpt, wait, sizeof(wait));
    code = code == MAIL_OK ? put_plain(out, rcpt->address) : code;
    if (code == MAIL_OK && rcpt->done) {
        return buffer_append(out, MAIL_SPAN("  done\n"));
    }
    if (code == MAIL_OK) {
        code = buffer_printf(out, "  tried %u, %s\n", rcpt->attempts, wait);
    }
    if (code == MAIL_OK && rcpt->last_reply.length > 0) {
        code = buffer_append(out, MAIL_SPAN("       "));
        code = code == MAIL_OK ? put_plain(out, rcpt->last_reply) : code;
        code = code == MAIL_OK ? buffer_append(out, MAIL_SPAN("\n")) : code;
    }
    return code;
}

static int put_table(const mail_queue_printer *printer, const mail_queue_item *item, buffer *out)
{
    char arrival[40];
    int code;

    local_time(item->arrival, "%Y-%m-%d %H:%M:%S", arrival, sizeof(arrival));
    code = buffer_printf(out, "%s  %s  %" PRIu64 " octets  %s\n    from ", item->id, arrival,
                         item->size, queue_name(item));
    code = code == MAIL_OK ? put_sender(out, item->sender) : code;
    for (size_t i = 0; i < item->recipient_count && code == MAIL_OK; i++) {
        code = put_table_recipient(printer, out, &item->recipients[i]);
    }
    return code;
}

static int flush(mail_queue_printer *printer, buffer *text, int code)
{
    if (code == MAIL_OK) {
        code = operator_put(printer->out, buffer_bytes(text));
    }
    buffer_deinit(text);
    return code;
}

int mail_queue_print(mail_queue_printer *printer, const mail_queue_item *item)
{
    static int (*const forms[])(const mail_queue_printer *, const mail_queue_item *, buffer *) = {
        [MAIL_QUEUE_TABLE] = put_table,
        [MAIL_QUEUE_MAILQ] = put_mailq,
        [MAIL_QUEUE_JSON] = put_json,
    };
    buffer text;
    int code;

    buffer_init(&text, NULL, SIZE_MAX / 2);
    code = forms[printer->format](printer, item, &text);
    printer->messages++;
    printer->octets += item->size;
    return flush(printer, &text, code);
}

int mail_queue_print_end(mail_queue_printer *printer)
{
    const char *plural = printer->messages == 1 ? "" : "s";
    int code = MAIL_OK;
    buffer text;

    buffer_init(&text, NULL, 256);
    if (printer->format == MAIL_QUEUE_MAILQ && printer->messages > 0) {
        code = buffer_printf(&text, "\n-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n",
                             printer->octets / 1024, printer->messages, plural);
    } else if (printer->format == MAIL_QUEUE_TABLE && printer->messages > 0) {
        code = buffer_printf(&text, "%" PRIu64 " message%s, %" PRIu64 " octets\n",
                             printer->messages, plural, printer->octets);
    } else if (printer->format != MAIL_QUEUE_JSON) {
        code = buffer_append(&text, MAIL_SPAN("Mail queue is empty\n"));
    }
    return flush(printer, &text, code);
}
