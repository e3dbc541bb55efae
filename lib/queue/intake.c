/* SPDX-License-Identifier: MIT */
#include "queue/intake.h"

#include <assert.h>

#include "base/mem.h"

int mail_intake_open(mail_intake **out, mail_queue *queue, mail_wake_fn *wake, void *arg)
{
    mail_intake *intake = mem_alloc(queue->mem, sizeof(*intake));

    if (intake == NULL) {
        return MAIL_ENOMEM;
    }
    intake->queue = queue;
    intake->wake = wake;
    intake->wake_arg = arg;
    list_init(&intake->blocked);
    list_init(&intake->gathered);
    intake->gathered_count = 0;
    list_init(&intake->idle);
    list_init(&intake->done);
    pthread_mutex_lock(&queue->lock);
    list_push_back(&queue->intakes, &intake->in_queue);
    queue->intake_count++;
    pthread_mutex_unlock(&queue->lock);
    *out = intake;
    return MAIL_OK;
}

void mail_intake_close(mail_intake *intake)
{
    mail_queue *queue;
    list *link;

    if (intake == NULL) {
        return;
    }
    queue = intake->queue;
    assert(intake->begun == 0);
    pthread_mutex_lock(&queue->lock);
    while (intake->wakers > 0) { /* what woke it may not be done with it yet */
        pthread_cond_wait(&queue->unwoken, &queue->lock);
    }
    list_remove(&intake->in_queue);
    queue->intake_count--;
    pthread_mutex_unlock(&queue->lock);
    while ((link = list_pop_front(&intake->idle)) != NULL) {
        queue_sink_destroy(LIST_OWNER(link, queue_sink, in_list));
    }
    mem_free(queue->mem, intake, sizeof(*intake));
}

int mail_queue_has_room(mail_queue *queue, uint64_t expected)
{
    return queue->store->ops->room(queue->store, expected);
}

int mail_intake_begin(mail_intake *intake, const mail_envelope *envelope, uint64_t expected,
                      char id[MAIL_QUEUE_ID_SIZE], mail_sink **out)
{
    queue_sink *sink;
    int code;

    assert(mail_envelope_count(envelope) > 0);
    code = mail_queue_has_room(intake->queue, expected);
    if (code != MAIL_OK) {
        return code;
    }
    code = queue_sink_begin(intake, envelope, expected, &sink);
    if (code != MAIL_OK) {
        return code;
    }
    queue_id_print(sink->record.header.id, id);
    *out = &sink->sink;
    return MAIL_OK;
}

static void submit_gathered(mail_intake *intake)
{
    if (intake->gathered_count > 0) {
        intake->gathered_count = 0;
        intake->queue->store->ops->submit(intake->queue->store, &intake->gathered);
    }
}

/* Has `mail_intake_poll` called in the next round of this thread's loop. */
static void ask_for_poll(mail_intake *intake)
{
    mail_queue *queue = intake->queue;
    bool is_told;

    pthread_mutex_lock(&queue->lock);
    is_told = intake->is_told;
    intake->is_told = true;
    pthread_mutex_unlock(&queue->lock);
    if (!is_told) {
        intake->wake(intake->wake_arg);
    }
}

/*
 * Messages that end in one round of the loop go to the writer together: woken by the first, it
 * would sync that one by itself. A quarter of all that are on their way in is enough, so
 * that some are synced while others come in.
 */
void queue_intake_gather(mail_intake *intake, queue_record *record)
{
    list_push_back(&intake->gathered, &record->link);
    intake->gathered_count++;
    if (intake->gathered_count >= intake->begun / 4) {
        submit_gathered(intake);
    } else if (intake->gathered_count == 1) {
        ask_for_poll(intake);
    }
}

static void tell(queue_sink *sink)
{
    mail_finish_fn *finished = sink->finished;
    void *arg = sink->finished_arg;
    int code = sink->record.code;

    sink->intake->owed--;
    if (code == MAIL_OK) {
        sink->message = NULL; /* the index has it */
        queue_sink_release(sink);
    } else {
        queue_sink_discard(sink);
    }
    finished(code, arg);
}

static void give_room(mail_intake *intake)
{
    list blocked;
    list *link;

    list_take_all(&blocked, &intake->blocked);
    while ((link = list_pop_front(&blocked)) != NULL) {
        mail_sink *sink = &LIST_OWNER(link, queue_sink, in_list)->sink;

        if (sink->on_room != NULL) {
            sink->on_room(sink->on_room_arg);
        }
    }
}

void mail_intake_poll(mail_intake *intake)
{
    mail_queue *queue = intake->queue;
    bool has_room;
    list done;
    list *link;

    submit_gathered(intake);
    pthread_mutex_lock(&queue->lock);
    list_take_all(&done, &intake->done);
    intake->is_told = false;
    has_room = intake->wants_room && atomic_load(&queue->waiting_bytes) <= QUEUE_WAITING_MAX / 2;
    intake->wants_room = intake->wants_room && !has_room;
    pthread_mutex_unlock(&queue->lock);

    while ((link = list_pop_front(&done)) != NULL) {
        tell(LIST_OWNER(link, queue_record, link)->sink);
    }
    if (has_room) {
        give_room(intake);
    }
}

/* The flush goes by itself where there is no writer, and one that is stuck tries again. */
void mail_intake_settle(mail_intake *intake)
{
    queue_store *store = intake->queue->store;

    while (intake->owed > 0) {
        store->ops->flush(store);
        mail_intake_poll(intake);
    }
}

/* Hands one record to whoever must know; called with the lock held. */
static void distribute(mail_queue *queue, queue_record *record)
{
    queue_sink *sink = record->sink;

    if (sink == NULL) {
        list_push_back(&queue->settled, &record->link);
        return;
    }
    if (record->code == MAIL_OK) {
        sink->message->place = record->place;
        list_push_back(&queue->arrived, &sink->message->in_order);
    }
    if (!record->is_alone) {
        list_push_back(&sink->intake->done, &record->link);
    }
}

/* How many intakes are woken between two looks at what else has to be. */
#define AT_ONCE 64

/* Marks intakes that have something to do and have not been told; the lock is held. */
static size_t gather_to_wake(mail_queue *queue, mail_intake *found[AT_ONCE])
{
    bool has_room = atomic_load(&queue->waiting_bytes) <= QUEUE_WAITING_MAX / 2;
    size_t count = 0;

    for (list *at = queue->intakes.next; at != &queue->intakes && count < AT_ONCE; at = at->next) {
        mail_intake *intake = LIST_OWNER(at, mail_intake, in_queue);

        if (!intake->is_told &&
            (!list_is_empty(&intake->done) || (intake->wants_room && has_room))) {
            intake->is_told = true;
            intake->wakers++;
            found[count++] = intake;
        }
    }
    return count;
}

/*
 * Called and left with the lock held, but not while an intake's own function runs: it may
 * even come back in here. The intake itself stays until that function has returned.
 */
static void wake_all(mail_queue *queue)
{
    mail_intake *found[AT_ONCE];
    size_t count;

    do {
        count = gather_to_wake(queue, found);
        pthread_mutex_unlock(&queue->lock);
        for (size_t i = 0; i < count; i++) {
            found[i]->wake(found[i]->wake_arg);
        }
        pthread_mutex_lock(&queue->lock);
        for (size_t i = 0; i < count; i++) {
            found[i]->wakers--;
        }
        pthread_cond_broadcast(&queue->unwoken);
    } while (count == AT_ONCE);
}

void queue_settle(mail_queue *queue, list *records)
{
    uint64_t bytes = 0;
    bool tell_due;
    list *link;

    for (link = records->next; link != records; link = link->next) {
        queue_record *record = LIST_OWNER(link, queue_record, link);

        bytes += record->sink != NULL ? queue_header_total(&record->header) : 0;
    }
    atomic_fetch_sub(&queue->waiting_bytes, bytes);

    pthread_mutex_lock(&queue->lock);
    while ((link = list_pop_front(records)) != NULL) {
        distribute(queue, LIST_OWNER(link, queue_record, link));
    }
    tell_due = !queue->due_told && !list_is_empty(&queue->arrived);
    queue->due_told |= tell_due;
    wake_all(queue);
    pthread_mutex_unlock(&queue->lock);
    if (tell_due && queue->opts.on_due != NULL) {
        queue->opts.on_due(queue->opts.on_due_arg);
    }
}
