/* SPDX-License-Identifier: MIT */
#ifndef MAIL_MAILDROP_H
#define MAIL_MAILDROP_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest id of a message, in octets. */
#define MAIL_MESSAGE_ID_MAX 70

/** A message of a mailbox as a session sees it. */
typedef struct mail_maildrop_message {
    uint64_t size; /* octets in wire form, every line end counted two */
    /* 1 to 70 octets 0x21 to 0x7E, its own as long as it exists (RFC 1939, section 7). */
    const char *id;
} mail_maildrop_message;

/** The octets that the marks for `count` messages take, one bit each. */
#define MAIL_MARKS_SIZE(count) (((count) + 7) / 8)

/** Whether message `index` is marked. */
static inline bool mail_mark_is_set(const uint8_t *marks, size_t index)
{
    return (marks[index / 8] >> (index % 8) & 1) != 0;
}

/** Marks message `index`. */
static inline void mail_mark_set(uint8_t *marks, size_t index)
{
    marks[index / 8] = (uint8_t)(marks[index / 8] | 1U << (index % 8));
}

#ifdef __cplusplus
}
#endif

#endif
