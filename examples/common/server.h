/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_SERVER_H
#define EXAMPLES_COMMON_SERVER_H

#include <mail/address.h>
#include <mail/log.h>
#include <mail/loop.h>

/*
 * What every server of ours does alike: its log on standard error, its signals, and the one
 * line on standard output that says where it listens.
 */

/* A log on standard error, one write a line, from any thread. */
typedef struct server_log {
    mail_log log;
    mail_log_format format;
} server_log;

void server_log_init(server_log *log, mail_log_level level, mail_log_format format);

/* A line with nothing but a text. */
void server_say(const server_log *log, mail_log_level level, const char *what, const char *detail);

/* What happens on a signal, called on the loop. */
typedef struct server_signal_ops {
    void (*on_stop)(void *arg);   /* SIGTERM, SIGINT */
    void (*on_reload)(void *arg); /* SIGHUP */
} server_signal_ops;

/*
 * From now on signals come through `loop`; SIGPIPE is ignored. A process has one set of
 * signals, so this may be called once. MAIL_ENOMEM, MAIL_ESYS.
 */
int server_signals_watch(mail_loop *loop, const server_signal_ops *ops, void *arg);

/* Signals do again what the system does with them. */
void server_signals_unwatch(void);

/* Room for one word a listener. */
#define SERVER_READY_SIZE 4096

/* `ready smtp=127.0.0.1:2525 lmtp=unix:/run/lmtp`: begin with a zeroed one. */
typedef struct server_ready {
    char text[SERVER_READY_SIZE];
} server_ready;

void server_ready_add(server_ready *ready, const char *service, const char *where);
void server_ready_add_endpoint(server_ready *ready, const char *service, const mail_endpoint *at);

/* Prints the line and flushes it. False: standard output is gone. */
bool server_ready_print(const server_ready *ready);

/*
 * As many open files as the system lets this process have. A limit on their length is met as a full
 * disk: an error, and not a signal that would end the process.
 */
void server_raise_limits(void);

/* This host's name as the system knows it. Asks no DNS, which may be down or take its time. */
#define SERVER_HOSTNAME_SIZE MAIL_DOMAIN_SIZE
void server_hostname(char out[SERVER_HOSTNAME_SIZE]);

#endif
