/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_PART_H
#define LIB_QUEUE_PART_H

#include "queue/log.h"

/* A checkpoint's parts: how messages stand, as the index has it. */

/* Octets that the message takes in a part. */
size_t queue_part_length(const queue_message *message);
void queue_part_write(queue_log *log, const queue_message *message, wire_writer *to);

/*
 * Reads the next message of a part and puts it into the index, in place of what is there,
 * with places in segments and lanes, but not into the lanes' order; `touched` is its mark.
 * MAIL_ENOENT: no more. Errors: MAIL_EDAMAGED; MAIL_ENOMEM.
 */
int queue_part_read(queue_log *log, wire_reader *from, uint64_t touched);

/* The segment of that serial among those that hold records, or NULL. While nothing is written. */
queue_segment *queue_segment_find(queue_log *log, uint64_t serial);

#endif
