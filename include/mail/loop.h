/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LOOP_H
#define MAIL_LOOP_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mail_loop mail_loop;

/** What an adapter makes: a descriptor that is watched, a timer, a bell. Each defines its own. */
typedef struct mail_watch mail_watch;
typedef struct mail_timer mail_timer;
typedef struct mail_bell mail_bell;

/** What to watch a descriptor for, and what was seen. */
enum {
    MAIL_READABLE = 1, /* also at end of file and on error */
    MAIL_WRITABLE = 2
};

/** Called when `events` (MAIL_READABLE, MAIL_WRITABLE) hold for a watched descriptor. */
typedef void mail_watch_fn(unsigned events, void *arg);

/** Called when a timer's instant has come. The timer is then unset. */
typedef void mail_timer_fn(void *arg);

/** Called on the loop after a bell was rung. */
typedef void mail_bell_fn(void *arg);

/**
 * What libmail asks of an event loop. All but `ring` are called on the loop's
 * own thread, and callbacks come from the loop, never from inside these calls.
 */
typedef struct mail_loop_ops {
    /* The monotonic instant at which the current round of events began. */
    mail_time (*now)(mail_loop *loop);

    /* Watches nothing until watch_set. MAIL_ENOMEM, MAIL_ESYS. */
    int (*watch)(mail_loop *loop, int fd, mail_watch_fn *fn, void *arg, mail_watch **out);
    void (*watch_set)(mail_watch *watch, unsigned interest); /* level-triggered */
    void (*unwatch)(mail_watch *watch); /* no callback after it; NULL does nothing */

    /* Set to nothing until timer_set; MAIL_NEVER unsets. */
    int (*timer)(mail_loop *loop, mail_timer_fn *fn, void *arg, mail_timer **out);
    void (*timer_set)(mail_timer *timer, mail_time when);
    void (*untimer)(mail_timer *timer); /* no callback after it; NULL does nothing */

    /* Runs `run` on another thread, then `done` on the loop. MAIL_ENOMEM, MAIL_ESYS:
     * neither runs. Who began it may be gone before it is done, the loop may not. */
    int (*work)(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg);

    /* A bell that any thread may ring: `fn` is then called soon on the loop,
     * once for any number of rings before it is called. Ringing never fails and
     * allocates nothing, which is why the bell is made ahead. */
    int (*bell)(mail_loop *loop, mail_bell_fn *fn, void *arg, mail_bell **out);
    void (*ring)(mail_bell *bell);
    void (*unbell)(mail_bell *bell); /* no callback after it; NULL does nothing */
} mail_loop_ops;

/**
 * An event loop as libmail sees it. An adapter embeds this struct first. An
 * object that is given a loop belongs to that loop's thread.
 */
struct mail_loop {
    const mail_loop_ops *ops;
};

/**
 * The right to answer one question of a service once, on its loop. A plain value of 16 bytes:
 * keep it, copy it. Answering after what asked has gone, or twice, is harmless and gives
 * MAIL_ECANCELED, as long as the service lives. The ticket of an event that is no question is
 * good for nothing.
 */
typedef struct mail_ticket {
    void *service;
    uint32_t slot;
    uint32_t serial;
} mail_ticket;

/** The instant at which the loop's current round began. */
static inline mail_time mail_loop_now(mail_loop *loop)
{
    return loop->ops->now(loop);
}

#ifdef __cplusplus
}
#endif

#endif
