/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <assert.h>

#include "base/ascii.h"
#include "base/mem.h"

static uint64_t hash_of(const mail_queue *queue, mail_span domain)
{
    return hash_bytes_nocase(&queue->seed, domain);
}

static mail_lane *find(mail_queue *queue, mail_span domain, uint64_t hash)
{
    for (table_entry *e = table_first(&queue->lanes, hash); e != NULL; e = table_next(e)) {
        mail_lane *lane = LIST_OWNER(e, mail_lane, by_domain);

        if (mail_span_equal_nocase(mail_lane_domain(lane), domain)) {
            return lane;
        }
    }
    return NULL;
}

static mail_lane *create(mail_queue *queue, mail_span domain, uint64_t hash)
{
    mail_lane *lane = mem_alloc(queue->mem, sizeof(*lane) + domain.length + 1);

    if (lane == NULL) {
        return NULL;
    }
    lane->queue = queue;
    lane->not_before = INT64_MIN;
    lane->domain_length = domain.length;
    list_init(&lane->recipients);
    for (size_t i = 0; i < domain.length; i++) {
        lane->domain[i] = ascii_lower(domain.data[i]);
    }
    if (table_insert(&queue->lanes, &lane->by_domain, hash) != MAIL_OK) {
        mem_free(queue->mem, lane, sizeof(*lane) + domain.length + 1);
        return NULL;
    }
    return lane;
}

int queue_lane_use(mail_queue *queue, mail_span domain, mail_lane **out)
{
    uint64_t hash = hash_of(queue, domain);
    mail_lane *lane;

    pthread_mutex_lock(&queue->lanes_lock);
    lane = find(queue, domain, hash);
    if (lane == NULL) {
        lane = create(queue, domain, hash);
    }
    if (lane != NULL) {
        lane->uses++;
    }
    pthread_mutex_unlock(&queue->lanes_lock);
    *out = lane;
    return lane != NULL ? MAIL_OK : MAIL_ENOMEM;
}

void queue_lane_drop(mail_lane *lane)
{
    mail_queue *queue = lane->queue;

    pthread_mutex_lock(&queue->lanes_lock);
    assert(lane->uses > 0);
    if (--lane->uses > 0) {
        lane = NULL;
    } else {
        table_remove(&queue->lanes, &lane->by_domain);
    }
    pthread_mutex_unlock(&queue->lanes_lock);
    if (lane != NULL) {
        assert(!due_is_in(&lane->due) && list_is_empty(&lane->recipients));
        mem_free(queue->mem, lane, sizeof(*lane) + lane->domain_length + 1);
    }
}

mail_lane *queue_lane_find(mail_queue *queue, mail_span domain)
{
    mail_lane *lane;

    pthread_mutex_lock(&queue->lanes_lock);
    lane = find(queue, domain, hash_of(queue, domain));
    if (lane != NULL) {
        lane->uses++; /* it stays while the caller looks at it */
    }
    pthread_mutex_unlock(&queue->lanes_lock);
    return lane;
}

/* Puts the lane where it belongs among those to be offered. */
static void offer(mail_lane *lane)
{
    mail_queue *queue = lane->queue;
    const due_node *first = lane->waiting.first;
    mail_time at;

    if (lane->is_taken || first == NULL) {
        due_remove(&queue->lanes_due, &lane->due);
        return;
    }
    at = first->key > lane->not_before ? first->key : lane->not_before;
    if (!due_is_in(&lane->due) || lane->due.key != at) {
        due_remove(&queue->lanes_due, &lane->due);
        due_insert(&queue->lanes_due, &lane->due, at);
    }
}

void queue_lane_wait(queue_recipient *recipient, mail_time due)
{
    mail_lane *lane = recipient->lane;

    due_remove(&lane->waiting, &recipient->due);
    due_insert(&lane->waiting, &recipient->due, due);
    offer(lane);
}

void queue_lane_stop_waiting(queue_recipient *recipient)
{
    mail_time due = recipient->due.key;

    due_remove(&recipient->lane->waiting, &recipient->due);
    recipient->due.key = due; /* for when it waits again */
    offer(recipient->lane);
}

void queue_lane_join(mail_lane *lane, queue_recipient *recipient, mail_time due)
{
    recipient->lane = lane;
    list_push_back(&lane->recipients, &recipient->in_lane);
    if (recipient->flags & QUEUE_HELD) {
        recipient->due.key = due;
    } else {
        queue_lane_wait(recipient, due);
    }
}

void queue_lane_leave(queue_recipient *recipient)
{
    mail_lane *lane = recipient->lane;

    queue_lane_stop_waiting(recipient);
    if (lane->noticed == &recipient->in_lane) {
        lane->noticed =
            recipient->in_lane.prev != &lane->recipients ? recipient->in_lane.prev : NULL;
    }
    list_remove(&recipient->in_lane);
    recipient->lane = NULL;
    queue_lane_drop(lane);
}

mail_span mail_lane_domain(const mail_lane *lane)
{
    return mail_span_of(lane->domain, lane->domain_length);
}

mail_lane *mail_queue_take_lane(mail_queue *queue)
{
    mail_time now = queue_now(queue);
    mail_lane *lane;
    due_node *first;

    queue_drain(queue);
    if (queue->keep_at <= now) {
        queue->keep_at = queue->store->ops->keep(queue->store, now);
    }
    first = queue->lanes_due.first;
    if (first == NULL || first->key > now) {
        return NULL;
    }
    lane = LIST_OWNER(first, mail_lane, due);
    lane->is_taken = true;
    lane->not_before = INT64_MIN;
    offer(lane);
    pthread_mutex_lock(&queue->lanes_lock);
    lane->uses++;
    pthread_mutex_unlock(&queue->lanes_lock);
    return lane;
}

void mail_lane_give_back(mail_lane *lane, mail_time not_before)
{
    assert(lane->is_taken);
    lane->is_taken = false;
    lane->not_before = not_before;
    offer(lane);
    queue_lane_drop(lane);
}

static void offer_kept(table_entry *entry, void *arg)
{
    mail_lane *lane = LIST_OWNER(entry, mail_lane, by_domain);

    (void)arg;
    if (queue_lane_is_kept(lane)) {
        lane->not_before = INT64_MIN;
        offer(lane);
    }
}

void mail_queue_offer_kept(mail_queue *queue)
{
    pthread_mutex_lock(&queue->lanes_lock);
    table_each(&queue->lanes, offer_kept, NULL);
    pthread_mutex_unlock(&queue->lanes_lock);
}

static void count_kept(table_entry *entry, void *arg)
{
    const mail_lane *lane = LIST_OWNER(entry, mail_lane, by_domain);

    *(uint64_t *)arg += queue_lane_is_kept(lane) ? lane->waiting.count : 0;
}

uint64_t queue_lanes_kept(mail_queue *queue)
{
    uint64_t count = 0;

    pthread_mutex_lock(&queue->lanes_lock);
    table_each(&queue->lanes, count_kept, &count);
    pthread_mutex_unlock(&queue->lanes_lock);
    return count;
}

mail_time mail_queue_due_at(const mail_queue *queue)
{
    mail_queue *self = (mail_queue *)queue; /* for its lock */
    const due_node *first = queue->lanes_due.first;
    mail_time at = first != NULL && first->key < queue->keep_at ? first->key : queue->keep_at;
    bool has_arrived;

    pthread_mutex_lock(&self->lock);
    has_arrived = self->due_told;
    pthread_mutex_unlock(&self->lock);
    return has_arrived ? INT64_MIN : at;
}
