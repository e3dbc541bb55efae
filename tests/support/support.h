/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <mail/base.h>

/* Names the row of a table that is being tested; printed when an assertion fails. */
void mail_test_case(const char *name);

/* cmocka_run_group_tests with the current row's name on failure. */
#define mail_test_run(tests) cmocka_run_group_tests(tests, NULL, NULL)

#define assert_span_equal(span, text)                                                              \
    mail_test_assert_span((span), (text), strlen(text), __FILE__, __LINE__)
void mail_test_assert_span(mail_span span, const char *text, size_t length, const char *file,
                           int line);

/* The path of a file below tests/SUITE; lends until the next call. */
const char *mail_test_data(const char *name);

/* How many descriptors this process has open. */
size_t mail_test_descriptors(void);

/* A fresh folder below TMPDIR, removed with all that is in it by mail_test_remove_dir. */
char *mail_test_make_dir(void);
void mail_test_remove_dir(char *path);

/* The set-up and tear-down of tests that run in such a folder. */
int mail_test_enter_dir(void **state);
int mail_test_leave_dir(void **state);

/*
 * A port of 127.0.0.1 that refuses every connection, and is nobody else's until the descriptor that
 * is returned is closed: bound, and nobody listens.
 */
int mail_test_dead_port(uint16_t *port);

/*
 * An allocator that fails on purpose and counts what is out:
 *
 *     MAIL_TEST_WALK (walk) {
 *         code = thing_create(&thing, &walk.mem);
 *         …                      (MAIL_OK, or MAIL_ENOMEM and nothing left behind)
 *     }
 *
 * runs its body with the 1st, 2nd, 3rd … allocation failing, until a run in
 * which none did, and asserts after each that everything was given back.
 */
typedef struct mail_test_walk {
    mail_mem mem;
    size_t fail_at; /* which allocation of this run fails, from 1 */
    size_t count;   /* allocations of this run */
    size_t bytes;   /* out now */
    size_t blocks;  /* out now */
    size_t most;    /* bytes out at any time */
    bool failed;    /* one did in this run */
    bool started;
} mail_test_walk;

#define MAIL_TEST_WALK(walk)                                                                       \
    for (mail_test_walk walk = {0}; mail_test_walk_next(&walk, __FILE__, __LINE__);)

bool mail_test_walk_next(mail_test_walk *walk, const char *file, int line);

/* The same allocator that never fails; mail_test_mem_check asserts that all came back. */
void mail_test_mem_init(mail_test_walk *walk);
void mail_test_mem_check(const mail_test_walk *walk);

#endif
