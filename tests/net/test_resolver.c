/* SPDX-License-Identifier: MIT */
#include "net/fake_dns.h"

#include <time.h>

#include <mail/loop_poll.h>
#include <mail/resolver.h>

static const char zone[] =
    "a.example MX 10 mx.a.example; mx.a.example A 9.9.9.1; mx.a.example AAAA 2600::1;"
    "b.example CNAME a.example; c.example ALIAS a.example; d.example A 9.9.9.4;"
    "dead.example FAIL; null.example MX 0 .; lan.example A 10.0.0.1;"
    "long.example MX 10 h1.example; long.example TTL 1; h1.example A 9.9.9.5";

/* A loop, a server or two, a resolver, and the verdict that it gave last. */
typedef struct world {
    mail_loop_poll *poll;
    mail_loop *loop;
    fake_dns dns[2];
    size_t dns_count;
    mail_resolver *resolver;
    unsigned verdicts;
    bool destroys; /* the resolver, on a verdict */
    char text[1024];
} world;

static void world_begin(world *w, unsigned lies)
{
    *w = (world){.dns_count = 1};
    assert_int_equal(mail_loop_poll_create(&w->poll, NULL), MAIL_OK);
    w->loop = mail_loop_poll_loop(w->poll);
    fake_dns_start(&w->dns[0], w->loop, zone, lies);
}

static void world_add(world *w, unsigned lies)
{
    fake_dns_start(&w->dns[w->dns_count++], w->loop, zone, lies);
}

static int world_create(world *w, mail_resolver_options opts)
{
    mail_endpoint servers[2];

    for (size_t i = 0; i < w->dns_count; i++) {
        servers[i] = w->dns[i].at;
    }
    opts.size = sizeof(opts);
    opts.servers = servers;
    opts.server_count = w->dns_count;
    opts.timeout = opts.timeout > 0 ? opts.timeout : 5 * MAIL_SECOND;
    return mail_resolver_create(&w->resolver, w->loop, &opts);
}

static void world_end(world *w)
{
    mail_resolver_destroy(w->resolver);
    for (size_t i = 0; i < w->dns_count; i++) {
        fake_dns_stop(&w->dns[i]);
    }
    mail_loop_poll_destroy(w->poll);
}

/* `10 mx.example 9.9.9.9; …`, or code and text of the reply. */
static void on_verdict(const mail_mx_verdict *verdict, void *arg)
{
    world *w = arg;
    size_t length;

    w->verdicts++;
    length =
        verdict->reply.code != 0 ? mail_reply_print(&verdict->reply, w->text, sizeof(w->text)) : 0;
    w->text[length] = '\0';
    for (size_t i = 0; i < verdict->host_count; i++) {
        const mail_mx_host *host = &verdict->hosts[i];

        length += (size_t)snprintf(w->text + length, sizeof(w->text) - length, "%s%u %s",
                                   i > 0 ? "; " : "", host->preference, host->name);
        for (size_t j = 0; j < host->address_count; j++) {
            char ip[MAIL_IP_TEXT_SIZE];

            mail_ip_print(&host->addresses[j], ip);
            length += (size_t)snprintf(w->text + length, sizeof(w->text) - length, " %s", ip);
        }
    }
    if (w->destroys) {
        mail_resolver_destroy(w->resolver);
        w->resolver = NULL;
    }
}

static void run_until(world *w, unsigned verdicts)
{
    mail_time deadline = mail_loop_now(w->loop) + MAIL_MINUTE;

    while (w->verdicts < verdicts) {
        assert_int_equal(mail_loop_poll_run_once(w->poll, MAIL_SECOND), MAIL_OK);
        assert_true(mail_loop_now(w->loop) < deadline);
    }
}

static const char *look_up(world *w, const char *domain)
{
    unsigned before = w->verdicts;

    assert_int_equal(mail_resolver_mx(w->resolver, mail_span_text(domain), on_verdict, w, NULL),
                     MAIL_OK);
    assert_int_equal(w->verdicts, before);
    run_until(w, before + 1);
    return w->text;
}

static const char a_hosts[] = "10 mx.a.example 2600::1 9.9.9.1";

static void finds_hosts_over_udp(void **state)
{
    static const struct {
        const char *domain;
        const char *want;
    } cases[] = {
        {"a.example", a_hosts},
        {"b.example", a_hosts},
        {"c.example", a_hosts},
        {"d.example", "0 d.example 9.9.9.4"},
        {"none.example", "550 5.1.2 No such domain: none.example"},
        {"null.example", "556 5.1.10 null.example accepts no mail (null MX)"},
        {"dead.example", "451 4.4.3 Can't look up dead.example: the server failed (SERVFAIL)"},
        {"lan.example", "550 5.4.4 lan.example lies on 10.0.0.1, which is no public address"},
        {"[9.9.9.9]", "0 [9.9.9.9] 9.9.9.9"},
        {"not a name", "550 5.1.2 Not the name of a domain"},
    };
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].domain);
        assert_string_equal(look_up(&w, cases[i].domain), cases[i].want);
    }
    assert_int_equal(w.dns[0].tcp_questions, 0);
    world_end(&w);
}

/* MX-018. */
static void believes_no_liar(void **state)
{
    static const struct {
        const char *name;
        unsigned lies;
        bool needs_tcp;
        const char *want;
    } cases[] = {
        {"another id", LIE_ID, false, a_hosts},
        {"another name", LIE_NAME, false, a_hosts},
        {"a compression loop", LIE_LOOP, false, a_hosts},
        {"junk", LIE_JUNK, false, a_hosts},
        {"all of these", LIE_ID | LIE_NAME | LIE_LOOP | LIE_JUNK, false, a_hosts},
        {"another case", LIE_CASE, true, a_hosts},
        {"an answer cut short", LIE_TRUNCATE, true, a_hosts},
        {"an answer cut short and then in drops", LIE_TRUNCATE | LIE_DRIP, true, a_hosts},
        {"no EDNS", LIE_NO_EDNS, false, a_hosts},
        {"no EDNS over TCP either", LIE_TRUNCATE | LIE_NO_EDNS, true, a_hosts},
        {"records of another owner", LIE_OWNER, false,
         "550 5.1.2 a.example has neither MX record nor address"},
        {"SERVFAIL", LIE_SERVFAIL, false,
         "451 4.4.3 Can't look up a.example: the server failed (SERVFAIL)"},
        {"65 kB over TCP", LIE_TRUNCATE | LIE_HUGE, true,
         "451 4.4.3 Can't look up a.example: longer than 16 KiB"},
        {"a connection that ends too soon", LIE_TRUNCATE | LIE_CUT, true,
         "451 4.4.3 Can't look up a.example: the connection was lost"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        world w;

        mail_test_case(cases[i].name);
        world_begin(&w, cases[i].lies);
        assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
        assert_string_equal(look_up(&w, "a.example"), cases[i].want);
        assert_int_equal(w.dns[0].tcp_questions > 0, cases[i].needs_tcp);
        world_end(&w);
    }
}

static void takes_any_case_when_told_so(void **state)
{
    world w;

    (void)state;
    world_begin(&w, LIE_CASE);
    assert_int_equal(world_create(&w, (mail_resolver_options){.no_0x20 = true}), MAIL_OK);
    assert_string_equal(look_up(&w, "a.example"), a_hosts);
    assert_int_equal(w.dns[0].tcp_questions, 0);
    world_end(&w);
}

static void asks_the_next_server_when_one_is_silent(void **state)
{
    static const unsigned lies[] = {LIE_SILENT, LIE_SERVFAIL, LIE_TRUNCATE | LIE_CUT};
    /* What the one that answers needs at most, however slow the machine. */
    const mail_resolver_options opts = {.timeout = MAIL_SECOND};
    unsigned asked;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(lies); i++) {
        world w;

        world_begin(&w, lies[i]);
        world_add(&w, 0);
        assert_int_equal(world_create(&w, opts), MAIL_OK);
        assert_string_equal(look_up(&w, "a.example"), a_hosts);
        asked = w.dns[0].udp_questions;
        assert_true(asked > 0);
        assert_string_equal(look_up(&w, "d.example"), "0 d.example 9.9.9.4");
        assert_int_equal(w.dns[0].udp_questions, asked); /* the one that answers goes first now */
        world_end(&w);
    }
}

/* MX-002. */
static void gives_up_after_some_tries(void **state)
{
    world w;

    (void)state;
    world_begin(&w, LIE_SILENT);
    assert_int_equal(
        world_create(&w, (mail_resolver_options){.timeout = 5 * MAIL_MILLISECOND, .tries = 3}),
        MAIL_OK);
    assert_string_equal(look_up(&w, "a.example"),
                        "451 4.4.3 Can't look up a.example: no answer in time");
    assert_int_equal(w.dns[0].udp_questions, 3);
    world_end(&w);
}

static void says_so_when_nobody_listens(void **state)
{
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
    fake_dns_deafen(&w.dns[0]);
    assert_string_equal(look_up(&w, "a.example"),
                        "451 4.4.3 Can't look up a.example: nobody listens there");
    world_end(&w);
}

/* MX-015. */
static void asks_only_what_it_does_not_know(void **state)
{
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(mail_resolver_mx(w.resolver, MAIL_SPAN("a.example"), on_verdict, &w, NULL),
                         MAIL_OK);
    }
    run_until(&w, 10);
    assert_int_equal(w.dns[0].udp_questions, 3); /* MX, A and AAAA, for all ten */
    assert_string_equal(look_up(&w, "A.example."), a_hosts);
    assert_int_equal(w.dns[0].udp_questions, 3);
    look_up(&w, "none.example");
    look_up(&w, "none.example");
    assert_int_equal(w.dns[0].udp_questions, 4);
    look_up(&w, "dead.example");
    look_up(&w, "dead.example");
    assert_int_equal(w.dns[0].udp_questions, 6);
    world_end(&w);
}

static void asks_few_questions_at_once(void **state)
{
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){.max_questions = 1}), MAIL_OK);
    for (unsigned i = 0; i < 20; i++) {
        char domain[32];

        snprintf(domain, sizeof(domain), "n%u.example", i);
        assert_int_equal(mail_resolver_mx(w.resolver, mail_span_text(domain), on_verdict, &w, NULL),
                         MAIL_OK);
    }
    for (unsigned i = 0; i < 20; i++) {
        run_until(&w, i + 1);
        assert_true(w.dns[0].udp_questions <= w.verdicts + 1);
    }
    world_end(&w);
}

static void finds_a_configured_host(void **state)
{
    static const struct {
        const char *host;
        const char *want;
    } cases[] = {
        {"lan.example", "0 lan.example 10.0.0.1"},
        {"127.0.0.1", "0 [127.0.0.1] 127.0.0.1"},
        {"localhost", "0 localhost ::1 127.0.0.1"},
        {"none.example", "451 4.4.4 No address of none.example, which all mail goes to"},
    };
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
    for (unsigned i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].host);
        assert_int_equal(
            mail_resolver_host(w.resolver, mail_span_text(cases[i].host), on_verdict, &w, NULL),
            MAIL_OK);
        run_until(&w, i + 1);
        assert_string_equal(w.text, cases[i].want);
    }
    world_end(&w);
}

static void hands_its_options_to_the_plan(void **state)
{
    const mail_endpoint own = {.ip = {4, {9, 9, 9, 4}, 0}};
    char name[] = "MX.a.example";
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){.own_hostname = mail_span_text(name),
                                                              .own_addresses = &own,
                                                              .own_address_count = 1,
                                                              .allow_private = true}),
                     MAIL_OK);
    memset(name, 'x', sizeof(name));
    assert_string_equal(look_up(&w, "a.example"),
                        "554 5.4.6 Mail for a.example loops back to this host");
    assert_string_equal(look_up(&w, "d.example"),
                        "554 5.4.6 Mail for d.example loops back to this host");
    assert_string_equal(look_up(&w, "lan.example"), "0 lan.example 10.0.0.1");
    world_end(&w);
}

static void forgets_a_lookup_that_is_cancelled(void **state)
{
    mail_lookup *lookups[3];
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){0}), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(lookups); i++) {
        assert_int_equal(
            mail_resolver_mx(w.resolver, MAIL_SPAN("a.example"), on_verdict, &w, &lookups[i]),
            MAIL_OK);
    }
    mail_lookup_cancel(lookups[0]);
    while (w.dns[0].udp_questions == 0) {
        assert_int_equal(mail_loop_poll_run_once(w.poll, MAIL_SECOND), MAIL_OK);
    }
    mail_lookup_cancel(lookups[2]);
    run_until(&w, 1);
    assert_string_equal(w.text, a_hosts);
    look_up(&w, "d.example");
    assert_int_equal(w.verdicts, 2);
    world_end(&w);
}

static void can_be_destroyed_at_any_time(void **state)
{
    mail_test_walk mem;
    world w;

    (void)state;
    for (unsigned rounds = 0; rounds < 12; rounds++) {
        mail_test_mem_init(&mem);
        world_begin(&w, LIE_TRUNCATE);
        assert_int_equal(world_create(&w, (mail_resolver_options){.mem = &mem.mem}), MAIL_OK);
        assert_int_equal(mail_resolver_mx(w.resolver, MAIL_SPAN("a.example"), on_verdict, &w, NULL),
                         MAIL_OK);
        assert_int_equal(mail_resolver_mx(w.resolver, MAIL_SPAN("d.example"), on_verdict, &w, NULL),
                         MAIL_OK);
        for (unsigned i = 0; i < rounds; i++) {
            assert_int_equal(mail_loop_poll_run_once(w.poll, MAIL_MILLISECOND), MAIL_OK);
        }
        world_end(&w);
        mail_test_mem_check(&mem);
    }
    mail_resolver_destroy(NULL);
}

static void can_be_destroyed_by_a_verdict(void **state)
{
    mail_test_walk mem;
    world w;

    (void)state;
    mail_test_mem_init(&mem);
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){.mem = &mem.mem}), MAIL_OK);
    w.destroys = true;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(mail_resolver_mx(w.resolver, MAIL_SPAN("a.example"), on_verdict, &w, NULL),
                         MAIL_OK);
    }
    run_until(&w, 1);
    assert_string_equal(w.text, a_hosts);
    mail_test_mem_check(&mem);
    world_end(&w);
    assert_int_equal(w.verdicts, 1);
}

static void refuses_bad_options(void **state)
{
    world w;

    (void)state;
    world_begin(&w, 0);
    assert_int_equal(world_create(&w, (mail_resolver_options){.ttl_min = 100, .ttl_max = 50}),
                     MAIL_EINVAL);
    world_end(&w);
}

/* Whatever fails, a verdict comes, and it says that it is not for good. */
static void survives_every_failed_allocation(void **state)
{
    static const unsigned lies[] = {0, LIE_TRUNCATE};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(lies); i++) {
        MAIL_TEST_WALK(walk)
        {
            world w;
            int code;

            world_begin(&w, lies[i]);
            code = world_create(&w, (mail_resolver_options){.mem = &walk.mem});
            if (code == MAIL_OK) {
                code = mail_resolver_mx(w.resolver, MAIL_SPAN("a.example"), on_verdict, &w, NULL);
            }
            if (code == MAIL_OK) {
                run_until(&w, 1);
                assert_true(strcmp(w.text, a_hosts) == 0 || memcmp(w.text, "451 4.", 6) == 0 ||
                            strcmp(w.text, "10 mx.a.example 2600::1") == 0 ||
                            strcmp(w.text, "10 mx.a.example 9.9.9.1") == 0);
            } else {
                assert_int_equal(code, MAIL_ENOMEM);
                assert_true(walk.failed);
            }
            world_end(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hosts_over_udp),
        cmocka_unit_test(believes_no_liar),
        cmocka_unit_test(takes_any_case_when_told_so),
        cmocka_unit_test(asks_the_next_server_when_one_is_silent),
        cmocka_unit_test(gives_up_after_some_tries),
        cmocka_unit_test(says_so_when_nobody_listens),
        cmocka_unit_test(asks_only_what_it_does_not_know),
        cmocka_unit_test(asks_few_questions_at_once),
        cmocka_unit_test(finds_a_configured_host),
        cmocka_unit_test(hands_its_options_to_the_plan),
        cmocka_unit_test(forgets_a_lookup_that_is_cancelled),
        cmocka_unit_test(can_be_destroyed_at_any_time),
        cmocka_unit_test(can_be_destroyed_by_a_verdict),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
