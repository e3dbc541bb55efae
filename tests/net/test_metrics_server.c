/* SPDX-License-Identifier: MIT */
#include "net/world.h"

#include <mail/metrics_server.h>

typedef struct kit {
    world w;
    mail_metrics *metrics;
    mail_metrics_server *server;
    mail_endpoint at;
} kit;

static const mail_metric_about depth = {MAIL_METRIC_GAUGE, "depth", "How deep.", NULL, NULL};

static int kit_open(kit *k, int kind, const mail_mem *mem)
{
    mail_metrics_server_options opts = MAIL_METRICS_SERVER_OPTIONS_INIT;
    mail_metric *metric;

    memset(k, 0, sizeof(*k));
    assert_int_equal(world_open(&k->w, kind, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_create(&k->metrics, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_add(k->metrics, &depth, &metric), MAIL_OK);
    opts.mem = mem;
    opts.metrics = k->metrics;
    opts.max_connections = 2;
    opts.sockets = &k->w.sockets;
    return mail_metrics_server_create(&k->server, k->w.loop, &opts, &loopback, &k->at, NULL);
}

static void kit_close(kit *k)
{
    mail_metrics_server_destroy(k->server);
    mail_metrics_destroy(k->metrics);
    world_close(&k->w);
}

/* Says `text` and hears all until the other end closes. */
static void converse(kit *k, const char *text, size_t length, char *heard, size_t size)
{
    world_converse(&k->w, world_connect(&k->w, &k->at), mail_span_of(text, length), false, heard,
                   size);
}

static void answers_only_what_it_is_there_for(void **state)
{
    static const struct {
        const char *name;
        const char *request;
        const char *status;
    } cases[] = {
        {"metrics", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"old version", "GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"query", "GET /metrics?x=1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"root", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"longer", "GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"below", "GET /metrics/../etc HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"no target", "GET HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"empty target", "GET  HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
        {"post", "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "},
        {"lower case", "get /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "},
        {"no version", "GET /metrics\r\n\r\n", "HTTP/1.1 400 "},
        {"other version", "GET /metrics HTTP/2.0\r\n\r\n", "HTTP/1.1 400 "},
        {"long version", "GET /metrics HTTP/1.11\r\n\r\n", "HTTP/1.1 400 "},
        {"mail", "EHLO x\r\n\r\n", "HTTP/1.1 400 "},
        {"empty", "\r\n\r\n", "HTTP/1.1 400 "},
    };

    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        kit k;

        (void)state;
        assert_int_equal(kit_open(&k, kind, NULL), MAIL_OK);
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            char heard[2048];

            mail_test_case(cases[i].name);
            converse(&k, cases[i].request, strlen(cases[i].request), heard, sizeof(heard));
            assert_memory_equal(heard, cases[i].status, strlen(cases[i].status));
            assert_non_null(strstr(heard, "\r\nConnection: close\r\n\r\n"));
            assert_true((strstr(heard, "\r\n\r\n# HELP depth How deep.\n") != NULL) ==
                        (strncmp(cases[i].status, "HTTP/1.1 200", 12) == 0));
        }
        kit_close(&k);
    }
}

static void reads_a_request_octet_by_octet(void **state)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
    char heard[2048];
    kit k;

    (void)state;
    assert_int_equal(kit_open(&k, WORLD_POLL, NULL), MAIL_OK);
    k.w.max_read = 1;
    k.w.max_write = 1;
    converse(&k, request, strlen(request), heard, sizeof(heard));
    assert_non_null(strstr(heard, "\ndepth 0\n"));
    kit_close(&k);
}

static void gives_up_on_a_request_without_end(void **state)
{
    static char flood[64 << 10];
    char heard[2048];
    kit k;

    (void)state;
    memset(flood, 'x', sizeof(flood));
    assert_int_equal(kit_open(&k, WORLD_POLL, NULL), MAIL_OK);
    converse(&k, flood, sizeof(flood), heard, sizeof(heard));
    assert_memory_equal(heard, "HTTP/1.1 431 ", 13);
    kit_close(&k);
}

static void takes_no_more_than_so_many(void **state)
{
    int fds[3];
    char byte;
    kit k;

    (void)state;
    assert_int_equal(kit_open(&k, WORLD_POLL, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(fds); i++) {
        fds[i] = k.w.sockets.ops->connect_tcp(&k.w.sockets, &k.at);
        assert_true(fds[i] >= 0);
    }
    world_until(&k.w, recv(fds[2], &byte, 1, 0) == 0);
    assert_int_equal(recv(fds[0], &byte, 1, 0), -1);
    for (size_t i = 0; i < MAIL_COUNT(fds); i++) {
        close(fds[i]);
    }
    kit_close(&k);
}

static void says_why_it_cannot_listen(void **state)
{
    mail_metrics_server_options opts = MAIL_METRICS_SERVER_OPTIONS_INIT;
    mail_metrics_server *second;
    mail_error err;
    kit k;

    (void)state;
    assert_int_equal(kit_open(&k, WORLD_POLL, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_server_create(&second, k.w.loop, &opts, &loopback, NULL, &err),
                     MAIL_EINVAL);
    opts.metrics = k.metrics;
    assert_int_equal(mail_metrics_server_create(&second, k.w.loop, &opts, &k.at, NULL, &err),
                     MAIL_EBUSY);
    assert_memory_equal(err.text, "127.0.0.1:", 10);
    kit_close(&k);
}

static void lives_with_little_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
        char heard[2048];
        kit k;

        if (kit_open(&k, WORLD_POLL, &walk.mem) == MAIL_OK) {
            converse(&k, request, strlen(request), heard, sizeof(heard));
            assert_true(walk.failed || strstr(heard, "\ndepth 0\n") != NULL);
        }
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_only_what_it_is_there_for),
        cmocka_unit_test(reads_a_request_octet_by_octet),
        cmocka_unit_test(gives_up_on_a_request_without_end),
        cmocka_unit_test(takes_no_more_than_so_many),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(lives_with_little_memory),
    };

    return mail_test_run(tests);
}
