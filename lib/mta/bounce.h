/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_BOUNCE_H
#define LIB_MTA_BOUNCE_H

#include <mail/base.h>

struct job;
struct mail_deliver;

/* Puts reports to senders into the queue. */
typedef struct bounce_desk bounce_desk;

int bounce_desk_create(bounce_desk **out, struct mail_deliver *agent);

/* Reports under way are dropped, and their jobs with them: nothing of them counts. */
void bounce_desk_destroy(bounce_desk *desk);

/*
 * Reports the notices of `jb` to its sender, with those of other jobs of the same message if any
 * are under way, then settles it.
 */
void bounce_add(bounce_desk *desk, struct job *jb);

/* A job of message `id` has come to an end with nothing to report: others may have waited for it. */
void bounce_look(bounce_desk *desk, const char *id);

/* Nothing is waited for any more. */
void bounce_desk_hurry(bounce_desk *desk);

/* Whether a report could not be queued a short while ago. */
bool bounce_desk_is_stuck(const bounce_desk *desk);
void bounce_desk_stick(bounce_desk *desk);

/*
 * Whether so many are under way that nothing more is to be begun that may have to be reported. When
 * there are half as many the agent is called.
 */
bool bounce_desk_is_full(bounce_desk *desk);

/* How many are under way. */
size_t bounce_desk_count(const bounce_desk *desk);

#endif
