/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_RECIPIENTS_H
#define LIB_MSG_RECIPIENTS_H

#include <mail/envelope.h>

#include "base/hash.h"

/*
 * Adds recipients to an envelope, each address once. A table of indexes into the
 * envelope keeps it linear, whatever a header holds.
 */
typedef struct recipients {
    mail_envelope *envelope;
    uint8_t notify; /* of those that are added */
    hash_seed seed;
    uint32_t *slots; /* index + 1, or 0; open addressing */
    size_t size;     /* a power of two, or 0 */
} recipients;

/* Takes what the envelope holds already for added. MAIL_ENOMEM. */
int recipients_init(recipients *rc, mail_envelope *envelope);
void recipients_deinit(recipients *rc);

/* Sets `*added` if it was not in. The errors of mail_envelope_add. */
int recipients_add(recipients *rc, mail_span address, bool *added);

#endif
