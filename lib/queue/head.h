/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_HEAD_H
#define LIB_QUEUE_HEAD_H

#include <mail/envelope.h>

#include "queue/wire.h"

/* Heads: what the records of each type say. */

enum {
    QUEUE_HEAD_SMTPUTF8 = 1,
    QUEUE_HEAD_REQUIRETLS = 2,
    QUEUE_HEAD_8BIT = 4, /* what is known of the content, as in mail_smtp_content */
    QUEUE_HEAD_NUL = 8,
    QUEUE_HEAD_UTF8_HEADER = 16,
    QUEUE_HEAD_LARGE = 32, /* the body lies in a file of its own */
    QUEUE_HEAD_ALL = 63
};

/* The head of a message record, but for the recipients, which are read one by one. */
typedef struct queue_head {
    uint32_t count; /* recipients */
    uint8_t flags;
    uint8_t ret;
    uint8_t body;
    uint64_t size;     /* octets of the message */
    uint32_t tick;     /* when it came, by the spool's clock (a copy keeps it) */
    uint32_t body_crc; /* of a large body */
    mail_wall arrival;
    mail_span sender;
    mail_span envid;
    wire_reader recipients;
} queue_head;

/* How long the head for `envelope` is; 0: an address or parameter is too long to be one. */
size_t queue_head_length(const mail_envelope *envelope);

/* Writes it; of `head` only flags, size, tick, body_crc and arrival matter. */
void queue_head_write(const queue_head *head, const mail_envelope *envelope, char *to);

/* Writes again what `queue_head_write` took from `head`. */
void queue_head_patch(const queue_head *head, char *to);

bool queue_head_read(mail_span bytes, queue_head *head);

/* The next recipient, which lends from the head's bytes; false: damaged. */
bool queue_head_next(queue_head *head, mail_recipient *out);

/* How one recipient of a message stands, as an outcome record has it. */
enum {
    QUEUE_DONE = 1,    /* never again */
    QUEUE_HELD = 2,    /* until an operator says so */
    QUEUE_WARNED = 4,  /* the notice of delay has been sent */
    QUEUE_EXPIRED = 8, /* an operator wants no further try than the next */
    QUEUE_KEPT = 15    /* those that are written down */
};

typedef struct queue_outcome {
    uint32_t index; /* of the recipient */
    uint8_t flags;
    uint16_t attempts;
    uint32_t due; /* by the spool's clock */
    mail_span reply;
} queue_outcome;

#define QUEUE_OUTCOME_SIZE  16  /* without its reply */
#define QUEUE_OUTCOME_REPLY 512 /* octets of a reply that are kept */

void queue_outcome_write(const queue_outcome *outcome, wire_writer *to);

/* The next of an outcome record's head; false: no more, or damaged (`from->bad`). */
bool queue_outcome_next(wire_reader *from, queue_outcome *out);

/* The head of the record that opens a segment. */
typedef struct queue_start {
    uint64_t previous;     /* serial of the segment before; 0: none */
    uint64_t previous_end; /* what lies there from this offset on does not count */
    uint64_t checkpoint;   /* serial of where the last complete checkpoint begins; 0: none */
    uint64_t checkpoint_offset;
} queue_start;

#define QUEUE_START_SIZE 32

void queue_start_write(const queue_start *start, char *to);
bool queue_start_read(mail_span bytes, queue_start *start);

#endif
