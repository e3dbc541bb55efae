/* SPDX-License-Identifier: MIT */
#include "kit.h"

static const char body[] = "Subject: x\r\n\r\nHello\r\n";

static void gives_a_message_back_as_it_came(void **state)
{
    char data[256];
    mail_source *source;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.org", "b@y.org", body), MAIL_OK);
    assert_int_equal(k.wakes, 1);
    assert_int_equal(k.dues, 1);
    lease = kit_lease(&k, &lane);
    assert_non_null(lease);
    assert_span_equal(mail_lane_domain(lane), "y.org");
    assert_string_equal(mail_lease_id(lease), k.id);
    assert_span_equal(mail_envelope_sender(mail_lease_envelope(lease)), "a@x.org");
    assert_span_equal(mail_envelope_recipient(mail_lease_envelope(lease), 0).address, "b@y.org");
    assert_int_equal(mail_lease_content(lease)->size, sizeof(body) - 1);
    assert_int_equal(mail_lease_body(lease, &source), MAIL_OK);
    assert_int_equal(kit_read(source, data, sizeof(data)), sizeof(body) - 1);
    assert_memory_equal(data, body, sizeof(body) - 1);
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    assert_null(kit_lease(&k, &lane));
    kit_close(&k);
}

static void keeps_what_it_has_said_yes_to_over_a_restart(void **state)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    char *dir = mail_test_make_dir();
    char data[256];
    mail_source *source;
    mail_queue_stats stats;
    kit k;

    (void)state;
    opts.segment_bytes = 256 << 10;
    kit_init(&k, &opts);
    assert_int_equal(kit_open(&k, dir), MAIL_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_accept_text(&k, "a@x.org", "b@y.org c@z.org", body), MAIL_OK);
    }
    assert_true(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
    assert_true(kit_deliver(&k, MAIL_QUEUE_RETRY, NULL));
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir), MAIL_OK);
    mail_queue_stats_read(k.queue, &stats);
    assert_int_equal(stats.messages, 3);
    assert_int_equal(stats.recipients, 5);
    assert_int_equal(mail_queue_read(k.queue, k.id, &source), MAIL_OK);
    assert_int_equal(kit_read(source, data, sizeof(data)), sizeof(body) - 1);
    kit_later(&k, MAIL_HOUR);
    for (int i = 0; i < 5; i++) {
        assert_true(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
    }
    assert_false(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir), MAIL_OK);
    mail_queue_stats_read(k.queue, &stats);
    assert_int_equal(stats.messages, 0);
    kit_close(&k);
    mail_test_remove_dir(dir);
}

/* A producer: a thread with a door of its own, which waits for each of its messages. */
typedef struct producer {
    mail_queue *queue;
    mail_intake *intake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool has_rung;
    unsigned accepted;
    int code;
} producer;

static void ring(void *arg)
{
    producer *p = arg;

    pthread_mutex_lock(&p->lock);
    p->has_rung = true;
    pthread_cond_signal(&p->rung);
    pthread_mutex_unlock(&p->lock);
}

static void on_finished(int code, void *arg)
{
    producer *p = arg;

    p->code = code;
    p->accepted += code == MAIL_OK ? 1 : 0;
}

static void wait_for_ring(producer *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->has_rung) {
        pthread_cond_wait(&p->rung, &p->lock);
    }
    p->has_rung = false;
    pthread_mutex_unlock(&p->lock);
}

#define EACH 50

static void *produce(void *arg)
{
    mail_recipient recipient = {.address = MAIL_SPAN("b@y.org")};
    producer *p = arg;
    mail_envelope envelope;

    mail_envelope_init(&envelope, NULL);
    if (mail_envelope_add(&envelope, &recipient) != MAIL_OK) {
        return NULL;
    }
    for (int i = 0; i < EACH; i++) {
        char id[MAIL_QUEUE_ID_SIZE];
        mail_sink *sink;
        int code;

        if (mail_intake_begin(p->intake, &envelope, 0, id, &sink) != MAIL_OK) {
            break;
        }
        if (mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\nHello\r\n")) != MAIL_OK) {
            mail_sink_abort(sink);
            break;
        }
        p->code = MAIL_EAGAIN;
        code = mail_sink_finish(sink, on_finished, p);
        if (code != MAIL_EAGAIN) {
            on_finished(code, p);
        }
        while (p->code == MAIL_EAGAIN) {
            wait_for_ring(p);
            mail_intake_poll(p->intake);
        }
    }
    mail_envelope_deinit(&envelope);
    return NULL;
}

/* The owner's bell: something has come. */
typedef struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool has_rung;
} bell;

static void ring_owner(void *arg)
{
    bell *b = arg;

    pthread_mutex_lock(&b->lock);
    b->has_rung = true;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for_owner_bell(bell *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->has_rung) {
        pthread_cond_wait(&b->rung, &b->lock);
    }
    b->has_rung = false;
    pthread_mutex_unlock(&b->lock);
}

/* Takes all that is due, and delivers two of three; the last is only put off. */
static unsigned deliver_due(mail_queue *queue, unsigned *leased)
{
    unsigned delivered = 0;
    mail_lane *lane;

    while ((lane = mail_queue_take_lane(queue)) != NULL) {
        mail_lease *lease;

        while (mail_lane_lease(lane, &lease) == MAIL_OK) {
            bool is_done = ++*leased % 3 != 0;

            mail_lease_report(lease, 0, is_done ? MAIL_QUEUE_DONE : MAIL_QUEUE_RETRY, NULL, false);
            mail_lease_end(lease);
            delivered += is_done ? 1 : 0;
        }
        mail_lane_give_back(lane, INT64_MIN);
    }
    return delivered;
}

static void start(producer *p, mail_queue *queue)
{
    *p = (producer){.queue = queue};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->rung, NULL);
    assert_int_equal(mail_intake_open(&p->intake, queue, ring, p), MAIL_OK);
    assert_int_equal(pthread_create(&p->thread, NULL, produce, p), 0);
}

static void finish(producer *p)
{
    pthread_join(p->thread, NULL);
    assert_int_equal(p->accepted, EACH);
    mail_intake_close(p->intake);
    pthread_cond_destroy(&p->rung);
    pthread_mutex_destroy(&p->lock);
}

static void takes_and_gives_messages_on_many_threads_at_once(void **state)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    bell b = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    char *dir = mail_test_make_dir();
    unsigned delivered = 0;
    unsigned leased = 0;
    producer producers[8];
    mail_queue_stats stats;
    mail_queue *queue;

    (void)state;
    opts.segment_bytes = 64 << 10; /* so that some are filled, emptied and used again */
    opts.on_due = ring_owner;
    opts.on_due_arg = &b;
    assert_int_equal(mail_queue_open(&queue, dir, &opts, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        start(&producers[i], queue);
    }
    while (leased < MAIL_COUNT(producers) * EACH) {
        wait_for_owner_bell(&b);
        delivered += deliver_due(queue, &leased);
    }
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        finish(&producers[i]);
    }
    mail_queue_close(queue);
    assert_int_equal(mail_queue_open(&queue, dir, &opts, NULL), MAIL_OK);
    mail_queue_stats_read(queue, &stats);
    assert_int_equal(stats.messages, MAIL_COUNT(producers) * EACH - delivered);
    mail_queue_close(queue);
    mail_test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_a_message_back_as_it_came),
        cmocka_unit_test(keeps_what_it_has_said_yes_to_over_a_restart),
        cmocka_unit_test(takes_and_gives_messages_on_many_threads_at_once),
    };

    return mail_test_run(tests);
}
