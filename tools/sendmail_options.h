/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_OPTIONS_H
#define TOOLS_SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mail/address.h>

/* Room for `*=` and the smart host. */
#define SENDMAIL_ROUTE_SIZE 600

#define SENDMAIL_RESOLVERS_MAX 8

/*
 * What a caller asked for. Texts lie in argv. Smart host and resolvers are checked: what is wrong
 * with them is told before anything is stored.
 */
typedef struct sendmail_options {
    bool read_recipients; /* -t */
    bool dot_is_data;     /* -i, -oi: a line with only a dot does not end the message */
    bool verbose;         /* -v */
    bool explain;         /* --explain */
    bool no_completion; /* -G: a gateway's messages, whose headers stay as they are, but with -t */
    bool queue_only;    /* -odq: store, do not try */
    bool flushes;       /* -q */
    const char *flush_id; /* -qI, -qR, -qS: what is tried now; all NULL: everything */
    const char *flush_domain;
    const char *flush_sender;
    bool wait; /* --wait, -odi, -odf: the exit code tells what became of it */
    double wait_seconds;
    const char *sender;    /* -f, -r; NULL: the user's own */
    const char *full_name; /* -F */
    const char *notify;    /* -N */
    const char *ret;       /* -R */
    const char *envid;     /* -V */
    const char *spool;
    const char *smart_host;
    const char *tls_out;  /* none, may, require, verify; NULL: may */
    const char *tls_ca;   /* whom to trust; NULL: the system's */
    const char *auth_out; /* HOST:PORT=USER,SOURCE */
    mail_endpoint resolvers[SENDMAIL_RESOLVERS_MAX];
    size_t resolver_count;
    uint16_t smtp_port;
    bool allow_private_mx;
    const char *const *recipients; /* words as given: each may hold a list */
    size_t recipient_count;
} sendmail_options;

typedef enum sendmail_action {
    SENDMAIL_SEND,
    SENDMAIL_HELP,
    SENDMAIL_VERSION,
    SENDMAIL_VERIFY,  /* say where mail to the recipients would go */
    SENDMAIL_SESSION, /* SMTP on standard input and output */
    SENDMAIL_MAILQ,   /* list the queue */
    SENDMAIL_COUNT,   /* how many messages it holds */
    SENDMAIL_FLUSH,   /* try now what waits */
    SENDMAIL_NOTHING, /* harmless and done: exit 0 */
    SENDMAIL_USAGE    /* `problem` says in one line why not */
} sendmail_action;

/*
 * Reads the command line as scripts write it: glued and separate values,
 * clusters, options behind recipients, letters of other sendmails. Sorts `argv`
 * in place: recipients are collected at its start.
 */
sendmail_action sendmail_options_parse(sendmail_options *opts, int argc, char **argv,
                                       char problem[200]);

#endif
