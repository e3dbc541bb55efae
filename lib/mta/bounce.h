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

/* Reports the notices of `jb` to its sender, then settles it. */
void bounce_begin(bounce_desk *desk, struct job *jb);

/* How many are under way. */
size_t bounce_desk_count(const bounce_desk *desk);

#endif
