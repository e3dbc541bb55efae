/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/buffer.h"
#include "net/link.h"

/*
 * The owner under test echoes lines. `ask…` is echoed only once it is answered,
 * `quit` ends it, `big N` gives N octets; `die WHERE` has it destroyed inside a callback.
 */
typedef struct echo {
    net_link link;
    world *w;
    buffer out;
    size_t out_limit; /* above it nothing is taken */
    bool asks;
    bool over;
    mail_span dies_in; /* `sent`, `tick`, `eof` … */
    mail_duration patience;
    mail_time deadline;
    unsigned feeds;
    unsigned eofs;
    unsigned ticks;
    unsigned closed;
    bool inside; /* a call of ours: only out, sent, wants and deadline may come */
} echo;

static bool died(echo *e, const char *where)
{
    if (!mail_span_equal(e->dies_in, mail_span_text(where))) {
        return false;
    }
    net_link_close(&e->link);
    e->dies_in = MAIL_SPAN("");
    e->over = true;
    return true;
}

static void say(echo *e, mail_span line)
{
    assert_int_equal(buffer_append(&e->out, line), MAIL_OK);
}

static void take_line(echo *e, mail_span line)
{
    unsigned long count = 0;

    if (line.length >= 4 && memcmp(line.data, "quit", 4) == 0) {
        e->over = true;
    }
    if (line.length > 4 && memcmp(line.data, "big ", 4) == 0) {
        count = strtoul(line.data + 4, NULL, 10);
        memset(buffer_space(&e->out, count), 'b', count);
        buffer_added(&e->out, count);
        return;
    }
    e->asks = line.length >= 3 && memcmp(line.data, "ask", 3) == 0;
    say(e, e->asks ? MAIL_SPAN("") : line);
}

static bool takes_input(const echo *e)
{
    return !e->asks && !e->over && buffer_length(&e->out) <= e->out_limit;
}

static void echo_feed(void *arg, mail_time now, mail_span in, size_t *used)
{
    echo *e = arg;

    assert_false(e->inside);
    if (died(e, "feed")) {
        return;
    }
    e->feeds++;
    while (takes_input(e) && *used < in.length) {
        const char *end = memchr(in.data + *used, '\n', in.length - *used);

        if (end == NULL) {
            break;
        }
        take_line(e, mail_span_of(in.data + *used, (size_t)(end - in.data) + 1 - *used));
        *used = (size_t)(end - in.data) + 1;
        e->deadline = now + e->patience;
    }
}

static void echo_eof(void *arg, mail_time now)
{
    echo *e = arg;

    (void)now;
    assert_false(e->inside);
    if (died(e, "eof")) {
        return;
    }
    e->eofs++;
    e->over = true;
}

static void echo_tick(void *arg, mail_time now)
{
    echo *e = arg;

    assert_false(e->inside);
    assert_true(now >= e->deadline);
    if (died(e, "tick")) {
        return;
    }
    e->ticks++;
    say(e, MAIL_SPAN("late\n"));
    e->over = true;
    e->deadline = MAIL_NEVER;
}

static mail_span echo_out(void *arg)
{
    return buffer_bytes(&((echo *)arg)->out);
}

static void echo_sent(void *arg, mail_time now, size_t n)
{
    echo *e = arg;

    (void)now;
    if (died(e, "sent")) {
        return;
    }
    buffer_consume(&e->out, n);
    if (buffer_length(&e->out) == 0) {
        buffer_clear(&e->out, 0);
    }
}

static unsigned echo_wants(void *arg)
{
    echo *e = arg;

    return (takes_input(e) ? MAIL_WANTS_READ : 0U) | (e->asks ? MAIL_WANTS_ANSWER : 0U) |
           (buffer_length(&e->out) > 0 ? MAIL_WANTS_WRITE : 0U);
}

static mail_time echo_deadline(void *arg)
{
    return ((echo *)arg)->deadline;
}

static void echo_closed(void *arg)
{
    echo *e = arg;

    assert_false(e->inside);
    e->closed++;
    buffer_deinit(&e->out);
}

static int echo_open(echo *e, world *w, const mail_mem *mem, int *peer)
{
    static const net_link_ops ops = {
        .feed = echo_feed,
        .eof = echo_eof,
        .tick = echo_tick,
        .out = echo_out,
        .sent = echo_sent,
        .wants = echo_wants,
        .deadline = echo_deadline,
        .closed = echo_closed,
    };
    int ours;
    int code;

    world_pair(&ours, peer);
    *e = (echo){.w = w, .out_limit = 100000, .patience = MAIL_HOUR};
    e->deadline = mail_loop_now(w->loop) + MAIL_HOUR;
    buffer_init(&e->out, NULL, 64U * 1024 * 1024);
    code = net_link_init(&e->link, &w->sockets, w->loop, mem, ours, &ops, e);
    if (code != MAIL_OK) {
        close(ours);
        return code;
    }
    net_link_soon(&e->link);
    return MAIL_OK;
}

/* The same in a world of its own; gives the peer's end. */
static int echo_begin(echo *e, world *w, int kind)
{
    int peer;

    assert_int_equal(world_open(w, kind, NULL), MAIL_OK);
    assert_int_equal(echo_open(e, w, NULL, &peer), MAIL_OK);
    return peer;
}

static void answer(echo *e)
{
    e->asks = false;
    say(e, MAIL_SPAN("yes\n"));
    e->inside = true;
    net_link_kick(&e->link);
    e->inside = false;
}

static void peer_says(int peer, const char *text)
{
    size_t length = strlen(text);

    assert_int_equal(write(peer, text, length), (ssize_t)length);
}

/* Reads until `want` has come, and asserts that it is this. */
static void peer_hears(world *w, int peer, const char *want)
{
    char got[4096];
    size_t length = strlen(want);

    world_hear(w, peer, length, got, sizeof(got));
    mail_test_assert_span(mail_span_of(got, length), want, length, __FILE__, __LINE__);
}

static void peer_hears_the_end(world *w, int peer)
{
    char byte;
    ssize_t n = -1;

    world_until(w, (n = read(peer, &byte, 1)) >= 0 || errno != EAGAIN);
    assert_int_equal(n, 0);
    close(peer);
}

static void echoes_lines_however_they_come(void **state)
{
    static const char *const pieces[] = {"one\n", "t", "w", "o\nthree\nfo", "ur\n", NULL};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_test_walk mem;
        world w;
        echo e;
        int peer;

        mail_test_mem_init(&mem);
        world_open(&w, kind, NULL);
        assert_int_equal(echo_open(&e, &w, &mem.mem, &peer), MAIL_OK);
        for (size_t i = 0; pieces[i] != NULL; i++) {
            peer_says(peer, pieces[i]);
            world_idle(&w);
        }
        peer_hears(&w, peer, "one\ntwo\nthree\nfour\n");
        assert_int_equal(mem.blocks, 0); /* idle, it holds no buffer */
        peer_says(peer, "quit\n");
        peer_hears(&w, peer, "quit\n");
        peer_hears_the_end(&w, peer);
        assert_int_equal(e.closed, 1);
        assert_int_equal(e.eofs, 0);
        world_close(&w);
        mail_test_mem_check(&mem);
    }
}

static void answers_a_group_of_lines_with_one_read_and_one_write(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        world_idle(&w);
        peer_says(peer, "one\ntwo\nthree\nfour\n");
        peer_hears(&w, peer, "one\ntwo\nthree\nfour\n");
        assert_int_equal(w.calls[CALL_READ], 1);
        assert_int_equal(w.calls[CALL_WRITE], 1);
        close(peer);
        world_until(&w, e.closed == 1);
        assert_int_equal(e.eofs, 1);
        world_close(&w);
    }
}

/* What a full socket or an empty one would say is not asked for. */
static void a_turn_makes_no_system_call_in_vain(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char byte;
        world w;
        echo e;
        int peer;

        world_open(&w, kind, NULL);
        w.max_write = 2; /* as if the socket took no more at a time */
        assert_int_equal(echo_open(&e, &w, NULL, &peer), MAIL_OK);
        peer_says(peer, "1\n2\n3\n4\n");
        world_until(&w, buffer_length(&e.out) == 0 && w.calls[CALL_WRITE] > 0);
        assert_int_equal(w.calls[CALL_WRITE], 4);
        assert_int_equal(w.calls[CALL_READ], 1);
        assert_int_equal(read(peer, &byte, 1), 1);
        close(peer);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void lives_with_short_reads_and_writes(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        world_open(&w, kind, NULL);
        w.max_read = 3;
        w.max_write = 2;
        assert_int_equal(echo_open(&e, &w, NULL, &peer), MAIL_OK);
        peer_says(peer, "a longer line\nand another\nquit\n");
        peer_hears(&w, peer, "a longer line\nand another\nquit\n");
        peer_hears_the_end(&w, peer);
        world_close(&w);
    }
}

static void takes_nothing_while_a_question_is_open(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_test_walk mem;
        world w;
        echo e;
        int peer;

        mail_test_mem_init(&mem);
        world_open(&w, kind, NULL);
        assert_int_equal(echo_open(&e, &w, &mem.mem, &peer), MAIL_OK);
        peer_says(peer, "one\nask\ntwo\nask\nthree\n");
        peer_hears(&w, peer, "one\n");
        peer_says(peer, "four\n");
        world_idle(&w);
        assert_int_equal(w.calls[CALL_READ], 1); /* what came since lies in the socket */
        assert_true(mem.blocks > 0);
        answer(&e);
        peer_hears(&w, peer, "yes\ntwo\n");
        answer(&e);
        peer_hears(&w, peer, "yes\nthree\nfour\n");
        assert_int_equal(mem.blocks, 0);
        peer_says(peer, "ask\n");
        world_until(&w, e.asks);
        close(peer); /* is noticed once there is an answer */
        world_idle(&w);
        assert_int_equal(e.closed, 0);
        answer(&e);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void stops_reading_from_a_peer_that_does_not_read(void **state)
{
    static char flood[50000];

    (void)state;
    memset(flood, 'x', sizeof(flood));
    for (size_t i = 99; i < sizeof(flood); i += 100) {
        flood[i] = '\n';
    }
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        size_t sent = 0;
        size_t heard = 0;
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        e.out_limit = 1000;
        for (int i = 0; i < 100; i++) { /* until every buffer on the way is full */
            ssize_t n = write(peer, flood + sent % 100, sizeof(flood) - sent % 100);

            sent += n > 0 ? (size_t)n : 0;
            world_step(&w);
            assert_true(buffer_length(&e.out) < 2000);
        }
        assert_true(sent < 4 * 1024 * 1024);
        while (!(heard >= sent - sent % 100)) {
            char bytes[65536];
            ssize_t n = read(peer, bytes, sizeof(bytes));
            heard += n > 0 ? (size_t)n : 0;
            world_step(&w);
        }
        close(peer);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void a_large_answer_goes_out_in_its_time(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        size_t heard = 0;
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        peer_says(peer, "big 3000000\nquit\n");
        while (!(heard == 3000000 + 5)) {
            char bytes[65536];
            ssize_t n = read(peer, bytes, sizeof(bytes));
            heard += n > 0 ? (size_t)n : 0;
            world_step(&w);
        }
        peer_hears_the_end(&w, peer);
        assert_int_equal(e.closed, 1);
        world_close(&w);
    }
}

static void a_lost_connection_ends_it_once(void **state)
{
    static const struct {
        const char *name;
        world_call call;
        int failure;
        bool asks; /* the failure comes with an answer, outside a turn */
    } cases[] = {
        {"reset while reading", CALL_READ, -ECONNRESET, false},
        {"reset while writing", CALL_WRITE, -ECONNRESET, false},
        {"broken pipe under an answer", CALL_WRITE, -EPIPE, true},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            echo e;
            int peer;

            mail_test_case(cases[i].name);
            peer = echo_begin(&e, &w, kind);
            w.fail_at[cases[i].call] = 1;
            w.fail_count = 1000;
            w.failure = cases[i].failure;
            peer_says(peer, cases[i].asks ? "ask\n" : "one\n");
            if (cases[i].asks) {
                world_until(&w, e.asks);
                answer(&e);
            }
            world_until(&w, e.closed == 1);
            assert_int_equal(e.eofs, 1);
            close(peer);
            world_close(&w);
        }
    }
}

static void a_spurious_wake_up_is_no_end(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        w.fail_at[CALL_READ] = 1;
        w.failure = -EAGAIN;
        peer_says(peer, "one\n");
        peer_hears(&w, peer, "one\n");
        assert_int_equal(w.calls[CALL_READ], 2);
        close(peer);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void tells_when_the_deadline_has_come(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        mail_time before = 0;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        e.patience = MAIL_MINUTE;
        for (int i = 0; i < 5; i++) { /* each line puts it off */
            peer_says(peer, "one\n");
            peer_hears(&w, peer, "one\n");
            assert_true(e.deadline >= before);
            before = e.deadline;
        }
        assert_int_equal(e.ticks, 0);
        e.patience = 20 * MAIL_MILLISECOND;
        peer_says(peer, "one\n");
        peer_hears(&w, peer, "one\n");
        peer_hears(&w, peer, "late\n");
        assert_int_equal(e.ticks, 1);
        peer_hears_the_end(&w, peer);
        world_close(&w);
    }
}

/* RFC 9293, section 3.6.1: closing with unread input resets, and the peer may lose our last words. */
static void lingers_so_that_the_last_words_arrive(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        world_hold_timers(&w); /* it lingers as long as this takes */
        net_link_linger(&e.link);
        peer_says(peer, "quit\nmuch more\n");
        peer_hears(&w, peer, "quit\n");
        peer_says(peer, "and more\n");
        world_idle(&w);
        assert_int_equal(e.closed, 0);
        peer_hears_the_end(&w, peer);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void lingers_neither_for_ever_nor_for_any_amount(void **state)
{
    static char flood[65536];

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        net_link_linger(&e.link);
        peer_says(peer, "quit\n");
        peer_hears(&w, peer, "quit\n");
        while (!(e.closed == 1)) {
            ssize_t n = send(peer, flood, sizeof(flood), MSG_NOSIGNAL);
            (void)n;
            world_step(&w);
        }
        close(peer);
        /* A shutdown that fails: nobody is there to listen. */
        assert_int_equal(echo_open(&e, &w, NULL, &peer), MAIL_OK);
        net_link_linger(&e.link);
        w.calls[CALL_SHUTDOWN] = 0;
        w.fail_at[CALL_SHUTDOWN] = 1;
        w.failure = -ENOTCONN;
        peer_says(peer, "quit\n");
        world_until(&w, e.closed == 1);
        close(peer);
        world_close(&w);
    }
}

static void may_be_destroyed_in_any_callback(void **state)
{
    static const char *const places[] = {"feed", "sent", "eof", "tick"};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(places); i++) {
            world w;
            echo e;
            int peer;

            mail_test_case(places[i]);
            peer = echo_begin(&e, &w, kind);
            world_idle(&w);
            e.dies_in = mail_span_text(places[i]);
            e.deadline = mail_loop_now(w.loop) + (i == 3 ? 0 : MAIL_HOUR);
            net_link_soon(&e.link);
            peer_says(peer, i == 3 ? "" : "one\ntwo\n");
            shutdown(peer, SHUT_WR);
            world_until(&w, e.closed == 1);
            world_idle(&w);
            assert_int_equal(e.closed, 1);
            close(peer);
            world_close(&w);
        }
        mail_test_case("sent, under an answer");
        {
            world w;
            echo e;
            int peer;

            peer = echo_begin(&e, &w, kind);
            peer_says(peer, "ask\n");
            world_until(&w, e.asks);
            e.dies_in = MAIL_SPAN("sent");
            e.asks = false;
            say(&e, MAIL_SPAN("yes\n"));
            net_link_kick(&e.link);
            assert_int_equal(e.closed, 1);
            world_idle(&w);
            close(peer);
            world_close(&w);
        }
    }
}

/* A line longer than any owner can want ends the link instead of growing its memory. */
static void an_owner_that_uses_nothing_is_cut_off(void **state)
{
    static char line[100000];

    (void)state;
    memset(line, 'x', sizeof(line));
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        while (!(e.closed == 1)) {
            ssize_t n = send(peer, line, sizeof(line), MSG_NOSIGNAL);
            (void)n;
            world_step(&w);
        }
        assert_int_equal(e.eofs, 1);
        close(peer);
        world_close(&w);
    }
}

/* A filter that stands in for TLS: each octet is XORed; it holds little in each direction. */
typedef struct veil {
    mail_filter filter;
    char in[2000];
    size_t in_length;
    char out[50];
    size_t out_length;
    bool fails;
    unsigned closes;
} veil;

#define VEIL 0x55

static int veil_feed(mail_filter *filter, mail_time now, mail_span in, size_t *used)
{
    veil *v = (veil *)filter;

    (void)now;
    while (*used < in.length && v->in_length < sizeof(v->in)) {
        v->in[v->in_length++] = (char)(in.data[(*used)++] ^ VEIL);
    }
    return v->fails ? MAIL_EPROTO : MAIL_OK;
}

static mail_span veil_out(mail_filter *filter)
{
    veil *v = (veil *)filter;

    return mail_span_of(v->out, v->out_length);
}

static void veil_sent(mail_filter *filter, size_t n)
{
    veil *v = (veil *)filter;

    memmove(v->out, v->out + n, v->out_length - n);
    v->out_length -= n;
}

static mail_span veil_plain(mail_filter *filter)
{
    veil *v = (veil *)filter;

    return mail_span_of(v->in, v->in_length);
}

static void veil_drop(mail_filter *filter, size_t n)
{
    veil *v = (veil *)filter;

    memmove(v->in, v->in + n, v->in_length - n);
    v->in_length -= n;
}

static size_t veil_room(mail_filter *filter)
{
    return sizeof(((veil *)filter)->out) - ((veil *)filter)->out_length;
}

static int veil_write(mail_filter *filter, mail_span bytes)
{
    veil *v = (veil *)filter;

    for (size_t i = 0; i < bytes.length; i++) {
        v->out[v->out_length++] = (char)(bytes.data[i] ^ VEIL);
    }
    return MAIL_OK;
}

/* Its last word is a dot. */
static void veil_close(mail_filter *filter)
{
    veil *v = (veil *)filter;

    v->closes++;
    v->out[v->out_length++] = '.' ^ VEIL;
}

static const mail_filter_ops veil_ops = {
    .feed = veil_feed,
    .out = veil_out,
    .sent = veil_sent,
    .plain = veil_plain,
    .drop = veil_drop,
    .room = veil_room,
    .write = veil_write,
    .close = veil_close,
};

static const char *veiled(const char *text)
{
    static char out[1000];
    size_t length = strlen(text);

    for (size_t i = 0; i <= length; i++) {
        out[i] = (char)(i < length ? text[i] ^ VEIL : '\0');
    }
    return out;
}

static void all_bytes_pass_through_a_filter(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        veil v = {.filter = {&veil_ops}};
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        net_link_set_filter(&e.link, &v.filter);
        peer_says(peer, veiled("one\ntw"));
        peer_hears(&w, peer, veiled("one\n"));
        peer_says(peer, veiled("o\nask\nthree\nask\n"));
        peer_hears(&w, peer, veiled("two\n"));
        answer(&e);
        peer_hears(&w, peer, veiled("yes\nthree\n"));
        answer(&e);
        peer_hears(&w, peer, veiled("yes\n"));
        peer_says(peer, veiled("a line that is somewhat longer than the fifty octets of room\n"));
        peer_hears(&w, peer,
                   veiled("a line that is somewhat longer than the fifty octets of room\n"));
        peer_says(peer, veiled("quit\n"));
        peer_hears(&w, peer, veiled("quit\n."));
        peer_hears_the_end(&w, peer);
        assert_int_equal(v.closes, 1);
        world_close(&w);
    }
}

static void a_filter_that_fails_ends_the_link(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        veil v = {.filter = {&veil_ops}, .fails = true};
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        net_link_set_filter(&e.link, &v.filter);
        peer_says(peer, "this is no handshake\n");
        world_until(&w, e.closed == 1);
        assert_int_equal(e.eofs, 1);
        close(peer);
        world_close(&w);
    }
}

/* SX-008: input that came before the filter is thrown away, held or not. */
static void what_came_before_the_filter_is_thrown_away(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        veil v = {.filter = {&veil_ops}};
        world w;
        echo e;
        int peer;

        peer = echo_begin(&e, &w, kind);
        peer_says(peer, "ask\ninjected\n");
        world_until(&w, e.asks);
        net_link_set_filter(&e.link, &v.filter);
        answer(&e);
        peer_hears(&w, peer, veiled("yes\n"));
        peer_says(peer, veiled("mine\n"));
        peer_hears(&w, peer, veiled("mine\n"));
        close(peer);
        world_until(&w, e.closed == 1);
        world_close(&w);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        MAIL_TEST_WALK(walk)
        {
            world w;
            echo e;
            int peer;

            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            if (echo_open(&e, &w, &walk.mem, &peer) == MAIL_OK) {
                peer_says(peer, "one\nask\nhalf a li");
                world_until(&w, e.asks || e.closed == 1);
                if (e.closed == 0) {
                    answer(&e);
                    peer_says(peer, "ne\nquit\n");
                }
                world_until(&w, e.closed == 1);
            }
            close(peer);
            world_close(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_lines_however_they_come),
        cmocka_unit_test(answers_a_group_of_lines_with_one_read_and_one_write),
        cmocka_unit_test(a_turn_makes_no_system_call_in_vain),
        cmocka_unit_test(lives_with_short_reads_and_writes),
        cmocka_unit_test(takes_nothing_while_a_question_is_open),
        cmocka_unit_test(stops_reading_from_a_peer_that_does_not_read),
        cmocka_unit_test(a_large_answer_goes_out_in_its_time),
        cmocka_unit_test(a_lost_connection_ends_it_once),
        cmocka_unit_test(a_spurious_wake_up_is_no_end),
        cmocka_unit_test(tells_when_the_deadline_has_come),
        cmocka_unit_test(lingers_so_that_the_last_words_arrive),
        cmocka_unit_test(lingers_neither_for_ever_nor_for_any_amount),
        cmocka_unit_test(may_be_destroyed_in_any_callback),
        cmocka_unit_test(an_owner_that_uses_nothing_is_cut_off),
        cmocka_unit_test(all_bytes_pass_through_a_filter),
        cmocka_unit_test(a_filter_that_fails_ends_the_link),
        cmocka_unit_test(what_came_before_the_filter_is_thrown_away),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
