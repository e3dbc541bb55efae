/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_HASH_H
#define LIB_BASE_HASH_H

#include <mail/base.h>

/* A secret seed makes collisions unpredictable to whoever chooses the keys. */
typedef struct hash_seed {
    uint64_t k0;
    uint64_t k1;
} hash_seed;

/* SipHash-1-3. */
uint64_t hash_bytes(const hash_seed *seed, mail_span bytes);

/* The same with ASCII letters taken as lower case. */
uint64_t hash_bytes_nocase(const hash_seed *seed, mail_span bytes);

#endif
