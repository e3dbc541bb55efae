/* SPDX-License-Identifier: MIT */
#include "mta/post.h"

#include "net/fake_dns.h"

static const char zone[] = "one.example MX 10 dead.one.example; one.example MX 20 live.one.example;"
                           "dead.one.example A 127.0.0.2; live.one.example A 127.0.0.1;"
                           "two.example A 127.0.0.1; null.example MX 0 .; broken.example FAIL;"
                           "self.example MX 10 mx.example; mx.example A 127.0.0.1;"
                           "smart.example A 127.0.0.1; nowhere.example MX 10 gone.example";

/* A remote whose port is that of all MX hosts, and the DNS that leads there. */
typedef struct wide_world {
    post p;
    remote r;
    fake_dns dns;
    mail_resolver *resolver;
} wide_world;

static void wide_open(wide_world *ww, int kind, mail_route_table *routes)
{
    mail_resolver_options dns = MAIL_RESOLVER_OPTIONS_INIT;
    mail_deliver_options opts;

    post_open(&ww->p, kind);
    remote_open(&ww->r, &ww->p.k, false, NULL, NULL);
    fake_dns_start(&ww->dns, ww->p.k.w.loop, zone, 0);
    dns.servers = &ww->dns.at;
    dns.server_count = 1;
    dns.allow_private = true;
    dns.own_hostname = MAIL_SPAN("mx.example");
    assert_int_equal(mail_resolver_create(&ww->resolver, ww->p.k.w.loop, &dns), MAIL_OK);
    opts = post_options(&ww->p);
    opts.resolver = ww->resolver;
    opts.smtp_port = ww->r.at.port;
    opts.backoff = MAIL_HOUR;
    opts.backoff_max = MAIL_HOUR;
    post_start(&ww->p, routes, &opts);
}

static void wide_close(wide_world *ww)
{
    bool is_drained = false;

    mail_deliver_drain(ww->p.deliver, post_stopped, &is_drained);
    world_until(&ww->p.k.w, is_drained);
    mail_resolver_destroy(ww->resolver);
    fake_dns_stop(&ww->dns);
    remote_close(&ww->r);
    post_close(&ww->p);
}

/* MX-005, MX-006 */
static void tries_the_hosts_of_a_domain_in_order(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        wide_world ww;

        (void)state;
        wide_open(&ww, kind, ROUTES("*=mx"));
        SEND(&ww.p, "me@here.example", "a@one.example");
        world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
        assert_int_equal(ww.r.count, 1);
        assert_non_null(strstr(ww.p.k.log, "host=live.one.example[127.0.0.1]:"));
        /* The dead one is not tried again for the next message, nor is the DNS asked. */
        SEND(&ww.p, "me@here.example", "b@one.example");
        world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
        assert_int_equal(ww.p.k.w.calls[CALL_CONNECT], 2);
        wide_close(&ww);
    }
}

static void splits_a_message_by_domain(void **state)
{
    wide_world ww;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("*=mx"));
    SEND(&ww.p, "me@here.example", "a@one.example", "b@two.example", "c@one.example");
    world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
    assert_int_equal(ww.r.count, 2);
    wide_close(&ww);
}

static void returns_what_the_dns_rules_out(void **state)
{
    static const struct {
        const char *name;
        const char *address;
        const char *status;
    } cases[] = {
        {"no such domain", "a@missing.example", "Status: 5.1.2"}, /* MX-002 */
        {"null MX", "a@null.example", "Status: 5.1.10"},          /* MX-010 */
        {"we ourselves", "a@self.example", "Status: 5.4.6"},      /* MX-007 */
        {"no domain at all", "a", "Status: 5."},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        wide_world ww;

        mail_test_case(cases[i].name);
        wide_open(&ww, WORLD_POLL, ROUTES("here.example=local", "*=mx"));
        SEND(&ww.p, "me@here.example", cases[i].address);
        world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
        assert_int_equal(ww.r.connections, 0);
        post_assert_mailbox(&ww.p, "/mail/here.example/me", 1, cases[i].status);
        wide_close(&ww);
    }
}

/* MX-002: what may be better later waits, as a whole. */
static void waits_for_a_dns_that_is_broken(void **state)
{
    wide_world ww;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("here.example=local", "*=mx"));
    SEND(&ww.p, "me@here.example", "a@broken.example");
    world_until(&ww.p.k.w, strstr(ww.p.k.log, "deferred") != NULL);
    assert_int_equal(post_queued(&ww.p), 1);
    assert_non_null(strstr(ww.p.k.log, "host=broken.example reply=\"451 4.4."));
    wide_close(&ww);
}

static void finds_a_smart_host_by_its_name(void **state)
{
    char rule[100];
    wide_world ww;
    mail_route_table *routes;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("*=hold"));
    snprintf(rule, sizeof(rule), "*=missing.example:%u,smart.example:%u", ww.r.at.port,
             ww.r.at.port);
    routes = ROUTES(rule);
    mail_deliver_set_routes(ww.p.deliver, routes);
    SEND(&ww.p, "me@here.example", "a@one.example");
    world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
    assert_int_equal(ww.r.count, 1);
    assert_non_null(strstr(ww.p.k.log, "host=smart.example[127.0.0.1]:"));
    wide_close(&ww);
}

/* A mistake of ours must not return other people's mail. */
static void waits_for_a_smart_host_that_has_no_address(void **state)
{
    wide_world ww;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("here.example=local", "*=missing.example:25"));
    SEND(&ww.p, "me@here.example", "a@one.example");
    world_until(&ww.p.k.w, strstr(ww.p.k.log, "deferred") != NULL);
    assert_int_equal(post_queued(&ww.p), 1);
    wide_close(&ww);
}

static void serves_many_destinations_within_the_limit_of_connections(void **state)
{
    mail_deliver_options opts;
    wide_world ww;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("*=hold"));
    mail_deliver_destroy(ww.p.deliver);
    ww.p.deliver = NULL;
    opts = post_options(&ww.p);
    opts.resolver = ww.resolver;
    opts.smtp_port = ww.r.at.port;
    opts.max_out = 2;
    opts.idle = 1; /* or the first two would keep them */
    for (int i = 0; i < 20; i++) {
        char address[64];

        /* Address literals are destinations of their own (MX-012). */
        snprintf(address, sizeof(address), "a%d@[127.0.0.1]", i);
        SEND(&ww.p, "me@here.example", address);
        SEND(&ww.p, "me@here.example", i % 2 > 0 ? "a@one.example" : "b@two.example");
    }
    post_start(&ww.p, ROUTES("*=mx"), &opts);
    world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
    assert_int_equal(ww.r.count, 40);
    assert_true(ww.r.most <= 2);
    wide_close(&ww);
}

static void ends_in_the_middle_of_a_look_up(void **state)
{
    wide_world ww;

    (void)state;
    wide_open(&ww, WORLD_POLL, ROUTES("*=mx"));
    ww.dns.lies = LIE_SILENT;
    SEND(&ww.p, "me@here.example", "a@one.example");
    world_until(&ww.p.k.w, ww.dns.udp_questions > 0);
    mail_deliver_destroy(ww.p.deliver);
    ww.p.deliver = NULL;
    assert_int_equal(post_queued(&ww.p), 1);
    ww.dns.lies = 0;
    post_start(&ww.p, ROUTES("*=discard"), NULL);
    world_until(&ww.p.k.w, post_queued(&ww.p) == 0);
    wide_close(&ww);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_the_hosts_of_a_domain_in_order),
        cmocka_unit_test(splits_a_message_by_domain),
        cmocka_unit_test(returns_what_the_dns_rules_out),
        cmocka_unit_test(waits_for_a_dns_that_is_broken),
        cmocka_unit_test(finds_a_smart_host_by_its_name),
        cmocka_unit_test(waits_for_a_smart_host_that_has_no_address),
        cmocka_unit_test(serves_many_destinations_within_the_limit_of_connections),
        cmocka_unit_test(ends_in_the_middle_of_a_look_up),
    };

    return mail_test_run(tests);
}
