/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_JOB_H
#define LIB_MTA_JOB_H

#include <mail/dsn.h>

#include "mta/deliver.h"

/* What a sender is to be told about a recipient, until the report is safe in the queue. */
typedef struct notice {
    list link;
    size_t index; /* of the recipient in the lease */
    mail_dsn_action action;
    bool is_local;     /* the reply is ours */
    bool has_expired;  /* FAILED: it was tried for too long */
    mail_reply reply;  /* all texts lie behind this struct */
    mail_span host;    /* that gave the reply; empty: none */
    mail_span address; /* by which the sender knows the recipient */
    size_t size;
} notice;

/* A message leased for some of its recipients, until the queue has been told of each. */
typedef struct job {
    list link;      /* in the agent's jobs */
    list in_report; /* with others of the same message */
    mail_deliver *agent;
    mail_lease *lease;
    list notices;
} job;

/* Where an outcome comes from. */
typedef struct job_site {
    mail_span host;           /* the name of the remote host; empty: we ourselves */
    mail_span where;          /* for the log: host and address, or mailbox */
    mail_span tls;            /* for the log: what the connection is protected by; empty: nothing */
    mail_duration connecting; /* to get there, for this message; 0: a connection was open */
    mail_duration sending;    /* from its beginning to the outcome */
    bool takes_dsn;           /* it reports success itself */
    bool is_final;            /* the message is in its mailbox */
} job_site;

/*
 * Leases the next message of a lane, with its recipients in all domains for which `same` (NULL:
 * none) says true. MAIL_ENOENT: nothing is due; MAIL_EIO, MAIL_ENOMEM.
 */
int job_lease(job **out, mail_deliver *agent, mail_lane *lane,
              bool (*same)(mail_span domain, void *arg), void *arg);

/* The same of what is overdue (mail_lane_lease_overdue), to be told without a try. */
int job_lease_overdue(job **out, mail_deliver *agent, mail_lane *lane);

static inline size_t job_count(const job *jb)
{
    return mail_envelope_count(mail_lease_envelope(jb->lease));
}

/* Says what became of a recipient. UNTRIED says nothing: it stays as due as it was. */
void job_tell(job *jb, size_t index, const mail_outcome *outcome, const job_site *site);
void job_tell_all(job *jb, const mail_outcome *outcome, const job_site *site);

/* Says in the log that a host has refused a recipient for now, and that another is asked at once. */
void job_tell_elsewhere(const job *jb, size_t index, const mail_outcome *outcome,
                        const job_site *site);

/* Waits for an operator. */
void job_hold_all(job *jb, const mail_reply *reply);

/*
 * All is told: ends the lease, at once or, where senders must hear of it, when the
 * report is in the queue. `jb` is gone.
 */
void job_end(job *jb);

/* For the end of a report, and of the agent. */
void job_settle(job *jb, bool reported);
void job_drop(job *jb);

#endif
