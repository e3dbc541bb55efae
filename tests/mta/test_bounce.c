/* SPDX-License-Identifier: MIT */
#include "mta/post.h"

#include "mta/bounce.h"
#include "mta/deliver.h"
#include "queue/queue.h"

/* Rules for two remote hosts, and what is here. */
typedef struct rules {
    char one[100];
    char two[100];
} rules;

static void lead_to(char *rule, size_t size, const char *pattern, const remote *r)
{
    char at[MAIL_IP_TEXT_SIZE];

    at[mail_endpoint_print(&r->at, at)] = '\0';
    snprintf(rule, size, "%s=%s", pattern, at);
}

static void assert_report_has(post *p, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        post_assert_mailbox(p, "/mail/here.example/me", 1, *texts);
    }
}

/* QR-008, DS-021: whichever ways they went. */
static void shares_one_report_among_all_that_fail_in_one_round(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_deliver_options opts;
        rules to;
        post p;
        remote one;
        remote two;

        (void)state;
        post_open(&p, kind);
        remote_open(&one, &p.k, false, NULL, NULL);
        remote_open(&two, &p.k, false, NULL, NULL);
        lead_to(to.one, sizeof(to.one), "one.example", &one);
        lead_to(to.two, sizeof(to.two), "two.example", &two);
        opts = post_options(&p);
        opts.gather = MAIL_HOUR; /* no clock ends the wait */
        SEND(&p, "me@here.example", "perm@one.example", "good@one.example", "perm@two.example",
             "a@gone.example", "none@there.example", "you@there.example");
        post_start(&p, ROUTES(to.one, to.two, "gone.example=error:550 5.1.6 Moved away", "*=local"),
                   &opts);
        world_until(&p.k.w, post_queued(&p) == 0);
        assert_report_has(&p, (const char *const[]){"rfc822; perm@one.example\r\n",
                                                    "rfc822; perm@two.example\r\n",
                                                    "rfc822; a@gone.example\r\n",
                                                    "rfc822; none@there.example\r\n", NULL});
        assert_int_equal(one.count, 1);
        post_assert_mailbox(&p, "/mail/there.example/you", 1, MESSAGE);
        remote_close(&one);
        remote_close(&two);
        post_close(&p);
    }
}

/* SS-039: 250 to the message is for all that were accepted; what fails of it later is reported. */
static void accepts_a_message_of_which_a_part_fails_later(void **state)
{
    static const mail_network here = {{.family = 4, .bytes = {127}}, 8};
    mail_receive_options front = MAIL_RECEIVE_OPTIONS_INIT;
    post p;
    remote r;
    int fd;

    (void)state;
    front.relay_from = &here;
    front.relay_count = 1;
    post_open(&p, WORLD_POLL);
    kit_receive(&p.k, &front);
    remote_open(&r, &p.k, false, NULL, NULL);
    post_start(&p, ROUTES("here.example=local", remote_route(&r)), NULL);
    fd = kit_greet(&p.k, &p.k.at);
    kit_asks(&p.k, fd, "MAIL FROM:<me@here.example>\r\n", "250");
    kit_asks(&p.k, fd, "RCPT TO:<perm@one.example>\r\n", "250");
    kit_asks(&p.k, fd, "RCPT TO:<good@one.example>\r\n", "250");
    kit_asks(&p.k, fd, "RCPT TO:<none@here.example>\r\n", "250");
    kit_asks(&p.k, fd, "DATA\r\n", "354");
    kit_asks(&p.k, fd, "Subject: x\r\n\r\nbody\r\n.\r\n", "250 2.0.0");
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_string_equal(r.messages[0].recipients, "good@one.example");
    assert_report_has(&p, (const char *const[]){"rfc822; perm@one.example\r\n",
                                                "rfc822; none@here.example\r\n", NULL});
    close(fd);
    post_close_with(&p, &r);
}

static unsigned open_recipients(post *p)
{
    mail_queue_stats stats;

    mail_queue_stats_read(p->k.queue, &stats);
    return (unsigned)stats.recipients;
}

/* QR-009, QR-010: a crash in the meantime must repeat nothing. */
static void writes_down_deliveries_before_a_report_waits(void **state)
{
    mail_deliver_options opts;
    rules to;
    post p;
    remote one;
    remote two;

    (void)state;
    post_open(&p, WORLD_POLL);
    remote_open(&one, &p.k, false, NULL, NULL);
    remote_open(&two, &p.k, false, NULL, NULL);
    two.is_slow = true;
    lead_to(to.one, sizeof(to.one), "one.example", &one);
    lead_to(to.two, sizeof(to.two), "two.example", &two);
    opts = post_options(&p);
    opts.gather = MAIL_HOUR;
    SEND(&p, "me@here.example", "good@one.example", "perm@one.example", "perm@two.example");
    post_start(&p, ROUTES(to.one, to.two, "*=local"), &opts);
    world_until(&p.k.w, strstr(p.k.log, "failed") != NULL && two.ticket.service != NULL);
    assert_int_equal(open_recipients(&p), 2);
    post_assert_mailbox(&p, "/mail/here.example/me", 0, NULL);

    mail_deliver_destroy(p.deliver); /* nothing is lost, and nothing was told */
    assert_int_equal(open_recipients(&p), 2);
    two.is_slow = false;
    post_start(&p, ROUTES(to.one, to.two, "*=local"), &opts);
    world_until(&p.k.w, post_queued(&p) == 0);
    assert_int_equal(one.count, 1);
    assert_report_has(&p, (const char *const[]){"perm@one.example", "perm@two.example", NULL});
    remote_close(&one);
    remote_close(&two);
    post_close(&p);
}

static void reports_what_there_is_when_a_host_takes_long(void **state)
{
    static const char *const names[] = {"after a while", "when the agent drains"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        bool is_drained = false;
        mail_deliver_options opts;
        rules to;
        post p;
        remote one;
        remote two;

        mail_test_case(names[i]);
        post_open(&p, WORLD_POLL);
        remote_open(&one, &p.k, false, NULL, NULL);
        remote_open(&two, &p.k, false, NULL, NULL);
        two.is_slow = true;
        lead_to(to.one, sizeof(to.one), "one.example", &one);
        lead_to(to.two, sizeof(to.two), "two.example", &two);
        opts = post_options(&p);
        opts.gather = i == 0 ? MAIL_MILLISECOND : MAIL_HOUR;
        SEND(&p, "me@here.example", "perm@one.example", "perm@two.example");
        post_start(&p, ROUTES(to.one, to.two, "*=local"), &opts);
        world_until(&p.k.w, strstr(p.k.log, "failed") != NULL && two.ticket.service != NULL);
        if (i == 1) {
            mail_deliver_drain(p.deliver, post_stopped, &is_drained);
        }
        world_until(&p.k.w, strstr(p.k.log, "reported to sender") != NULL);
        mail_smtp_service_answer(two.ticket, NULL);
        if (i == 1) {
            world_until(&p.k.w, is_drained);
            mail_deliver_destroy(p.deliver);
            post_start(&p, ROUTES(to.one, to.two, "*=local"), &opts);
        }
        world_until(&p.k.w, post_queued(&p) == 0);
        post_assert_mailbox(&p, "/mail/here.example/me", 2, "perm@one.example");
        post_assert_mailbox(&p, "/mail/here.example/me", 2, "perm@two.example");
        remote_close(&one);
        remote_close(&two);
        post_close(&p);
    }
}

/* How often the log has it. */
static size_t lines_with(post *p, const char *text)
{
    size_t count = 0;

    for (const char *at = p->k.log; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

/* QR-004, QR-015: those that wait behind a dead host hear of it without a try of their own. */
static void tells_what_is_overdue_behind_a_dead_host(void **state)
{
    static const struct {
        const char *name;
        const char *action;
        uint8_t notify;
        bool expires;
        size_t told; /* of two */
    } cases[] = {
        {"delayed", "Action: delayed", 0, false, 2},
        {"given up", "Action: failed", 0, true, 2},
        {"delayed, which nobody wants to hear of", NULL, MAIL_NOTIFY_FAILURE, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const mail_recipient rcpt = {.address = MAIL_SPAN("a@one.example"),
                                     .notify = cases[i].notify};
        mail_deliver_options opts;
        rules to;
        post p;
        remote dead = {.at = loopback};
        int held;

        mail_test_case(cases[i].name);
        post_open(&p, WORLD_POLL);
        held = mail_test_dead_port(&dead.at.port);
        lead_to(to.one, sizeof(to.one), "one.example", &dead);
        opts = post_options(&p);
        post_start(&p, ROUTES(to.one, "*=local"), &opts);
        post_send(&p, "me@here.example", &rcpt, 1);
        post_send(&p, "me@here.example", &rcpt, 1);
        world_until(&p.k.w, lines_with(&p, "deferred") == 2);
        world_idle(&p.k.w);

        /* They are due in five minutes, and overdue before. */
        p.k.later += MAIL_MINUTE;
        p.k.queue->opts.warn_after = MAIL_SECOND;
        p.k.queue->opts.give_up = cases[i].expires ? MAIL_SECOND : MAIL_DAY;
        p.k.log[0] = '\0';
        SEND(&p, "", "young@one.example"); /* is tried, and tells no sender */
        world_until(&p.k.w, lines_with(&p, "to=a@one.example") == 2 &&
                                lines_with(&p, " delivered ") == cases[i].told);
        world_idle(&p.k.w);
        assert_int_equal(lines_with(&p, "to=a@one.example"), 2);
        post_assert_mailbox(&p, "/mail/here.example/me", cases[i].told, cases[i].action);
        close(held);
        post_close(&p);
    }
}

/* DS-019: when others stand for a recipient, its sender hears that once, and of no success. */
static void tells_that_an_alias_was_expanded(void **state)
{
    const mail_recipient rcpts[] = {
        {.address = MAIL_SPAN("you@here.example"),
         .notify = MAIL_NOTIFY_NEVER,
         .role = MAIL_RECIPIENT_HIDDEN,
         .orcpt = MAIL_SPAN("rfc822;team@here.example")},
        {.address = MAIL_SPAN("team@here.example"),
         .notify = MAIL_NOTIFY_SUCCESS,
         .role = MAIL_RECIPIENT_EXPANDED,
         .orcpt = MAIL_SPAN("rfc822;team@here.example")},
    };
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p, ROUTES("*=local"), NULL);
    post_send(&p, "me@here.example", rcpts, MAIL_COUNT(rcpts));
    post_send(&p, "", rcpts, MAIL_COUNT(rcpts)); /* whom nothing is told */
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/you", 2, MESSAGE);
    post_assert_mailbox(&p, "/mail/here.example/team", 0, NULL);
    assert_report_has(&p, (const char *const[]){"Action: expanded", "Status: 2.1.5",
                                                "Final-Recipient: rfc822; team@here.example",
                                                "Original-Envelope-Id: env", NULL});
    post_close(&p);
}

/* DS-020, DS-011 */
static void shows_no_sender_where_an_alias_leads_to(void **state)
{
    const mail_recipient rcpt = {.address = MAIL_SPAN("none@secret.example"),
                                 .role = MAIL_RECIPIENT_HIDDEN,
                                 .orcpt = MAIL_SPAN("rfc822;team+2B1@here.example")};
    size_t count;
    char *text;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p,
               ROUTES("secret.example=error:550 5.1.1 No NONE@secret.example at secret", "*=local"),
               NULL);
    post_send(&p, "me@here.example", &rcpt, 1);
    world_until(&p.k.w, post_queued(&p) == 0);
    text = post_mailbox(&p, "/mail/here.example/me", &count);
    assert_int_equal(count, 1);
    assert_null(strcasestr(text, "none@secret.example"));
    assert_non_null(strstr(text, "Final-Recipient: rfc822; team+1@here.example\r\n"));
    assert_non_null(strstr(text, "No ******************* at secret"));
    assert_non_null(strstr(text, "Original-Envelope-Id: env"));
    free(text);
    post_close(&p);
}

/* DS-027: whether a message was read is for its reader to say. */
static void sends_no_receipt_whatever_a_message_asks_for(void **state)
{
    const mail_recipient rcpt = {.address = MAIL_SPAN("you@here.example")};
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    post_start(&p, ROUTES("*=local"), NULL);
    post_send_text(&p, "me@here.example", &rcpt, 1,
                   "Disposition-Notification-To: me@here.example\r\n"
                   "Return-Receipt-To: me@here.example\r\n\r\nbody\r\n");
    world_until(&p.k.w, post_queued(&p) == 0);
    world_idle(&p.k.w);
    post_assert_mailbox(&p, "/mail/here.example/you", 1, "body");
    post_assert_mailbox(&p, "/mail/here.example/me", 0, NULL);
    post_close(&p);
}

static int no_room(queue_store *store, uint64_t expected)
{
    (void)store;
    (void)expected;
    return MAIL_ENOSPC;
}

/* QR-008: what can't be reported now stays in the queue, and nobody is busy with it. */
static void keeps_a_failed_recipient_until_the_queue_takes_its_report(void **state)
{
    const queue_store_ops *normal;
    queue_store_ops full;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    SEND(&p, "me@here.example", "a@gone.example");
    normal = p.k.queue->store->ops;
    full = *normal;
    full.room = no_room;
    p.k.queue->store->ops = &full;
    post_start(&p, ROUTES("gone.example=error:550 5.1.6 Moved away", "*=local"), NULL);
    world_until(&p.k.w, strstr(p.k.log, "not reported to sender") != NULL);
    world_idle(&p.k.w);
    assert_int_equal(lines_with(&p, "not reported to sender"), 1);
    assert_int_equal(post_queued(&p), 1);
    p.k.queue->store->ops = normal;
    p.k.later += MAIL_HOUR;
    mail_deliver_wake(p.deliver);
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.6");
    post_close(&p);
}

/* A storage whose writer begins with a message only when somebody waits for it. */
typedef struct lazy {
    queue_store_ops ops;
    const queue_store_ops *normal;
    queue_record *record;
} lazy;

static void lazy_submit(queue_store *store, list *records)
{
    lazy *lz = (lazy *)(uintptr_t)store->ops;
    queue_record *first = LIST_OWNER(records->next, queue_record, link);

    if (first->weight > 0 && lz->record == NULL) {
        lz->record = first;
        list_remove(&first->link);
    }
    lz->normal->submit(store, records);
}

static void lazy_flush(queue_store *store)
{
    lazy *lz = (lazy *)(uintptr_t)store->ops;
    list records;

    list_init(&records);
    if (lz->record != NULL) {
        list_push_back(&records, &lz->record->link);
        lz->normal->submit(store, &records);
    }
    lz->record = NULL;
    lz->normal->flush(store);
}

/* QR-008: it is waited for, when nothing else of the agent is left. */
static void may_be_destroyed_while_a_report_is_made_safe(void **state)
{
    lazy lz;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    SEND(&p, "me@here.example", "a@gone.example");
    lz = (lazy){.ops = *p.k.queue->store->ops, .normal = p.k.queue->store->ops};
    lz.ops.submit = lazy_submit;
    lz.ops.flush = lazy_flush;
    p.k.queue->store->ops = &lz.ops;
    post_start(&p, ROUTES("gone.example=error:550 5.1.6 Moved away", "*=local"), NULL);
    world_until(&p.k.w, lz.record != NULL);
    mail_deliver_destroy(p.deliver);
    assert_int_equal(lines_with(&p, "reported to sender"), 1);
    p.k.queue->store->ops = lz.normal;
    post_start(&p, ROUTES("*=local"), NULL);
    world_until(&p.k.w, post_queued(&p) == 0);
    post_assert_mailbox(&p, "/mail/here.example/me", 1, "Status: 5.1.6");
    post_close(&p);
}

/* Enough to fill the desk twice (REPORTS_MAX). */
#define MANY 600

/* Each report on its way has a message and its copy in memory. */
static void begins_no_more_than_a_slow_disk_can_take_reports_of(void **state)
{
    static const struct {
        const char *name;
        const char *address;
    } cases[] = {
        {"refused by a route", "a@gone.example"},
        {"refused by a mailbox", "none@there.example"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_queue_stats stats;
        size_t most = 0;
        post p;

        mail_test_case(cases[i].name);
        post_open(&p, WORLD_POLL);
        for (int n = 0; n < MANY; n++) {
            SEND(&p, "me@here.example", cases[i].address);
        }
        /* As if so much waited for the disk that no sink has room. */
        atomic_fetch_add(&p.k.queue->waiting_bytes, (uint64_t)1 << 40);
        post_start(&p, ROUTES("gone.example=error:550 5.1.6 Moved away", "*=local"), NULL);
        world_until(&p.k.w, bounce_desk_count(p.deliver->bounces) >= 256);
        for (int n = 0; n < 20; n++) {
            world_idle(&p.k.w);
            if (bounce_desk_count(p.deliver->bounces) > most) {
                most = bounce_desk_count(p.deliver->bounces);
            }
        }
        assert_int_equal(most, 256);
        atomic_fetch_sub(&p.k.queue->waiting_bytes, (uint64_t)1 << 40);
        SEND(&p, "me@here.example", cases[i].address); /* what it wakes finds that there is room */
        do {
            world_step(&p.k.w);
            mail_queue_stats_read(p.k.queue, &stats);
        } while (stats.messages > 0);
        assert_int_equal(stats.accepted, 2 * (MANY + 1)); /* each with its report */
        post_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_one_report_among_all_that_fail_in_one_round),
        cmocka_unit_test(accepts_a_message_of_which_a_part_fails_later),
        cmocka_unit_test(writes_down_deliveries_before_a_report_waits),
        cmocka_unit_test(reports_what_there_is_when_a_host_takes_long),
        cmocka_unit_test(tells_what_is_overdue_behind_a_dead_host),
        cmocka_unit_test(tells_that_an_alias_was_expanded),
        cmocka_unit_test(shows_no_sender_where_an_alias_leads_to),
        cmocka_unit_test(sends_no_receipt_whatever_a_message_asks_for),
        cmocka_unit_test(keeps_a_failed_recipient_until_the_queue_takes_its_report),
        cmocka_unit_test(may_be_destroyed_while_a_report_is_made_safe),
        cmocka_unit_test(begins_no_more_than_a_slow_disk_can_take_reports_of),
    };

    return mail_test_run(tests);
}
