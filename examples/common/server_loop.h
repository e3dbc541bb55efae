/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_SERVER_LOOP_H
#define EXAMPLES_SERVER_LOOP_H

/* The loop that a server runs on: libuv's, or that of poll(2) where libmail was built without it. */

#ifdef MAIL_HAVE_UV

#include <mail/loop_uv.h>

typedef mail_loop_uv server_loop;

static inline int server_loop_create(server_loop **out)
{
    return mail_loop_uv_create(out, NULL, NULL);
}

static inline void server_loop_destroy(server_loop *runner)
{
    mail_loop_uv_destroy(runner);
}

static inline mail_loop *server_loop_loop(server_loop *runner)
{
    return mail_loop_uv_loop(runner);
}

static inline int server_loop_run(server_loop *runner)
{
    return mail_loop_uv_run(runner);
}

static inline void server_loop_stop(server_loop *runner)
{
    mail_loop_uv_stop(runner);
}

#else

#include <mail/loop_poll.h>

typedef mail_loop_poll server_loop;

static inline int server_loop_create(server_loop **out)
{
    return mail_loop_poll_create(out, NULL);
}

static inline void server_loop_destroy(server_loop *runner)
{
    mail_loop_poll_destroy(runner);
}

static inline mail_loop *server_loop_loop(server_loop *runner)
{
    return mail_loop_poll_loop(runner);
}

static inline int server_loop_run(server_loop *runner)
{
    return mail_loop_poll_run(runner);
}

static inline void server_loop_stop(server_loop *runner)
{
    mail_loop_poll_stop(runner);
}

#endif

#endif
