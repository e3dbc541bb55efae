/* SPDX-License-Identifier: MIT */
#include "support/support.h"

static void *walk_resize(void *arg, void *old, size_t old_size, size_t size)
{
    mail_test_walk *walk = arg;
    void *ptr;

    if (size == 0) {
        if (old != NULL) {
            walk->bytes -= old_size;
            walk->blocks--;
            free(old);
        }
        return NULL;
    }
    /* Shrinking is kept out of the walk: no caller has a way to fail it. */
    if (size > old_size || old == NULL) {
        walk->count++;
        if (walk->count == walk->fail_at) {
            walk->failed = true;
            return NULL;
        }
    }
    /* A new block each time, so that a stale pointer is seen by the sanitizer. */
    ptr = malloc(size);
    assert_non_null(ptr);
    if (old != NULL) {
        memcpy(ptr, old, old_size < size ? old_size : size);
        memset(old, 0xdd, old_size);
        free(old);
        walk->bytes -= old_size;
    } else {
        walk->blocks++;
    }
    walk->bytes += size;
    walk->most = walk->bytes > walk->most ? walk->bytes : walk->most;
    return ptr;
}

void mail_test_mem_init(mail_test_walk *walk)
{
    *walk = (mail_test_walk){.started = true};
    walk->mem = (mail_mem){walk_resize, walk};
}

void mail_test_mem_check(const mail_test_walk *walk)
{
    assert_int_equal(walk->blocks, 0);
    assert_int_equal(walk->bytes, 0);
}

bool mail_test_walk_next(mail_test_walk *walk, const char *file, int line)
{
    if (!walk->started) {
        mail_test_mem_init(walk);
        walk->fail_at = 1;
        return true;
    }
    if (walk->blocks != 0 || walk->bytes != 0) {
        print_error("%s:%d: failing allocation %zu left %zu blocks, %zu bytes\n", file, line,
                    walk->fail_at, walk->blocks, walk->bytes);
        _fail(file, line);
    }
    if (!walk->failed) {
        return false;
    }
    walk->fail_at++;
    walk->count = 0;
    walk->failed = false;
    return true;
}
