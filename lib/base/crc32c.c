/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <string.h>

/* The CPU's own instruction where there is one, else half a byte a step from a constant table. */

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

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc,
                                                                 const unsigned char *at,
                                                                 size_t length)
{
    uint64_t sum = crc;

    for (; length >= 8; at += 8, length -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        sum = __builtin_ia32_crc32di(sum, word);
    }
    for (; length > 0; at++, length--) {
        sum = __builtin_ia32_crc32qi((uint32_t)sum, *at);
    }
    return (uint32_t)sum;
}

static int has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
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
