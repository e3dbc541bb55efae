/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_SPOOL_H
#define LIB_QUEUE_SPOOL_H

#include "queue/log.h"

/*
 * Opens (or makes) the spool's folders, takes its lock and learns its id. What was opened
 * is queue_spool_close's, failed or not.
 */
int queue_spool_open(queue_log *log, const char *dir, mail_error *err);
void queue_spool_close(queue_log *log);

/*
 * Sees to it that the next one who opens the spool gives out none of the ids that this one
 * may, whatever the calendar says by then.
 */
void queue_spool_claim_ids(queue_log *log);

/* Opens all segments, in order, and learns which files are free. */
int queue_spool_load(queue_log *log, mail_error *err);

#endif
