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
    unsigned questions;
    unsigned verdicts;
    size_t hosts;
    char host_name[MAIL_DOMAIN_SIZE]; /* the first */
    int code;
} story;

static const char zone[] = "example.org MX 10 mx.example.org; mx.example.org A 10.0.0.1; "
                           "now.changing.example MX 10 mx.example.org; "
                           "chain.example ALIAS one.chain.example; "
                           "one.chain.example ALIAS two.chain.example; "
                           "two.chain.example CNAME example.org; "
                           "loop.example ALIAS one.loop.example; "
                           "one.loop.example ALIAS loop.example; "
                           "evil.example A 6.6.6.6; other.example A 10.0.0.2; "
                           "fleeting.example TTL 0; fleeting.example MX 10 mx.example.org";

/* The same names elsewhere. */
static const char other_zone[] =
    "fleeting.example TTL 0; fleeting.example MX 10 other.example; other.example A 10.0.0.2";

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
    snprintf(st->host_name, sizeof(st->host_name), "%s",
             verdict->host_count > 0 ? verdict->hosts[0].name : "");
    st->code = verdict->host_count == 0 ? verdict->reply.code : 0;
}

static void ask_within(story *st, const char *domain, mail_duration time)
{
    assert_int_equal(mail_resolver_mx(st->resolver, mail_span_text(domain), on_verdict, st, NULL),
                     MAIL_OK);
    sim_world_run(&st->world, st->world.now + time, NULL, NULL);
    assert_int_equal(++st->questions, st->verdicts);
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
        {"some answers lost", "example.org", {.lost = 300000}, {0}, 1, 0},
        {"all answers lost", "example.org", {.lost = 1000000}, {0}, 0, 451},
        {"strangers answer first", "example.org", {.forged = 1000000}, {0}, 1, 0},
        {"only strangers answer", "example.org", {.forged = 1000000, .lost = 1000000}, {0}, 0, 451},
        {"another name's records beside", "example.org", {.foreign = 1000000}, {0}, 1, 0},
        {"aliases of aliases", "chain.example", {0}, {0}, 1, 0},
        {"a loop of aliases", "loop.example", {0}, {0}, 0, 451},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        story st;

        mail_test_case(cases[i].name);
        begin(&st, i);
        st.dns.faults = cases[i].faults;
        st.world.faults = cases[i].net;
        ask_within(&st, cases[i].domain, MAIL_HOUR);
        assert_int_equal(st.hosts, cases[i].hosts);
        assert_int_equal(st.code, cases[i].code);
        assert_string_equal(st.host_name, st.hosts > 0 ? "mx.example.org" : "");
        assert_int_equal(st.dns.tcp_questions > 0, cases[i].faults.truncated > 0);
        finish(&st);
    }
}

/* What was known is good for as long as it said, and no longer. */
static void changes_its_records(void **state)
{
    story st;

    (void)state;
    begin(&st, 1);
    st.dns.other_zone = other_zone;
    ask_within(&st, "example.org", MAIL_MINUTE);
    ask_within(&st, "fleeting.example", MAIL_MINUTE);
    assert_string_equal(st.host_name, "mx.example.org");
    st.dns.faults.changed = 1000000; /* of questions, of which this is one */
    ask_within(&st, "absent.example", MAIL_MINUTE);
    st.dns.faults.changed = 0;
    assert_ptr_equal(st.dns.zone, other_zone);
    ask_within(&st, "fleeting.example", MAIL_MINUTE);
    assert_string_equal(st.host_name, "other.example");
    ask_within(&st, "example.org", MAIL_HOUR);
    assert_string_equal(st.host_name, "mx.example.org");
    ask_within(&st, "example.org", MAIL_HOUR);
    assert_int_equal(st.code, 550);
    finish(&st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_the_librarys_resolver),
        cmocka_unit_test(changes_its_records),
    };

    return mail_test_run(tests);
}
