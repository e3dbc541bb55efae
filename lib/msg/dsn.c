/* SPDX-License-Identifier: MIT */
/*
 * A report is a source that writes itself while it is read: one piece after another
 * in one buffer, the message that it brings back straight from where that lies.
 *
 *     HEAD -> TEXT, a piece a recipient -> STATUS -> STATUS_RECIPIENT, a piece a recipient
 *          -> ORIGINAL_HEAD -> ORIGINAL -> TAIL -> END
 */
#include "msg/dsn.h"

#include <assert.h>
#include <stdio.h>

#include <mail/address.h>
#include <mail/encode.h>
#include <mail/header.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"

#define MAX_ORIGINAL_DEFAULT (256 * 1024)
/* Of a header that comes back alone. */
#define MAX_HEADER (64 * 1024)

enum step {
    HEAD,
    TEXT,
    STATUS,
    STATUS_RECIPIENT,
    ORIGINAL_HEAD,
    ORIGINAL,
    TAIL,
    END
};

typedef struct report {
    mail_source source;
    const mail_mem *mem;
    mail_dsn dsn;
    dsn_form form;
    char hostname[MAIL_DOMAIN_SIZE];
    char boundary[40];
    enum step step;         /* what the next piece is, ORIGINAL while that is lent */
    size_t index;           /* of the recipient whose piece is next */
    mail_sink_memory piece; /* over `room`: it never allocates */
    mail_sink_memory plain; /* the same, for text on its way into quoted-printable */
    size_t taken;           /* of the piece */
    mail_source *original;
    mail_scan scan;     /* of the original, for the end of its header */
    uint64_t passed_on; /* of the original */
    char room[DSN_PIECE_SIZE];
    char plain_room[DSN_PIECE_SIZE / 4];
} report;

const char *mail_dsn_action_name(mail_dsn_action action)
{
    static const char *const names[] = {"failed", "delayed", "delivered", "relayed", "expanded"};

    return names[action];
}

bool mail_dsn_is_wanted(uint8_t notify, mail_dsn_action action)
{
    static const uint8_t bits[] = {
        [MAIL_DSN_FAILED] = MAIL_NOTIFY_FAILURE,    [MAIL_DSN_DELAYED] = MAIL_NOTIFY_DELAY,
        [MAIL_DSN_DELIVERED] = MAIL_NOTIFY_SUCCESS, [MAIL_DSN_RELAYED] = MAIL_NOTIFY_SUCCESS,
        [MAIL_DSN_EXPANDED] = MAIL_NOTIFY_SUCCESS,
    };

    if (notify == 0) {
        notify = MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY;
    }
    return (notify & MAIL_NOTIFY_NEVER) == 0 && (notify & bits[action]) != 0;
}

mail_dsn_action dsn_worst(const mail_dsn *dsn)
{
    mail_dsn_action worst = MAIL_DSN_EXPANDED;

    for (size_t i = 0; i < dsn->count; i++) {
        worst = dsn->recipients[i].action < worst ? dsn->recipients[i].action : worst;
    }
    return worst;
}

/* RFC 3461, sections 4.3 and 6.2: only of a failure does the whole message come back. */
static bool wants_full(const mail_dsn *dsn)
{
    uint64_t most = dsn->max_original_bytes != 0 ? dsn->max_original_bytes : MAX_ORIGINAL_DEFAULT;

    return dsn->ret != MAIL_RET_HDRS && dsn_worst(dsn) == MAIL_DSN_FAILED &&
           dsn->original_size != 0 && dsn->original_size <= most;
}

static dsn_form form_of(const mail_dsn *dsn, bool has_original)
{
    dsn_form form = {0};

    for (size_t i = 0; i < dsn->count; i++) {
        const mail_dsn_recipient *rcpt = &dsn->recipients[i];
        bool is_ascii = utf8_is_ascii(rcpt->address) && utf8_is_ascii(rcpt->orcpt);

        form.utf8_status = form.utf8_status || (!is_ascii && dsn->smtputf8);
        form.utf8_text = form.utf8_text || !is_ascii || !utf8_is_ascii(rcpt->reply.text) ||
                         !utf8_is_ascii(rcpt->remote_mta);
    }
    if (has_original && !dsn->original_has_nul) {
        form.returns_full = wants_full(dsn);
        form.returns_header = !form.returns_full;
        form.has_8bit = dsn->original_has_8bit || dsn->original_has_utf8_header;
    }
    form.has_8bit = form.has_8bit || form.utf8_status;
    return form;
}

static int check(const mail_dsn *dsn, mail_path *sender, char hostname[MAIL_DOMAIN_SIZE])
{
    if (dsn->count == 0 || mail_domain_to_ascii(dsn->hostname, hostname) != MAIL_OK) {
        return MAIL_EINVAL;
    }
    /* The null path is no address here: RFC 5321, section 6.1. */
    return mail_path_from_text(dsn->sender, MAIL_PATH_UTF8 | MAIL_PATH_BARE, sender);
}

int mail_dsn_address(const mail_dsn *dsn, mail_envelope *envelope)
{
    mail_recipient rcpt = {.notify = MAIL_NOTIFY_NEVER};
    char hostname[MAIL_DOMAIN_SIZE];
    mail_path sender;
    int code = check(dsn, &sender, hostname);

    mail_envelope_reset(envelope);
    if (code != MAIL_OK) {
        return code;
    }
    code = mail_envelope_set_sender(envelope, MAIL_SPAN(""), MAIL_SPAN(""));
    if (code == MAIL_OK) {
        rcpt.address = mail_path_text(&sender);
        code = mail_envelope_add(envelope, &rcpt);
    }
    envelope->smtputf8 = sender.is_utf8;
    envelope->body = form_of(dsn, true).has_8bit ? MAIL_BODY_8BITMIME : MAIL_BODY_7BIT;
    return code;
}

static void put_part(report *rp, text *tx, const char *type, const char *encoding)
{
    text_puts(tx, "\r\n--");
    text_puts(tx, rp->boundary);
    text_puts(tx, "\r\nContent-Type: ");
    text_puts(tx, type);
    text_puts(tx, "\r\nContent-Transfer-Encoding: ");
    text_puts(tx, encoding);
    text_puts(tx, "\r\n\r\n");
}

static const char *subject(const mail_dsn *dsn)
{
    static const char *const subjects[] = {
        [MAIL_DSN_FAILED] = "Undelivered mail",  [MAIL_DSN_DELAYED] = "Delayed mail",
        [MAIL_DSN_DELIVERED] = "Delivered mail", [MAIL_DSN_RELAYED] = "Mail handed on",
        [MAIL_DSN_EXPANDED] = "Mail handed on",
    };

    return subjects[dsn_worst(dsn)];
}

/* Text for people goes through quoted-printable where it is not ASCII. */
static void put_text(report *rp, text *tx, mail_span plain)
{
    if (rp->form.utf8_text) {
        char quoted[MAIL_QP_SIZE(sizeof(rp->plain_room))];

        text_put(tx, mail_span_of(quoted, mail_qp_encode(plain, quoted)));
    } else {
        text_put(tx, plain);
    }
}

static text plain_text(report *rp)
{
    rp->plain.length = 0;
    return (text){.out = &rp->plain};
}

static void put_head(report *rp, text *tx)
{
    const mail_dsn *dsn = &rp->dsn;
    text plain = plain_text(rp);

    text_puts(tx, "From: Mail delivery system <MAILER-DAEMON@");
    text_puts(tx, rp->hostname);
    text_puts(tx, ">\r\nTo: <");
    text_put(tx, dsn->sender);
    text_puts(tx, ">\r\nSubject: ");
    text_puts(tx, subject(dsn));
    text_puts(tx, "\r\n");
    text_put_date(tx, "Date", dsn->when, dsn->zone);
    text_puts(tx, "Message-ID: ");
    text_put_message_id(tx, dsn->when, dsn->random, mail_span_text(rp->hostname));
    text_puts(tx, "\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
    text_puts(tx, rp->boundary);
    text_puts(tx, "\"\r\nContent-Transfer-Encoding: ");
    text_puts(tx, rp->form.has_8bit ? "8bit\r\n" : "7bit\r\n");
    put_part(rp, tx, "text/plain; charset=utf-8", rp->form.utf8_text ? "quoted-printable" : "7bit");
    dsn_text_intro(&plain, dsn, &rp->form);
    put_text(rp, tx, mail_sink_memory_bytes(&rp->plain));
}

static void put_text_recipient(report *rp, text *tx)
{
    text plain = plain_text(rp);

    dsn_text_recipient(&plain, &rp->dsn, &rp->dsn.recipients[rp->index]);
    assert(plain.code == MAIL_OK);
    put_text(rp, tx, mail_sink_memory_bytes(&rp->plain));
}

static void put_original_head(report *rp, text *tx)
{
    static const char *const types[2][2] = {
        {"text/rfc822-headers", "message/global-headers"},
        {"message/rfc822", "message/global"},
    };
    bool utf8 = rp->dsn.original_has_utf8_header;
    bool has_8bit = rp->dsn.original_has_8bit || utf8;

    put_part(rp, tx, types[rp->form.returns_full ? 1 : 0][utf8 ? 1 : 0],
             has_8bit ? "8bit" : "7bit");
}

/* Steps on, past a step for each recipient when the last one is done. */
static enum step after(report *rp, enum step step, enum step next)
{
    if (++rp->index < rp->dsn.count) {
        return step;
    }
    rp->index = 0;
    return next;
}

/* Writes the next piece. */
static void write_piece(report *rp)
{
    text tx = {.out = &rp->piece};
    bool returns = rp->form.returns_full || rp->form.returns_header;

    rp->piece.length = 0;
    rp->taken = 0;
    switch (rp->step) {
    case HEAD:
        put_head(rp, &tx);
        rp->step = TEXT;
        break;
    case TEXT:
        put_text_recipient(rp, &tx);
        rp->step = after(rp, TEXT, STATUS);
        break;
    case STATUS:
        put_part(rp, &tx,
                 rp->form.utf8_status ? "message/global-delivery-status"
                                      : "message/delivery-status",
                 rp->form.utf8_status ? "8bit" : "7bit");
        dsn_status_message(&tx, &rp->dsn);
        rp->step = STATUS_RECIPIENT;
        break;
    case STATUS_RECIPIENT:
        dsn_status_recipient(&tx, &rp->dsn, &rp->form, &rp->dsn.recipients[rp->index]);
        rp->step = after(rp, STATUS_RECIPIENT, returns ? ORIGINAL_HEAD : TAIL);
        break;
    case ORIGINAL_HEAD:
        put_original_head(rp, &tx);
        rp->step = ORIGINAL;
        break;
    case TAIL:
        text_puts(&tx, "\r\n--");
        text_puts(&tx, rp->boundary);
        text_puts(&tx, "--\r\n");
        rp->step = END;
        break;
    case ORIGINAL:
    case END:
        break;
    }
    assert(tx.code == MAIL_OK);
}

/* How much of what the original lends belongs to its header, which ends at MAX_HEADER at the latest. */
static size_t header_part(report *rp, mail_span lent)
{
    uint64_t seen = rp->scan.size - rp->passed_on; /* of `lent`, by an earlier look */
    uint64_t end;

    if (!rp->scan.in_body && seen < lent.length) {
        mail_scan_feed(&rp->scan, mail_span_from(lent, (size_t)seen));
    }
    end = rp->scan.header_size < MAX_HEADER ? rp->scan.header_size : MAX_HEADER;
    if (end <= rp->passed_on) {
        return 0;
    }
    end -= rp->passed_on;
    return end < lent.length ? (size_t)end : lent.length;
}

/* What the original gives next; nothing at its end, after which the tail comes. */
static int peek_original(report *rp, mail_span *out)
{
    int code = mail_source_peek(rp->original, out);

    if (code == MAIL_OK && rp->form.returns_header) {
        out->length = header_part(rp, *out);
    }
    if (code == MAIL_OK && out->length == 0) {
        rp->step = TAIL;
    }
    return code;
}

static int report_peek(mail_source *source, mail_span *out)
{
    report *rp = (report *)source;

    for (;;) {
        *out = mail_span_from(mail_sink_memory_bytes(&rp->piece), rp->taken);
        if (out->length > 0 || rp->step == END) {
            return MAIL_OK;
        }
        if (rp->step == ORIGINAL) {
            int code = peek_original(rp, out);

            if (code != MAIL_OK || out->length > 0) {
                return code;
            }
        }
        write_piece(rp);
    }
}

static void report_drop(mail_source *source, size_t n)
{
    report *rp = (report *)source;

    if (rp->taken < rp->piece.length) {
        assert(n <= rp->piece.length - rp->taken);
        rp->taken += n;
        return;
    }
    if (n > 0) {
        assert(rp->step == ORIGINAL);
        mail_source_drop(rp->original, n);
        rp->passed_on += n;
    }
}

static void report_close(mail_source *source)
{
    report *rp = (report *)source;

    if (rp->original != NULL) {
        mail_source_close(rp->original);
    }
    mem_free(rp->mem, rp, sizeof(*rp));
}

static void on_original_bytes(void *arg)
{
    report *rp = arg;

    if (rp->source.on_bytes != NULL) {
        rp->source.on_bytes(rp->source.on_bytes_arg);
    }
}

/* No encoding writes `=_`, and nobody guesses the rest: it occurs in no part. */
static void make_boundary(report *rp)
{
    unsigned long long high = random_u64(rp->dsn.random);
    unsigned long long low = random_u64(rp->dsn.random);

    snprintf(rp->boundary, sizeof(rp->boundary), "=_%016llx%016llx", high, low);
}

/* A sink over memory that is there already. */
static mail_sink_memory sink_over(char *room, size_t size)
{
    mail_sink_memory sink;

    mail_sink_memory_init(&sink, NULL, size);
    sink.data = room;
    sink.capacity = size;
    return sink;
}

int mail_dsn_open(mail_source **out, const mail_dsn *dsn, mail_source *original,
                  const mail_mem *mem)
{
    static const mail_source_ops ops = {report_peek, report_drop, report_close};
    char hostname[MAIL_DOMAIN_SIZE];
    mail_path sender;
    report *rp;
    int code = check(dsn, &sender, hostname);

    if (code != MAIL_OK) {
        return code;
    }
    rp = mem_alloc(mem, sizeof(*rp));
    if (rp == NULL) {
        return MAIL_ENOMEM;
    }
    rp->source.ops = &ops;
    rp->mem = mem;
    rp->dsn = *dsn;
    rp->form = form_of(dsn, original != NULL);
    rp->original = original;
    rp->piece = sink_over(rp->room, sizeof(rp->room));
    rp->plain = sink_over(rp->plain_room, sizeof(rp->plain_room));
    memcpy(rp->hostname, hostname, sizeof(hostname));
    mail_scan_init(&rp->scan);
    make_boundary(rp);
    if (original != NULL) {
        original->on_bytes = on_original_bytes;
        original->on_bytes_arg = rp;
    }
    *out = &rp->source;
    return MAIL_OK;
}
