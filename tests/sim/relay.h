/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_RELAY_H
#define TESTS_SIM_RELAY_H

#include <mail/accounts.h>
#include <mail/deliver.h>
#include <mail/pop3_service.h>
#include <mail/receive.h>
#include <mail/tls.h>

#include "sim/world.h"
#include "support/fault_files.h"
#include "support/support.h"

/* How often disks misbehave, in parts of a million of operations. */
typedef struct sim_disk_faults {
    unsigned read;
    unsigned write;
    unsigned sync;
    unsigned slow; /* that take seconds */
} sim_disk_faults;

/* What a host is and whom it serves. Everything is borrowed until its end. */
typedef struct sim_relay_options {
    const char *name;
    mail_ip address;
    mail_endpoint dns;
    const mail_span *domains; /* the local ones */
    size_t domain_count;
    const char *const *routes; /* of other domains, as mail_route_table_add takes them */
    size_t route_count;
    const char *aliases;            /* as mail_aliases_read takes them; NULL: none */
    const char *accounts;           /* as mail_accounts_parse takes them: who may read */
    mail_mailbox_of_fn *mailbox_of; /* MAIL_ENOENT: no such user */
    mail_network clients;           /* who may send to other domains */
    bool takes_lmtp;                /* on port 24 */
    mail_tls_context *tls;          /* for STARTTLS, given and taken; NULL: none */
    bool takes_drop;                /* from its spool's folder, and operators through its socket */
    uint64_t max_message_bytes;     /* 0: the library's, as the next two */
    uint32_t max_sessions;
    uint32_t max_sessions_per_client;
    uint32_t max_out;           /* connections to other hosts */
    const mail_duration *retry; /* delays between tries; NULL: the library's */
    size_t retry_count;
    mail_duration give_up;
    mail_duration warn_after;
    mail_log_fn *on_log;           /* told each line of the log; may be NULL */
    mail_delivery_fn *on_delivery; /* told of each try; may be NULL */
    void (*on_outage)(void *arg);  /* the power has gone; may be NULL */
    void *arg;                     /* of all four */
} sim_relay_options;

/*
 * A whole mail host: receiver, queue, delivery agent, resolver, mailboxes and POP3, all of them
 * the library's own code, on a simulated disk. It may lose its power at any moment.
 */
typedef struct sim_relay {
    sim_host host;
    sim_loop loop;
    sim_world *world;
    sim_relay_options opts;
    const char *name;
    fault_files *disk;
    sim_disk_faults faults;
    unsigned no_memory;       /* of a million of allocations: there is none */
    mail_duration wall_ahead; /* how wrong the clock of the wall is */
    mail_test_walk mem;
    mail_mem scarce; /* the same, as the library gets it */
    mail_log log;
    mail_store *store;
    mail_accounts *accounts;
    mail_resolver *resolver;
    mail_queue *queue;
    mail_deliver *deliver;
    mail_receive *receive;
    mail_pop3_service *pop3;
    sim_event stepping; /* of the queue's writer */
    sim_event booting;
    sim_event dying;
    unsigned power_left; /* disk operations until the power goes; 0: it stays */
    mail_duration outage;
    bool silently;
    bool is_up;
    unsigned draining;
    unsigned crashes;
    unsigned starved; /* allocations that failed */
    unsigned failed_boots;
    unsigned failed_in_a_row;
} sim_relay;

/* It boots at once. */
void sim_relay_init(sim_relay *rl, sim_world *world, const sim_relay_options *opts);

/* The power goes; it comes again after `outage`. False: there was none. */
bool sim_relay_crash(sim_relay *rl, mail_duration outage, bool silently);

/* The power goes for good; sim_relay_is_still tells when deinit may follow. */
void sim_relay_switch_off(sim_relay *rl);
bool sim_relay_is_still(const sim_relay *rl);

/* The power goes in the middle of what it does: with the operation on its disk that is the `n`th from now. */
void sim_relay_crash_within(sim_relay *rl, unsigned n, mail_duration outage, bool silently);

/* A program on it drops a message. MAIL_EAGAIN: it is down; any other failure: who knows. */
int sim_relay_drop(sim_relay *rl, const mail_envelope *envelope, mail_span content);

/* The name of its socket for operators. */
#define RELAY_CONTROL "spool/control"

/* NULL, or what it has more of than it may. */
const char *sim_relay_excess(const sim_relay *rl);

/* Whether it is up and has nothing left to do. */
bool sim_relay_is_done(const sim_relay *rl);

/* Ends politely what is under way; sim_relay_is_drained tells when. */
void sim_relay_drain(sim_relay *rl);
bool sim_relay_is_drained(const sim_relay *rl);

/* After a drain, or without power: asserts that nothing is left. */
void sim_relay_deinit(sim_relay *rl);

#endif
