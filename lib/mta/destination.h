/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DESTINATION_H
#define LIB_MTA_DESTINATION_H

#include <mail/smtp_connection.h>

#include "mta/deliver.h"
#include "mta/job.h"

/* Addresses that are tried for one destination, at most. */
#define PLAN_MAX 32

/* An address to try, and the name by which it is known. */
typedef struct plan_entry {
    host *hst;
    char name[HOST_NAME_SIZE];
} plan_entry;

/*
 * Where mail of one kind goes to: the hosts of a domain, or of a next hop, with the connections
 * to them and the lanes that are served. It exists as long as it has any of these.
 *
 *     lanes -> stash -> an idle session, else a new one
 */
typedef struct destination {
    table_entry by_key;
    list starving; /* in the agent's, while it waits for a connection less than max_out */
    mail_deliver *agent;
    route_book *book; /* from which `hop` lends */
    const mail_nexthop *hop;
    char *key; /* the domain for MX, else the next hop as written */
    mail_tls_level level;
    list lanes;
    job *stash; /* leased, waits for a session */

    list sessions;
    size_t session_count;
    size_t opening;
    uint32_t limit;       /* of sessions: grows with success */
    mail_time open_after; /* no new session before */
    mail_timer *timer;

    plan_entry *plan;
    size_t plan_count;
    size_t plan_capacity;
    size_t plan_host; /* of `hop`, being resolved */
    mail_time plan_expires;
    mail_reply plan_reply; /* why no address was found; in `plan_text` */
    char plan_text[HOST_REPLY_SIZE];
    mail_lookup *lookup;

    bool is_failing;      /* nothing can be reached: tells all messages so */
    mail_outcome failure; /* its text in `failure_text` */
    char failure_text[HOST_REPLY_SIZE];
    const char *failed_name; /* of the host, in the plan; NULL: none was found */
    mail_time not_before;    /* lanes are not wanted again before */
} destination;

/* A connection, for the pool of its destination. */
typedef struct session {
    list link;
    destination *dest;
    mail_smtp_connection *conn;
    host *hst;
    job *jb;         /* NULL: idle, opening or closing */
    job *first;      /* to be sent as soon as it is open; only if it is a second one */
    bool is_opening; /* not greeted yet */
    bool is_ready;   /* may be sent to */
    bool has_tried;  /* a transaction was begun on it … */
    bool is_useful;  /* … and the peer gave a verdict */
    bool is_closing;
    bool is_second; /* for what a better host has refused for now, and nothing else */
    mail_time idle_since;
    mail_tls_level level;     /* of the destination's, raised by what the secret needs */
    secret_lookup *lookup;    /* the host has asked who we are */
    char tls[96];             /* for the log: what was agreed on; empty: in clear */
    mail_time begun_at;       /* it, while it opens; then its message */
    mail_duration connecting; /* until it was ready; told with its first message */
    char name[HOST_NAME_SIZE];
    char where[HOST_NAME_SIZE + MAIL_IP_TEXT_SIZE + 16];
} session;

/* Serves a lane; it is released if there is no memory. */
void destination_take(mail_deliver *agent, const mail_nexthop *hop, lane_hold *hold);

/* Goes on: a session has become ready or gone, an address was found, a limit has moved. */
void destination_go(destination *dest);

/* Gives everything back to the queue, closes everything. */
void destination_destroy(destination *dest);

/* plan.c: finds the addresses. MAIL_OK: they are there, maybe none; MAIL_EAGAIN: destination_go. */
int plan_make(destination *dest);
void plan_forget(destination *dest);

/* session.c */
/* `first`: what a better host has refused for now; NULL: it is for whatever waits. */
int session_open(destination *dest, const plan_entry *entry, job *first);
void session_send(session *ss, job *jb);
void session_quit(session *ss);
void session_destroy(session *ss);

/* Whether there can be a session as safe as is wanted there. */
bool session_is_possible(const destination *dest, const plan_entry *entry);

/* From session.c: `ss` ended without having been of use, for this reason. */
void destination_session_failed(destination *dest, const session *ss, const mail_reply *reply,
                                bool is_local);

/* From session.c: who may be asked now what the host of `ss` has refused for now; NULL: nobody. */
const plan_entry *destination_next(const destination *dest, const session *ss);

/* Asks him, by a session of its own; false: there can be none now, and `jb` is still the caller's. */
bool destination_hand_on(destination *dest, const plan_entry *entry, job *jb);

#endif
