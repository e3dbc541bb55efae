/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_RECORD_H
#define LIB_QUEUE_RECORD_H

#include <mail/base.h>

/*
 * What the log is made of. A record is a fixed header, a head that says what the
 * record is about, and (messages only) a body; padded with zeros to a multiple of 8.
 * README.md in this folder describes every byte.
 */
#define QUEUE_RECORD_SIZE  64 /* of the fixed header */
#define QUEUE_RECORD_ALIGN 8

typedef enum queue_record_type {
    QUEUE_RECORD_START = 1,   /* the first of each segment */
    QUEUE_RECORD_MESSAGE = 2, /* envelope and body */
    QUEUE_RECORD_OUTCOME = 3, /* the new state of some recipients */
    QUEUE_RECORD_REMOVED = 4, /* the message is done */
    QUEUE_RECORD_BEGIN = 5,   /* a checkpoint begins */
    QUEUE_RECORD_PART = 6,    /* the whole state of some messages */
    QUEUE_RECORD_END = 7      /* what no part named, and nothing since has touched, is gone */
} queue_record_type;

typedef struct queue_header {
    queue_record_type type;
    uint32_t
        unsafe; /* how many records, up to and with this one, were not safe when it was written */
    uint32_t head_length;
    uint64_t body_length; /* octets behind the head; 0 for a body in a file of its own */
    uint64_t sequence;    /* one more than the record before, over all segments */
    uint64_t generation;  /* the segment's, random: what lay in a recycled file never fits */
    uint64_t id;          /* of the message; 0 for none */
    uint32_t tick;        /* the spool's own clock, in seconds (clock.h) */
    uint32_t body_crc;
    mail_wall wall; /* when it was written */
} queue_header;

/* More than this may never be unsafe at a time. */
#define QUEUE_UNSAFE_MAX ((uint32_t)0xffffff)

/* The longest record that is believed. */
#define QUEUE_RECORD_MAX ((uint64_t)1 << 32)

/* Octets in the log, padding included. */
static inline uint64_t queue_header_total(const queue_header *header)
{
    uint64_t length = QUEUE_RECORD_SIZE + header->head_length + header->body_length;

    return (length + QUEUE_RECORD_ALIGN - 1) & ~(uint64_t)(QUEUE_RECORD_ALIGN - 1);
}

/* Writes the fixed header to `record`, whose head already lies behind it and is summed. */
void queue_header_write(const queue_header *header, char *record);

/*
 * Reads the fixed header at `record`. It is false when there is none; the lengths are
 * then not to be believed before queue_header_check.
 */
bool queue_header_read(const char *record, queue_header *header);

/* Whether header and head, `record` being all of both, are as they were written. */
bool queue_header_check(const queue_header *header, const char *record);

/* A message's id as text: 13 digits to the base 32, which sort like the numbers. */
#define QUEUE_ID_DIGITS 13

void queue_id_print(uint64_t id, char *out); /* with a final NUL */
bool queue_id_parse(mail_span text, uint64_t *id);

#endif
