/* SPDX-License-Identifier: MIT */
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

static int mailbox_of(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE], void *arg)
{
    (void)arg;
    if (address->length >= 4 && memcmp(address->text, "none", 4) == 0) {
        return MAIL_ENOENT;
    }
    return mail_mailbox_path("/mail", address, path);
}

static void on_bell(void *arg)
{
    mail_intake_poll(((post *)arg)->intake);
}

static void ring(void *arg)
{
    post *p = arg;

    p->k.w.loop->ops->ring(p->bell);
}

static void wake(void *arg)
{
    post *p = arg;

    if (p->deliver != NULL) {
        mail_deliver_wake(p->deliver);
    }
}

static mail_route_table *make_routes(const char *const *rules)
{
    mail_route_table *routes;

    assert_int_equal(mail_route_table_create(&routes, NULL), MAIL_OK);
    for (; *rules != NULL; rules++) {
        assert_int_equal(mail_route_table_add(routes, mail_span_text(*rules), NULL), MAIL_OK);
    }
    return routes;
}

#define ROUTES(...) make_routes((const char *const[]){__VA_ARGS__, NULL})

/* A rule that leads everything to a remote. */
static const char *route_to(const remote *r)
{
    static char rule[100];
    char at[MAIL_IP_TEXT_SIZE];

    at[mail_endpoint_print(&r->at, at)] = '\0';
    snprintf(rule, sizeof(rule), "*=%s", at);
    return rule;
}

static void post_open(post *p, int kind)
{
    memset(p, 0, sizeof(*p));
    kit_open(&p->k, kind);
    p->k.on_due = wake;
    p->k.on_due_arg = p;
    assert_int_equal(p->k.w.loop->ops->bell(p->k.w.loop, on_bell, p, &p->bell), MAIL_OK);
    assert_int_equal(mail_intake_open(&p->intake, p->k.queue, ring, p), MAIL_OK);
    assert_int_equal(mail_memory_store_create(&p->store, NULL), MAIL_OK);
}

static mail_deliver_options post_options(post *p)
{
    mail_deliver_options opts = MAIL_DELIVER_OPTIONS_INIT;

    opts.log = &p->k.writer;
    opts.queue = p->k.queue;
    opts.hostname = MAIL_SPAN("mx.example");
    opts.store = p->store;
    opts.mailbox_of = mailbox_of;
    opts.idle = MAIL_MINUTE;
    opts.backoff = MAIL_MILLISECOND;
    opts.backoff_max = MAIL_MILLISECOND;
    opts.wall = kit_wall;
    opts.wall_arg = &p->k;
    opts.sockets = &p->k.w.sockets;
    return opts;
}

static void post_start(post *p, mail_route_table *routes, const mail_deliver_options *opts)
{
    mail_deliver_options own = post_options(p);

    assert_int_equal(
        mail_deliver_create(&p->deliver, p->k.w.loop, routes, opts != NULL ? opts : &own), MAIL_OK);
}

static void stopped(void *arg)
{
    *(bool *)arg = true;
}

/* Workers may still hold what they write. */
static void post_close(post *p)
{
    bool is_drained = false;

    mail_deliver_drain(p->deliver, stopped, &is_drained);
    world_until(&p->k.w, is_drained);
    mail_deliver_destroy(p->deliver);
    p->deliver = NULL;
    mail_intake_close(p->intake);
    p->k.w.loop->ops->unbell(p->bell);
    mail_store_destroy(p->store);
    kit_close(&p->k);
}

static void on_safe(int code, void *arg)
{
    assert_int_equal(code, MAIL_OK);
    ((post *)arg)->safe++;
}

#define MESSAGE "Subject: hello\r\n\r\nbody\r\n"

/* Queues a message and returns when it is safe. */
static void send_with(post *p, const char *sender, const mail_recipient *recipients, size_t count)
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
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    code = mail_sink_finish(sink, on_safe, p);
    if (code == MAIL_OK) {
        p->safe++;
    } else {
        assert_int_equal(code, MAIL_EAGAIN);
        world_until(&p->k.w, p->safe == before + 1);
    }
}

#define SEND(p, sender, ...)                                                                       \
    do {                                                                                           \
        const char *const to_[] = {__VA_ARGS__};                                                   \
        mail_recipient recipients_[MAIL_COUNT(to_)];                                               \
                                                                                                   \
        for (size_t i_ = 0; i_ < MAIL_COUNT(to_); i_++) {                                          \
            recipients_[i_] = (mail_recipient){.address = mail_span_text(to_[i_])};                \
        }                                                                                          \
        send_with((p), (sender), recipients_, MAIL_COUNT(to_));                                    \
    } while (0)

static size_t queued(post *p)
{
    return kit_list(&p->k).count;
}

/* The messages of a mailbox, one after the other, NUL-terminated, to be free()d. */
static char *read_mailbox(post *p, const char *path, size_t *count)
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

static void assert_mailbox(post *p, const char *path, size_t count, const char *holds)
{
    size_t found;
    char *text = read_mailbox(p, path, &found);

    assert_int_equal(found, count);
    if (holds != NULL && strstr(text, holds) == NULL) {
        fail_msg("%s is not in: %s", holds, text);
    }
    free(text);
}

static void brings_a_message_to_a_smart_host_in_one_transaction(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open(&p, kind);
        remote_open(&r, &p.k, false, NULL, NULL);
        post_start(&p, ROUTES(route_to(&r)), NULL);
        SEND(&p, "me@here.example", "a@one.example", "b@one.example", "c@two.example");
        world_until(&p.k.w, queued(&p) == 0);
        /* QR-005: recipients in several domains, too. */
        assert_int_equal(r.count, 1);
        assert_string_equal(r.messages[0].sender, "me@here.example");
        assert_string_equal(r.messages[0].recipients, "a@one.example b@one.example c@two.example");
        assert_string_equal(remote_text(&r, 0), MESSAGE);
        assert_non_null(strstr(p.k.log, " info sent queue_id="));
        remote_close(&r);
        post_close(&p);
    }
}

static void reuses_connections_for_further_messages(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    post_start(&p, ROUTES(route_to(&r)), NULL);
    for (int i = 0; i < 10; i++) {
        SEND(&p, "me@here.example", "a@one.example");
        world_until(&p.k.w, queued(&p) == 0);
    }
    assert_int_equal(r.count, 10);
    assert_int_equal(r.connections, 1);
    remote_close(&r);
    post_close(&p);
}

static void opens_no_more_connections_than_it_may(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    for (int i = 0; i < 50; i++) {
        SEND(&p, "me@here.example", "a@one.example");
    }
    opts = post_options(&p);
    opts.max_out_per_destination = 3;
    post_start(&p, ROUTES(route_to(&r)), &opts);
    world_until(&p.k.w, queued(&p) == 0);
    assert_int_equal(r.count, 50);
    assert_true(r.most <= 3);
    remote_close(&r);
    post_close(&p);
}

static void takes_a_hint_that_there_are_too_many(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    r.allowed = 2;
    for (int i = 0; i < 50; i++) {
        SEND(&p, "me@here.example", "a@one.example");
    }
    post_start(&p, ROUTES(route_to(&r)), NULL);
    world_until(&p.k.w, queued(&p) == 0);
    assert_int_equal(r.count, 50);
    assert_null(strstr(p.k.log, "deferred"));
    remote_close(&r);
    post_close(&p);
}

/* RFC 5321, section 3.3; QR-009 */
static void treats_each_recipient_on_its_own(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open(&p, kind);
        remote_open(&r, &p.k, false, NULL, NULL);
        post_start(&p, ROUTES("here.example=local", route_to(&r)), NULL);
        SEND(&p, "me@here.example", "good@one.example", "perm@one.example", "temp@one.example");
        world_until(&p.k.w, r.count == 1 && strstr(p.k.log, " delivered ") != NULL);
        assert_string_equal(r.messages[0].recipients, "good@one.example");

        /* QR-008: one report, to the reverse path, by whom the mail was sent. */
        assert_mailbox(&p, "/mail/here.example/me", 1, "Return-Path: <>\r\n");
        assert_mailbox(&p, "/mail/here.example/me", 1, "Final-Recipient: rfc822; perm@one.example");
        assert_mailbox(&p, "/mail/here.example/me", 1, "Action: failed");
        assert_mailbox(&p, "/mail/here.example/me", 1, "Nobody by that name");
        assert_mailbox(&p, "/mail/here.example/me", 1, "Original-Envelope-Id: env");

        /* QR-001: the one that was refused for now is tried again, and it alone. */
        assert_int_equal(queued(&p), 1);
        p.k.later += MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_until(&p.k.w, strstr(p.k.log, "tries=2") != NULL);
        assert_int_equal(r.count, 1);
        assert_int_equal(queued(&p), 1);
        remote_close(&r);
        post_close(&p);
    }
}

/* DS-002, DS-024 */
static void reports_nothing_about_a_report(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    post_start(&p, ROUTES(route_to(&r)), NULL);
    SEND(&p, "", "perm@one.example");
    world_until(&p.k.w, queued(&p) == 0);
    assert_int_equal(r.count, 0);
    assert_non_null(strstr(p.k.log, "failed, not reported"));
    remote_close(&r);
    post_close(&p);
}

/* DS-015 to DS-018 */
static void reports_as_notify_asks(void **state)
{
    static const struct {
        const char *name;
        const char *address;
        uint8_t notify;
        const char *holds; /* the report; NULL: none comes */
    } cases[] = {
        {"failure unasked", "perm@one.example", 0, "Action: failed"},
        {"failure asked", "perm@one.example", MAIL_NOTIFY_FAILURE, "Action: failed"},
        {"failure not wanted", "perm@one.example", MAIL_NOTIFY_SUCCESS, NULL},
        {"never", "perm@one.example", MAIL_NOTIFY_NEVER, NULL},
        {"success unasked", "good@one.example", 0, NULL},
        {"success of another host", "good@one.example", MAIL_NOTIFY_SUCCESS, "Action: relayed"},
        {"success here", "you@here.example", MAIL_NOTIFY_SUCCESS, "Action: delivered"},
        {"success never", "you@here.example", MAIL_NOTIFY_NEVER, NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const mail_recipient rcpt = {.address = mail_span_text(cases[i].address),
                                     .notify = cases[i].notify,
                                     .orcpt = MAIL_SPAN("rfc822;first@one.example")};
        post p;
        remote r;

        mail_test_case(cases[i].name);
        post_open(&p, WORLD_POLL);
        remote_open(&r, &p.k, false, NULL, NULL);
        post_start(&p, ROUTES("here.example=local", route_to(&r)), NULL);
        send_with(&p, "me@here.example", &rcpt, 1);
        world_until(&p.k.w, queued(&p) == 0);
        assert_mailbox(&p, "/mail/here.example/me", cases[i].holds != NULL, cases[i].holds);
        if (cases[i].holds != NULL) {
            assert_mailbox(&p, "/mail/here.example/me", 1,
                           "Original-Recipient: rfc822; first@one.example");
        }
        remote_close(&r);
        post_close(&p);
    }
}

/* QR-015, QR-003: first the delay is told, once, and in the end that it failed. */
static void tells_of_a_delay_once_and_gives_up_in_the_end(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    opts = post_options(&p);
    opts.idle = 1; /* a server takes its time with a session that goes wrong often */
    post_start(&p, ROUTES("here.example=local", route_to(&r)), &opts);
    SEND(&p, "me@here.example", "temp@one.example");
    world_until(&p.k.w, strstr(p.k.log, "tries=1") != NULL);
    for (int i = 0; i < 30 && queued(&p) > 0; i++) {
        size_t before = strlen(p.k.log);

        p.k.later += 5 * MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_until(&p.k.w, strlen(p.k.log) > before);
        world_idle(&p.k.w);
    }
    world_until(&p.k.w, queued(&p) == 0);
    assert_mailbox(&p, "/mail/here.example/me", 2, "Action: delayed");
    assert_mailbox(&p, "/mail/here.example/me", 2, "Action: failed");
    assert_mailbox(&p, "/mail/here.example/me", 2, "Come back later");
    remote_close(&r);
    post_close(&p);
}

/* QR-004: one try of the host serves all that wait for it. */
static void tries_a_dead_host_once_for_all_messages(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_deliver_options opts;
        mail_endpoint at;
        unsigned dialed;
        post p;
        remote r;

        (void)state;
        post_open(&p, kind);
        remote_open(&r, &p.k, false, NULL, NULL); /* a port that is free afterwards */
        at = r.at;
        remote_close(&r);
        for (int i = 0; i < 20; i++) {
            SEND(&p, "me@here.example", "a@one.example");
        }
        opts = post_options(&p);
        opts.backoff = MAIL_HOUR;
        opts.backoff_max = MAIL_HOUR;
        r.at = at;
        post_start(&p, ROUTES(route_to(&r)), &opts);
        for (size_t n = 0; n < 20;) {
            const char *from = p.k.log;

            world_step(&p.k.w);
            for (n = 0; (from = strstr(from, "deferred")) != NULL; n++) {
                from++;
            }
        }
        dialed = p.k.w.calls[CALL_CONNECT];
        assert_int_equal(dialed, 1);
        SEND(&p, "me@here.example", "a@one.example"); /* comes while it rests */
        world_idle(&p.k.w);
        assert_int_equal(p.k.w.calls[CALL_CONNECT], dialed);
        assert_int_equal(queued(&p), 21);
        assert_non_null(strstr(p.k.log, "451 4.4.1"));
        post_close(&p);
    }
}

static void goes_on_when_a_dead_host_comes_back(void **state)
{
    mail_endpoint at;
    post p;
    remote r;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, false, NULL, NULL);
    at = r.at;
    remote_close(&r);
    r.at = at;
    post_start(&p, ROUTES(route_to(&r)), NULL);
    SEND(&p, "me@here.example", "a@one.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    remote_open(&r, &p.k, false, &at, NULL);
    while (queued(&p) > 0 && p.k.later < 4 * MAIL_DAY) {
        p.k.later += MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_idle(&p.k.w);
    }
    assert_int_equal(queued(&p), 0);
    assert_int_equal(r.count, 1);
    remote_close(&r);
    post_close(&p);
}

static void fails_over_to_the_next_host(void **state)
{
    static const mail_reply refusal = {554, {5, 3, 2}, {"No mail here", 12}};
    static const mail_reply later = {421, {4, 3, 2}, {"Going down", 10}};
    static const struct {
        const char *name;
        const mail_reply *greeting;
        const mail_reply *to_mail;
        bool is_dead;
    } cases[] = {
        {"dead", NULL, NULL, true},
        {"greets with 554", &refusal, NULL, false}, /* SC-001 */
        {"greets with 421", &later, NULL, false},
        {"answers MAIL with 421", NULL, &later, false}, /* SC-011 */
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char first[MAIL_IP_TEXT_SIZE];
        char second[MAIL_IP_TEXT_SIZE];
        char rule[200];
        post p;
        remote bad;
        remote good;

        mail_test_case(cases[i].name);
        post_open(&p, WORLD_POLL);
        remote_open(&bad, &p.k, false, NULL, NULL);
        remote_open(&good, &p.k, false, NULL, NULL);
        bad.greeting = cases[i].greeting;
        bad.to_mail = cases[i].to_mail;
        first[mail_endpoint_print(&bad.at, first)] = '\0';
        second[mail_endpoint_print(&good.at, second)] = '\0';
        snprintf(rule, sizeof(rule), "*=%s,%s", first, second);
        if (cases[i].is_dead) {
            remote_close(&bad);
        }
        post_start(&p, ROUTES(rule), NULL);
        SEND(&p, "me@here.example", "a@one.example");
        while (queued(&p) > 0 && p.k.later < 4 * MAIL_DAY) {
            world_idle(&p.k.w);
            p.k.later += MAIL_HOUR;
            mail_deliver_wake(p.deliver);
        }
        assert_int_equal(good.count, 1);
        if (!cases[i].is_dead) {
            remote_close(&bad);
        }
        remote_close(&good);
        post_close(&p);
    }
}

static void hands_over_by_lmtp(void **state)
{
    char *dir = mail_test_make_dir();
    char path[512];
    char rule[600];
    post p;
    remote r;

    (void)state;
    snprintf(path, sizeof(path), "%s/lmtp", dir);
    snprintf(rule, sizeof(rule), "*=lmtp:unix:%s", path);
    post_open(&p, WORLD_POLL);
    remote_open(&r, &p.k, true, NULL, path);
    post_start(&p, ROUTES("here.example=local", rule), NULL);
    SEND(&p, "me@here.example", "a@one.example", "perm@one.example", "b@one.example");
    world_until(&p.k.w, queued(&p) == 0);
    assert_string_equal(r.messages[0].recipients, "a@one.example b@one.example");
    assert_mailbox(&p, "/mail/here.example/me", 1, "Final-Recipient: rfc822; perm@one.example");
    assert_non_null(strstr(p.k.log, "host=unix:"));
    remote_close(&r);
    post_close(&p);
    mail_test_remove_dir(dir);
}

/* SS-036 */
static void delivers_into_mailboxes_with_the_fields_of_final_delivery(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        size_t count;
        char *text;
        post p;

        (void)state;
        post_open(&p, kind);
        post_start(&p, ROUTES("*=local"), NULL);
        SEND(&p, "me@else.example", "you@here.example", "Other@there.example");
        world_until(&p.k.w, queued(&p) == 0);
        text = read_mailbox(&p, "/mail/here.example/you", &count);
        assert_int_equal(count, 1);
        assert_string_equal(text, "Return-Path: <me@else.example>\r\n"
                                  "Delivered-To: you@here.example\r\n" MESSAGE);
        free(text);
        assert_mailbox(&p, "/mail/there.example/Other", 1, "Delivered-To: Other@there.example\r\n");
        post_close(&p);
    }
}

static void returns_mail_for_a_user_that_is_not_there(void **state)
{
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p, ROUTES("*=local"), NULL);
    SEND(&p, "me@here.example", "none@here.example", "you@here.example");
    world_until(&p.k.w, queued(&p) == 0);
    assert_mailbox(&p, "/mail/here.example/you", 1, MESSAGE);
    assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.1");
    post_close(&p);
}

static void carries_out_what_routes_say(void **state)
{
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p,
               ROUTES("drop.example=discard", "wait.example=hold",
                      "gone.example=error:550 5.1.6 Moved away", "busy.example=error:451 Later",
                      "*=local"),
               NULL);
    SEND(&p, "me@here.example", "a@drop.example");
    world_until(&p.k.w, queued(&p) == 0);
    assert_non_null(strstr(p.k.log, "Discarded"));
    SEND(&p, "me@here.example", "a@gone.example");
    world_until(&p.k.w, queued(&p) == 0);
    assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.6");
    SEND(&p, "me@here.example", "a@wait.example", "a@busy.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    world_idle(&p.k.w);
    assert_int_equal(queued(&p), 1);

    /* Released by an operator after the routes have changed. */
    mail_deliver_set_routes(p.deliver, ROUTES("*=local"));
    assert_true(mail_queue_flush(p.k.queue, &(mail_queue_selector){.all = true}) >= 0);
    mail_deliver_wake(p.deliver);
    world_until(&p.k.w, queued(&p) == 0);
    assert_mailbox(&p, "/mail/wait.example/a", 1, MESSAGE);
    post_close(&p);
}

static void keeps_what_is_under_way_when_it_ends_at_once(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open(&p, kind);
        remote_open(&r, &p.k, false, NULL, NULL);
        r.is_slow = true;
        post_start(&p, ROUTES("here.example=local", route_to(&r)), NULL);
        SEND(&p, "me@here.example", "a@one.example");
        world_until(&p.k.w, r.ticket.service != NULL);
        SEND(&p, "me@here.example", "you@here.example");
        mail_deliver_destroy(p.deliver);
        p.deliver = NULL;
        assert_true(queued(&p) >= 1);
        r.is_slow = false;
        post_start(&p, ROUTES("here.example=local", route_to(&r)), NULL);
        world_until(&p.k.w, queued(&p) == 0);
        assert_int_equal(r.count, 1);
        remote_close(&r);
        post_close(&p);
    }
}

static void refuses_bad_options(void **state)
{
    mail_route_table *routes = ROUTES("*=local");
    mail_deliver_options opts;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    opts = post_options(&p);
    opts.queue = NULL;
    assert_int_equal(mail_deliver_create(&p.deliver, p.k.w.loop, routes, &opts), MAIL_EINVAL);
    opts = post_options(&p);
    opts.hostname = MAIL_SPAN("");
    assert_int_equal(mail_deliver_create(&p.deliver, p.k.w.loop, routes, &opts), MAIL_EINVAL);
    opts = post_options(&p);
    opts.mailbox_of = NULL;
    assert_int_equal(mail_deliver_create(&p.deliver, p.k.w.loop, routes, &opts), MAIL_EINVAL);
    post_start(&p, routes, NULL);
    post_close(&p);
}

/* Whatever fails, each recipient gets its copy, or its sender a report, in the end. */
static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_deliver_options opts;
        mail_route_table *routes;
        bool is_drained = false;
        size_t count;
        char *text;
        post p;
        remote r;
        int code;

        post_open(&p, WORLD_POLL);
        remote_open(&r, &p.k, false, NULL, NULL);
        routes = ROUTES("here.example=local", route_to(&r));
        SEND(&p, "me@here.example", "good@one.example", "perm@one.example", "you@here.example");
        opts = post_options(&p);
        opts.mem = &walk.mem;
        code = mail_deliver_create(&p.deliver, p.k.w.loop, routes, &opts);
        if (code == MAIL_OK) {
            for (int i = 0; i < 1000 && queued(&p) > 0; i++) {
                world_step(&p.k.w);
                p.k.later += MAIL_MINUTE;
                mail_deliver_wake(p.deliver);
            }
            world_until(&p.k.w, queued(&p) == 0);
            assert_int_equal(r.count, 1);
            assert_mailbox(&p, "/mail/here.example/you", 1, MESSAGE);
            text = read_mailbox(&p, "/mail/here.example/me", &count);
            assert_true(count >= 1); /* a notice of delay may have come before */
            assert_non_null(strstr(text, "perm@one.example"));
            free(text);
            mail_deliver_drain(p.deliver, stopped, &is_drained);
            world_until(&p.k.w, is_drained);
            mail_deliver_destroy(p.deliver);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
            mail_route_table_destroy(routes);
        }
        p.deliver = NULL;
        mail_intake_close(p.intake);
        p.k.w.loop->ops->unbell(p.bell);
        mail_store_destroy(p.store);
        remote_close(&r);
        kit_close(&p.k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_a_message_to_a_smart_host_in_one_transaction),
        cmocka_unit_test(reuses_connections_for_further_messages),
        cmocka_unit_test(opens_no_more_connections_than_it_may),
        cmocka_unit_test(takes_a_hint_that_there_are_too_many),
        cmocka_unit_test(treats_each_recipient_on_its_own),
        cmocka_unit_test(reports_nothing_about_a_report),
        cmocka_unit_test(reports_as_notify_asks),
        cmocka_unit_test(tells_of_a_delay_once_and_gives_up_in_the_end),
        cmocka_unit_test(tries_a_dead_host_once_for_all_messages),
        cmocka_unit_test(goes_on_when_a_dead_host_comes_back),
        cmocka_unit_test(fails_over_to_the_next_host),
        cmocka_unit_test(hands_over_by_lmtp),
        cmocka_unit_test(delivers_into_mailboxes_with_the_fields_of_final_delivery),
        cmocka_unit_test(returns_mail_for_a_user_that_is_not_there),
        cmocka_unit_test(carries_out_what_routes_say),
        cmocka_unit_test(keeps_what_is_under_way_when_it_ends_at_once),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
