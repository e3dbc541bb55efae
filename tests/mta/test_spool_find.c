/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <stdlib.h>
#include <unistd.h>

#include <mail/drop.h>

static void put(const char *name, const char *value)
{
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void finds_the_spool_by_one_rule(void **state)
{
    static const struct {
        const char *name;
        const char *asked;
        const char *spool;
        const char *state;
        const char *home;
        const char *want; /* NULL: none */
    } cases[] = {
        {"as asked", "a", "/b", "/c", "/d", "a"},
        {"as the environment says", NULL, "/b", "/c", "/d", "/b"},
        {"nothing asked", "", "/b", "/c", "/d", "/b"},
        {"where state is kept", NULL, NULL, "/c", "/d", "/c/libmail/spool"},
        {"at home", NULL, NULL, NULL, "/d", "/d/.local/state/libmail/spool"},
        {"not where a path is relative", NULL, "", "c", "/d", "/d/.local/state/libmail/spool"},
        {"nowhere", NULL, NULL, NULL, NULL, NULL},
        {"nowhere by a relative path", NULL, NULL, "c", "d", NULL},
    };

    (void)state;
    if (access(MAIL_SYSTEM_SPOOL "/drop", W_OK) == 0) {
        skip(); /* a system that has a spool for all */
    }
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char path[MAIL_SPOOL_PATH_SIZE] = "";
        mail_error err = {0};

        mail_test_case(cases[i].name);
        put("LIBMAIL_SPOOL", cases[i].spool);
        put("XDG_STATE_HOME", cases[i].state);
        put("HOME", cases[i].home);
        if (cases[i].want != NULL) {
            assert_int_equal(mail_spool_find(cases[i].asked, path, &err), MAIL_OK);
            assert_string_equal(path, cases[i].want);
        } else {
            assert_int_equal(mail_spool_find(cases[i].asked, path, &err), MAIL_ENOENT);
            assert_non_null(strstr(err.text, "no spool"));
        }
    }
}

static void refuses_a_path_that_is_too_long(void **state)
{
    char path[MAIL_SPOOL_PATH_SIZE];
    char asked[MAIL_SPOOL_PATH_SIZE + 1];

    (void)state;
    memset(asked, 'a', sizeof(asked) - 1);
    asked[sizeof(asked) - 1] = '\0';
    assert_int_equal(mail_spool_find(asked, path, NULL), MAIL_ELIMIT);
    asked[sizeof(asked) - 2] = '\0';
    assert_int_equal(mail_spool_find(asked, path, NULL), MAIL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_spool_by_one_rule),
        cmocka_unit_test(refuses_a_path_that_is_too_long),
    };

    return mail_test_run(tests);
}
