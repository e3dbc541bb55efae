/* SPDX-License-Identifier: MIT */
/*
 * The header is gone through twice: once to see what there is, once to write it with
 * what was missing. Fields keep their order and, but for line ends and addresses
 * without a domain, every octet.
 */
#include <mail/compose.h>

#include <mail/header.h>

#include "base/ascii.h"
#include "base/utf8.h"
#include "msg/chars.h"
#include "msg/clean.h"
#include "msg/recipients.h"
#include "msg/text.h"

#define LINE_MUST 998

enum kind {
    OTHER,
    DATE,
    FROM,
    SENDER,
    TO, /* and Cc */
    BCC,
    REPLY_TO,
    MESSAGE_ID,
    RETURN_PATH
};

#define SAW(kind) (1U << (kind))

typedef struct completion {
    const mail_submission *submission;
    mail_submitted *submitted;
    char hostname[MAIL_DOMAIN_SIZE];
    mail_span header;
    size_t base;       /* of `header` in the message: behind the line of a mailbox file */
    size_t set_start;  /* the first set of Resent- fields */
    size_t set_end;    /* 0: there is none */
    unsigned saw;      /* kinds, in the set that is completed */
    size_t from_count; /* mailboxes in its From */
    recipients recipients;
    bool collects;
    text tx;
    size_t column;     /* of the line being written */
    size_t line_limit; /* where it is folded */
} completion;

/* What a field is, its Resent- form included. */
static enum kind kind_of(const mail_field *field, bool *resent)
{
    static const struct {
        const char *name;
        enum kind kind;
    } kinds[] = {
        {"Date", DATE}, {"From", FROM}, {"Sender", SENDER},     {"To", TO},
        {"Cc", TO},     {"Bcc", BCC},   {"Reply-To", REPLY_TO}, {"Message-ID", MESSAGE_ID},
    };
    static const size_t prefix = sizeof("Resent-") - 1;
    mail_span name = field->name;

    *resent = name.length > prefix &&
              mail_span_equal_nocase(mail_span_first(name, prefix), MAIL_SPAN("Resent-"));
    if (*resent) {
        name = mail_span_from(name, prefix);
    }
    for (size_t i = 0; i < MAIL_COUNT(kinds); i++) {
        if (mail_span_equal_nocase(name, mail_span_text(kinds[i].name))) {
            return kinds[i].kind;
        }
    }
    return mail_span_equal_nocase(name, MAIL_SPAN("Return-Path")) ? RETURN_PATH : OTHER;
}

static bool has_addresses(enum kind kind)
{
    return kind == FROM || kind == SENDER || kind == TO || kind == BCC || kind == REPLY_TO;
}

/* Whether a field belongs to the set that is completed and says who gets the message. */
static bool is_current(const completion *cp, const mail_field *field, bool resent)
{
    if (cp->set_end == 0) {
        return !resent;
    }
    return field->offset >= cp->set_start && field->offset < cp->set_end;
}

static size_t count_mailboxes(mail_span value)
{
    mail_address_reader reader;
    mail_address mailbox;
    size_t count = 0;

    mail_address_reader_init(&reader, value, MAIL_PATH_UTF8 | MAIL_PATH_BARE);
    while (mail_address_reader_next(&reader, &mailbox) != MAIL_ENOENT) {
        count++;
    }
    return count;
}

/*
 * The first Resent- fields that stand together: each set is put on top, with trace
 * fields between (RFC 5322, section 3.6.6).
 */
static int find_set(completion *cp)
{
    mail_header_reader reader;
    mail_field field;
    int code;

    mail_header_reader_init(&reader, cp->header);
    while ((code = mail_header_reader_next(&reader, &field)) == MAIL_OK) {
        bool resent;

        kind_of(&field, &resent);
        if (!resent && cp->set_end != 0) {
            return MAIL_OK;
        }
        if (resent) {
            cp->set_start = cp->set_end == 0 ? field.offset : cp->set_start;
            cp->set_end = field.offset + field.raw.length;
        }
    }
    return code == MAIL_ENOENT ? MAIL_OK : code;
}

static int survey(completion *cp)
{
    mail_header_reader reader;
    mail_field field;
    int code;

    mail_header_reader_init(&reader, cp->header);
    while ((code = mail_header_reader_next(&reader, &field)) == MAIL_OK) {
        bool resent;
        enum kind kind = kind_of(&field, &resent);

        if (is_current(cp, &field, resent)) {
            cp->saw |= SAW(kind);
            cp->from_count += kind == FROM ? count_mailboxes(field.value) : 0;
        }
    }
    cp->header.length = reader.offset;
    cp->submitted->body = cp->base + mail_header_reader_body(&reader);
    return code == MAIL_ENOENT ? MAIL_OK : code;
}

/* Writes a part of a field, CRLF for every line end, lines that are too long folded at a blank. */
static void put_part(completion *cp, mail_span part)
{
    while (part.length > 0) {
        size_t n = 1;

        if (part.data[0] == '\n' || part.data[0] == '\r') {
            n = part.data[0] == '\r' ? 2 : 1;
            text_puts(&cp->tx, "\r\n");
            cp->column = 0;
        } else {
            while (n < part.length && !char_is_wsp(part.data[n]) && part.data[n] != '\r' &&
                   part.data[n] != '\n') {
                n++;
            }
            if (cp->column + n > cp->line_limit && n > 1 && char_is_wsp(part.data[0])) {
                text_puts(&cp->tx, "\r\n");
                cp->column = 0;
            }
            text_put(&cp->tx, mail_span_first(part, n));
            cp->column += n;
        }
        part = mail_span_from(part, n);
    }
}

static void put_domain(completion *cp)
{
    text_puts(&cp->tx, "@");
    text_puts(&cp->tx, cp->hostname);
}

/* Adds a recipient, with our domain if it has none. */
static int collect(completion *cp, const mail_path *path)
{
    char address[MAIL_PATH_MAX + 1 + MAIL_DOMAIN_SIZE];
    size_t length = path->length;
    bool added;
    int code;

    memcpy(address, path->text, length);
    if (mail_path_domain(path).length == 0) {
        address[length++] = '@';
        memcpy(address + length, cp->hostname, strlen(cp->hostname));
        length += strlen(cp->hostname);
    }
    code = recipients_add(&cp->recipients, mail_span_of(address, length), &added);
    cp->submitted->recipients += added ? 1 : 0;
    cp->recipients.envelope->smtputf8 = cp->recipients.envelope->smtputf8 || path->is_utf8;
    return code;
}

static void note_unusable(completion *cp, const mail_field *field)
{
    if (cp->submitted->unusable++ == 0) {
        cp->submitted->first_unusable = field->raw;
    }
}

/* Writes an address field (unless it is a Bcc), and takes its recipients if it has such. */
static int put_addresses(completion *cp, const mail_field *field, bool writes, bool collects)
{
    const char *done = field->raw.data;
    mail_address_reader reader;
    mail_address mailbox;
    int code;

    mail_address_reader_init(&reader, field->value, MAIL_PATH_UTF8 | MAIL_PATH_BARE);
    while ((code = mail_address_reader_next(&reader, &mailbox)) != MAIL_ENOENT) {
        if (code == MAIL_ENOMEM) {
            return code;
        }
        if (code != MAIL_OK) {
            if (collects) {
                note_unusable(cp, field);
            }
            continue;
        }
        if (writes && mail_path_domain(&mailbox.path).length == 0) {
            const char *end = mailbox.written.data + mailbox.written.length;

            put_part(cp, mail_span_of(done, (size_t)(end - done)));
            put_domain(cp);
            cp->column += 1 + strlen(cp->hostname);
            done = end;
        }
        code = collects ? collect(cp, &mailbox.path) : MAIL_OK;
        if (code != MAIL_OK) {
            return code;
        }
    }
    if (writes) {
        put_part(cp, mail_span_of(done, (size_t)(field->raw.data + field->raw.length - done)));
    }
    return MAIL_OK;
}

static void put_own_mailbox(completion *cp)
{
    const mail_submission *own = cp->submission;
    mail_span address = own->from.length > 0 ? own->from : MAIL_SPAN("MAILER-DAEMON");

    if (own->from_name.length > 0) {
        text_put_phrase(&cp->tx, own->from_name);
        text_puts(&cp->tx, " <");
    }
    text_put(&cp->tx, address);
    if (mail_address_domain(address).length == 0) {
        put_domain(cp);
    }
    text_puts(&cp->tx, own->from_name.length > 0 ? ">\r\n" : "\r\n");
}

/* Adds what the set lacks. */
static void put_missing(completion *cp)
{
    const mail_submission *own = cp->submission;
    bool resent = cp->set_end != 0;
    const char *prefix = resent ? "Resent-" : "";
    text *tx = &cp->tx;

    if ((cp->saw & SAW(DATE)) == 0) {
        text_put_date(tx, resent ? "Resent-Date" : "Date", own->when, own->zone);
    }
    if ((cp->saw & SAW(FROM)) == 0) {
        text_puts(tx, prefix);
        text_puts(tx, "From: ");
        put_own_mailbox(cp);
    }
    if ((cp->saw & SAW(SENDER)) == 0 && cp->from_count > 1) {
        text_puts(tx, prefix);
        text_puts(tx, "Sender: ");
        put_own_mailbox(cp);
    }
    if ((cp->saw & SAW(TO)) == 0 && !resent) {
        text_puts(tx, "To: undisclosed-recipients:;\r\n");
    }
    if ((cp->saw & SAW(MESSAGE_ID)) == 0) {
        text_puts(tx, prefix);
        text_puts(tx, "Message-ID: ");
        text_put_message_id(tx, own->when, own->random, mail_span_text(cp->hostname));
        text_puts(tx, "\r\n");
    }
}

static int put_field(completion *cp, const mail_field *field)
{
    bool resent;
    enum kind kind = kind_of(field, &resent);
    bool collects = cp->collects && (kind == TO || kind == BCC) && is_current(cp, field, resent);

    if (kind == RETURN_PATH) {
        return MAIL_OK;
    }
    cp->line_limit = LINE_MUST;
    if (has_addresses(kind)) {
        cp->line_limit -= strlen(cp->hostname) + 2; /* so much may be added to the last word */
        return put_addresses(cp, field, kind != BCC, collects);
    }
    put_part(cp, field->raw);
    return MAIL_OK;
}

static int put_header(completion *cp)
{
    mail_header_reader reader;
    mail_field field;
    bool completed = false;

    mail_header_reader_init(&reader, cp->header);
    while (mail_header_reader_next(&reader, &field) == MAIL_OK) {
        int code = put_field(cp, &field);

        if (code != MAIL_OK) {
            return code;
        }
        if (cp->column > 0) {
            put_part(cp, MAIL_SPAN("\r\n")); /* the last line of a message cut short */
        }
        if (field.offset + field.raw.length == cp->set_end) {
            put_missing(cp);
            completed = true;
        }
    }
    if (!completed) {
        put_missing(cp);
    }
    text_puts(&cp->tx, "\r\n");
    return cp->tx.code;
}

static bool has_bare_cr_or_nul(mail_span header)
{
    mail_scan scan;

    mail_scan_init(&scan);
    mail_scan_feed(&scan, header);
    mail_scan_end(&scan);
    return scan.has_bare_cr || scan.has_nul;
}

static bool is_showable(mail_span name)
{
    while (name.length > 0) {
        size_t n = clean_character(name);

        if (n == 0) {
            return false;
        }
        name = mail_span_from(name, n);
    }
    return true;
}

/* What is added comes from configuration and command lines: no field may come in with it. */
static int check_submission(completion *cp, mail_error *err)
{
    const mail_submission *own = cp->submission;
    mail_path path;
    int code = mail_domain_to_ascii(own->hostname, cp->hostname);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "the host name is none");
    }
    if (own->from.length > 0) {
        code = mail_path_from_text(own->from, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "the sender's address is none");
    }
    if (!is_showable(own->from_name)) {
        return mail_error_set(err, MAIL_EINVAL, "the sender's name is not text in UTF-8");
    }
    return MAIL_OK;
}

/* `From ` of a mailbox file. */
static size_t mailbox_line_length(mail_span message)
{
    const char *lf;

    if (message.length < 5 || memcmp(message.data, "From ", 5) != 0) {
        return 0;
    }
    lf = memchr(message.data, '\n', message.length);
    return lf != NULL ? (size_t)(lf - message.data) + 1 : message.length;
}

static int complete(completion *cp, mail_error *err)
{
    int code = find_set(cp);

    if (code == MAIL_OK) {
        code = survey(cp);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "the header has too many fields");
    }
    if (has_bare_cr_or_nul(cp->header)) {
        return mail_error_set(err, MAIL_EINVAL, "a NUL or a bare CR in the header");
    }
    code = put_header(cp);
    return code == MAIL_OK ? code : mail_error_set(err, code, "header: %s", mail_strerror(code));
}

int mail_submission_complete(const mail_submission *submission, mail_span message,
                             mail_sink_memory *out, mail_envelope *envelope,
                             mail_submitted *submitted, mail_error *err)
{
    size_t base = mailbox_line_length(message);
    completion cp = {
        .submission = submission,
        .submitted = submitted,
        .header = mail_span_from(message, base),
        .base = base,
        .collects = envelope != NULL,
        .tx = {.out = out},
    };
    int code = check_submission(&cp, err);

    *submitted = (mail_submitted){0};
    if (code != MAIL_OK) {
        return code;
    }
    if (cp.collects && recipients_init(&cp.recipients, envelope) != MAIL_OK) {
        return mail_error_set(err, MAIL_ENOMEM, "header: %s", mail_strerror(MAIL_ENOMEM));
    }
    cp.recipients.notify = submission->notify;
    code = complete(&cp, err);
    recipients_deinit(&cp.recipients);
    return code;
}
