/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LOGINS_H
#define LIB_NET_LOGINS_H

#include "base/list.h"
#include "base/table.h"
#include "net/login.h"
#include "net/login_guard.h"
#include "net/login_job.h"

/*
 * What logins.c (those of a service, and the line before its workers), login.c (one of them) and
 * login_ask.c (the question to the embedder) share.
 */

/*
 *   begin ──> LOGIN_WAITING ──> LOGIN_WORKING ──────────> LOGIN_ANSWERED ──> end
 *     │          ^     │             │                          ^
 *     v          │     │ barred      │ wrong                    │
 *   LOGIN_ASKING ┘     v             v                          │
 *         └────────> LOGIN_DELAYED <─┘ ──────── timer ──────────┘
 *
 * `end` is possible anywhere; a login that is LOGIN_WORKING then lives on until the worker is done.
 */
typedef enum login_state {
    LOGIN_ASKING,  /* the embedder owes an answer */
    LOGIN_WAITING, /* for a worker */
    LOGIN_WORKING,
    LOGIN_DELAYED, /* the answer waits for the timer */
    LOGIN_ANSWERED,
} login_state;

/* The lines before the workers; whoever stands in the first one comes first. */
enum {
    LINE_KNOWN, /* hosts that have logged in to that name of late: no flood of guesses keeps them out */
    LINE_OTHERS,
    LINES
};

struct net_logins {
    mail_loop *loop;
    const mail_mem *mem;
    unsigned holders; /* the service, and each login */
    mail_login_options opts;
    mail_accounts *accounts;
    void (*on_idle)(void *arg);
    void *arg;
    bool is_closed; /* the service is gone */
    login_guard guard;
    table asking; /* by serial */
    list waiting[LINES];
    uint32_t waiting_count[LINES];
    uint32_t working;
    uint64_t last_serial;
};

struct net_login {
    list link; /* in `waiting[line]` */
    unsigned line;
    table_entry entry; /* in `asking` */
    net_logins *logins;
    login_state state;
    net_login_fn *fn; /* NULL: nobody waits for it any more */
    void *arg;
    mail_timer *timer;
    mail_ip client;
    bool is_unix;
    bool is_later; /* no answer: try again later */
    login_try try;
    login_job job;
    char *text; /* of the question */
    size_t text_size;
    char *told; /* by the embedder: secret, user and mailbox, each with a NUL */
    size_t told_size;
    mail_span told_user;
    const char *told_mailbox;
};

/* Lets go of the logins; the last holder frees them. */
void logins_release(net_logins *ls);

mail_time logins_now(const net_logins *ls);

/* Gets in line for a worker, or is told to try again later. It may be gone afterwards. */
void logins_line_up(net_login *login);
void logins_leave_line(net_login *login);

/* Asks the embedder; an answer is for a worker like any other. */
void login_ask(net_login *login);

/* The worker is done. The login may be gone afterwards. */
void login_take_answer(net_login *login);

/* No answer can be had, and that is no fault of the client's: it hears so from the loop. */
void login_put_off(net_login *login);

/* Copies `text`, with a NUL, to `*to`, which moves behind it. */
char *login_keep(char **to, mail_span text);

void login_free(net_login *login);

#endif
