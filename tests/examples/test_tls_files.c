/* SPDX-License-Identifier: MIT */
#include "support/support.h"


#include "common/tls_files.h"
#include "support/certs.h"

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_pair(const char *certificate, const char *key)
{
    static const mail_test_cert_options named = {.dns_name = "mx.example"};
    mail_test_cert cert;

    mail_test_cert_make(&cert, &named);
    write_file(certificate, cert.certificate);
    write_file(key, cert.key);
    mail_test_cert_free(&cert);
}

static int set_up(void **state)
{
    mail_test_enter_dir(state);
    write_pair("one.pem", "one.key");
    write_pair("two.pem", "two.key");
    write_file("text", "This is no PEM.\n");
    return 0;
}

/* The words are names of files with blanks between. */
static void add(option_texts *texts, char *words)
{
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_int_equal(option_set_texts(texts, word, NULL), MAIL_OK);
    }
}

static void reads_pairs_and_names_the_file_with_a_mistake(void **state)
{
    static const struct {
        const char *name;
        const char *certificates;
        const char *keys;
        int want;
        const char *reason; /* NULL: none */
    } cases[] = {
        {"none", "", "", MAIL_OK, NULL},
        {"one", "one.pem", "one.key", MAIL_OK, NULL},
        {"two", "one.pem two.pem", "one.key two.key", MAIL_OK, NULL},
        {"no key", "one.pem", "", MAIL_EINVAL, "--tls-cert and --tls-key: 1 and 0"},
        {"no certificate", "", "one.key", MAIL_EINVAL, "--tls-cert and --tls-key: 0 and 1"},
        {"no such certificate", "none.pem", "one.key", MAIL_ENOENT, "none.pem: "},
        {"no such key", "one.pem", "none.key", MAIL_ENOENT, "none.key: "},
        {"another's key", "one.pem two.pem", "one.key one.key", MAIL_EINVAL,
         "two.pem with one.key: the private key does not fit"},
        {"no PEM", "text", "one.key", MAIL_EINVAL, "text with one.key: bad certificate"},
        {"a key that is none", "one.pem", "text", MAIL_EINVAL, "one.pem with text: bad private"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        tls_files files = {.trust = NULL};
        mail_tls_context *context;
        mail_error err = {.text = ""};
        char certificates[64];
        char keys[64];

        mail_test_case(cases[i].name);
        snprintf(certificates, sizeof(certificates), "%s", cases[i].certificates);
        snprintf(keys, sizeof(keys), "%s", cases[i].keys);
        add(&files.certificates, certificates);
        add(&files.keys, keys);
        assert_int_equal(tls_files_load(&files, &context, &err), cases[i].want);
        if (cases[i].reason != NULL) {
            assert_int_equal(strncmp(err.text, cases[i].reason, strlen(cases[i].reason)), 0);
        }
        assert_int_equal(context != NULL, cases[i].want == MAIL_OK && *cases[i].keys != '\0');
        mail_tls_context_unref(context);
        tls_files_deinit(&files);
    }
}

/* Whom to believe: clients that show certificates, and servers that we come to. */
static void reads_trust_and_says_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *name;
        const char *certificates;
        const char *keys;
        const char *trust;
        int of_server;
        const char *why_server;
        int of_client;
        const char *why_client;
    } cases[] = {
        {"nobody", "one.pem", "one.key", NULL, MAIL_OK, "", MAIL_OK, ""},
        {"somebody", "one.pem", "one.key", "two.pem", MAIL_OK, "", MAIL_OK, ""},
        {"without a certificate", "", "", "two.pem", MAIL_EINVAL, "--tls-client-ca needs", MAIL_OK,
         ""},
        {"no such file", "one.pem", "one.key", "none", MAIL_ENOENT, "none: ", MAIL_ENOENT,
         "none: "},
        {"no PEM", "one.pem", "one.key", "text", MAIL_EINVAL, "text: bad trust list", MAIL_EINVAL,
         "text: bad trust list"},
        {"empty", "one.pem", "one.key", "empty", MAIL_EINVAL, "empty: there is no certificate",
         MAIL_EINVAL, "empty: there is no certificate"},
        {"two", "one.pem two.pem", "one.key two.key", NULL, MAIL_OK, "", MAIL_EINVAL,
         "--tls-out-cert and --tls-out-key: one of each"},
        {"no key", "one.pem", "", NULL, MAIL_EINVAL, "--tls-cert and --tls-key", MAIL_EINVAL,
         "--tls-out-cert and --tls-out-key: one of each"},
    };

    (void)state;
    write_file("empty", "");
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        tls_files files = {.trust = cases[i].trust};
        mail_tls_context *context;
        mail_error err = {.text = ""};
        char words[2][64];

        mail_test_case(cases[i].name);
        snprintf(words[0], sizeof(words[0]), "%s", cases[i].certificates);
        snprintf(words[1], sizeof(words[1]), "%s", cases[i].keys);
        add(&files.certificates, words[0]);
        add(&files.keys, words[1]);
        assert_int_equal(tls_files_load(&files, &context, &err), cases[i].of_server);
        assert_int_equal(strncmp(err.text, cases[i].why_server, strlen(cases[i].why_server)), 0);
        mail_tls_context_unref(context);
        assert_int_equal(tls_files_load_client(&files, &context, &err), cases[i].of_client);
        assert_int_equal(strncmp(err.text, cases[i].why_client, strlen(cases[i].why_client)), 0);
        assert_int_equal(context != NULL, cases[i].of_client == MAIL_OK);
        mail_tls_context_unref(context);
        tls_files_deinit(&files);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pairs_and_names_the_file_with_a_mistake),
        cmocka_unit_test(reads_trust_and_says_what_is_wrong_with_it),
    };

    return cmocka_run_group_tests(tests, set_up, mail_test_leave_dir);
}
