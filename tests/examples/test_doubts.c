/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <sys/stat.h>
#include <time.h>

#include "common/doubts.h"
#include "support/certs.h"

/* A log that keeps its last lines. */
typedef struct notes {
    server_log log;
    char text[2000];
    size_t lines;
} notes;

static void write_note(mail_log_level level, const char *what, const mail_log_field *fields,
                       size_t count, void *arg)
{
    notes *ns = arg;
    size_t used = strlen(ns->text);

    assert_int_equal(level, MAIL_LOG_WARN);
    ns->lines++;
    used += mail_log_print(MAIL_LOG_TEXT, 0, level, what, fields, count, ns->text + used, 1000);
    ns->text[used] = '\0';
}

static void notes_init(notes *ns)
{
    memset(ns, 0, sizeof(*ns));
    ns->log.log = (mail_log){write_note, ns, MAIL_LOG_DEBUG};
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(name, mode), 0);
}

/* HOSTILE section 11: key file permissions. */
static void warns_of_secrets_that_everybody_may_see(void **state)
{
    static const struct {
        mode_t mode;
        const char *why; /* NULL: nothing is wrong */
    } cases[] = {
        {0600, NULL},
        {0640, NULL}, /* a group may be there for it */
        {0660, NULL},
        {0644, "everybody may read it"},
        {0604, "everybody may read it"},
        {0602, "everybody may write to it"},
        {0666, "everybody may write to it"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char name[16];
        char want[100];
        notes ns;

        snprintf(name, sizeof(name), "%o", (unsigned)cases[i].mode);
        mail_test_case(name);
        write_file("secret", "x", cases[i].mode);
        notes_init(&ns);
        doubt_secret(&ns.log, "secret");
        assert_int_equal(ns.lines, cases[i].why != NULL);
        snprintf(want, sizeof(want), "file not private file=secret reason=\"%s\"\n",
                 cases[i].why != NULL ? cases[i].why : "");
        assert_true(cases[i].why == NULL || strstr(ns.text, want) != NULL);
    }
}

/* What is none is told by whoever reads it; a pipe of the shell's is no file that stays. */
static void says_nothing_of_what_is_no_file(void **state)
{
    const char *paths[] = {"none", ".", "/dev/null"};
    option_texts texts = {paths, MAIL_COUNT(paths)};
    notes ns;

    (void)state;
    notes_init(&ns);
    doubt_secret(&ns.log, NULL);
    doubt_secrets(&ns.log, &texts);
    assert_int_equal(ns.lines, 0);
}

#define DAY 86400

static void warns_of_certificates_out_of_their_time(void **state)
{
    static const struct {
        const char *name;
        int64_t from;
        int64_t until;
        const char *why; /* NULL: nothing is wrong */
    } cases[] = {
        {"good", -30 * DAY, 60 * DAY, NULL},
        {"expires in a fortnight", -300 * DAY, 15 * DAY, NULL},
        {"expires soon", -300 * DAY, 13 * DAY, "it expires soon: "},
        {"expires in a moment", -300 * DAY, 60, "it expires soon: "},
        {"short-lived and new", -DAY, 5 * DAY, NULL},
        {"short-lived and old", -5 * DAY, DAY, "it expires soon: "},
        {"expired", -300 * DAY, -60, "it has expired: "},
        {"not valid yet", DAY, 300 * DAY, "it is not valid before "},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_cert_options how = {
            .dns_name = "mx.example", .from = cases[i].from, .until = cases[i].until};
        const char *path = "mx.pem";
        tls_files files = {.certificates = {&path, 1}};
        mail_tls_context *context;
        mail_test_cert cert;
        notes ns;

        mail_test_case(cases[i].name);
        mail_test_cert_make(&cert, &how);
        context = mail_test_tls_context(&cert, NULL);
        notes_init(&ns);
        doubt_certificates(&ns.log, &files, context, time(NULL));
        assert_int_equal(ns.lines, cases[i].why != NULL);
        if (cases[i].why != NULL) {
            assert_non_null(strstr(ns.text, "certificate in doubt file=mx.pem reason=\""));
            assert_non_null(strstr(ns.text, cases[i].why));
        }
        mail_tls_context_unref(context);
        mail_test_cert_free(&cert);
    }
}

static void has_no_doubts_without_certificates(void **state)
{
    tls_files files = {.trust = NULL};
    notes ns;

    (void)state;
    notes_init(&ns);
    doubt_certificates(&ns.log, &files, NULL, 0);
    assert_int_equal(ns.lines, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warns_of_secrets_that_everybody_may_see),
        cmocka_unit_test(says_nothing_of_what_is_no_file),
        cmocka_unit_test(warns_of_certificates_out_of_their_time),
        cmocka_unit_test(has_no_doubts_without_certificates),
    };

    return cmocka_run_group_tests(tests, mail_test_enter_dir, mail_test_leave_dir);
}
