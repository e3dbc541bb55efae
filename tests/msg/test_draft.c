/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/compose.h>
#include <mail/header.h>

#include "base/random.h"

static void fill_with_a(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 0xaa, size);
}

static const mail_random not_random = {fill_with_a, NULL};

static const mail_submission submission = {
    .hostname = {"host.example", 12},
    .when = 0x6a010e28,
    .random = &not_random,
};

static int compose(const mail_draft *draft, mail_sink_memory *out, mail_envelope *envelope,
                   mail_error *err)
{
    mail_sink_memory_init(out, NULL, 1 << 20);
    mail_envelope_init(envelope, NULL);
    return mail_draft_compose(draft, &submission, out, envelope, err);
}

static void writes_a_plain_message_and_its_envelope(void **state)
{
    static const mail_draft_field fields[] = {{"X-Mailer", "test"}};
    mail_draft draft = {
        .from = "Ann <a@b.example>",
        .to = "c@D.example, \"E, F\" <e@f>",
        .cc = "e@f",
        .bcc = "g@h",
        .reply_to = "r@s",
        .subject = "hello",
        .text = "Hi\n\nbye",
        .fields = fields,
        .field_count = 1,
    };
    mail_envelope envelope;
    mail_sink_memory out;

    (void)state;
    assert_int_equal(compose(&draft, &out, &envelope, NULL), MAIL_OK);
    assert_span_equal(mail_sink_memory_bytes(&out),
                      "From: Ann <a@b.example>\r\n"
                      "To: c@d.example,\r\n \"E, F\" <e@f>\r\n"
                      "Cc: e@f\r\n"
                      "Reply-To: r@s\r\n"
                      "Subject: hello\r\n"
                      "Date: Sun, 10 May 2026 23:00:56 +0000\r\n"
                      "Message-ID: <6a010e28.aaaaaaaaaaaaaaaa@host.example>\r\n"
                      "MIME-Version: 1.0\r\n"
                      "Content-Type: text/plain; charset=utf-8\r\n"
                      "X-Mailer: test\r\n"
                      "Content-Transfer-Encoding: 7bit\r\n"
                      "\r\n"
                      "Hi\r\n\r\nbye\r\n");
    assert_span_equal(mail_envelope_sender(&envelope), "a@b.example");
    assert_int_equal(mail_envelope_count(&envelope), 3);
    assert_span_equal(mail_envelope_recipient(&envelope, 2).address, "g@h");
    assert_false(envelope.smtputf8);
    mail_envelope_deinit(&envelope);
    mail_sink_memory_deinit(&out);
}

/* MF-013, HOSTILE section 4: header injection. */
static void refuses_what_is_not_meant_literally(void **state)
{
    static const mail_draft_field bad_fields[][1] = {
        {{"X: y\r\nZ", "v"}}, {{"X", "a\r\nBcc: x@y"}}, {{"X", "a\nb"}},
        {{"Bcc", "x@y"}},     {{"subject", "x"}},       {{"", "x"}},
        {{NULL, "x"}},        {{"X Y", "z"}},           {{"X", "\377"}},
    };
    static const struct {
        const char *name;
        mail_draft draft;
        const char *error; /* begins with */
    } rows[] = {
        {"no sender", {.to = "a@b"}, "From: "},
        {"two senders", {.from = "a@b, c@d", .to = "a@b"}, "From: "},
        {"sender without a domain", {.from = "root", .to = "a@b"}, "From: "},
        {"no recipient", {.from = "a@b"}, "To: "},
        {"empty recipients", {.from = "a@b", .to = ""}, "To: "},
        {"a bad recipient", {.from = "a@b", .to = "c@d, x y"}, "To: "},
        {"CRLF in To", {.from = "a@b", .to = "c@d\r\nBcc: e@f"}, "To: "},
        {"LF in From", {.from = "a@b\nX: y", .to = "c@d"}, "From: "},
        {"CR in Bcc", {.from = "a@b", .bcc = "c@d\r"}, "Bcc: "},
        {"CRLF in Subject", {.from = "a@b", .to = "c@d", .subject = "x\r\nX: y"}, "Subject: "},
        {"bad UTF-8 in Subject", {.from = "a@b", .to = "c@d", .subject = "\377"}, "Subject: "},
        {"tab in Subject", {.from = "a@b", .to = "c@d", .subject = "a\tb"}, "Subject: "},
        {"bad UTF-8 in the text", {.from = "a@b", .to = "c@d", .text = "\377"}, "text: "},
        {"bare CR in the text", {.from = "a@b", .to = "c@d", .text = "a\rb"}, "text: "},
    };
    mail_envelope envelope;
    mail_sink_memory out;
    mail_error err;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_test_case(rows[i].name);
        assert_int_equal(compose(&rows[i].draft, &out, &envelope, &err), MAIL_EINVAL);
        assert_memory_equal(err.text, rows[i].error, strlen(rows[i].error));
        assert_int_equal(mail_envelope_count(&envelope), 0);
        mail_envelope_deinit(&envelope);
        mail_sink_memory_deinit(&out);
    }
    for (size_t i = 0; i < MAIL_COUNT(bad_fields); i++) {
        mail_draft draft = {.from = "a@b", .to = "c@d", .fields = bad_fields[i], .field_count = 1};

        assert_int_equal(compose(&draft, &out, &envelope, &err), MAIL_EINVAL);
        mail_envelope_deinit(&envelope);
        mail_sink_memory_deinit(&out);
    }
}

/* Each text that ends up in the header, with each way to begin a field of one's own. */
static void lets_no_text_add_a_field(void **state)
{
    static const char *const tails[] = {
        "\r\nX: y", "\nX: y",    "\rX: y",       "\r\n\r\nbody",     "\r\n",     "\n",
        "\r",       "\r\n X: y", "\xc2\x85X: y", "\x0bX: y",         "\x0cX: y", "\x1b[2J",
        "\x7f",     "\x01",      "\xc0\x8aX: y", "\xe0\x80\x8aX: y",
    };
    static const char *const fields[] = {"From",     "To",      "Cc",         "Bcc",
                                         "Reply-To", "Subject", "X-Own-Name", "X-Own-Value"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(fields) * MAIL_COUNT(tails); i++) {
        const char *field = fields[i / MAIL_COUNT(tails)];
        char address[64];
        char name[64];
        mail_draft_field own = {.name = "X-Own", .value = "v"};
        mail_draft draft = {
            .from = "a@b.example", .to = "c@d.example", .fields = &own, .field_count = 1};
        const char **texts[] = {&draft.from,     &draft.to,      &draft.cc, &draft.bcc,
                                &draft.reply_to, &draft.subject, &own.name, &own.value};
        mail_envelope envelope;
        mail_sink_memory out;
        mail_error err;

        snprintf(name, sizeof(name), "%s %zu", field, i % MAIL_COUNT(tails));
        mail_test_case(name);
        snprintf(address, sizeof(address), "%s%s",
                 i / MAIL_COUNT(tails) < 5 ? "e@f.example" : "text", tails[i % MAIL_COUNT(tails)]);
        *texts[i / MAIL_COUNT(tails)] = address;
        assert_int_equal(compose(&draft, &out, &envelope, &err), MAIL_EINVAL);
        assert_int_equal(mail_envelope_count(&envelope), 0);
        mail_envelope_deinit(&envelope);
        mail_sink_memory_deinit(&out);
    }
}

/* The value of a field as written, or the body for NULL. */
static void check_piece(const mail_draft *draft, const char *name, const char *want)
{
    mail_envelope envelope;
    mail_sink_memory out;
    mail_field field;
    mail_span all;

    assert_int_equal(compose(draft, &out, &envelope, NULL), MAIL_OK);
    all = mail_sink_memory_bytes(&out);
    if (name != NULL) {
        assert_int_equal(mail_header_find(all, mail_span_text(name), &field), MAIL_OK);
        assert_span_equal(field.value, want);
    } else {
        const char *body = memmem(all.data, all.length, "\r\n\r\n", 4);

        assert_non_null(body);
        assert_span_equal(mail_span_from(all, (size_t)(body - all.data) + 4), want);
    }
    mail_envelope_deinit(&envelope);
    mail_sink_memory_deinit(&out);
}

/* MF-001, MF-005, MF-008, MF-009 */
static void encodes_what_is_not_ascii_and_folds_what_is_long(void **state)
{
#define W10 "word word word word word word word word word word"
    static const struct {
        const char *name;
        mail_draft draft;
        const char *field;
        const char *want;
    } rows[] = {
        {"subject", {.subject = "Gr\303\274\303\237e"}, "Subject", " =?UTF-8?Q?Gr=C3=BC=C3=9Fe?="},
        {"a subject that looks encoded", {.subject = "=?a"}, "Subject", " =?UTF-8?B?PT9h?="},
        {"long subject",
         {.subject = W10 " " W10},
         "Subject",
         " " W10 " word word word word\r\n word word word word word word"},
        {"empty subject", {.subject = ""}, "Subject", " "},
        {"name", {.to = "J\303\266rg <c@d>"}, "To", " =?UTF-8?Q?J=C3=B6rg?= <c@d>"},
        {"quoted name",
         {.to = "\"J\303\266 \\\"x\\\"\" <c@d>"},
         "To",
         " =?UTF-8?Q?J=C3=B6_=22x=22?= <c@d>"},
        {"text",
         {.text = "a\303\274 good deal of plain words\n"},
         NULL,
         "a=C3=BC good deal of plain words\r\n"},
        {"text in another script",
         {.text = "\346\227\245\346\234\254\n"},
         NULL,
         "5pel5pysDQo=\r\n"},
        {"control characters",
         {.text = "the bell\a and some more words\n"},
         NULL,
         "the bell=07 and some more words\r\n"},
        {"no text", {.text = NULL}, NULL, ""},
        {"bcc only", {.bcc = "c@d", .to = NULL}, "To", " undisclosed-recipients:;"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_draft draft = rows[i].draft;

        mail_test_case(rows[i].name);
        draft.from = "a@b";
        draft.to = draft.to == NULL && draft.bcc == NULL ? "c@d" : draft.to;
        check_piece(&draft, rows[i].field, rows[i].want);
    }
}

static void encodes_lines_that_are_too_long(void **state)
{
    static char text[1100];
    mail_draft draft = {.from = "a@b", .to = "c@d", .text = text};

    (void)state;
    memset(text, 'x', 998);
    check_piece(&draft, "Content-Transfer-Encoding", " 7bit");
    memset(text, 'x', 999);
    check_piece(&draft, "Content-Transfer-Encoding", " quoted-printable");
    draft.text = NULL;
    draft.subject = text;
    check_piece(&draft, "Content-Transfer-Encoding", " 7bit");
}

/* SC-029 */
static void says_when_an_address_needs_smtputf8(void **state)
{
    mail_draft draft = {.from = "a@b", .to = "\303\274@c.example"};
    mail_envelope envelope;
    mail_sink_memory out;

    (void)state;
    assert_int_equal(compose(&draft, &out, &envelope, NULL), MAIL_OK);
    assert_true(envelope.smtputf8);
    mail_envelope_deinit(&envelope);
    mail_sink_memory_deinit(&out);
}

static void survives_every_failed_allocation(void **state)
{
    mail_draft draft = {.from = "\"A\" <a@b>",
                        .to = "J\303\266rg <c@d>",
                        .subject = "\303\274",
                        .text = "\303\274\n"};

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_envelope envelope;
        mail_sink_memory out;
        int code;

        mail_envelope_init(&envelope, &walk.mem);
        mail_sink_memory_init(&out, &walk.mem, 1 << 20);
        code = mail_draft_compose(&draft, &submission, &out, &envelope, NULL);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_sink_memory_deinit(&out);
        mail_envelope_deinit(&envelope);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_plain_message_and_its_envelope),
        cmocka_unit_test(refuses_what_is_not_meant_literally),
        cmocka_unit_test(lets_no_text_add_a_field),
        cmocka_unit_test(encodes_what_is_not_ascii_and_folds_what_is_long),
        cmocka_unit_test(encodes_lines_that_are_too_long),
        cmocka_unit_test(says_when_an_address_needs_smtputf8),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
