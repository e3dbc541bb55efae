/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/dsn.h>
#include <mail/header.h>

#include "base/random.h"

static void fill_with_a(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 0xaa, size);
}

static const mail_random not_random = {fill_with_a, NULL};

#define ID       "aaaaaaaaaaaaaaaa"
#define BOUNDARY "=_" ID ID
#define NOW      0x6a010e28 /* Sun, 10 May 2026 23:00:56 +0000 */
#define ORIGINAL "Subject: x\r\nFrom: a@b\r\n\r\nthe body\r\n"

/* A source that lends one octet at a time, and now and then nothing yet. */
typedef struct dripping {
    mail_source source;
    mail_span rest;
    unsigned calls;
    bool closed;
} dripping;

static int drip_peek(mail_source *source, mail_span *out)
{
    dripping *self = (dripping *)source;

    if (++self->calls % 3 == 0) {
        assert_non_null(source->on_bytes);
        source->on_bytes(source->on_bytes_arg);
        return MAIL_EAGAIN;
    }
    *out = mail_span_first(self->rest, self->rest.length > 0 ? 1 : 0);
    return MAIL_OK;
}

static void drip_drop(mail_source *source, size_t n)
{
    dripping *self = (dripping *)source;

    self->rest = mail_span_from(self->rest, n);
}

static void drip_close(mail_source *source)
{
    ((dripping *)source)->closed = true;
}

static const mail_source_ops drip_ops = {drip_peek, drip_drop, drip_close};

/* A report on one recipient that failed. */
static mail_dsn_recipient failed(void)
{
    return (mail_dsn_recipient){
        .address = MAIL_SPAN("bob@far.example"),
        .action = MAIL_DSN_FAILED,
        .reply = MAIL_REPLY(550, 5, 1, 1, "No such user"),
        .remote_mta = MAIL_SPAN("mx.far.example"),
    };
}

static mail_dsn about(const mail_dsn_recipient *recipients, size_t count)
{
    return (mail_dsn){
        .hostname = MAIL_SPAN("host.example"),
        .sender = MAIL_SPAN("ann@here.example"),
        .arrival = NOW - 3600,
        .when = NOW,
        .recipients = recipients,
        .count = count,
        .original_size = sizeof(ORIGINAL) - 1,
        .random = &not_random,
    };
}

static void wake(void *arg)
{
    ++*(unsigned *)arg;
}

/* Reads all of a source, `slice` octets at a time. */
static char *read_all(mail_source *source, size_t slice)
{
    char *out = calloc(1, 1 << 20);
    unsigned wakes = 0;
    size_t length = 0;

    source->on_bytes = wake;
    source->on_bytes_arg = &wakes;
    for (;;) {
        mail_span span = {NULL, 0};
        int code = mail_source_peek(source, &span);
        size_t n = span.length < slice ? span.length : slice;

        if (code == MAIL_EAGAIN) {
            assert_int_equal(wakes, 1);
            wakes = 0;
            continue;
        }
        assert_int_equal(code, MAIL_OK);
        if (span.length == 0) {
            break;
        }
        memcpy(out + length, span.data, n);
        length += n;
        mail_source_drop(source, n);
    }
    mail_source_close(source);
    return out;
}

static char *write_report(const mail_dsn *dsn, const char *original)
{
    mail_source_span source;
    mail_source *report;

    mail_source_span_init(&source, mail_span_text(original));
    assert_int_equal(mail_dsn_open(&report, dsn, original != NULL ? &source.source : NULL, NULL),
                     MAIL_OK);
    return read_all(report, SIZE_MAX);
}

/* DS-004, DS-005, DS-006, DS-007, DS-012, DS-022, DS-026, MF-002, MF-010 */
static void writes_a_report_in_three_parts(void **state)
{
    mail_dsn_recipient rcpt = failed();
    mail_dsn dsn = about(&rcpt, 1);
    char *got;

    (void)state;
    rcpt.orcpt = MAIL_SPAN("rfc822;Bob+2Bx@Old.example");
    rcpt.last_attempt = NOW - 60;
    dsn.envid = MAIL_SPAN("my id");
    dsn.queue_id = MAIL_SPAN("4Yf0");
    got = write_report(&dsn, ORIGINAL);
    assert_string_equal(got, "From: Mail delivery system <MAILER-DAEMON@host.example>\r\n"
                             "To: <ann@here.example>\r\n"
                             "Subject: Undelivered mail\r\n"
                             "Date: Sun, 10 May 2026 23:00:56 +0000\r\n"
                             "Message-ID: <6a010e28." ID "@host.example>\r\n"
                             "Auto-Submitted: auto-replied\r\n"
                             "MIME-Version: 1.0\r\n"
                             "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                             "\tboundary=\"" BOUNDARY "\"\r\n"
                             "Content-Transfer-Encoding: 7bit\r\n"
                             "\r\n"
                             "--" BOUNDARY "\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Transfer-Encoding: 7bit\r\n"
                             "\r\n"
                             "This is the mail system of host.example.\r\n"
                             "\r\n"
                             "Your message of Sun, 10 May 2026 22:00:56 +0000 (attached)\r\n"
                             "could not be delivered to these recipients:\r\n"
                             "\r\n"
                             "Recipient:  <bob@far.example>\r\n"
                             "Time:       Sun, 10 May 2026 22:59:56 +0000\r\n"
                             "Host:       mx.far.example\r\n"
                             "Answer:     550 5.1.1 No such user\r\n"
                             "What next:  It was not delivered and will not be tried again.\r\n"
                             "\r\n"
                             "--" BOUNDARY "\r\n"
                             "Content-Type: message/delivery-status\r\n"
                             "Content-Transfer-Encoding: 7bit\r\n"
                             "\r\n"
                             "Reporting-MTA: dns; host.example\r\n"
                             "Original-Envelope-Id: my id\r\n"
                             "Arrival-Date: Sun, 10 May 2026 22:00:56 +0000\r\n"
                             "\r\n"
                             "Original-Recipient: rfc822; Bob+x@Old.example\r\n"
                             "Final-Recipient: rfc822; bob@far.example\r\n"
                             "Action: failed\r\n"
                             "Status: 5.1.1\r\n"
                             "Remote-MTA: dns; mx.far.example\r\n"
                             "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
                             "Last-Attempt-Date: Sun, 10 May 2026 22:59:56 +0000\r\n"
                             "Final-Log-ID: 4Yf0\r\n"
                             "\r\n"
                             "--" BOUNDARY "\r\n"
                             "Content-Type: message/rfc822\r\n"
                             "Content-Transfer-Encoding: 7bit\r\n"
                             "\r\n" ORIGINAL "\r\n"
                             "--" BOUNDARY "--\r\n");
    free(got);
}

/* DS-008, DS-009, DS-013, DS-016, DS-021 */
static void gives_every_recipient_its_group(void **state)
{
    static const struct {
        mail_dsn_action action;
        const char *group;
        const char *next;
        const char *subject;
    } rows[] = {
        {MAIL_DSN_FAILED, "Action: failed\r\nStatus: 5.2.3\r\n", "will not be tried again",
         "Undelivered mail"},
        {MAIL_DSN_DELAYED, "Action: delayed\r\nStatus: 4.2.3\r\n",
         "It will be tried again until\r\n            Mon, 11 May 2026 23:00:56 +0000; you",
         "Delayed mail"},
        {MAIL_DSN_DELIVERED, "Action: delivered\r\nStatus: 2.2.3\r\n", "mailbox", "Delivered mail"},
        {MAIL_DSN_RELAYED, "Action: relayed\r\nStatus: 2.2.3\r\n", "sends no reports",
         "Mail handed on"},
        {MAIL_DSN_EXPANDED, "Action: expanded\r\nStatus: 2.2.3\r\n", "members of a list",
         "Mail handed on"},
    };
    mail_dsn_recipient all[MAIL_COUNT(rows)];
    mail_dsn dsn;
    char *got;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        all[i] = failed();
        all[i].action = rows[i].action;
        all[i].reply.status[0] = 4;
        all[i].reply.status[1] = 2;
        all[i].reply.status[2] = 3;
        all[i].retry_until = NOW + 86400;
        dsn = about(&all[i], 1);
        got = write_report(&dsn, ORIGINAL);
        mail_test_case(rows[i].group);
        assert_non_null(strstr(got, rows[i].group));
        assert_non_null(strstr(got, rows[i].next));
        assert_non_null(strstr(got, rows[i].subject));
        assert_int_equal(strstr(got, "Will-Retry-Until") != NULL,
                         rows[i].action == MAIL_DSN_DELAYED);
        free(got);
    }
    dsn = about(all, MAIL_COUNT(all));
    got = write_report(&dsn, NULL);
    assert_non_null(strstr(got, "Subject: Undelivered mail"));
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        assert_non_null(strstr(got, rows[i].group));
        assert_non_null(strstr(got, rows[i].next));
    }
    free(got);
}

/* DS-009, DS-010, DS-012 */
/* DS-026 */
static void begins_with_the_worst_and_says_of_how_many(void **state)
{
    static const struct {
        const char *name;
        mail_dsn_action actions[2];
        const char *says;
    } cases[] = {
        {"failed", {MAIL_DSN_FAILED, MAIL_DSN_FAILED}, "could not be delivered to these rec"},
        {"one failed", {MAIL_DSN_RELAYED, MAIL_DSN_FAILED}, "could not be delivered to some of"},
        {"waits", {MAIL_DSN_DELAYED, MAIL_DSN_DELAYED}, "could not be delivered yet to these rec"},
        {"one waits", {MAIL_DSN_DELAYED, MAIL_DSN_DELIVERED}, "not be delivered yet to some of"},
        {"here", {MAIL_DSN_DELIVERED, MAIL_DSN_DELIVERED}, "was delivered to these recipients:"},
        {"one here", {MAIL_DSN_RELAYED, MAIL_DSN_DELIVERED}, "recipients, or handed on for them:"},
        {"gone on", {MAIL_DSN_EXPANDED, MAIL_DSN_RELAYED}, "was handed on for these recipients:"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_dsn_recipient rcpts[2] = {failed(), failed()};
        mail_dsn dsn = about(rcpts, 2);
        char *got;

        mail_test_case(cases[i].name);
        rcpts[0].action = cases[i].actions[0];
        rcpts[1].action = cases[i].actions[1];
        got = write_report(&dsn, ORIGINAL);
        assert_non_null(strstr(got, cases[i].says));
        free(got);
    }
}

static void leaves_out_what_is_not_known(void **state)
{
    mail_dsn_recipient rcpt = {.address = MAIL_SPAN("bob@far.example"), .has_expired = true};
    mail_dsn dsn = about(&rcpt, 1);
    char *got;

    (void)state;
    dsn.arrival = 0;
    got = write_report(&dsn, NULL);
    assert_non_null(strstr(got,
                           "\r\nFinal-Recipient: rfc822; bob@far.example\r\nAction: failed\r\n"
                           "Status: 5.0.0\r\nLast-Attempt-Date: Sun, 10 May 2026 23:00:56 +0000\r\n"
                           "\r\n--" BOUNDARY "--\r\n"));
    assert_null(strstr(got, "Original-"));
    assert_null(strstr(got, "Arrival-Date"));
    assert_null(strstr(got, "Diagnostic-Code"));
    assert_null(strstr(got, "attached"));
    assert_non_null(
        strstr(got, "Host:       host.example\r\nWhat next:  It was tried for too long"));
    free(got);
    rcpt.reply = MAIL_REPLY(550, 5, 4, 7, "Too old");
    got = write_report(&dsn, NULL);
    assert_non_null(strstr(got, "Diagnostic-Code: x-libmail; 550 5.4.7 Too old\r\n"));
    assert_null(strstr(got, "Remote-MTA"));
    free(got);
}

/* DS-014, SX-031 */
static void brings_back_what_ret_and_size_allow(void **state)
{
    static const struct {
        const char *name;
        mail_ret ret;
        mail_dsn_action action;
        uint64_t size;
        bool has_8bit, has_nul, has_utf8;
        const char *type; /* NULL: nothing */
        bool whole;
    } rows[] = {
        {"full", MAIL_RET_FULL, MAIL_DSN_FAILED, 36, 0, 0, 0, "message/rfc822", true},
        {"default", MAIL_RET_DEFAULT, MAIL_DSN_FAILED, 36, 0, 0, 0, "message/rfc822", true},
        {"header", MAIL_RET_HDRS, MAIL_DSN_FAILED, 36, 0, 0, 0, "text/rfc822-headers", false},
        {"of a delay", MAIL_RET_FULL, MAIL_DSN_DELAYED, 36, 0, 0, 0, "text/rfc822-headers", false},
        {"of success", MAIL_RET_FULL, MAIL_DSN_DELIVERED, 36, 0, 0, 0, "text/rfc822-headers",
         false},
        {"too big", MAIL_RET_FULL, MAIL_DSN_FAILED, 300000, 0, 0, 0, "text/rfc822-headers", false},
        {"size not known", MAIL_RET_FULL, MAIL_DSN_FAILED, 0, 0, 0, 0, "text/rfc822-headers",
         false},
        {"8 bits", MAIL_RET_FULL, MAIL_DSN_FAILED, 36, 1, 0, 0, "message/rfc822", true},
        {"UTF-8", MAIL_RET_FULL, MAIL_DSN_FAILED, 36, 1, 0, 1, "message/global", true},
        {"UTF-8 header", MAIL_RET_HDRS, MAIL_DSN_FAILED, 36, 1, 0, 1, "message/global-headers",
         false},
        {"binary", MAIL_RET_FULL, MAIL_DSN_FAILED, 36, 0, 1, 0, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_dsn_recipient rcpt = failed();
        mail_dsn dsn = about(&rcpt, 1);
        mail_envelope envelope;
        char want[200];
        char *got;

        mail_test_case(rows[i].name);
        rcpt.action = rows[i].action;
        dsn.ret = rows[i].ret;
        dsn.original_size = rows[i].size;
        dsn.original_has_8bit = rows[i].has_8bit;
        dsn.original_has_nul = rows[i].has_nul;
        dsn.original_has_utf8_header = rows[i].has_utf8;
        got = write_report(&dsn, ORIGINAL);
        assert_int_equal(strstr(got, "the body") != NULL, rows[i].whole);
        assert_int_equal(strstr(got, "Subject: x") != NULL, rows[i].type != NULL);
        if (rows[i].type != NULL) {
            snprintf(want, sizeof(want),
                     "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\nSubject",
                     rows[i].type, rows[i].has_8bit ? "8bit" : "7bit");
            assert_non_null(strstr(got, want));
        }
        snprintf(want, sizeof(want), BOUNDARY "\"\r\nContent-Transfer-Encoding: %s\r\n",
                 rows[i].has_8bit ? "8bit" : "7bit");
        assert_non_null(strstr(got, want));
        mail_envelope_init(&envelope, NULL);
        assert_int_equal(mail_dsn_address(&dsn, &envelope), MAIL_OK);
        assert_int_equal(envelope.body, rows[i].has_8bit ? MAIL_BODY_8BITMIME : MAIL_BODY_7BIT);
        mail_envelope_deinit(&envelope);
        free(got);
    }
}

static void reads_the_same_however_it_is_pumped(void **state)
{
    static const mail_ret rets[] = {MAIL_RET_FULL, MAIL_RET_HDRS};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rets); i++) {
        mail_dsn_recipient rcpts[3] = {failed(), failed(), failed()};
        mail_dsn dsn = about(rcpts, 3);
        dripping drip = {.source = {.ops = &drip_ops}, .rest = MAIL_SPAN(ORIGINAL)};
        mail_source *report;
        char *whole;
        char *got;

        dsn.ret = rets[i];
        whole = write_report(&dsn, ORIGINAL);
        assert_int_equal(mail_dsn_open(&report, &dsn, &drip.source, NULL), MAIL_OK);
        got = read_all(report, 7);
        assert_string_equal(got, whole);
        assert_true(drip.closed);
        free(got);
        free(whole);
    }
}

static void cuts_a_header_that_never_ends(void **state)
{
    static char original[200000];
    mail_dsn_recipient rcpt = failed();
    mail_dsn dsn = about(&rcpt, 1);
    char *got;

    (void)state;
    memset(original, 'x', sizeof(original) - 1);
    dsn.ret = MAIL_RET_HDRS;
    got = write_report(&dsn, original);
    assert_in_range(strlen(got), 65536, 70000);
    assert_string_equal(got + strlen(got) - sizeof("\r\n--" BOUNDARY "--\r\n"),
                        "x\r\n--" BOUNDARY "--\r\n");
    free(got);
}

/* Every line is harmless, and every part has exactly the fields it should. */
static void check_lines(const char *report)
{
    for (const char *at = report; *at != '\0';) {
        const char *end = strstr(at, "\r\n");

        assert_non_null(end);
        assert_true(end - at <= 998);
        for (; at < end; at++) {
            assert_in_range((unsigned char)*at, *at == '\t' ? '\t' : ' ', 254);
            assert_int_not_equal(*at, 127);
        }
        at = end + 2;
    }
}

/* DS-025, HOSTILE section 5: reply text in a report (CVE-2020-8794). */
static void makes_remote_text_harmless(void **state)
{
    static char big[5000];
    static const char *const texts[] = {
        "a\r\nAction: delivered",
        "a\nb\nc",
        "a\r\n\r\n--" BOUNDARY "--\r\n",
        "a\033[2J\007",
        "\303\274 \377 \302\205",
        "a\r\n.\r\nMAIL FROM:<>",
        "",
        big,
    };

    (void)state;
    memset(big, 'w', sizeof(big) - 1);
    for (size_t i = 0; i < MAIL_COUNT(texts); i++) {
        mail_dsn_recipient rcpt = failed();
        mail_dsn dsn = about(&rcpt, 1);
        unsigned lines = 0;
        char *got;

        mail_test_case(texts[i]);
        rcpt.reply.text = rcpt.remote_mta = rcpt.address = mail_span_text(texts[i]);
        rcpt.orcpt = mail_span_text(texts[i]);
        dsn.envid = dsn.queue_id = mail_span_text(texts[i]);
        for (int utf8 = 0; utf8 < 2; utf8++) {
            dsn.smtputf8 = utf8 != 0;
            got = write_report(&dsn, NULL);
            check_lines(got);
            lines = 0;
            for (char *at = strstr(got, "\r\nAction: "); at != NULL;
                 at = strstr(at + 1, "\r\nAction: ")) {
                lines++;
            }
            assert_int_equal(lines, 1);
            lines = 0;
            for (char *at = strstr(got, "\r\n--="); at != NULL; at = strstr(at + 1, "\r\n--=")) {
                lines++;
            }
            assert_int_equal(lines, 3);
            free(got);
        }
    }
}

static void folds_long_answers(void **state)
{
    static char text[900];
    mail_dsn_recipient rcpt = failed();
    mail_dsn dsn = about(&rcpt, 1);
    char *got;

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] = i % 10 == 9 ? ' ' : 'w';
    }
    rcpt.reply.text = mail_span_text(text);
    got = write_report(&dsn, NULL);
    for (char *at = got; at != NULL && *at != '\0'; at = strstr(at, "\r\n")) {
        char *end;

        at += at != got ? 2 : 0;
        end = strstr(at, "\r\n");
        assert_true(end == NULL || end - at <= 78);
        if (end == NULL) {
            break;
        }
    }
    free(got);
}

/* DS-023, EA-007, EA-008 */
static void reports_on_utf8_addresses(void **state)
{
    mail_dsn_recipient rcpt = failed();
    mail_dsn dsn = about(&rcpt, 1);
    mail_envelope envelope;
    char *got;

    (void)state;
    rcpt.address = MAIL_SPAN("j\303\266+\360\237\230\200@b\303\274cher.example");
    got = write_report(&dsn, NULL);
    assert_non_null(strstr(got, "Content-Type: message/delivery-status\r\n"));
    assert_non_null(
        strstr(got, "Final-Recipient: utf-8; j\\x{F6}\\x{2B}\\x{1F600}@b\\x{FC}cher.example\r\n"));
    assert_non_null(strstr(got, "Content-Transfer-Encoding: quoted-printable\r\n"));
    assert_non_null(strstr(got, "j=C3=B6"));
    for (char *at = got; *at != '\0'; at++) {
        assert_true((unsigned char)*at < 128);
    }
    free(got);
    dsn.smtputf8 = true;
    got = write_report(&dsn, NULL);
    assert_non_null(strstr(got, "Content-Type: message/global-delivery-status\r\n"
                                "Content-Transfer-Encoding: 8bit\r\n"));
    assert_non_null(strstr(
        got, "Final-Recipient: utf-8; j\303\266+\360\237\230\200@b\303\274cher.example\r\n"));
    free(got);
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_dsn_address(&dsn, &envelope), MAIL_OK);
    assert_int_equal(envelope.body, MAIL_BODY_8BITMIME);
    assert_false(envelope.smtputf8);
    dsn.sender = MAIL_SPAN("\303\274@here.example");
    assert_int_equal(mail_dsn_address(&dsn, &envelope), MAIL_OK);
    assert_true(envelope.smtputf8);
    mail_envelope_deinit(&envelope);
}

/* DS-001, DS-002, DS-003, DS-024 */
static void goes_from_nobody_to_the_sender_and_never_to_nobody(void **state)
{
    mail_dsn_recipient rcpt = failed();
    mail_dsn dsn = about(&rcpt, 1);
    mail_envelope envelope;
    mail_source *report;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_dsn_address(&dsn, &envelope), MAIL_OK);
    assert_int_equal(mail_envelope_sender(&envelope).length, 0);
    assert_int_equal(mail_envelope_count(&envelope), 1);
    assert_span_equal(mail_envelope_recipient(&envelope, 0).address, "ann@here.example");
    assert_int_equal(mail_envelope_recipient(&envelope, 0).notify, MAIL_NOTIFY_NEVER);
    dsn.sender = MAIL_SPAN("");
    assert_int_equal(mail_dsn_address(&dsn, &envelope), MAIL_EINVAL);
    assert_int_equal(mail_dsn_open(&report, &dsn, NULL, NULL), MAIL_EINVAL);
    dsn.sender = MAIL_SPAN("a@b\r\nX: y");
    assert_int_equal(mail_dsn_open(&report, &dsn, NULL, NULL), MAIL_EINVAL);
    dsn = about(&rcpt, 0);
    assert_int_equal(mail_dsn_open(&report, &dsn, NULL, NULL), MAIL_EINVAL);
    dsn = about(&rcpt, 1);
    dsn.hostname = MAIL_SPAN("a b");
    assert_int_equal(mail_dsn_open(&report, &dsn, NULL, NULL), MAIL_EINVAL);
    mail_envelope_deinit(&envelope);
}

/* DS-015, DS-016 */
static void knows_who_wants_to_hear_of_what(void **state)
{
    static const struct {
        uint8_t notify;
        const char *want; /* of failed, delayed, delivered, relayed, expanded */
    } rows[] = {
        {0, "yynnn"},
        {MAIL_NOTIFY_NEVER, "nnnnn"},
        {MAIL_NOTIFY_FAILURE, "ynnnn"},
        {MAIL_NOTIFY_DELAY, "nynnn"},
        {MAIL_NOTIFY_SUCCESS, "nnyyy"},
        {MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE, "ynyyy"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        for (int action = 0; action < 5; action++) {
            assert_int_equal(mail_dsn_is_wanted(rows[i].notify, (mail_dsn_action)action),
                             rows[i].want[action] == 'y');
        }
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_dsn_recipient rcpt = failed();
        mail_dsn dsn = about(&rcpt, 1);
        mail_envelope envelope;
        mail_source *report;
        int code;

        mail_envelope_init(&envelope, &walk.mem);
        code = mail_dsn_address(&dsn, &envelope);
        if (code == MAIL_OK) {
            code = mail_dsn_open(&report, &dsn, NULL, &walk.mem);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (code == MAIL_OK) {
            size_t count = walk.count;

            free(read_all(report, SIZE_MAX));
            assert_int_equal(walk.count, count);
        }
        mail_envelope_deinit(&envelope);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_report_in_three_parts),
        cmocka_unit_test(gives_every_recipient_its_group),
        cmocka_unit_test(begins_with_the_worst_and_says_of_how_many),
        cmocka_unit_test(leaves_out_what_is_not_known),
        cmocka_unit_test(brings_back_what_ret_and_size_allow),
        cmocka_unit_test(reads_the_same_however_it_is_pumped),
        cmocka_unit_test(cuts_a_header_that_never_ends),
        cmocka_unit_test(makes_remote_text_harmless),
        cmocka_unit_test(folds_long_answers),
        cmocka_unit_test(reports_on_utf8_addresses),
        cmocka_unit_test(goes_from_nobody_to_the_sender_and_never_to_nobody),
        cmocka_unit_test(knows_who_wants_to_hear_of_what),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
