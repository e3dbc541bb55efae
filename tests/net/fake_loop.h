/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_FAKE_LOOP_H
#define TESTS_NET_FAKE_LOOP_H

#include "support/support.h"

#include <mail/loop.h>

#include "base/list.h"

/* A loop with timers and workers, whose time and workers stand still until the test moves them. */
typedef struct fake_loop {
    mail_loop loop; /* first */
    const mail_mem *mem;
    mail_time now;
    list timers;
    list jobs;
    unsigned jobs_ever;
    bool has_no_workers;
} fake_loop;

struct mail_timer {
    list link;
    fake_loop *loop;
    mail_timer_fn *fn;
    void *arg;
    mail_time when;
};

typedef struct fake_job {
    list link;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
} fake_job;

static inline void *take_memory(const fake_loop *lp, size_t size)
{
    return lp->mem != NULL ? lp->mem->resize(lp->mem->arg, NULL, 0, size) : malloc(size);
}

static inline void give_memory(const fake_loop *lp, void *ptr, size_t size)
{
    if (lp->mem != NULL) {
        lp->mem->resize(lp->mem->arg, ptr, size, 0);
    } else {
        free(ptr);
    }
}

static inline mail_time fake_now(mail_loop *loop)
{
    return ((fake_loop *)loop)->now;
}

static inline int fake_timer(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out)
{
    fake_loop *lp = (fake_loop *)loop;
    mail_timer *timer = take_memory(lp, sizeof(*timer));

    if (timer == NULL) {
        return MAIL_ENOMEM;
    }
    *timer = (mail_timer){.loop = lp, .fn = fn, .arg = arg, .when = MAIL_NEVER};
    list_push_back(&lp->timers, &timer->link);
    *out = timer;
    return MAIL_OK;
}

static inline void fake_timer_set(mail_timer *timer, mail_time when)
{
    timer->when = when;
}

static inline void fake_untimer(mail_timer *timer)
{
    if (timer != NULL) {
        list_remove(&timer->link);
        give_memory(timer->loop, timer, sizeof(*timer));
    }
}

static inline int fake_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    fake_loop *lp = (fake_loop *)loop;
    fake_job *job = lp->has_no_workers ? NULL : take_memory(lp, sizeof(*job));

    if (job == NULL) {
        return MAIL_ENOMEM;
    }
    *job = (fake_job){.run = run, .done = done, .arg = arg};
    list_push_back(&lp->jobs, &job->link);
    lp->jobs_ever++;
    return MAIL_OK;
}

/* Does one job; false: there is none. */
static inline bool work_once(fake_loop *lp)
{
    list *link = list_pop_front(&lp->jobs);
    fake_job job;

    if (link == NULL) {
        return false;
    }
    job = *LIST_OWNER(link, fake_job, link);
    give_memory(lp, LIST_OWNER(link, fake_job, link), sizeof(job));
    job.run(job.arg);
    job.done(job.arg);
    return true;
}

/* Calls one timer whose time has come; false: there is none. */
static inline bool tick_once(fake_loop *lp)
{
    for (list *link = lp->timers.next; link != &lp->timers; link = link->next) {
        mail_timer *timer = LIST_OWNER(link, mail_timer, link);

        if (timer->when <= lp->now) {
            timer->when = MAIL_NEVER;
            timer->fn(timer->arg);
            return true;
        }
    }
    return false;
}

/* All that there is to do now. */
static inline void run_now(fake_loop *lp)
{
    while (work_once(lp) || tick_once(lp)) {
    }
}

static inline mail_time next_timer(const fake_loop *lp)
{
    mail_time when = MAIL_NEVER;

    for (list *link = lp->timers.next; link != &lp->timers; link = link->next) {
        mail_time of_this = LIST_OWNER(link, mail_timer, link)->when;

        when = of_this < when ? of_this : when;
    }
    return when;
}

static const mail_loop_ops fake_ops = {
    .now = fake_now,
    .timer = fake_timer,
    .timer_set = fake_timer_set,
    .untimer = fake_untimer,
    .work = fake_work,
};

static inline void fake_loop_init(fake_loop *lp, const mail_mem *mem)
{
    *lp = (fake_loop){.loop = {&fake_ops}, .mem = mem, .now = MAIL_DAY};
    list_init(&lp->timers);
    list_init(&lp->jobs);
}

#endif
