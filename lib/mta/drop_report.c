/* SPDX-License-Identifier: MIT */
#include "mta/drop_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

static const mail_reply TOO_BIG = {552, {5, 3, 4}, {"Message too big", 15}};

bool drop_report_is_due(const mail_receive *rcv, const mail_drop *drop)
{
    return mail_drop_size(drop) > rcv->opts.engine.max_message_bytes;
}

/* Those that the sender wants to hear of, as he may know them. */
static int add_recipients(drop_report *report, const mail_receive *rcv, const mail_envelope *given)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < mail_envelope_count(given) && code == MAIL_OK; i++) {
        mail_recipient recipient = mail_envelope_recipient(given, i);
        mail_path path;

        recipient_complete(rcv, recipient.address, &path);
        recipient.address = mail_path_text(&path);
        if (mail_dsn_is_wanted(recipient.notify, MAIL_DSN_FAILED)) {
            code = mail_envelope_add(&report->of, &recipient);
        }
    }
    return code;
}

static int copy_envelope(drop_report *report, const mail_receive *rcv, const mail_envelope *given)
{
    mail_path sender;
    int code;

    recipient_complete(rcv, mail_envelope_sender(given), &sender);
    report->of.ret = given->ret;
    report->of.smtputf8 = given->smtputf8;
    code =
        mail_envelope_set_sender(&report->of, mail_path_text(&sender), mail_envelope_envid(given));
    return code == MAIL_OK ? add_recipients(report, rcv, given) : code;
}

static int make_rows(drop_report *report)
{
    report->count = mail_envelope_count(&report->of);
    report->rows = mem_alloc(report->mem, report->count * sizeof(*report->rows) + 1);
    if (report->rows == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < report->count; i++) {
        const mail_recipient recipient = mail_envelope_recipient(&report->of, i);

        report->rows[i] = (mail_dsn_recipient){
            .address = recipient.address,
            .orcpt = recipient.orcpt,
            .action = MAIL_DSN_FAILED,
            .reply = TOO_BIG,
        };
    }
    return MAIL_OK;
}

/* The header comes back if it is at hand as a whole and nothing in it would spoil the report. */
static void judge_header(mail_drop *drop, mail_dsn *dsn)
{
    mail_scan scan;
    mail_span bytes;
    int code = mail_source_peek(mail_drop_body(drop), &bytes);

    mail_scan_init(&scan);
    mail_scan_feed(&scan, code == MAIL_OK ? bytes : MAIL_SPAN(""));
    dsn->original_has_8bit = scan.has_8bit_header;
    dsn->original_has_utf8_header = scan.has_8bit_header && !scan.has_bad_utf8_header;
    dsn->original_has_nul = !scan.in_body || scan.has_nul || scan.has_bare_cr || scan.has_bare_lf;
}

static int open_text(drop_report *report, const mail_receive *rcv, mail_drop *drop,
                     mail_envelope *envelope)
{
    mail_dsn dsn = {
        .hostname = mail_span_text(rcv->hostname),
        .sender = mail_envelope_sender(&report->of),
        .envid = mail_envelope_envid(&report->of),
        .arrival = mail_drop_time(drop),
        .when = receive_wall(rcv),
        .ret = report->of.ret,
        .smtputf8 = report->of.smtputf8,
        .recipients = report->rows,
        .count = report->count,
    };
    int code;

    judge_header(drop, &dsn);
    code = mail_dsn_address(&dsn, envelope);
    if (code == MAIL_OK) {
        code = mail_dsn_open(&report->text, &dsn, mail_drop_body(drop), report->mem);
    }
    return code;
}

int drop_report_open(drop_report *report, const mail_receive *rcv, mail_drop *drop,
                     mail_envelope *envelope)
{
    int code;

    report->mem = rcv->mem;
    mail_envelope_init(&report->of, rcv->mem);
    code = copy_envelope(report, rcv, mail_drop_envelope(drop));
    if (code == MAIL_OK) {
        code = make_rows(report);
    }
    if (code == MAIL_OK) {
        code = open_text(report, rcv, drop, envelope);
    }
    if (code != MAIL_OK) {
        drop_report_close(report);
    }
    /* No sender, or nobody whom he asks about. */
    return code == MAIL_EINVAL ? MAIL_ENOENT : code;
}

void drop_report_close(drop_report *report)
{
    if (report->text != NULL) {
        mail_source_close(report->text);
    }
    if (report->rows != NULL) {
        mem_free(report->mem, report->rows, report->count * sizeof(*report->rows) + 1);
    }
    mail_envelope_deinit(&report->of);
    *report = (drop_report){.text = NULL};
}

static mail_span print_number(uint64_t number, char text[24])
{
    return mail_span_of(text, (size_t)snprintf(text, 24, "%" PRIu64, number));
}

void drop_report_log(const mail_receive *rcv, const mail_drop *drop, const char *file,
                     const char *id)
{
    const mail_envelope *envelope = mail_drop_envelope(drop);
    char reply[MAIL_REPLY_TEXT_SIZE];
    char numbers[3][24];
    const mail_log_field fields[] = {
        {"file", mail_span_text(file)},
        {"from", mail_envelope_sender(envelope)},
        {"to", mail_envelope_recipient(envelope, 0).address},
        {"recipients", print_number(mail_envelope_count(envelope), numbers[0])},
        {"size", print_number(mail_drop_size(drop), numbers[1])},
        {"uid", print_number(mail_drop_user(drop), numbers[2])},
        {"reply", mail_span_of(reply, mail_reply_print(&TOO_BIG, reply, sizeof(reply)))},
        {"report", mail_span_text(id)},
    };

    receive_measure_refusal(&rcv->measure, &TOO_BIG);
    mail_log_line(rcv->log, MAIL_LOG_WARN, "refused", fields,
                  MAIL_COUNT(fields) - (id[0] == '\0' ? 1 : 0));
}
