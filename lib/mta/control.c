/* SPDX-License-Identifier: MIT */
#include "mta/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "mta/drop.h"
#include "net/link.h"
#include "net/listener.h"

#define MAX_CONNECTIONS 16

/* The same of those that wait for what becomes of a message, who come on top. */
#define MAX_WAITING 64

/* Looked at in one part of a request, and what is written of it before the next one. */
#define PART_MESSAGES 100
#define PART_OCTETS   ((size_t)64 * 1024)

/* How long a peer may leave us waiting for a request, or with a reply that it does not read. */
#define PATIENCE (30 * MAIL_SECOND)

/* How long one may wait for what becomes of a message, and how often that is looked up unasked. */
#define LONGEST_WAIT  MAIL_DAY
#define LOOK_INTERVAL MAIL_SECOND

/*
 * A connection awaits a request; then it serves it, part by part, until its last line is
 * written; then it awaits the next. A part is begun only when all before it has been sent.
 */
typedef enum state {
    EXPECT_REQUEST,
    SERVING,
    EXPECT_OUTCOMES, /* of the message that is dropped under a name */
    CLOSING          /* what is in `out` is the last */
} state;

typedef struct visitor {
    list link;
    mail_control *control;
    net_link net;
    state state;
    bool is_half; /* the peer has said all that it will */
    control_request request;
    mail_queue_page page;
    int64_t count;
    mail_source *body;
    buffer out;
    mail_time patience;               /* until when something must move */
    char awaited[MAIL_QUEUE_ID_SIZE]; /* the message's id; empty: none is known yet */
    size_t untold;                    /* its recipients of which nothing was told yet */
    mail_time look_at;                /* when it is looked up in the queue */
} visitor;

struct mail_control {
    const mail_mem *mem;
    mail_loop *loop;
    mail_control_options opts;
    const mail_sockets *net;
    net_listener listener;
    list visitors;
    size_t count;
    size_t waiting; /* of them */
};

static void be_patient(visitor *vs, mail_time now)
{
    vs->patience = now + (vs->state == EXPECT_OUTCOMES ? LONGEST_WAIT : PATIENCE);
}

static void set_state(visitor *vs, state next)
{
    vs->control->waiting += next == EXPECT_OUTCOMES ? 1 : 0;
    vs->control->waiting -= vs->state == EXPECT_OUTCOMES ? 1 : 0;
    vs->state = next;
}

static void close_body(visitor *vs)
{
    if (vs->body != NULL) {
        mail_source_close(vs->body);
        vs->body = NULL;
    }
}

/* The last line of a reply. Without memory even for that there is nothing left to say. */
static void answer(visitor *vs, int64_t result, const char *text)
{
    int code;

    close_body(vs);
    set_state(vs, vs->is_half ? CLOSING : EXPECT_REQUEST);
    if (result >= 0) {
        code = buffer_printf(&vs->out, "ok %" PRId64 "\n", result);
    } else {
        code = buffer_printf(&vs->out, "error %d %s\n", (int)result,
                             text != NULL ? text : mail_strerror((int)result));
    }
    if (code != MAIL_OK) {
        set_state(vs, CLOSING);
    }
}

/* What an operator has done is told in the log. */
static void log_change(const visitor *vs)
{
    const mail_queue_selector *which = &vs->request.which;
    char count[24];
    const mail_log_field choice[] = {
        {"ids", which->id_count > 0 ? mail_span_text(which->ids[0]) : MAIL_SPAN("")},
        {"domain", which->domain},
        {"sender", which->sender},
    };
    mail_log_field fields[2 + MAIL_COUNT(choice)] = {
        {"verb", mail_span_text(control_verb_name(vs->request.verb))},
        {"messages",
         mail_span_of(count, (size_t)snprintf(count, sizeof(count), "%" PRId64, vs->count))},
    };
    size_t used = 2;

    for (size_t i = 0; i < MAIL_COUNT(choice); i++) {
        if (choice[i].value.length > 0) {
            fields[used++] = choice[i];
        }
    }
    mail_log_line(vs->control->opts.log, MAIL_LOG_INFO, "operator", fields, used);
}

/* What a list has written, and whether it could. */
typedef struct writing {
    visitor *vs;
    int code;
} writing;

static bool write_item(const mail_queue_item *item, void *arg)
{
    writing *wr = arg;

    wr->code = control_item_print(item, &wr->vs->out);
    wr->vs->count++;
    return wr->code == MAIL_OK && buffer_length(&wr->vs->out) < PART_OCTETS;
}

static int64_t list_part(visitor *vs)
{
    writing wr = {.vs = vs};
    int code = mail_queue_list(vs->control->opts.queue, &vs->request.which, write_item, &wr);

    return code == MAIL_OK ? wr.code : code;
}

static int64_t change_part(visitor *vs)
{
    mail_queue *queue = vs->control->opts.queue;

    switch (vs->request.verb) {
    case CONTROL_HOLD:
        return mail_queue_hold(queue, &vs->request.which);
    case CONTROL_RELEASE:
        return mail_queue_unhold(queue, &vs->request.which);
    case CONTROL_RETRY:
        return mail_queue_flush(queue, &vs->request.which);
    case CONTROL_EXPIRE:
        return mail_queue_expire(queue, &vs->request.which);
    case CONTROL_REMOVE:
        return mail_queue_remove(queue, &vs->request.which);
    case CONTROL_LIST:
    case CONTROL_STATS:
    case CONTROL_BODY:
    case CONTROL_AWAIT:
        break;
    }
    return MAIL_EINVAL;
}

static void serve_list(visitor *vs)
{
    int64_t code = list_part(vs);

    if (code < 0 || vs->page.is_last) {
        answer(vs, code < 0 ? code : vs->count, NULL);
    }
}

static void serve_change(visitor *vs)
{
    int64_t changed = change_part(vs);

    vs->count += changed > 0 ? changed : 0;
    if (changed < 0 || vs->page.is_last) {
        log_change(vs);
        answer(vs, changed < 0 ? changed : vs->count, NULL);
    }
}

static void serve_stats(visitor *vs)
{
    mail_queue_stats stats;
    int code;

    mail_queue_stats_read(vs->control->opts.queue, &stats);
    code = control_stats_print(&stats, &vs->out);
    answer(vs, code, NULL);
}

/* A piece of the message; the first part opens it. */
static int body_part(visitor *vs, mail_span *bytes)
{
    mail_queue *queue = vs->control->opts.queue;
    int code = MAIL_OK;

    if (vs->body == NULL) {
        code = mail_queue_read(queue, vs->request.ids[0], &vs->body);
    }
    return code == MAIL_OK ? mail_source_peek(vs->body, bytes) : code;
}

static void serve_body(visitor *vs)
{
    mail_span bytes;
    int code = body_part(vs, &bytes);

    if (code == MAIL_OK && bytes.length > 0) {
        bytes.length = bytes.length < PART_OCTETS ? bytes.length : PART_OCTETS;
        code = buffer_printf(&vs->out, "data %zu\n", bytes.length);
        code = code == MAIL_OK ? buffer_append(&vs->out, bytes) : code;
    }
    if (code != MAIL_OK || bytes.length == 0) {
        answer(vs, code != MAIL_OK ? code : vs->count, NULL);
        return;
    }
    mail_source_drop(vs->body, bytes.length);
    vs->count += (int64_t)bytes.length;
}

static void serve(visitor *vs)
{
    switch (vs->request.verb) {
    case CONTROL_LIST:
        serve_list(vs);
        return;
    case CONTROL_STATS:
        serve_stats(vs);
        return;
    case CONTROL_BODY:
        serve_body(vs);
        return;
    case CONTROL_HOLD:
    case CONTROL_RELEASE:
    case CONTROL_RETRY:
    case CONTROL_EXPIRE:
    case CONTROL_REMOVE:
        serve_change(vs);
        return;
    case CONTROL_AWAIT: /* is not served in parts */
        return;
    }
}

/* It is heard before the file is there: what comes of that can't be missed. */
static void begin_waiting(visitor *vs)
{
    if (vs->control->waiting >= MAX_WAITING) {
        answer(vs, MAIL_EBUSY, "too many wait already");
        return;
    }
    set_state(vs, EXPECT_OUTCOMES);
    be_patient(vs, mail_loop_now(vs->control->loop));
    vs->awaited[0] = '\0';
    vs->untold = 0;
    vs->look_at = MAIL_NEVER;
    if (buffer_append(&vs->out, MAIL_SPAN("awaiting\n")) != MAIL_OK) {
        set_state(vs, CLOSING);
    }
}

/* Nothing more will come of it soon: each recipient was tried, or is not to be. */
static bool judge(const mail_queue_item *item, void *arg)
{
    bool *is_over = arg;

    *is_over = item->state != MAIL_QUEUE_ACTIVE;
    for (size_t i = 0; i < item->recipient_count; i++) {
        const mail_queue_recipient *rcpt = &item->recipients[i];

        *is_over = *is_over && (rcpt->done || rcpt->held || rcpt->attempts > 0);
    }
    return true;
}

/* Some recipients come to nothing that is told: an operator has held them, or removed them. */
static void look_up(visitor *vs, mail_time now)
{
    const char *id = vs->awaited;
    const mail_queue_selector which = {.ids = &id, .id_count = 1};
    bool is_over = true; /* unless it is there */
    int code = mail_queue_list(vs->control->opts.queue, &which, judge, &is_over);

    vs->look_at = now + LOOK_INTERVAL;
    if (code != MAIL_OK || is_over) {
        answer(vs, code != MAIL_OK ? code : vs->count, NULL);
    }
}

static void begin(visitor *vs, mail_span line)
{
    mail_error err;
    int code = control_request_parse(line, &vs->request, &err);

    if (code != MAIL_OK) {
        answer(vs, code, err.text);
        return;
    }
    vs->page = (mail_queue_page){.limit = PART_MESSAGES};
    vs->request.which.page = &vs->page;
    vs->count = 0;
    if (vs->request.verb == CONTROL_AWAIT) {
        begin_waiting(vs);
        return;
    }
    set_state(vs, SERVING);
    serve(vs);
}

/* One request at a time: the next one waits until the reply to this one is sent. */
static void on_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    visitor *vs = arg;
    const char *lf;

    *used = 0;
    if (vs->state == CLOSING) {
        *used = in.length;
        return;
    }
    if (in.length > 0 && vs->state == EXPECT_OUTCOMES) {
        *used = in.length;
        answer(vs, MAIL_EPROTO, "nothing may come while something is awaited");
        set_state(vs, CLOSING);
        return;
    }
    if (in.length == 0 || vs->state != EXPECT_REQUEST || buffer_length(&vs->out) > 0) {
        return;
    }
    lf = memchr(in.data, '\n', in.length);
    if ((lf != NULL ? (size_t)(lf - in.data) : in.length) > CONTROL_LINE_MAX) {
        *used = in.length;
        answer(vs, MAIL_ELIMIT, "the request is too long");
        set_state(vs, CLOSING);
        return;
    }
    if (lf != NULL) {
        *used = (size_t)(lf - in.data) + 1;
        be_patient(vs, now);
        begin(vs, mail_span_first(in, *used - 1));
    }
}

/* It may have said all and still wait for the reply. */
static void on_eof(void *arg, mail_time now)
{
    visitor *vs = arg;

    (void)now;
    vs->is_half = true;
    if (vs->state == EXPECT_REQUEST || vs->state == EXPECT_OUTCOMES || vs->net.is_broken) {
        close_body(vs);
        set_state(vs, CLOSING);
    }
}

/* The next part is due as soon as all before it is out of the house. */
static bool owes_part(const visitor *vs)
{
    return vs->state == SERVING && buffer_length(&vs->out) == 0;
}

static void on_tick(void *arg, mail_time now)
{
    visitor *vs = arg;

    if (owes_part(vs)) {
        be_patient(vs, now);
        serve(vs);
    } else if (vs->state == EXPECT_OUTCOMES && now < vs->patience) {
        look_up(vs, now);
    } else {
        net_link_close(&vs->net);
    }
}

static mail_span on_out(void *arg)
{
    const visitor *vs = arg;

    return buffer_bytes(&vs->out);
}

static void on_sent(void *arg, mail_time now, size_t n)
{
    visitor *vs = arg;

    buffer_consume(&vs->out, n);
    if (buffer_length(&vs->out) == 0) {
        buffer_clear(&vs->out, PART_OCTETS);
    }
    be_patient(vs, now);
}

static unsigned on_wants(void *arg)
{
    const visitor *vs = arg;

    if (buffer_length(&vs->out) > 0) {
        return MAIL_WANTS_WRITE;
    }
    switch (vs->state) {
    case EXPECT_REQUEST:
    case EXPECT_OUTCOMES:
        return MAIL_WANTS_READ;
    case SERVING:
        return MAIL_WANTS_TIME;
    case CLOSING:
        return 0;
    }
    return 0;
}

static mail_time on_deadline(void *arg)
{
    const visitor *vs = arg;

    if (vs->state == EXPECT_OUTCOMES) {
        return vs->look_at < vs->patience ? vs->look_at : vs->patience;
    }
    return owes_part(vs) ? 0 : vs->patience;
}

static void on_closed(void *arg)
{
    visitor *vs = arg;
    mail_control *control = vs->control;

    close_body(vs);
    set_state(vs, CLOSING);
    buffer_deinit(&vs->out);
    list_remove(&vs->link);
    control->count--;
    mem_free(control->mem, vs, sizeof(*vs));
}

static int open_visitor(mail_control *control, int fd)
{
    static const net_link_ops ops = {on_feed, on_eof,   on_tick,     on_out,
                                     on_sent, on_wants, on_deadline, on_closed};
    visitor *vs = mem_alloc(control->mem, sizeof(*vs));
    int code;

    if (vs == NULL) {
        return MAIL_ENOMEM;
    }
    vs->control = control;
    vs->state = EXPECT_REQUEST;
    buffer_init(&vs->out, control->mem, SIZE_MAX / 2);
    be_patient(vs, mail_loop_now(control->loop));
    code = net_link_init(&vs->net, control->net, control->loop, control->mem, fd, &ops, vs);
    if (code != MAIL_OK) {
        mem_free(control->mem, vs, sizeof(*vs));
        return code;
    }
    list_push_back(&control->visitors, &vs->link);
    control->count++;
    net_link_run(&vs->net);
    return MAIL_OK;
}

/* Connecting is by itself a word to the owner; a stranger has no other. */
static void on_accept(int fd, const mail_endpoint *peer, bool is_last, void *arg)
{
    mail_control *control = arg;

    (void)peer;
    if (is_last || control->count - control->waiting >= control->opts.max_connections ||
        !control->net->ops->peer_is_us(control->net, fd) || open_visitor(control, fd) != MAIL_OK) {
        control->net->ops->close(control->net, fd);
    }
    if (control->opts.on_poke != NULL) {
        control->opts.on_poke(control->opts.arg);
    }
}

static int start(mail_control *control, const char *path, mail_error *err)
{
    int fd = control->net->ops->listen_unix(control->net, path, NET_OWN_USER);
    int code;

    if (fd < 0) {
        return mail_error_set(err, mail_error_from_errno(-fd), "%.180s: %s", path, strerror(-fd));
    }
    code =
        net_listener_init(&control->listener, control->net, control->loop, fd, on_accept, control);
    if (code != MAIL_OK) {
        control->net->ops->close(control->net, fd);
        return mail_error_set(err, code, "%.180s: %s", path, mail_strerror(code));
    }
    return MAIL_OK;
}

static int listen_in(mail_control *control, const char *spool, mail_error *err)
{
    size_t size = strlen(spool) + sizeof("/" DROP_CONTROL);
    char *path = mem_alloc(control->mem, size);
    int code;

    if (path == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    snprintf(path, size, "%s/" DROP_CONTROL, spool);
    code = start(control, path, err);
    mem_free(control->mem, path, size);
    return code;
}

int mail_control_create(mail_control **out, mail_loop *loop, const mail_control_options *opts,
                        mail_error *err)
{
    mail_control *control;
    int code;

    if (opts->size > sizeof(*opts) || opts->queue == NULL || opts->spool == NULL) {
        return mail_error_set(err, MAIL_EINVAL, "control: a queue and its spool are needed");
    }
    control = mem_alloc(opts->mem, sizeof(*control));
    if (control == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    memcpy(&control->opts, opts, opts->size);
    control->opts.spool = NULL;
    if (control->opts.max_connections == 0) {
        control->opts.max_connections = MAX_CONNECTIONS;
    }
    control->mem = opts->mem;
    control->loop = loop;
    control->net = control->opts.sockets != NULL ? control->opts.sockets : &net_system_sockets;
    list_init(&control->visitors);
    code = listen_in(control, opts->spool, err);
    if (code != MAIL_OK) {
        mem_free(control->mem, control, sizeof(*control));
        return code;
    }
    *out = control;
    return MAIL_OK;
}

void mail_control_destroy(mail_control *control)
{
    if (control == NULL) {
        return;
    }
    net_listener_deinit(&control->listener);
    while (!list_is_empty(&control->visitors)) {
        net_link_close(&LIST_OWNER(control->visitors.next, visitor, link)->net);
    }
    mem_free(control->mem, control, sizeof(*control));
}

size_t mail_control_connections(const mail_control *control)
{
    return control->count;
}

/* Calls `fn` for each connection that waits for `name`: a file's, or with `by_id` a message's. */
static void each_waiting(mail_control *control, const char *name, bool by_id,
                         void (*fn)(visitor *vs, void *arg), void *arg)
{
    for (list *link = control->visitors.next; link != &control->visitors;) {
        visitor *vs = LIST_OWNER(link, visitor, link);

        link = link->next;
        if (vs->state == EXPECT_OUTCOMES &&
            strcmp(by_id ? vs->awaited : vs->request.ids[0], name) == 0) {
            fn(vs, arg);
            net_link_kick(&vs->net);
        }
    }
}

typedef struct taken {
    const char *id;
    size_t recipients;
} taken;

static void begin_to_listen(visitor *vs, void *arg)
{
    const taken *tk = arg;

    snprintf(vs->awaited, sizeof(vs->awaited), "%s", tk->id);
    vs->untold = tk->recipients;
}

void control_note_taken(mail_control *control, const char *file, const char *id, size_t recipients)
{
    taken tk = {id, recipients};

    each_waiting(control, file, false, begin_to_listen, &tk);
}

static void begin_to_look(visitor *vs, void *arg)
{
    vs->look_at = mail_loop_now(vs->control->loop) + LOOK_INTERVAL;
    (void)arg;
}

void control_note_safe(mail_control *control, const char *file)
{
    each_waiting(control, file, false, begin_to_look, NULL);
}

static void give_up(visitor *vs, void *arg)
{
    const mail_error *why = arg;

    answer(vs, why->code, why->text);
}

void control_note_lost(mail_control *control, const char *file, int code, const char *why)
{
    mail_error err;

    mail_error_set(&err, code, "%s", why != NULL ? why : mail_strerror(code));
    each_waiting(control, file, false, give_up, &err);
}

static void pass_on(visitor *vs, void *arg)
{
    if (control_outcome_print(arg, &vs->out) != MAIL_OK) {
        set_state(vs, CLOSING); /* half of it tells that there was more */
        return;
    }
    vs->count++;
    vs->untold -= vs->untold > 0 ? 1 : 0;
    if (vs->untold == 0) {
        answer(vs, vs->count, NULL);
    }
}

void control_note_delivery(mail_control *control, const mail_delivery *delivery)
{
    each_waiting(control, delivery->queue_id, true, pass_on, (void *)(uintptr_t)delivery);
}
