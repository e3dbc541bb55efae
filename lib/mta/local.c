/* SPDX-License-Identifier: MIT */
#include "mta/local.h"

#include <mail/trace.h>

#include "base/mem.h"
#include "mta/job.h"

/* What a worker gets at a time; messages are mostly smaller. */
#define PIECE_BYTES ((size_t)256 * 1024)

struct local {
    mail_deliver *agent;
    list lanes;
    list running;
    size_t count; /* running */
};

/* One recipient of a message. */
typedef struct delivery {
    mail_sink *sink; /* NULL: not begun, failed or finished */
    int code;        /* MAIL_EAGAIN while it goes well */
    char *path;
    char *front; /* the fields that go before the message */
    size_t path_size;
    size_t front_length;
} delivery;

/*
 * A message on its way: the loop fills the piece, a worker writes it to every mailbox, and so on.
 * While a worker has it, `owner`, `jb` and `body` are still the loop's.
 */
typedef struct writing {
    list link;
    local *owner; /* NULL: the agent is gone */
    const mail_mem *mem;
    mail_loop *loop;
    mail_store *store;
    job *jb;
    mail_source *body;
    char *piece;
    size_t piece_size;
    size_t length;
    bool is_last;
    size_t count;
    delivery deliveries[];
} writing;

int local_create(local **out, mail_deliver *agent)
{
    local *lc = mem_alloc(agent->mem, sizeof(*lc));

    if (lc == NULL) {
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

        if (dl->sink != NULL) {
            mail_sink_abort(dl->sink);
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
    mem_free(lc->agent->mem, lc, sizeof(*lc));
}

/* In a worker: one mailbox. */
static void write_piece(const writing *wr, delivery *dl)
{
    int code = MAIL_OK;

    if (dl->sink == NULL) {
        code = mail_store_append(wr->store, dl->path, &dl->sink, NULL);
        if (code == MAIL_OK) {
            code = mail_sink_write(dl->sink, mail_span_of(dl->front, dl->front_length));
        }
    }
    if (code == MAIL_OK && wr->length > 0) {
        code = mail_sink_write(dl->sink, mail_span_of(wr->piece, wr->length));
    }
    if (code == MAIL_OK && wr->is_last) {
        code = mail_sink_finish(dl->sink, NULL, NULL);
        dl->sink = NULL;
        dl->code = code;
    }
    if (code != MAIL_OK) {
        /* A file that has vanished says nothing of the user. */
        dl->code = code == MAIL_ENOENT ? MAIL_EIO : code;
        if (dl->sink != NULL) {
            mail_sink_abort(dl->sink);
            dl->sink = NULL;
        }
    }
}

static void run(void *arg)
{
    writing *wr = arg;

    for (size_t i = 0; i < wr->count; i++) {
        if (wr->deliveries[i].code == MAIL_EAGAIN) {
            write_piece(wr, &wr->deliveries[i]);
        }
    }
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
    mail_outcome outcome = outcome_of(dl->code);
    job_site site = {.where = mail_span_text(dl->path), .is_final = true};

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
    free_writing(wr);
}

static void fail_open(writing *wr, int code)
{
    for (size_t i = 0; i < wr->count; i++) {
        if (wr->deliveries[i].code == MAIL_EAGAIN) {
            wr->deliveries[i].code = code;
        }
    }
}

static bool any_open(const writing *wr)
{
    for (size_t i = 0; i < wr->count; i++) {
        if (wr->deliveries[i].code == MAIL_EAGAIN) {
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

static void done(void *arg);

/* MAIL_OK: a worker has it, and `done` will follow. */
static int hand_over(writing *wr)
{
    int code = fill(wr);

    if (code == MAIL_OK) {
        code = wr->loop->ops->work(wr->loop, run, done, wr);
    }
    return code;
}

static void go_on(writing *wr)
{
    int code;

    if (any_open(wr)) {
        code = hand_over(wr);
        if (code == MAIL_OK) {
            return;
        }
        fail_open(wr, code);
    }
    finish(wr);
}

static void done(void *arg)
{
    writing *wr = arg;
    local *lc = wr->owner;

    if (lc == NULL) {
        free_writing(wr);
        return;
    }
    go_on(wr);
    local_go(lc);
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
    wr->loop = lc->agent->loop;
    wr->store = lc->agent->opts.store;
    wr->jb = jb;
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
    for (size_t i = 0; i < wr->count; i++) {
        wr->deliveries[i].code = prepare(wr, i);
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

void local_go(local *lc)
{
    mail_deliver *agent = lc->agent;

    if (agent->is_draining) {
        release_lanes(lc);
        deliver_note_end(agent);
        return;
    }
    while (lc->count < agent->opts.max_local && !list_is_empty(&lc->lanes)) {
        lane_hold *hold = LIST_OWNER(list_pop_front(&lc->lanes), lane_hold, link);
        job *jb;
        int code = job_lease(&jb, agent, hold->lane, goes_local, lc);

        if (code == MAIL_OK) {
            list_push_back(&lc->lanes, &hold->link);
            begin(lc, jb);
        } else {
            lane_release(hold, lane_again_at(agent, code));
        }
    }
}

void local_take(local *lc, lane_hold *hold)
{
    list_push_back(&lc->lanes, &hold->link);
    local_go(lc);
}
