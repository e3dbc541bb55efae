/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_MEASURE_H
#define LIB_MTA_MEASURE_H

#include <mail/metrics.h>
#include <mail/queue.h>
#include <mail/reply.h>

/* What the front of a relay counts; without a registry all are NULL, and counting does nothing. */
typedef struct receive_measure {
    mail_metric *sessions;
    mail_metric *open;
    mail_metric *accepted;
    mail_metric *octets;
    mail_metric *failed;
    mail_metric *recipient; /* refusals: of an address, … */
    mail_metric *policy;
    mail_metric *protocol;
    mail_metric *later;
} receive_measure;

int receive_measure_init(receive_measure *measure, mail_metrics *metrics);
void receive_measure_refusal(const receive_measure *measure, const mail_reply *reply);

/* What the delivery agent counts, and how its queue stands. */
typedef struct deliver_measure {
    mail_metric *delivered;
    mail_metric *failed;
    mail_metric *deferred;
    mail_metric *delay; /* from arrival to the delivery */
    mail_metric *reports;
    mail_metric *messages;
    mail_metric *waiting;
    mail_metric *held;
    mail_metric *active;
    mail_metric *log_bytes;
    mail_metric *damaged;
    mail_metric *connections;
} deliver_measure;

int deliver_measure_init(deliver_measure *measure, mail_metrics *metrics);
void deliver_measure_queue(const deliver_measure *measure, mail_queue *queue);

#endif
