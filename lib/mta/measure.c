/* SPDX-License-Identifier: MIT */
#include "mta/measure.h"

#include <stddef.h>

/* A metric, and where the struct keeps it. */
typedef struct row {
    mail_metric_about about;
    size_t offset;
} row;

#define COUNTER(name, help)                                                                        \
    {                                                                                              \
        MAIL_METRIC_COUNTER, "libmail_" name, help, NULL, NULL                                     \
    }
#define GAUGE(name, help)                                                                          \
    {                                                                                              \
        MAIL_METRIC_GAUGE, "libmail_" name, help, NULL, NULL                                       \
    }
#define REFUSED(reason)                                                                            \
    {                                                                                              \
        MAIL_METRIC_COUNTER, "libmail_refused_total", "Commands of clients that were refused.",    \
            "reason", reason                                                                       \
    }
#define TRIED(outcome)                                                                             \
    {                                                                                              \
        MAIL_METRIC_COUNTER, "libmail_deliveries_total", "Recipients tried, by what came of it.",  \
            "outcome", outcome                                                                     \
    }
#define RECIPIENTS(state)                                                                          \
    {                                                                                              \
        MAIL_METRIC_GAUGE, "libmail_queue_recipients", "Recipients in the queue.", "state", state  \
    }

static int add_all(mail_metrics *metrics, const row *rows, size_t count, void *measure)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < count && code == MAIL_OK; i++) {
        mail_metric *metric;

        code = mail_metrics_add(metrics, &rows[i].about, &metric);
        memcpy((char *)measure + rows[i].offset, &metric, sizeof(metric));
    }
    return code;
}

int receive_measure_init(receive_measure *measure, mail_metrics *metrics)
{
    static const row rows[] = {
        {COUNTER("sessions_total", "Sessions with clients."), offsetof(receive_measure, sessions)},
        {GAUGE("sessions_open", "Sessions open now."), offsetof(receive_measure, open)},
        {COUNTER("accepted_total", "Messages put into the queue."),
         offsetof(receive_measure, accepted)},
        {COUNTER("accepted_bytes_total", "Octets of these messages."),
         offsetof(receive_measure, octets)},
        {COUNTER("not_accepted_total", "Messages that came whole but could not be stored."),
         offsetof(receive_measure, failed)},
        {REFUSED("recipient"), offsetof(receive_measure, recipient)},
        {REFUSED("policy"), offsetof(receive_measure, policy)},
        {REFUSED("protocol"), offsetof(receive_measure, protocol)},
        {REFUSED("later"), offsetof(receive_measure, later)},
    };

    return add_all(metrics, rows, MAIL_COUNT(rows), measure);
}

/* RFC 3463, section 3: the subject of the enhanced code says what it was about. */
void receive_measure_refusal(const receive_measure *measure, const mail_reply *reply)
{
    if (mail_reply_is_transient(reply)) {
        mail_metric_count(measure->later, 1);
    } else if (reply->status[1] == 1) {
        mail_metric_count(measure->recipient, 1);
    } else if (reply->status[1] == 7) {
        mail_metric_count(measure->policy, 1);
    } else {
        mail_metric_count(measure->protocol, 1);
    }
}

int deliver_measure_init(deliver_measure *measure, mail_metrics *metrics)
{
    static const row rows[] = {
        {TRIED("delivered"), offsetof(deliver_measure, delivered)},
        {TRIED("failed"), offsetof(deliver_measure, failed)},
        {TRIED("deferred"), offsetof(deliver_measure, deferred)},
        {{MAIL_METRIC_HISTOGRAM, "libmail_delivery_delay_seconds",
          "From the arrival of a message to its delivery to a recipient.", NULL, NULL},
         offsetof(deliver_measure, delay)},
        {COUNTER("reports_total", "Reports to senders put into the queue."),
         offsetof(deliver_measure, reports)},
        {GAUGE("queue_messages", "Messages in the queue."), offsetof(deliver_measure, messages)},
        {RECIPIENTS("waiting"), offsetof(deliver_measure, waiting)},
        {RECIPIENTS("held"), offsetof(deliver_measure, held)},
        {RECIPIENTS("active"), offsetof(deliver_measure, active)},
        {GAUGE("queue_log_bytes", "Octets of the log that are in use."),
         offsetof(deliver_measure, log_bytes)},
        {GAUGE("queue_damaged", "Stretches of the log set aside since the start."),
         offsetof(deliver_measure, damaged)},
        {GAUGE("connections_out", "Connections to other hosts, open or opening."),
         offsetof(deliver_measure, connections)},
    };

    return add_all(metrics, rows, MAIL_COUNT(rows), measure);
}

void deliver_measure_queue(const deliver_measure *measure, mail_queue *queue)
{
    mail_queue_stats stats;

    mail_queue_stats_read(queue, &stats);
    mail_metric_set(measure->messages, stats.messages);
    mail_metric_set(measure->held, stats.held);
    mail_metric_set(measure->active, stats.leased);
    mail_metric_set(measure->waiting, stats.recipients > stats.held + stats.leased
                                          ? stats.recipients - stats.held - stats.leased
                                          : 0);
    mail_metric_set(measure->log_bytes, stats.log_bytes_live);
    mail_metric_set(measure->damaged, stats.damaged);
}
