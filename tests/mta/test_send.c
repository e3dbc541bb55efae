/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <mail/loop_poll.h>
#include <mail/send.h>
#include <mail/serve.h>

#define MESSAGE "Subject: x\r\n\r\n.hello\r\n"

/* A server that takes all but `nobody`, and what was sent to it. */
typedef struct world {
    mail_loop_poll *loop;
    mail_server *server;
    char where[MAIL_IP_TEXT_SIZE];
    unsigned received;
    char content[256];
    mail_envelope envelope;
    mail_send_options opts;
    atomic_bool is_over; /* the client has all it wants */
    unsigned calls;
    mail_outcome_kind kinds[3];
    char replies[3][200];
} world;

static int on_message(const mail_incoming *message, void *arg)
{
    world *w = arg;

    w->received++;
    memcpy(w->content, message->content.data, message->content.length);
    w->content[message->content.length] = '\0';
    return MAIL_OK;
}

static bool knows(const mail_path *recipient, void *arg)
{
    (void)arg;
    return !mail_span_equal(mail_path_local(recipient), MAIL_SPAN("nobody"));
}

static void add(world *w, const char *address)
{
    mail_recipient recipient = {.address = mail_span_text(address)};

    assert_int_equal(mail_envelope_add(&w->envelope, &recipient), MAIL_OK);
}

static void open_world(world *w)
{
    mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;
    mail_endpoint at;

    memset(w, 0, sizeof(*w));
    assert_int_equal(mail_loop_poll_create(&w->loop, NULL), MAIL_OK);
    opts.listen = "127.0.0.1:0";
    opts.on_message = on_message;
    opts.on_recipient = knows;
    opts.arg = w;
    assert_int_equal(mail_serve(&w->server, mail_loop_poll_loop(w->loop), &opts, NULL), MAIL_OK);
    at = mail_server_endpoint(w->server);
    mail_endpoint_print(&at, w->where);
    mail_envelope_init(&w->envelope, NULL);
    mail_envelope_set_sender(&w->envelope, MAIL_SPAN("alice@a.example"), (mail_span){0});
    w->opts = (mail_send_options)MAIL_SEND_OPTIONS_INIT;
    w->opts.smart_host = w->where;
    w->opts.hostname = "client.example";
}

static void close_world(world *w)
{
    mail_server_destroy(w->server);
    mail_loop_poll_destroy(w->loop);
    mail_envelope_deinit(&w->envelope);
}

static void note_results(const mail_send_results *results, void *arg)
{
    world *w = arg;

    w->calls++;
    assert_true(mail_send_results_count(results) <= 3);
    for (size_t i = 0; i < mail_send_results_count(results); i++) {
        mail_send_result result = mail_send_results_at(results, i);

        w->kinds[i] = result.kind;
        mail_reply_print(&result.reply, w->replies[i], sizeof(w->replies[i]));
    }
    mail_loop_poll_stop(w->loop);
}

static void gives_each_recipient_its_own_result(void **state)
{
    mail_sending *sending;
    world w;

    (void)state;
    open_world(&w);
    add(&w, "bob@b.example");
    add(&w, "nobody@b.example");
    add(&w, "carol@c.example");
    assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                               MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, NULL),
                     MAIL_OK);
    assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.received, 1); /* QR-005: one transaction for one host */
    assert_string_equal(w.content, MESSAGE);
    assert_int_equal(w.kinds[0], MAIL_OUTCOME_ACCEPTED);
    assert_int_equal(w.kinds[1], MAIL_OUTCOME_PERMANENT);
    assert_int_equal(w.kinds[2], MAIL_OUTCOME_ACCEPTED);
    assert_string_equal(w.replies[1], "550 5.1.1 No such user here");
    close_world(&w);
}

static void says_when_nobody_is_there(void **state)
{
    mail_sending *sending;
    uint16_t port;
    int held = mail_test_dead_port(&port);
    world w;

    (void)state;
    open_world(&w);
    snprintf(w.where, sizeof(w.where), "127.0.0.1:%u", port);
    add(&w, "bob@b.example");
    assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                               MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, NULL),
                     MAIL_OK);
    assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
    assert_int_equal(w.kinds[0], MAIL_OUTCOME_TRANSIENT);
    assert_memory_equal(w.replies[0], "451 4.4.1 ", 10);
    close_world(&w);
    close(held);
}

static int never_answer(const mail_incoming *message, void *arg)
{
    (void)message;
    ((world *)arg)->received++;
    return MAIL_EAGAIN;
}

static void ends_in_the_time_allowed(void **state)
{
    mail_serve_options serve = MAIL_SERVE_OPTIONS_INIT;
    mail_sending *sending;
    mail_endpoint at;
    world w;

    (void)state;
    open_world(&w);
    mail_server_destroy(w.server);
    serve.listen = "127.0.0.1:0";
    serve.on_message = never_answer;
    serve.arg = &w;
    assert_int_equal(mail_serve(&w.server, mail_loop_poll_loop(w.loop), &serve, NULL), MAIL_OK);
    at = mail_server_endpoint(w.server);
    mail_endpoint_print(&at, w.where);
    add(&w, "bob@b.example");
    w.opts.timeout = 200 * MAIL_MILLISECOND;
    assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                               MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, NULL),
                     MAIL_OK);
    assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.kinds[0], MAIL_OUTCOME_UNTRIED);
    close_world(&w);
}

static void can_be_broken_off_at_any_time(void **state)
{
    (void)state;
    for (int rounds = 0; rounds < 12; rounds++) {
        mail_sending *sending;
        world w;

        open_world(&w);
        add(&w, "bob@b.example");
        assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                                   MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, NULL),
                         MAIL_OK);
        for (int i = 0; i < rounds && w.calls == 0; i++) {
            assert_int_equal(mail_loop_poll_run_once(w.loop, 20 * MAIL_MILLISECOND), MAIL_OK);
        }
        if (w.calls == 0) {
            mail_sending_cancel(sending);
        }
        close_world(&w);
    }
}

/* The server of the blocking twin runs in a thread of its own. */
static void *serve_one(void *arg)
{
    world *w = arg;

    while (!atomic_load(&w->is_over)) {
        (void)mail_loop_poll_run_once(w->loop, 20 * MAIL_MILLISECOND);
    }
    return NULL;
}

static void waits_where_there_is_no_loop(void **state)
{
    mail_send_results *results;
    pthread_t thread;
    world w;

    (void)state;
    open_world(&w);
    add(&w, "bob@b.example");
    assert_int_equal(pthread_create(&thread, NULL, serve_one, &w), 0);
    assert_int_equal(mail_send_wait(&results, &w.envelope, MAIL_SPAN(MESSAGE), &w.opts, NULL),
                     MAIL_OK);
    atomic_store(&w.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.received, 1);
    assert_true(mail_send_results_are_good(results));
    assert_span_equal(mail_send_results_at(results, 0).recipient, "bob@b.example");
    assert_true(mail_send_results_at(results, 0).host.length > 0);
    mail_send_results_destroy(results);
    close_world(&w);
}

static void refuses_what_cannot_be_sent(void **state)
{
    static const char *const routes[] = {"mx",   "local",        "discard",
                                         "hold", "error:550 no", "lmtp:127.0.0.1:24"};
    mail_sending *sending;
    mail_error err;
    world w;

    (void)state;
    open_world(&w);
    assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                               MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, &err),
                     MAIL_EINVAL);
    assert_string_equal(err.text, "no recipients");
    add(&w, "bob@b.example");
    w.opts.smart_host = "not a host";
    assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                               MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, &err),
                     MAIL_EINVAL);
    assert_string_equal(err.text, "the smart host is not HOST:PORT");
    for (size_t i = 0; i < MAIL_COUNT(routes); i++) {
        w.opts.smart_host = routes[i];
        assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                                   MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, &err),
                         MAIL_EINVAL);
        assert_string_equal(err.text, "the smart host is not HOST:PORT");
    }
    close_world(&w);
}

/* HOSTILE section 4: what breaks out of its command is an error, and nobody hears a word of it. */
static void refuses_what_is_no_address(void **state)
{
    static const struct {
        const char *name;
        const char *sender;
        const char *rcpt;
        const char *why;
    } cases[] = {
        {"a command in the sender", "alice@a.example\r\nRCPT TO:<evil@x.example>", "bob@b.example",
         "the sender is no address"},
        {"a parameter in the sender", "alice@a.example> SIZE=1", "bob@b.example",
         "the sender is no address"},
        {"a blank in the sender", "a b@a.example", "bob@b.example", "the sender is no address"},
        {"a command", "", "bob@b.example\r\nDATA", "recipient 2 is no address"},
        {"a command behind a lone LF", "", "bob@b.example\nRCPT TO:<evil@x.example>",
         "recipient 2 is no address"},
        {"half a line end", "", "bob@b.example\r", "recipient 2 is no address"},
        {"a parameter", "", "bob@b.example> NOTIFY=NEVER", "recipient 2 is no address"},
        {"brackets", "", "<bob@b.example>", "recipient 2 is no address"},
        {"two", "", "bob@b.example, evil@x.example", "recipient 2 is no address"},
        {"a line end in quotes", "", "\"bob\n\"@b.example", "recipient 2 is no address"},
        {"nothing", "", "", "recipient 2 is no address"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sending *sending;
        mail_error err;
        world w;

        mail_test_case(cases[i].name);
        open_world(&w);
        mail_envelope_reset(&w.envelope);
        mail_envelope_set_sender(&w.envelope, mail_span_text(cases[i].sender), (mail_span){0});
        add(&w, "carol@c.example");
        add(&w, cases[i].rcpt);
        assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                                   MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, &err),
                         MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].why);
        close_world(&w);
    }
}

/* What travels with an address can't break out either. */
static void lets_no_parameter_break_out(void **state)
{
    static const struct {
        const char *name;
        const char *envid;
        const char *orcpt;
    } cases[] = {
        {"ENVID", "a\r\nRCPT TO:<evil@x.example>", NULL},
        {"ORCPT", NULL, "rfc822;a\r\nDATA"},
        {"ORCPT with a blank", NULL, "rfc822;a NOTIFY=NEVER"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_recipient rcpt = {.address = MAIL_SPAN("bob@b.example"),
                               .orcpt = mail_span_text(cases[i].orcpt)};
        mail_sending *sending;
        world w;

        mail_test_case(cases[i].name);
        open_world(&w);
        mail_envelope_reset(&w.envelope);
        mail_envelope_set_sender(&w.envelope, MAIL_SPAN("a@a.example"),
                                 mail_span_text(cases[i].envid));
        assert_int_equal(mail_envelope_add(&w.envelope, &rcpt), MAIL_OK);
        assert_int_equal(mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope,
                                   MAIL_SPAN(MESSAGE), &w.opts, note_results, &w, NULL),
                         MAIL_OK);
        assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
        assert_int_equal(w.received, 0);
        assert_int_equal(w.kinds[0], MAIL_OUTCOME_PERMANENT);
        assert_memory_equal(w.replies[0], "553 5.1.3", 9);
        close_world(&w);
    }
}

static void survives_every_failed_allocation(void **state)
{
    world w;

    (void)state;
    open_world(&w);
    add(&w, "bob@b.example");
    MAIL_TEST_WALK(walk)
    {
        mail_sending *sending;

        w.opts.mem = &walk.mem;
        if (mail_send(&sending, mail_loop_poll_loop(w.loop), &w.envelope, MAIL_SPAN(MESSAGE),
                      &w.opts, note_results, &w, NULL) == MAIL_OK) {
            mail_sending_cancel(sending);
        } else {
            assert_true(walk.failed);
        }
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_each_recipient_its_own_result),
        cmocka_unit_test(says_when_nobody_is_there),
        cmocka_unit_test(ends_in_the_time_allowed),
        cmocka_unit_test(can_be_broken_off_at_any_time),
        cmocka_unit_test(waits_where_there_is_no_loop),
        cmocka_unit_test(refuses_what_cannot_be_sent),
        cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(lets_no_parameter_break_out),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
