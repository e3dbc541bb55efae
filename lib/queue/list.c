/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "queue/operate.h"
#include "queue/replies.h"

/* What is made for one message while it is shown. */
typedef struct showing {
    mail_queue *queue;
    bool (*fn)(const mail_queue_item *item, void *arg);
    void *arg;
    bool has_stopped;
    mail_time now;
    mail_wall wall;
    mail_queue_recipient *rows;
} showing;

static bool is_held(const queue_recipient *recipient)
{
    return (recipient->flags & QUEUE_HELD) != 0 ||
           (recipient->lane != NULL && queue_lane_is_kept(recipient->lane));
}

/* When it will be tried, as far as that is known: a lane that rests keeps all that waits in it. */
static mail_time next_try(const queue_recipient *recipient)
{
    const mail_lane *lane = recipient->lane;
    mail_time due = recipient->due.key;

    return lane != NULL && !queue_lane_is_kept(lane) && lane->not_before > due ? lane->not_before
                                                                               : due;
}

static int fill_rows(showing *show, const queue_message *message, queue_head *head,
                     const queue_replies *replies)
{
    for (uint32_t i = 0; i < message->count; i++) {
        const queue_recipient *recipient = &message->recipients[i];
        mail_queue_recipient *row = &show->rows[i];
        mail_recipient text;

        if (!queue_head_next(head, &text)) {
            return MAIL_EDAMAGED;
        }
        *row = (mail_queue_recipient){
            .address = text.address,
            .done = (recipient->flags & QUEUE_DONE) != 0,
            .held = is_held(recipient),
            .attempts = recipient->attempts,
            .next_try = show->wall + (next_try(recipient) - show->now) / MAIL_SECOND,
            .last_reply = queue_replies_of(replies, i),
        };
    }
    return MAIL_OK;
}

static mail_queue_state state_of(const queue_message *message)
{
    if (message->leased > 0) {
        return MAIL_QUEUE_ACTIVE;
    }
    for (uint32_t i = 0; i < message->count; i++) {
        const queue_recipient *recipient = &message->recipients[i];

        if ((recipient->flags & QUEUE_DONE) == 0 && !is_held(recipient)) {
            return MAIL_QUEUE_WAITING;
        }
    }
    return MAIL_QUEUE_ON_HOLD;
}

static void show_item(showing *show, const queue_message *message, const queue_head *head)
{
    char id[MAIL_QUEUE_ID_SIZE];
    mail_queue_item item = {
        .id = id,
        .state = state_of(message),
        .arrival = message->arrival,
        .size = message->size,
        .sender = head->sender,
        .recipients = show->rows,
        .recipient_count = message->count,
    };

    queue_id_print(queue_message_id(message), id);
    show->has_stopped = !show->fn(&item, show->arg);
}

static int show_loaded(showing *show, const queue_message *message, queue_loaded *loaded)
{
    const mail_mem *mem = show->queue->mem;
    size_t rows_size = message->count * sizeof(*show->rows);
    queue_head head = loaded->head;
    queue_replies replies;
    int code = queue_replies_load(&replies, show->queue, message);

    if (code != MAIL_OK) {
        return code;
    }
    show->rows = mem_resize(mem, NULL, 0, rows_size);
    code = show->rows != NULL ? fill_rows(show, message, &head, &replies) : MAIL_ENOMEM;
    if (code == MAIL_OK) {
        show_item(show, message, &loaded->head);
    }
    mem_free(mem, show->rows, rows_size);
    queue_replies_deinit(&replies);
    return code;
}

static int show_message(queue_message *message, const mail_lane *lane, void *arg)
{
    showing *show = arg;
    queue_loaded loaded;
    int code;

    (void)lane;
    code = queue_load(show->queue, message, &loaded);
    if (code == MAIL_OK) {
        code = show_loaded(show, message, &loaded);
        queue_unload(show->queue, &loaded);
    }
    if (code == MAIL_EDAMAGED) {
        code = MAIL_OK; /* whoever wants to deliver it will set it aside */
    }
    return code == MAIL_OK && show->has_stopped ? MAIL_ECANCELED : code;
}

int mail_queue_list(mail_queue *queue, const mail_queue_selector *which,
                    bool (*fn)(const mail_queue_item *item, void *arg), void *arg)
{
    showing show = {.queue = queue, .fn = fn, .arg = arg};
    int code;

    (void)queue_select_begins(queue, which);
    show.now = queue_now(queue);
    show.wall = queue_wall(queue);
    code = queue_select(queue, which, show_message, &show);
    return code == MAIL_ECANCELED ? MAIL_OK : code;
}

int mail_queue_read(mail_queue *queue, const char *id, mail_source **out)
{
    queue_message *message;
    queue_loaded loaded;
    uint64_t number;
    int code;

    queue_drain(queue);
    if (!queue_id_parse(mail_span_text(id), &number)) {
        return MAIL_ENOENT;
    }
    message = queue_index_find(queue, number);
    if (message == NULL) {
        return MAIL_ENOENT;
    }
    code = queue_load(queue, message, &loaded);
    if (code == MAIL_OK) {
        code = queue_body_open(queue, message, &loaded, out);
        queue_unload(queue, &loaded);
    }
    return code;
}
