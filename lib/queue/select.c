/* SPDX-License-Identifier: MIT */
#include "queue/operate.h"

/* What a selection goes by once its words have been looked up. */
typedef struct selection {
    mail_queue *queue;
    const mail_queue_selector *which;
    mail_lane *lane;
    bool has_sender;
    mail_span sender;
    uint32_t sender_hash;
    queue_select_fn *fn;
    void *arg;
} selection;

static bool has_recipient_in(const queue_message *message, const mail_lane *lane)
{
    for (uint32_t i = 0; i < message->count; i++) {
        if (message->recipients[i].lane == lane) {
            return true;
        }
    }
    return false;
}

/* The index has only a hash of the sender: one that fits is looked up on the disk. */
static int compare_sender(const selection *sel, queue_message *message, bool *is_same)
{
    queue_loaded loaded;
    int code;

    *is_same = false;
    if (message->sender_hash != sel->sender_hash) {
        return MAIL_OK;
    }
    code = queue_load(sel->queue, message, &loaded);
    if (code == MAIL_EDAMAGED) {
        return MAIL_OK; /* whoever wants to deliver it will set it aside */
    }
    if (code == MAIL_OK) {
        *is_same = mail_span_equal_nocase(loaded.head.sender, sel->sender);
        queue_unload(sel->queue, &loaded);
    }
    return code;
}

static int visit(const selection *sel, queue_message *message)
{
    bool is_meant = sel->lane == NULL || has_recipient_in(message, sel->lane);
    int code = MAIL_OK;

    if (is_meant && sel->has_sender) {
        code = compare_sender(sel, message, &is_meant);
    }
    return code == MAIL_OK && is_meant ? sel->fn(message, sel->lane, sel->arg) : code;
}

static int visit_ids(const selection *sel)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < sel->which->id_count && code == MAIL_OK; i++) {
        queue_message *message;
        uint64_t id;

        if (queue_id_parse(mail_span_text(sel->which->ids[i]), &id)) {
            message = queue_index_find(sel->queue, id);
            code = message != NULL ? visit(sel, message) : MAIL_OK;
        }
    }
    return code;
}

/* The message of the next recipient in the lane that is of another one. */
static queue_message *next_in_lane(const mail_lane *lane, const list *at)
{
    const queue_message *message = NULL;

    if (at != &lane->recipients) {
        message = queue_message_of(LIST_OWNER(at, queue_recipient, in_lane));
    }
    for (at = at->next; at != &lane->recipients; at = at->next) {
        queue_message *other = queue_message_of(LIST_OWNER(at, queue_recipient, in_lane));

        if (other != message) {
            return other;
        }
    }
    return NULL;
}

/* The last of a message's recipients that stand next to each other in the lane. */
static const list *last_in_lane(const mail_lane *lane, const queue_message *message)
{
    const list *last = &lane->recipients;

    for (uint32_t i = 0; i < message->count; i++) {
        if (message->recipients[i].lane == lane) {
            last = &message->recipients[i].in_lane;
        }
    }
    return last;
}

static int visit_lane(const selection *sel)
{
    queue_message *message = next_in_lane(sel->lane, &sel->lane->recipients);
    int code = MAIL_OK;

    while (message != NULL && code == MAIL_OK) {
        queue_message *next = next_in_lane(sel->lane, last_in_lane(sel->lane, message));

        code = visit(sel, message); /* it may be gone now, but not the next */
        message = next;
    }
    return code;
}

static int visit_all(const selection *sel)
{
    list *at = sel->queue->order.next;
    int code = MAIL_OK;

    while (at != &sel->queue->order && code == MAIL_OK) {
        list *next = at->next;

        code = visit(sel, LIST_OWNER(at, queue_message, in_order));
        at = next;
    }
    return code;
}

/* The narrowest way through the queue that meets all that can be meant. */
static int walk(const selection *sel)
{
    if (sel->which->id_count > 0) {
        return visit_ids(sel);
    }
    if (sel->lane != NULL) {
        return visit_lane(sel);
    }
    return sel->has_sender || sel->which->all ? visit_all(sel) : MAIL_OK;
}

int queue_select(mail_queue *queue, const mail_queue_selector *which, queue_select_fn *fn,
                 void *arg)
{
    selection sel = {.queue = queue, .which = which, .fn = fn, .arg = arg, .sender = which->sender};
    mail_lane *lane;
    int code;

    queue_drain(queue);
    if (which->sender.length > 0) {
        sel.has_sender = true;
        if (mail_span_equal(which->sender, MAIL_SPAN("<>"))) {
            sel.sender = mail_span_of("", 0);
        }
        sel.sender_hash = queue_sender_hash(sel.sender);
    }
    if (which->domain.length == 0) {
        return walk(&sel);
    }
    lane = queue_lane_find(queue, which->domain);
    if (lane == NULL) {
        return MAIL_OK;
    }
    sel.lane = lane;
    code = walk(&sel);
    queue_lane_drop(lane);
    return code;
}
