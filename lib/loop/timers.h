/* SPDX-License-Identifier: MIT */
#ifndef LIB_LOOP_TIMERS_H
#define LIB_LOOP_TIMERS_H

#include <mail/loop.h>

#include "base/heap.h"
#include "base/list.h"

/*
 * The timers of one loop. Room in the heap is made when a timer is made, so that
 * setting it can't fail.
 */
typedef struct loop_timers {
    heap hp;
    list due; /* those that `run` has yet to call */
    size_t count;
} loop_timers;

struct mail_timer {
    heap_entry entry;
    list link; /* in `due` */
    mail_timer_fn *fn;
    void *arg;
    mail_loop *loop;
};

void loop_timers_init(loop_timers *timers, const mail_mem *mem);
void loop_timers_deinit(loop_timers *timers); /* none may be left */

int loop_timers_add(loop_timers *timers, mail_loop *loop, mail_timer_fn *fn, void *arg,
                    mail_timer **out);
void loop_timers_set(loop_timers *timers, mail_timer *timer, mail_time when);
void loop_timers_remove(loop_timers *timers, mail_timer *timer);

/* The instant of the earliest, or MAIL_NEVER. */
mail_time loop_timers_next(const loop_timers *timers);

/*
 * Calls those due at `now`. A timer that is set again from a callback waits for
 * the next run, however early it is due: timers never starve the rest of a round.
 */
void loop_timers_run(loop_timers *timers, mail_time now);

#endif
