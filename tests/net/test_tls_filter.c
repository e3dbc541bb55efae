/* SPDX-License-Identifier: MIT */
#include "net/tls_filter.h"

#include "support/certs.h"
#include "support/support.h"

static mail_test_tls shared;

static int set_up(void **state)
{
    (void)state;
    mail_test_tls_make(&shared, "mx.b.example");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
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

static int pair_open(pair *p, const mail_mem *mem)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;
    int code;

    *p = (pair){.code = MAIL_OK};
    assert_int_equal(mail_tls_create(&p->peer, shared.doubting, &opts), MAIL_OK);
    opts.server = true;
    opts.mem = mem;
    code = net_tls_create(&p->ts, shared.server, &opts);
    if (code == MAIL_OK) {
        p->filter = net_tls_filter(p->ts);
    }
    return code;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ready_after_the_handshake),
        cmocka_unit_test(shows_half_a_line_again_with_the_rest_behind_it),
        cmocka_unit_test(carries_what_is_said),
        cmocka_unit_test(ends_when_the_peer_says_so),
        cmocka_unit_test(takes_all_and_sends_none_of_it_after_a_failure),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
