/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_INTAKE_H
#define LIB_QUEUE_INTAKE_H

#include "queue/content.h"
#include "queue/queue.h"

/* How much may wait for the disk before sinks have no room. */
#define QUEUE_WAITING_MAX ((uint64_t)16 << 20)
/* How much memory messages being written may have before they go to files of their own … */
#define QUEUE_FILLING_MAX ((uint64_t)32 << 20)
/* … as far as they are longer than this. */
#define QUEUE_SPILL_MIN ((size_t)64 << 10)

struct mail_intake {
    mail_queue *queue;
    mail_wake_fn *wake;
    void *wake_arg;
    list blocked;  /* sinks without room */
    list gathered; /* records that are whole and wait for those of the same round */
    size_t gathered_count;
    list idle; /* sinks kept for the next messages */
    size_t idle_bytes;
    size_t begun; /* messages not settled yet */
    size_t owed;  /* those of them whose finish is to be told */

    /* Guarded by the queue's lock. */
    list in_queue;
    list done; /* records that poll has to tell of */
    bool is_told;
    unsigned wakers; /* threads that are calling its wake function */
    bool wants_room;
};

/* A message on its way in. Its head and body gather in the record. */
typedef struct queue_sink {
    mail_sink sink;
    mail_intake *intake;
    queue_record record;
    queue_message *message;
    queue_head head;
    queue_content content;
    size_t head_length;
    size_t length; /* octets in record.data */
    uint32_t body_crc;
    uint64_t promised; /* as announced */
    uint64_t written;  /* octets in the large body's file */
    list in_list;      /* blocked or idle */
    bool is_submitted;
    mail_finish_fn *finished;
    void *finished_arg;
} queue_sink;

/* Takes a whole message's record, which is handed to the storage in this round of the loop or the next. */
void queue_intake_gather(mail_intake *intake, queue_record *record);

/* Makes everything for a message but its id known. Errors: MAIL_ENOMEM, MAIL_ELIMIT. */
int queue_sink_begin(mail_intake *intake, const mail_envelope *envelope, uint64_t expected,
                     queue_sink **out);
/* Forgets the message and keeps or frees the sink. */
void queue_sink_release(queue_sink *sink);
/* The message failed: nothing of it stays. */
void queue_sink_discard(queue_sink *sink);
void queue_sink_destroy(queue_sink *sink);

#endif
