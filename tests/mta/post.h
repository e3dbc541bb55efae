/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MTA_POST_H
#define TESTS_MTA_POST_H

#include "mta/remote.h"

#include <mail/deliver.h>
#include <mail/store.h>

/* An agent over the kit's queue, with mailboxes in memory. */
typedef struct post {
    kit k;
    mail_intake *intake;
    mail_bell *bell;
    mail_store *store;
    mail_deliver *deliver;
    unsigned safe; /* messages that the queue has */
} post;

static inline int post_mailbox_of(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE],
                                  void *arg)
{
    (void)arg;
    if (address->length >= 4 && memcmp(address->text, "none", 4) == 0) {
        return MAIL_ENOENT;
    }
    return mail_mailbox_path("/mail", address, path);
}

static inline void post_on_bell(void *arg)
{
    mail_intake_poll(((post *)arg)->intake);
}

static inline void post_ring(void *arg)
{
    post *p = arg;

    p->k.w.loop->ops->ring(p->bell);
}

static inline void post_wake(void *arg)
{
    post *p = arg;

    if (p->deliver != NULL) {
        mail_deliver_wake(p->deliver);
    }
}

static inline mail_route_table *post_routes(const char *const *rules)
{
    mail_route_table *routes;

    assert_int_equal(mail_route_table_create(&routes, NULL), MAIL_OK);
    for (; *rules != NULL; rules++) {
        assert_int_equal(mail_route_table_add(routes, mail_span_text(*rules), NULL), MAIL_OK);
    }
    return routes;
}

#define ROUTES(...) post_routes((const char *const[]){__VA_ARGS__, NULL})

/* A rule that leads everything to a remote. */
static inline const char *remote_route(const remote *r)
{
    static char rule[100];
    char at[MAIL_IP_TEXT_SIZE];

    at[mail_endpoint_print(&r->at, at)] = '\0';
    snprintf(rule, sizeof(rule), "*=%s", at);
    return rule;
}

static inline void post_open(post *p, int kind)
{
    memset(p, 0, sizeof(*p));
    kit_open(&p->k, kind);
    p->k.on_due = post_wake;
    p->k.on_due_arg = p;
    assert_int_equal(p->k.w.loop->ops->bell(p->k.w.loop, post_on_bell, p, &p->bell), MAIL_OK);
    assert_int_equal(mail_intake_open(&p->intake, p->k.queue, post_ring, p), MAIL_OK);
    assert_int_equal(mail_memory_store_create(&p->store, NULL), MAIL_OK);
}

static inline mail_deliver_options post_options(post *p)
{
    mail_deliver_options opts = MAIL_DELIVER_OPTIONS_INIT;

    opts.log = &p->k.writer;
    opts.queue = p->k.queue;
    opts.hostname = MAIL_SPAN("mx.example");
    opts.store = p->store;
    opts.mailbox_of = post_mailbox_of;
    opts.idle = MAIL_MINUTE;
    opts.backoff = MAIL_MILLISECOND;
    opts.backoff_max = MAIL_MILLISECOND;
    opts.wall = kit_wall;
    opts.wall_arg = &p->k;
    opts.sockets = &p->k.w.sockets;
    return opts;
}

static inline void post_start(post *p, mail_route_table *routes, const mail_deliver_options *opts)
{
    mail_deliver_options own = post_options(p);

    assert_int_equal(
        mail_deliver_create(&p->deliver, p->k.w.loop, routes, opts != NULL ? opts : &own), MAIL_OK);
}

static inline void post_stopped(void *arg)
{
    *(bool *)arg = true;
}

/* Workers may still hold what they write. */
static inline void post_close(post *p)
{
    bool is_drained = false;

    mail_deliver_drain(p->deliver, post_stopped, &is_drained);
    world_until(&p->k.w, is_drained);
    mail_deliver_destroy(p->deliver);
    p->deliver = NULL;
    mail_intake_close(p->intake);
    p->k.w.loop->ops->unbell(p->bell);
    kit_close(&p->k);
    mail_store_destroy(p->store); /* a worker may have been left with it, but goes with the loop */
}

/* The same with one other host, which mail can be led to. */
static inline void post_open_with(post *p, remote *r, int kind)
{
    post_open(p, kind);
    remote_open(r, &p->k, false, NULL, NULL);
}

static inline void post_close_with(post *p, remote *r)
{
    remote_close(r);
    post_close(p);
}

static inline void post_on_safe(int code, void *arg)
{
    assert_int_equal(code, MAIL_OK);
    ((post *)arg)->safe++;
}

#define MESSAGE "Subject: hello\r\n\r\nbody\r\n"

/* Queues a message and returns when it is safe. */
static inline void post_send_text(post *p, const char *sender, const mail_recipient *recipients,
                                  size_t count, const char *text)
{
    unsigned before = p->safe;
    char id[MAIL_QUEUE_ID_SIZE];
    mail_envelope envelope;
    mail_sink *sink;
    int code;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, mail_span_text(sender), MAIL_SPAN("env")),
                     MAIL_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(mail_envelope_add(&envelope, &recipients[i]), MAIL_OK);
    }
    assert_int_equal(mail_intake_begin(p->intake, &envelope, 0, id, &sink), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(mail_sink_write(sink, mail_span_text(text)), MAIL_OK);
    code = mail_sink_finish(sink, post_on_safe, p);
    if (code == MAIL_OK) {
        p->safe++;
    } else {
        assert_int_equal(code, MAIL_EAGAIN);
        world_until(&p->k.w, p->safe == before + 1);
    }
}

static inline void post_send(post *p, const char *sender, const mail_recipient *recipients,
                             size_t count)
{
    post_send_text(p, sender, recipients, count, MESSAGE);
}

#define SEND(p, sender, ...)                                                                       \
    do {                                                                                           \
        const char *const to_[] = {__VA_ARGS__};                                                   \
        mail_recipient recipients_[MAIL_COUNT(to_)];                                               \
                                                                                                   \
        for (size_t i_ = 0; i_ < MAIL_COUNT(to_); i_++) {                                          \
            recipients_[i_] = (mail_recipient){.address = mail_span_text(to_[i_])};                \
        }                                                                                          \
        post_send((p), (sender), recipients_, MAIL_COUNT(to_));                                    \
    } while (0)

static inline size_t post_queued(post *p)
{
    return kit_list(&p->k).count;
}

/* The messages of a mailbox, one after the other, NUL-terminated, to be free()d. */
static inline char *post_mailbox(post *p, const char *path, size_t *count)
{
    mail_mailbox *box;
    char *text = calloc(1, 65536);

    assert_non_null(text);
    assert_int_equal(mail_mailbox_open(&box, p->store, path, NULL), MAIL_OK);
    *count = box->count;
    for (size_t i = 0; i < box->count; i++) {
        mail_source *source;
        mail_span bytes;

        assert_int_equal(mail_mailbox_read(box, i, &source), MAIL_OK);
        for (;;) {
            assert_int_equal(mail_source_peek(source, &bytes), MAIL_OK);
            if (bytes.length == 0) {
                break;
            }
            assert_true(strlen(text) + bytes.length < 65536);
            strncat(text, bytes.data, bytes.length);
            mail_source_drop(source, bytes.length);
        }
        mail_source_close(source);
    }
    mail_mailbox_close(box);
    return text;
}

static inline void post_assert_mailbox(post *p, const char *path, size_t count, const char *holds)
{
    size_t found;
    char *text = post_mailbox(p, path, &found);

    assert_int_equal(found, count);
    if (holds != NULL && strstr(text, holds) == NULL) {
        fail_msg("%s is not in: %s", holds, text);
    }
    free(text);
}

#endif
