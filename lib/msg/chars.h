/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_CHARS_H
#define LIB_MSG_CHARS_H

#include <mail/base.h>

/* Membership in a class of ASCII characters, one bit each. */
static inline bool char_in(const uint64_t set[2], char c)
{
    unsigned char u = (unsigned char)c;

    return u < 128 && (set[u >> 6] >> (u & 63) & 1) != 0;
}

/* atext of RFC 5322, section 3.2.3, of which RFC 5321 makes its Atom too. */
static inline bool char_is_atext(char c)
{
    static const uint64_t atext[2] = {0xa3ffacfa00000000, 0x7fffffffc7fffffe};

    return char_in(atext, c);
}

static inline bool char_is_ascii(char c)
{
    return (unsigned char)c < 128;
}

static inline bool char_is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

/* %d32-126: what a quoted string may hold, some of it behind a backslash. */
static inline bool char_is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

#endif
