/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_SERVER_LOOP_H
#define EXAMPLES_SERVER_LOOP_H

/* The loop that a server runs on: libuv's, or that of poll(2) where libmail was built without it. */

#ifdef MAIL_HAVE_UV

#include <mail/loop_uv.h>

typedef mail_loop_uv server_loop;

#define SERVER_LOOP(verb)       mail_loop_uv_##verb
#define SERVER_LOOP_CREATE(out) mail_loop_uv_create(out, NULL, NULL)

#else

#include <mail/loop_poll.h>

typedef mail_loop_poll server_loop;

#define SERVER_LOOP(verb)       mail_loop_poll_##verb
#define SERVER_LOOP_CREATE(out) mail_loop_poll_create(out, NULL)

#endif

static inline int server_loop_create(server_loop **out)
{
    return SERVER_LOOP_CREATE(out);
}

static inline void server_loop_destroy(server_loop *runner)
{
    SERVER_LOOP(destroy)(runner);
}

static inline mail_loop *server_loop_loop(server_loop *runner)
{
    return SERVER_LOOP(loop)(runner);
}

static inline int server_loop_run(server_loop *runner)
{
    return SERVER_LOOP(run)(runner);
}

static inline void server_loop_stop(server_loop *runner)
{
    SERVER_LOOP(stop)(runner);
}

#endif
