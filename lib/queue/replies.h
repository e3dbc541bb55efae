/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_REPLIES_H
#define LIB_QUEUE_REPLIES_H

#include "base/buffer.h"
#include "queue/queue.h"

/* Where a recipient's reply is among the texts. */
typedef struct queue_reply_place {
    size_t at;
    size_t length;
    bool is_known; /* looked for, whether there was one or not */
} queue_reply_place;

/* What was last said of each recipient of a message that waits. */
typedef struct queue_replies {
    const mail_mem *mem;
    buffer texts;
    queue_reply_place *places;
    size_t count;
} queue_replies;

/*
 * Reads each record that speaks of some of them once, however they are mixed: a message for
 * thousands would take minutes else. Replies are for people: one that can't be read any more is taken
 * for none. Error: MAIL_ENOMEM.
 */
int queue_replies_load(queue_replies *replies, mail_queue *queue, const queue_message *message);
void queue_replies_deinit(queue_replies *replies);

/* The last reply to recipient `index`; empty: there is none. */
mail_span queue_replies_of(const queue_replies *replies, uint32_t index);

#endif
