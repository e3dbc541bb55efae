/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_HEX_H
#define LIB_MSG_HEX_H

/* Two upper-case digits. */
static inline void hex_write(unsigned char value, char *out)
{
    static const char digits[16] = "0123456789ABCDEF";

    out[0] = digits[value >> 4];
    out[1] = digits[value & 15];
}

/* -1: no upper-case digit. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The value of the two digits at `in`, upper case only; -1: they are none. */
static inline int hex_read(const char *in)
{
    int high = hex_digit(in[0]);
    int low = hex_digit(in[1]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

#endif
