/* SPDX-License-Identifier: MIT */
#include "queue/replay.h"

#include "queue/part.h"

static mail_span head_of(const queue_scanned *found)
{
    return mail_span_of(found->record + QUEUE_RECORD_SIZE, found->header.head_length);
}

static void add_live(queue_log *log, queue_place place, uint32_t weight)
{
    log->slots[place >> 32]->live += weight;
}

static int fill_recipients(mail_queue *queue, queue_message *message, queue_head *head)
{
    int code = MAIL_OK;

    for (uint32_t i = 0; i < head->count && code == MAIL_OK; i++) {
        mail_recipient recipient;

        if (!queue_head_next(head, &recipient)) {
            return MAIL_EDAMAGED;
        }
        message->recipients[i].due.key = head->tick;
        code = queue_lane_use(queue, mail_address_domain(recipient.address),
                              &message->recipients[i].lane);
    }
    return code;
}

static int make_message(mail_queue *queue, uint64_t id, queue_head *head, queue_message **out)
{
    queue_message *message = queue_message_create(queue, id, head->count);
    int code;

    if (message == NULL) {
        return MAIL_ENOMEM;
    }
    message->size = head->size;
    message->arrival = head->arrival;
    message->arrival_tick = head->tick;
    message->sender_hash = queue_sender_hash(head->sender);
    message->flags = head->flags;
    code = fill_recipients(queue, message, head);
    if (code != MAIL_OK) {
        queue_message_destroy(queue, message);
        return code;
    }
    *out = message;
    return MAIL_OK;
}

/* A new message, or the new place of one that was copied. */
static int on_message(queue_replay *rec, const queue_scanned *found, queue_place place)
{
    mail_queue *queue = rec->queue;
    queue_message *message = queue_index_find(queue, found->header.id);
    queue_head head;
    int code;

    if (message != NULL && message->place != 0) {
        queue->store->ops->release(queue->store, message->place, queue_message_weight(message));
    }
    if (message == NULL) {
        if (!queue_head_read(head_of(found), &head) ||
            found->header.body_length != (head.flags & QUEUE_HEAD_LARGE ? 0 : head.size)) {
            return MAIL_EDAMAGED;
        }
        code = make_message(queue, found->header.id, &head, &message);
        if (code != MAIL_OK) {
            return code;
        }
        message->head_length = found->header.head_length;
        code = queue_index_add(queue, message);
        if (code != MAIL_OK) {
            queue_message_destroy(queue, message);
            return code;
        }
    }
    message->place = place;
    message->number = found->header.sequence;
    add_live(rec->log, place, queue_message_weight(message));
    return MAIL_OK;
}

static void apply_outcome(queue_replay *rec, queue_message *message, const queue_outcome *outcome,
                          queue_place place)
{
    queue_recipient *recipient = &message->recipients[outcome->index];
    mail_queue *queue = rec->queue;

    if (recipient->outcome != 0) {
        queue->store->ops->release(queue->store, recipient->outcome, QUEUE_OUTCOME_WEIGHT);
    }
    recipient->outcome = place;
    add_live(rec->log, place, QUEUE_OUTCOME_WEIGHT);
    recipient->attempts = outcome->attempts;
    recipient->due.key = outcome->due;
    if ((outcome->flags & QUEUE_DONE) && recipient->lane != NULL) {
        queue_index_close(queue, recipient);
    }
    recipient->flags = outcome->flags | (recipient->flags & QUEUE_DONE);
}

static int on_outcome(queue_replay *rec, const queue_scanned *found, queue_place place)
{
    queue_message *message = queue_index_find(rec->queue, found->header.id);
    wire_reader from = wire_reader_of(head_of(found));
    queue_outcome outcome;

    if (message == NULL) {
        return MAIL_OK; /* done, or a checkpoint's part will name it */
    }
    while (queue_outcome_next(&from, &outcome)) {
        if (outcome.index >= message->count) {
            return MAIL_EDAMAGED;
        }
        apply_outcome(rec, message, &outcome, place);
    }
    message->number = found->header.sequence;
    if (message->open == 0) {
        queue_index_remove(rec->queue, message);
    }
    return from.bad ? MAIL_EDAMAGED : MAIL_OK;
}

static int on_removed(queue_replay *rec, const queue_scanned *found)
{
    queue_message *message = queue_index_find(rec->queue, found->header.id);

    if (message != NULL) {
        queue_index_remove(rec->queue, message);
    }
    return MAIL_OK;
}

static int on_part(queue_replay *rec, const queue_scanned *found)
{
    wire_reader from = wire_reader_of(head_of(found));
    int code;

    if (rec->begin_sequence == 0) {
        return MAIL_OK; /* of a checkpoint whose beginning is gone */
    }
    do {
        code = queue_part_read(rec->log, &from, found->header.sequence);
    } while (code == MAIL_OK);
    return code == MAIL_ENOENT ? MAIL_OK : code;
}

static int on_end(queue_replay *rec, const queue_scanned *found, const queue_segment *segment)
{
    mail_queue *queue = rec->queue;
    queue_log *log = rec->log;
    mail_span head = head_of(found);
    list *at = queue->order.next;

    if (rec->begin_sequence == 0 || head.length < 8 ||
        wire_get(head.data, 8) != rec->begin_sequence) {
        return MAIL_OK;
    }
    while (at != &queue->order) {
        queue_message *message = LIST_OWNER(at, queue_message, in_order);

        at = at->next;
        if (message->number < rec->begin_sequence) {
            queue_index_remove(queue, message);
        }
    }
    log->checkpoint = (queue_checkpoint){
        .serial = rec->begin_serial,
        .offset = rec->begin_offset,
        .sequence = rec->begin_sequence,
        .last_serial = segment->serial,
    };
    return MAIL_OK;
}

static int apply(queue_replay *rec, queue_segment *segment, const queue_scanned *found)
{
    queue_place place = queue_place_of(segment, found->at);

    switch (found->header.type) {
    case QUEUE_RECORD_START:
        return MAIL_OK; /* read before all others */
    case QUEUE_RECORD_MESSAGE:
        return on_message(rec, found, place);
    case QUEUE_RECORD_OUTCOME:
        return on_outcome(rec, found, place);
    case QUEUE_RECORD_REMOVED:
        return on_removed(rec, found);
    case QUEUE_RECORD_BEGIN:
        rec->begin_sequence = found->header.sequence;
        rec->begin_serial = segment->serial;
        rec->begin_offset = found->at;
        return MAIL_OK;
    case QUEUE_RECORD_PART:
        return on_part(rec, found);
    case QUEUE_RECORD_END:
        return on_end(rec, found, segment);
    }
    return MAIL_EDAMAGED;
}

void queue_replay_damage(queue_replay *rec, queue_segment *segment, uint64_t from, uint64_t to)
{
    queue_set_aside(rec->log, segment, from, to);
    rec->damaged++;
    rec->begin_sequence = 0; /* a part may be missing: rather a message twice than none */
}

int queue_replay_record(queue_replay *rec, queue_segment *segment, const queue_scanned *found)
{
    int code = apply(rec, segment, found);

    if (code == MAIL_EDAMAGED) { /* sound, but not what this version writes */
        queue_replay_damage(rec, segment, found->at, found->end);
        code = MAIL_OK;
    }
    if (segment->first_sequence == 0) {
        segment->first_sequence = found->header.sequence;
    }
    segment->last_sequence = found->header.sequence;
    rec->last_sequence = found->header.sequence;
    rec->last_tick = found->header.tick > rec->last_tick ? found->header.tick : rec->last_tick;
    rec->last_wall = found->header.wall;
    rec->last_id = found->header.id > rec->last_id ? found->header.id : rec->last_id;
    rec->has_records = true;
    return code;
}
