/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_fill(const mail_random *random, void *to, size_t size)
{
    char *at = to;

    if (random != NULL) {
        random->fill(random->arg, to, size);
        return;
    }
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* a kernel without getrandom: nothing here could be kept secret */
        }
        at += n;
        size -= (size_t)n;
    }
}

uint64_t random_u64(const mail_random *random)
{
    uint64_t value;

    random_fill(random, &value, sizeof(value));
    return value;
}

uint64_t random_below(const mail_random *random, uint64_t below)
{
    uint64_t excess;
    uint64_t value;

    assert(below > 0);
    excess = (0 - below) % below; /* 2^64 mod below: the values that would favour small ones */
    do {
        value = random_u64(random);
    } while (value < excess);
    return value % below;
}
