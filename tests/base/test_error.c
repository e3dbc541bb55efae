/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>

static void has_a_text_for_every_code(void **state)
{
    (void)state;
    for (int code = MAIL_ESYS; code <= MAIL_OK; code++) {
        assert_non_null(mail_strerror(code));
        assert_string_not_equal(mail_strerror(code), "unknown error");
    }
    assert_string_equal(mail_strerror(MAIL_ESYS - 1), "unknown error");
    assert_string_equal(mail_strerror(1), "unknown error");
}

static void keeps_what_matters_of_errno(void **state)
{
    static const struct {
        const char *name;
        int number;
        int want;
    } cases[] = {
        {"full disk", ENOSPC, MAIL_ENOSPC}, {"quota", EDQUOT, MAIL_ENOSPC},
        {"bad disk", EIO, MAIL_EIO},        {"no access", EACCES, MAIL_EPERM},
        {"address in use", EADDRINUSE, MAIL_EBUSY}, {"reset", ECONNRESET, MAIL_ECONN},
        {"anything else", ENOSYS, MAIL_ESYS},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        assert_int_equal(mail_error_from_errno(cases[i].number), cases[i].want);
    }
}

static void writes_one_clean_line_and_takes_null(void **state)
{
    mail_error err;

    (void)state;
    assert_int_equal(mail_error_set(NULL, MAIL_EIO, "x"), MAIL_EIO);
    assert_int_equal(mail_error_set(&err, MAIL_EINVAL, "bad \"%s\"", "a\r\nb"), MAIL_EINVAL);
    assert_string_equal(err.text, "bad \"a??b\"");
    mail_error_set(&err, MAIL_EIO, "%400d", 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_text_for_every_code),
        cmocka_unit_test(keeps_what_matters_of_errno),
        cmocka_unit_test(writes_one_clean_line_and_takes_null),
    };

    return mail_test_run(tests);
}
