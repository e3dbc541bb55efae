/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_ASCII_H
#define LIB_BASE_ASCII_H

#include <stdbool.h>

/* ctype.h without the locale, and defined for every value of char. */
static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_control(char c)
{
    return (unsigned char)c < 32 || c == 127;
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

#endif
