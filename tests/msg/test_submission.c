/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/compose.h>

#include "base/random.h"

static void fill_with_a(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 0xaa, size);
}

static const mail_random not_random = {fill_with_a, NULL};

#define ID   "<6a010e28.aaaaaaaaaaaaaaaa@host.example>"
#define DATE "Sun, 10 May 2026 23:00:56 +0000"

static mail_submission ordinary(void)
{
    return (mail_submission){
        .hostname = MAIL_SPAN("Host.Example."),
        .from = MAIL_SPAN("me@here.example"),
        .when = 0x6a010e28,
        .random = &not_random,
    };
}

/* What is added at the end of a header that has nothing of its own. */
#define FROM_US "From: me@here.example\r\n"
#define NOBODY  "To: undisclosed-recipients:;\r\n"
#define D       "Date: " DATE "\r\n"
#define M       "Message-ID: " ID "\r\n"
#define FULL    "Date: x\r\nFrom: a@b\r\nTo: c@d\r\nMessage-ID: y\r\n"

static void check(mail_span in, const char *want, size_t body)
{
    mail_submission submission = ordinary();
    mail_submitted submitted;
    mail_sink_memory out;
    mail_error err = {0};
    int code;

    mail_sink_memory_init(&out, NULL, 1 << 20);
    code = mail_submission_complete(&submission, in, &out, NULL, &submitted, &err);
    assert_int_equal(code, want != NULL ? MAIL_OK : MAIL_EINVAL);
    if (want != NULL) {
        assert_span_equal(mail_sink_memory_bytes(&out), want);
        assert_int_equal(submitted.body, body);
    } else {
        assert_int_equal(err.code, code);
        assert_string_not_equal(err.text, "");
    }
    mail_sink_memory_deinit(&out);
}

/* SX-036, SX-037, MF-002, MF-003, MF-011, SS-048 */
static void adds_what_is_missing_and_nothing_else(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        const char *want; /* without the empty line; NULL: refused */
        size_t body;
    } rows[] = {
        {"complete", FULL "\r\nbody\r\n", FULL "\r\n", sizeof(FULL) + 1},
        {"order and other fields stay", "X: 1\r\n" FULL "Y : 2\r\n\r\n",
         "X: 1\r\n" FULL "Y : 2\r\n\r\n", sizeof(FULL) + 1 + 13},
        {"empty", "", D FROM_US NOBODY M "\r\n", 0},
        {"no header", "just text\r\n", D FROM_US NOBODY M "\r\n", 0},
        {"empty line first", "\r\nbody", D FROM_US NOBODY M "\r\n", 2},
        {"no empty line", "To: a@b\ntext: it is, with blanks\nin it\n",
         "To: a@b\r\ntext: it is, with blanks\r\n" D FROM_US M "\r\n", 33},
        {"LF", "To: a@b\nSubject: x\n y\n\nb", "To: a@b\r\nSubject: x\r\n y\r\n" D FROM_US M "\r\n",
         23},
        {"no last line end", "To: a@b", "To: a@b\r\n" D FROM_US M "\r\n", 7},
        {"only cc", "Cc: a@b\n\n", "Cc: a@b\r\n" D FROM_US M "\r\n", 9},
        {"bcc goes", "To: a@b\nBcc: c@d,\n e@f\nX: y\n\n", "To: a@b\r\nX: y\r\n" D FROM_US M "\r\n",
         29},
        {"bcc alone goes", "bcc: c@d\n\n", D FROM_US NOBODY M "\r\n", 10},
        {"return path goes",
         "Return-Path: <x@y>\n"
         "To: a@b\n\n",
         "To: a@b\r\n" D FROM_US M "\r\n", 28},
        {"line of a mailbox file", "From me Sun May 10 2026\nTo: a@b\n\nx",
         "To: a@b\r\n" D FROM_US M "\r\n", 33},
        {"bare names", "From: root\nTo: a, B <b> (c), d@e\nMessage-ID: x\nDate: y\n\n",
         "From: root@host.example\r\nTo: a@host.example, B <b@host.example> (c), d@e\r\n"
         "Message-ID: x\r\nDate: y\r\n\r\n",
         56},
        {"several mailboxes in From", "From: a@b, c@d\nTo: e@f\nMessage-ID: x\nDate: y\n\n",
         "From: a@b, c@d\r\nTo: e@f\r\nMessage-ID: x\r\nDate: y\r\nSender: me@here.example\r\n\r\n",
         46},
        {"they have a sender", "From: a@b, c@d\nSender: a@b\nTo: e@f\nMessage-ID: x\nDate: y\n\n",
         "From: a@b, c@d\r\nSender: a@b\r\nTo: e@f\r\nMessage-ID: x\r\nDate: y\r\n\r\n", 58},
        {"an address that is none stays", "To: a b c\n\n", "To: a b c\r\n" D FROM_US M "\r\n", 11},
        {"resent",
         "Resent-To: x@y\n"
         "To: c@d\nBcc: e@f\n\n",
         "Resent-To: x@y\r\nResent-Date: " DATE
         "\r\nResent-From: me@here.example\r\nResent-Message-ID: " ID "\r\nTo: c@d\r\n\r\n",
         33},
        {"resent twice",
         "Received: r\nResent-From: a\nResent-Bcc: p@q\nReceived: s\nResent-Date: d\nTo: c@d\n\n",
         "Received: r\r\nResent-From: a@host.example\r\nResent-Date: " DATE
         "\r\nResent-Message-ID: " ID "\r\nReceived: s\r\nResent-Date: d\r\nTo: c@d\r\n\r\n",
         79},
        {"bare CR", "To: a@b\rX: y\r\n\r\n", NULL, 0},
        {"CR at the end", "To: a@b\r", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_test_case(rows[i].name);
        check(mail_span_text(rows[i].in), rows[i].want, rows[i].body);
    }
    check(mail_span_of("X: a\0b\r\n\r\n", 10), NULL, 0);
    check(mail_span_of("X: ab\r\n\r\n\0", 10), "X: ab\r\n" D FROM_US NOBODY M "\r\n", 9);
}

/* MF-001 */
static void folds_lines_that_no_host_would_take(void **state)
{
    static char in[6000] = "To: ";
    mail_submission submission = ordinary();
    mail_submitted submitted;
    mail_sink_memory out;
    mail_span rest;

    (void)state;
    for (size_t n = strlen(in); n + 10 < sizeof(in); n = strlen(in)) {
        strcat(in, "ab, cd, ");
    }
    strcat(in, "x\n\n");
    mail_sink_memory_init(&out, NULL, 1 << 20);
    assert_int_equal(
        mail_submission_complete(&submission, mail_span_text(in), &out, NULL, &submitted, NULL),
        MAIL_OK);
    rest = mail_sink_memory_bytes(&out);
    while (rest.length > 0) {
        const char *end = memmem(rest.data, rest.length, "\r\n", 2);

        assert_non_null(end);
        assert_true(end - rest.data <= 998);
        rest = mail_span_from(rest, (size_t)(end - rest.data) + 2);
    }
    mail_sink_memory_deinit(&out);
}

static void collects_recipients_once_each(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        const char *want;
        unsigned unusable;
    } rows[] = {
        {"all fields", "To: a@b\nCc: g: c@d;, a@b\nBcc: X <e@F>\nFrom: z@z\nReply-To: y@y\n\n",
         "a@b c@d e@f ", 0},
        {"with our domain", "To: root\n\n", "root@host.example ", 0},
        {"from the first Resent- set",
         "Resent-To: a@b\nResent-Bcc: c@d\nReceived: x\nResent-To: e@f\n"
         "To: g@h\n\n",
         "a@b c@d ", 0},
        {"what is none is counted", "To: a b c, d@e, <f@g\n\n", "d@e ", 2},
        {"not from the body", "To: a@b\n\nTo: c@d\n", "a@b ", 0},
        {"one that was there", "To: was@there, a@b\n\n", "a@b ", 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_recipient there = {.address = MAIL_SPAN("was@there")};
        mail_submission submission = ordinary();
        mail_submitted submitted;
        mail_envelope envelope;
        mail_sink_memory out;
        char got[200] = "";

        mail_test_case(rows[i].name);
        submission.notify = MAIL_NOTIFY_DELAY;
        mail_envelope_init(&envelope, NULL);
        mail_sink_memory_init(&out, NULL, 1 << 20);
        assert_int_equal(mail_envelope_add(&envelope, &there), MAIL_OK);
        assert_int_equal(mail_submission_complete(&submission, mail_span_text(rows[i].in), &out,
                                                  &envelope, &submitted, NULL),
                         MAIL_OK);
        for (size_t n = 1; n < mail_envelope_count(&envelope); n++) {
            mail_span address = mail_envelope_recipient(&envelope, n).address;

            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s ", (int)address.length,
                     address.data);
            assert_int_equal(mail_envelope_recipient(&envelope, n).notify, MAIL_NOTIFY_DELAY);
        }
        assert_string_equal(got, rows[i].want);
        assert_int_equal(mail_envelope_recipient(&envelope, 0).notify, 0);
        assert_int_equal(submitted.recipients, mail_envelope_count(&envelope) - 1);
        assert_int_equal(submitted.unusable, rows[i].unusable);
        assert_true(submitted.unusable == 0 || submitted.first_unusable.data == rows[i].in);
        assert_false(envelope.smtputf8);
        mail_sink_memory_deinit(&out);
        mail_envelope_deinit(&envelope);
    }
}

/* MF-013, SC-033 */
static void refuses_texts_of_its_own_that_could_add_fields(void **state)
{
    static const struct {
        const char *hostname;
        const char *from;
        const char *name;
        int want;
    } rows[] = {
        {"h.example", "a@b", "A B", MAIL_OK},
        {"h.example", "", "", MAIL_OK},
        {"h.example", "a", "J\303\266rg, Q.", MAIL_OK},
        {"", "a@b", "", MAIL_EINVAL},
        {"h\r\nX: y", "a@b", "", MAIL_EINVAL},
        {"h", "a@b\r\nX: y", "", MAIL_EINVAL},
        {"h", "a@b", "x\r\nX: y", MAIL_EINVAL},
        {"h", "a@b", "x\ny", MAIL_EINVAL},
        {"h", "a@b", "\377", MAIL_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_submission submission = ordinary();
        mail_submitted submitted;
        mail_sink_memory out;

        mail_sink_memory_init(&out, NULL, 1 << 20);
        submission.hostname = mail_span_text(rows[i].hostname);
        submission.from = mail_span_text(rows[i].from);
        submission.from_name = mail_span_text(rows[i].name);
        assert_int_equal(
            mail_submission_complete(&submission, MAIL_SPAN(""), &out, NULL, &submitted, NULL),
            rows[i].want);
        mail_sink_memory_deinit(&out);
    }
}

static void writes_the_senders_name_in_any_script(void **state)
{
    static const char *const rows[][2] = {
        {"Ann Other", "From: Ann Other <me@here.example>\r\n"},
        {"Other, \"Ann\"", "From: \"Other, \\\"Ann\\\"\" <me@here.example>\r\n"},
        {"J\303\266rg", "From: =?UTF-8?Q?J=C3=B6rg?= <me@here.example>\r\n"},
        {"=?x?q?y?=", "From: =?UTF-8?B?PT94P3E/eT89?= <me@here.example>\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_submission submission = ordinary();
        mail_submitted submitted;
        mail_sink_memory out;

        mail_sink_memory_init(&out, NULL, 1 << 20);
        submission.from_name = mail_span_text(rows[i][0]);
        assert_int_equal(mail_submission_complete(&submission, MAIL_SPAN("Date: x\r\n"), &out, NULL,
                                                  &submitted, NULL),
                         MAIL_OK);
        assert_memory_equal(mail_sink_memory_bytes(&out).data + 9, rows[i][1], strlen(rows[i][1]));
        mail_sink_memory_deinit(&out);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_submission submission = ordinary();
        mail_submitted submitted;
        mail_envelope envelope;
        mail_sink_memory out;
        int code;

        submission.from_name = MAIL_SPAN("J\303\266rg");
        mail_envelope_init(&envelope, &walk.mem);
        mail_sink_memory_init(&out, &walk.mem, 1 << 20);
        code = mail_submission_complete(&submission, MAIL_SPAN("To: a@b, c, d@e\n\n"), &out,
                                        &envelope, &submitted, NULL);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_sink_memory_deinit(&out);
        mail_envelope_deinit(&envelope);
    }
}

static void ends_at_the_limit_of_its_output(void **state)
{
    mail_submission submission = ordinary();
    mail_submitted submitted;
    mail_sink_memory out;
    mail_error err;

    (void)state;
    mail_sink_memory_init(&out, NULL, 50);
    assert_int_equal(mail_submission_complete(&submission, MAIL_SPAN("To: a@b\n\n"), &out, NULL,
                                              &submitted, &err),
                     MAIL_ELIMIT);
    mail_sink_memory_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_what_is_missing_and_nothing_else),
        cmocka_unit_test(folds_lines_that_no_host_would_take),
        cmocka_unit_test(collects_recipients_once_each),
        cmocka_unit_test(refuses_texts_of_its_own_that_could_add_fields),
        cmocka_unit_test(writes_the_senders_name_in_any_script),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(ends_at_the_limit_of_its_output),
    };

    return mail_test_run(tests);
}
