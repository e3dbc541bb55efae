/* SPDX-License-Identifier: MIT */
#ifndef TESTS_QUEUE_KIT_H
#define TESTS_QUEUE_KIT_H

#include "support/support.h"

#include <mail/queue.h>

#include "base/file.h"
#include "queue/queue.h"

/* A queue without threads whose clocks stand still until a test moves them. */
typedef struct kit {
    mail_queue *queue;
    mail_intake *intake;
    mail_queue_options opts;
    mail_time now;
    mail_wall wall;
    unsigned wakes;
    unsigned dues;
    int code; /* of the last finish */
    unsigned finished;
    char id[MAIL_QUEUE_ID_SIZE]; /* of the last message begun */
} kit;

static inline mail_time kit_now(void *arg)
{
    return ((kit *)arg)->now;
}

static inline mail_wall kit_wall(void *arg)
{
    return ((kit *)arg)->wall;
}

static inline void kit_on_due(void *arg)
{
    ((kit *)arg)->dues++;
}

static inline void kit_wake(void *arg)
{
    ((kit *)arg)->wakes++;
}

static inline void kit_finished(int code, void *arg)
{
    ((kit *)arg)->code = code;
    ((kit *)arg)->finished++;
}

/* `opts` NULL: a queue in memory. */
static inline void kit_init(kit *k, const mail_queue_options *opts)
{
    static const mail_queue_options in_memory = {.size = sizeof(in_memory), .in_memory = true};

    *k = (kit){.now = 1000 * MAIL_HOUR, .wall = 1700000000};
    k->opts = opts != NULL ? *opts : in_memory;
    k->opts.size = sizeof(k->opts);
    k->opts.manual = true;
    k->opts.hand_over = true;
    k->opts.now = kit_now;
    k->opts.wall = kit_wall;
    k->opts.clock_arg = k;
    k->opts.on_due = kit_on_due;
    k->opts.on_due_arg = k;
}

static inline int kit_open(kit *k, const char *dir)
{
    mail_error err = {0};
    int code = mail_queue_open(&k->queue, dir, &k->opts, &err);

    if (code == MAIL_OK) {
        code = mail_intake_open(&k->intake, k->queue, kit_wake, k);
    }
    if (code != MAIL_OK) {
        mail_queue_close(k->queue);
        k->queue = NULL;
    }
    return code;
}

static inline void kit_close(kit *k)
{
    mail_intake_close(k->intake);
    mail_queue_close(k->queue);
    k->intake = NULL;
    k->queue = NULL;
}

static inline void kit_later(kit *k, mail_duration by)
{
    k->now += by;
    k->wall += by / MAIL_SECOND;
}

/* Begins a message; `to` is recipients divided by blanks. */
static inline int kit_begin(kit *k, const char *from, const char *to, uint64_t expected,
                            mail_sink **out)
{
    mail_envelope envelope;
    const char *at = to;
    int code;

    mail_envelope_init(&envelope, k->opts.mem);
    code = mail_envelope_set_sender(&envelope, mail_span_text(from), mail_span_of(NULL, 0));
    while (code == MAIL_OK && *at != '\0') {
        size_t length = strcspn(at, " ");
        mail_recipient recipient = {.address = mail_span_of(at, length)};

        code = mail_envelope_add(&envelope, &recipient);
        at += length + (at[length] == ' ');
    }
    if (code == MAIL_OK) {
        code = mail_intake_begin(k->intake, &envelope, expected, k->id, out);
    }
    mail_envelope_deinit(&envelope);
    return code;
}

/* Brings a message in and waits for it; the outcome of the whole. */
static inline int kit_accept(kit *k, const char *from, const char *to, mail_span body)
{
    mail_sink *sink;
    int code = kit_begin(k, from, to, 0, &sink);

    if (code != MAIL_OK) {
        return code;
    }
    for (size_t at = 0; at < body.length;) {
        size_t n = mail_sink_room(sink);

        n = n < body.length - at ? n : body.length - at;
        assert_true(n > 0);
        code = mail_sink_write(sink, mail_span_of(body.data + at, n));
        if (code != MAIL_OK) {
            mail_sink_abort(sink);
            return code;
        }
        at += n;
    }
    k->code = MAIL_EAGAIN;
    code = mail_sink_finish(sink, kit_finished, k);
    if (code != MAIL_EAGAIN) {
        return code;
    }
    queue_step(k->queue);
    mail_intake_poll(k->intake);
    return k->code;
}

static inline int kit_accept_text(kit *k, const char *from, const char *to, const char *body)
{
    return kit_accept(k, from, to, mail_span_text(body));
}

/* Reads a source to its end into `out` of `size`; the length or a code. */
static inline int64_t kit_read(mail_source *source, char *out, size_t size)
{
    size_t length = 0;
    mail_span span;
    int code;

    while ((code = mail_source_peek(source, &span)) == MAIL_OK && span.length > 0) {
        assert_true(length + span.length <= size);
        memcpy(out + length, span.data, span.length);
        length += span.length;
        mail_source_drop(source, span.length);
    }
    mail_source_close(source);
    return code == MAIL_OK ? (int64_t)length : code;
}

/* Leases the next due message of whatever lane; NULL: none is due. The lane is `*lane`. */
static inline mail_lease *kit_lease(kit *k, mail_lane **lane)
{
    mail_lease *lease;
    int code;

    while ((*lane = mail_queue_take_lane(k->queue)) != NULL) {
        code = mail_lane_lease(*lane, &lease);
        if (code == MAIL_OK) {
            return lease;
        }
        assert_int_equal(code, MAIL_ENOENT);
        mail_lane_give_back(*lane, INT64_MIN);
    }
    return NULL;
}

/* Leases the next due message and reports all of it; false: none was due. */
static inline bool kit_deliver(kit *k, mail_queue_verdict verdict, const mail_reply *reply)
{
    mail_lane *lane;
    mail_lease *lease = kit_lease(k, &lane);

    if (lease == NULL) {
        return false;
    }
    for (size_t i = 0; i < mail_envelope_count(mail_lease_envelope(lease)); i++) {
        mail_lease_report(lease, i, verdict, reply, false);
    }
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    queue_step(k->queue);
    return true;
}

#endif
