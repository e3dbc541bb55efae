/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_REPLAY_H
#define LIB_QUEUE_REPLAY_H

#include "queue/log.h"
#include "queue/scan.h"

/*
 * What the log holds is what its records, in the order of their sequence, leave behind. The
 * last complete checkpoint is a state by itself: what lies before its beginning need not be
 * read, and what neither it nor anything since has named is gone, even if its record is
 * still there.
 *
 * Until all is read recipients are in no lane's order, and their due times are ticks.
 */
typedef struct queue_replay {
    queue_log *log;
    mail_queue *queue;
    uint64_t last_sequence;
    uint32_t last_tick;
    mail_wall last_wall;
    uint64_t last_id;
    uint64_t damaged;
    bool has_records;
    bool is_torn;            /* the end of the last segment */
    uint64_t begin_sequence; /* of the checkpoint being read; 0: none, or none to be trusted */
    uint64_t begin_serial;
    uint64_t begin_offset;
} queue_replay;

/* Takes what one record says into the index. What it does not understand counts as damage. */
int queue_replay_record(queue_replay *rec, queue_segment *segment, const queue_scanned *found);

/* Something between two places of a segment is damaged: it is put aside, and said. */
void queue_replay_damage(queue_replay *rec, queue_segment *segment, uint64_t from, uint64_t to);

#endif
