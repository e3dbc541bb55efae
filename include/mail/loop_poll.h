/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LOOP_POLL_H
#define MAIL_LOOP_POLL_H

#include <mail/base.h>
#include <mail/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An event loop that needs nothing but poll(2) and, for blocking work, a few
 * threads of its own: for programs that have no loop, and for up to some
 * hundred connections. Its bells may be rung from signal handlers too.
 */
typedef struct mail_loop_poll mail_loop_poll;

/**
 * Ownership: borrows `mem` (NULL: malloc) until destroy; it is used on the loop's thread only.
 * Errors: MAIL_ENOMEM; MAIL_ELIMIT or MAIL_ESYS when there is no descriptor left.
 */
MAIL_API int mail_loop_poll_create(mail_loop_poll **out, const mail_mem *mem);

/**
 * Ends the threads and frees the loop. What was watched, set or made with it must be gone; work
 * under way is waited for, and its `done` called.
 */
MAIL_API void mail_loop_poll_destroy(mail_loop_poll *loop);

/** The loop as the rest of libmail takes it. Ownership: lends until destroy. */
MAIL_API mail_loop *mail_loop_poll_loop(mail_loop_poll *loop);

/**
 * Runs until mail_loop_poll_stop is called or nothing is left that could call back: no
 * watch with an interest, no set timer, no work, no bell.
 *
 * Errors: those of poll(2), MAIL_ENOMEM and MAIL_EINVAL (more watches than RLIMIT_NOFILE).
 */
MAIL_API int mail_loop_poll_run(mail_loop_poll *loop);

/** Runs one round, which waits at most `timeout` for something to happen (0: not at all). */
MAIL_API int mail_loop_poll_run_once(mail_loop_poll *loop, mail_duration timeout);

/** Makes `run` return after this round; on the loop's thread, from a callback. */
MAIL_API void mail_loop_poll_stop(mail_loop_poll *loop);

#ifdef __cplusplus
}
#endif

#endif
