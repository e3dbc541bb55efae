/* SPDX-License-Identifier: MIT */
#include "queue/operate.h"
#include "queue/replies.h"

/* What an operator can do to one recipient; says whether that changed anything. */
typedef bool change_fn(mail_queue *queue, queue_recipient *recipient, mail_time now);

static bool hold(mail_queue *queue, queue_recipient *recipient, mail_time now)
{
    (void)now;
    if (recipient->flags & QUEUE_HELD) {
        return false;
    }
    queue_set_held(queue, recipient, true);
    if ((recipient->flags & QUEUE_LEASED) == 0) {
        queue_lane_stop_waiting(recipient);
    }
    return true;
}

/* A lane that was put off beyond `now` is not any more, and that changes all who wait in it. */
static bool is_wanted_again(const mail_queue *queue, mail_lane *lane, mail_time now)
{
    if (lane->not_before > now) {
        lane->not_before = INT64_MIN;
        lane->round = queue->round;
    }
    return lane->round == queue->round;
}

static bool unhold(mail_queue *queue, queue_recipient *recipient, mail_time now)
{
    bool was_kept = is_wanted_again(queue, recipient->lane, MAIL_NEVER - 1) &&
                    (recipient->flags & QUEUE_LEASED) == 0;

    (void)now;
    if ((recipient->flags & QUEUE_HELD) == 0 && !was_kept) {
        return false;
    }
    queue_set_held(queue, recipient, false);
    if ((recipient->flags & QUEUE_LEASED) == 0) {
        queue_lane_wait(recipient, recipient->due.key);
    }
    return true;
}

static bool flush(mail_queue *queue, queue_recipient *recipient, mail_time now)
{
    bool is_early;

    if (recipient->flags & (QUEUE_HELD | QUEUE_LEASED)) {
        return false;
    }
    is_early = recipient->due.key > now;
    if (!is_wanted_again(queue, recipient->lane, now) && !is_early) {
        return false;
    }
    queue_lane_wait(recipient, is_early ? now : recipient->due.key);
    return true;
}

/* One more try, now, which may be under way; it ends what is not delivered by it. */
static bool expire(mail_queue *queue, queue_recipient *recipient, mail_time now)
{
    mail_time due = recipient->due.key;

    if (recipient->flags & QUEUE_EXPIRED) {
        return false;
    }
    recipient->flags |= QUEUE_EXPIRED;
    queue_set_held(queue, recipient, false);
    if ((recipient->flags & QUEUE_LEASED) == 0) {
        (void)is_wanted_again(queue, recipient->lane, now);
        queue_lane_wait(recipient, due > now ? now : due);
    }
    return true;
}

static bool remove_one(mail_queue *queue, queue_recipient *recipient, mail_time now)
{
    (void)now;
    if (recipient->flags & QUEUE_LEASED) { /* its lease ends it, delivered or not */
        if (recipient->flags & QUEUE_REMOVING) {
            return false;
        }
        recipient->flags |= QUEUE_REMOVING;
        return true;
    }
    queue_set_held(queue, recipient, false);
    queue_index_close(queue, recipient);
    queue->stats.removed++;
    return true;
}

typedef struct operation {
    mail_queue *queue;
    change_fn *change;
    mail_time now;
    int64_t changed;
} operation;

/*
 * Changes those recipients of a message that are meant, and writes down how they stand. Why they
 * wait stays what was last said of them.
 */
static int change_message(queue_message *message, const mail_lane *lane, void *arg)
{
    operation *op = arg;
    queue_record *note = queue_note_begin(op->queue, message, message->count);
    bool has_changed = false;
    queue_replies replies;

    if (note == NULL || queue_replies_load(&replies, op->queue, message) != MAIL_OK) {
        queue_record_destroy(op->queue->mem, note);
        return MAIL_ENOMEM;
    }
    for (uint32_t i = 0; i < message->count; i++) {
        queue_recipient *recipient = &message->recipients[i];

        if (recipient->lane != NULL && (lane == NULL || recipient->lane == lane) &&
            op->change(op->queue, recipient, op->now)) {
            queue_note_add(op->queue, note, recipient, queue_replies_of(&replies, i));
            has_changed = true;
        }
    }
    queue_replies_deinit(&replies);
    op->changed += has_changed ? 1 : 0;
    queue_note_commit(op->queue, note, message);
    return MAIL_OK;
}

static int64_t operate(mail_queue *queue, const mail_queue_selector *which, change_fn *change)
{
    operation op = {.queue = queue, .change = change, .now = queue_now(queue)};
    int code;

    if (queue_select_begins(queue, which)) {
        queue->round++;
    }
    code = queue_select(queue, which, change_message, &op);
    if (op.changed > 0 && queue->opts.on_due != NULL) { /* what was let go may be due at once */
        queue->opts.on_due(queue->opts.on_due_arg);
    }
    return code == MAIL_OK ? op.changed : code;
}

int64_t mail_queue_hold(mail_queue *queue, const mail_queue_selector *which)
{
    return operate(queue, which, hold);
}

int64_t mail_queue_unhold(mail_queue *queue, const mail_queue_selector *which)
{
    return operate(queue, which, unhold);
}

int64_t mail_queue_flush(mail_queue *queue, const mail_queue_selector *which)
{
    queue->flushes++;
    return operate(queue, which, flush);
}

int64_t mail_queue_expire(mail_queue *queue, const mail_queue_selector *which)
{
    queue->flushes++;
    return operate(queue, which, expire);
}

uint32_t mail_queue_flushes(const mail_queue *queue)
{
    return queue->flushes;
}

int64_t mail_queue_remove(mail_queue *queue, const mail_queue_selector *which)
{
    return operate(queue, which, remove_one);
}
