/* SPDX-License-Identifier: MIT */
#include "kit.h"

#define BODY "A: b\r\n\r\nx\r\n"

static void open_kit(kit *k)
{
    kit_init(k, NULL);
    assert_int_equal(kit_open(k, NULL), MAIL_OK);
}

static void accept_text(kit *k, const char *to)
{
    assert_int_equal(kit_accept_text(k, "from@x.example", to, BODY), MAIL_OK);
}

static void end_as(mail_lease *lease, mail_queue_verdict verdict)
{
    for (size_t i = 0; i < mail_envelope_count(mail_lease_envelope(lease)); i++) {
        mail_lease_report(lease, i, verdict, NULL, false);
    }
    mail_lease_end(lease);
}

static void gathers_the_recipients_of_one_domain_whatever_its_case(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example b@two.example c@ONE.example");
    lane = mail_queue_take_lane(k.queue);
    assert_span_equal(mail_lane_domain(lane), "one.example");
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 2); /* QR-005 */
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    lane = mail_queue_take_lane(k.queue);
    assert_span_equal(mail_lane_domain(lane), "two.example");
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    assert_null(mail_queue_take_lane(k.queue));
    kit_close(&k);
}

static bool is_two(mail_span domain, void *arg)
{
    ++*(unsigned *)arg;
    return mail_span_equal(domain, MAIL_SPAN("two.example"));
}

static void widens_a_lease_to_domains_of_the_same_host(void **state)
{
    unsigned asked = 0;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example b@two.example c@three.example d@two.example");
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    assert_int_equal(mail_lease_widen(lease, is_two, &asked), MAIL_OK);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 3);
    assert_span_equal(mail_envelope_recipient(mail_lease_envelope(lease), 2).address,
                      "d@two.example");
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    lane = mail_queue_take_lane(k.queue);
    assert_span_equal(mail_lane_domain(lane), "three.example");
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    assert_null(mail_queue_take_lane(k.queue));
    kit_close(&k);
}

/* A message for so many that what is read of it is not kept. */
#define CROWD 2000

/* A queue whose memory is counted, with one message for so many. */
static void open_with_a_crowd(kit *k, mail_test_walk *walk)
{
    static char to[CROWD * 40];
    size_t used = 0;

    mail_test_mem_init(walk);
    kit_init(k, NULL);
    k->opts.mem = &walk->mem;
    assert_int_equal(kit_open(k, NULL), MAIL_OK);
    for (int i = 0; i < CROWD; i++) {
        used += (size_t)snprintf(to + used, sizeof(to) - used, "%su@d%d.example", i > 0 ? " " : "",
                                 i % (CROWD / 2));
    }
    accept_text(k, to);
}

static void assert_body(mail_lease *lease)
{
    mail_source *body;
    mail_span bytes;

    assert_int_equal(mail_lease_body(lease, &body), MAIL_OK);
    assert_int_equal(mail_source_peek(body, &bytes), MAIL_OK);
    assert_span_equal(bytes, BODY);
    mail_source_close(body);
}

/* While hosts are looked for, each domain has a lease of its own. */
static void does_not_keep_all_recipients_in_each_lease_of_a_message(void **state)
{
    static mail_lease *leases[CROWD / 2];
    static mail_lane *lanes[CROWD / 2];
    mail_test_walk walk;
    size_t before;
    kit k;

    (void)state;
    open_with_a_crowd(&k, &walk);
    before = walk.bytes;
    for (size_t i = 0; i < MAIL_COUNT(leases); i++) {
        lanes[i] = mail_queue_take_lane(k.queue);
        assert_int_equal(mail_lane_lease(lanes[i], &leases[i]), MAIL_OK);
        assert_int_equal(mail_envelope_count(mail_lease_envelope(leases[i])), 2);
    }
    assert_in_range(walk.bytes - before, 1, MAIL_COUNT(leases) * 2048);
    assert_body(leases[7]);
    for (size_t i = 0; i < MAIL_COUNT(leases); i++) {
        end_as(leases[i], MAIL_QUEUE_DONE);
        mail_lane_give_back(lanes[i], INT64_MIN);
    }
    kit_close(&k);
    mail_test_mem_check(&walk);
}

static bool is_any(mail_span domain, void *arg)
{
    (void)domain;
    (void)arg;
    return true;
}

/* Without memory to read it again the lease is as it was. */
static void widens_a_lease_of_a_message_for_a_crowd(void **state)
{
    mail_test_walk walk;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_with_a_crowd(&k, &walk);
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    walk.fail_at = walk.count + 1;
    assert_int_equal(mail_lease_widen(lease, is_any, NULL), MAIL_ENOMEM);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 2);
    assert_body(lease);
    assert_int_equal(mail_lease_widen(lease, is_any, NULL), MAIL_OK);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), CROWD);
    assert_body(lease);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
    mail_test_mem_check(&walk);
}

/* However many wait in one lane, what waits in another is the next to be had, in two steps. */
static void lets_a_hundred_thousand_of_one_domain_delay_nothing_of_another(void **state)
{
    mail_lane *crowd;
    mail_lane *other;
    mail_lease *lease;
    kit k;

    (void)state;
    open_kit(&k);
    for (int i = 0; i < 100000; i++) {
        accept_text(&k, "a@crowd.example");
    }
    accept_text(&k, "b@other.example");
    crowd = mail_queue_take_lane(k.queue);
    assert_span_equal(mail_lane_domain(crowd), "crowd.example");
    assert_int_equal(mail_lane_lease(crowd, &lease), MAIL_OK);
    other = mail_queue_take_lane(k.queue);
    assert_span_equal(mail_lane_domain(other), "other.example");
    end_as(lease, MAIL_QUEUE_RETRY);
    assert_int_equal(mail_lane_lease(other, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(crowd, k.now + MAIL_HOUR); /* at once, for all of them */
    mail_lane_give_back(other, INT64_MIN);
    assert_null(mail_queue_take_lane(k.queue));
    kit_close(&k);
}

/* What must not be repeated is written down while the rest of a lease goes on. */
static void lets_go_of_what_is_settled_while_a_lease_goes_on(void **state)
{
    mail_queue_stats stats;
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example b@one.example c@one.example");
    lease = kit_lease(&k, &lane);
    mail_lease_settle(lease); /* nothing has been said yet */
    assert_int_equal(mail_lease_held(lease), 3);
    mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_report(lease, 1, MAIL_QUEUE_RETRY, NULL, false);
    mail_lease_settle(lease);
    mail_lease_settle(lease);
    assert_int_equal(mail_lease_held(lease), 1);
    mail_queue_stats_read(k.queue, &stats);
    assert_int_equal(stats.done, 1);
    assert_int_equal(stats.retried, 1);
    assert_int_equal(stats.leased, 1);
    assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 3);
    mail_lease_report(lease, 2, MAIL_QUEUE_DONE, NULL, false);
    mail_lease_settle(lease); /* all that is left: the end will do it */
    assert_int_equal(mail_lease_held(lease), 1);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_later(&k, MAIL_HOUR);
    lease = kit_lease(&k, &lane);
    assert_span_equal(mail_envelope_recipient(mail_lease_envelope(lease), 0).address,
                      "b@one.example");
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    mail_queue_stats_read(k.queue, &stats);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.done, 3);
    kit_close(&k);
}

static void knows_what_else_of_a_message_is_under_way(void **state)
{
    mail_lease *one;
    mail_lease *two;
    mail_lane *lane_one;
    mail_lane *lane_two;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example b@two.example c@three.example");
    one = kit_lease(&k, &lane_one);
    assert_int_equal(mail_lease_others(one), 2);
    two = kit_lease(&k, &lane_two);
    assert_int_equal(mail_lease_others(one), 2);
    assert_int_equal(mail_lease_others(two), 2);
    mail_lane_give_back(mail_queue_take_lane(k.queue), k.now + MAIL_HOUR); /* a host that rests */
    assert_int_equal(mail_lease_others(one), 1);
    end_as(two, MAIL_QUEUE_RETRY);
    assert_int_equal(mail_lease_others(one), 0);
    end_as(one, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane_one, INT64_MIN);
    mail_lane_give_back(lane_two, INT64_MIN);
    kit_close(&k);
}

static void never_gives_a_lane_or_a_recipient_twice(void **state)
{
    mail_lease *lease;
    mail_lease *other;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example");
    lane = mail_queue_take_lane(k.queue);
    assert_null(mail_queue_take_lane(k.queue));
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    assert_int_equal(mail_lane_lease(lane, &other), MAIL_ENOENT); /* QR-013 */
    mail_lane_give_back(lane, INT64_MIN);
    assert_null(mail_queue_take_lane(k.queue));
    end_as(lease, MAIL_QUEUE_DONE);
    kit_close(&k);
}

/* QR-004: however many messages wait for a dead host, they wait as one. */
static void puts_off_a_lane_as_a_whole(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    for (int i = 0; i < 10; i++) {
        accept_text(&k, "a@dead.example");
    }
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_RETRY);
    mail_lane_give_back(lane, k.now + MAIL_HOUR);
    kit_later(&k, MAIL_SECOND); /* for the housekeeping */
    assert_null(mail_queue_take_lane(k.queue));
    assert_int_equal(mail_queue_due_at(k.queue), k.now + MAIL_HOUR - MAIL_SECOND);
    accept_text(&k, "b@dead.example");
    assert_null(mail_queue_take_lane(k.queue));
    kit_later(&k, MAIL_HOUR);
    lane = mail_queue_take_lane(k.queue);
    assert_non_null(lane);
    for (int i = 0; i < 11; i++) {
        assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
        end_as(lease, MAIL_QUEUE_DONE);
    }
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_ENOENT);
    mail_lane_give_back(lane, MAIL_NEVER);
    kit_close(&k);
}

static void keeps_a_lane_put_off_for_ever_until_it_is_flushed(void **state)
{
    mail_queue_selector which = {.domain = MAIL_SPAN("held.example")};
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@held.example");
    mail_lane_give_back(mail_queue_take_lane(k.queue), MAIL_NEVER);
    kit_later(&k, 100 * MAIL_DAY);
    accept_text(&k, "b@held.example");
    assert_null(mail_queue_take_lane(k.queue));
    assert_int_equal(mail_queue_flush(k.queue, &which), 2);
    assert_int_equal(mail_queue_flush(k.queue, &which), 0);
    lane = mail_queue_take_lane(k.queue);
    assert_non_null(lane);
    mail_lane_give_back(lane, MAIL_NEVER);
    kit_close(&k);
}

static void gives_what_came_first_first(void **state)
{
    char ids[5][MAIL_QUEUE_ID_SIZE];
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    for (int i = 0; i < 5; i++) {
        accept_text(&k, "a@one.example");
        memcpy(ids[i], k.id, sizeof(k.id));
        kit_later(&k, MAIL_SECOND);
    }
    lane = mail_queue_take_lane(k.queue);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
        assert_string_equal(mail_lease_id(lease), ids[i]);
        end_as(lease, MAIL_QUEUE_DONE);
    }
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

static void says_that_something_has_come_for_a_taken_lane(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    unsigned dues;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example");
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_DONE);
    dues = k.dues;
    accept_text(&k, "b@one.example");
    assert_int_equal(k.dues, dues + 1);
    assert_true(mail_queue_due_at(k.queue) <= k.now);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

static bool has_all_replies(const mail_queue_item *item, void *arg)
{
    unsigned *count = arg;

    for (size_t i = 0; i < item->recipient_count; i++) {
        *count += item->recipients[i].last_reply.length > 0;
    }
    return true;
}

/* What is written of them grows by a reply with each recipient, and by nothing else. */
static void defers_a_whole_mailing_list_within_its_means(void **state)
{
    const mail_queue_selector all = {.all = true};
    const mail_reply reply = MAIL_REPLY(451, 4, 2, 1, "Come back when the moon is full again");
    mail_test_walk walk;
    char to[300 * 24] = "";
    unsigned count = 0;
    kit k;

    (void)state;
    for (size_t i = 0, at = 0; i < 300; i++) {
        at += (size_t)snprintf(to + at, sizeof(to) - at, "%sr%zu@one.example", i > 0 ? " " : "", i);
    }
    mail_test_mem_init(&walk);
    kit_init(&k, NULL);
    k.opts.mem = &walk.mem;
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    accept_text(&k, to);
    walk.most = walk.bytes;
    assert_true(kit_deliver(&k, MAIL_QUEUE_RETRY, &reply));
    assert_true(walk.most < walk.bytes + (size_t)300 * 1024);
    assert_int_equal(mail_queue_list(k.queue, &all, has_all_replies, &count), MAIL_OK);
    assert_int_equal(count, 300);
    kit_close(&k);
    mail_test_mem_check(&walk);
}

static void leaves_what_was_not_reported_due_as_before(void **state)
{
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    open_kit(&k);
    accept_text(&k, "a@one.example");
    lane = mail_queue_take_lane(k.queue);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    mail_lease_end(lease);
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    assert_int_equal(mail_lease_attempts(lease, 0), 0);
    end_as(lease, MAIL_QUEUE_DONE);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_the_recipients_of_one_domain_whatever_its_case),
        cmocka_unit_test(widens_a_lease_to_domains_of_the_same_host),
        cmocka_unit_test(does_not_keep_all_recipients_in_each_lease_of_a_message),
        cmocka_unit_test(widens_a_lease_of_a_message_for_a_crowd),
        cmocka_unit_test(lets_a_hundred_thousand_of_one_domain_delay_nothing_of_another),
        cmocka_unit_test(lets_go_of_what_is_settled_while_a_lease_goes_on),
        cmocka_unit_test(knows_what_else_of_a_message_is_under_way),
        cmocka_unit_test(never_gives_a_lane_or_a_recipient_twice),
        cmocka_unit_test(puts_off_a_lane_as_a_whole),
        cmocka_unit_test(keeps_a_lane_put_off_for_ever_until_it_is_flushed),
        cmocka_unit_test(gives_what_came_first_first),
        cmocka_unit_test(says_that_something_has_come_for_a_taken_lane),
        cmocka_unit_test(defers_a_whole_mailing_list_within_its_means),
        cmocka_unit_test(leaves_what_was_not_reported_due_as_before),
    };

    return mail_test_run(tests);
}
