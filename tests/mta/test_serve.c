/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mail/loop_poll.h>
#include <mail/serve.h>
#include <mail/smtp_connection.h>

#include "net/socket.h"
#include "support/certs.h"

/* A server, a client, and what each has seen. */
typedef struct world {
    mail_loop_poll *loop;
    mail_server *server;
    mail_smtp_connection *client;
    mail_envelope envelope;
    const char *message;
    int verdict; /* of the callback */
    bool later;  /* it answers by its ticket */
    mail_ticket ticket;
    unsigned received;
    char content[256];
    char recipients[256];
    mail_outcome_kind outcomes[2];
    uint16_t code;
    bool done;
    bool was_in_tls;
    mail_tls_context *certificate; /* of the server; NULL: none */
    mail_tls_context *trust;       /* of the client */
    mail_smtp_tls tls;
    bool implicit_tls;
    mail_bare_newline bare_newline;
} world;

static int on_message(const mail_incoming *message, void *arg)
{
    world *w = arg;

    w->received++;
    assert_true(message->content.length < sizeof(w->content));
    memcpy(w->content, message->content.data, message->content.length);
    w->content[message->content.length] = '\0';
    assert_span_equal(mail_envelope_sender(message->envelope), "alice@a.example");
    assert_span_equal(message->helo, "client.example");
    w->recipients[0] = '\0';
    for (size_t i = 0; i < mail_envelope_count(message->envelope); i++) {
        mail_span address = mail_envelope_recipient(message->envelope, i).address;

        strncat(w->recipients, address.data, address.length);
        strcat(w->recipients, " ");
    }
    w->was_in_tls = message->in_tls;
    w->ticket = message->ticket;
    return w->later ? MAIL_EAGAIN : w->verdict;
}

static bool knows(const mail_path *recipient, void *arg)
{
    (void)arg;
    return !mail_span_equal(mail_path_local(recipient), MAIL_SPAN("nobody"));
}

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    world *w = arg;
    mail_smtp_content content = {.size = strlen(w->message)};
    static mail_source_span source;

    if (w->done) {
        mail_smtp_connection_quit(conn);
        return;
    }
    mail_source_span_init(&source, mail_span_text(w->message));
    assert_int_equal(mail_smtp_connection_send(conn, &w->envelope, &content, &source.source),
                     MAIL_OK);
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    world *w = arg;

    for (size_t i = 0; i < 2; i++) {
        mail_outcome outcome = mail_smtp_connection_outcome(conn, i);

        w->outcomes[i] = outcome.kind;
        w->code = i == 0 ? outcome.reply.code : w->code;
    }
    w->done = true;
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    world *w = arg;

    w->client = NULL;
    mail_smtp_connection_destroy(conn);
    mail_loop_poll_stop(w->loop);
}

/* `w` says what of TLS there is, and what becomes of bare line ends. */
static void open_world_as(world *w)
{
    mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;

    w->message = "Subject: x\r\n\r\n.hello\r\n";
    opts.tls = w->certificate;
    opts.implicit_tls = w->implicit_tls;
    opts.bare_newline = w->bare_newline;
    assert_int_equal(mail_loop_poll_create(&w->loop, NULL), MAIL_OK);
    opts.listen = "127.0.0.1:0";
    opts.on_message = on_message;
    opts.on_recipient = knows;
    opts.arg = w;
    opts.max_message_bytes = 200;
    assert_int_equal(mail_serve(&w->server, mail_loop_poll_loop(w->loop), &opts, NULL), MAIL_OK);
    mail_envelope_init(&w->envelope, NULL);
    mail_envelope_set_sender(&w->envelope, MAIL_SPAN("alice@a.example"), (mail_span){0});
    mail_envelope_add(&w->envelope, &(mail_recipient){.address = MAIL_SPAN("bob@b.example")});
    mail_envelope_add(&w->envelope, &(mail_recipient){.address = MAIL_SPAN("nobody@b.example")});
}

static void open_world(world *w)
{
    *w = (world){.loop = NULL};
    open_world_as(w);
}

static void close_world(world *w)
{
    mail_smtp_connection_destroy(w->client);
    mail_server_destroy(w->server);
    mail_loop_poll_destroy(w->loop);
    mail_envelope_deinit(&w->envelope);
}

static void connect_client(world *w)
{
    static const mail_smtp_connection_ops ops = {
        .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed};
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;
    mail_endpoint to = mail_server_endpoint(w->server);

    opts.client.hostname = MAIL_SPAN("client.example");
    opts.client.tls = w->tls;
    opts.tls = w->trust;
    opts.ops = &ops;
    opts.arg = w;
    w->done = false;
    assert_int_equal(
        mail_smtp_connection_open(&w->client, mail_loop_poll_loop(w->loop), &to, &opts), MAIL_OK);
}

static void gives_messages_to_its_callback_and_its_verdict_to_the_peer(void **state)
{
    static const struct {
        const char *name;
        int verdict;
        uint16_t code;
    } cases[] = {
        {"taken", MAIL_OK, 250},
        {"refused for good", MAIL_EINVAL, 554},
        {"no room", MAIL_ENOSPC, 452},
        {"anything else", MAIL_EIO, 451},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        world w;

        mail_test_case(cases[i].name);
        open_world(&w);
        w.verdict = cases[i].verdict;
        connect_client(&w);
        assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
        assert_int_equal(w.received, 1);
        assert_string_equal(w.content, w.message);
        assert_string_equal(w.recipients, "bob@b.example ");
        assert_int_equal(w.code, cases[i].code);
        assert_int_equal(w.outcomes[1], MAIL_OUTCOME_PERMANENT);
        close_world(&w);
    }
}

static mail_tls_context *make_context(void)
{
    static const mail_test_cert_options named = {.dns_name = "mx.example"};
    mail_tls_context *context;
    mail_test_cert cert;

    mail_test_cert_make(&cert, &named);
    context = mail_test_tls_context(&cert, NULL);
    mail_test_cert_free(&cert);
    return context;
}

static void takes_messages_in_tls(void **state)
{
    static const struct {
        const char *name;
        mail_smtp_tls tls;
        bool has_certificate, implicit, is_in_tls;
    } cases[] = {
        {"not offered", MAIL_SMTP_TLS_MAY, false, false, false},
        {"not wanted", MAIL_SMTP_TLS_NONE, true, false, false},
        {"after STARTTLS", MAIL_SMTP_TLS_REQUIRE, true, false, true},
        {"from the first octet", MAIL_SMTP_TLS_IMPLICIT, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        world w = {.tls = cases[i].tls, .implicit_tls = cases[i].implicit};

        mail_test_case(cases[i].name);
        w.certificate = cases[i].has_certificate ? make_context() : NULL;
        w.trust = mail_test_tls_context(NULL, NULL);
        open_world_as(&w);
        if (w.certificate != NULL) {
            mail_server_set_tls(w.server, w.certificate);
        }
        connect_client(&w);
        assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
        assert_int_equal(w.received, 1);
        assert_int_equal(w.was_in_tls, cases[i].is_in_tls);
        close_world(&w);
        mail_tls_context_unref(w.certificate);
        mail_tls_context_unref(w.trust);
    }
}

static void wants_a_certificate_for_tls(void **state)
{
    mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;
    mail_error err = {.text = ""};
    mail_loop_poll *loop;
    mail_server *server;

    (void)state;
    assert_int_equal(mail_loop_poll_create(&loop, NULL), MAIL_OK);
    opts.listen = "127.0.0.1:0";
    opts.on_message = on_message;
    opts.implicit_tls = true;
    assert_int_equal(mail_serve(&server, mail_loop_poll_loop(loop), &opts, &err), MAIL_EINVAL);
    assert_string_equal(err.text, "TLS needs a certificate");
    mail_loop_poll_destroy(loop);
}

static void answers_later_and_once(void **state)
{
    world w;

    (void)state;
    open_world(&w);
    w.later = true;
    connect_client(&w);
    while (w.received == 0) {
        assert_int_equal(mail_loop_poll_run_once(w.loop, MAIL_SECOND), MAIL_OK);
    }
    assert_false(w.done);
    assert_int_equal(mail_server_answer(w.ticket, MAIL_OK), MAIL_OK);
    assert_int_equal(mail_server_answer(w.ticket, MAIL_OK), MAIL_ECANCELED);
    assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
    assert_int_equal(w.outcomes[0], MAIL_OUTCOME_ACCEPTED);
    close_world(&w);
}

static void takes_an_answer_after_the_peer_has_gone(void **state)
{
    world w;

    (void)state;
    open_world(&w);
    w.later = true;
    connect_client(&w);
    while (w.received == 0) {
        assert_int_equal(mail_loop_poll_run_once(w.loop, MAIL_SECOND), MAIL_OK);
    }
    mail_smtp_connection_destroy(w.client);
    w.client = NULL;
    (void)mail_loop_poll_run_once(w.loop, 100 * MAIL_MILLISECOND);
    (void)mail_server_answer(w.ticket, MAIL_OK);
    close_world(&w);
}

static void refuses_what_is_too_large(void **state)
{
    char large[400];
    world w;

    (void)state;
    memset(large, 'x', sizeof(large));
    memcpy(large, "Subject: x\r\n\r\n", 14);
    memcpy(large + sizeof(large) - 3, "\r\n", 3);
    open_world(&w);
    w.message = large;
    connect_client(&w);
    assert_int_equal(mail_loop_poll_run(w.loop), MAIL_OK);
    assert_int_equal(w.received, 0);
    assert_int_equal(w.outcomes[0], MAIL_OUTCOME_PERMANENT);
    close_world(&w);
}

/* Says one thing after the other and waits for a reply to each; our own client sends no such thing. */
static void talk(world *w, const char *const *lines, size_t count, char *last, size_t size)
{
    mail_endpoint to = mail_server_endpoint(w->server);
    int fd = net_system_sockets.ops->connect_tcp(&net_system_sockets, &to);
    ssize_t n;

    assert_true(fd >= 0);
    for (size_t i = 0; i <= count; i++) {
        do {
            assert_int_equal(mail_loop_poll_run_once(w->loop, MAIL_MILLISECOND), MAIL_OK);
            n = recv(fd, last, size - 1, 0);
        } while (n < 0 && (errno == EAGAIN || errno == ENOTCONN));
        assert_true(n > 0);
        last[n] = '\0';
        if (i < count) {
            assert_int_equal(send(fd, lines[i], strlen(lines[i]), MSG_NOSIGNAL), strlen(lines[i]));
        }
    }
    close(fd);
}

/* SS-003: no bare line end gets to the callback. */
static void refuses_bare_line_ends_or_mends_them(void **state)
{
    static const char *const lines[] = {
        "HELO client.example\r\n", "MAIL FROM:<alice@a.example>\r\n", "RCPT TO:<bob@b.example>\r\n",
        "DATA\r\n", "Subject: x\r\n\r\nbare\nend\r\n.\r\n"};

    (void)state;
    for (int mends = 0; mends < 2; mends++) {
        world w = {.bare_newline = mends ? MAIL_BARE_NEWLINE_NORMALISE : MAIL_BARE_NEWLINE_REJECT};
        char reply[1000];

        open_world_as(&w);
        talk(&w, lines, MAIL_COUNT(lines), reply, sizeof(reply));
        assert_int_equal(strncmp(reply, mends ? "250 " : "550 ", 4), 0);
        assert_int_equal(w.received, mends);
        assert_string_equal(w.content, mends ? "Subject: x\r\n\r\nbare\r\nend\r\n" : "");
        close_world(&w);
    }
}

static void says_why_it_cannot_listen(void **state)
{
    mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;
    char where[MAIL_IP_TEXT_SIZE];
    mail_server *second;
    mail_endpoint at;
    mail_error err;
    world w;

    (void)state;
    open_world(&w);
    at = mail_server_endpoint(w.server);
    mail_endpoint_print(&at, where);
    opts.on_message = on_message;
    opts.listen = where;
    assert_int_equal(mail_serve(&second, mail_loop_poll_loop(w.loop), &opts, &err), MAIL_EBUSY);
    assert_true(strlen(err.text) > 0);
    opts.listen = "localhost";
    assert_int_equal(mail_serve(&second, mail_loop_poll_loop(w.loop), &opts, &err), MAIL_EINVAL);
    assert_string_equal(err.text, "not an address and port: localhost");
    close_world(&w);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;
        mail_loop_poll *loop;
        mail_server *server = NULL;

        assert_int_equal(mail_loop_poll_create(&loop, NULL), MAIL_OK);
        opts.mem = &walk.mem;
        opts.listen = "127.0.0.1:0";
        opts.on_message = on_message;
        if (mail_serve(&server, mail_loop_poll_loop(loop), &opts, NULL) == MAIL_OK) {
            assert_false(walk.failed);
        }
        mail_server_destroy(server);
        mail_loop_poll_destroy(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_messages_to_its_callback_and_its_verdict_to_the_peer),
        cmocka_unit_test(takes_messages_in_tls),
        cmocka_unit_test(wants_a_certificate_for_tls),
        cmocka_unit_test(answers_later_and_once),
        cmocka_unit_test(takes_an_answer_after_the_peer_has_gone),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(refuses_bare_line_ends_or_mends_them),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
