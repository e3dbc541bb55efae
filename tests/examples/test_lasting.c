/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/lasting.h"

static const confine_user nobody_else = {.name = NULL};

/* A log that counts. */
static void count_line(mail_log_level level, const char *what, const mail_log_field *fields,
                       size_t count, void *arg)
{
    assert_int_equal(level, MAIL_LOG_WARN);
    assert_string_equal(what, "salts change with a restart");
    assert_int_equal(count, 2);
    assert_true(fields[1].value.length > 0);
    ++*(unsigned *)arg;
}

static unsigned read_one(const char *users, uint8_t out[LASTING_SIZE])
{
    unsigned warnings = 0;
    server_log log = {.log = {count_line, &warnings, MAIL_LOG_DEBUG}};

    memset(out, 1, LASTING_SIZE);
    lasting_secret(&log, users, &nobody_else, out);
    return warnings;
}

static const uint8_t zeros[LASTING_SIZE];

static void makes_one_that_stays(void **state)
{
    uint8_t secrets[3][LASTING_SIZE];
    struct stat found;
    glob_t left;

    (void)state;
    assert_int_equal(read_one("users", secrets[0]), 0);
    assert_int_equal(read_one("users", secrets[1]), 0);
    assert_int_equal(read_one("others", secrets[2]), 0);
    assert_memory_not_equal(secrets[0], zeros, LASTING_SIZE);
    assert_memory_equal(secrets[0], secrets[1], LASTING_SIZE);
    assert_memory_not_equal(secrets[0], secrets[2], LASTING_SIZE);
    assert_int_equal(stat("users.salt", &found), 0);
    assert_int_equal(found.st_size, LASTING_SIZE);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(glob("*.salt.*", 0, NULL, &left), GLOB_NOMATCH);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Then salts last as long as the server. */
static void goes_on_without_one(void **state)
{
    static char too_long[5000];
    const char *cases[] = {"short", "empty", "linked", "none/users", too_long};

    (void)state;
    memset(too_long, 'x', sizeof(too_long) - 1);
    write_file("short.salt", "0123456789012345678901234567890");
    write_file("empty.salt", "");
    write_file("elsewhere", "01234567890123456789012345678901");
    assert_int_equal(symlink("elsewhere", "linked.salt"), 0);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        uint8_t secret[LASTING_SIZE];

        mail_test_case(i < 4 ? cases[i] : "too long");
        assert_int_equal(read_one(cases[i], secret), 1);
        assert_memory_equal(secret, zeros, LASTING_SIZE);
    }
}

static void takes_one_that_somebody_has_made(void **state)
{
    uint8_t secret[LASTING_SIZE];

    (void)state;
    write_file("made.salt", "01234567890123456789012345678901 and more");
    assert_int_equal(read_one("made", secret), 0);
    assert_memory_equal(secret, "01234567890123456789012345678901", LASTING_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_one_that_stays),
        cmocka_unit_test(goes_on_without_one),
        cmocka_unit_test(takes_one_that_somebody_has_made),
    };

    return cmocka_run_group_tests(tests, mail_test_enter_dir, mail_test_leave_dir);
}
