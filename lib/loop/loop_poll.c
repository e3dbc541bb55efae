/* SPDX-License-Identifier: MIT */
#include <mail/loop_poll.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/timers.h"
#include "loop/workers.h"

/*
 * One round: wait, read the clock, ring bells, collect work, call timers, call
 * watches. The entries of poll(2) and their watches stand in two arrays of the
 * same order. What is unwatched in a round leaves a hole, so that the round's
 * walk stays valid; holes are closed before the next wait. Entry 0 is the pipe
 * that wakes the loop from other threads.
 */

struct mail_watch {
    mail_loop_poll *loop;
    mail_watch_fn *fn;
    void *arg;
    size_t place;
    int fd;
};

struct mail_bell {
    mail_loop_poll *loop;
    list link;
    mail_bell_fn *fn;
    void *arg;
    atomic_bool rung;
};

struct mail_loop_poll {
    mail_loop loop;
    const mail_mem *mem;
    mail_time now;
    loop_timers timers;
    loop_workers workers;
    list bells;
    struct pollfd *entries;
    mail_watch **watches; /* NULL: a hole */
    size_t count;
    size_t capacity;
    size_t holes;
    size_t interested; /* watches with an interest */
    atomic_bool woken; /* a byte is in the pipe, or soon will be */
    int wake_write;
    bool running;
    bool stopped;
};

/* Outside a round there is no start of one: whoever sets up takes a fresh look. */
static mail_time poll_now(mail_loop *loop)
{
    mail_loop_poll *pl = (mail_loop_poll *)loop;

    if (!pl->running) {
        pl->now = clock_monotonic();
    }
    return pl->now;
}

static int reserve(mail_loop_poll *pl)
{
    size_t capacity = pl->capacity > 0 ? pl->capacity * 2 : 16;
    struct pollfd *entries;
    mail_watch **watches;

    if (pl->count < pl->capacity) {
        return MAIL_OK;
    }
    entries = mem_alloc(pl->mem, capacity * sizeof(*entries));
    watches = mem_alloc(pl->mem, capacity * sizeof(mail_watch *));
    if (entries == NULL || watches == NULL) {
        mem_free(pl->mem, entries, capacity * sizeof(*entries));
        mem_free(pl->mem, watches, capacity * sizeof(mail_watch *));
        return MAIL_ENOMEM;
    }
    if (pl->count > 0) {
        memcpy(entries, pl->entries, pl->count * sizeof(*entries));
        memcpy(watches, pl->watches, pl->count * sizeof(mail_watch *));
    }
    mem_free(pl->mem, pl->entries, pl->capacity * sizeof(*entries));
    mem_free(pl->mem, pl->watches, pl->capacity * sizeof(mail_watch *));
    pl->entries = entries;
    pl->watches = watches;
    pl->capacity = capacity;
    return MAIL_OK;
}

static int poll_watch(mail_loop *loop, int fd, mail_watch_fn *fn, void *arg, mail_watch **out)
{
    mail_loop_poll *pl = (mail_loop_poll *)loop;
    mail_watch *watch;

    if (reserve(pl) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    watch = mem_alloc(pl->mem, sizeof(*watch));
    if (watch == NULL) {
        return MAIL_ENOMEM;
    }
    *watch = (mail_watch){.loop = pl, .fn = fn, .arg = arg, .place = pl->count, .fd = fd};
    pl->entries[pl->count] = (struct pollfd){.fd = -1};
    pl->watches[pl->count] = watch;
    pl->count++;
    *out = watch;
    return MAIL_OK;
}

/* Without an interest the entry is -1: poll(2) would report a hang-up again and again. */
static void poll_watch_set(mail_watch *watch, unsigned interest)
{
    mail_loop_poll *pl = watch->loop;
    struct pollfd *entry = &pl->entries[watch->place];
    int events = (interest & MAIL_READABLE ? POLLIN : 0) | (interest & MAIL_WRITABLE ? POLLOUT : 0);

    pl->interested -= entry->fd >= 0 ? 1 : 0;
    pl->interested += events != 0 ? 1 : 0;
    entry->fd = events != 0 ? watch->fd : -1;
    entry->events = (short)events;
}

static void poll_unwatch(mail_watch *watch)
{
    mail_loop_poll *pl;

    if (watch == NULL) {
        return;
    }
    pl = watch->loop;
    poll_watch_set(watch, 0);
    pl->watches[watch->place] = NULL;
    pl->holes++;
    mem_free(pl->mem, watch, sizeof(*watch));
}

static void close_holes(mail_loop_poll *pl)
{
    size_t to = 1;

    if (pl->holes == 0) {
        return;
    }
    for (size_t from = 1; from < pl->count; from++) {
        if (pl->watches[from] != NULL) {
            pl->watches[to] = pl->watches[from];
            pl->entries[to] = pl->entries[from];
            pl->watches[to]->place = to;
            to++;
        }
    }
    pl->count = to;
    pl->holes = 0;
}

static int poll_timer(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out)
{
    return loop_timers_add(&((mail_loop_poll *)loop)->timers, loop, fn, arg, out);
}

static void poll_timer_set(mail_timer *timer, mail_time when)
{
    loop_timers_set(&((mail_loop_poll *)timer->loop)->timers, timer, when);
}

static void poll_untimer(mail_timer *timer)
{
    if (timer != NULL) {
        loop_timers_remove(&((mail_loop_poll *)timer->loop)->timers, timer);
    }
}

/* On any thread and in signal handlers: only atomics and write(2). */
static void wake(void *arg)
{
    mail_loop_poll *pl = arg;

    if (!atomic_exchange(&pl->woken, true)) {
        int number = errno;
        ssize_t n = write(pl->wake_write, "", 1);

        (void)n; /* the pipe is never full: one byte at a time is in it */
        errno = number;
    }
}

static int poll_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    return loop_workers_add(&((mail_loop_poll *)loop)->workers, run, done, arg);
}

static int poll_bell(mail_loop *loop, mail_bell_fn *fn, void *arg, mail_bell **out)
{
    mail_loop_poll *pl = (mail_loop_poll *)loop;
    mail_bell *bell = mem_alloc(pl->mem, sizeof(*bell));

    if (bell == NULL) {
        return MAIL_ENOMEM;
    }
    bell->loop = pl;
    bell->fn = fn;
    bell->arg = arg;
    atomic_init(&bell->rung, false);
    list_push_back(&pl->bells, &bell->link);
    *out = bell;
    return MAIL_OK;
}

static void poll_ring(mail_bell *bell)
{
    atomic_store(&bell->rung, true);
    wake(bell->loop);
}

static void poll_unbell(mail_bell *bell)
{
    if (bell != NULL) {
        list_remove(&bell->link);
        mem_free(bell->loop->mem, bell, sizeof(*bell));
    }
}

static const mail_loop_ops poll_ops = {
    .now = poll_now,
    .watch = poll_watch,
    .watch_set = poll_watch_set,
    .unwatch = poll_unwatch,
    .timer = poll_timer,
    .timer_set = poll_timer_set,
    .untimer = poll_untimer,
    .work = poll_work,
    .bell = poll_bell,
    .ring = poll_ring,
    .unbell = poll_unbell,
};

static int open_pipe(mail_loop_poll *pl)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return mail_error_from_errno(errno);
    }
    pl->entries[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    pl->wake_write = ends[1];
    pl->count = 1;
    return MAIL_OK;
}

int mail_loop_poll_create(mail_loop_poll **out, const mail_mem *mem)
{
    mail_loop_poll *pl = mem_alloc(mem, sizeof(*pl));
    int code;

    if (pl == NULL) {
        return MAIL_ENOMEM;
    }
    pl->loop.ops = &poll_ops;
    pl->mem = mem;
    atomic_init(&pl->woken, false);
    list_init(&pl->bells);
    code = reserve(pl);
    if (code == MAIL_OK) {
        code = open_pipe(pl);
    }
    if (code != MAIL_OK) {
        mem_free(mem, pl->entries, pl->capacity * sizeof(*pl->entries));
        mem_free(mem, pl->watches, pl->capacity * sizeof(mail_watch *));
        mem_free(mem, pl, sizeof(*pl));
        return code;
    }
    loop_timers_init(&pl->timers, mem);
    loop_workers_init(&pl->workers, mem, wake, pl);
    *out = pl;
    return MAIL_OK;
}

void mail_loop_poll_destroy(mail_loop_poll *pl)
{
    if (pl == NULL) {
        return;
    }
    assert(!pl->running);
    assert(pl->count == pl->holes + 1 && list_is_empty(&pl->bells));
    while (pl->workers.under_way > 0) {
        (void)mail_loop_poll_run_once(pl, MAIL_HOUR);
    }
    loop_workers_deinit(&pl->workers);
    loop_timers_deinit(&pl->timers);
    close(pl->entries[0].fd);
    close(pl->wake_write);
    mem_free(pl->mem, pl->entries, pl->capacity * sizeof(*pl->entries));
    mem_free(pl->mem, pl->watches, pl->capacity * sizeof(mail_watch *));
    mem_free(pl->mem, pl, sizeof(*pl));
}

mail_loop *mail_loop_poll_loop(mail_loop_poll *pl)
{
    return &pl->loop;
}

static struct timespec until(mail_loop_poll *pl, mail_time limit)
{
    mail_time next = loop_timers_next(&pl->timers);
    mail_time now = clock_monotonic();
    mail_duration wait;

    if (next > limit) {
        next = limit;
    }
    wait = next > now ? next - now : 0;
    if (wait > MAIL_HOUR) { /* no platform's limit is near it */
        wait = MAIL_HOUR;
    }
    return (struct timespec){.tv_sec = wait / MAIL_SECOND, .tv_nsec = wait % MAIL_SECOND};
}

/* A bell rung again before its turn is called once: it is silenced just before its call. */
static void call_bells(mail_loop_poll *pl)
{
    list rung;
    list *link;

    list_init(&rung);
    for (list *next, *at = pl->bells.next; at != &pl->bells; at = next) {
        next = at->next;
        if (atomic_load(&LIST_OWNER(at, mail_bell, link)->rung)) {
            list_remove(at);
            list_push_back(&rung, at);
        }
    }
    while ((link = list_pop_front(&rung)) != NULL) {
        mail_bell *bell = LIST_OWNER(link, mail_bell, link);

        list_push_back(&pl->bells, link);
        atomic_store(&bell->rung, false);
        bell->fn(bell->arg);
    }
}

/* The mark is taken back before the bells are looked at, so that none is missed. */
static void answer_wake(mail_loop_poll *pl)
{
    char bytes[8];
    ssize_t n;

    if (pl->entries[0].revents == 0) {
        return;
    }
    n = read(pl->entries[0].fd, bytes, sizeof(bytes));
    (void)n;
    atomic_store(&pl->woken, false);
    call_bells(pl);
    loop_workers_collect(&pl->workers);
}

static unsigned seen(const struct pollfd *entry)
{
    unsigned events = 0;

    if (entry->revents & (POLLERR | POLLHUP | POLLNVAL)) {
        events = MAIL_READABLE | MAIL_WRITABLE;
    }
    events |= entry->revents & POLLIN ? MAIL_READABLE : 0;
    events |= entry->revents & POLLOUT ? MAIL_WRITABLE : 0;
    /* An interest that was dropped earlier in the round is no longer served. */
    events &= (entry->events & POLLIN ? MAIL_READABLE : 0U) |
              (entry->events & POLLOUT ? MAIL_WRITABLE : 0U);
    return events;
}

static void call_watches(mail_loop_poll *pl, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        mail_watch *watch = pl->watches[i];
        unsigned events = watch != NULL ? seen(&pl->entries[i]) : 0;

        if (events != 0) {
            watch->fn(events, watch->arg);
        }
    }
}

static int run_round(mail_loop_poll *pl, mail_time limit)
{
    struct timespec wait;
    size_t count;
    int n;

    close_holes(pl);
    wait = until(pl, limit);
    count = pl->count;
    n = ppoll(pl->entries, (nfds_t)count, &wait, NULL);
    if (n < 0 && errno != EINTR) {
        return mail_error_from_errno(errno);
    }
    pl->now = clock_monotonic();
    if (n > 0) {
        answer_wake(pl);
    }
    loop_timers_run(&pl->timers, pl->now);
    if (n > 0) {
        call_watches(pl, count);
    }
    return MAIL_OK;
}

int mail_loop_poll_run_once(mail_loop_poll *pl, mail_duration timeout)
{
    int code;

    pl->now = clock_monotonic();
    pl->running = true;
    code = run_round(pl, timeout < MAIL_NEVER - pl->now ? pl->now + timeout : MAIL_NEVER);
    pl->running = false;
    return code;
}

static bool is_alive(const mail_loop_poll *pl)
{
    return pl->interested > 0 || pl->workers.under_way > 0 || !list_is_empty(&pl->bells) ||
           loop_timers_next(&pl->timers) != MAIL_NEVER;
}

int mail_loop_poll_run(mail_loop_poll *pl)
{
    int code = MAIL_OK;

    pl->now = clock_monotonic();
    pl->running = true;
    while (code == MAIL_OK && !pl->stopped && is_alive(pl)) {
        code = run_round(pl, MAIL_NEVER);
    }
    pl->stopped = false;
    pl->running = false;
    return code;
}

void mail_loop_poll_stop(mail_loop_poll *pl)
{
    pl->stopped = true;
}
