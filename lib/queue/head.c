/* SPDX-License-Identifier: MIT */
#include "queue/head.h"

/* Where the fields of a message's head lie. */
enum {
    AT_COUNT = 0,
    AT_FLAGS = 4,
    AT_RET = 5,
    AT_BODY = 6,
    AT_SIZE = 8,
    AT_TICK = 16,
    AT_BODY_CRC = 20,
    AT_ARRIVAL = 24,
    AT_SENDER_LENGTH = 32,
    AT_ENVID_LENGTH = 34,
    FIXED = 36,
    RECIPIENT = 6 /* two lengths, notify, a zero */
};

size_t queue_head_length(const mail_envelope *envelope)
{
    mail_span sender = mail_envelope_sender(envelope);
    mail_span envid = mail_envelope_envid(envelope);
    size_t length = FIXED + sender.length + envid.length;

    if (sender.length > UINT16_MAX || envid.length > UINT16_MAX) {
        return 0;
    }
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_recipient recipient = mail_envelope_recipient(envelope, i);

        if (recipient.address.length > UINT16_MAX || recipient.orcpt.length > UINT16_MAX) {
            return 0;
        }
        length += RECIPIENT + recipient.address.length + recipient.orcpt.length;
    }
    return length;
}

void queue_head_patch(const queue_head *head, char *to)
{
    wire_put(to + AT_FLAGS, head->flags, 1);
    wire_put(to + AT_SIZE, head->size, 8);
    wire_put(to + AT_TICK, head->tick, 4);
    wire_put(to + AT_BODY_CRC, head->body_crc, 4);
    wire_put(to + AT_ARRIVAL, (uint64_t)head->arrival, 8);
}

void queue_head_write(const queue_head *head, const mail_envelope *envelope, char *to)
{
    mail_span sender = mail_envelope_sender(envelope);
    mail_span envid = mail_envelope_envid(envelope);
    wire_writer out = {to + FIXED};

    memset(to, 0, FIXED);
    wire_put(to + AT_COUNT, mail_envelope_count(envelope), 4);
    wire_put(to + AT_RET, envelope->ret, 1);
    wire_put(to + AT_BODY, envelope->body, 1);
    wire_put(to + AT_SENDER_LENGTH, sender.length, 2);
    wire_put(to + AT_ENVID_LENGTH, envid.length, 2);
    queue_head_patch(head, to);
    wire_add_bytes(&out, sender);
    wire_add_bytes(&out, envid);
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_recipient recipient = mail_envelope_recipient(envelope, i);

        wire_add(&out, recipient.address.length, 2);
        wire_add(&out, recipient.orcpt.length, 2);
        wire_add(&out, recipient.notify, 1);
        wire_add(&out, recipient.role, 1);
        wire_add_bytes(&out, recipient.address);
        wire_add_bytes(&out, recipient.orcpt);
    }
}

bool queue_head_read(mail_span bytes, queue_head *head)
{
    const char *at = bytes.data;

    if (bytes.length < FIXED) {
        return false;
    }
    *head = (queue_head){
        .count = (uint32_t)wire_get(at + AT_COUNT, 4),
        .flags = (uint8_t)wire_get(at + AT_FLAGS, 1),
        .ret = (uint8_t)wire_get(at + AT_RET, 1),
        .body = (uint8_t)wire_get(at + AT_BODY, 1),
        .size = wire_get(at + AT_SIZE, 8),
        .tick = (uint32_t)wire_get(at + AT_TICK, 4),
        .body_crc = (uint32_t)wire_get(at + AT_BODY_CRC, 4),
        .arrival = (mail_wall)wire_get(at + AT_ARRIVAL, 8),
        .recipients = wire_reader_of(mail_span_from(bytes, FIXED)),
    };
    head->sender = wire_take_bytes(&head->recipients, wire_get(at + AT_SENDER_LENGTH, 2));
    head->envid = wire_take_bytes(&head->recipients, wire_get(at + AT_ENVID_LENGTH, 2));
    return !head->recipients.bad && head->count > 0 && (head->flags & ~QUEUE_HEAD_ALL) == 0 &&
           head->ret <= MAIL_RET_HDRS && head->body <= MAIL_BODY_BINARYMIME &&
           head->count <= head->recipients.left / RECIPIENT; /* no count is believed unseen */
}

bool queue_head_next(queue_head *head, mail_recipient *out)
{
    wire_reader *from = &head->recipients;
    size_t address = wire_take(from, 2);
    size_t orcpt = wire_take(from, 2);

    *out = (mail_recipient){.notify = (uint8_t)wire_take(from, 1)};
    out->role = (mail_recipient_role)wire_take(from, 1);
    out->address = wire_take_bytes(from, address);
    out->orcpt = wire_take_bytes(from, orcpt);
    return !from->bad && out->role <= MAIL_RECIPIENT_EXPANDED;
}

void queue_outcome_write(const queue_outcome *outcome, wire_writer *to)
{
    wire_add(to, outcome->index, 4);
    wire_add(to, outcome->due, 4);
    wire_add(to, outcome->attempts, 2);
    wire_add(to, outcome->flags, 2);
    wire_add(to, outcome->reply.length, 4);
    wire_add_bytes(to, outcome->reply);
}

bool queue_outcome_next(wire_reader *from, queue_outcome *out)
{
    size_t reply;

    if (from->left == 0) {
        return false;
    }
    *out = (queue_outcome){.index = (uint32_t)wire_take(from, 4)};
    out->due = (uint32_t)wire_take(from, 4);
    out->attempts = (uint16_t)wire_take(from, 2);
    out->flags = (uint8_t)(wire_take(from, 2) & QUEUE_KEPT);
    reply = wire_take(from, 4);
    out->reply = wire_take_bytes(from, reply);
    return !from->bad;
}

void queue_start_write(const queue_start *start, char *to)
{
    wire_writer out = {to};

    wire_add(&out, start->previous, 8);
    wire_add(&out, start->previous_end, 8);
    wire_add(&out, start->checkpoint, 8);
    wire_add(&out, start->checkpoint_offset, 8);
}

bool queue_start_read(mail_span bytes, queue_start *start)
{
    wire_reader from = wire_reader_of(bytes);

    start->previous = wire_take(&from, 8);
    start->previous_end = wire_take(&from, 8);
    start->checkpoint = wire_take(&from, 8);
    start->checkpoint_offset = wire_take(&from, 8);
    return !from.bad;
}
