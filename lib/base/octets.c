/* SPDX-License-Identifier: MIT */
#include "base/octets.h"

#include <string.h>

/* One vector register; where there is none, the compiler makes do with words. */
typedef unsigned char octets16 __attribute__((vector_size(16)));

#define WIDTH sizeof(octets16)
#define BLOCK (4 * WIDTH)

static octets16 load(const char *at)
{
    octets16 v;

    memcpy(&v, at, sizeof(v));
    return v;
}

/* All bits of each octet that is `c`. */
static octets16 equals(octets16 v, char c)
{
    return (octets16)(v == (unsigned char)c);
}

static octets16 bare_at(const char *at)
{
    return equals(load(at - 1), '\r') ^ equals(load(at), '\n');
}

static octets16 dot_line_at(const char *at)
{
    return equals(load(at - 1), '\n') & equals(load(at), '.');
}

/* The OR of its octets. */
static unsigned char fold(octets16 v)
{
    uint64_t half[2];

    memcpy(half, &v, sizeof(v));
    half[0] |= half[1];
    half[0] |= half[0] >> 32;
    half[0] |= half[0] >> 16;
    half[0] |= half[0] >> 8;
    return (unsigned char)half[0];
}

static void look_at_one(char before, char c, octets_sight *sight)
{
    sight->has_8bit |= (unsigned char)c > 127;
    sight->has_nul |= c == '\0';
    sight->has_bare |= (before == '\r') != (c == '\n');
}

void octets_look(mail_span bytes, char before, octets_sight *sight)
{
    octets16 high = {0};
    octets16 nul = {0};
    octets16 bare = {0};
    size_t i = 1;

    if (bytes.length == 0) {
        return;
    }
    look_at_one(before, bytes.data[0], sight);
    for (; bytes.length - i >= WIDTH; i += WIDTH) {
        octets16 v = load(bytes.data + i);

        high |= v;
        nul |= equals(v, '\0');
        bare |= bare_at(bytes.data + i);
    }
    for (; i < bytes.length; i++) {
        look_at_one(bytes.data[i - 1], bytes.data[i], sight);
    }
    sight->has_8bit |= fold(high) > 127;
    sight->has_nul |= fold(nul) != 0;
    sight->has_bare |= fold(bare) != 0;
}

size_t octets_plain(mail_span bytes)
{
    size_t i = 1;

    if (bytes.length < 1 + BLOCK || bytes.data[0] == '\n') {
        return 0;
    }
    for (; bytes.length - i >= BLOCK; i += BLOCK) {
        octets16 found = {0};

        for (size_t k = 0; k < BLOCK; k += WIDTH) {
            found |= bare_at(bytes.data + i + k) | dot_line_at(bytes.data + i + k);
        }
        if (fold(found) != 0) {
            break;
        }
    }
    return bytes.data[i - 1] == '\r' ? i - 1 : i;
}
