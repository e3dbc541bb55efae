/* SPDX-License-Identifier: MIT */
#include "loop/timers.h"

#include <assert.h>

#include "base/mem.h"

#define OF_ENTRY(place) LIST_OWNER(place, mail_timer, entry)

void loop_timers_init(loop_timers *timers, const mail_mem *mem)
{
    heap_init(&timers->hp, mem);
    list_init(&timers->due);
    timers->count = 0;
}

void loop_timers_deinit(loop_timers *timers)
{
    assert(timers->count == 0);
    heap_deinit(&timers->hp);
}

int loop_timers_add(loop_timers *timers, mail_loop *loop, mail_timer_fn *fn, void *arg,
                    mail_timer **out)
{
    mail_timer *timer;

    if (heap_reserve(&timers->hp, timers->count + 1) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    timer = mem_alloc(timers->hp.mem, sizeof(*timer));
    if (timer == NULL) {
        return MAIL_ENOMEM;
    }
    list_init(&timer->link);
    timer->fn = fn;
    timer->arg = arg;
    timer->loop = loop;
    timers->count++;
    *out = timer;
    return MAIL_OK;
}

void loop_timers_set(loop_timers *timers, mail_timer *timer, mail_time when)
{
    list_remove(&timer->link);
    if (when == MAIL_NEVER) {
        heap_remove(&timers->hp, &timer->entry);
        return;
    }
    heap_set(&timers->hp, &timer->entry, when); /* has room since `add` */
}

void loop_timers_remove(loop_timers *timers, mail_timer *timer)
{
    heap_remove(&timers->hp, &timer->entry);
    list_remove(&timer->link);
    timers->count--;
    mem_free(timers->hp.mem, timer, sizeof(*timer));
}

mail_time loop_timers_next(const loop_timers *timers)
{
    const heap_entry *first = heap_first(&timers->hp);

    return first != NULL ? first->key : MAIL_NEVER;
}

void loop_timers_run(loop_timers *timers, mail_time now)
{
    heap_entry *first;
    list *link;

    while ((first = heap_first(&timers->hp)) != NULL && first->key <= now) {
        heap_remove(&timers->hp, first);
        list_push_back(&timers->due, &OF_ENTRY(first)->link);
    }
    while ((link = list_pop_front(&timers->due)) != NULL) {
        mail_timer *timer = LIST_OWNER(link, mail_timer, link);

        timer->fn(timer->arg);
    }
}
