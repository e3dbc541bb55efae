/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/*
 * The CPU's own instruction where there is one, else half a byte a step from a constant table.
 * The instruction's result takes three cycles, but each cycle can begin one: so three sums are
 * made at a time, of pieces that lie one behind the other.
 */

static uint32_t portable(uint32_t crc, const unsigned char *at, size_t length)
{
    /* Row n is the remainder of n by the reflected polynomial 0x82f63b78. */
    static const uint32_t half[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (; length > 0; at++, length--) {
        crc ^= *at;
        crc = (crc >> 4) ^ half[crc & 15];
        crc = (crc >> 4) ^ half[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)

#define BY_INSTRUCTION __attribute__((target("sse4.2,pclmul"))) static

/* Octets in one of the three pieces; what is left is summed word by word. */
#define PIECE ((size_t)256)

/* x to the power of 8 n - 33 by the polynomial, its bits reversed, for n octets. */
#define PAST_ONE_PIECE 0xb9e02b86
#define PAST_TWO       0xdd7e3b0c

BY_INSTRUCTION uint64_t add_word(uint64_t sum, const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return _mm_crc32_u64(sum, word);
}

/* What becomes of a sum by as many zeros as `past` stands for. */
BY_INSTRUCTION uint64_t move(uint64_t sum, uint32_t past)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum),
                                           _mm_cvtsi64_si128((long long)past), 0);

    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

BY_INSTRUCTION uint64_t add_pieces(uint64_t sum, const unsigned char *at)
{
    uint64_t second = 0;
    uint64_t third = 0;

    for (const unsigned char *end = at + PIECE; at < end; at += sizeof(uint64_t)) {
        sum = add_word(sum, at);
        second = add_word(second, at + PIECE);
        third = add_word(third, at + 2 * PIECE);
    }
    return move(sum, PAST_TWO) ^ move(second, PAST_ONE_PIECE) ^ third;
}

BY_INSTRUCTION uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t length)
{
    uint64_t sum = crc;

    for (; length >= 3 * PIECE; at += 3 * PIECE, length -= 3 * PIECE) {
        sum = add_pieces(sum, at);
    }
    for (; length >= sizeof(uint64_t); at += sizeof(uint64_t), length -= sizeof(uint64_t)) {
        sum = add_word(sum, at);
    }
    for (; length > 0; at++, length--) {
        sum = _mm_crc32_u8((uint32_t)sum, *at);
    }
    return (uint32_t)sum;
}

static int has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#else

static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t length)
{
    return portable(crc, at, length);
}

static int has_instruction(void)
{
    return 0;
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
    const unsigned char *at = data;

    crc = ~crc;
    crc = has_instruction() ? by_instruction(crc, at, length) : portable(crc, at, length);
    return ~crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t length)
{
    return ~portable(~crc, data, length);
}
