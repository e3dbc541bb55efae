/* SPDX-License-Identifier: MIT */
#include <mail/loop_uv.h>

#include <assert.h>
#include <stdatomic.h>

#include <uv.h>

#include "base/list.h"
#include "base/mem.h"
#include "loop/timers.h"

/*
 * libuv keeps a handle until its close callback has run, so memory that holds a
 * handle is given back only there; `handles` counts what is still to come.
 *
 * All timers share one uv_timer_t, set to the earliest: they cost 64 bytes
 * instead of 216, setting one costs no call of libuv unless it becomes the earliest, and
 * they keep the order and the fairness of lib/loop/timers.h.
 *
 * A bell rung from within a callback of the same loop, as most are, needs no other thread
 * to be woken: it is called at the start of the next round, for no system call at all.
 */

struct mail_watch {
    uv_poll_t poll;
    mail_loop_uv *loop;
    mail_watch_fn *fn;
    void *arg;
    unsigned interest;
};

struct mail_bell {
    uv_async_t async;
    mail_loop_uv *loop;
    mail_bell_fn *fn;
    void *arg;
    list link;
    atomic_bool is_rung; /* by the loop's own thread, within a callback */
};

typedef struct job {
    uv_work_t work;
    mail_loop_uv *loop;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
} job;

struct mail_loop_uv {
    mail_loop loop;
    const mail_mem *mem;
    uv_loop_t *uv;
    uv_loop_t own;
    loop_timers timers;
    uv_timer_t alarm;   /* for the earliest timer */
    mail_time alarm_at; /* MAIL_NEVER: not set */
    uv_idle_t soon;     /* instead of an alarm that is due at once */
    uv_idle_t ringer;   /* for bells that are rung here */
    list bells;
    atomic_bool has_rung;         /* one of them is */
    _Atomic(const void *) inside; /* the mark of the thread that runs a callback; NULL: none does */
    uv_timer_t limit;             /* of run_once */
    size_t objects;               /* watches and bells in use */
    size_t handles;               /* not yet closed, and work under way */
    bool in_timers;
    bool destroyed;
};

/* Its address tells one thread from another. */
static _Thread_local char thread_mark;

static void enter(mail_loop_uv *lp)
{
    atomic_store_explicit(&lp->inside, &thread_mark, memory_order_relaxed);
}

static void on_ringer(uv_idle_t *idle);

/*
 * The ringer is started here, since a bell may be rung by a signal's handler. What was called may
 * have destroyed the loop: then nobody is left to be called, and the ringer's memory will go.
 */
static void leave(mail_loop_uv *lp)
{
    atomic_store_explicit(&lp->inside, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* from here on a handler rings from outside */
    if (atomic_load_explicit(&lp->has_rung, memory_order_relaxed) && !lp->destroyed) {
        uv_idle_start(&lp->ringer, on_ringer);
    }
}

static void free_loop(mail_loop_uv *lp)
{
    loop_timers_deinit(&lp->timers);
    mem_free(lp->mem, lp, sizeof(*lp));
}

static void handle_closed(mail_loop_uv *lp)
{
    lp->handles--;
    if (lp->destroyed && lp->handles == 0 && lp->uv != &lp->own) {
        free_loop(lp);
    }
}

static mail_time uv_adapter_now(mail_loop *loop)
{
    return (mail_time)uv_now(((mail_loop_uv *)loop)->uv) * MAIL_MILLISECOND;
}

static int events_of(unsigned interest)
{
    return (interest & MAIL_READABLE ? UV_READABLE : 0) |
           (interest & MAIL_WRITABLE ? UV_WRITABLE : 0);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void start(mail_watch *watch)
{
    int code = uv_poll_start(&watch->poll, events_of(watch->interest), on_poll);

    assert(code == 0); /* it fails only for a handle that is closing */
    (void)code;
}

/*
 * On POLLERR libuv stops the handle and reports an error. That is news for whoever
 * watches, as any other, and to be told again while it lasts: a UDP socket lives on.
 */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    mail_watch *watch = poll->data;
    mail_loop_uv *lp = watch->loop;
    unsigned seen = watch->interest;

    if (status < 0) {
        start(watch);
    } else {
        seen &= (events & UV_READABLE ? MAIL_READABLE : 0U) |
                (events & UV_WRITABLE ? MAIL_WRITABLE : 0U);
    }
    if (seen != 0) {
        enter(lp);
        watch->fn(seen, watch->arg);
        leave(lp);
    }
}

static int uv_adapter_watch(mail_loop *loop, int fd, mail_watch_fn *fn, void *arg, mail_watch **out)
{
    mail_loop_uv *lp = (mail_loop_uv *)loop;
    mail_watch *watch = mem_alloc(lp->mem, sizeof(*watch));

    if (watch == NULL) {
        return MAIL_ENOMEM;
    }
    if (uv_poll_init(lp->uv, &watch->poll, fd) != 0) {
        mem_free(lp->mem, watch, sizeof(*watch));
        return MAIL_ESYS;
    }
    watch->poll.data = watch;
    watch->loop = lp;
    watch->fn = fn;
    watch->arg = arg;
    lp->objects++;
    lp->handles++;
    *out = watch;
    return MAIL_OK;
}

/* Each uv_poll_start costs two system calls: an interest that stays needs none. */
static void uv_adapter_watch_set(mail_watch *watch, unsigned interest)
{
    if (watch->interest == interest) {
        return;
    }
    watch->interest = interest;
    if (interest == 0) {
        uv_poll_stop(&watch->poll);
    } else {
        start(watch);
    }
}

static void on_watch_closed(uv_handle_t *handle)
{
    mail_watch *watch = handle->data;
    mail_loop_uv *lp = watch->loop;

    mem_free(lp->mem, watch, sizeof(*watch));
    handle_closed(lp);
}

static void uv_adapter_unwatch(mail_watch *watch)
{
    if (watch != NULL) {
        watch->loop->objects--;
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    }
}

static uint64_t whole_milliseconds(mail_duration wait)
{
    return (uint64_t)(wait / MAIL_MILLISECOND + (wait % MAIL_MILLISECOND != 0));
}

static void on_alarm(uv_timer_t *timer);
static void on_soon(uv_idle_t *idle);

/*
 * libuv counts whole milliseconds; rounded up, no timer is early. An uv_timer_t that
 * sets itself to now is called again in the same pass, for ever; an idle handle
 * once a round.
 */
static void set_alarm(mail_loop_uv *lp)
{
    mail_time next = loop_timers_next(&lp->timers);
    mail_time now = uv_adapter_now(&lp->loop);

    if (next == lp->alarm_at || lp->in_timers) {
        return;
    }
    lp->alarm_at = next;
    uv_timer_stop(&lp->alarm);
    uv_idle_stop(&lp->soon);
    if (next <= now) {
        uv_idle_start(&lp->soon, on_soon);
    } else if (next != MAIL_NEVER) {
        uv_timer_start(&lp->alarm, on_alarm, whole_milliseconds(next - now), 0);
    }
}

static void run_timers(mail_loop_uv *lp)
{
    lp->in_timers = true;
    enter(lp);
    loop_timers_run(&lp->timers, uv_adapter_now(&lp->loop));
    leave(lp);
    lp->in_timers = false;
    set_alarm(lp);
}

static void on_alarm(uv_timer_t *timer)
{
    mail_loop_uv *lp = timer->data;

    lp->alarm_at = MAIL_NEVER;
    run_timers(lp);
}

static void on_soon(uv_idle_t *idle)
{
    mail_loop_uv *lp = idle->data;

    uv_idle_stop(idle);
    lp->alarm_at = MAIL_NEVER;
    run_timers(lp);
}

static int uv_adapter_timer(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out)
{
    return loop_timers_add(&((mail_loop_uv *)loop)->timers, loop, fn, arg, out);
}

static void uv_adapter_timer_set(mail_timer *timer, mail_time when)
{
    mail_loop_uv *lp = (mail_loop_uv *)timer->loop;

    loop_timers_set(&lp->timers, timer, when);
    set_alarm(lp);
}

static void uv_adapter_untimer(mail_timer *timer)
{
    mail_loop_uv *lp;

    if (timer == NULL) {
        return;
    }
    lp = (mail_loop_uv *)timer->loop;
    loop_timers_remove(&lp->timers, timer);
    set_alarm(lp);
}

static void on_work(uv_work_t *work)
{
    job *jb = work->data;

    jb->run(jb->arg);
}

static void on_work_done(uv_work_t *work, int status)
{
    job jb = *(job *)work->data;

    (void)status; /* not 0 only after uv_cancel, which nobody calls */
    mem_free(jb.loop->mem, work->data, sizeof(jb));
    enter(jb.loop);
    jb.done(jb.arg);
    leave(jb.loop);
    handle_closed(jb.loop);
}

static int uv_adapter_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    mail_loop_uv *lp = (mail_loop_uv *)loop;
    job *jb = mem_alloc(lp->mem, sizeof(*jb));

    if (jb == NULL) {
        return MAIL_ENOMEM;
    }
    jb->work.data = jb;
    jb->loop = lp;
    jb->run = run;
    jb->done = done;
    jb->arg = arg;
    uv_queue_work(lp->uv, &jb->work, on_work, on_work_done); /* fails only without on_work */
    lp->handles++;
    return MAIL_OK;
}

static void on_async(uv_async_t *async)
{
    mail_bell *bell = async->data;
    mail_loop_uv *lp = bell->loop;

    enter(lp);
    bell->fn(bell->arg);
    leave(lp);
}

/* Bells that are rung meanwhile have their turn in the next round. */
static void on_ringer(uv_idle_t *idle)
{
    mail_loop_uv *lp = idle->data;
    list waiting;
    list *link;

    uv_idle_stop(idle);
    atomic_store(&lp->has_rung, false);
    list_take_all(&waiting, &lp->bells);
    enter(lp);
    while ((link = list_pop_front(&waiting)) != NULL) {
        mail_bell *bell = LIST_OWNER(link, mail_bell, link);

        list_push_back(&lp->bells, link);
        if (atomic_exchange(&bell->is_rung, false)) {
            bell->fn(bell->arg);
        }
    }
    leave(lp);
}

static int uv_adapter_bell(mail_loop *loop, mail_bell_fn *fn, void *arg, mail_bell **out)
{
    mail_loop_uv *lp = (mail_loop_uv *)loop;
    mail_bell *bell = mem_alloc(lp->mem, sizeof(*bell));

    if (bell == NULL) {
        return MAIL_ENOMEM;
    }
    if (uv_async_init(lp->uv, &bell->async, on_async) != 0) {
        mem_free(lp->mem, bell, sizeof(*bell));
        return MAIL_ESYS;
    }
    atomic_init(&bell->is_rung, false);
    list_push_back(&lp->bells, &bell->link);
    bell->async.data = bell;
    bell->loop = lp;
    bell->fn = fn;
    bell->arg = arg;
    lp->objects++;
    lp->handles++;
    *out = bell;
    return MAIL_OK;
}

static void uv_adapter_ring(mail_bell *bell)
{
    mail_loop_uv *lp = bell->loop;

    if (atomic_load_explicit(&lp->inside, memory_order_relaxed) != &thread_mark) {
        uv_async_send(&bell->async);
    } else {
        atomic_store(&bell->is_rung, true);
        atomic_store(&lp->has_rung, true);
    }
}

static void on_bell_closed(uv_handle_t *handle)
{
    mail_bell *bell = handle->data;
    mail_loop_uv *lp = bell->loop;

    mem_free(lp->mem, bell, sizeof(*bell));
    handle_closed(lp);
}

static void uv_adapter_unbell(mail_bell *bell)
{
    if (bell != NULL) {
        list_remove(&bell->link);
        bell->loop->objects--;
        uv_close((uv_handle_t *)&bell->async, on_bell_closed);
    }
}

static const mail_loop_ops uv_ops = {
    .now = uv_adapter_now,
    .watch = uv_adapter_watch,
    .watch_set = uv_adapter_watch_set,
    .unwatch = uv_adapter_unwatch,
    .timer = uv_adapter_timer,
    .timer_set = uv_adapter_timer_set,
    .untimer = uv_adapter_untimer,
    .work = uv_adapter_work,
    .bell = uv_adapter_bell,
    .ring = uv_adapter_ring,
    .unbell = uv_adapter_unbell,
};

int mail_loop_uv_create(mail_loop_uv **out, uv_loop_t *uv, const mail_mem *mem)
{
    mail_loop_uv *lp = mem_alloc(mem, sizeof(*lp));

    if (lp == NULL) {
        return MAIL_ENOMEM;
    }
    lp->loop.ops = &uv_ops;
    lp->mem = mem;
    lp->uv = uv != NULL ? uv : &lp->own;
    lp->alarm_at = MAIL_NEVER;
    if (uv == NULL && uv_loop_init(&lp->own) != 0) {
        mem_free(mem, lp, sizeof(*lp));
        return MAIL_ESYS;
    }
    loop_timers_init(&lp->timers, mem);
    uv_timer_init(lp->uv, &lp->alarm); /* none of these can fail */
    uv_timer_init(lp->uv, &lp->limit);
    uv_idle_init(lp->uv, &lp->soon);
    uv_idle_init(lp->uv, &lp->ringer);
    list_init(&lp->bells);
    lp->alarm.data = lp;
    lp->limit.data = lp;
    lp->soon.data = lp;
    lp->ringer.data = lp;
    lp->handles = 4;
    *out = lp;
    return MAIL_OK;
}

static void on_own_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void mail_loop_uv_destroy(mail_loop_uv *lp)
{
    if (lp == NULL) {
        return;
    }
    assert(lp->objects == 0);
    lp->destroyed = true;
    uv_close((uv_handle_t *)&lp->alarm, on_own_closed);
    uv_close((uv_handle_t *)&lp->limit, on_own_closed);
    uv_close((uv_handle_t *)&lp->soon, on_own_closed);
    uv_close((uv_handle_t *)&lp->ringer, on_own_closed);
    if (lp->uv == &lp->own) {
        int code;

        while (lp->handles > 0) {
            uv_run(&lp->own, UV_RUN_ONCE);
        }
        code = uv_loop_close(&lp->own);
        assert(code == 0);
        (void)code;
        free_loop(lp);
    }
}

mail_loop *mail_loop_uv_loop(mail_loop_uv *lp)
{
    return &lp->loop;
}

uv_loop_t *mail_loop_uv_handle(mail_loop_uv *lp)
{
    return lp->uv;
}

int mail_loop_uv_run(mail_loop_uv *lp)
{
    uv_run(lp->uv, UV_RUN_DEFAULT);
    return MAIL_OK;
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer; /* its only use is to end the wait */
}

/* It repeats: called at the start of the round, before the wait, it must end that too. */
int mail_loop_uv_run_once(mail_loop_uv *lp, mail_duration timeout)
{
    uint64_t wait = whole_milliseconds(timeout);

    if (timeout <= 0) {
        uv_run(lp->uv, UV_RUN_NOWAIT);
        return MAIL_OK;
    }
    uv_update_time(lp->uv);
    uv_timer_start(&lp->limit, on_limit, wait, wait);
    uv_run(lp->uv, UV_RUN_ONCE);
    uv_timer_stop(&lp->limit);
    return MAIL_OK;
}

void mail_loop_uv_stop(mail_loop_uv *lp)
{
    uv_stop(lp->uv);
}
