/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** When a recipient's sender wants a report (RFC 3461, section 4.1). Bits; 0: the default. */
enum {
    MAIL_NOTIFY_SUCCESS = 1,
    MAIL_NOTIFY_FAILURE = 2,
    MAIL_NOTIFY_DELAY = 4,
    MAIL_NOTIFY_NEVER = 8 /* stands alone */
};

/** How much of the message a report brings back (RFC 3461, section 4.3). */
typedef enum mail_ret { MAIL_RET_DEFAULT, MAIL_RET_FULL, MAIL_RET_HDRS } mail_ret;

/** What the sender declared of the content (RFC 6152, RFC 3030). */
typedef enum mail_body { MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_BODY_BINARYMIME } mail_body;

/** What a recipient has to do with an alias (RFC 3461, section 5.2.7). */
typedef enum mail_recipient_role {
    MAIL_RECIPIENT_PLAIN,
    MAIL_RECIPIENT_HIDDEN,  /* stands there for the address in its ORCPT: all a sender may see */
    MAIL_RECIPIENT_EXPANDED /* others stand there for it: only its sender is to be told so */
} mail_recipient_role;

/** One recipient. The spans lend from the envelope until it changes. */
typedef struct mail_recipient {
    mail_span address; /* canonical, as in mail_path */
    mail_span orcpt;   /* `type;address`, still in xtext (RFC 3461, section 4.2); empty: none */
    uint8_t notify;    /* MAIL_NOTIFY_… */
    mail_recipient_role role;
} mail_recipient;

/**
 * All that travels with a message and is not in it: reverse-path, recipients and
 * parameters. Owns its text in one block of memory.
 */
typedef struct mail_envelope {
    mail_ret ret;
    mail_body body;
    bool smtputf8;   /* RFC 6531: the message needs it, or the sender asked for it */
    bool requiretls; /* RFC 8689 */
    const mail_mem *mem; /* private, as is all below */
    char *text;
    size_t text_length;
    size_t text_capacity;
    struct mail_envelope_recipient *recipients;
    size_t count;
    size_t capacity;
    uint32_t sender_length;
    uint32_t envid_length;
} mail_envelope;

/** An empty envelope with the null reverse-path. Cannot fail; `mem` NULL: malloc. */
MAIL_API void mail_envelope_init(mail_envelope *envelope, const mail_mem *mem);
MAIL_API void mail_envelope_deinit(mail_envelope *envelope);

/** Empties it and keeps its memory (up to a few KiB) for the next message. */
MAIL_API void mail_envelope_reset(mail_envelope *envelope);

/**
 * Sets the reverse-path, before any recipient is added; `path` of length 0 is the null one.
 * `envid` is copied too. Errors: MAIL_ENOMEM; MAIL_ELIMIT for a text past 65535 octets.
 */
MAIL_API int mail_envelope_set_sender(mail_envelope *envelope, mail_span address, mail_span envid);

/**
 * Adds a recipient; its texts, none of them of this envelope, are copied. Errors: MAIL_ENOMEM;
 * MAIL_ELIMIT past 2^24 recipients or for a text past 65535 octets.
 */
MAIL_API int mail_envelope_add(mail_envelope *envelope, const mail_recipient *recipient);

/** Drops the recipients from `count` on, as if they had never been added. */
MAIL_API void mail_envelope_truncate(mail_envelope *envelope, size_t count);

/** The canonical reverse-path; empty: the null one. Ownership: lends until the envelope changes. */
MAIL_API mail_span mail_envelope_sender(const mail_envelope *envelope);

/** The decoded ENVID (RFC 3461, section 4.4); empty: none. Ownership: lends until the envelope changes. */
MAIL_API mail_span mail_envelope_envid(const mail_envelope *envelope);

/** How many recipients it has. */
static inline size_t mail_envelope_count(const mail_envelope *envelope)
{
    return envelope->count;
}

/** Recipient `index`, which must be less than the count. */
MAIL_API mail_recipient mail_envelope_recipient(const mail_envelope *envelope, size_t index);

/** Copies all of `from` into `to`, which is emptied first. Errors: MAIL_ENOMEM (`to` is empty). */
MAIL_API int mail_envelope_copy(mail_envelope *to, const mail_envelope *from);

/** The domain of a canonical address: what follows the last @ outside quotes; empty: none. */
MAIL_API mail_span mail_address_domain(mail_span address);

/** The local part of a canonical address, quotes included. */
MAIL_API mail_span mail_address_local(mail_span address);

/**
 * xtext of RFC 3461, section 4. Both return the length written to `out`, or
 * MAIL_EINVAL (bad xtext) or MAIL_ELIMIT (`size` too small) as a negative number.
 * What decodes to anything but printable ASCII is bad: no line end comes in this way.
 */
MAIL_API int mail_xtext_decode(mail_span in, char *out, size_t size);
MAIL_API int mail_xtext_encode(mail_span in, char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
