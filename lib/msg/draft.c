/* SPDX-License-Identifier: MIT */
#include <mail/compose.h>

#include <mail/encode.h>
#include <mail/header.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "msg/chars.h"
#include "msg/clean.h"
#include "msg/recipients.h"
#include "msg/text.h"

/* The longest line that goes out as it is (RFC 5322, section 2.1.1). */
#define LINE_MUST 998

/* Octets that one line of base64 carries. */
#define BASE64_LINE 57

typedef struct composition {
    const mail_submission *submission;
    char hostname[MAIL_DOMAIN_SIZE];
    mail_envelope *envelope;
    recipients recipients;
    text tx;
    mail_error *err;
} composition;

/* A value of a field: UTF-8 on one line. */
static int check_value(composition *cp, const char *name, mail_span value)
{
    while (value.length > 0) {
        size_t n = clean_character(value);

        if (n == 0) {
            return mail_error_set(cp->err, MAIL_EINVAL, "%s: a control character or bad UTF-8",
                                  name);
        }
        value = mail_span_from(value, n);
    }
    return MAIL_OK;
}

/* A display name without its quotes, in `out` of the same size; a comment as it is. */
static mail_span unquoted(mail_span name, char *out)
{
    size_t length = 0;

    if (name.length < 2 || name.data[0] != '"' || name.data[name.length - 1] != '"') {
        return name;
    }
    for (size_t i = 1; i + 1 < name.length; i++) {
        i += name.data[i] == '\\' && i + 2 < name.length ? 1 : 0;
        out[length++] = name.data[i];
    }
    return mail_span_of(out, length);
}

static int put_mailbox(composition *cp, const mail_address *mailbox)
{
    mail_span display = mailbox->display;
    char *copy;

    if (display.length == 0) {
        text_put(&cp->tx, mail_path_text(&mailbox->path));
        return cp->tx.code;
    }
    copy = mem_resize(cp->tx.out->mem, NULL, 0, display.length);
    if (copy == NULL) {
        return MAIL_ENOMEM;
    }
    text_put_phrase(&cp->tx, unquoted(display, copy));
    mem_free(cp->tx.out->mem, copy, display.length);
    text_puts(&cp->tx, " <");
    text_put(&cp->tx, mail_path_text(&mailbox->path));
    text_puts(&cp->tx, ">");
    return cp->tx.code;
}

static int add_recipient(composition *cp, const mail_path *path)
{
    bool added;

    cp->envelope->smtputf8 = cp->envelope->smtputf8 || path->is_utf8;
    return recipients_add(&cp->recipients, mail_path_text(path), &added);
}

/* What an address field is for. */
enum {
    IS_WRITTEN = 1,
    NAMES_RECIPIENTS = 2,
    IS_SENDER = 4 /* one mailbox, which becomes the envelope's sender */
};

static int take_sender(composition *cp, const mail_path *path)
{
    cp->envelope->smtputf8 = path->is_utf8;
    return mail_envelope_set_sender(cp->envelope, mail_path_text(path), MAIL_SPAN(""));
}

static int put_one(composition *cp, const mail_address *mailbox, unsigned use, size_t count)
{
    int code = MAIL_OK;

    if ((use & IS_WRITTEN) != 0) {
        text_puts(&cp->tx, count > 0 ? ",\r\n " : "");
        code = put_mailbox(cp, mailbox);
    }
    if (code == MAIL_OK && (use & IS_SENDER) != 0) {
        code = count == 0 ? take_sender(cp, &mailbox->path) : MAIL_EINVAL;
    }
    if (code == MAIL_OK && (use & NAMES_RECIPIENTS) != 0) {
        code = add_recipient(cp, &mailbox->path);
    }
    return code;
}

static int put_addresses(composition *cp, const char *name, const char *value, unsigned use)
{
    mail_address_reader reader;
    mail_address mailbox;
    size_t count = 0;
    int code = check_value(cp, name, mail_span_text(value));

    if (code != MAIL_OK || value == NULL) {
        return code;
    }
    if ((use & IS_WRITTEN) != 0) {
        text_puts(&cp->tx, name);
        text_puts(&cp->tx, ": ");
    }
    mail_address_reader_init(&reader, mail_span_text(value), MAIL_PATH_UTF8);
    while ((code = mail_address_reader_next(&reader, &mailbox)) == MAIL_OK) {
        code = put_one(cp, &mailbox, use, count++);
        if (code != MAIL_OK) {
            break;
        }
    }
    if (code != MAIL_ENOENT || count == 0) {
        code = code == MAIL_ENOENT ? MAIL_EINVAL : code;
        return mail_error_set(cp->err, code, "%s: %s", name,
                              code == MAIL_EINVAL ? "not the address it must be"
                                                  : mail_strerror(code));
    }
    if ((use & IS_WRITTEN) != 0) {
        text_puts(&cp->tx, "\r\n");
    }
    return MAIL_OK;
}

static int put_addressing(composition *cp, const mail_draft *draft)
{
    const struct {
        const char *name;
        const char *value;
        unsigned use;
    } fields[] = {
        {"From", draft->from, IS_WRITTEN | IS_SENDER},
        {"To", draft->to, IS_WRITTEN | NAMES_RECIPIENTS},
        {"Cc", draft->cc, IS_WRITTEN | NAMES_RECIPIENTS},
        {"Bcc", draft->bcc, NAMES_RECIPIENTS},
        {"Reply-To", draft->reply_to, IS_WRITTEN},
    };

    if (draft->from == NULL) {
        return mail_error_set(cp->err, MAIL_EINVAL, "From: missing");
    }
    for (size_t i = 0; i < MAIL_COUNT(fields); i++) {
        int code = put_addresses(cp, fields[i].name, fields[i].value, fields[i].use);

        if (code != MAIL_OK) {
            return code;
        }
    }
    if (mail_envelope_count(cp->envelope) == 0) {
        return mail_error_set(cp->err, MAIL_EINVAL, "To: no recipient");
    }
    if (draft->to == NULL && draft->cc == NULL) {
        text_puts(&cp->tx, "To: undisclosed-recipients:;\r\n");
    }
    return cp->tx.code;
}

static int put_text_field(composition *cp, const char *name, const char *value)
{
    int code = check_value(cp, name, mail_span_text(value));

    if (code != MAIL_OK || value == NULL) {
        return code;
    }
    text_puts(&cp->tx, name);
    text_puts(&cp->tx, ": ");
    text_put_value(&cp->tx, mail_span_text(value));
    text_puts(&cp->tx, "\r\n");
    return cp->tx.code;
}

/* Fields that the draft itself decides. */
static bool is_reserved(mail_span name)
{
    static const char *const names[] = {
        "From",
        "Sender",
        "To",
        "Cc",
        "Bcc",
        "Reply-To",
        "Date",
        "Subject",
        "Return-Path",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    };

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        if (mail_span_equal_nocase(name, mail_span_text(names[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_field_name(mail_span name)
{
    for (size_t i = 0; i < name.length; i++) {
        if (!char_is_printable(name.data[i]) || name.data[i] == ' ' || name.data[i] == ':') {
            return false;
        }
    }
    return name.length > 0 && name.length <= 70;
}

static int put_more_fields(composition *cp, const mail_draft *draft)
{
    for (size_t i = 0; i < draft->field_count; i++) {
        const mail_draft_field *field = &draft->fields[i];
        mail_span name = mail_span_text(field->name);
        int code;

        if (!is_field_name(name) || is_reserved(name)) {
            return mail_error_set(cp->err, MAIL_EINVAL, "%.70s: not a field that may be set",
                                  name.length > 0 ? field->name : "");
        }
        code = put_text_field(cp, field->name, field->value);
        if (code != MAIL_OK) {
            return code;
        }
    }
    return MAIL_OK;
}

static void put_identity(composition *cp)
{
    const mail_submission *own = cp->submission;

    text_put_date(&cp->tx, "Date", own->when, own->zone);
    text_puts(&cp->tx, "Message-ID: ");
    text_put_message_id(&cp->tx, own->when, own->random, mail_span_text(cp->hostname));
    text_puts(&cp->tx, "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
}

/* Printable ASCII and tabs on lines that fit: goes out as it is. `body` has CRLF line ends. */
static bool is_7bit(mail_span body)
{
    size_t column = 0;

    for (size_t i = 0; i < body.length; i++) {
        char c = body.data[i];

        if (c == '\r' || c == '\n') {
            column = 0;
        } else if ((!char_is_printable(c) && c != '\t') || ++column > LINE_MUST) {
            return false;
        }
    }
    return true;
}

static void put_base64(text *tx, mail_span body)
{
    while (body.length > 0) {
        char line[MAIL_BASE64_SIZE(BASE64_LINE)];
        size_t n = body.length < BASE64_LINE ? body.length : BASE64_LINE;

        text_put(tx, mail_span_of(line, mail_base64_encode(mail_span_first(body, n), line)));
        text_puts(tx, "\r\n");
        body = mail_span_from(body, n);
    }
}

/* What is sparse in ASCII is shorter, and no less readable, in base64. */
static int put_encoded(text *tx, mail_span body)
{
    size_t size = MAIL_QP_SIZE(body.length);
    char *quoted = mem_resize(tx->out->mem, NULL, 0, size);
    size_t length;

    if (quoted == NULL) {
        return MAIL_ENOMEM;
    }
    length = mail_qp_encode(body, quoted);
    if (length <= MAIL_BASE64_SIZE(body.length)) {
        text_puts(tx, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        text_put(tx, mail_span_of(quoted, length));
    } else {
        text_puts(tx, "Content-Transfer-Encoding: base64\r\n\r\n");
        put_base64(tx, body);
    }
    mem_free(tx->out->mem, quoted, size);
    return tx->code;
}

static int put_canonical(composition *cp, mail_span body)
{
    if (is_7bit(body)) {
        text_puts(&cp->tx, "Content-Transfer-Encoding: 7bit\r\n\r\n");
        text_put(&cp->tx, body);
        return cp->tx.code;
    }
    return put_encoded(&cp->tx, body);
}

static int put_body(composition *cp, mail_span body)
{
    size_t size = 2 * body.length + 8;
    mail_newlines newlines;
    char *canonical;
    size_t length;
    size_t used;
    int code;

    if (!utf8_is_valid(body)) {
        return mail_error_set(cp->err, MAIL_EINVAL, "text: not UTF-8");
    }
    canonical = mem_resize(cp->tx.out->mem, NULL, 0, size);
    if (canonical == NULL) {
        return MAIL_ENOMEM;
    }
    mail_newlines_init(&newlines);
    length = mail_newlines_convert(&newlines, body, &used, canonical, size - 4);
    length += mail_newlines_end(&newlines, canonical + length);
    code = newlines.has_bare_cr ? mail_error_set(cp->err, MAIL_EINVAL, "text: a CR without LF")
                                : put_canonical(cp, mail_span_of(canonical, length));
    mem_free(cp->tx.out->mem, canonical, size);
    return code;
}

static int compose(composition *cp, const mail_draft *draft)
{
    int code = put_addressing(cp, draft);

    if (code == MAIL_OK) {
        code = put_text_field(cp, "Subject", draft->subject);
    }
    if (code == MAIL_OK) {
        put_identity(cp);
        code = put_more_fields(cp, draft);
    }
    return code == MAIL_OK ? put_body(cp, mail_span_text(draft->text)) : code;
}

int mail_draft_compose(const mail_draft *draft, const mail_submission *submission,
                       mail_sink_memory *out, mail_envelope *envelope, mail_error *err)
{
    composition cp = {
        .submission = submission,
        .envelope = envelope,
        .tx = {.out = out},
        .err = err,
    };
    int code;

    mail_envelope_reset(envelope);
    if (mail_domain_to_ascii(submission->hostname, cp.hostname) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "the host name is none");
    }
    code = recipients_init(&cp.recipients, envelope);
    if (code == MAIL_OK) {
        code = compose(&cp, draft);
    }
    recipients_deinit(&cp.recipients);
    if (code != MAIL_OK) {
        mail_envelope_reset(envelope);
    }
    if (code == MAIL_ENOMEM || code == MAIL_ELIMIT) {
        mail_error_set(err, code, "%s", mail_strerror(code));
    }
    return code;
}
