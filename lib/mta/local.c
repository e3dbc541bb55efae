/* SPDX-License-Identifier: MIT */
#include "mta/local.h"

#include <mail/trace.h>

#include "base/mem.h"
#include "mta/boxes.h"
#include "mta/job.h"

/* What a worker gets of a message at a time; messages are mostly smaller. */
#define PIECE_BYTES ((size_t)256 * 1024)

/*
 * How many messages are under way for each mailbox that may be written at a time, so that each
 * worker finds several for its mailbox; and how much memory they may have.
 */
#define EACH_MAILBOX 32
#define MOST_BYTES   ((size_t)8 << 20)

/* How many are begun before the loop turns to something else. */
#define AT_ONCE 16

struct local {
    mail_deliver *agent;
    boxes *boxes;
    list lanes;
    list running;
    size_t count; /* running */
    size_t bytes; /* what their pieces take */
    bool awaits_reports;
};

struct writing;

/* One recipient of a message. */
typedef struct delivery {
    box_copy copy;
    struct writing *message;
    char *path;
    char *front; /* the fields that go before the message */
    size_t path_size;
    size_t front_length;
} delivery;

/* A message on its way: the loop fills the piece, workers write it to every mailbox, and so on. */
typedef struct writing {
    list link;
    local *owner; /* NULL: the agent is gone */
    const mail_mem *mem;
    job *jb;
    mail_source *body;
    char *piece;
    size_t piece_size;
    size_t length;
    bool is_last;
    size_t writers; /* deliveries whose piece is being written */
    mail_time begun_at;
    size_t count;
    delivery deliveries[];
} writing;

static void on_written(box_copy *copy, void *arg);
static void on_idle(void *arg);

int local_create(local **out, mail_deliver *agent)
{
    static const boxes_ops ops = {.done = on_written, .idle = on_idle};
    local *lc = mem_alloc(agent->mem, sizeof(*lc));

    if (lc == NULL) {
        return MAIL_ENOMEM;
    }
    if (boxes_create(&lc->boxes, agent->loop, agent->opts.store, agent->opts.max_local, agent->mem,
                     &ops, lc) != MAIL_OK) {
        mem_free(agent->mem, lc, sizeof(*lc));
        return MAIL_ENOMEM;
    }
    lc->agent = agent;
    list_init(&lc->lanes);
    list_init(&lc->running);
    *out = lc;
    return MAIL_OK;
}

size_t local_count(const local *lc)
{
    return lc->count;
}

static void free_writing(writing *wr)
{
    for (size_t i = 0; i < wr->count; i++) {
        delivery *dl = &wr->deliveries[i];

        if (dl->copy.sink != NULL) {
            mail_sink_abort(dl->copy.sink);
        }
        mem_free(wr->mem, dl->path, dl->path_size);
        mem_free(wr->mem, dl->front, dl->front_length + 1);
    }
    mem_free(wr->mem, wr->piece, wr->piece_size);
    mem_free(wr->mem, wr, sizeof(*wr) + wr->count * sizeof(wr->deliveries[0]));
}

static void release_lanes(local *lc)
{
    list *link;

    while ((link = list_pop_front(&lc->lanes)) != NULL) {
        lane_release(LIST_OWNER(link, lane_hold, link), LANE_ANY_TIME);
    }
}

void local_destroy(local *lc)
{
    list *link;

    if (lc == NULL) {
        return;
    }
    release_lanes(lc);
    while ((link = list_pop_front(&lc->running)) != NULL) {
        writing *wr = LIST_OWNER(link, writing, link);

        mail_source_close(wr->body);
        job_drop(wr->jb);
        wr->owner = NULL;
    }
    boxes_destroy(lc->boxes); /* what nobody writes any more is freed */
    mem_free(lc->agent->mem, lc, sizeof(*lc));
}

static mail_outcome outcome_of(int code)
{
    static const struct {
        int code;
        mail_outcome_kind kind;
        mail_reply reply;
    } rows[] = {
        {MAIL_OK, MAIL_OUTCOME_ACCEPTED, {250, {2, 0, 0}, {"Stored in the mailbox", 21}}},
        {MAIL_ENOENT, MAIL_OUTCOME_PERMANENT, {550, {5, 1, 1}, {"No such user here", 17}}},
        {MAIL_EINVAL,
         MAIL_OUTCOME_PERMANENT,
         {550, {5, 1, 1}, {"This address names no mailbox", 29}}},
        {MAIL_ELIMIT,
         MAIL_OUTCOME_PERMANENT,
         {550, {5, 1, 1}, {"This address is too long for a mailbox", 38}}},
        {MAIL_ENOSPC, MAIL_OUTCOME_TRANSIENT, {452, {4, 3, 1}, {"No room on the disk", 19}}},
        {MAIL_EPERM,
         MAIL_OUTCOME_TRANSIENT,
         {451, {4, 2, 0}, {"The mailbox may not be written", 30}}},
        {MAIL_ENOMEM, MAIL_OUTCOME_TRANSIENT, {451, {4, 3, 0}, {"Out of memory", 13}}},
        {MAIL_ESYS, MAIL_OUTCOME_TRANSIENT, {451, {4, 3, 5}, {"No mailboxes are kept here", 26}}},
    };

    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        if (rows[i].code == code) {
            return (mail_outcome){rows[i].kind, true, rows[i].reply};
        }
    }
    return (mail_outcome){MAIL_OUTCOME_TRANSIENT, true,
                          MAIL_REPLY(451, 4, 3, 0, "The mailbox could not be written")};
}

static void tell(const writing *wr, size_t index)
{
    const delivery *dl = &wr->deliveries[index];
    mail_outcome outcome = outcome_of(dl->copy.code);
    job_site site = {
        .where = mail_span_text(dl->path),
        .sending = mail_loop_now(wr->owner->agent->loop) - wr->begun_at,
        .is_final = true,
    };

    job_tell(wr->jb, index, &outcome, &site);
}

/* All mailboxes have it or have refused it. */
static void finish(writing *wr)
{
    local *lc = wr->owner;

    for (size_t i = 0; i < wr->count; i++) {
        tell(wr, i);
    }
    if (wr->body != NULL) {
        mail_source_close(wr->body);
    }
    job_end(wr->jb);
    list_remove(&wr->link);
    lc->count--;
    lc->bytes -= wr->piece_size;
    free_writing(wr);
}

static void fail_open(writing *wr, int code)
{
    for (size_t i = 0; i < wr->count; i++) {
        if (wr->deliveries[i].copy.code == MAIL_EAGAIN) {
            wr->deliveries[i].copy.code = code;
        }
    }
}

static bool any_open(const writing *wr)
{
    for (size_t i = 0; i < wr->count; i++) {
        if (wr->deliveries[i].copy.code == MAIL_EAGAIN) {
            return true;
        }
    }
    return false;
}

/* The next bytes of the message, until the piece is full or they end. */
static int fill(writing *wr)
{
    wr->length = 0;
    for (;;) {
        size_t room = wr->piece_size - wr->length;
        mail_span bytes;
        int code = mail_source_peek(wr->body, &bytes);

        if (code != MAIL_OK) {
            return code;
        }
        if (bytes.length == 0) {
            wr->is_last = true;
            return MAIL_OK;
        }
        if (room == 0) {
            return MAIL_OK;
        }
        if (bytes.length > room) {
            bytes.length = room;
        }
        memcpy(wr->piece + wr->length, bytes.data, bytes.length);
        wr->length += bytes.length;
        mail_source_drop(wr->body, bytes.length);
    }
}

/* Hands the piece to every mailbox that is still to have it. */
static void hand_over(writing *wr)
{
    for (size_t i = 0; i < wr->count; i++) {
        box_copy *copy = &wr->deliveries[i].copy;

        if (copy->code != MAIL_EAGAIN) {
            continue;
        }
        copy->piece = mail_span_of(wr->piece, wr->length);
        copy->is_last = wr->is_last;
        if (boxes_write(wr->owner->boxes, copy) == MAIL_OK) {
            wr->writers++;
        } else {
            copy->code = MAIL_ENOMEM;
        }
    }
}

static void go_on(writing *wr)
{
    if (any_open(wr)) {
        int code = fill(wr);

        if (code == MAIL_OK) {
            hand_over(wr);
        } else {
            fail_open(wr, code);
        }
    }
    if (wr->writers == 0) {
        finish(wr);
    }
}

static void on_written(box_copy *copy, void *arg)
{
    writing *wr = LIST_OWNER(copy, delivery, copy)->message;

    (void)arg;
    if (--wr->writers > 0) {
        return;
    }
    if (wr->owner == NULL) {
        free_writing(wr);
    } else {
        go_on(wr);
    }
}

static void on_idle(void *arg)
{
    local_go(arg);
}

static int write_front(writing *wr, delivery *dl, mail_span sender, mail_span address)
{
    char path_field[MAIL_TRACE_SIZE];
    char to_field[MAIL_TRACE_SIZE];
    size_t path_length = mail_return_path_write(sender, path_field);
    size_t to_length = mail_delivered_to_write(address, to_field);

    dl->front = mem_alloc(wr->mem, path_length + to_length + 1);
    if (dl->front == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(dl->front, path_field, path_length);
    memcpy(dl->front + path_length, to_field, to_length);
    dl->front_length = path_length + to_length;
    dl->copy.front = mail_span_of(dl->front, dl->front_length);
    return MAIL_OK;
}

/* Where a recipient's copy goes and what stands at its top; MAIL_EAGAIN: it can be written. */
static int prepare(writing *wr, size_t index)
{
    const mail_deliver_options *opts = &wr->owner->agent->opts;
    const mail_envelope *envelope = mail_lease_envelope(wr->jb->lease);
    mail_span address = mail_envelope_recipient(envelope, index).address;
    delivery *dl = &wr->deliveries[index];
    char path[MAIL_MAILBOX_PATH_SIZE];
    mail_path parsed;
    int code = mail_path_from_text(address, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &parsed);

    if (opts->store == NULL) {
        return MAIL_ESYS;
    }
    if (code == MAIL_OK) {
        code = opts->mailbox_of(&parsed, path, opts->mailbox_arg);
    }
    if (code != MAIL_OK) {
        return code;
    }
    dl->path = mem_text(wr->mem, mail_span_text(path));
    if (dl->path == NULL) {
        return MAIL_ENOMEM;
    }
    dl->path_size = strlen(path) + 1;
    dl->copy.path = dl->path;
    code = write_front(wr, dl, mail_envelope_sender(envelope), address);
    return code == MAIL_OK ? MAIL_EAGAIN : code;
}

static writing *make_writing(local *lc, job *jb)
{
    size_t count = job_count(jb);
    uint64_t size = mail_lease_content(jb->lease)->size;
    writing *wr = mem_alloc(lc->agent->mem, sizeof(*wr) + count * sizeof(wr->deliveries[0]));

    if (wr == NULL) {
        return NULL;
    }
    wr->owner = lc;
    wr->mem = lc->agent->mem;
    wr->jb = jb;
    wr->begun_at = mail_loop_now(lc->agent->loop);
    wr->count = count;
    wr->piece_size = size > 0 && size < PIECE_BYTES ? (size_t)size : PIECE_BYTES;
    wr->piece = mem_alloc(wr->mem, wr->piece_size);
    if (wr->piece == NULL) {
        free_writing(wr);
        return NULL;
    }
    return wr;
}

static void begin(local *lc, job *jb)
{
    writing *wr = make_writing(lc, jb);
    int code;

    if (wr == NULL) {
        mail_outcome outcome = outcome_of(MAIL_ENOMEM);

        job_tell_all(jb, &outcome, &(job_site){.where = MAIL_SPAN("")});
        job_end(jb);
        return;
    }
    list_push_back(&lc->running, &wr->link);
    lc->count++;
    lc->bytes += wr->piece_size;
    for (size_t i = 0; i < wr->count; i++) {
        wr->deliveries[i].message = wr;
        wr->deliveries[i].copy.code = prepare(wr, i);
    }
    code = mail_lease_body(jb->lease, &wr->body);
    if (code != MAIL_OK) {
        wr->body = NULL;
        fail_open(wr, code);
    }
    go_on(wr);
}

static bool goes_local(mail_span domain, void *arg)
{
    const local *lc = arg;

    return route_of(lc->agent->routes, domain)->kind == MAIL_NEXTHOP_LOCAL;
}

static bool may_begin(local *lc, unsigned begun)
{
    lc->awaits_reports = bounce_desk_is_full(lc->agent->bounces);
    return lc->count < (size_t)lc->agent->opts.max_local * EACH_MAILBOX && lc->bytes < MOST_BYTES &&
           !lc->awaits_reports &&
           (begun < AT_ONCE || !boxes_are_busy(lc->boxes)); /* else on_idle comes */
}

void local_go(local *lc)
{
    mail_deliver *agent = lc->agent;
    unsigned begun = 0;

    boxes_go(lc->boxes);
    if (agent->is_draining) {
        release_lanes(lc);
        deliver_note_end(agent);
        return;
    }
    while (may_begin(lc, begun) && !list_is_empty(&lc->lanes)) {
        lane_hold *hold = LIST_OWNER(list_pop_front(&lc->lanes), lane_hold, link);
        job *jb;
        int code = job_lease(&jb, agent, hold->lane, goes_local, lc);

        if (code == MAIL_OK) {
            list_push_back(&lc->lanes, &hold->link);
            begin(lc, jb);
            boxes_go(lc->boxes);
            begun++;
        } else {
            lane_release(hold, lane_again_at(agent, code));
        }
    }
}

void local_go_on(local *lc)
{
    if (lc->awaits_reports) {
        local_go(lc);
    }
}

void local_take(local *lc, lane_hold *hold)
{
    list_push_back(&lc->lanes, &hold->link);
    local_go(lc);
}
