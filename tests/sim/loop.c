/* SPDX-License-Identifier: MIT */
/* The loop of a simulated world: the same nine things as any other, on virtual time. */
#include "sim/world.h"

#include <stdlib.h>

struct mail_watch {
    list ready; /* in the world's list while it is to be called */
    sim_loop *loop;
    int fd;
    unsigned interest;
    mail_watch_fn *fn;
    void *arg;
};

struct mail_timer {
    sim_event event;
    sim_loop *loop;
    mail_timer_fn *fn;
    void *arg;
};

struct mail_bell {
    sim_event event;
    sim_loop *loop;
    bool rung;
    mail_bell_fn *fn;
    void *arg;
};

typedef struct work {
    sim_event event;
    sim_loop *loop;
    bool has_run;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
} work;

/* A calloc that may fail as it was told to. */
static void *get(mail_loop *loop, size_t size)
{
    const sim_loop *self = (sim_loop *)loop;

    return sim_chance(self->world, self->no_memory) ? NULL : calloc(1, size);
}

static mail_time loop_now(mail_loop *loop)
{
    return ((sim_loop *)loop)->world->now;
}

static int loop_watch(mail_loop *loop, int fd, mail_watch_fn *fn, void *arg, mail_watch **out)
{
    mail_watch *watch = get(loop, sizeof(*watch));

    if (watch == NULL) {
        return MAIL_ENOMEM;
    }
    *watch = (mail_watch){.loop = (sim_loop *)loop, .fd = fd, .fn = fn, .arg = arg};
    list_init(&watch->ready);
    watch->loop->world->watches++;
    sim_fd_set_watch(watch->loop->world, fd, watch);
    *out = watch;
    return MAIL_OK;
}

void sim_watch_check(mail_watch *watch)
{
    sim_world *world = watch->loop->world;
    bool due = (watch->interest & sim_fd_ready(world, watch->fd)) != 0;

    list_remove(&watch->ready);
    if (due) {
        list_push_back(&world->ready, &watch->ready);
    }
}

mail_watch *sim_watch_of_link(list *link)
{
    return LIST_OWNER(link, mail_watch, ready);
}

void sim_watch_run(mail_watch *watch)
{
    sim_world *world = watch->loop->world;
    unsigned events = watch->interest & sim_fd_ready(world, watch->fd);

    list_remove(&watch->ready);
    if (events == 0) {
        return;
    }
    world->running = watch;
    watch->fn(events, watch->arg);
    if (world->running == watch) { /* not unwatched meanwhile */
        sim_watch_check(watch);
    }
    world->running = NULL;
}

static void loop_watch_set(mail_watch *watch, unsigned interest)
{
    watch->interest = interest;
    sim_watch_check(watch);
}

static void loop_unwatch(mail_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    list_remove(&watch->ready);
    if (watch->loop->world->running == watch) {
        watch->loop->world->running = NULL;
    }
    sim_fd_unset_watch(watch->loop->world, watch->fd, watch);
    watch->loop->world->watches--;
    free(watch);
}

static void run_timer(void *arg)
{
    mail_timer *timer = arg;

    timer->fn(timer->arg);
}

static int loop_timer(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out)
{
    mail_timer *timer = get(loop, sizeof(*timer));

    if (timer == NULL) {
        return MAIL_ENOMEM;
    }
    *timer = (mail_timer){.loop = (sim_loop *)loop, .fn = fn, .arg = arg};
    timer->event = (sim_event){.fn = run_timer, .arg = timer};
    timer->loop->world->timers++;
    *out = timer;
    return MAIL_OK;
}

static void loop_timer_set(mail_timer *timer, mail_time when)
{
    if (when == MAIL_NEVER) {
        sim_event_unset(timer->loop->world, &timer->event);
    } else {
        sim_event_set(timer->loop->world, &timer->event, when);
    }
}

static void loop_untimer(mail_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    sim_event_unset(timer->loop->world, &timer->event);
    timer->loop->world->timers--;
    free(timer);
}

static mail_time work_time(sim_loop *loop)
{
    mail_duration span = loop->work_max - loop->work_min;

    return loop->world->now + loop->work_min +
           (span > 0 ? (mail_duration)sim_below(loop->world, (uint64_t)span) : 0);
}

static void run_work(void *arg)
{
    work *job = arg;

    if (!job->has_run) {
        job->has_run = true;
        job->run(job->arg);
        sim_event_set(job->loop->world, &job->event, work_time(job->loop));
        return;
    }
    job->loop->world->works--;
    job->loop->works--;
    job->done(job->arg);
    free(job);
}

static int loop_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    work *job = get(loop, sizeof(*job));

    if (job == NULL) {
        return MAIL_ENOMEM;
    }
    *job = (work){.loop = (sim_loop *)loop, .run = run, .done = done, .arg = arg};
    job->event = (sim_event){.fn = run_work, .arg = job};
    job->loop->world->works++;
    job->loop->works++;
    sim_event_set(job->loop->world, &job->event, work_time(job->loop));
    return MAIL_OK;
}

static void run_bell(void *arg)
{
    mail_bell *bell = arg;

    bell->rung = false;
    bell->fn(bell->arg);
}

static int loop_bell(mail_loop *loop, mail_bell_fn *fn, void *arg, mail_bell **out)
{
    mail_bell *bell = get(loop, sizeof(*bell));

    if (bell == NULL) {
        return MAIL_ENOMEM;
    }
    *bell = (mail_bell){.loop = (sim_loop *)loop, .fn = fn, .arg = arg};
    bell->event = (sim_event){.fn = run_bell, .arg = bell};
    bell->loop->world->bells++;
    *out = bell;
    return MAIL_OK;
}

static void loop_ring(mail_bell *bell)
{
    if (!bell->rung) {
        bell->rung = true;
        sim_event_set(bell->loop->world, &bell->event, bell->loop->world->now);
    }
}

static void loop_unbell(mail_bell *bell)
{
    if (bell == NULL) {
        return;
    }
    sim_event_unset(bell->loop->world, &bell->event);
    bell->loop->world->bells--;
    free(bell);
}

void sim_loop_init(sim_loop *loop, sim_world *world)
{
    static const mail_loop_ops ops = {
        .now = loop_now,
        .watch = loop_watch,
        .watch_set = loop_watch_set,
        .unwatch = loop_unwatch,
        .timer = loop_timer,
        .timer_set = loop_timer_set,
        .untimer = loop_untimer,
        .work = loop_work,
        .bell = loop_bell,
        .ring = loop_ring,
        .unbell = loop_unbell,
    };

    *loop = (sim_loop){.loop = {&ops}, .world = world, .work_max = MAIL_MILLISECOND};
}
