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
    size_t left;      /* of the page */
    bool is_over;     /* what is next came after the beginning */
    uint64_t skip_to; /* messages up to this one were looked at before */
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

/* The message of that id, if it is where this selection looks. */
static queue_message *find(const selection *sel, uint64_t id)
{
    queue_message *message = queue_index_find(sel->queue, id);

    return message != NULL && (sel->lane == NULL || has_recipient_in(message, sel->lane)) ? message
                                                                                          : NULL;
}

static int visit_one(selection *sel, queue_message *message)
{
    bool is_meant = true;
    int code = sel->has_sender ? compare_sender(sel, message, &is_meant) : MAIL_OK;

    return code == MAIL_OK && is_meant ? sel->fn(message, sel->lane, sel->arg) : code;
}

/* A page ends with a message that is still there, so that the next one finds its beginning. */
static int visit(selection *sel, queue_message *message)
{
    mail_queue_page *page = sel->which->page;
    uint64_t id = queue_message_id(message);
    int code;

    if (message->number <= sel->skip_to) {
        return MAIL_OK;
    }
    sel->is_over = page != NULL && message->number > page->end;
    if (sel->is_over || sel->left == 0) {
        return MAIL_EAGAIN;
    }
    sel->left--;
    if (page != NULL) {
        page->number = message->number;
    }
    code = visit_one(sel, message);
    if (page != NULL && find(sel, id) != NULL) {
        queue_id_print(id, page->after);
    }
    return code;
}

static int visit_ids(selection *sel)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < sel->which->id_count && code == MAIL_OK; i++) {
        queue_message *message;
        uint64_t id;

        if (queue_id_parse(mail_span_text(sel->which->ids[i]), &id)) {
            message = find(sel, id);
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

static int visit_lane(selection *sel, const queue_message *after)
{
    const list *from = after != NULL ? last_in_lane(sel->lane, after) : &sel->lane->recipients;
    queue_message *message = next_in_lane(sel->lane, from);
    int code = MAIL_OK;

    while (message != NULL && code == MAIL_OK) {
        queue_message *next = next_in_lane(sel->lane, last_in_lane(sel->lane, message));

        code = visit(sel, message); /* it may be gone now, but not the next */
        message = next;
    }
    return code;
}

static int visit_all(selection *sel, queue_message *after)
{
    list *at = after != NULL ? after->in_order.next : sel->queue->order.next;
    int code = MAIL_OK;

    while (at != &sel->queue->order && code == MAIL_OK) {
        list *next = at->next;

        code = visit(sel, LIST_OWNER(at, queue_message, in_order));
        at = next;
    }
    return code;
}

/* The message that the last page ended with. If it has gone, numbers tell what comes behind it. */
static queue_message *last_looked_at(selection *sel)
{
    const mail_queue_page *page = sel->which->page;
    uint64_t id;

    sel->skip_to = page != NULL ? page->number : 0;
    return page != NULL && queue_id_parse(mail_span_text(page->after), &id) ? find(sel, id) : NULL;
}

/* The narrowest way through the queue that meets all that can be meant. */
static int walk_from(selection *sel, queue_message *after)
{
    if (sel->lane != NULL) {
        return visit_lane(sel, after);
    }
    return sel->has_sender || sel->which->all ? visit_all(sel, after) : MAIL_OK;
}

static int walk(selection *sel)
{
    mail_queue_page *page = sel->which->page;
    int code;

    sel->left = page != NULL && sel->which->id_count == 0 ? page->limit : SIZE_MAX;
    code = sel->which->id_count > 0 ? visit_ids(sel) : walk_from(sel, last_looked_at(sel));
    if (page != NULL) {
        page->is_last = code == MAIL_OK || sel->is_over;
    }
    return code == MAIL_EAGAIN ? MAIL_OK : code;
}

bool queue_select_begins(mail_queue *queue, const mail_queue_selector *which)
{
    bool begins = which->page == NULL || which->page->number == 0;

    if (begins) {
        queue->store->ops->flush(queue->store);
        queue_drain(queue);
    }
    if (begins && which->page != NULL) {
        which->page->end = queue->numbered;
    }
    return begins;
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
        if (which->page != NULL) {
            which->page->is_last = true;
        }
        return MAIL_OK;
    }
    sel.lane = lane;
    code = walk(&sel);
    queue_lane_drop(lane);
    return code;
}
