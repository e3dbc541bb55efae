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

        if (mail_intake_begin(p->intake, &envelope, 0, id, &sink) != MAIL_OK) {
            break;
        }
        if (mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\nHello\r\n")) != MAIL_OK) {
            mail_sink_abort(sink);
            break;
        }
        p->code = MAIL_EAGAIN;
        if (mail_sink_finish(sink, on_finished, p) != MAIL_EAGAIN) {
            break;
        }
        while (p->code == MAIL_EAGAIN) {
            wait_for_ring(p);
            mail_intake_poll(p->intake);
        }
    }
    mail_envelope_deinit(&envelope);
    return NULL;
}

static void takes_messages_from_many_threads_at_once(void **state)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    char *dir = mail_test_make_dir();
    producer producers[8];
    mail_queue_stats stats;
    mail_queue *queue;

    (void)state;
    opts.segment_bytes = 256 << 10;
    assert_int_equal(mail_queue_open(&queue, dir, &opts, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        producers[i] = (producer){.queue = queue};
        pthread_mutex_init(&producers[i].lock, NULL);
        pthread_cond_init(&producers[i].rung, NULL);
        assert_int_equal(mail_intake_open(&producers[i].intake, queue, ring, &producers[i]),
                         MAIL_OK);
    }
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        pthread_join(producers[i].thread, NULL);
        assert_int_equal(producers[i].accepted, EACH);
        mail_intake_close(producers[i].intake);
    }
    mail_queue_stats_read(queue, &stats);
    assert_int_equal(stats.messages, MAIL_COUNT(producers) * EACH);
    mail_queue_close(queue);
    assert_int_equal(mail_queue_open(&queue, dir, &opts, NULL), MAIL_OK);
    mail_queue_stats_read(queue, &stats);
    assert_int_equal(stats.messages, MAIL_COUNT(producers) * EACH);
    mail_queue_close(queue);
    mail_test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_a_message_back_as_it_came),
        cmocka_unit_test(keeps_what_it_has_said_yes_to_over_a_restart),
        cmocka_unit_test(takes_messages_from_many_threads_at_once),
    };

    return mail_test_run(tests);
}
