/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_LOCAL_H
#define LIB_MTA_LOCAL_H

#include "mta/deliver.h"

/*
 * Delivery into mailboxes here. Stores block on files, so that the loop's workers
 * write, several messages at a time; the loop reads the queue and hands them pieces.
 */
typedef struct local local;

int local_create(local **out, mail_deliver *agent);

/* Without callbacks: what is being written is thrown away as soon as its worker lets go. */
void local_destroy(local *lc);

/* Serves a lane. */
void local_take(local *lc, lane_hold *hold);

/* Goes on; when the agent is draining, only with what is under way. */
void local_go(local *lc);

/* The same if it had stopped for the sake of reports, which have become fewer. */
void local_go_on(local *lc);

/* Messages under way. */
size_t local_count(const local *lc);

#endif
