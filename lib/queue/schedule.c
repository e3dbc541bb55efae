/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

static mail_time arrival_of(const mail_queue *queue, const queue_message *message)
{
    return queue_instant(queue, message->arrival_tick);
}

/*
 * Ages are told by the spool's own clock and never by the calendar, so that a calendar set
 * wrong by a year bounces nothing.
 */
bool queue_is_older(const mail_queue *queue, const queue_message *message, mail_duration age,
                    mail_time now)
{
    return now - arrival_of(queue, message) >= age;
}

/* At once, but not before those that came earlier in the same second. */
mail_time queue_fresh_due(mail_queue *queue, uint32_t arrival_tick)
{
    mail_time due = queue_instant(queue, arrival_tick) - MAIL_SECOND;

    queue->fresh_due = due > queue->fresh_due ? due : queue->fresh_due + 1;
    return queue->fresh_due;
}

static mail_time capped(mail_time due, mail_time now, mail_time at)
{
    return at > now && at < due ? at : due;
}

/*
 * The delay for this many attempts, and up to an eighth more so that messages which were
 * refused together don't come back together. A last try falls on the instant of giving
 * up, and one on that of the notice of delay: both are said after a try, not instead of one.
 */
mail_time queue_retry_at(const mail_queue *queue, const queue_message *message,
                         const queue_recipient *recipient, mail_time now)
{
    const mail_queue_options *opts = &queue->opts;
    size_t step = recipient->attempts > 0 ? recipient->attempts - 1U : 0;
    mail_duration delay = opts->retry[step < opts->retry_count ? step : opts->retry_count - 1];
    mail_time arrival = arrival_of(queue, message);
    mail_time due;

    due = now + delay + (mail_duration)random_below(opts->random, (uint64_t)delay / 8 + 1);
    due = capped(due, now, arrival + opts->give_up);
    if ((recipient->flags & QUEUE_WARNED) == 0) {
        due = capped(due, now, arrival + opts->warn_after);
    }
    return due;
}
