/* SPDX-License-Identifier: MIT */
#include "base/octets.h"

#include <string.h>

/* Two vector registers, or one where the processor has such; else the compiler makes do with words. */
typedef unsigned char octets32 __attribute__((vector_size(32)));

#define WIDTH sizeof(octets32)
#define BLOCK (4 * WIDTH)

/* Each function that goes through octets is made twice, for wide registers and without. */
#define BOTH_WAYS static inline __attribute__((always_inline))

BOTH_WAYS void load(octets32 *v, const char *at)
{
    memcpy(v, at, sizeof(*v));
}

/* Adds all bits of each octet that is a lone CR or LF; `v` lies at `at`. */
BOTH_WAYS void add_bare(octets32 *found, const octets32 *v, const char *at)
{
    octets32 before;

    load(&before, at - 1);
    *found |= (octets32)((before == '\r') ^ (*v == '\n'));
}

BOTH_WAYS void add_dot_line(octets32 *found, const octets32 *v, const char *at)
{
    octets32 before;

    load(&before, at - 1);
    *found |= (octets32)((before == '\n') & (*v == '.'));
}

/* The OR of its words. */
BOTH_WAYS uint64_t fold(const octets32 *v)
{
    uint64_t words[4];

    memcpy(words, v, sizeof(words));
    return (words[0] | words[1]) | (words[2] | words[3]);
}

static void look_at_one(char before, char c, octets_sight *sight)
{
    sight->has_8bit |= (unsigned char)c > 127;
    sight->has_nul |= c == '\0';
    sight->has_bare |= (before == '\r') != (c == '\n');
}

/* At least a register's width; the last are looked at twice. The octet before `at` can be read. */
BOTH_WAYS void look_wide(const char *at, size_t length, octets_sight *sight)
{
    const char *last = at + length - WIDTH;
    octets32 high = {0};
    octets32 nul = {0};
    octets32 bare = {0};

    for (;;) {
        octets32 v;

        load(&v, at);
        high |= v;
        nul |= (octets32)(v == '\0');
        add_bare(&bare, &v, at);
        if (at == last) {
            break;
        }
        at = (size_t)(last - at) < WIDTH ? last : at + WIDTH;
    }
    sight->has_8bit |= (fold(&high) & 0x8080808080808080U) != 0;
    sight->has_nul |= fold(&nul) != 0;
    sight->has_bare |= fold(&bare) != 0;
}

BOTH_WAYS size_t plain_wide(const char *at, size_t length)
{
    size_t i = 0;

    for (; length - i >= BLOCK; i += BLOCK) {
        octets32 found = {0};

        for (size_t k = i; k < i + BLOCK; k += WIDTH) {
            octets32 v;

            load(&v, at + k);
            add_bare(&found, &v, at + k);
            add_dot_line(&found, &v, at + k);
        }
        if (fold(&found) != 0) {
            break;
        }
    }
    return i;
}

#if defined(__x86_64__)

#define WITH_AVX2 __attribute__((target("avx2"))) static

WITH_AVX2 void look_avx2(const char *at, size_t length, octets_sight *sight)
{
    look_wide(at, length, sight);
}

WITH_AVX2 size_t plain_avx2(const char *at, size_t length)
{
    return plain_wide(at, length);
}

static void look(const char *at, size_t length, octets_sight *sight)
{
    if (__builtin_cpu_supports("avx2")) {
        look_avx2(at, length, sight);
    } else {
        look_wide(at, length, sight);
    }
}

static size_t plain(const char *at, size_t length)
{
    return __builtin_cpu_supports("avx2") ? plain_avx2(at, length) : plain_wide(at, length);
}

#else

static void look(const char *at, size_t length, octets_sight *sight)
{
    look_wide(at, length, sight);
}

static size_t plain(const char *at, size_t length)
{
    return plain_wide(at, length);
}

#endif

void octets_look(mail_span bytes, char before, octets_sight *sight)
{
    if (bytes.length == 0) {
        return;
    }
    look_at_one(before, bytes.data[0], sight);
    if (bytes.length > WIDTH) {
        look(bytes.data + 1, bytes.length - 1, sight);
        return;
    }
    for (size_t i = 1; i < bytes.length; i++) {
        look_at_one(bytes.data[i - 1], bytes.data[i], sight);
    }
}

size_t octets_plain(mail_span bytes)
{
    size_t i;

    if (bytes.length < 1 + BLOCK || bytes.data[0] == '\n') {
        return 0;
    }
    i = 1 + plain(bytes.data + 1, bytes.length - 1);
    return bytes.data[i - 1] == '\r' ? i - 1 : i;
}
