/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LOOP_UV_H
#define MAIL_LOOP_UV_H

#include <mail/base.h>
#include <mail/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As in <uv.h>, which wants more of the system's headers than plain C11 shows. */
typedef struct uv_loop_s uv_loop_t;

/** libuv as libmail's event loop: the caller's `uv_loop_t`, or one of its own. */
typedef struct mail_loop_uv mail_loop_uv;

/**
 * Makes libmail a guest on `uv`; NULL makes a loop of its own.
 *
 * Ownership: borrows `uv` and `mem` (NULL: malloc) until destroy has finished.
 * Errors: MAIL_ENOMEM, MAIL_ESYS.
 */
MAIL_API int mail_loop_uv_create(mail_loop_uv **out, uv_loop_t *uv, const mail_mem *mem);

/**
 * Gives up the loop. What was watched, set or made with it must be gone; work under
 * way is waited for, and its `done` called. On a caller's `uv_loop_t` that comes in
 * rounds to come, and with it the last handles are closed and the memory freed, as
 * always with libuv: run it until it has nothing left.
 */
MAIL_API void mail_loop_uv_destroy(mail_loop_uv *loop);

/** The loop as the rest of libmail takes it. Ownership: lends until destroy. */
MAIL_API mail_loop *mail_loop_uv_loop(mail_loop_uv *loop);

/** The `uv_loop_t` beneath. Ownership: lends until destroy. */
MAIL_API uv_loop_t *mail_loop_uv_handle(mail_loop_uv *loop);

/**
 * Runs the `uv_loop_t` until mail_loop_uv_stop is called or nothing is left that
 * could call back. Whoever runs it by uv_run need not call this.
 */
MAIL_API int mail_loop_uv_run(mail_loop_uv *loop);

/** Runs one round, which waits at most `timeout` for something to happen (0: not at all). */
MAIL_API int mail_loop_uv_run_once(mail_loop_uv *loop, mail_duration timeout);

/** Makes `run` return after this round; on the loop's thread, from a callback. */
MAIL_API void mail_loop_uv_stop(mail_loop_uv *loop);

#ifdef __cplusplus
}
#endif

#endif
