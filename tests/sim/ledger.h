/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_LEDGER_H
#define TESTS_SIM_LEDGER_H

#include <mail/base.h>
#include <mail/log.h>

#include "base/table.h"
#include "sim/world.h"

/*
 * What is known of every message of a world: who took responsibility for it, and what came of it.
 * Addresses carry the number of their message, `user3.17@h0.example`, so that every copy, report
 * and line of a log speaks of one message and one recipient.
 */

/* One address that a message must come to in the end. */
typedef struct sim_fate {
    char address[64];
    bool must_fail;  /* nobody is there */
    bool must_come;  /* a mailbox of a relay: never refused, only late */
    bool may_vanish; /* an operator has removed it, as far as it was still to be delivered */
    unsigned copies;
    unsigned reports; /* of failure */
    unsigned dropped; /* lawfully: discarded by a rule, or nobody wanted a report */
} sim_fate;

/* A recipient as it was submitted: itself, or an alias for several. */
typedef struct sim_rcpt {
    char address[64];
    bool never;         /* NOTIFY=NEVER */
    bool accepted;      /* somebody answered 250 */
    bool refused;       /* for good */
    bool maybe;         /* the answer was lost */
    unsigned ambiguous; /* final replies for it that were lost, anywhere */
    unsigned fate_count;
    sim_fate fates[3];
} sim_rcpt;

/* Relays of a world, at most. */
#define SIM_RELAYS 8

typedef struct sim_message {
    unsigned id;
    char sender[64];
    unsigned rcpt_count;
    sim_rcpt *rcpts;
    size_t size;                   /* of its text, about */
    bool is_utf8;                  /* its text and some addresses */
    bool is_dropped;               /* written into a folder, not sent */
    unsigned taken_by;             /* the relay that took it from there … */
    mail_time taken_at;            /* … when it did so last; 0: never */
    bool lingers;                  /* it could not remove the file */
    unsigned ambiguous;            /* final replies that were lost and concern all of it */
    mail_time touched[SIM_RELAYS]; /* when the relay first had to do with it; 0: never */
} sim_message;

/* A message in a mailbox, as a reader saw it. */
typedef struct sim_copy {
    table_entry by_key;
    char key[160]; /* mailbox and unique id */
    bool may_go;   /* DELE and then QUIT were sent */
    bool is_gone;  /* … and confirmed */
    bool is_seen;  /* at the end */
    uint64_t sum;  /* of what was read: a unique id never stands for something else */
} sim_copy;

/* The power went at a relay. */
typedef struct sim_outage {
    unsigned relay;
    mail_time when;
} sim_outage;

typedef struct sim_ledger {
    sim_world *world;
    sim_message *messages;
    unsigned count;
    table copies;
    table ids; /* whose a queue id is */
    sim_outage *outages;
    unsigned outage_count;
    unsigned lost_reports;
    unsigned encrypted; /* times that a host of ours took a message by TLS */
    /* Counted at the end. */
    unsigned delivered, reported, dropped, vanished, duplicates;
} sim_ledger;

void sim_ledger_init(sim_ledger *ledger, sim_world *world, unsigned messages);
void sim_ledger_deinit(sim_ledger *ledger);

/* The text of a message, wire form, to be free()d. */
char *sim_ledger_body(const sim_message *message, size_t *length);

/* A line of a relay's log, and that one lost its power. */
void sim_ledger_log(sim_ledger *ledger, unsigned relay, const char *what,
                    const mail_log_field *fields, size_t count);
void sim_ledger_crash(sim_ledger *ledger, unsigned relay);

/*
 * An operator is about to remove what is in a queue under `id`, from `sender`, for `address`: a
 * message, or a report on one.
 */
void sim_ledger_remove(sim_ledger *ledger, unsigned relay, const char *id, mail_span sender,
                       mail_span address);

/* A message was seen in the mailbox `user`@`domain`; the copy, counted once. */
sim_copy *sim_ledger_seen(sim_ledger *ledger, const char *user, const char *domain, const char *uid,
                          mail_span content);

/* Somebody outside took a message for `address`. */
void sim_ledger_taken(sim_ledger *ledger, const char *address, mail_span content);

/* At the end: asserts that every promise was kept. */
void sim_ledger_check(sim_ledger *ledger);

/* Prints what was broken and where, then fails. */
void sim_broken(const sim_ledger *ledger, const char *format, ...) MAIL_PRINTF(2, 3);

#endif
