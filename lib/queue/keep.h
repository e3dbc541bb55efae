/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_KEEP_H
#define LIB_QUEUE_KEEP_H

#include "queue/log.h"

/* A bit of what keeps the log short; when to go on. */
mail_time queue_keep(queue_log *log, mail_time now);

/* checkpoint.c. Whether a restart would have to read too much. */
bool queue_checkpoint_due(queue_log *log);
void queue_checkpoint_begin(queue_log *log);
/* Writes a part of it, if its turn has come. */
void queue_checkpoint_go_on(queue_log *log);
void queue_checkpoint_settled(queue_log *log, const queue_record *record);

/* compact.c. Copies what is of use in `segment` to the end of the log, bit by bit. */
void queue_compact_begin(queue_log *log, queue_segment *segment);
void queue_compact_go_on(queue_log *log);
void queue_compact_stop(queue_log *log);

#endif
