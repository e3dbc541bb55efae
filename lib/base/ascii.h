/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_ASCII_H
#define LIB_BASE_ASCII_H

#include <mail/base.h>

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

/* NUL and line ends among them: such a text is good for no line. */
bool ascii_has_control(mail_span text);

/* Without those of `blanks` that it begins and ends with. */
mail_span ascii_trim(mail_span text, const char *blanks);

/* A whole decimal number, at most `most`: digits and nothing else. */
bool ascii_number(mail_span text, uint64_t most, uint64_t *out);

#endif
