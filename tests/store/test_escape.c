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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_name_inside_its_folder),
        cmocka_unit_test(refuses_what_is_no_name),
    };

    return mail_test_run(tests);
}
