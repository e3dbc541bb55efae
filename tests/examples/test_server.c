/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <mail/loop_poll.h>

#include "common/server.h"

/* What the program writes to a descriptor while `fn` runs. */
static char *capture(int fd, void (*fn)(void))
{
    static char text[8192];
    int saved = dup(fd);
    int ends[2];
    ssize_t length;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], fd);
    close(ends[1]);
    fn();
    dup2(saved, fd);
    close(saved);
    length = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(length >= 0);
    text[length] = '\0';
    return text;
}

static void say_something(void)
{
    server_log log;

    server_log_init(&log, MAIL_LOG_WARN, MAIL_LOG_TEXT);
    server_say(&log, MAIL_LOG_WARN, "too warm", "39 degrees");
    server_say(&log, MAIL_LOG_INFO, "not said", NULL);
    server_log_init(&log, MAIL_LOG_INFO, MAIL_LOG_JSON);
    server_say(&log, MAIL_LOG_INFO, "started", NULL);
}

static void logs_what_is_wanted_in_the_form_that_is_wanted(void **state)
{
    const char *text = capture(STDERR_FILENO, say_something);

    (void)state;
    assert_non_null(strstr(text, " warn too warm detail=\"39 degrees\"\n{\"time\":\""));
    assert_non_null(strstr(text, "\",\"level\":\"info\",\"event\":\"started\"}\n"));
    assert_null(strstr(text, "not said"));
}

static void say_ready(void)
{
    const mail_endpoint at = {{.family = 4, .bytes = {127, 0, 0, 1}}, 2525};
    server_ready ready = {""};

    server_ready_add_endpoint(&ready, "smtp", &at);
    server_ready_add(&ready, "lmtp", "unix:/run/lmtp");
    assert_true(server_ready_print(&ready));
}

static void says_in_one_line_where_it_listens(void **state)
{
    (void)state;
    assert_string_equal(capture(STDOUT_FILENO, say_ready),
                        "ready smtp=127.0.0.1:2525 lmtp=unix:/run/lmtp\n");
}

typedef struct heard {
    mail_loop_poll *loop;
    int stops;
    int reloads;
} heard;

static void on_stop(void *arg)
{
    heard *hd = arg;

    hd->stops++;
    mail_loop_poll_stop(hd->loop);
}

static void on_reload(void *arg)
{
    heard *hd = arg;

    hd->reloads++;
    mail_loop_poll_stop(hd->loop);
}

static void hears_signals_on_the_loop(void **state)
{
    static const server_signal_ops ops = {on_stop, on_reload};
    heard hd = {.stops = 0};

    (void)state;
    assert_int_equal(mail_loop_poll_create(&hd.loop, NULL), MAIL_OK);
    assert_int_equal(server_signals_watch(mail_loop_poll_loop(hd.loop), &ops, &hd), MAIL_OK);
    raise(SIGHUP);
    assert_int_equal(hd.reloads, 0);
    assert_int_equal(mail_loop_poll_run(hd.loop), MAIL_OK);
    assert_int_equal(hd.reloads, 1);
    raise(SIGPIPE);
    server_raise_limits();
    raise(SIGXFSZ);
    raise(SIGINT);
    assert_int_equal(mail_loop_poll_run(hd.loop), MAIL_OK);
    raise(SIGTERM);
    assert_int_equal(mail_loop_poll_run(hd.loop), MAIL_OK);
    assert_int_equal(hd.stops, 2);
    server_signals_unwatch();
    server_signals_unwatch();
    mail_loop_poll_destroy(hd.loop);
}

static void knows_a_name_for_this_host(void **state)
{
    char name[SERVER_HOSTNAME_SIZE];

    (void)state;
    server_hostname(name);
    assert_true(strlen(name) > 0);
    assert_int_equal(mail_domain_to_ascii(mail_span_text(name), name), MAIL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_what_is_wanted_in_the_form_that_is_wanted),
        cmocka_unit_test(says_in_one_line_where_it_listens),
        cmocka_unit_test(hears_signals_on_the_loop),
        cmocka_unit_test(knows_a_name_for_this_host),
    };

    return mail_test_run(tests);
}
