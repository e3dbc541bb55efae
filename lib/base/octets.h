/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_OCTETS_H
#define LIB_BASE_OCTETS_H

#include <mail/base.h>

/*
 * What every octet of every message is asked, sixteen at a time and without a branch.
 */

/* What a run of octets holds. Start with zeros; runs add up. */
typedef struct octets_sight {
    bool has_8bit; /* one above 127 */
    bool has_nul;
    bool has_bare; /* a CR that no LF follows, or an LF that does not follow a CR */
} octets_sight;

/*
 * Looks at `bytes`, behind the octet `before` (0: they are the first). Of a CR at their end
 * only the next run tells.
 */
void octets_look(mail_span bytes, char before, octets_sight *sight);

/*
 * How many octets from the start on hold no lone CR or LF, and no dot behind an LF. Of the
 * next few it says nothing; a CR is not parted from its LF, and what precedes `bytes` counts for nothing.
 */
size_t octets_plain(mail_span bytes);

#endif
