/* SPDX-License-Identifier: MIT */
/*
 * The durable queue without anything else:  queue_only FOLDER
 *
 * Two threads bring messages in, each through an intake of its own. Then this one takes what is
 * due and prints it, as if that were delivery, and lists what is to be tried again: all that goes
 * to busy.example. What one run leaves, the next one finds.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include <mail/queue.h>

/* Messages that each thread brings in. */
#define EACH 2

typedef struct producer {
    mail_queue *queue;
    const char *recipient;
    pthread_t thread;
    bool runs;
    mail_intake *intake;
    sem_t bell; /* rings when the intake is to be polled */
    unsigned stored;
} producer;

/* On the queue's own thread. A program with a loop rings the loop's bell. */
static void on_wake(void *arg)
{
    producer *pr = arg;

    sem_post(&pr->bell);
}

/* MAIL_OK: it is on the disk. */
static void on_stored(int code, void *arg)
{
    producer *pr = arg;

    pr->stored += code == MAIL_OK;
}

/* As much at a time as there is room for: who is faster than the disk waits for it. */
static int write_all(producer *pr, mail_sink *sink, mail_span text)
{
    while (text.length > 0) {
        size_t room = mail_sink_room(sink);
        mail_span part = mail_span_first(text, room < text.length ? room : text.length);
        int code;

        if (room == 0) {
            sem_wait(&pr->bell);
            mail_intake_poll(pr->intake);
            continue;
        }
        code = mail_sink_write(sink, part);
        if (code != MAIL_OK) {
            return code;
        }
        text = mail_span_from(text, part.length);
    }
    return MAIL_OK;
}

static void bring_in(producer *pr, const mail_envelope *envelope, mail_span text)
{
    char id[MAIL_QUEUE_ID_SIZE];
    mail_sink *sink;
    int code = mail_intake_begin(pr->intake, envelope, text.length, id, &sink);

    if (code != MAIL_OK) {
        fprintf(stderr, "queue_only: %s\n", mail_strerror(code));
        return;
    }
    if (write_all(pr, sink, text) != MAIL_OK) {
        mail_sink_abort(sink);
        return;
    }
    code = mail_sink_finish(sink, on_stored, pr);
    if (code != MAIL_EAGAIN) {
        on_stored(code, pr); /* it took no time, or has failed: nobody will call */
    }
}

static void bring_some_in(producer *pr)
{
    mail_recipient recipient = {.address = mail_span_text(pr->recipient)};
    mail_envelope envelope;

    mail_envelope_init(&envelope, NULL);
    if (mail_envelope_set_sender(&envelope, MAIL_SPAN("alice@a.example"), MAIL_SPAN("")) ==
            MAIL_OK &&
        mail_envelope_add(&envelope, &recipient) == MAIL_OK) {
        for (int i = 0; i < EACH; i++) {
            bring_in(pr, &envelope, MAIL_SPAN("Subject: Hello\r\n\r\nHello Bob\r\n"));
        }
    }
    mail_envelope_deinit(&envelope);
}

static void *produce(void *arg)
{
    producer *pr = arg;

    if (mail_intake_open(&pr->intake, pr->queue, on_wake, pr) == MAIL_OK) {
        bring_some_in(pr);
        mail_intake_settle(pr->intake); /* until the disk has all */
        mail_intake_close(pr->intake);
    }
    return NULL;
}

static void bring_all_in(mail_queue *queue)
{
    producer producers[] = {
        {.queue = queue, .recipient = "bob@b.example"},
        {.queue = queue, .recipient = "bob@busy.example"},
    };

    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        producer *pr = &producers[i];

        sem_init(&pr->bell, 0, 0);
        pr->runs = pthread_create(&pr->thread, NULL, produce, pr) == 0;
    }
    for (size_t i = 0; i < MAIL_COUNT(producers); i++) {
        producer *pr = &producers[i];

        if (pr->runs) {
            pthread_join(pr->thread, NULL);
        }
        sem_destroy(&pr->bell);
        printf("-- %u stored for %s\n", pr->stored, pr->recipient);
    }
}

static void print_body(mail_lease *lease)
{
    mail_source *source;
    mail_span bytes;

    if (mail_lease_body(lease, &source) == MAIL_OK) {
        while (mail_source_peek(source, &bytes) == MAIL_OK && bytes.length > 0) {
            fwrite(bytes.data, 1, bytes.length, stdout);
            mail_source_drop(source, bytes.length);
        }
        mail_source_close(source);
    }
}

/* Each recipient gets a verdict; one without it would be due as before. */
static void deliver(mail_lease *lease)
{
    static const mail_reply busy = MAIL_REPLY_INIT(450, 4, 2, 0, "Not now");
    const mail_envelope *envelope = mail_lease_envelope(lease);

    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_span to = mail_envelope_recipient(envelope, i).address;

        if (mail_span_equal(mail_address_domain(to), MAIL_SPAN("busy.example"))) {
            mail_lease_report(lease, i, MAIL_QUEUE_RETRY, &busy, false);
        } else {
            printf("-- %s to %.*s\n", mail_lease_id(lease), (int)to.length, to.data);
            print_body(lease);
            mail_lease_report(lease, i, MAIL_QUEUE_DONE, NULL, false);
        }
    }
}

/* A program that goes on comes again at mail_queue_due_at, or when `on_due` calls. */
static void deliver_what_is_due(mail_queue *queue)
{
    mail_lane *lane;

    while ((lane = mail_queue_take_lane(queue)) != NULL) {
        mail_lease *lease;
        int code;

        while ((code = mail_lane_lease(lane, &lease)) == MAIL_OK) {
            deliver(lease);
            mail_lease_end(lease);
        }
        mail_lane_give_back(lane, code == MAIL_ENOENT ? INT64_MIN : MAIL_NEVER);
    }
}

static bool print_item(const mail_queue_item *item, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < item->recipient_count; i++) {
        const mail_queue_recipient *to = &item->recipients[i];

        printf("-- %s waits for %.*s, tried %u: %.*s\n", item->id, (int)to->address.length,
               to->address.data, to->attempts, (int)to->last_reply.length, to->last_reply.data);
    }
    return true;
}

int main(int argc, char **argv)
{
    static const mail_queue_selector all = {.all = true};
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    mail_queue *queue;
    mail_error err;

    if (argc != 2) {
        fprintf(stderr, "usage: queue_only FOLDER\n");
        return 64;
    }
    if (mail_queue_open(&queue, argv[1], &opts, &err) != MAIL_OK) {
        fprintf(stderr, "queue_only: %s: %s\n", argv[1], err.text);
        return 1;
    }
    bring_all_in(queue);
    deliver_what_is_due(queue);
    (void)mail_queue_list(queue, &all, print_item, NULL);
    mail_queue_close(queue);
    return 0;
}
