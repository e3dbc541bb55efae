/* SPDX-License-Identifier: MIT */
#include "queue/replies.h"

#include "base/mem.h"

static bool has_reply_at(const queue_recipient *recipient, queue_place place)
{
    return recipient->outcome == place && (recipient->flags & QUEUE_DONE) == 0;
}

static int keep(queue_replies *replies, const queue_outcome *outcome)
{
    queue_reply_place *place = &replies->places[outcome->index];
    mail_span text = outcome->reply;

    text.length = text.length < QUEUE_OUTCOME_REPLY ? text.length : QUEUE_OUTCOME_REPLY;
    *place = (queue_reply_place){buffer_length(&replies->texts), text.length, true};
    return buffer_append(&replies->texts, text);
}

/* Of all recipients whose last outcome the record is. */
static int keep_all(queue_replies *replies, const queue_message *message, queue_place place,
                    mail_span outcomes)
{
    wire_reader from = wire_reader_of(outcomes);
    queue_outcome outcome;
    int code = MAIL_OK;

    while (code == MAIL_OK && queue_outcome_next(&from, &outcome)) {
        if (outcome.index < message->count &&
            has_reply_at(&message->recipients[outcome.index], place)) {
            code = keep(replies, &outcome);
        }
    }
    return code;
}

/* Whatever the record says, it is not asked again. */
static void settle(queue_replies *replies, const queue_message *message, queue_place place)
{
    for (uint32_t i = 0; i < message->count; i++) {
        if (message->recipients[i].outcome == place) {
            replies->places[i].is_known = true;
        }
    }
}

static int load_from(queue_replies *replies, mail_queue *queue, const queue_message *message,
                     queue_place place)
{
    size_t length;
    char *record;
    int code = queue_load_outcomes(queue, place, &record, &length);

    if (code != MAIL_OK) {
        settle(replies, message, place);
        return code == MAIL_ENOMEM ? code : MAIL_OK;
    }
    code = keep_all(replies, message, place,
                    mail_span_of(record + QUEUE_RECORD_SIZE, length - QUEUE_RECORD_SIZE));
    mem_free(queue->mem, record, length);
    return code;
}

int queue_replies_load(queue_replies *replies, mail_queue *queue, const queue_message *message)
{
    int code = MAIL_OK;

    *replies = (queue_replies){.mem = queue->mem, .count = message->count};
    buffer_init(&replies->texts, queue->mem, SIZE_MAX / 2);
    replies->places = mem_alloc(queue->mem, message->count * sizeof(*replies->places));
    if (replies->places == NULL) {
        return MAIL_ENOMEM;
    }
    for (uint32_t i = 0; i < message->count && code == MAIL_OK; i++) {
        queue_place place = message->recipients[i].outcome;

        if (place != 0 && !replies->places[i].is_known &&
            has_reply_at(&message->recipients[i], place)) {
            code = load_from(replies, queue, message, place);
        }
    }
    if (code != MAIL_OK) {
        queue_replies_deinit(replies);
    }
    return code;
}

void queue_replies_deinit(queue_replies *replies)
{
    mem_free(replies->mem, replies->places, replies->count * sizeof(*replies->places));
    replies->places = NULL;
    buffer_deinit(&replies->texts);
}

mail_span queue_replies_of(const queue_replies *replies, uint32_t index)
{
    const queue_reply_place *place = &replies->places[index];

    return place->length > 0
               ? mail_span_first(mail_span_from(buffer_bytes(&replies->texts), place->at),
                                 place->length)
               : mail_span_of(NULL, 0);
}
