/* SPDX-License-Identifier: MIT */
#ifndef LIB_SMTP_STUFF_H
#define LIB_SMTP_STUFF_H

#include <mail/base.h>

/*
 * Makes a message fit to be sent under DATA: holds it to CRLF line ends and no NUL, and
 * doubles the dot at the start of a line (RFC 5321, section 4.5.2), however the
 * message is sliced.
 */
typedef enum stuff_state {
    STUFF_LINE_START, /* also before the first octet */
    STUFF_IN_LINE,
    STUFF_AFTER_CR, /* LF must follow */
    STUFF_BROKEN    /* a CR or LF stood alone, or there was a NUL */
} stuff_state;

/* How many octets at most `n` octets become. */
static inline size_t stuff_bound(size_t n)
{
    return n + (n + 2) / 3; /* a dot needs the CRLF of the line before it */
}

/* How many octets may come, if `room` are there for what they become. */
static inline size_t stuff_fit(size_t room)
{
    return room > 0 ? (room * 3 - 2) / 4 : 0;
}

/*
 * Writes `in` to `out`, which has room for stuff_bound(in.length) octets, and returns
 * how many it became. `*state` is carried from slice to slice; once it is
 * STUFF_BROKEN, what was written must not be used.
 */
size_t stuff_copy(stuff_state *state, mail_span in, char *out);

/* The same for octets that need no dots doubled: whether all is well with them so far. */
bool stuff_check(stuff_state *state, mail_span in);

#endif
