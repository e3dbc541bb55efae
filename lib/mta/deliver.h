/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DELIVER_H
#define LIB_MTA_DELIVER_H

#include <mail/deliver.h>
#include <mail/smtp_client.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/table.h"
#include "mta/bounce.h"
#include "mta/credentials.h"
#include "mta/host.h"
#include "mta/measure.h"

/*
 * How the parts of the delivery agent hang together:
 *
 *     queue -> lane -> [route] -> lane_hold -> destination (pool of sessions) -> job -> outcome
 *                                           \-> local (bounded work)           -> job -> outcome
 *                                                                                 |
 *                          queue <- report <- [bounce] <---------------------------
 *
 * A lane_hold keeps a lane that was taken from the queue; a job keeps a lease.
 */

/* Routes are replaced while destinations still read them. */
typedef struct route_book {
    mail_route_table *table;
    size_t uses;
} route_book;

struct mail_deliver {
    const mail_mem *mem;
    const mail_log *log;
    mail_loop *loop;
    mail_deliver_options opts; /* every default filled in */
    char *hostname;
    route_book *routes;
    mail_tls_context *tls; /* NULL: none can be had */
    mail_tls_cache *tls_cache;
    mail_tls_policy_table *tls_policies; /* NULL: `may` for all */
    mail_credentials_table *credentials; /* NULL: none */
    hash_seed seed;
    table destinations;
    host_book hosts;
    uint32_t flushes; /* of the queue, heeded */
    struct local *local;
    bounce_desk *bounces;
    list starving;   /* destinations that wait for a connection less than max_out */
    list instant;    /* lanes whose mail goes nowhere: discarded, refused */
    list jobs;       /* all of them, for destroy */
    size_t sessions; /* connections open or opening */
    size_t lanes;    /* held */
    deliver_measure measure;
    mail_bell *bell;
    mail_timer *timer;
    mail_time timer_at;
    bool is_draining;
    bool drain_told;
    void (*on_drained)(void *arg);
    void *on_drained_arg;
};

/* A lane of the queue, taken. In a ring of whoever serves it. */
typedef struct lane_hold {
    list link;
    mail_deliver *agent;
    mail_lane *lane;
} lane_hold;

/* Gives the lane back to the queue, not to be offered again before `not_before`. */
void lane_release(lane_hold *hold, mail_time not_before);

/* Not held back by anything but the schedule of the messages in it. */
#define LANE_ANY_TIME INT64_MIN

/* How long something rests for which there was no memory or descriptor. */
#define SHORTAGE_PAUSE (100 * MAIL_MILLISECOND)

/* When a lane is wanted again whose next message could not be leased for `code`. */
mail_time lane_again_at(const mail_deliver *agent, int code);

route_book *route_book_use(route_book *book);
void route_book_drop(const mail_mem *mem, route_book *book);

/* The next hop for a domain; what no rule matches goes by MX. */
const mail_nexthop *route_of(const route_book *book, mail_span domain);

/* Something has come to an end: looks whether it was the last of a drain. */
void deliver_note_end(mail_deliver *agent);

/* Something may be due: the timer of the agent is set to when. */
void deliver_arm(mail_deliver *agent);

/* Calls the agent again soon: a limit that held it back has moved. */
void deliver_call_soon(mail_deliver *agent);

/* How much TLS mail to a domain wants. */
mail_tls_level deliver_tls_level(const mail_deliver *agent, mail_span domain);

mail_wall deliver_wall(const mail_deliver *agent);

#endif
