/* SPDX-License-Identifier: MIT */
#include "net/tls_filter.h"

#include "support/certs.h"
#include "support/support.h"

static mail_test_tls shared;
static mail_tls_context *slow_server; /* its key is */

static int set_up(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, "mx.b.example");
    slow_server = mail_test_tls_slow_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_tls_context_unref(slow_server);
    mail_test_tls_free(&shared);
    return 0;
}

/* A client, and the filter under test as its server. */
typedef struct pair {
    mail_tls *peer;
    net_tls *ts;
    mail_filter *filter;
    int code; /* of the filter's last feed */
} pair;

/* Moves what the peer says into the filter, as a link would while its owner wants to read. */
static void to_filter(pair *p)
{
    mail_span out = mail_tls_out(p->peer);
    size_t used = 1;

    while (p->code == MAIL_OK && out.length > 0 && used > 0) {
        p->code = p->filter->ops->feed(p->filter, 0, out, &used);
        mail_tls_sent(p->peer, used);
        out = mail_tls_out(p->peer);
    }
}

static void to_peer(pair *p)
{
    mail_span out = p->filter->ops->out(p->filter);
    size_t used = 1;

    while (out.length > 0 && used > 0) {
        mail_tls_feed(p->peer, out, &used);
        p->filter->ops->sent(p->filter, used);
        out = p->filter->ops->out(p->filter);
    }
}

static int pair_open_with(pair *p, mail_tls_context *server, const mail_mem *mem)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;
    int code;

    *p = (pair){.code = MAIL_OK};
    assert_int_equal(mail_tls_create(&p->peer, shared.doubting, &opts), MAIL_OK);
    opts.server = true;
    opts.mem = mem;
    code = net_tls_create(&p->ts, server, &opts);
    if (code == MAIL_OK) {
        p->filter = net_tls_filter(p->ts);
    }
    return code;
}

static int pair_open(pair *p, const mail_mem *mem)
{
    return pair_open_with(p, shared.server, mem);
}

static void shake_hands(pair *p)
{
    for (int i = 0; i < 4; i++) {
        to_filter(p);
        to_peer(p);
    }
}

static void pair_close(pair *p)
{
    mail_tls_destroy(p->peer);
    net_tls_destroy(p->ts);
}

static void peer_says(pair *p, const char *text)
{
    assert_int_equal(mail_tls_write(p->peer, mail_span_text(text)), MAIL_OK);
    to_filter(p);
}

static void is_ready_after_the_handshake(void **state)
{
    mail_tls_facts facts;
    pair p;

    (void)state;
    assert_int_equal(pair_open(&p, NULL), MAIL_OK);
    assert_false(net_tls_is_ready(p.ts));
    assert_int_equal(p.filter->ops->room(p.filter), 0);
    shake_hands(&p);
    assert_true(net_tls_is_ready(p.ts));
    mail_tls_facts_read(net_tls_session(p.ts), &facts);
    assert_string_equal(facts.version, "TLS1.3");
    assert_true(p.filter->ops->room(p.filter) > 0);
    pair_close(&p);
}

static void shows_half_a_line_again_with_the_rest_behind_it(void **state)
{
    pair p;

    (void)state;
    assert_int_equal(pair_open(&p, NULL), MAIL_OK);
    shake_hands(&p);
    peer_says(&p, "one\r\ntw");
    assert_span_equal(p.filter->ops->plain(p.filter), "one\r\ntw");
    p.filter->ops->drop(p.filter, 5);
    peer_says(&p, "o\r\nth");
    assert_span_equal(p.filter->ops->plain(p.filter), "two\r\nth");
    p.filter->ops->drop(p.filter, 5);
    peer_says(&p, "ree\r\n");
    assert_span_equal(p.filter->ops->plain(p.filter), "three\r\n");
    p.filter->ops->drop(p.filter, 7);
    assert_int_equal(p.filter->ops->plain(p.filter).length, 0);
    peer_says(&p, "four\r\n");
    assert_span_equal(p.filter->ops->plain(p.filter), "four\r\n");
    pair_close(&p);
}

static void carries_what_is_said(void **state)
{
    pair p;

    (void)state;
    assert_int_equal(pair_open(&p, NULL), MAIL_OK);
    shake_hands(&p);
    assert_int_equal(p.filter->ops->write(p.filter, MAIL_SPAN("250 OK\r\n")), MAIL_OK);
    to_peer(&p);
    assert_span_equal(mail_tls_plain(p.peer), "250 OK\r\n");
    mail_tls_drop(p.peer, 8);
    p.filter->ops->close(p.filter);
    to_peer(&p);
    assert_int_equal(mail_tls_eof(p.peer), MAIL_TLS_END);
    pair_close(&p);
}

static void ends_when_the_peer_says_so(void **state)
{
    pair p;

    (void)state;
    assert_int_equal(pair_open(&p, NULL), MAIL_OK);
    shake_hands(&p);
    mail_tls_close(p.peer);
    to_filter(&p);
    assert_int_not_equal(p.code, MAIL_OK);
    /* The last words may still be said. */
    assert_int_equal(p.filter->ops->write(p.filter, MAIL_SPAN("421 bye\r\n")), MAIL_OK);
    assert_true(p.filter->ops->out(p.filter).length > 0);
    pair_close(&p);
}

static void takes_all_and_sends_none_of_it_after_a_failure(void **state)
{
    size_t used;
    size_t alert;
    pair p;

    (void)state;
    assert_int_equal(pair_open(&p, NULL), MAIL_OK);
    p.code = p.filter->ops->feed(p.filter, 0, MAIL_SPAN("EHLO client.example\r\n"), &used);
    assert_int_equal(p.code, MAIL_EPROTO);
    assert_true(mail_tls_failure(net_tls_session(p.ts)).length > 0);
    alert = p.filter->ops->out(p.filter).length;
    assert_true(p.filter->ops->room(p.filter) > 100);
    assert_int_equal(p.filter->ops->write(p.filter, MAIL_SPAN("250 secret\r\n")), MAIL_OK);
    assert_int_equal(p.filter->ops->out(p.filter).length, alert);
    pair_close(&p);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        bool was_ready = false;
        pair p;

        if (pair_open(&p, &walk.mem) == MAIL_OK) {
            shake_hands(&p);
            was_ready = net_tls_is_ready(p.ts);
            if (was_ready) {
                peer_says(&p, "half");
                peer_says(&p, " and half");
            }
        }
        assert_true(walk.failed || (was_ready && p.code == MAIL_OK));
        pair_close(&p);
    }
}

/* A loop whose only worker does its work when it is told to. */
typedef struct slow_loop {
    mail_loop loop;
    bool refuses;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
    unsigned woken;
} slow_loop;

static int slow_work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    slow_loop *sl = (slow_loop *)loop;

    if (sl->refuses) {
        return MAIL_ESYS;
    }
    assert_null(sl->run);
    sl->run = run;
    sl->done = done;
    sl->arg = arg;
    return MAIL_OK;
}

static void slow_loop_open(slow_loop *sl)
{
    static const mail_loop_ops ops = {.work = slow_work};

    *sl = (slow_loop){.loop = {&ops}};
}

static void do_work(slow_loop *sl)
{
    void (*done)(void *) = sl->done;

    sl->run(sl->arg);
    sl->run = NULL;
    done(sl->arg);
}

static void on_woken(void *arg)
{
    ((slow_loop *)arg)->woken++;
}

static void slow_pair_open(pair *p, slow_loop *sl, const mail_mem *mem)
{
    slow_loop_open(sl);
    assert_int_equal(pair_open_with(p, slow_server, mem), MAIL_OK);
    net_tls_use_workers(p->ts, &sl->loop, on_woken, sl);
}

/* Nothing is taken or said meanwhile, and what was there comes again. */
static void leaves_what_takes_long_to_a_worker(void **state)
{
    unsigned steps = 0;
    slow_loop sl;
    size_t used;
    pair p;

    (void)state;
    slow_pair_open(&p, &sl, NULL);
    while (!net_tls_is_ready(p.ts)) {
        mail_span hello = mail_tls_out(p.peer);

        assert_true(hello.length > 0);
        to_filter(&p);
        assert_true(net_tls_is_at_work(p.ts));
        assert_int_equal(mail_tls_out(p.peer).length, hello.length);
        assert_int_equal(p.filter->ops->feed(p.filter, 0, hello, &used), MAIL_OK);
        assert_int_equal(used, 0);
        assert_int_equal(p.filter->ops->out(p.filter).length, 0);
        assert_int_equal(p.filter->ops->plain(p.filter).length, 0);
        assert_int_equal(p.filter->ops->room(p.filter), 0);
        assert_int_equal(net_tls_failure(p.ts).length, 0);
        do_work(&sl);
        assert_int_equal(sl.woken, ++steps);
        to_filter(&p);
        to_peer(&p);
    }
    peer_says(&p, "hello");
    assert_span_equal(p.filter->ops->plain(p.filter), "hello");
    assert_int_equal(sl.woken, steps); /* only handshakes are slow */
    pair_close(&p);
}

static void does_itself_what_no_worker_can(void **state)
{
    slow_loop sl;
    pair p;

    (void)state;
    slow_pair_open(&p, &sl, NULL);
    sl.refuses = true;
    shake_hands(&p);
    assert_true(net_tls_is_ready(p.ts));
    pair_close(&p);
}

static void tells_that_a_worker_failed(void **state)
{
    static const mail_span garbage = {"GET / HTTP/1.0\r\n\r\n", 18};
    slow_loop sl;
    size_t used;
    pair p;

    (void)state;
    slow_pair_open(&p, &sl, NULL);
    assert_int_equal(p.filter->ops->feed(p.filter, 0, garbage, &used), MAIL_OK);
    do_work(&sl);
    assert_int_equal(p.filter->ops->feed(p.filter, 0, garbage, &used), MAIL_EPROTO);
    assert_true(net_tls_failure(p.ts).length > 0);
    pair_close(&p);
}

/* With a worker under way, and with its outcome not taken. */
static void may_go_before_a_worker_is_done(void **state)
{
    (void)state;
    for (int done_first = 0; done_first < 2; done_first++) {
        mail_test_walk mem;
        slow_loop sl;
        pair p;

        mail_test_mem_init(&mem);
        slow_pair_open(&p, &sl, &mem.mem);
        to_filter(&p);
        if (done_first) {
            do_work(&sl);
        }
        pair_close(&p);
        if (!done_first) {
            do_work(&sl);
        }
        assert_int_equal(sl.woken, done_first);
        mail_test_mem_check(&mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ready_after_the_handshake),
        cmocka_unit_test(shows_half_a_line_again_with_the_rest_behind_it),
        cmocka_unit_test(carries_what_is_said),
        cmocka_unit_test(ends_when_the_peer_says_so),
        cmocka_unit_test(takes_all_and_sends_none_of_it_after_a_failure),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(leaves_what_takes_long_to_a_worker),
        cmocka_unit_test(does_itself_what_no_worker_can),
        cmocka_unit_test(tells_that_a_worker_failed),
        cmocka_unit_test(may_go_before_a_worker_is_done),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
