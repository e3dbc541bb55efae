/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <assert.h>

#include "base/mem.h"

/* One leased recipient and what was said of it. */
typedef struct leased {
    queue_recipient *recipient;
    bool is_reported;
    bool is_settled; /* the lease has it no more */
    bool warned;
    mail_queue_verdict verdict;
    mail_time next;
    mail_span reply; /* a copy */
} leased;

struct mail_lease {
    mail_queue *queue;
    queue_message *message;
    queue_loaded loaded;
    mail_envelope envelope;
    mail_smtp_content content;
    queue_record *note; /* made ahead: the outcome of a delivery must not want for memory */
    leased *rows;
    size_t count;
    size_t capacity;
    mail_time now; /* when it was leased: ages are told by it */
    char id[MAIL_QUEUE_ID_SIZE];
};

/* Which recipients a lease is to take. */
typedef bool take_fn(const mail_lease *lease, const queue_recipient *recipient, void *arg);

static void lease_free(mail_lease *lease)
{
    mail_queue *queue = lease->queue;

    for (size_t i = 0; i < lease->count; i++) {
        mem_free(queue->mem, (void *)(uintptr_t)lease->rows[i].reply.data,
                 lease->rows[i].reply.length);
    }
    mem_free(queue->mem, lease->rows, lease->capacity * sizeof(*lease->rows));
    queue_record_destroy(queue->mem, lease->note);
    queue_unload(queue, &lease->loaded);
    mail_envelope_deinit(&lease->envelope);
    mem_free(queue->mem, lease, sizeof(*lease));
}

static int reserve(mail_lease *lease, size_t count)
{
    const mail_mem *mem = lease->queue->mem;
    leased *rows;

    rows = mem_resize(mem, lease->rows, lease->capacity * sizeof(*rows), count * sizeof(*rows));
    if (rows == NULL) {
        return MAIL_ENOMEM;
    }
    lease->rows = rows;
    lease->capacity = count;
    lease->note->promised = QUEUE_RECORD_SIZE + count * QUEUE_OUTCOME_SIZE;
    return queue_record_reserve(mem, lease->note, lease->note->promised);
}

static int add_row(mail_lease *lease, queue_recipient *recipient, const mail_recipient *text)
{
    int code = MAIL_OK;

    if (lease->count == lease->capacity) {
        code = reserve(lease, lease->capacity * 2 + 1);
    }
    if (code == MAIL_OK) {
        code = mail_envelope_add(&lease->envelope, text);
    }
    if (code != MAIL_OK) {
        return code;
    }
    queue_lane_stop_waiting(recipient);
    recipient->flags |= QUEUE_LEASED;
    lease->message->leased++;
    lease->queue->stats.leased++;
    lease->rows[lease->count++] = (leased){.recipient = recipient};
    return MAIL_OK;
}

/* What was replaced by others goes nowhere: it has leases of its own. */
static bool goes_with(const mail_lease *lease, const mail_recipient *text)
{
    return lease->count == 0 ||
           (text->role == MAIL_RECIPIENT_EXPANDED) ==
               (mail_envelope_recipient(&lease->envelope, 0).role == MAIL_RECIPIENT_EXPANDED);
}

/* So much of what was read of a message is kept as long as a lease. */
#define KEEP_BYTES ((size_t)32 << 10)

/*
 * Of a message for thousands there are as many leases at a time, while hosts are looked for: if
 * each kept all the recipients, that would be more than memory can hold.
 */
static void forget_others(mail_lease *lease)
{
    if (lease->loaded.length > KEEP_BYTES && lease->loaded.body.data == NULL) {
        queue_unload(lease->queue, &lease->loaded);
    }
}

/* What could not be read again leaves the lease as good as it was. */
static int recall_others(mail_lease *lease)
{
    queue_loaded again;
    int code = queue_load(lease->queue, lease->message, &again);

    if (code == MAIL_OK) {
        lease->loaded = again;
    }
    return code;
}

/* Takes all recipients that `take` names. On failure some may have been taken, as rows tell. */
static int take_recipients(mail_lease *lease, take_fn *take, void *arg)
{
    queue_head head = lease->loaded.head; /* a reader of its own */
    int code = MAIL_OK;

    for (uint32_t i = 0; i < head.count && code == MAIL_OK; i++) {
        queue_recipient *recipient = &lease->message->recipients[i];
        mail_recipient text;

        if (!queue_head_next(&head, &text)) {
            return MAIL_EDAMAGED;
        }
        if (goes_with(lease, &text) && take(lease, recipient, arg)) {
            code = add_row(lease, recipient, &text);
        }
    }
    return code;
}

static int fill(mail_lease *lease)
{
    const queue_head *head = &lease->loaded.head;
    int code = mail_envelope_set_sender(&lease->envelope, head->sender, head->envid);

    lease->envelope.ret = (mail_ret)head->ret;
    lease->envelope.body = (mail_body)head->body;
    lease->envelope.smtputf8 = (head->flags & QUEUE_HEAD_SMTPUTF8) != 0;
    lease->envelope.requiretls = (head->flags & QUEUE_HEAD_REQUIRETLS) != 0;
    lease->content = (mail_smtp_content){
        .size = head->size,
        .has_8bit = (head->flags & QUEUE_HEAD_8BIT) != 0,
        .has_nul = (head->flags & QUEUE_HEAD_NUL) != 0,
        .has_utf8_header = (head->flags & QUEUE_HEAD_UTF8_HEADER) != 0,
    };
    queue_id_print(queue_message_id(lease->message), lease->id);
    return code;
}

static int lease_create(mail_lease **out, mail_queue *queue, queue_message *message, mail_time now)
{
    mail_lease *lease = mem_alloc(queue->mem, sizeof(*lease));
    int code;

    if (lease == NULL) {
        return MAIL_ENOMEM;
    }
    lease->queue = queue;
    lease->message = message;
    lease->now = now;
    mail_envelope_init(&lease->envelope, queue->mem);
    lease->note = queue_note_begin(queue, message, 1);
    code = lease->note != NULL ? queue_load(queue, message, &lease->loaded) : MAIL_ENOMEM;
    if (code == MAIL_OK) {
        code = fill(lease);
    }
    if (code != MAIL_OK) {
        lease_free(lease);
        return code;
    }
    *out = lease;
    return MAIL_OK;
}

/* Whoever asks again shall not be given the same failure at once. */
static int after_failure(queue_recipient *recipient, int code, mail_time now)
{
    queue_message *message = queue_message_of(recipient);
    mail_queue *queue = recipient->lane->queue;

    if (code == MAIL_EDAMAGED) {
        queue_give_up(queue, message);
    } else if (code == MAIL_EIO) {
        queue_lane_wait(recipient, now + queue->opts.retry[0]);
    }
    return code;
}

static int lease_for(mail_lease **out, queue_recipient *recipient, take_fn *take, mail_time now)
{
    mail_queue *queue = recipient->lane->queue;
    mail_lease *lease;
    int code = lease_create(&lease, queue, queue_message_of(recipient), now);

    if (code != MAIL_OK) {
        return after_failure(recipient, code, now);
    }
    code = take_recipients(lease, take, recipient->lane);
    if (code != MAIL_OK) {
        mail_lease_end(lease); /* those that were taken wait again */
        return after_failure(recipient, code, now);
    }
    forget_others(lease);
    *out = lease;
    return MAIL_OK;
}

static bool is_due_in(const mail_lease *lease, const queue_recipient *recipient, void *arg)
{
    return recipient->lane == arg && due_is_in(&recipient->due) && recipient->due.key <= lease->now;
}

int mail_lane_lease(mail_lane *lane, mail_lease **out)
{
    mail_queue *queue = lane->queue;
    mail_time now = queue_now(queue);
    const due_node *first;

    assert(lane->is_taken);
    queue_drain(queue);
    first = lane->waiting.first;
    if (first == NULL || first->key > now) {
        return MAIL_ENOENT;
    }
    return lease_for(out, LIST_OWNER(first, queue_recipient, due), is_due_in, now);
}

static bool is_too_old(const mail_lease *lease)
{
    return queue_is_older(lease->queue, lease->message, lease->queue->opts.give_up, lease->now);
}

static bool is_overdue_in(const mail_lease *lease, const queue_recipient *recipient, void *arg)
{
    return recipient->lane == arg && due_is_in(&recipient->due) &&
           (is_too_old(lease) || (recipient->flags & QUEUE_WARNED) == 0);
}

/* The oldest that waits and has got too old. */
static queue_recipient *find_expired(mail_lane *lane, mail_time now)
{
    mail_queue *queue = lane->queue;

    for (list *at = lane->recipients.next; at != &lane->recipients; at = at->next) {
        queue_recipient *recipient = LIST_OWNER(at, queue_recipient, in_lane);

        if (!queue_is_older(queue, queue_message_of(recipient), queue->opts.give_up, now)) {
            break;
        }
        if (due_is_in(&recipient->due)) {
            return recipient;
        }
    }
    return NULL;
}

/* The oldest that waits and lacks its notice of delay. Those that had theirs are passed but once. */
static queue_recipient *find_unnoticed(mail_lane *lane, mail_time now)
{
    mail_queue *queue = lane->queue;
    list *at = lane->noticed != NULL ? lane->noticed->next : lane->recipients.next;
    bool none_before = true;

    for (; at != &lane->recipients; at = at->next) {
        queue_recipient *recipient = LIST_OWNER(at, queue_recipient, in_lane);

        if (!queue_is_older(queue, queue_message_of(recipient), queue->opts.warn_after, now)) {
            break;
        }
        if (recipient->flags & QUEUE_WARNED) {
            lane->noticed = none_before ? at : lane->noticed;
            continue;
        }
        none_before = false;
        if (due_is_in(&recipient->due)) {
            return recipient;
        }
    }
    return NULL;
}

int mail_lane_lease_overdue(mail_lane *lane, mail_lease **out)
{
    mail_time now = queue_now(lane->queue);
    queue_recipient *recipient;

    assert(lane->is_taken);
    recipient = find_expired(lane, now);
    if (recipient == NULL) {
        recipient = find_unnoticed(lane, now);
    }
    return recipient != NULL ? lease_for(out, recipient, is_overdue_in, now) : MAIL_ENOENT;
}

/* What mail_lease_widen asks, with the last answer: recipients of one domain often follow each other. */
typedef struct widening {
    bool (*same)(mail_span domain, void *arg);
    void *arg;
    const mail_lane *lane;
    bool is_same;
} widening;

static bool is_same(const mail_lease *lease, const queue_recipient *recipient, void *arg)
{
    widening *widen = arg;

    if (!due_is_in(&recipient->due) || recipient->lane->not_before == MAIL_NEVER ||
        (recipient->attempts > 0 && recipient->due.key > lease->now)) {
        return false;
    }
    if (recipient->lane != widen->lane) {
        widen->lane = recipient->lane;
        widen->is_same = widen->same(mail_lane_domain(recipient->lane), widen->arg);
    }
    return widen->is_same;
}

int mail_lease_widen(mail_lease *lease, bool (*same)(mail_span domain, void *arg), void *arg)
{
    widening widen = {.same = same, .arg = arg};
    int code = MAIL_OK;

    if (lease->message->leased == lease->message->open) {
        return MAIL_OK; /* nobody is left: by far the most messages */
    }
    if (lease->loaded.data == NULL) {
        code = recall_others(lease);
    }
    if (code == MAIL_OK) {
        code = take_recipients(lease, is_same, &widen);
        forget_others(lease);
    }
    return code;
}

const char *mail_lease_id(const mail_lease *lease)
{
    return lease->id;
}

const mail_envelope *mail_lease_envelope(const mail_lease *lease)
{
    return &lease->envelope;
}

const mail_smtp_content *mail_lease_content(const mail_lease *lease)
{
    return &lease->content;
}

mail_wall mail_lease_arrival(const mail_lease *lease)
{
    return lease->message->arrival;
}

unsigned mail_lease_attempts(const mail_lease *lease, size_t index)
{
    assert(index < lease->count);
    return lease->rows[index].recipient->attempts;
}

bool mail_lease_expires(const mail_lease *lease, size_t index)
{
    assert(index < lease->count);
    return (lease->rows[index].recipient->flags & QUEUE_EXPIRED) != 0 || is_too_old(lease);
}

bool mail_lease_warns(const mail_lease *lease, size_t index)
{
    assert(index < lease->count);
    return (lease->rows[index].recipient->flags & QUEUE_WARNED) == 0 &&
           queue_is_older(lease->queue, lease->message, lease->queue->opts.warn_after, lease->now);
}

int mail_lease_body(mail_lease *lease, mail_source **out)
{
    return queue_body_open(lease->queue, lease->message, &lease->loaded, out);
}

/* The text of a reply is for people: without memory for it the report stands without. */
static void keep_reply(mail_lease *lease, leased *row, const mail_reply *reply)
{
    char text[QUEUE_OUTCOME_REPLY];
    size_t length = reply != NULL ? mail_reply_print(reply, text, sizeof(text)) : 0;
    char *copy;

    mem_free(lease->queue->mem, (void *)(uintptr_t)row->reply.data, row->reply.length);
    row->reply = mail_span_of(NULL, 0);
    copy = length > 0 ? mem_resize(lease->queue->mem, NULL, 0, length) : NULL;
    if (copy != NULL) {
        memcpy(copy, text, length);
        row->reply = mail_span_of(copy, length);
    }
}

static mail_time retry_at(const mail_lease *lease, const leased *row)
{
    queue_recipient after = *row->recipient;

    after.attempts++;
    after.flags |= row->warned ? QUEUE_WARNED : 0;
    return queue_retry_at(lease->queue, lease->message, &after, queue_now(lease->queue));
}

void mail_lease_report(mail_lease *lease, size_t index, mail_queue_verdict verdict,
                       const mail_reply *reply, bool warned)
{
    leased *row = &lease->rows[index];

    assert(index < lease->count && !row->is_settled);
    row->is_reported = true;
    row->verdict = verdict;
    row->warned = warned;
    if (verdict == MAIL_QUEUE_RETRY) {
        row->next = retry_at(lease, row);
    }
    keep_reply(lease, row, verdict != MAIL_QUEUE_DONE ? reply : NULL);
}

mail_wall mail_lease_next_try(const mail_lease *lease, size_t index)
{
    assert(index < lease->count);
    return queue_wall(lease->queue) +
           (lease->rows[index].next - queue_now(lease->queue) + MAIL_SECOND - 1) / MAIL_SECOND;
}

/* Puts the recipient back to wait, unless an operator has held it meanwhile. */
static void put_back(queue_recipient *recipient, mail_time due)
{
    if (recipient->flags & QUEUE_HELD) {
        recipient->due.key = due;
    } else {
        queue_lane_wait(recipient, due);
    }
}

/* Makes a verdict come true; says whether there is something to write down. */
static bool apply(mail_lease *lease, const leased *row)
{
    mail_queue *queue = lease->queue;
    queue_recipient *recipient = row->recipient;
    mail_queue_verdict verdict = row->is_reported ? row->verdict : MAIL_QUEUE_AGAIN;
    bool is_removed = (recipient->flags & QUEUE_REMOVING) != 0;

    recipient->flags &= (uint8_t) ~(QUEUE_LEASED | QUEUE_REMOVING);
    recipient->flags |= row->warned ? QUEUE_WARNED : 0;
    if (verdict == MAIL_QUEUE_DONE || is_removed) {
        queue->stats.done += verdict == MAIL_QUEUE_DONE ? 1 : 0;
        queue->stats.removed += verdict == MAIL_QUEUE_DONE ? 0 : 1;
        queue_set_held(queue, recipient, false);
        queue_index_close(queue, recipient);
        return true;
    }
    if (verdict == MAIL_QUEUE_AGAIN) {
        put_back(recipient, recipient->due.key);
        return row->warned;
    }
    if (verdict == MAIL_QUEUE_HELD) {
        queue_set_held(queue, recipient, true);
        put_back(recipient, recipient->due.key);
        return true;
    }
    if (recipient->attempts < UINT16_MAX) {
        recipient->attempts++;
    }
    queue->stats.retried++;
    put_back(recipient, row->next);
    return true;
}

/* The recipient is the lease's no more. */
static void settle(mail_lease *lease, leased *row)
{
    row->is_settled = true;
    lease->message->leased--;
    lease->queue->stats.leased--;
    if (apply(lease, row)) {
        queue_note_add(lease->queue, lease->note, row->recipient, row->reply);
    }
}

size_t mail_lease_held(const mail_lease *lease)
{
    size_t held = 0;

    for (size_t i = 0; i < lease->count; i++) {
        held += lease->rows[i].is_settled ? 0 : 1;
    }
    return held;
}

void mail_lease_settle(mail_lease *lease)
{
    mail_queue *queue = lease->queue;
    size_t reported = 0;
    queue_record *rest;

    for (size_t i = 0; i < lease->count; i++) {
        reported += lease->rows[i].is_reported && !lease->rows[i].is_settled ? 1 : 0;
    }
    if (reported == 0 || reported == mail_lease_held(lease)) {
        return; /* nothing to write, or nothing to go on with */
    }
    rest = queue_note_begin(queue, lease->message, (uint32_t)lease->capacity);
    if (rest == NULL) {
        return;
    }
    for (size_t i = 0; i < lease->count; i++) {
        if (lease->rows[i].is_reported && !lease->rows[i].is_settled) {
            settle(lease, &lease->rows[i]);
        }
    }
    queue_note_commit(queue, lease->note, lease->message);
    lease->note = rest;
}

/* Whether it would be given to whoever asked for it. */
static bool could_be_leased(const queue_recipient *recipient, mail_time now)
{
    return due_is_in(&recipient->due) && recipient->due.key <= now &&
           (recipient->lane->is_taken || recipient->lane->not_before <= now);
}

size_t mail_lease_others(const mail_lease *lease)
{
    const queue_message *message = lease->message;
    size_t others = message->leased - mail_lease_held(lease);
    mail_time now = queue_now(lease->queue);

    if (message->leased == message->open) {
        return others; /* nobody waits */
    }
    for (uint32_t i = 0; i < message->count; i++) {
        others += could_be_leased(&message->recipients[i], now) ? 1 : 0;
    }
    return others;
}

void mail_lease_end(mail_lease *lease)
{
    for (size_t i = 0; i < lease->count; i++) {
        if (!lease->rows[i].is_settled) {
            settle(lease, &lease->rows[i]);
        }
    }
    queue_note_commit(lease->queue, lease->note, lease->message);
    lease->note = NULL;
    lease_free(lease);
}
