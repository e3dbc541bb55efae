/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_RANDOM_H
#define LIB_BASE_RANDOM_H

#include <mail/base.h>

/*
 * Where chance comes from, so that a simulation can be replayed. NULL anywhere
 * is the system's generator, which is fit for secrets.
 */
typedef struct mail_random {
    void (*fill)(void *arg, void *to, size_t size);
    void *arg;
} mail_random;

void random_fill(const mail_random *random, void *to, size_t size);
uint64_t random_u64(const mail_random *random);

/* 0 to `below` - 1, each as likely. */
uint64_t random_below(const mail_random *random, uint64_t below);

#endif
