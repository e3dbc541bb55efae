/* SPDX-License-Identifier: MIT */
#include "sim/dns.h"

#include <mail/resolver.h>

#include "support/support.h"

/* The library's resolver on the simulated loop and network, asking the simulated server. */

typedef struct story {
    sim_world world;
    sim_loop loop;
    sim_dns dns;
    sim_host host;
    mail_resolver *resolver;
    unsigned verdicts;
    size_t hosts;
    int code;
} story;

static const char zone[] = "example.org MX 10 mx.example.org; mx.example.org A 10.0.0.1; "
                           "now.changing.example MX 10 mx.example.org";

static void begin(story *st, uint64_t seed)
{
    mail_resolver_options opts = MAIL_RESOLVER_OPTIONS_INIT;
    const mail_endpoint server = {{4, {10, 0, 0, 53}, 0}, 53};

    *st = (story){0};
    sim_world_init(&st->world, seed);
    sim_loop_init(&st->loop, &st->world);
    sim_dns_start(&st->dns, &st->world, server.ip, zone);
    sim_host_init(&st->host, &st->world, "a", (mail_ip){4, {10, 0, 0, 9}, 0});
    opts.servers = &server;
    opts.server_count = 1;
    opts.allow_private = true;
    opts.sockets = &st->host.sockets;
    opts.random = &st->world.random;
    assert_int_equal(mail_resolver_create(&st->resolver, &st->loop.loop, &opts), MAIL_OK);
}

static void on_verdict(const mail_mx_verdict *verdict, void *arg)
{
    story *st = arg;

    st->verdicts++;
    st->hosts = verdict->host_count;
    st->code = verdict->host_count == 0 ? verdict->reply.code : 0;
}

static void ask(story *st, const char *domain)
{
    assert_int_equal(mail_resolver_mx(st->resolver, mail_span_text(domain), on_verdict, st, NULL),
                     MAIL_OK);
    sim_world_run(&st->world, st->world.now + MAIL_HOUR, NULL, NULL);
    assert_int_equal(st->verdicts, 1);
}

static void finish(story *st)
{
    mail_resolver_destroy(st->resolver);
    sim_dns_stop(&st->dns);
    sim_world_run(&st->world, st->world.now + MAIL_HOUR, NULL, NULL);
    sim_world_deinit(&st->world);
}

static void answers_the_librarys_resolver(void **state)
{
    static const struct {
        const char *name;
        const char *domain;
        sim_dns_faults faults;
        sim_net_faults net;
        size_t hosts;
        int code;
    } cases[] = {
        {"all is well", "example.org", {0}, {0}, 1, 0},
        {"no such domain", "example.net", {0}, {0}, 0, 550},
        {"by TCP", "example.org", {.truncated = 1000000}, {0}, 1, 0},
        {"by TCP in pieces", "example.org", {.truncated = 1000000}, {.dribbled = 1000000}, 1, 0},
        {"broken", "example.org", {.servfail = 1000000}, {0}, 0, 451},
        {"all packets lost", "example.org", {0}, {.lost = 1000000}, 0, 451},
        {"late", "example.org", {.late = 500000}, {0}, 1, 0},
        {"a lie", "now.changing.example", {.nxdomain = 1000000}, {0}, 0, 550},
        {"no lie", "now.changing.example", {0}, {0}, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        story st;

        mail_test_case(cases[i].name);
        begin(&st, i);
        st.dns.faults = cases[i].faults;
        st.world.faults = cases[i].net;
        ask(&st, cases[i].domain);
        assert_int_equal(st.hosts, cases[i].hosts);
        assert_int_equal(st.code, cases[i].code);
        assert_int_equal(st.dns.tcp_questions > 0, cases[i].faults.truncated > 0);
        finish(&st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_the_librarys_resolver),
    };

    return mail_test_run(tests);
}
