/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include "base/ascii.h"

/* SipHash of Aumasson and Bernstein with one compression and three final rounds. */

typedef struct state {
    uint64_t v0, v1, v2, v3;
} state;

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t read_word(const char *at, size_t length, bool nocase)
{
    uint64_t word = 0;

    for (size_t i = 0; i < length; i++) {
        char c = nocase ? ascii_lower(at[i]) : at[i];

        word |= (uint64_t)(unsigned char)c << (8 * i);
    }
    return word;
}

static uint64_t sip(const hash_seed *seed, mail_span bytes, bool nocase)
{
    state s = {
        seed->k0 ^ 0x736f6d6570736575U,
        seed->k1 ^ 0x646f72616e646f6dU,
        seed->k0 ^ 0x6c7967656e657261U,
        seed->k1 ^ 0x7465646279746573U,
    };
    size_t whole = bytes.length & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8) {
        absorb(&s, read_word(bytes.data + i, 8, nocase));
    }
    absorb(&s, read_word(bytes.length > whole ? bytes.data + whole : NULL, bytes.length - whole, nocase) |
                   (uint64_t)bytes.length << 56);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_bytes(const hash_seed *seed, mail_span bytes)
{
    return sip(seed, bytes, false);
}

uint64_t hash_bytes_nocase(const hash_seed *seed, mail_span bytes)
{
    return sip(seed, bytes, true);
}
