/* SPDX-License-Identifier: MIT */
#include "kit.h"

#define BODY "A: b\r\n\r\nx\r\n"

/* Three messages: 0 and 1 from one sender, 1 and 2 to two.example. */
typedef struct bench {
    kit k;
    char ids[3][MAIL_QUEUE_ID_SIZE];
} bench;

static const struct {
    const char *from;
    const char *to;
} messages[3] = {
    {"first@x.example", "a@one.example"},
    {"first@x.example", "b@one.example c@two.example"},
    {"", "d@two.example"},
};

static void set_up(bench *b)
{
    kit_init(&b->k, NULL);
    assert_int_equal(kit_open(&b->k, NULL), MAIL_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_accept_text(&b->k, messages[i].from, messages[i].to, BODY), MAIL_OK);
        memcpy(b->ids[i], b->k.id, sizeof(b->k.id));
    }
}

typedef int64_t operation(mail_queue *queue, const mail_queue_selector *which);

/* QR-017 */
static void means_the_messages_that_are_selected(void **state)
{
    static const struct {
        const char *name;
        int ids[2]; /* of messages, from 1 */
        const char *domain;
        const char *sender;
        bool all;
        int held;       /* messages that a hold changes */
        int recipients; /* and what is held then */
    } cases[] = {
        {"nothing", {0}, "", "", false, 0, 0},
        {"one id", {2}, "", "", false, 1, 2},
        {"two ids", {1, 3}, "", "", false, 2, 2},
        {"a domain", {0}, "two.example", "", false, 2, 2},
        {"a domain in capitals", {0}, "ONE.example", "", false, 2, 2},
        {"a domain that is not there", {0}, "four.example", "", false, 0, 0},
        {"a sender", {0}, "", "first@x.example", false, 2, 3},
        {"the null sender", {0}, "", "<>", false, 1, 1},
        {"an id and a domain", {2}, "two.example", "", false, 1, 1},
        {"a sender and a domain", {0}, "two.example", "first@x.example", false, 1, 1},
        {"an id and another's sender", {3}, "", "first@x.example", false, 0, 0},
        {"all", {0}, "", "", true, 3, 4},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_queue_selector which = {.domain = mail_span_text(cases[i].domain),
                                     .sender = mail_span_text(cases[i].sender),
                                     .all = cases[i].all};
        mail_queue_stats stats;
        const char *ids[2];
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        which.ids = ids;
        for (int j = 0; j < 2 && cases[i].ids[j] != 0; j++) {
            ids[which.id_count++] = b.ids[cases[i].ids[j] - 1];
        }
        assert_int_equal(mail_queue_hold(b.k.queue, &which), cases[i].held);
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.held, cases[i].recipients);
        assert_int_equal(mail_queue_hold(b.k.queue, &which), 0);
        assert_int_equal(mail_queue_unhold(b.k.queue, &which), cases[i].held);
        assert_int_equal(mail_queue_unhold(b.k.queue, &which), 0);
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.held, 0);
        assert_int_equal(mail_queue_remove(b.k.queue, &which), cases[i].held);
        assert_int_equal(mail_queue_remove(b.k.queue, &which), 0);
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.recipients, 4 - cases[i].recipients);
        kit_close(&b.k);
    }
}

#define MANY 60

/* Messages that end in another order than they began in, as those of many clients do. */
static void bring_out_of_order(kit *k)
{
    mail_sink *sinks[MANY];

    for (int i = 0; i < MANY; i++) {
        const char *to = i % 3 == 0 ? "a@one.example b@two.example" : "c@two.example";

        assert_int_equal(
            kit_begin(k, i % 2 == 0 ? "even@x.example" : "odd@x.example", to, 0, &sinks[i]),
            MAIL_OK);
        assert_int_equal(mail_sink_write(sinks[i], MAIL_SPAN(BODY)), MAIL_OK);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(mail_sink_finish(sinks[i * 7 % MANY], kit_finished, k), MAIL_EAGAIN);
        queue_step(k->queue);
        mail_intake_poll(k->intake);
    }
    assert_int_equal(k->finished, MANY);
}

/* Whatever an operator removes, or delivery takes away, between two parts of a walk. */
static void misses_no_message_when_it_goes_by_parts(void **state)
{
    static const struct {
        const char *name;
        const char *domain;
        const char *sender;
        operation *run;
        int64_t meant; /* -1: some are delivered meanwhile */
        size_t left;   /* recipients */
    } cases[] = {
        {"all", "", "", mail_queue_remove, 60, 0},
        {"a sender", "", "odd@x.example", mail_queue_remove, 30, 40},
        {"a domain", "two.example", "", mail_queue_remove, 60, 20},
        {"another domain", "one.example", "", mail_queue_remove, 20, 60},
        {"held, while some are delivered", "", "", mail_queue_hold, -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        for (size_t limit = 1; limit < 8; limit++) {
            mail_queue_page page = {.limit = limit};
            mail_queue_selector which = {.domain = mail_span_text(cases[i].domain),
                                         .sender = mail_span_text(cases[i].sender),
                                         .all = cases[i].domain[0] + cases[i].sender[0] == 0,
                                         .page = &page};
            bool delivers = cases[i].meant < 0;
            mail_queue_stats stats;
            int64_t met = 0;
            kit k;

            kit_init(&k, NULL);
            assert_int_equal(kit_open(&k, NULL), MAIL_OK);
            bring_out_of_order(&k);
            do {
                met += cases[i].run(k.queue, &which);
                if (delivers) {
                    (void)kit_deliver(&k, MAIL_QUEUE_DONE, NULL);
                }
            } while (!page.is_last);
            mail_queue_stats_read(k.queue, &stats);
            if (delivers) {
                assert_int_equal(stats.held, stats.recipients);
            } else {
                assert_int_equal(met, cases[i].meant);
                assert_int_equal(stats.recipients, cases[i].left);
            }
            kit_close(&k);
        }
    }
}

/* Such as the reports of what was just given up: nobody has meant them. */
static void leaves_alone_what_comes_after_the_beginning(void **state)
{
    mail_queue_page page = {.limit = 7};
    mail_queue_selector all = {.all = true, .page = &page};
    mail_queue_stats stats;
    int64_t removed = 0;
    int came = 0;
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    bring_out_of_order(&k);
    while (!page.is_last) {
        removed += mail_queue_remove(k.queue, &all);
        for (int i = 0; i < 10; i++, came++) {
            assert_int_equal(kit_accept_text(&k, "a@x.example", "b@one.example", BODY), MAIL_OK);
        }
    }
    assert_int_equal(removed, MANY);
    mail_queue_stats_read(k.queue, &stats);
    assert_int_equal(stats.messages, came);
    kit_close(&k);
}

static struct {
    queue_store_ops ops;
    const queue_store_ops *normal;
    unsigned flushes;
} counted;

static void count_flush(queue_store *store)
{
    counted.flushes++;
    counted.normal->flush(store);
}

static bool take_any(const mail_queue_item *item, void *arg)
{
    (void)item;
    (void)arg;
    return true;
}

/* A disk that is slow would keep everything else waiting each time. */
static void waits_for_the_disk_once_when_it_goes_by_parts(void **state)
{
    mail_queue_selector which = {.all = true};
    mail_queue_page page = {.limit = 1};
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    bring_out_of_order(&k);
    counted.normal = k.queue->store->ops;
    counted.ops = *counted.normal;
    counted.ops.flush = count_flush;
    counted.flushes = 0;
    k.queue->store->ops = &counted.ops;
    which.page = &page;
    while (!page.is_last) {
        assert_int_equal(mail_queue_list(k.queue, &which, take_any, NULL), MAIL_OK);
    }
    assert_int_equal(counted.flushes, 1);
    page = (mail_queue_page){.limit = 1};
    while (!page.is_last) {
        assert_true(mail_queue_remove(k.queue, &which) >= 0);
    }
    assert_int_equal(counted.flushes, 2);
    k.queue->store->ops = counted.normal;
    kit_close(&k);
}

static void takes_no_id_that_is_none(void **state)
{
    const char *ids[] = {"", "x", "../../../../etc", "0000000000000", "ZZZZZZZZZZZZZ"};
    mail_queue_selector which = {.ids = ids, .id_count = MAIL_COUNT(ids)};
    mail_source *source;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(mail_queue_remove(b.k.queue, &which), 0);
    for (size_t i = 0; i < MAIL_COUNT(ids); i++) {
        assert_int_equal(mail_queue_read(b.k.queue, ids[i], &source), MAIL_ENOENT);
    }
    kit_close(&b.k);
}

static void never_offers_what_is_held(void **state)
{
    mail_queue_selector one = {.domain = MAIL_SPAN("one.example")};
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(mail_queue_hold(b.k.queue, &one), 2);
    while ((lease = kit_lease(&b.k, &lane)) != NULL) {
        assert_span_equal(mail_lane_domain(lane), "two.example");
        mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
    }
    assert_int_equal(mail_queue_unhold(b.k.queue, &one), 2);
    for (int i = 0; i < 2; i++) {
        assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    }
    kit_close(&b.k);
}

static void lets_an_operator_act_while_a_message_is_leased(void **state)
{
    static const struct {
        const char *name;
        operation *run;
        int64_t changes;
        mail_queue_verdict verdict;
        uint64_t messages; /* left when the lease has ended */
        uint64_t held;
    } cases[] = {
        {"removed, then refused for now", mail_queue_remove, 1, MAIL_QUEUE_RETRY, 0, 0},
        {"removed, then delivered", mail_queue_remove, 1, MAIL_QUEUE_DONE, 0, 0},
        {"held, then refused for now", mail_queue_hold, 1, MAIL_QUEUE_RETRY, 1, 1},
        {"held, then delivered", mail_queue_hold, 1, MAIL_QUEUE_DONE, 0, 0},
        {"held, then not tried", mail_queue_hold, 1, MAIL_QUEUE_AGAIN, 1, 1},
        {"flushed, then refused for now", mail_queue_flush, 0, MAIL_QUEUE_RETRY, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_queue_selector all = {.all = true};
        mail_queue_stats stats;
        mail_lease *lease;
        mail_lane *lane;
        kit k;

        mail_test_case(cases[i].name);
        kit_init(&k, NULL);
        assert_int_equal(kit_open(&k, NULL), MAIL_OK);
        assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
        lease = kit_lease(&k, &lane);
        assert_non_null(lease);
        assert_int_equal(cases[i].run(k.queue, &all), cases[i].changes);
        assert_int_equal(cases[i].run(k.queue, &all), 0);
        mail_lease_report(lease, 0, cases[i].verdict, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
        mail_queue_stats_read(k.queue, &stats);
        assert_int_equal(stats.messages, cases[i].messages);
        assert_int_equal(stats.held, cases[i].held);
        assert_int_equal(stats.leased, 0);
        kit_later(&k, MAIL_HOUR);
        assert_int_equal(kit_deliver(&k, MAIL_QUEUE_DONE, NULL), cases[i].messages > cases[i].held);
        kit_close(&k);
    }
}

static void flushes_what_waits_for_its_next_try(void **state)
{
    mail_queue_selector which = {.domain = MAIL_SPAN("one.example")};
    bench b;

    (void)state;
    set_up(&b);
    while (kit_deliver(&b.k, MAIL_QUEUE_RETRY, NULL)) {
    }
    assert_int_equal(mail_queue_flush(b.k.queue, &which), 2);
    assert_int_equal(mail_queue_flush(b.k.queue, &which), 0);
    assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    assert_false(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
    kit_close(&b.k);
}

typedef struct listed {
    unsigned count;
    unsigned stop_after;
    char text[2048];
} listed;

static bool print_item(const mail_queue_item *item, void *arg)
{
    static const char *const states[] = {"waiting", "active", "held"};
    listed *seen = arg;
    size_t at = strlen(seen->text);

    at += (size_t)snprintf(seen->text + at, sizeof(seen->text) - at,
                           "%s <%.*s> %u:", states[item->state], (int)item->sender.length,
                           item->sender.data, (unsigned)item->size);
    for (size_t i = 0; i < item->recipient_count; i++) {
        const mail_queue_recipient *r = &item->recipients[i];

        at += (size_t)snprintf(seen->text + at, sizeof(seen->text) - at, " %.*s%s%s %u [%.*s]",
                               (int)r->address.length, r->address.data, r->done ? " done" : "",
                               r->held ? " held" : "", r->attempts, (int)r->last_reply.length,
                               r->last_reply.data);
    }
    snprintf(seen->text + at, sizeof(seen->text) - at, "\n");
    return ++seen->count != seen->stop_after;
}

/* Reports the next message of the lane of `domain`. */
static void report_in(kit *k, const char *domain, mail_queue_verdict verdict,
                      const mail_reply *reply)
{
    mail_lane *other = NULL;
    mail_lane *lane = mail_queue_take_lane(k->queue);
    mail_lease *lease;

    if (!mail_span_equal(mail_lane_domain(lane), mail_span_text(domain))) {
        other = lane;
        lane = mail_queue_take_lane(k->queue);
    }
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    mail_lease_report(lease, 0, verdict, reply, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    if (other != NULL) {
        mail_lane_give_back(other, INT64_MIN);
    }
}

static void lists_the_oldest_first_with_what_was_last_said(void **state)
{
    static const mail_reply later = {450, {4, 2, 1}, {"mailbox busy", 12}};
    mail_queue_selector all = {.all = true};
    listed seen = {0};
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    report_in(&b.k, "one.example", MAIL_QUEUE_RETRY, &later);
    report_in(&b.k, "one.example", MAIL_QUEUE_HELD, NULL);
    report_in(&b.k, "two.example", MAIL_QUEUE_DONE, NULL);
    lease = kit_lease(&b.k, &lane);
    assert_non_null(lease);
    assert_int_equal(mail_queue_list(b.k.queue, &all, print_item, &seen), MAIL_OK);
    assert_string_equal(seen.text,
                        "waiting <first@x.example> 11: a@one.example 1 [450 4.2.1 mailbox busy]\n"
                        "held <first@x.example> 11: b@one.example held 0 [] c@two.example done 0 "
                        "[]\n"
                        "active <> 11: d@two.example 0 []\n");
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    seen = (listed){.stop_after = 2};
    assert_int_equal(mail_queue_list(b.k.queue, &all, print_item, &seen), MAIL_OK);
    assert_int_equal(seen.count, 2);
    kit_close(&b.k);
}

/* Whom a verdict has put on hold was not tried: he is due again as soon as he is released. */
static void tries_at_once_what_is_released(void **state)
{
    static const mail_reply kept = {451, {4, 3, 2}, {"kept", 4}};
    mail_queue_selector all = {.all = true};
    listed seen = {0};
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    assert_true(kit_deliver(&k, MAIL_QUEUE_HELD, &kept));
    assert_false(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
    assert_int_equal(mail_queue_list(k.queue, &all, print_item, &seen), MAIL_OK);
    assert_string_equal(seen.text, "held <a@x.example> 11: b@y.example held 0 [451 4.3.2 kept]\n");
    assert_int_equal(mail_queue_unhold(k.queue, &all), 1);
    assert_true(kit_deliver(&k, MAIL_QUEUE_DONE, NULL));
    kit_close(&k);
}

static bool take_next_try(const mail_queue_item *item, void *arg)
{
    *(mail_wall *)arg = item->recipients[0].next_try;
    return true;
}

/* What waits behind a dead host is tried no sooner than the host is. */
static void lists_when_a_lane_that_rests_is_wanted_again(void **state)
{
    mail_queue_selector all = {.all = true};
    mail_wall next;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    assert_int_equal(mail_queue_list(k.queue, &all, take_next_try, &next), MAIL_OK);
    assert_true(next <= k.wall);
    lane = mail_queue_take_lane(k.queue);
    assert_non_null(lane);
    mail_lane_give_back(lane, k.now + 7 * MAIL_MINUTE);
    assert_int_equal(mail_queue_list(k.queue, &all, take_next_try, &next), MAIL_OK);
    assert_int_equal(next, k.wall + 7 * 60);
    assert_int_equal(mail_queue_flush(k.queue, &all), 1);
    assert_int_equal(mail_queue_list(k.queue, &all, take_next_try, &next), MAIL_OK);
    assert_true(next <= k.wall);
    kit_close(&k);
}

/* QR-017: held or not, and only those that are meant. */
static void gives_up_with_the_next_try_what_is_expired(void **state)
{
    mail_queue_selector one = {.domain = MAIL_SPAN("one.example")};
    mail_lease *lease;
    mail_lane *lane;
    bench b;

    (void)state;
    set_up(&b);
    while (kit_deliver(&b.k, MAIL_QUEUE_RETRY, NULL)) {
    }
    assert_int_equal(mail_queue_hold(b.k.queue, &one), 2);
    assert_int_equal(mail_queue_expire(b.k.queue, &one), 2);
    assert_int_equal(mail_queue_expire(b.k.queue, &one), 0);
    assert_int_equal(mail_queue_flushes(b.k.queue), 2);
    for (int i = 0; i < 2; i++) {
        lease = kit_lease(&b.k, &lane);
        assert_non_null(lease);
        assert_span_equal(mail_lane_domain(lane), "one.example");
        assert_true(mail_lease_expires(lease, 0));
        /* Not tried after all: that does not count. */
        mail_lease_report(lease, 0, i == 0 ? MAIL_QUEUE_DONE : MAIL_QUEUE_AGAIN, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
    }
    kit_later(&b.k, MAIL_HOUR);
    for (int i = 0; i < 3; i++) {
        lease = kit_lease(&b.k, &lane);
        assert_non_null(lease);
        assert_int_equal(mail_lease_expires(lease, 0),
                         mail_span_equal(mail_lane_domain(lane), MAIL_SPAN("one.example")));
        mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
    }
    kit_close(&b.k);
}

static void expires_what_is_being_tried(void **state)
{
    mail_queue_selector all = {.all = true};
    mail_lease *lease;
    mail_lane *lane;
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    lease = kit_lease(&k, &lane);
    assert_non_null(lease);
    assert_false(mail_lease_expires(lease, 0));
    assert_int_equal(mail_queue_expire(k.queue, &all), 1);
    assert_true(mail_lease_expires(lease, 0));
    mail_lease_end(lease);
    mail_lane_give_back(lane, INT64_MIN);
    kit_close(&k);
}

/* QR-017: who holds a message wants to know still why it waits. */
static void keeps_what_was_last_said_of_what_it_changes(void **state)
{
    static const mail_reply later = {450, {4, 2, 1}, {"mailbox busy", 12}};
    static operation *const verbs[] = {mail_queue_hold, mail_queue_unhold, mail_queue_flush};
    mail_queue_selector all = {.all = true};
    kit k;

    (void)state;
    kit_init(&k, NULL);
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", "b@y.example", BODY), MAIL_OK);
    assert_true(kit_deliver(&k, MAIL_QUEUE_RETRY, &later));
    for (size_t i = 0; i < MAIL_COUNT(verbs); i++) {
        listed seen = {0};

        assert_int_equal(verbs[i](k.queue, &all), 1);
        assert_int_equal(mail_queue_list(k.queue, &all, print_item, &seen), MAIL_OK);
        assert_non_null(strstr(seen.text, " 1 [450 4.2.1 mailbox busy]"));
    }
    kit_close(&k);
}

/* A lane that was given back for ever: what it holds is held, and released as what is. */
static void keeps_a_lane_that_is_never_wanted(void **state)
{
    static const struct {
        const char *name;
        operation *run; /* NULL: all lanes are offered again */
        int64_t changes;
    } cases[] = {
        {"released", mail_queue_unhold, 4},
        {"tried", mail_queue_flush, 3},
        {"offered", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_queue_selector all = {.all = true};
        mail_queue_selector one = {.domain = MAIL_SPAN("one.example")};
        mail_queue_stats stats;
        listed seen = {0};
        mail_lane *lane;
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        while ((lane = mail_queue_take_lane(b.k.queue)) != NULL) {
            mail_lane_give_back(lane, MAIL_NEVER);
        }
        assert_int_equal(mail_queue_list(b.k.queue, &all, print_item, &seen), MAIL_OK);
        assert_string_equal(seen.text,
                            "held <first@x.example> 11: a@one.example held 0 []\n"
                            "held <first@x.example> 11: b@one.example held 0 [] c@two.example held "
                            "0 []\n"
                            "held <> 11: d@two.example held 0 []\n");
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.held, 4);
        assert_int_equal(mail_queue_hold(b.k.queue, &one), 2); /* the operator's word counts more */
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.held, 4);
        assert_int_equal(kit_accept_text(&b.k, "a@x.example", "e@two.example", BODY), MAIL_OK);
        assert_null(mail_queue_take_lane(b.k.queue));
        if (cases[i].run == NULL) {
            mail_queue_offer_kept(b.k.queue);
        } else {
            assert_int_equal(cases[i].run(b.k.queue, &all), cases[i].changes);
            assert_int_equal(cases[i].run(b.k.queue, &all), 0);
        }
        mail_queue_stats_read(b.k.queue, &stats);
        assert_int_equal(stats.held, cases[i].run == mail_queue_unhold ? 0 : 2);
        for (uint64_t left = stats.recipients - stats.held; left > 0; left--) {
            assert_true(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        }
        assert_false(kit_deliver(&b.k, MAIL_QUEUE_DONE, NULL));
        kit_close(&b.k);
    }
}

static bool check_turns(const mail_queue_item *item, void *arg)
{
    static const char *const replies[] = {"450 4.2.0 one", "450 4.2.0 two"};

    for (size_t i = 0; i < item->recipient_count; i++) {
        assert_span_equal(item->recipients[i].last_reply, replies[i % 2]);
    }
    *(size_t *)arg = item->recipient_count;
    return true;
}

/* What hosts have said of recipients in turns does not have to be read anew for each. */
static void lists_a_message_for_a_crowd_in_few_reads(void **state)
{
    static const mail_reply replies[] = {{450, {4, 2, 0}, {"one", 3}},
                                         {450, {4, 2, 0}, {"two", 3}}};
    static char to[2000 * 20];
    mail_queue_selector all = {.all = true};
    mail_test_walk walk;
    size_t seen = 0;
    size_t before;
    kit k;

    (void)state;
    for (size_t i = 0, used = 0; i < 2000; i++) {
        used += (size_t)snprintf(to + used, sizeof(to) - used, "%su@%s.example", i > 0 ? " " : "",
                                 i % 2 == 0 ? "one" : "two");
    }
    mail_test_mem_init(&walk);
    kit_init(&k, NULL);
    k.opts.mem = &walk.mem;
    assert_int_equal(kit_open(&k, NULL), MAIL_OK);
    assert_int_equal(kit_accept_text(&k, "a@x.example", to, BODY), MAIL_OK);
    for (int i = 0; i < 2; i++) {
        mail_lane *lane = mail_queue_take_lane(k.queue);
        bool is_two = mail_span_equal(mail_lane_domain(lane), MAIL_SPAN("two.example"));
        mail_lease *lease;

        assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
        for (size_t j = 0; j < mail_envelope_count(mail_lease_envelope(lease)); j++) {
            mail_lease_report(lease, j, MAIL_QUEUE_RETRY, &replies[is_two], false);
        }
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
    }
    queue_step(k.queue);
    before = walk.count;
    assert_int_equal(mail_queue_list(k.queue, &all, check_turns, &seen), MAIL_OK);
    assert_int_equal(seen, 2000);
    assert_in_range(walk.count - before, 1, 40);
    kit_close(&k);
    mail_test_mem_check(&walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_the_messages_that_are_selected),
        cmocka_unit_test(misses_no_message_when_it_goes_by_parts),
        cmocka_unit_test(leaves_alone_what_comes_after_the_beginning),
        cmocka_unit_test(waits_for_the_disk_once_when_it_goes_by_parts),
        cmocka_unit_test(takes_no_id_that_is_none),
        cmocka_unit_test(never_offers_what_is_held),
        cmocka_unit_test(lets_an_operator_act_while_a_message_is_leased),
        cmocka_unit_test(flushes_what_waits_for_its_next_try),
        cmocka_unit_test(lists_the_oldest_first_with_what_was_last_said),
        cmocka_unit_test(lists_a_message_for_a_crowd_in_few_reads),
        cmocka_unit_test(tries_at_once_what_is_released),
        cmocka_unit_test(lists_when_a_lane_that_rests_is_wanted_again),
        cmocka_unit_test(gives_up_with_the_next_try_what_is_expired),
        cmocka_unit_test(expires_what_is_being_tried),
        cmocka_unit_test(keeps_what_was_last_said_of_what_it_changes),
        cmocka_unit_test(keeps_a_lane_that_is_never_wanted),
    };

    return mail_test_run(tests);
}
