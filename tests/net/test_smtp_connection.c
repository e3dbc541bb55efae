/* SPDX-License-Identifier: MIT */
#include "party.h"

#include <mail/smtp_connection.h>

/* A source with moods: `length` octets of lines, in pieces, with waits and a failure. */
typedef struct well {
    mail_source source;
    size_t length;
    size_t piece;
    size_t done;
    size_t waits_every; /* MAIL_EAGAIN after so many octets; 0: never */
    size_t waited_at;
    int fails_at_end;
    bool is_bare; /* has a bare LF */
    unsigned closed;
} well;

static int well_peek(mail_source *source, mail_span *out)
{
    static char text[10000];
    well *s = (well *)source;
    size_t n = s->length - s->done;

    assert_int_equal(s->closed, 0);
    for (size_t i = 0; text[sizeof(text) - 1] == '\0' && i < sizeof(text); i++) {
        text[i] = (char)(i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'a' + i / 50 % 26);
    }
    if (s->waits_every > 0 && s->done / s->waits_every > s->waited_at) {
        return MAIL_EAGAIN;
    }
    if (n == 0 && s->fails_at_end != MAIL_OK) {
        return s->fails_at_end;
    }
    *out = mail_span_of(text + s->done % 50, n < s->piece ? n : s->piece);
    if (s->is_bare && n > 0) {
        *out = MAIL_SPAN("\n");
    }
    return MAIL_OK;
}

static void well_drop(mail_source *source, size_t n)
{
    ((well *)source)->done += n;
}

static void well_close(mail_source *source)
{
    ((well *)source)->closed++;
}

static void well_reset(well *s, size_t length)
{
    static const mail_source_ops ops = {well_peek, well_drop, well_close};

    *s = (well){.source = {.ops = &ops}, .length = length, .piece = 9950};
}

static void well_fill(well *s)
{
    if (s->closed == 0 && s->waits_every > 0 && s->done / s->waits_every > s->waited_at) {
        s->waited_at = s->done / s->waits_every;
        s->source.on_bytes(s->source.on_bytes_arg);
    }
}

/* Who sends. */
typedef struct sender {
    world *w;
    mail_smtp_connection *conn;
    mail_envelope envelope;
    well water;
    unsigned to_send; /* messages */
    unsigned ready;
    unsigned done;
    unsigned closed;
    const char *dies_in;       /* destroys the connection in this callback */
    bool inside;               /* a call of ours */
    bool rests;                /* does nothing when ready */
    mail_outcome_kind outcome; /* of the first recipient, in the last message */
    bool is_local;
    char reply[200];
    char failure[200];
    bool was_ready;
} sender;

static bool dies(sender *s, const char *where)
{
    assert_false(s->inside);
    if (s->dies_in == NULL || strcmp(s->dies_in, where) != 0) {
        return false;
    }
    mail_smtp_connection_destroy(s->conn);
    s->conn = NULL;
    return true;
}

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    sender *s = arg;

    s->ready++;
    if (dies(s, "ready") || s->rests) {
        return;
    }
    if (s->to_send == 0) {
        mail_smtp_connection_quit(conn);
        return;
    }
    s->to_send--;
    assert_true(mail_smtp_connection_offer(conn)->esmtp);
    if (mail_smtp_connection_send(conn, &s->envelope, NULL, &s->water.source) != MAIL_OK) {
        well_close(&s->water.source);
        mail_smtp_connection_quit(conn);
    }
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    sender *s = arg;
    mail_outcome outcome;

    s->done++;
    assert_int_equal(s->water.closed, 1);
    if (dies(s, "done")) {
        return;
    }
    outcome = mail_smtp_connection_outcome(conn, 0);
    s->outcome = outcome.kind;
    s->is_local = outcome.is_local;
    mail_reply_print(&outcome.reply, s->reply, sizeof(s->reply));
    if (s->to_send > 0) {
        well_reset(&s->water, s->water.length);
    }
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    sender *s = arg;
    mail_reply failure = mail_smtp_connection_failure(conn);

    assert_false(s->inside);
    s->closed++;
    s->was_ready = mail_smtp_connection_was_ready(conn);
    s->failure[0] = '\0';
    if (failure.code != 0) {
        mail_reply_print(&failure, s->failure, sizeof(s->failure));
    }
    mail_smtp_connection_destroy(conn);
    s->conn = NULL;
}

static int sender_open(sender *s, world *w, const mail_mem *mem, const mail_endpoint *at,
                       const char *path, const mail_smtp_connection_options *change)
{
    static const mail_smtp_connection_ops ops = {
        .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed};
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
    mail_recipient to = {.address = MAIL_SPAN("b@mx.example")};
    int code;

    opts = change != NULL ? *change : opts;
    opts.client.mem = mem;
    opts.client.hostname = MAIL_SPAN("client.example");
    opts.ops = &ops;
    opts.arg = s;
    opts.sockets = &w->sockets;
    *s = (sender){.w = w, .to_send = 1};
    well_reset(&s->water, 1000);
    mail_envelope_init(&s->envelope, NULL);
    assert_int_equal(
        mail_envelope_set_sender(&s->envelope, MAIL_SPAN("a@client.example"), MAIL_SPAN("")),
        MAIL_OK);
    assert_int_equal(mail_envelope_add(&s->envelope, &to), MAIL_OK);
    s->inside = true;
    code = path != NULL ? mail_smtp_connection_open_unix(&s->conn, w->loop, path, &opts)
                        : mail_smtp_connection_open(&s->conn, w->loop, at, &opts);
    s->inside = false;
    if (code != MAIL_OK) {
        s->conn = NULL;
    }
    return code;
}

static void sender_close(sender *s)
{
    mail_smtp_connection_destroy(s->conn);
    mail_envelope_deinit(&s->envelope);
}

static void sends_messages_one_after_the_other(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        sender s;

        party_begin(&p, &w, kind);
        p.accepted = MAIL_SPAN("Stored");
        assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
        s.to_send = 3;
        world_until(&w, s.closed == 1);
        assert_int_equal(s.ready, 4);
        assert_int_equal(s.done, 3);
        assert_int_equal(s.outcome, MAIL_OUTCOME_ACCEPTED);
        assert_string_equal(s.reply, "250 2.0.0 Stored");
        assert_string_equal(s.failure, "");
        assert_true(s.was_ready);
        assert_int_equal(p.box.length, 1000);
        world_until(&w, p.opened == 0);
        assert_string_equal(p.heard, " CONNECT HELO MAIL RCPT DATA MAIL RCPT DATA MAIL RCPT DATA"
                                     " CLOSE");
        sender_close(&s);
        party_end(&p);
    }
}

/* As a pool of connections does it: nothing is called back from inside. */
static void may_rest_between_messages(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        sender s;

        party_begin(&p, &w, kind);
        assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
        s.rests = true;
        for (unsigned i = 1; i <= 2; i++) {
            world_until(&w, s.ready == i);
            world_idle(&w);
            well_reset(&s.water, 500);
            s.inside = true;
            assert_int_equal(mail_smtp_connection_send(s.conn, &s.envelope, NULL, &s.water.source),
                             MAIL_OK);
            s.inside = false;
            world_until(&w, s.done == i);
            assert_int_equal(s.outcome, MAIL_OUTCOME_ACCEPTED);
        }
        /* SC-011: the peer may end it meanwhile. */
        mail_smtp_service_drain(p.service, party_drained, &p);
        world_until(&w, s.closed == 1 && p.drained == 1);
        assert_int_equal(strncmp(s.failure, "421 4.3.2", 9), 0);
        sender_close(&s);
        party_end(&p);
    }
}

static void sends_over_a_unix_socket_in_lmtp(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        char *dir = mail_test_make_dir();
        char path[100];
        world w;
        party p;
        sender s;

        snprintf(path, sizeof(path), "%s/lmtp", dir);
        engine.hostname = MAIL_SPAN("mx.example");
        engine.lmtp = true;
        opts.client.lmtp = true;
        party_begin(&p, &w, kind);
        assert_int_equal(mail_smtp_service_listen_unix(p.service, path, &engine, NULL, NULL),
                         MAIL_OK);
        assert_int_equal(sender_open(&s, &w, NULL, NULL, path, &opts), MAIL_OK);
        world_until(&w, s.closed == 1);
        assert_int_equal(s.outcome, MAIL_OUTCOME_ACCEPTED);
        sender_close(&s);
        party_end(&p);
        mail_test_remove_dir(dir);
    }
}

#define LARGE (50U * 1024 * 1024)

static void a_large_message_takes_little_memory(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (int no_chunking = 0; no_chunking < 2; no_chunking++) {
            mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
            mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
            mail_test_walk mem;
            size_t most = 0;
            world w;
            party p;
            sender s;

            mail_test_case(no_chunking != 0 ? "DATA" : "BDAT, if it likes");
            mail_test_mem_init(&mem);
            opts.client.no_chunking = no_chunking != 0;
            engine.hostname = MAIL_SPAN("mx.example");
            engine.max_message_bytes = LARGE;
            world_open(&w, kind, NULL);
            assert_int_equal(party_open(&p, &w, &mem.mem, &engine, NULL), MAIL_OK);
            assert_int_equal(sender_open(&s, &w, &mem.mem, &p.at, NULL, &opts), MAIL_OK);
            s.water.length = LARGE;
            s.water.waits_every = 1000000;
            p.box.full_every = 700000;
            while (s.closed == 0) {
                world_step(&w);
                well_fill(&s.water);
                bin_empty(&p.box);
                most = mem.bytes > most ? mem.bytes : most;
            }
            assert_int_equal(s.outcome, MAIL_OUTCOME_ACCEPTED);
            assert_int_equal(p.box.length, LARGE);
            assert_true(most < 300000);
            sender_close(&s);
            party_end(&p);
            mail_test_mem_check(&mem);
        }
    }
}

/* SC-011, SC-013, SC-016: what the peer says or leaves unsaid, as the outcome. */
static void what_goes_wrong_is_told(void **state)
{
    static const struct {
        const char *name;
        mail_smtp_event_type refuses;
        mail_reply reply;
        int finish_code;
        mail_outcome_kind outcome;
        const char *said;
        unsigned done;
    } cases[] = {
        {"refused at the door",
         MAIL_SMTP_EV_CONNECT,
         {554, {5, 7, 1}, {"No", 2}},
         MAIL_OK,
         MAIL_OUTCOME_UNTRIED,
         "554",
         0},
        {"sender refused",
         MAIL_SMTP_EV_MAIL,
         {550, {5, 1, 8}, {"No", 2}},
         MAIL_OK,
         MAIL_OUTCOME_PERMANENT,
         "550 5.1.8 No",
         1},
        {"recipient refused for now",
         MAIL_SMTP_EV_RCPT,
         {450, {4, 2, 1}, {"No", 2}},
         MAIL_OK,
         MAIL_OUTCOME_TRANSIENT,
         "450 4.2.1 No",
         1},
        {"disk full", MAIL_SMTP_EV_NONE, {0}, MAIL_ENOSPC, MAIL_OUTCOME_TRANSIENT, "452 4.3.1", 1},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            sender s;

            mail_test_case(cases[i].name);
            party_begin(&p, &w, kind);
            p.refuses = cases[i].refuses;
            p.reply = cases[i].reply;
            p.box.finish_code = cases[i].finish_code;
            assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
            world_until(&w, s.closed == 1);
            assert_int_equal(s.done, cases[i].done);
            assert_int_equal(s.outcome, cases[i].outcome);
            assert_false(s.is_local);
            assert_int_equal(
                strncmp(s.done > 0 ? s.reply : s.failure, cases[i].said, strlen(cases[i].said)), 0);
            sender_close(&s);
            party_end(&p);
        }
    }
}

static void without_a_connection_it_says_so(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_endpoint at = loopback;
        world w;
        sender s;
        int held;

        world_open(&w, kind, NULL);
        held = mail_test_dead_port(&at.port);
        assert_int_equal(sender_open(&s, &w, NULL, &at, NULL, NULL), MAIL_OK);
        world_until(&w, s.closed == 1);
        assert_false(s.was_ready);
        assert_int_equal(s.ready, 0);
        assert_string_equal(s.failure, "451 4.4.1 Cannot connect: Connection refused");
        sender_close(&s);
        close(held);
        world_close(&w);
    }
}

/* The peer's end by hand: what it says to each of our lines is `says`, in turn; then it closes. */
static void a_lost_connection_leaves_the_right_outcome(void **state)
{
    static const struct {
        const char *name;
        const char *says[7];
        unsigned done;
        mail_outcome_kind outcome;
        const char *failure;
    } cases[] = {
        {"before the greeting", {NULL}, 0, MAIL_OUTCOME_UNTRIED, "451 4.4.2"},
        {"after the envelope",
         {"220 x\r\n", "250 x\r\n", "250 x\r\n", NULL},
         1,
         MAIL_OUTCOME_UNTRIED,
         "451 4.4.2"},
        {"in the middle of a reply",
         {"220 x\r\n", "250-x\r\n25", NULL},
         0,
         MAIL_OUTCOME_UNTRIED,
         "451 4.4.2"},
        {"after the dot",
         {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n", "", NULL},
         1,
         MAIL_OUTCOME_AMBIGUOUS,
         "451 4.4.2"},
        {"what is no SMTP", {"SSH-2.0-x\r\n", NULL}, 0, MAIL_OUTCOME_UNTRIED, "451 4.5.0"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            char bytes[2000];
            mail_endpoint at;
            mail_endpoint peer;
            int listener;
            int fd;
            world w;
            sender s;

            mail_test_case(cases[i].name);
            world_open(&w, kind, NULL);
            listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
            assert_int_equal(sender_open(&s, &w, NULL, &at, NULL, NULL), MAIL_OK);
            world_until(&w, (fd = w.sockets.ops->accept(&w.sockets, listener, &peer)) >= 0);
            for (size_t k = 0; cases[i].says[k] != NULL; k++) {
                /* Each step of the client is seen before the next word. */
                world_until(&w, k == 0 || read(fd, bytes, sizeof(bytes)) > 0);
                assert_true(write(fd, cases[i].says[k], strlen(cases[i].says[k])) >= 0);
            }
            world_idle(&w);
            close(fd);
            world_until(&w, s.closed == 1);
            assert_int_equal(s.done, cases[i].done);
            assert_int_equal(s.outcome, cases[i].outcome);
            assert_int_equal(strncmp(s.failure, cases[i].failure, strlen(cases[i].failure)), 0);
            assert_int_equal(s.water.closed, cases[i].done);
            sender_close(&s);
            close(listener);
            world_close(&w);
        }
    }
}

/* SC-015: per phase; here shortened. */
static void a_silent_peer_is_left(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
        mail_endpoint at;
        world w;
        sender s;
        int listener;

        opts.client.max_timeout = 5 * MAIL_MILLISECOND;
        world_open(&w, kind, NULL);
        listener = w.sockets.ops->listen_tcp(&w.sockets, &loopback, 0, &at);
        assert_int_equal(sender_open(&s, &w, NULL, &at, NULL, &opts), MAIL_OK);
        world_until(&w, s.closed == 1);
        assert_int_equal(strncmp(s.failure, "451 4.4.7", 9), 0);
        assert_false(s.was_ready);
        sender_close(&s);
        close(listener);
        world_close(&w);
    }
}

/* A half-sent message must never look whole: it is cut off. */
static void a_message_that_fails_on_our_side_is_cut_off(void **state)
{
    static const struct {
        const char *name;
        int fails_at_end;
        bool is_bare;
        size_t length;
        mail_outcome_kind outcome;
    } cases[] = {
        {"the source fails", MAIL_EIO, false, 1000, MAIL_OUTCOME_TRANSIENT},
        {"a long one", MAIL_EDAMAGED, false, 1000000, MAIL_OUTCOME_TRANSIENT},
        {"a bare line feed", MAIL_OK, true, 1000, MAIL_OUTCOME_PERMANENT},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            sender s;

            mail_test_case(cases[i].name);
            party_begin(&p, &w, kind);
            assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
            s.water.fails_at_end = cases[i].fails_at_end;
            s.water.is_bare = cases[i].is_bare;
            s.water.length = cases[i].length;
            world_until(&w, s.closed == 1);
            assert_int_equal(s.done, 1);
            assert_int_equal(s.outcome, cases[i].outcome);
            assert_true(s.is_local);
            assert_int_equal(s.water.closed, 1);
            world_until(&w, p.opened == 0);
            assert_int_equal(p.box.finished, 0);
            sender_close(&s);
            party_end(&p);
        }
    }
}

static void may_be_destroyed_at_any_time(void **state)
{
    static const char *const places[] = {"at once", "dialing", "ready", "waiting", "done"};

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(places); i++) {
            world w;
            party p;
            sender s;

            mail_test_case(places[i]);
            party_begin(&p, &w, kind);
            assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
            s.dies_in = places[i];
            if (i == 1) {
                world_step(&w);
            } else if (i == 3) {
                s.water.waits_every = 500;
                s.water.piece = 500;
                world_until(&w, s.water.done == 500);
                world_idle(&w);
            } else if (i > 1) {
                world_until(&w, s.conn == NULL);
            }
            if (s.conn != NULL) {
                mail_smtp_connection_destroy(s.conn);
                s.conn = NULL;
            }
            assert_int_equal(s.closed, 0);
            assert_int_equal(s.water.closed, i >= 3 ? 1 : 0);
            world_idle(&w);
            world_until(&w, p.opened == 0);
            sender_close(&s);
            party_end(&p);
        }
    }
}

static void quitting_while_it_dials_still_ends_politely(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        sender s;

        party_begin(&p, &w, kind);
        assert_int_equal(sender_open(&s, &w, NULL, &p.at, NULL, NULL), MAIL_OK);
        assert_false(mail_smtp_connection_offer(s.conn)->esmtp);
        mail_smtp_connection_quit(s.conn);
        world_until(&w, s.closed == 1);
        assert_int_equal(s.ready, 0);
        assert_string_equal(s.failure, "");
        sender_close(&s);
        party_end(&p);
    }
}

static void refuses_bad_options(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        static const mail_smtp_connection_ops ops = {
            .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed};
        mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
        mail_smtp_connection *conn;
        world w;

        world_open(&w, kind, NULL);
        opts.ops = &ops;
        opts.client.hostname = MAIL_SPAN("not a\r\nname");
        assert_int_equal(mail_smtp_connection_open(&conn, w.loop, &loopback, &opts), MAIL_EINVAL);
        opts.size = 0;
        assert_int_equal(mail_smtp_connection_open(&conn, w.loop, &loopback, &opts), MAIL_EINVAL);
        mail_smtp_connection_destroy(NULL);
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
            party p;
            sender s;

            if (world_open(&w, kind, &walk.mem) != MAIL_OK) {
                continue;
            }
            if (party_open(&p, &w, NULL, NULL, NULL) != MAIL_OK) {
                world_close(&w); /* the loop had no memory for the listener */
                continue;
            }
            if (sender_open(&s, &w, &walk.mem, &p.at, NULL, NULL) == MAIL_OK) {
                while (s.closed == 0) {
                    world_step(&w);
                    well_fill(&s.water);
                }
                assert_true(s.outcome == MAIL_OUTCOME_ACCEPTED || walk.failed);
            }
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            sender_close(&s);
            party_end(&p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_messages_one_after_the_other),
        cmocka_unit_test(may_rest_between_messages),
        cmocka_unit_test(sends_over_a_unix_socket_in_lmtp),
        cmocka_unit_test(a_large_message_takes_little_memory),
        cmocka_unit_test(what_goes_wrong_is_told),
        cmocka_unit_test(without_a_connection_it_says_so),
        cmocka_unit_test(a_lost_connection_leaves_the_right_outcome),
        cmocka_unit_test(a_silent_peer_is_left),
        cmocka_unit_test(a_message_that_fails_on_our_side_is_cut_off),
        cmocka_unit_test(may_be_destroyed_at_any_time),
        cmocka_unit_test(quitting_while_it_dials_still_ends_politely),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
