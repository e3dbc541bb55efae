/* SPDX-License-Identifier: MIT */
#include "smtp/stuff.h"

/* What drops it makes another line of the rest: one with a dot alone, perhaps. */
static bool has_nul(mail_span in)
{
    return in.length > 0 && memchr(in.data, '\0', in.length) != NULL;
}

/*
 * Whether the line that lies in `line` (its LF left out, the state being inside it)
 * has its only CR at the end, where it belongs to the CRLF.
 */
static bool ends_well(mail_span line)
{
    const char *cr = line.length > 0 ? memchr(line.data, '\r', line.length) : NULL;

    return cr != NULL && cr == line.data + line.length - 1;
}

/* The state at the end of a slice whose last line has no LF yet. */
static stuff_state state_after(mail_span part)
{
    const char *cr = memchr(part.data, '\r', part.length);

    if (cr == NULL) {
        return STUFF_IN_LINE;
    }
    return cr == part.data + part.length - 1 ? STUFF_AFTER_CR : STUFF_BROKEN;
}

/* Walks from `from` to the next dot that begins a line, or to the end. */
static size_t walk(stuff_state *state, mail_span in, size_t from)
{
    while (from < in.length && *state != STUFF_BROKEN) {
        const char *lf;
        size_t at;

        if (*state == STUFF_AFTER_CR) {
            *state = in.data[from] == '\n' ? STUFF_LINE_START : STUFF_BROKEN;
            from++;
            continue;
        }
        if (*state == STUFF_LINE_START && in.data[from] == '.') {
            return from;
        }
        lf = memchr(in.data + from, '\n', in.length - from);
        if (lf == NULL) {
            *state = state_after(mail_span_from(in, from));
            return in.length;
        }
        at = (size_t)(lf - in.data);
        *state =
            ends_well(mail_span_of(in.data + from, at - from)) ? STUFF_LINE_START : STUFF_BROKEN;
        from = at + 1;
    }
    return from;
}

size_t stuff_copy(stuff_state *state, mail_span in, char *out)
{
    size_t length = 0;
    size_t from = 0;

    *state = has_nul(in) ? STUFF_BROKEN : *state;
    while (from < in.length && *state != STUFF_BROKEN) {
        size_t to = walk(state, in, from);

        memcpy(out + length, in.data + from, to - from);
        length += to - from;
        if (to < in.length && *state != STUFF_BROKEN) {
            out[length++] = '.';
            out[length++] = '.';
            *state = STUFF_IN_LINE;
            to++;
        }
        from = to;
    }
    return length;
}

bool stuff_check(stuff_state *state, mail_span in)
{
    size_t from = 0;

    *state = has_nul(in) ? STUFF_BROKEN : *state;
    while (from < in.length && *state != STUFF_BROKEN) {
        from = walk(state, in, from);
        if (from < in.length && *state != STUFF_BROKEN) {
            *state = STUFF_IN_LINE;
            from++;
        }
    }
    return *state != STUFF_BROKEN;
}
