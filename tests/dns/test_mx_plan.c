/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/mx.h>

#include "base/random.h"
#include "dns/fake_zone.h"

/* xorshift64: chance that can be repeated. */
static void fill(void *arg, void *to, size_t size)
{
    uint64_t *seed = arg;

    for (size_t i = 0; i < size; i++) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        ((unsigned char *)to)[i] = (unsigned char)(*seed >> 32);
    }
}

static uint64_t seed = 1;
static const mail_random chance = {fill, &seed};

/* Answers all questions of a plan: the first that are out first, or the last. */
static int run(mail_mx_plan *plan, const char *zone, bool backwards, unsigned *questions)
{
    static fake_answer fake;
    mail_mx_need needs[256];
    size_t open = 0;

    *questions = 0;
    while (mail_mx_plan_verdict(plan) == NULL) {
        mail_mx_need need;
        int code;

        while (mail_mx_plan_next(plan, &needs[open])) {
            open++;
            (*questions)++;
            assert_true(open < MAIL_COUNT(needs));
        }
        assert_true(open > 0);
        need = backwards ? needs[open - 1] : needs[0];
        open--;
        if (!backwards) {
            memmove(needs, needs + 1, open * sizeof(*needs));
        }
        /* MX-017: SRV is never asked for. */
        assert_true(need.type == MAIL_DNS_MX || need.type == MAIL_DNS_A ||
                    need.type == MAIL_DNS_AAAA);
        fake_ask(&fake, zone, need.name, need.type);
        code = mail_mx_plan_tell(plan, need.number, &fake.answer);
        if (code != MAIL_OK) {
            return code;
        }
    }
    assert_int_equal(open, 0);
    return MAIL_OK;
}

/* `10 mx.example 9.9.9.9; …`, or the reply. */
static void describe(const mail_mx_verdict *verdict, char *out, size_t size)
{
    size_t length = 0;

    out[0] = '\0';
    if (verdict->reply.code != 0) {
        snprintf(out, size, "%u %u.%u.%u %.*s", verdict->reply.code, verdict->reply.status[0],
                 verdict->reply.status[1], verdict->reply.status[2],
                 (int)verdict->reply.text.length, verdict->reply.text.data);
        assert_int_equal(verdict->host_count, 0);
        return;
    }
    assert_true(verdict->host_count > 0);
    for (size_t i = 0; i < verdict->host_count; i++) {
        const mail_mx_host *host = &verdict->hosts[i];

        assert_true(host->address_count > 0);
        length += (size_t)snprintf(out + length, size - length, "%s%u %s", i > 0 ? "; " : "",
                                   host->preference, host->name);
        for (size_t j = 0; j < host->address_count; j++) {
            char ip[MAIL_IP_TEXT_SIZE];

            mail_ip_print(&host->addresses[j], ip);
            length += (size_t)snprintf(out + length, size - length, " %s", ip);
        }
    }
}

typedef struct plan_case {
    const char *name;
    const char *domain;
    const char *zone;
    const char *want;
    const char *faults; /* NULL: none */
} plan_case;

static void check(const plan_case *row, const mail_mx_options *opts, bool backwards)
{
    const mail_mx_verdict *verdict;
    mail_mx_plan *plan;
    unsigned questions;
    char text[4096];

    mail_test_case(row->name);
    assert_int_equal(mail_mx_plan_create(&plan, mail_span_text(row->domain), opts), MAIL_OK);
    assert_int_equal(run(plan, row->zone, backwards, &questions), MAIL_OK);
    verdict = mail_mx_plan_verdict(plan);
    describe(verdict, text, sizeof(text));
    assert_string_equal(text, row->want);
    assert_span_equal(verdict->faults, row->faults != NULL ? row->faults : "");
    assert_int_equal(verdict->has_faults, row->faults != NULL);
    mail_mx_plan_destroy(plan);
}

static void check_all(const plan_case *rows, size_t count, const mail_mx_options *opts)
{
    for (size_t i = 0; i < count; i++) {
        check(&rows[i], opts, false);
        check(&rows[i], opts, true);
    }
}

static void finds_the_hosts_of_a_domain(void **state)
{
    static const plan_case rows[] = {
        {"MX-001: hosts by MX", "a.example",
         "a.example MX 20 mx2.example; a.example MX 10 mx1.example;"
         "mx1.example A 9.9.9.1; mx2.example A 9.9.9.2",
         "10 mx1.example 9.9.9.1; 20 mx2.example 9.9.9.2", NULL},
        {"MX-001: an alias of the domain", "a.example",
         "a.example CNAME b.example; b.example MX 10 mx.example; mx.example A 9.9.9.1",
         "10 mx.example 9.9.9.1", NULL},
        {"MX-001: an alias that the server did not follow", "a.example",
         "a.example ALIAS b.example; b.example MX 10 mx.example; mx.example A 9.9.9.1",
         "10 mx.example 9.9.9.1", NULL},
        {"MX-001: a loop of aliases", "a.example",
         "a.example CNAME b.example; b.example CNAME a.example",
         "451 4.4.3 Can't look up a.example: a loop of aliases", NULL},
        {"MX-001: a loop of aliases that the server did not follow", "a.example",
         "a.example ALIAS b.example; b.example ALIAS a.example",
         "451 4.4.3 Can't look up a.example: too long a chain of aliases", NULL},
        {"MX-002: no such domain", "a.example", "", "550 5.1.2 No such domain: a.example", NULL},
        {"MX-002: no answer", "a.example", "a.example FAIL",
         "451 4.4.3 Can't look up a.example: the server failed (SERVFAIL)", NULL},
        {"MX-002: no answer about the only host", "a.example",
         "a.example MX 10 mx.example; mx.example FAIL",
         "451 4.4.3 Can't look up mx.example: the server failed (SERVFAIL)",
         "mx.example: the server failed (SERVFAIL)"},
        {"MX-002: no answer about one host of two", "a.example",
         "a.example MX 10 mx1.example; a.example MX 20 mx2.example; mx1.example FAIL;"
         "mx2.example A 9.9.9.2",
         "20 mx2.example 9.9.9.2", "mx1.example: the server failed (SERVFAIL)"},
        {"MX-003: implicit MX", "a.example", "a.example A 9.9.9.1", "0 a.example 9.9.9.1", NULL},
        {"MX-003: implicit MX through an alias", "a.example",
         "a.example CNAME b.example; b.example A 9.9.9.1", "0 a.example 9.9.9.1", NULL},
        {"MX-003: implicit MX without address", "a.example", "a.example EXISTS",
         "550 5.1.2 a.example has neither MX record nor address", NULL},
        {"MX-003: implicit MX without answer", "a.example", "a.example FAIL-A",
         "451 4.4.3 Can't look up a.example: the server failed (SERVFAIL)",
         "a.example: the server failed (SERVFAIL)"},
        {"MX-004: no fall back to the domain's address", "a.example",
         "a.example MX 10 mx.example; a.example A 9.9.9.1",
         "451 4.4.4 No MX host of a.example has an address", "mx.example: no such name"},
        {"MX-004: a host without address", "a.example",
         "a.example MX 10 mx.example; mx.example EXISTS; a.example A 9.9.9.1",
         "451 4.4.4 No MX host of a.example has an address", "mx.example: no address"},
        {"MX-004: targets that can't be hosts", "a.example",
         "a.example BAD-MX 10; a.example MX 20 9.9.9.9; a.example A 9.9.9.1",
         "550 5.4.4 No MX record of a.example names a usable host",
         "MX 10 ?: not the name of a host\nMX 20 9.9.9.9: not the name of a host"},
        {"MX-008: a target that is an alias", "a.example",
         "a.example MX 10 mx.example; mx.example CNAME b.example; b.example A 9.9.9.1",
         "10 mx.example 9.9.9.1",
         "mx.example: an alias, which the target of an MX record must not be"},
        {"MX-008: a target that is an alias not followed", "a.example",
         "a.example MX 10 mx.example; mx.example ALIAS b.example; b.example A 9.9.9.1",
         "10 mx.example 9.9.9.1",
         "mx.example: an alias, which the target of an MX record must not be"},
        {"MX-008: a target that is an alias of itself", "a.example",
         "a.example MX 10 mx.example; mx.example ALIAS mx.example",
         "451 4.4.3 Can't look up mx.example: too long a chain of aliases",
         "mx.example: an alias, which the target of an MX record must not be\n"
         "mx.example: too long a chain of aliases"},
        {"MX-009: addresses of both families in turn", "a.example",
         "a.example MX 10 mx.example; mx.example A 9.9.9.1; mx.example AAAA 2600::1",
         "10 mx.example 2600::1 9.9.9.1", NULL},
        {"MX-009: IPv6 alone", "a.example", "a.example AAAA 2600::1", "0 a.example 2600::1", NULL},
        {"MX-009: one family without answer", "a.example",
         "a.example MX 10 mx.example; mx.example A 9.9.9.1; mx.example FAIL-AAAA",
         "10 mx.example 9.9.9.1", "mx.example: the server failed (SERVFAIL)"},
        {"MX-010: null MX", "a.example", "a.example MX 0 .; a.example A 9.9.9.1",
         "556 5.1.10 a.example accepts no mail (null MX)", NULL},
        {"MX-010: null MX of any preference", "a.example", "a.example MX 10 .",
         "556 5.1.10 a.example accepts no mail (null MX)", NULL},
        {"MX-011: null MX beside others", "a.example",
         "a.example MX 0 .; a.example MX 10 mx.example; mx.example A 9.9.9.1",
         "10 mx.example 9.9.9.1",
         "MX 0 .: the root, which says \"no mail\", beside other MX records"},
        {"MX-012: an address literal", "[9.9.9.9]", "", "0 [9.9.9.9] 9.9.9.9", NULL},
        {"MX-012: an IPv6 address literal", "[IPv6:2600::1]", "", "0 [IPv6:2600::1] 2600::1", NULL},
        {"MX-012: an address without brackets is no domain", "9.9.9.9", "",
         "550 5.1.2 Not the name of a domain", NULL},
        {"MX-013: a U-label", "b\303\274cher.example",
         "xn--bcher-kva.example MX 10 mx.example; mx.example A 9.9.9.1", "10 mx.example 9.9.9.1",
         NULL},
        {"MX-014: a single label", "ai", "ai MX 10 mx.ai; mx.ai A 9.9.9.1", "10 mx.ai 9.9.9.1",
         NULL},
        {"MX-014: a final dot", "a.example.", "a.example A 9.9.9.1", "0 a.example 9.9.9.1", NULL},
        {"upper case", "A.EXAMPLE", "a.example A 9.9.9.1", "0 a.example 9.9.9.1", NULL},
        {"no name at all", "a b", "", "550 5.1.2 Not the name of a domain", NULL},
        {"an empty name", "", "", "550 5.1.2 Not the name of a domain", NULL},
        {"a literal that is none", "[9.9.9.999]", "", "550 5.1.2 Not the name of a domain", NULL},
        {"a host named twice", "a.example",
         "a.example MX 20 mx.example; a.example MX 10 mx.example; mx.example A 9.9.9.1",
         "10 mx.example 9.9.9.1", NULL},
        {"a name that vanished in between", "a.example", "a.example FAIL-A; a.example FAIL-AAAA",
         "451 4.4.3 Can't look up a.example: the server failed (SERVFAIL)",
         "a.example: the server failed (SERVFAIL)"},
    };
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;

    (void)state;
    opts.random = &chance;
    check_all(rows, MAIL_COUNT(rows), &opts);
    check_all(rows, 1, NULL);
}

/* MX-007. */
static void never_sends_to_itself(void **state)
{
    static const plan_case rows[] = {
        {"our name cuts its preference and all above", "a.example",
         "a.example MX 10 mx1.example; a.example MX 20 us.example; a.example MX 20 mx2.example;"
         "a.example MX 30 mx3.example; mx1.example A 9.9.9.1; mx2.example A 9.9.9.2;"
         "mx3.example A 9.9.9.3",
         "10 mx1.example 9.9.9.1", NULL},
        {"our name alone", "a.example", "a.example MX 10 us.example; us.example A 9.9.9.1",
         "554 5.4.6 Mail for a.example loops back to this host", NULL},
        {"our name before others", "a.example",
         "a.example MX 10 us.example; a.example MX 20 mx.example; mx.example A 9.9.9.1",
         "554 5.4.6 Mail for a.example loops back to this host", NULL},
        {"our address cuts its preference and all above", "a.example",
         "a.example MX 10 mx1.example; a.example MX 20 mx2.example; a.example MX 20 mx3.example;"
         "mx1.example A 9.9.9.1; mx2.example A 9.9.9.2; mx3.example A 9.9.9.77",
         "10 mx1.example 9.9.9.1", NULL},
        {"our address among several of a host", "a.example",
         "a.example MX 10 mx.example; mx.example A 9.9.9.1; mx.example A 9.9.9.77",
         "554 5.4.6 Mail for a.example loops back to this host", NULL},
        {"our IPv4 address in IPv6", "a.example",
         "a.example MX 10 mx.example; mx.example AAAA ::ffff:9.9.9.77",
         "554 5.4.6 Mail for a.example loops back to this host", NULL},
        {"our name as the domain itself", "us.example", "us.example A 9.9.9.1",
         "554 5.4.6 Mail for us.example loops back to this host", NULL},
        {"our address as implicit MX", "a.example", "a.example A 9.9.9.77",
         "554 5.4.6 Mail for a.example loops back to this host", NULL},
        {"our address as literal", "[9.9.9.77]", "",
         "554 5.4.6 Mail for [9.9.9.77] loops back to this host", NULL},
        {"what comes before us has no answer", "a.example",
         "a.example MX 10 mx1.example; a.example MX 20 us.example; mx1.example FAIL",
         "451 4.4.3 Can't look up mx1.example: the server failed (SERVFAIL)",
         "mx1.example: the server failed (SERVFAIL)"},
        {"our address behind the limit, of equal preference", "a.example",
         "a.example MX 1 h1.example; a.example MX 10 h2.example; a.example MX 10 h3.example;"
         "a.example MX 10 h4.example; a.example MX 10 h5.example; a.example MX 10 h6.example;"
         "a.example MX 10 h7.example; h1.example A 9.9.9.1; h2.example A 9.9.9.2;"
         "h3.example A 9.9.9.3; h4.example A 9.9.9.4; h5.example A 9.9.9.5; h6.example A 9.9.9.6;"
         "h7.example A 9.9.9.77",
         "1 h1.example 9.9.9.1", NULL},
    };
    static const plan_case u_label = {"our name in U-labels", "a.example",
                                      "a.example MX 10 xn--bcher-kva.example",
                                      "554 5.4.6 Mail for a.example loops back to this host", NULL};
    const mail_endpoint own[] = {{.ip = {4, {9, 9, 9, 76}, 0}, .port = 25},
                                 {.ip = {4, {9, 9, 9, 77}, 0}, .port = 2525}};
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;

    (void)state;
    opts.own_hostname = MAIL_SPAN("Us.Example.");
    opts.own_addresses = own;
    opts.own_address_count = MAIL_COUNT(own);
    opts.random = &chance;
    for (unsigned i = 0; i < 8; i++) { /* equal preferences come in any order */
        check_all(rows, MAIL_COUNT(rows), &opts);
    }
    opts.own_hostname = MAIL_SPAN("b\303\274cher.example");
    check_all(&u_label, 1, &opts);
}

/* MX-016. */
static void refuses_private_addresses_unless_told_otherwise(void **state)
{
    static const struct {
        plan_case row;
        const char *allowed; /* what is found when they are allowed */
    } cases[] = {
        {{"loopback", "a.example", "a.example MX 10 mx.example; mx.example A 127.0.0.1",
          "550 5.4.4 mx.example lies on 127.0.0.1, which is no public address",
          "mx.example: 127.0.0.1 is no public address"},
         "10 mx.example 127.0.0.1"},
        {{"IPv6 loopback", "a.example", "a.example AAAA ::1",
          "550 5.4.4 a.example lies on ::1, which is no public address",
          "a.example: ::1 is no public address"},
         "0 a.example ::1"},
        {{"IPv4 loopback in IPv6", "a.example", "a.example AAAA ::ffff:127.0.0.1",
          "550 5.4.4 a.example lies on ::ffff:127.0.0.1, which is no public address",
          "a.example: ::ffff:127.0.0.1 is no public address"},
         "0 a.example ::ffff:127.0.0.1"},
        {{"no address", "a.example", "a.example A 0.0.0.0",
          "550 5.4.4 a.example lies on 0.0.0.0, which is no public address",
          "a.example: 0.0.0.0 is no public address"},
         "0 a.example 0.0.0.0"},
        {{"RFC 1918", "a.example", "a.example A 10.1.2.3",
          "550 5.4.4 a.example lies on 10.1.2.3, which is no public address",
          "a.example: 10.1.2.3 is no public address"},
         "0 a.example 10.1.2.3"},
        {{"one of two addresses", "a.example", "a.example A 192.168.0.1; a.example AAAA 2600::1",
          "0 a.example 2600::1", "a.example: 192.168.0.1 is no public address"},
         "0 a.example 2600::1 192.168.0.1"},
        {{"one of two hosts", "a.example",
          "a.example MX 10 mx1.example; a.example MX 20 mx2.example; mx1.example A 172.16.0.1;"
          "mx2.example A 9.9.9.1",
          "20 mx2.example 9.9.9.1", "mx1.example: 172.16.0.1 is no public address"},
         "10 mx1.example 172.16.0.1; 20 mx2.example 9.9.9.1"},
        {{"the name localhost", "a.example", "a.example MX 10 localhost; localhost A 9.9.9.9",
          "550 5.4.4 No MX record of a.example names a usable host",
          "MX 10 localhost: a name that every host has for itself"},
         "10 localhost 9.9.9.9"},
        {{"a literal", "[127.0.0.1]", "",
          "550 5.4.4 [127.0.0.1] lies on 127.0.0.1, which is no public address",
          "[127.0.0.1]: 127.0.0.1 is no public address"},
         "0 [127.0.0.1] 127.0.0.1"},
    };
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        plan_case allowed = cases[i].row;

        opts.allow_private = false;
        check_all(&cases[i].row, 1, &opts);
        opts.allow_private = true;
        allowed.want = cases[i].allowed;
        allowed.faults = NULL;
        check_all(&allowed, 1, &opts);
    }
}

static void takes_a_configured_host_as_it_is(void **state)
{
    static const plan_case rows[] = {
        {"a name with MX records", "relay.example",
         "relay.example MX 10 mx.example; relay.example A 10.0.0.1", "0 relay.example 10.0.0.1",
         NULL},
        {"an address", "127.0.0.1", "", "0 [127.0.0.1] 127.0.0.1", NULL},
        {"an IPv6 address", "::1", "", "0 [IPv6:::1] ::1", NULL},
        {"an address literal", "[127.0.0.1]", "", "0 [127.0.0.1] 127.0.0.1", NULL},
        {"localhost", "localhost", "", "0 localhost ::1 127.0.0.1", NULL},
        {"our own name", "us.example", "us.example A 9.9.9.9", "0 us.example 9.9.9.9", NULL},
        {"an alias", "a.example", "a.example CNAME b.example; b.example A 9.9.9.1",
         "0 a.example 9.9.9.1", NULL},
        {"a host that is missing", "a.example", "",
         "451 4.4.4 No address of a.example, which all mail goes to", NULL},
        {"no name at all", "a b", "", "550 5.1.2 Not the name of a domain", NULL},
    };
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;

    (void)state;
    opts.is_host = true;
    opts.own_hostname = MAIL_SPAN("us.example");
    check_all(rows, MAIL_COUNT(rows), &opts);
}

static const char three_equal[] =
    "a.example MX 10 a.mx.example; a.example MX 10 b.mx.example; a.example MX 10 c.mx.example;"
    "a.mx.example A 9.9.9.1; b.mx.example A 9.9.9.2; c.mx.example A 9.9.9.3";

/* MX-005: each of the six orders comes up about as often. */
static void shuffles_hosts_of_equal_preference(void **state)
{
    unsigned counts[27] = {0};
    unsigned orders = 0;
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;

    (void)state;
    seed = 42;
    opts.random = &chance;
    for (unsigned i = 0; i < 600; i++) {
        const mail_mx_verdict *verdict;
        mail_mx_plan *plan;
        unsigned questions;
        unsigned order = 0;

        assert_int_equal(mail_mx_plan_create(&plan, MAIL_SPAN("a.example"), &opts), MAIL_OK);
        assert_int_equal(run(plan, three_equal, false, &questions), MAIL_OK);
        verdict = mail_mx_plan_verdict(plan);
        assert_int_equal(verdict->host_count, 3);
        for (size_t j = 0; j < 3; j++) {
            order = order * 3 + (unsigned)(verdict->hosts[j].name[0] - 'a');
        }
        counts[order]++;
        mail_mx_plan_destroy(plan);
    }
    for (size_t i = 0; i < MAIL_COUNT(counts); i++) {
        assert_true(counts[i] == 0 || (counts[i] > 60 && counts[i] < 140));
        orders += counts[i] > 0;
    }
    assert_int_equal(orders, 6);
}

/* `count` hosts of rising preference, each with `addresses` addresses from 11.0.0.0 on. */
static char *many_hosts(unsigned count, unsigned addresses)
{
    size_t size = 64 + (size_t)count * (40 + 40 * (size_t)addresses);
    char *zone = malloc(size);
    size_t length = 0;

    assert_non_null(zone);
    for (unsigned i = 0; i < count; i++) {
        length +=
            (size_t)snprintf(zone + length, size - length, "a.example MX %u h%u.example;", i, i);
        for (unsigned j = 0; j < addresses; j++) {
            length += (size_t)snprintf(zone + length, size - length, "h%u.example A 11.0.%u.%u;", i,
                                       i, j);
        }
    }
    return zone;
}

/* MX-006: five hosts, two addresses each, unless set otherwise. */
static void stays_within_its_limits(void **state)
{
    static const struct {
        const char *name;
        unsigned hosts, addresses; /* in the DNS */
        unsigned max_hosts, max_addresses;
        unsigned want_hosts, want_addresses, want_questions;
    } cases[] = {
        {"by default", 200, 3, 0, 0, 5, 2, 11},
        {"as set", 200, 10, 3, 4, 3, 4, 7},
        {"at most", 100, 20, 1000, 1000, 25, 8, 51},
        {"fewer than allowed", 2, 1, 0, 0, 2, 1, 5},
        {"hosts without addresses", 200, 0, 0, 0, 0, 0, 41},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_mx_options opts = MAIL_MX_OPTIONS_INIT;
        const mail_mx_verdict *verdict;
        mail_mx_plan *plan;
        unsigned questions;
        char *zone = many_hosts(cases[i].hosts, cases[i].addresses);

        mail_test_case(cases[i].name);
        opts.max_hosts = cases[i].max_hosts;
        opts.max_addresses = cases[i].max_addresses;
        assert_int_equal(mail_mx_plan_create(&plan, MAIL_SPAN("a.example"), &opts), MAIL_OK);
        assert_int_equal(run(plan, zone, false, &questions), MAIL_OK);
        verdict = mail_mx_plan_verdict(plan);
        assert_int_equal(verdict->host_count, cases[i].want_hosts);
        assert_int_equal(questions, cases[i].want_questions);
        for (size_t j = 0; j < verdict->host_count; j++) {
            assert_int_equal(verdict->hosts[j].preference, j);
            assert_int_equal(verdict->hosts[j].address_count, cases[i].want_addresses);
        }
        assert_true(verdict->faults.length <= 4096);
        mail_mx_plan_destroy(plan);
        free(zone);
    }
}

/* Of many addresses each gets its turn in the first place. */
static void spreads_over_all_addresses_of_a_host(void **state)
{
    char *zone = many_hosts(1, 5);
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;
    unsigned counts[5] = {0};

    (void)state;
    seed = 7;
    opts.random = &chance;
    for (unsigned i = 0; i < 500; i++) {
        const mail_mx_verdict *verdict;
        mail_mx_plan *plan;
        unsigned questions;

        assert_int_equal(mail_mx_plan_create(&plan, MAIL_SPAN("a.example"), &opts), MAIL_OK);
        assert_int_equal(run(plan, zone, false, &questions), MAIL_OK);
        verdict = mail_mx_plan_verdict(plan);
        assert_int_equal(verdict->hosts[0].address_count, 2);
        assert_false(
            mail_ip_equal(&verdict->hosts[0].addresses[0], &verdict->hosts[0].addresses[1]));
        counts[verdict->hosts[0].addresses[0].bytes[3]]++;
        mail_mx_plan_destroy(plan);
    }
    for (size_t i = 0; i < MAIL_COUNT(counts); i++) {
        assert_true(counts[i] > 60 && counts[i] < 140);
    }
    free(zone);
}

/* MX-015: the shortest-lived answer says how long a host stands. */
static void says_how_long_a_host_stands(void **state)
{
    static const char zone[] = "a.example MX 10 h1.example; a.example MX 20 h2.example;"
                               "a.example TTL 100; h1.example A 9.9.9.1; h1.example TTL 60;"
                               "h2.example A 9.9.9.2; h2.example TTL 7200";
    const mail_mx_verdict *verdict;
    mail_mx_plan *plan;
    unsigned questions;

    (void)state;
    assert_int_equal(mail_mx_plan_create(&plan, MAIL_SPAN("a.example"), NULL), MAIL_OK);
    assert_int_equal(run(plan, zone, false, &questions), MAIL_OK);
    verdict = mail_mx_plan_verdict(plan);
    assert_int_equal(verdict->hosts[0].ttl, 60);
    assert_int_equal(verdict->hosts[1].ttl, 100);
    assert_false(verdict->implicit);
    mail_mx_plan_destroy(plan);
}

static void survives_every_failed_allocation(void **state)
{
    static const char *const zones[] = {
        three_equal,
        "",
        "a.example A 127.0.0.1",
        "a.example MX 0 .",
        "a.example MX 0 .; a.example MX 1 mx.example; mx.example A 9.9.9.9",
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(zones); i++) {
        MAIL_TEST_WALK(walk)
        {
            mail_mx_options opts = MAIL_MX_OPTIONS_INIT;
            mail_mx_plan *plan = NULL;
            unsigned questions;
            int code;

            opts.mem = &walk.mem;
            code = mail_mx_plan_create(&plan, MAIL_SPAN("a.example"), &opts);
            if (code == MAIL_OK) {
                code = run(plan, zones[i], false, &questions);
            }
            assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
            mail_mx_plan_destroy(plan);
        }
    }
    MAIL_TEST_WALK(walk)
    {
        mail_mx_options opts = MAIL_MX_OPTIONS_INIT;
        mail_mx_plan *plan = NULL;
        int code;

        opts.mem = &walk.mem;
        code = mail_mx_plan_create(&plan, MAIL_SPAN("[127.0.0.1]"), &opts);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_mx_plan_destroy(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_hosts_of_a_domain),
        cmocka_unit_test(never_sends_to_itself),
        cmocka_unit_test(refuses_private_addresses_unless_told_otherwise),
        cmocka_unit_test(takes_a_configured_host_as_it_is),
        cmocka_unit_test(shuffles_hosts_of_equal_preference),
        cmocka_unit_test(stays_within_its_limits),
        cmocka_unit_test(spreads_over_all_addresses_of_a_host),
        cmocka_unit_test(says_how_long_a_host_stands),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
