/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_RELAY_RELAY_H
#define EXAMPLES_RELAY_RELAY_H

#include <stdatomic.h>

#include <mail/deliver.h>
#include <mail/queue.h>
#include <mail/receive.h>
#include <mail/resolver.h>
#include <mail/store.h>

#include "common/lasting.h"
#include "common/server.h"
#include "common/server_loop.h"
#include "common/server_metrics.h"
#include "common/supervisor.h"
#include "config.h"

/*
 * A relay is four parts of the library, put together: a queue, what fills it, what empties it,
 * and a loop under both.
 *
 *     mail_receive -> mail_queue -> mail_deliver -> other hosts, mailboxes
 */
typedef struct relay {
    relay_config config;
    int argc;
    char **argv;
    supervisor supervisor;
    server_log log;
    server_loop *runner;
    mail_loop *loop;
    relay_tables tables; /* until others take them, but for the accounts */
    uint8_t disguise[LASTING_SIZE];
    mail_store *store;
    mail_resolver *resolver;
    mail_queue *queue;
    _Atomic(mail_deliver *) deliver; /* woken by the queue's own thread */
    mail_receive *receive;
    server_metrics metrics;
    mail_timer *drain_timer;
    int draining; /* parts that have not come to rest yet */
    bool is_stopping;
} relay;

/*
 * settle.c: all that needs the rights with which we were started, and then gives them up: reads
 * files, opens ports. Exit codes.
 */
int relay_settle(relay *rl);

/* Warns of files that serve, but that somebody should look after. */
void relay_doubt(const server_log *log, const relay_config *config, const relay_tables *tables);

/* Whether passwords are had from commands, which need what we give up. */
bool relay_runs_commands(const relay_config *config);

/* Everything that is to be there before the first connection, but for the loop. Exit codes. */
int relay_make(relay *rl);

/* Shows how long the certificates of `tables` last, which are still in them. MAIL_ENOMEM. */
int relay_measure(relay *rl, const relay_config *config, const relay_tables *tables);

/* Sessions to come get the certificates of `tables`; without any they keep what they have. */
void relay_take_tls(relay *rl, relay_tables *tables);

/* Mail to come goes out as `tables` say. */
void relay_take_outgoing(relay *rl, relay_tables *tables);

/* Opens all listeners and says in `ready` where they are. */
int relay_listen(relay *rl, server_ready *ready);

/* Undoes both, however far they came. */
void relay_unmake(relay *rl);

/* Whether the spool, if there is one, could be opened: EX_OK, or EX_CONFIG once it has been said why not. */
int relay_check_spool(const relay_config *config);

/* Says what is wrong, in one line, and returns the exit code. */
int relay_fail(int exit_code, const char *what, const char *why);

#endif
