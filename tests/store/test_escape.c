/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/store.h>

/* HOSTILE 8: names of mailboxes never become paths unescaped. */
static void keeps_every_name_inside_its_folder(void **state)
{
    static const struct {
        const char *name;
        mail_span in;
        const char *want;
    } cases[] = {
        {"plain", {"alice", 5}, "alice"},
        {"what addresses may hold", {"a.b+c_d=e!#$&'*?^`{|}", 21}, "a.b+c_d=e!#$&'*?^`{|}"},
        {"this folder", {".", 1}, "%2E"},
        {"the folder above", {"..", 2}, "%2E."},
        {"a way up", {"../../etc/passwd", 16}, "%2E.%2F..%2Fetc%2Fpasswd"},
        {"an absolute path", {"/etc", 4}, "%2Fetc"},
        {"a hidden folder", {".Trash", 6}, "%2ETrash"},
        {"a home", {"~root", 5}, "%7Eroot"},
        {"an option", {"-rf", 3}, "%2Drf"},
        {"a home further back", {"a~-.", 4}, "a~-."},
        {"a NUL", {"bob\0x", 5}, "bob%00x"},
        {"controls", {"\n\x1b\x7f", 3}, "%0A%1B%7F"},
        {"a blank", {"a b", 3}, "a%20b"},
        {"what looks escaped", {"%2E", 3}, "%252E"},
        {"UTF-8", {"\xc3\xa4", 2}, "%C3%A4"},
        {"a stray octet", {"\xff", 1}, "%FF"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char out[MAIL_MAILBOX_NAME_SIZE];

        mail_test_case(cases[i].name);
        assert_int_equal(mail_mailbox_escape(cases[i].in, out), strlen(cases[i].want));
        assert_string_equal(out, cases[i].want);
    }
}

static void refuses_what_is_no_name(void **state)
{
    char out[MAIL_MAILBOX_NAME_SIZE];
    char name[256];

    (void)state;
    memset(name, 'a', sizeof(name));
    assert_int_equal(mail_mailbox_escape(MAIL_SPAN(""), out), MAIL_EINVAL);
    assert_int_equal(mail_mailbox_escape(mail_span_of(name, 255), out), 255);
    assert_int_equal(mail_mailbox_escape(mail_span_of(name, 256), out), MAIL_ELIMIT);
    memset(name, '/', sizeof(name));
    assert_int_equal(mail_mailbox_escape(mail_span_of(name, 85), out), 255);
    assert_int_equal(mail_mailbox_escape(mail_span_of(name, 86), out), MAIL_ELIMIT);
}

static void finds_the_path_of_an_address(void **state)
{
    static const struct {
        const char *address;
        const char *want;
    } cases[] = {
        {"alice@example.org", "mail/example.org/alice"},
        {"Alice@EXAMPLE.org", "mail/example.org/Alice"},
        {"postmaster", "mail/postmaster"},
        {"\"a b\"@example.org", "mail/example.org/a%20b"},
        {"\"../x\"@example.org", "mail/example.org/%2E.%2Fx"},
        {"\"..\"@example.org", "mail/example.org/%2E."},
        {"a@b\xc3\xbc"
         "cher.example",
         "mail/xn--bcher-kva.example/a"},
        {"\xc3\xa4@example.org", "mail/example.org/%C3%A4"},
        {"a@[127.0.0.1]", "mail/[127.0.0.1]/a"},
        {"a@[IPv6:::1]", "mail/[IPv6:::1]/a"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char out[MAIL_MAILBOX_PATH_SIZE];
        mail_path path;

        mail_test_case(cases[i].address);
        assert_int_equal(mail_path_from_text(mail_span_text(cases[i].address),
                                             MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path),
                         MAIL_OK);
        assert_int_equal(mail_mailbox_path("mail", &path, out), MAIL_OK);
        assert_string_equal(out, cases[i].want);
    }
}

static void refuses_paths_that_do_not_fit(void **state)
{
    static char dir[MAIL_MAILBOX_PATH_SIZE];
    char out[MAIL_MAILBOX_PATH_SIZE];
    mail_path path = {.length = 0};

    (void)state;
    assert_int_equal(mail_mailbox_path("mail", &path, out), MAIL_EINVAL);
    assert_int_equal(mail_path_from_text(MAIL_SPAN("a@b"), 0, &path), MAIL_OK);
    memset(dir, 'd', sizeof(dir) - 5); /* and room for /b/a and the NUL */
    assert_int_equal(mail_mailbox_path(dir, &path, out), MAIL_OK);
    assert_int_equal(strlen(out), sizeof(out) - 1);
    strcat(dir, "d");
    assert_int_equal(mail_mailbox_path(dir, &path, out), MAIL_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_name_inside_its_folder),
        cmocka_unit_test(refuses_what_is_no_name),
        cmocka_unit_test(finds_the_path_of_an_address),
        cmocka_unit_test(refuses_paths_that_do_not_fit),
    };

    return mail_test_run(tests);
}
