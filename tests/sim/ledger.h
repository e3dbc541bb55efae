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
    bool must_fail; /* nobody is there */
    bool must_come; /* a mailbox of a relay: never refused, only late */
    unsigned copies;
    unsigned reports; /* of failure */
    unsigned dropped; /* lawfully: discarded by a rule, or nobody wanted a report */
} sim_fate;

/* A recipient as it was submitted: itself, or an alias for several. */
typedef struct sim_rcpt {
    char address[64];
    bool never;    /* NOTIFY=NEVER */
    bool accepted; /* somebody answered 250 */
    bool refused;  /* for good */
    bool maybe;    /* the answer was lost */
    unsigned fate_count;
    sim_fate fates[3];
} sim_rcpt;

#define SIM_RCPTS 6

typedef struct sim_message {
    unsigned id;
    char sender[64];
    unsigned rcpt_count;
    sim_rcpt rcpts[SIM_RCPTS];
    mail_time begun;
    mail_time last;    /* heard of */
    bool is_ambiguous; /* a final reply for it was lost */
} sim_message;

/* A message in a mailbox, as a reader saw it. */
typedef struct sim_copy {
    table_entry by_key;
    char key[160]; /* mailbox and unique id */
    bool may_go;   /* DELE and then QUIT were sent */
    bool is_gone;  /* … and confirmed */
    bool is_seen;  /* at the end */
} sim_copy;

typedef struct sim_ledger {
    sim_world *world;
    sim_message *messages;
    unsigned count;
    table copies;
    mail_time *crashes;
    unsigned crash_count;
    unsigned loose_ambiguous; /* final replies lost that name no message: those of aliases */
    unsigned lost_reports;
    unsigned disk_faults; /* duplicates that a failing disk may excuse */
    /* Counted at the end. */
    unsigned delivered, reported, dropped, duplicates, excused;
} sim_ledger;

void sim_ledger_init(sim_ledger *ledger, sim_world *world, unsigned messages);
void sim_ledger_deinit(sim_ledger *ledger);

/* The text of message `id`, wire form, to be free()d. */
char *sim_ledger_body(unsigned id, size_t *length);

/* A line of a relay's log, and that one lost its power. */
void sim_ledger_log(sim_ledger *ledger, const char *what, const mail_log_field *fields,
                    size_t count);
void sim_ledger_crash(sim_ledger *ledger);

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
