/* SPDX-License-Identifier: MIT */
#include "net/tls_filter.h"

#include "base/buffer.h"
#include "base/mem.h"

/* Of plain bytes: two records. An owner that wants to read has use for much less. */
#define PLAIN_LIMIT ((size_t)32 * 1024)

/* A step of a handshake that a worker does. */
typedef struct step {
    const mail_mem *mem;
    net_tls *ts; /* NULL: it is gone, and `tls` ours */
    mail_tls *tls;
    bool is_done;
    mail_tls_event event;
    size_t used; /* of `in`, which the owner of the filter still holds, too */
    size_t length;
    char in[];
} step;

struct net_tls {
    mail_filter filter; /* first */
    const mail_mem *mem;
    mail_tls *tls;
    mail_loop *loop; /* NULL: all is done here */
    void (*wake)(void *arg);
    void *wake_arg;
    step *step;   /* from its begin until what came of it is taken */
    buffer plain; /* what the owner left of a record, once there is more behind it */
    bool is_ready;
    bool asks; /* whether the peer is who it should be */
    bool has_failed;
};

/*
 * TLS hands out one record at a time and no other before it is used; but half a line must
 * be seen with its other half.
 */
static int keep_plain(net_tls *ts)
{
    mail_span rest = mail_tls_plain(ts->tls);
    int code = rest.length > 0 ? buffer_append(&ts->plain, rest) : MAIL_OK;

    if (code == MAIL_OK) {
        mail_tls_drop(ts->tls, rest.length);
    }
    return code;
}

static void end_step(step *st)
{
    mem_free(st->mem, st, sizeof(*st) + st->length);
}

static void run_step(void *arg)
{
    step *st = arg;

    st->event = mail_tls_feed(st->tls, mail_span_of(st->in, st->length), &st->used);
}

static void on_step(void *arg)
{
    step *st = arg;

    if (st->ts == NULL) {
        mail_tls_destroy(st->tls);
        end_step(st);
        return;
    }
    st->is_done = true;
    st->ts->wake(st->ts->wake_arg);
}

/* False: nobody else can do it. */
static bool begin_step(net_tls *ts, mail_span in)
{
    step *st = mem_alloc(ts->mem, sizeof(*st) + in.length);

    if (st == NULL) {
        return false;
    }
    *st = (step){.mem = ts->mem, .ts = ts, .tls = ts->tls, .length = in.length};
    memcpy(st->in, in.data, in.length);
    if (ts->loop->ops->work(ts->loop, run_step, on_step, st) != MAIL_OK) {
        end_step(st);
        return false;
    }
    ts->step = st;
    return true;
}

static mail_tls_event take_step(net_tls *ts, size_t *used)
{
    mail_tls_event event = ts->step->event;

    *used = ts->step->used;
    end_step(ts->step);
    ts->step = NULL;
    return event;
}

static int fail(net_tls *ts)
{
    ts->has_failed = true;
    return MAIL_EPROTO;
}

/* Whether the peer said that it ends, or was cut off, is the same to the owner: no more will come. */
static int heed(net_tls *ts, mail_tls_event event)
{
    switch (event) {
    case MAIL_TLS_READY:
        ts->is_ready = true;
        return MAIL_OK;
    case MAIL_TLS_PLAIN:
        return buffer_length(&ts->plain) > 0 && keep_plain(ts) != MAIL_OK ? fail(ts) : MAIL_OK;
    case MAIL_TLS_NONE:
        return MAIL_OK;
    case MAIL_TLS_END:
        return MAIL_EPROTO;
    case MAIL_TLS_VERIFY:
        ts->asks = true;
        return MAIL_OK;
    case MAIL_TLS_FAILED:
        break;
    }
    return fail(ts);
}

static int tls_feed(mail_filter *filter, mail_time now, mail_span in, size_t *used)
{
    net_tls *ts = (net_tls *)filter;

    (void)now;
    *used = 0;
    if (net_tls_is_at_work(ts)) {
        return MAIL_OK;
    }
    if (ts->step != NULL) {
        return heed(ts, take_step(ts, used));
    }
    if (ts->loop != NULL && in.length > 0 && mail_tls_is_slow(ts->tls) && begin_step(ts, in)) {
        return MAIL_OK;
    }
    if (keep_plain(ts) != MAIL_OK) {
        return fail(ts);
    }
    return heed(ts, mail_tls_feed(ts->tls, in, used));
}

static mail_span tls_out(mail_filter *filter)
{
    net_tls *ts = (net_tls *)filter;

    return net_tls_is_at_work(ts) ? mail_span_of(NULL, 0) : mail_tls_out(ts->tls);
}

static void tls_sent(mail_filter *filter, size_t n)
{
    mail_tls_sent(((net_tls *)filter)->tls, n);
}

static mail_span tls_plain(mail_filter *filter)
{
    net_tls *ts = (net_tls *)filter;

    if (net_tls_is_at_work(ts)) {
        return mail_span_of(NULL, 0);
    }
    return buffer_length(&ts->plain) > 0 ? buffer_bytes(&ts->plain) : mail_tls_plain(ts->tls);
}

static void tls_drop(mail_filter *filter, size_t n)
{
    net_tls *ts = (net_tls *)filter;

    if (n == 0) {
        return;
    }
    if (buffer_length(&ts->plain) == 0) {
        mail_tls_drop(ts->tls, n);
        return;
    }
    buffer_consume(&ts->plain, n);
    if (buffer_length(&ts->plain) == 0) {
        buffer_clear(&ts->plain, 0);
    }
}

/* After a failure there is nobody to say anything to: all is taken, so that the owner comes to an end. */
static size_t tls_room(mail_filter *filter)
{
    net_tls *ts = (net_tls *)filter;

    if (net_tls_is_at_work(ts)) {
        return 0;
    }
    return ts->has_failed ? SIZE_MAX : mail_tls_room(ts->tls);
}

static int tls_write(mail_filter *filter, mail_span bytes)
{
    net_tls *ts = (net_tls *)filter;

    if (!ts->has_failed && mail_tls_write(ts->tls, bytes) != MAIL_OK) {
        return fail(ts);
    }
    return MAIL_OK;
}

static void tls_close(mail_filter *filter)
{
    net_tls *ts = (net_tls *)filter;

    if (!net_tls_is_at_work(ts)) { /* there is nothing private to end yet */
        mail_tls_close(ts->tls);
    }
}

static const mail_filter_ops tls_ops = {
    .feed = tls_feed,
    .out = tls_out,
    .sent = tls_sent,
    .plain = tls_plain,
    .drop = tls_drop,
    .room = tls_room,
    .write = tls_write,
    .close = tls_close,
};

int net_tls_create(net_tls **out, mail_tls_context *context, const mail_tls_options *opts)
{
    net_tls *ts = mem_alloc(opts->mem, sizeof(*ts));
    int code;

    if (ts == NULL) {
        return MAIL_ENOMEM;
    }
    ts->filter.ops = &tls_ops;
    ts->mem = opts->mem;
    buffer_init(&ts->plain, opts->mem, PLAIN_LIMIT);
    ts->plain.is_secret = true; /* half a password may be waiting for the other half */
    code = mail_tls_create(&ts->tls, context, opts);
    if (code != MAIL_OK) {
        net_tls_destroy(ts);
        return code;
    }
    *out = ts;
    return MAIL_OK;
}

int net_tls_accept(net_tls **out, mail_tls_context *context, const mail_mem *mem)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;

    opts.mem = mem;
    opts.server = true;
    return net_tls_create(out, context, &opts);
}

void net_tls_use_workers(net_tls *ts, mail_loop *loop, void (*wake)(void *arg), void *arg)
{
    ts->loop = loop;
    ts->wake = wake;
    ts->wake_arg = arg;
}

bool net_tls_is_at_work(const net_tls *ts)
{
    return ts != NULL && ts->step != NULL && !ts->step->is_done;
}

/* What is at work has the session, and ends it. */
static void destroy_session(net_tls *ts)
{
    if (net_tls_is_at_work(ts)) {
        ts->step->ts = NULL;
        return;
    }
    if (ts->step != NULL) {
        end_step(ts->step);
    }
    mail_tls_destroy(ts->tls);
}

void net_tls_destroy(net_tls *ts)
{
    if (ts != NULL) {
        destroy_session(ts);
        buffer_deinit(&ts->plain);
        mem_free(ts->mem, ts, sizeof(*ts));
    }
}

mail_filter *net_tls_filter(net_tls *ts)
{
    return &ts->filter;
}

bool net_tls_is_ready(const net_tls *ts)
{
    return ts->is_ready;
}

bool net_tls_asks(const net_tls *ts)
{
    return ts->asks;
}

void net_tls_answer(net_tls *ts, bool accept)
{
    size_t used;

    ts->asks = false;
    mail_tls_answer(ts->tls, accept);
    ts->is_ready = mail_tls_feed(ts->tls, mail_span_of(NULL, 0), &used) == MAIL_TLS_READY;
    ts->has_failed = !ts->is_ready;
}

mail_span net_tls_binding(const net_tls *ts, uint8_t out[MAIL_TLS_BINDING_SIZE])
{
    return mail_tls_binding(ts->tls, out) == MAIL_OK ? mail_span_of(out, MAIL_TLS_BINDING_SIZE)
                                                     : mail_span_of(NULL, 0);
}

const mail_tls *net_tls_session(const net_tls *ts)
{
    return ts->tls;
}

mail_span net_tls_failure(const net_tls *ts)
{
    return net_tls_is_at_work(ts) ? mail_span_of(NULL, 0) : mail_tls_failure(ts->tls);
}
