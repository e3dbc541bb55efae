/* SPDX-License-Identifier: MIT */
#include "mta/deliver.h"
#include "mta/post.h"

static void brings_a_message_to_a_smart_host_in_one_transaction(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open_with(&p, &r, kind);
        post_start(&p, ROUTES(remote_route(&r)), NULL);
        SEND(&p, "me@here.example", "a@one.example", "b@one.example", "c@two.example");
        world_until(&p.k.w, post_queued(&p) == 0);
        /* QR-005: recipients in several domains, too. */
        assert_int_equal(r.count, 1);
        assert_string_equal(r.messages[0].sender, "me@here.example");
        assert_string_equal(r.messages[0].recipients, "a@one.example b@one.example c@two.example");
        assert_string_equal(remote_text(&r, 0), MESSAGE);
        assert_non_null(strstr(p.k.log, " info sent queue_id="));
        assert_non_null(strstr(p.k.log, " delay=0 delays=0/0."));
        post_close_with(&p, &r);
    }
}

static void reuses_connections_for_further_messages(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    post_start(&p, ROUTES(remote_route(&r)), NULL);
    for (int i = 0; i < 10; i++) {
        SEND(&p, "me@here.example", "a@one.example");
        world_until(&p.k.w, post_queued(&p) == 0);
    }
    assert_int_equal(r.count, 10);
    assert_int_equal(r.connections, 1);
    post_close_with(&p, &r);
}

static void opens_no_more_connections_than_it_may(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    for (int i = 0; i < 50; i++) {
        SEND(&p, "me@here.example", "a@one.example");
    }
    opts = post_options(&p);
    opts.max_out_per_destination = 3;
    post_start(&p, ROUTES(remote_route(&r)), &opts);
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_int_equal(r.count, 50);
    assert_true(r.most <= 3);
    post_close_with(&p, &r);
}

/* It begins with two, and each message that was taken is good for one more. */
static void opens_more_connections_with_each_success(void **state)
{
    (void)state;
    for (unsigned taken = 0; taken <= 3; taken += 3) {
        post p;
        remote r;

        post_open_with(&p, &r, WORLD_POLL);
        post_start(&p, ROUTES(remote_route(&r)), NULL);
        for (unsigned i = 0; i < taken; i++) {
            SEND(&p, "me@here.example", "a@one.example");
            world_until(&p.k.w, post_queued(&p) == 0);
        }
        r.is_slow = true; /* nobody hears anything from now on */
        for (int i = 0; i < 10; i++) {
            SEND(&p, "me@here.example", "a@one.example");
        }
        world_until(&p.k.w, r.open == 2 + taken);
        world_idle(&p.k.w);
        assert_int_equal(r.open, 2 + taken);
        post_close_with(&p, &r);
    }
}

static void takes_a_hint_that_there_are_too_many(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    r.allowed = 2;
    for (int i = 0; i < 50; i++) {
        SEND(&p, "me@here.example", "a@one.example");
    }
    post_start(&p, ROUTES(remote_route(&r)), NULL);
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_int_equal(r.count, 50);
    assert_null(strstr(p.k.log, "deferred"));
    post_close_with(&p, &r);
}

typedef struct glance {
    const mail_deliver *agent;
    size_t lanes;
} glance;

static void look(void *arg)
{
    glance *gl = arg;

    gl->lanes = gl->agent->lanes;
}

/* A message for thousands may bring as many at a time. */
static void lets_others_have_their_turn_between_domains(void **state)
{
    mail_timer *timer;
    mail_loop *loop;
    glance gl;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    r.is_slow = true;
    for (int i = 0; i < 250; i++) {
        char address[32];

        snprintf(address, sizeof(address), "a@d%d.example", i);
        SEND(&p, "me@here.example", address);
    }
    post_start(&p, ROUTES(remote_route(&r)), NULL);
    gl = (glance){.agent = p.deliver};
    loop = p.k.w.loop;
    assert_int_equal(loop->ops->timer(loop, look, &gl, &timer), MAIL_OK);
    loop->ops->timer_set(timer, mail_loop_now(loop));
    world_until(&p.k.w, gl.lanes > 0);
    assert_in_range(gl.lanes, 1, 100); /* TAKE_STEP */
    world_until(&p.k.w, p.deliver->lanes == 250);
    loop->ops->untimer(timer);
    post_close_with(&p, &r);
}

/* It was opened for a message that another one then took. */
static void closes_a_connection_that_was_never_needed(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    r.shy = 2;
    r.is_slow = true;
    opts = post_options(&p);
    opts.idle = MAIL_MILLISECOND;
    post_start(&p, ROUTES(remote_route(&r)), &opts);
    SEND(&p, "me@here.example", "a@one.example");
    SEND(&p, "me@here.example", "b@one.example");
    world_until(&p.k.w, r.connections == 2 && r.asked == 1);
    mail_smtp_service_answer(r.ticket, NULL);
    world_until(&p.k.w, r.count == 1 && r.asked == 2); /* both through the first */
    mail_smtp_service_answer(r.shy_ticket, NULL);
    world_until(&p.k.w, p.deliver->sessions == 1);

    /* The next one does not have to wait for the first. */
    r.is_slow = false;
    SEND(&p, "me@here.example", "c@one.example");
    world_until(&p.k.w, r.count == 2);
    assert_int_equal(r.connections, 3);
    assert_null(strstr(p.k.log, "deferred"));
    post_close_with(&p, &r);
}

/* RFC 5321, section 3.3; QR-009 */
static void treats_each_recipient_on_its_own(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open_with(&p, &r, kind);
        post_start(&p, ROUTES("here.example=local", remote_route(&r)), NULL);
        SEND(&p, "me@here.example", "good@one.example", "perm@one.example", "temp@one.example");
        world_until(&p.k.w, r.count == 1 && strstr(p.k.log, " delivered ") != NULL);
        assert_string_equal(r.messages[0].recipients, "good@one.example");

        /* QR-008: one report, to the reverse path, by whom the mail was sent. */
        post_assert_mailbox(&p, "/mail/here.example/me", 1, "Return-Path: <>\r\n");
        post_assert_mailbox(&p, "/mail/here.example/me", 1,
                            "Final-Recipient: rfc822; perm@one.example");
        post_assert_mailbox(&p, "/mail/here.example/me", 1, "Action: failed");
        post_assert_mailbox(&p, "/mail/here.example/me", 1, "Nobody by that name");
        post_assert_mailbox(&p, "/mail/here.example/me", 1, "Original-Envelope-Id: env");

        /* QR-001: the one that was refused for now is tried again, and it alone. */
        assert_int_equal(post_queued(&p), 1);
        p.k.later += MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_until(&p.k.w, strstr(p.k.log, "tries=2") != NULL);
        assert_int_equal(r.count, 1);
        assert_int_equal(post_queued(&p), 1);
        post_close_with(&p, &r);
    }
}

/* DS-002, DS-024 */
static void reports_nothing_about_a_report(void **state)
{
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    post_start(&p, ROUTES(remote_route(&r)), NULL);
    SEND(&p, "", "perm@one.example");
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_int_equal(r.count, 0);
    assert_non_null(strstr(p.k.log, "failed, not reported"));
    post_close_with(&p, &r);
}

/* DS-015, DS-016, DS-017, DS-018 */
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
        post_open_with(&p, &r, WORLD_POLL);
        post_start(&p, ROUTES("here.example=local", remote_route(&r)), NULL);
        post_send(&p, "me@here.example", &rcpt, 1);
        world_until(&p.k.w, post_queued(&p) == 0);
        post_assert_mailbox(&p, "/mail/here.example/me", cases[i].holds != NULL, cases[i].holds);
        if (cases[i].holds != NULL) {
            post_assert_mailbox(&p, "/mail/here.example/me", 1,
                                "Original-Recipient: rfc822; first@one.example");
        }
        post_close_with(&p, &r);
    }
}

/* QR-015, QR-003: first the delay is told, once, and in the end that it failed. */
static void tells_of_a_delay_once_and_gives_up_in_the_end(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    opts = post_options(&p);
    opts.idle = 1; /* a server takes its time with a session that goes wrong often */
    post_start(&p, ROUTES("here.example=local", remote_route(&r)), &opts);
    SEND(&p, "me@here.example", "temp@one.example");
    world_until(&p.k.w, strstr(p.k.log, "tries=1") != NULL);
    for (int i = 0; i < 30 && post_queued(&p) > 0; i++) {
        size_t before = strlen(p.k.log);

        p.k.later += 5 * MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_until(&p.k.w, strlen(p.k.log) > before);
        world_idle(&p.k.w);
    }
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/me", 2, "Action: delayed");
    post_assert_mailbox(&p, "/mail/here.example/me", 2, "Action: failed");
    post_assert_mailbox(&p, "/mail/here.example/me", 2, "Come back later");
    post_close_with(&p, &r);
}

/* QR-004: one try of the host serves all that wait for it. */
static void tries_a_dead_host_once_for_all_messages(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        remote dead = {.at = loopback};
        mail_deliver_options opts;
        unsigned dialed;
        post p;
        int held;

        (void)state;
        post_open(&p, kind);
        held = mail_test_dead_port(&dead.at.port);
        for (int i = 0; i < 20; i++) {
            SEND(&p, "me@here.example", "a@one.example");
        }
        opts = post_options(&p);
        opts.backoff = MAIL_HOUR;
        opts.backoff_max = MAIL_HOUR;
        post_start(&p, ROUTES(remote_route(&dead)), &opts);
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
        assert_int_equal(post_queued(&p), 21);
        assert_non_null(strstr(p.k.log, "451 4.4.1"));
        close(held);
        post_close(&p);
    }
}

/* QR-006 */
static void takes_the_refusal_of_one_sender_for_no_verdict_on_a_host(void **state)
{
    static const mail_reply refusal = {550, {5, 7, 1}, {"Not from you", 12}};
    static const mail_reply later = {450, {4, 7, 1}, {"Not from you now", 16}};
    static const struct {
        const char *name;
        const mail_reply *to_mail;
        size_t left;
    } cases[] = {
        {"for good", &refusal, 0},
        {"for now", &later, 1},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_deliver_options opts;
        post p;
        remote r;

        mail_test_case(cases[i].name);
        post_open_with(&p, &r, WORLD_POLL);
        opts = post_options(&p);
        opts.backoff = opts.backoff_max = MAIL_HOUR; /* if it were taken for a verdict */
        post_start(&p, ROUTES("here.example=local", remote_route(&r)), &opts);
        r.to_mail = cases[i].to_mail;
        SEND(&p, "bad@here.example", "a@one.example");
        world_until(&p.k.w, strstr(p.k.log, "Not from you") != NULL);
        r.to_mail = NULL;
        SEND(&p, "good@here.example", "a@one.example");
        world_until(&p.k.w, post_queued(&p) == cases[i].left);
        assert_int_equal(r.count, 1);
        assert_string_equal(r.messages[0].sender, "good@here.example");
        post_close_with(&p, &r);
    }
}

/* QR-007: a host that falls silent has said nothing about the message. */
static void defers_what_a_silent_host_leaves_unanswered(void **state)
{
    mail_deliver_options opts;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    r.is_slow = true;
    opts = post_options(&p);
    opts.max_timeout = 20 * MAIL_MILLISECOND;
    post_start(&p, ROUTES("here.example=local", remote_route(&r)), &opts);
    SEND(&p, "me@here.example", "a@one.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    assert_int_equal(post_queued(&p), 1);
    post_assert_mailbox(&p, "/mail/here.example/me", 0, NULL);
    r.is_slow = false;
    p.deliver->opts.max_timeout = MAIL_MINUTE; /* however slow the machine, it answers in time */
    while (post_queued(&p) > 0 && p.k.later < 4 * MAIL_DAY) {
        p.k.later += MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_idle(&p.k.w);
    }
    assert_int_equal(post_queued(&p), 0);
    assert_int_equal(r.count, 1);
    post_close_with(&p, &r);
}

/* QR-018 */
static void asks_afresh_at_each_try_where_a_message_goes(void **state)
{
    char rule[100];
    post p;
    remote one;
    remote two;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&one, &p.k, false, NULL, NULL);
    remote_open(&two, &p.k, false, NULL, NULL);
    snprintf(rule, sizeof(rule), "%s", remote_route(&two));
    post_start(&p, ROUTES(remote_route(&one)), NULL);
    SEND(&p, "me@here.example", "temp@one.example");
    world_until(&p.k.w, strstr(p.k.log, "tries=1") != NULL);
    mail_deliver_set_routes(p.deliver, ROUTES(rule));
    p.k.later += MAIL_HOUR;
    mail_deliver_wake(p.deliver);
    world_until(&p.k.w, strstr(p.k.log, "tries=2") != NULL);
    assert_int_equal(one.connections, 1);
    assert_int_equal(two.connections, 1);
    remote_close(&one);
    remote_close(&two);
    post_close(&p);
}

/* A crowd for one host, which takes its time, is in nobody else's way. */
static void lets_a_crowd_for_one_host_delay_nothing_for_another(void **state)
{
    char rule[200];
    post p;
    remote slow;
    remote fast;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&slow, &p.k, false, NULL, NULL);
    remote_open(&fast, &p.k, false, NULL, NULL);
    slow.is_slow = true;
    for (int i = 0; i < 500; i++) {
        SEND(&p, "me@here.example", "a@crowd.example");
    }
    SEND(&p, "me@here.example", "a@one.example");
    snprintf(rule, sizeof(rule), "one.example%s", remote_route(&fast) + strlen("*"));
    post_start(&p, ROUTES(rule, remote_route(&slow)), NULL);
    world_until(&p.k.w, fast.count == 1);
    assert_int_equal(slow.count, 0);
    assert_true(slow.connections <= 2); /* it begins with few */
    remote_close(&slow);
    remote_close(&fast);
    post_close(&p);
}

static void goes_on_when_a_dead_host_comes_back(void **state)
{
    mail_endpoint at;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    at = r.at;
    remote_close(&r);
    r.at = at;
    post_start(&p, ROUTES(remote_route(&r)), NULL);
    SEND(&p, "me@here.example", "a@one.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    remote_open(&r, &p.k, false, &at, NULL);
    while (post_queued(&p) > 0 && p.k.later < 4 * MAIL_DAY) {
        p.k.later += MAIL_HOUR;
        mail_deliver_wake(p.deliver);
        world_idle(&p.k.w);
    }
    assert_int_equal(post_queued(&p), 0);
    assert_int_equal(r.count, 1);
    post_close_with(&p, &r);
}

static void tries_a_resting_host_when_it_is_asked_to(void **state)
{
    const mail_queue_selector all = {.all = true};
    mail_deliver_options opts;
    mail_endpoint at;
    post p;
    remote r;

    (void)state;
    post_open_with(&p, &r, WORLD_POLL);
    at = r.at;
    remote_close(&r);
    r.at = at;
    opts = post_options(&p);
    opts.backoff = opts.backoff_max = MAIL_HOUR;
    post_start(&p, ROUTES(remote_route(&r)), &opts);
    SEND(&p, "me@here.example", "a@one.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    remote_open(&r, &p.k, false, &at, NULL);
    assert_int_equal(mail_queue_flush(p.k.queue, &all), 1);
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_int_equal(r.count, 1);
    post_close_with(&p, &r);
}

/* QR-017: by an operator, however dead and resting the host is. */
static void returns_what_is_expired_when_it_fails_once_more(void **state)
{
    mail_queue_selector all = {.all = true};
    mail_endpoint dead = loopback;
    char at[MAIL_IP_TEXT_SIZE];
    mail_deliver_options opts;
    char rule[100];
    post p;
    int held_port;

    (void)state;
    post_open(&p, WORLD_POLL);
    held_port = mail_test_dead_port(&dead.port);
    at[mail_endpoint_print(&dead, at)] = '\0';
    snprintf(rule, sizeof(rule), "*=%s", at);
    opts = post_options(&p);
    opts.backoff = opts.backoff_max = MAIL_HOUR;
    post_start(&p, ROUTES("here.example=local", rule), &opts);
    SEND(&p, "me@here.example", "a@one.example");
    world_until(&p.k.w, strstr(p.k.log, " deferred ") != NULL);
    world_idle(&p.k.w);
    assert_int_equal(mail_queue_expire(p.k.queue, &all), 1);
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/me", 1, "Action: failed");
    close(held_port);
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
        remote bad = {.at = loopback};
        remote good;
        int held = -1;

        mail_test_case(cases[i].name);
        post_open(&p, WORLD_POLL);
        if (cases[i].is_dead) {
            held = mail_test_dead_port(&bad.at.port);
        } else {
            remote_open(&bad, &p.k, false, NULL, NULL);
        }
        remote_open(&good, &p.k, false, NULL, NULL);
        bad.greeting = cases[i].greeting;
        bad.to_mail = cases[i].to_mail;
        first[mail_endpoint_print(&bad.at, first)] = '\0';
        second[mail_endpoint_print(&good.at, second)] = '\0';
        snprintf(rule, sizeof(rule), "*=%s,%s", first, second);
        post_start(&p, ROUTES(rule), NULL);
        SEND(&p, "me@here.example", "a@one.example");
        while (post_queued(&p) > 0 && p.k.later < 4 * MAIL_DAY) {
            world_idle(&p.k.w);
            p.k.later += MAIL_HOUR;
            mail_deliver_wake(p.deliver);
        }
        assert_int_equal(good.count, 1);
        if (cases[i].is_dead) {
            close(held);
        } else {
            remote_close(&bad);
        }
        remote_close(&good);
        post_close(&p);
    }
}

/* Two smart hosts, the second of which is asked when the first has refused for now. */
typedef struct pair {
    post p;
    remote first;
    remote second;
    char rule[2 * MAIL_IP_TEXT_SIZE + 4];
} pair;

static void pair_open(pair *two)
{
    char first[MAIL_IP_TEXT_SIZE];
    char second[MAIL_IP_TEXT_SIZE];

    post_open(&two->p, WORLD_POLL);
    remote_open(&two->first, &two->p.k, false, NULL, NULL);
    remote_open(&two->second, &two->p.k, false, NULL, NULL);
    first[mail_endpoint_print(&two->first.at, first)] = '\0';
    second[mail_endpoint_print(&two->second.at, second)] = '\0';
    snprintf(two->rule, sizeof(two->rule), "*=%s,%s", first, second);
}

static void pair_close(pair *two)
{
    remote_close(&two->first);
    remote_close(&two->second);
    post_close(&two->p);
}

static const mail_reply is_full = {452, {4, 3, 1}, {"No room", 7}};
static const mail_reply goes_down = {421, {4, 3, 2}, {"Going down", 10}};

/* MX-006 */
static void asks_the_next_host_what_one_refuses_for_now(void **state)
{
    static const struct {
        const char *name;
        const mail_reply *first;           /* to MAIL */
        const mail_reply *second_greeting; /* NULL: 220 */
        const mail_reply *second;
        const char *to[2];
        uint32_t max_out;
        unsigned asked[2]; /* how often MAIL came to each */
        size_t taken[2];   /* messages by each */
        const char *says;  /* the last line of the log on a recipient that waits; NULL: none does */
    } cases[] = {
        {"a full one", &is_full, NULL, NULL, {"a@one.example"}, 20, {1, 1}, {0, 1}, NULL},
        {"both are full",
         &is_full,
         NULL,
         &is_full,
         {"a@one.example"},
         20,
         {1, 1},
         {0, 0},
         "No room"},
        {"at RCPT", NULL, NULL, NULL, {"temp@one.example"}, 20, {1, 1}, {0, 0}, "Come back"},
        {"one is taken",
         NULL,
         NULL,
         NULL,
         {"a@one.example", "temp@one.example"},
         20,
         {1, 0},
         {1, 0},
         "Come back"},
        {"one is refused",
         NULL,
         NULL,
         NULL,
         {"perm@one.example", "temp@one.example"},
         20,
         {1, 0},
         {0, 0},
         "Come back"},
        {"the other is down",
         &is_full,
         &goes_down,
         NULL,
         {"a@one.example"},
         20,
         {2, 0},
         {0, 0},
         "No room"},
        {"one at a time", &is_full, NULL, NULL, {"a@one.example"}, 1, {1, 0}, {0, 0}, "No room"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_deliver_options opts;
        mail_recipient to[2];
        size_t count = 0;
        const char *line;
        pair two;

        mail_test_case(cases[i].name);
        pair_open(&two);
        two.first.to_mail = cases[i].first;
        two.second.greeting = cases[i].second_greeting;
        two.second.to_mail = cases[i].second;
        opts = post_options(&two.p);
        opts.backoff = opts.backoff_max = MAIL_HOUR;
        opts.max_out_per_destination = cases[i].max_out;
        post_start(&two.p, ROUTES("here.example=local", two.rule), &opts);
        for (size_t j = 0; j < 2 && cases[i].to[j] != NULL; j++) {
            to[j] = (mail_recipient){.address = mail_span_text(cases[i].to[j])};
            count++;
        }
        post_send(&two.p, "me@here.example", to, count);
        if (cases[i].says == NULL) {
            world_until(&two.p.k.w, post_queued(&two.p) == 0);
        } else {
            world_until(&two.p.k.w, (line = strstr(two.p.k.log, " deferred queue_id=")) != NULL);
            assert_non_null(strstr(line, cases[i].says));
        }
        assert_int_equal(two.first.asked, cases[i].asked[0]);
        assert_int_equal(two.second.asked, cases[i].asked[1]);
        assert_int_equal(two.first.count, cases[i].taken[0]);
        assert_int_equal(two.second.count, cases[i].taken[1]);
        pair_close(&two);
    }
}

/* QR-005: and by few connections, which are for nothing else. */
static void keeps_a_connection_for_what_one_host_refuses(void **state)
{
    pair two;

    (void)state;
    pair_open(&two);
    two.first.to_mail = &is_full;
    post_start(&two.p, ROUTES(two.rule), NULL);
    for (size_t i = 1; i <= 5; i++) {
        SEND(&two.p, "me@here.example", "a@one.example");
        world_until(&two.p.k.w, post_queued(&two.p) == 0);
        assert_int_equal(two.second.count, i);
    }
    two.first.to_mail = NULL;
    SEND(&two.p, "me@here.example", "a@one.example");
    world_until(&two.p.k.w, post_queued(&two.p) == 0);
    assert_int_equal(two.first.count, 1);
    /* The next message may come before a connection is ready again. */
    assert_true(two.first.connections <= 2 && two.second.connections <= 2);
    pair_close(&two);
}

static void keeps_what_waits_for_the_next_host_when_it_ends_at_once(void **state)
{
    pair two;

    (void)state;
    pair_open(&two);
    two.first.to_mail = &is_full;
    two.second.shy = 1;
    post_start(&two.p, ROUTES(two.rule), NULL);
    SEND(&two.p, "me@here.example", "a@one.example");
    world_until(&two.p.k.w, two.second.shy_ticket.service != NULL);
    mail_deliver_destroy(two.p.deliver);
    assert_int_equal(post_queued(&two.p), 1);
    post_start(&two.p, ROUTES(two.rule), NULL);
    world_until(&two.p.k.w, post_queued(&two.p) == 0);
    assert_int_equal(two.second.count, 1);
    pair_close(&two);
}

/* Who is told why mail waits learns more from a host that spoke than from one that is off. */
static void tells_what_the_host_said_that_could_be_reached(void **state)
{
    static const mail_reply later = {421, {4, 3, 2}, {"Going down", 10}};
    mail_deliver_options opts;
    char dead_at[MAIL_IP_TEXT_SIZE];
    char busy_at[MAIL_IP_TEXT_SIZE];
    char rule[200];
    char want[200];

    (void)state;
    for (int i = 0; i < 2; i++) {
        post p;
        mail_endpoint dead = loopback;
        remote busy;
        int held;

        mail_test_case(i == 0 ? "dead one first" : "dead one last");
        post_open(&p, WORLD_POLL);
        held = mail_test_dead_port(&dead.port);
        remote_open(&busy, &p.k, false, NULL, NULL);
        busy.greeting = &later;
        dead_at[mail_endpoint_print(&dead, dead_at)] = '\0';
        busy_at[mail_endpoint_print(&busy.at, busy_at)] = '\0';
        snprintf(rule, sizeof(rule), "*=%s,%s", i == 0 ? dead_at : busy_at,
                 i == 0 ? busy_at : dead_at);
        opts = post_options(&p);
        opts.backoff = MAIL_HOUR;
        opts.backoff_max = MAIL_HOUR;
        post_start(&p, ROUTES(rule), &opts);
        SEND(&p, "me@here.example", "a@one.example");
        world_until(&p.k.w, strstr(p.k.log, " deferred ") != NULL);
        assert_non_null(strstr(strstr(p.k.log, " deferred "), "reply=\"421 Going down\""));
        snprintf(want, sizeof(want), "host failed host=127.0.0.1[127.0.0.1]:%u reply=\"451 4.4.1 ",
                 dead.port);
        assert_non_null(strstr(p.k.log, want));
        remote_close(&busy);
        close(held);
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
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_string_equal(r.messages[0].recipients, "a@one.example b@one.example");
    post_assert_mailbox(&p, "/mail/here.example/me", 1,
                        "Final-Recipient: rfc822; perm@one.example");
    assert_non_null(strstr(p.k.log, "host=unix:"));
    post_close_with(&p, &r);
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
        world_until(&p.k.w, post_queued(&p) == 0);
        text = post_mailbox(&p, "/mail/here.example/you", &count);
        assert_int_equal(count, 1);
        assert_string_equal(text, "Return-Path: <me@else.example>\r\n"
                                  "Delivered-To: you@here.example\r\n" MESSAGE);
        free(text);
        post_assert_mailbox(&p, "/mail/there.example/Other", 1,
                            "Delivered-To: Other@there.example\r\n");
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
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/you", 1, MESSAGE);
    post_assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.1");
    post_close(&p);
}

static void carries_out_what_routes_say(void **state)
{
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p,
               ROUTES("drop.example=discard", "gone.example=error:550 5.1.6 Moved away",
                      "busy.example=error:451 Later", "*=local"),
               NULL);
    SEND(&p, "me@here.example", "a@drop.example");
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_non_null(strstr(p.k.log, "Discarded"));
    SEND(&p, "me@here.example", "a@gone.example");
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.6");
    SEND(&p, "me@here.example", "a@busy.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    assert_int_equal(post_queued(&p), 1);
    post_close(&p);
}

static uint64_t held(post *p)
{
    mail_queue_stats stats;

    mail_queue_stats_read(p->k.queue, &stats);
    return stats.held;
}

/* QR-018: it goes on when the routes say so, or an operator asks once they would. */
static void holds_what_a_route_holds_as_long_as_it_does(void **state)
{
    mail_queue_selector all = {.all = true};
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p, ROUTES("wait.example=hold", "*=local"), NULL);
    SEND(&p, "me@here.example", "a@wait.example", "b@here.example");
    world_until(&p.k.w, held(&p) == 1);
    assert_non_null(strstr(p.k.log, "held by its route domain=wait.example"));
    world_until(&p.k.w, strstr(p.k.log, "to=b@here.example") != NULL);
    SEND(&p, "me@here.example", "c@wait.example");
    world_idle(&p.k.w);
    assert_int_equal(held(&p), 2);

    assert_int_equal(mail_queue_unhold(p.k.queue, &all), 2);
    assert_int_equal(held(&p), 0);
    world_until(&p.k.w, held(&p) == 2);

    mail_deliver_set_routes(p.deliver, ROUTES("*=local"));
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/wait.example/a", 1, MESSAGE);
    post_assert_mailbox(&p, "/mail/wait.example/c", 1, MESSAGE);
    post_close(&p);
}

static void defers_local_mail_where_there_are_no_mailboxes(void **state)
{
    mail_deliver_options opts;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    opts = post_options(&p);
    opts.store = NULL;
    opts.mailbox_of = NULL;
    post_start(&p, ROUTES("*=local"), &opts);
    SEND(&p, "me@here.example", "you@here.example");
    world_until(&p.k.w, strstr(p.k.log, "deferred") != NULL);
    assert_int_equal(post_queued(&p), 1);
    post_close(&p);
}

static void keeps_what_is_under_way_when_it_ends_at_once(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        post p;
        remote r;

        (void)state;
        post_open_with(&p, &r, kind);
        r.is_slow = true;
        post_start(&p, ROUTES("here.example=local", remote_route(&r)), NULL);
        SEND(&p, "me@here.example", "a@one.example");
        world_until(&p.k.w, r.ticket.service != NULL);
        SEND(&p, "me@here.example", "you@here.example");
        mail_deliver_destroy(p.deliver);
        p.deliver = NULL;
        assert_true(post_queued(&p) >= 1);
        r.is_slow = false;
        post_start(&p, ROUTES("here.example=local", remote_route(&r)), NULL);
        world_until(&p.k.w, post_queued(&p) == 0);
        assert_int_equal(r.count, 1);
        post_close_with(&p, &r);
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

        post_open_with(&p, &r, WORLD_POLL);
        routes = ROUTES("here.example=local", remote_route(&r));
        SEND(&p, "me@here.example", "good@one.example", "perm@one.example", "you@here.example");
        opts = post_options(&p);
        opts.mem = &walk.mem;
        opts.gather = 1; /* the queue's time goes on by steps, not by the clock */
        code = mail_deliver_create(&p.deliver, p.k.w.loop, routes, &opts);
        if (code == MAIL_OK) {
            for (int i = 0; i < 1000 && post_queued(&p) > 0; i++) {
                world_step(&p.k.w);
                p.k.later += MAIL_MINUTE;
                mail_deliver_wake(p.deliver);
            }
            world_until(&p.k.w, post_queued(&p) == 0);
            assert_int_equal(r.count, 1);
            post_assert_mailbox(&p, "/mail/here.example/you", 1, MESSAGE);
            text = post_mailbox(&p, "/mail/here.example/me", &count);
            assert_true(count >= 1); /* a notice of delay may have come before */
            assert_non_null(strstr(text, "perm@one.example"));
            free(text);
            mail_deliver_drain(p.deliver, post_stopped, &is_drained);
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

/* Time passes while nothing is under way, and the first host refuses but once. */
static bool pair_is_through(pair *two)
{
    mail_queue_stats stats;

    if (two->first.asked > 0) {
        two->first.to_mail = NULL;
    }
    mail_queue_stats_read(two->p.k.queue, &stats);
    if (stats.leased == 0) {
        two->p.k.later += 10 * MAIL_SECOND;
        mail_deliver_wake(two->p.deliver);
    }
    return stats.messages == 0;
}

/* One copy comes, through whichever of them. */
static void survives_every_failed_allocation_between_two_hosts(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_deliver_options opts;
        mail_route_table *routes;
        bool is_drained = false;
        pair two;
        int code;

        pair_open(&two);
        two.first.to_mail = &is_full;
        routes = ROUTES("here.example=local", two.rule);
        SEND(&two.p, "me@here.example", "a@one.example");
        opts = post_options(&two.p);
        opts.mem = &walk.mem;
        code = mail_deliver_create(&two.p.deliver, two.p.k.w.loop, routes, &opts);
        if (code == MAIL_OK) {
            world_until(&two.p.k.w, pair_is_through(&two));
            assert_int_equal(two.first.count + two.second.count, 1);
            mail_deliver_drain(two.p.deliver, post_stopped, &is_drained);
            world_until(&two.p.k.w, is_drained);
            mail_deliver_destroy(two.p.deliver);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
            mail_route_table_destroy(routes);
        }
        two.p.deliver = NULL;
        mail_intake_close(two.p.intake);
        two.p.k.w.loop->ops->unbell(two.p.bell);
        mail_store_destroy(two.p.store);
        remote_close(&two.first);
        remote_close(&two.second);
        kit_close(&two.p.k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_a_message_to_a_smart_host_in_one_transaction),
        cmocka_unit_test(reuses_connections_for_further_messages),
        cmocka_unit_test(opens_no_more_connections_than_it_may),
        cmocka_unit_test(opens_more_connections_with_each_success),
        cmocka_unit_test(takes_a_hint_that_there_are_too_many),
        cmocka_unit_test(lets_others_have_their_turn_between_domains),
        cmocka_unit_test(closes_a_connection_that_was_never_needed),
        cmocka_unit_test(treats_each_recipient_on_its_own),
        cmocka_unit_test(reports_nothing_about_a_report),
        cmocka_unit_test(reports_as_notify_asks),
        cmocka_unit_test(tells_of_a_delay_once_and_gives_up_in_the_end),
        cmocka_unit_test(tries_a_dead_host_once_for_all_messages),
        cmocka_unit_test(takes_the_refusal_of_one_sender_for_no_verdict_on_a_host),
        cmocka_unit_test(defers_what_a_silent_host_leaves_unanswered),
        cmocka_unit_test(asks_afresh_at_each_try_where_a_message_goes),
        cmocka_unit_test(lets_a_crowd_for_one_host_delay_nothing_for_another),
        cmocka_unit_test(goes_on_when_a_dead_host_comes_back),
        cmocka_unit_test(tries_a_resting_host_when_it_is_asked_to),
        cmocka_unit_test(returns_what_is_expired_when_it_fails_once_more),
        cmocka_unit_test(fails_over_to_the_next_host),
        cmocka_unit_test(asks_the_next_host_what_one_refuses_for_now),
        cmocka_unit_test(keeps_a_connection_for_what_one_host_refuses),
        cmocka_unit_test(keeps_what_waits_for_the_next_host_when_it_ends_at_once),
        cmocka_unit_test(tells_what_the_host_said_that_could_be_reached),
        cmocka_unit_test(hands_over_by_lmtp),
        cmocka_unit_test(delivers_into_mailboxes_with_the_fields_of_final_delivery),
        cmocka_unit_test(returns_mail_for_a_user_that_is_not_there),
        cmocka_unit_test(carries_out_what_routes_say),
        cmocka_unit_test(holds_what_a_route_holds_as_long_as_it_does),
        cmocka_unit_test(defers_local_mail_where_there_are_no_mailboxes),
        cmocka_unit_test(keeps_what_is_under_way_when_it_ends_at_once),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(survives_every_failed_allocation_between_two_hosts),
    };

    return mail_test_run(tests);
}
