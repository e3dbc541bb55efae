/* SPDX-License-Identifier: MIT */
/*
 * The commands of a transaction, in the order of RFC 5321, section 3.3. With
 * PIPELINING they follow one another as long as there is room; without, each waits
 * for the reply to the one before (RFC 2920, section 3.1).
 */
#include "smtp/client.h"

#include <assert.h>
#include <stdio.h>

#include "base/utf8.h"

/* The longest command without its texts. */
#define COMMAND_FRAME 160

/* Appends to a command under construction and returns its new end. */
static char *put(char *to, mail_span text)
{
    if (text.length > 0) {
        memcpy(to, text.data, text.length);
    }
    return to + text.length;
}

static char *put_text(char *to, const char *text)
{
    return put(to, mail_span_text(text));
}

static void commit(mail_smtp_client *cl, smtp_command command, size_t index, const char *start,
                   const char *end)
{
    smtp_wire_commit(&cl->wire, (size_t)(end - start));
    smtp_wire_expect(&cl->wire, command, (uint32_t)index);
}

void smtp_client_say(mail_smtp_client *cl, smtp_command command, const char *verb,
                     mail_span argument)
{
    char *start = smtp_wire_space(&cl->wire, strlen(verb) + argument.length + 3);
    char *to = start;

    if (start == NULL) {
        smtp_client_fail_memory(cl);
        return;
    }
    to = put_text(to, verb);
    if (argument.length > 0) {
        *to++ = ' ';
        to = put(to, argument);
    }
    to = put_text(to, "\r\n");
    commit(cl, command, 0, start, to);
}

/* RFC 1870, section 6. */
static char *put_size(const mail_smtp_client *cl, char *to)
{
    if (!cl->offer.size || cl->tx.content.size == 0) {
        return to;
    }
    return to + snprintf(to, 32, " SIZE=%llu", (unsigned long long)cl->tx.content.size);
}

/* RFC 6152, section 2; RFC 3030, section 3. */
static char *put_body(const mail_smtp_client *cl, char *to)
{
    if (cl->tx.content.has_nul) {
        return put_text(to, " BODY=BINARYMIME");
    }
    return cl->tx.content.has_8bit && cl->offer.eightbit ? put_text(to, " BODY=8BITMIME") : to;
}

/* RFC 3461, sections 4.3 and 4.4. `room` is the least that there is for ENVID. */
static char *put_mail_dsn(const mail_smtp_client *cl, char *to, size_t room)
{
    const mail_envelope *envelope = cl->tx.envelope;
    mail_span envid = mail_envelope_envid(envelope);

    if (envelope->ret != MAIL_RET_DEFAULT) {
        to = put_text(to, envelope->ret == MAIL_RET_FULL ? " RET=FULL" : " RET=HDRS");
    }
    if (envid.length > 0) {
        int length;

        to = put_text(to, " ENVID=");
        length = mail_xtext_encode(envid, to, room);
        assert(length > 0);
        to += length;
    }
    return to;
}

static char *put_path(char *to, const char *verb, mail_span address)
{
    to = put_text(to, verb);
    to = put_text(to, "<");
    to = put(to, address);
    return put_text(to, ">");
}

/* Room for a command of at most `size` octets; NULL: not now, or no more at all. */
static char *begin(mail_smtp_client *cl, size_t size)
{
    char *start;

    if (!smtp_wire_takes(&cl->wire, size)) {
        return NULL;
    }
    start = smtp_wire_space(&cl->wire, size);
    if (start == NULL) {
        smtp_client_fail_memory(cl);
    }
    return start;
}

static bool say_mail(mail_smtp_client *cl)
{
    mail_span sender = mail_envelope_sender(cl->tx.envelope);
    size_t envid = 3 * mail_envelope_envid(cl->tx.envelope).length;
    size_t size = COMMAND_FRAME + sender.length + envid;
    char *start;
    char *to;

    start = begin(cl, size);
    if (start == NULL) {
        return false;
    }
    to = put_path(start, "MAIL FROM:", sender);
    to = put_size(cl, to);
    to = put_body(cl, to);
    if (cl->tx.utf8) {
        to = put_text(to, " SMTPUTF8"); /* RFC 6531, section 3.4 */
    }
    if (cl->tx.envelope->requiretls) {
        to = put_text(to, " REQUIRETLS"); /* RFC 8689, section 4.2 */
    }
    if (cl->offer.dsn) {
        to = put_mail_dsn(cl, to, envid);
    }
    to = put_text(to, "\r\n");
    commit(cl, SMTP_COMMAND_MAIL, 0, start, to);
    cl->tx.mail_written = true;
    cl->mails++;
    return true;
}

/* The code point of a valid sequence of `length` octets. */
static unsigned long code_point(const char *text, size_t length)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned long point = (unsigned char)text[0] & masks[length];

    for (size_t i = 1; i < length; i++) {
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    }
    return point;
}

/*
 * RFC 6533, section 3: without SMTPUTF8, characters of an ORCPT that are not ASCII
 * go as `\x{HEX}`, at most ten octets for two to four.
 */
static char *put_orcpt(const mail_smtp_client *cl, char *to, mail_span orcpt)
{
    if (cl->tx.utf8 || utf8_is_ascii(orcpt)) {
        return put(to, orcpt);
    }
    while (orcpt.length > 0) {
        size_t n = utf8_sequence(orcpt);

        if (n == 1) {
            *to++ = orcpt.data[0];
        } else {
            to += snprintf(to, 16, "\\x{%lX}", code_point(orcpt.data, n));
        }
        orcpt = mail_span_from(orcpt, n);
    }
    return to;
}

static const struct {
    unsigned bit;
    const char *name;
} notify_names[] = {
    {MAIL_NOTIFY_NEVER, "NEVER"},
    {MAIL_NOTIFY_SUCCESS, "SUCCESS"},
    {MAIL_NOTIFY_FAILURE, "FAILURE"},
    {MAIL_NOTIFY_DELAY, "DELAY"},
};

/* RFC 3461, sections 4.1 and 4.2. */
static char *put_rcpt_dsn(const mail_smtp_client *cl, char *to, const mail_recipient *recipient)
{
    const char *before = " NOTIFY=";

    for (size_t i = 0; i < MAIL_COUNT(notify_names); i++) {
        if ((recipient->notify & notify_names[i].bit) != 0) {
            to = put_text(to, before);
            to = put_text(to, notify_names[i].name);
            before = ",";
        }
    }
    if (recipient->orcpt.length > 0) {
        to = put_text(to, " ORCPT=");
        to = put_orcpt(cl, to, recipient->orcpt);
    }
    return to;
}

static bool say_rcpt(mail_smtp_client *cl, size_t index)
{
    mail_recipient recipient = mail_envelope_recipient(cl->tx.envelope, index);
    size_t size = COMMAND_FRAME + recipient.address.length + 5 * recipient.orcpt.length;
    char *start;
    char *to;

    start = begin(cl, size);
    if (start == NULL) {
        return false;
    }
    to = put_path(start, "RCPT TO:", recipient.address);
    if (cl->offer.dsn) {
        to = put_rcpt_dsn(cl, to, &recipient);
    }
    to = put_text(to, "\r\n");
    commit(cl, SMTP_COMMAND_RCPT, index, start, to);
    return true;
}

static bool say_rset(mail_smtp_client *cl)
{
    smtp_client_say(cl, SMTP_COMMAND_RSET, "RSET", MAIL_SPAN(""));
    cl->needs_rset = false;
    return cl->state == SMTP_CLIENT_SENDING;
}

static bool say_data(mail_smtp_client *cl)
{
    if (!smtp_wire_takes(&cl->wire, COMMAND_FRAME)) {
        return false;
    }
    cl->state = SMTP_CLIENT_AWAIT_REPLIES;
    smtp_client_say(cl, SMTP_COMMAND_DATA, "DATA", MAIL_SPAN(""));
    return true;
}

/*
 * The envelope is written; what next? DATA may end the group of MAIL and RCPT, for its
 * lone dot undoes it, except in LMTP, where that may have no reply. Chunks wait to see
 * that somebody takes them.
 */
static bool begin_content(mail_smtp_client *cl)
{
    if (!smtp_outcomes_are_open(&cl->outcomes)) {
        cl->state = SMTP_CLIENT_AWAIT_REPLIES;
        return true;
    }
    if (cl->outcomes.waiting > 0 && (cl->tx.by_bdat || cl->lmtp)) {
        return false;
    }
    if (cl->tx.by_bdat) {
        smtp_body_open(cl);
        return true;
    }
    return say_data(cl);
}

/* Writes the next command; false: it must wait. */
static bool say_next(mail_smtp_client *cl)
{
    if (!cl->offer.pipelining && cl->wire.count > 0) {
        return false;
    }
    if (!smtp_outcomes_are_open(&cl->outcomes)) {
        return begin_content(cl);
    }
    if (cl->needs_rset) {
        return say_rset(cl);
    }
    if (!cl->tx.mail_written) {
        return say_mail(cl);
    }
    while (cl->tx.next < cl->outcomes.count) {
        size_t index = cl->tx.next;

        if (cl->outcomes.all[index].progress != SMTP_PROGRESS_DECIDED) {
            cl->tx.next += say_rcpt(cl, index) ? 1 : 0;
            return cl->tx.next > index;
        }
        cl->tx.next++;
    }
    return begin_content(cl);
}

/* All replies are in, and everybody has a verdict. */
static void end_transaction(mail_smtp_client *cl)
{
    assert(!smtp_outcomes_are_open(&cl->outcomes));
    cl->needs_rset = cl->tx.mail_taken && !cl->tx.is_clean;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_DONE);
    smtp_client_settle(cl);
}

void smtp_client_advance(mail_smtp_client *cl)
{
    while (cl->state == SMTP_CLIENT_SENDING && say_next(cl)) {
    }
    smtp_body_flush(cl);
    if (cl->state == SMTP_CLIENT_AWAIT_REPLIES && cl->wire.count == 0) {
        end_transaction(cl);
    }
}

/*
 * A short message follows its envelope without waiting: one round trip for all. In
 * LMTP it can't, as nobody would know how many replies to the last chunk to expect
 * (RFC 2033, section 4.3).
 */
void smtp_client_send_at_once(mail_smtp_client *cl)
{
    if (cl->state == SMTP_CLIENT_SENDING && cl->offer.pipelining && cl->tx.by_bdat && !cl->lmtp &&
        cl->tx.next == cl->outcomes.count && cl->tx.content.size > 0 &&
        smtp_body_fits(cl, cl->tx.content.size)) {
        smtp_body_open(cl);
    }
}
