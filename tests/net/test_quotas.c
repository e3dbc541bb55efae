/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/quotas.h"

static mail_ip ip(const char *text)
{
    mail_ip out;

    assert_int_equal(mail_ip_parse(mail_span_text(text), &out), MAIL_OK);
    return out;
}

static net_limit enter(net_quotas *quotas, const char *address, mail_time now, net_guest *guest)
{
    mail_ip from = ip(address);
    net_limit limit;

    assert_int_equal(net_quotas_enter(quotas, &from, now, guest, &limit), MAIL_OK);
    return limit;
}

static void counts_sessions_by_client_and_by_network(void **state)
{
    static const mail_limits limits = {.sessions_per_client = 2, .sessions_per_network = 3};
    static const struct {
        const char *name;
        const char *first; /* which of the same client comes twice */
        const char *same;
        const char *neighbour; /* of the network */
        const char *other;
    } cases[] = {
        {"IPv4", "192.0.2.1", "192.0.2.1", "192.0.2.250", "192.0.3.1"},
        {"IPv6", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1", "2001:db8:1:1::1"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        net_quotas quotas;
        net_guest guests[5];

        mail_test_case(cases[i].name);
        assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_OK);
        assert_int_equal(enter(&quotas, cases[i].first, 0, &guests[0]), NET_LIMIT_NONE);
        assert_int_equal(enter(&quotas, cases[i].same, 0, &guests[1]), NET_LIMIT_NONE);
        assert_int_equal(enter(&quotas, cases[i].first, 0, &guests[2]), NET_LIMIT_CLIENT_SESSIONS);
        assert_int_equal(enter(&quotas, cases[i].neighbour, 0, &guests[2]), NET_LIMIT_NONE);
        assert_int_equal(enter(&quotas, cases[i].neighbour, 0, &guests[3]),
                         NET_LIMIT_NETWORK_SESSIONS);
        assert_int_equal(enter(&quotas, cases[i].other, 0, &guests[3]), NET_LIMIT_NONE);
        net_quotas_leave(&quotas, &guests[0]);
        assert_int_equal(enter(&quotas, cases[i].first, 0, &guests[0]), NET_LIMIT_NONE);
        for (size_t j = 0; j < 4; j++) {
            net_quotas_leave(&quotas, &guests[j]);
        }
        net_quotas_deinit(&quotas);
    }
}

static void counts_connections_beyond_a_session_and_not_for_ever(void **state)
{
    static const mail_limits limits = {
        .client_connections = {2, MAIL_SECOND},
        .network_connections = {3, MAIL_MINUTE},
    };
    net_quotas quotas;
    net_guest guest;

    (void)state;
    assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(enter(&quotas, "192.0.2.1", 0, &guest), NET_LIMIT_NONE);
        net_quotas_leave(&quotas, &guest);
    }
    assert_int_equal(enter(&quotas, "192.0.2.1", 0, &guest), NET_LIMIT_CONNECTIONS);
    assert_int_equal(enter(&quotas, "192.0.2.1", MAIL_SECOND - 1, &guest), NET_LIMIT_CONNECTIONS);
    assert_int_equal(enter(&quotas, "192.0.2.1", MAIL_SECOND, &guest), NET_LIMIT_NONE);
    net_quotas_leave(&quotas, &guest);
    assert_int_equal(enter(&quotas, "192.0.2.2", MAIL_SECOND, &guest), NET_LIMIT_CONNECTIONS);
    assert_int_equal(enter(&quotas, "192.0.2.2", MAIL_HOUR, &guest), NET_LIMIT_NONE);
    net_quotas_leave(&quotas, &guest);
    for (int i = 0; i < 100; i++) { /* what is full again is forgotten */
        char text[16];

        snprintf(text, sizeof(text), "10.%d.2.1", i);
        assert_int_equal(enter(&quotas, text, (2 + i) * MAIL_HOUR, &guest), NET_LIMIT_NONE);
        net_quotas_leave(&quotas, &guest);
        assert_true(quotas.by_key.count <= 4);
    }
    net_quotas_deinit(&quotas);
}

static bool takes(const net_quotas *quotas, const net_guest *guest, mail_time now)
{
    return net_quotas_take(quotas, guest, NET_MESSAGES, now);
}

static void an_account_is_counted_wherever_it_comes_from(void **state)
{
    static const mail_limits limits = {
        .client_messages = {1, MAIL_HOUR},
        .account_messages = {2, MAIL_HOUR},
        .client_recipients = {.interval = -1},
    };
    net_quotas quotas;
    net_guest a;
    net_guest b;

    (void)state;
    assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_OK);
    assert_int_equal(enter(&quotas, "192.0.2.1", 0, &a), NET_LIMIT_NONE);
    assert_int_equal(enter(&quotas, "2001:db8::1", 0, &b), NET_LIMIT_NONE);
    assert_true(takes(&quotas, &a, 0));
    assert_false(takes(&quotas, &a, 0));
    assert_true(takes(&quotas, &b, 0));
    for (int i = 0; i < 1000000; i++) { /* no limit is none */
        assert_true(net_quotas_take(&quotas, &a, NET_RECIPIENTS, 0));
    }
    net_quotas_log_in(&quotas, &a, MAIL_SPAN("anna@here.example"));
    net_quotas_log_in(&quotas, &b, MAIL_SPAN("Anna@HERE.example"));
    assert_true(takes(&quotas, &a, 0));
    assert_true(takes(&quotas, &b, 0));
    assert_false(takes(&quotas, &a, 0));
    assert_false(takes(&quotas, &b, 0));
    net_quotas_log_in(&quotas, &b, MAIL_SPAN("bob@here.example"));
    assert_true(takes(&quotas, &b, 0));
    net_quotas_log_in(&quotas, &a, MAIL_SPAN(""));
    assert_false(takes(&quotas, &a, 0));
    assert_true(takes(&quotas, &a, MAIL_HOUR));
    net_quotas_leave(&quotas, &a);
    net_quotas_leave(&quotas, &b);
    net_quotas_deinit(&quotas);
}

static void whoever_is_not_counted_has_no_limit(void **state)
{
    static const mail_limits limits = {.client_messages = {1, MAIL_HOUR},
                                       .account_messages = {1, MAIL_HOUR}};
    net_guest local = {{NULL}};
    net_quotas quotas;

    (void)state;
    assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_OK);
    net_quotas_log_in(&quotas, &local, MAIL_SPAN("anna"));
    for (int i = 0; i < 10; i++) {
        assert_true(takes(&quotas, &local, 0));
    }
    assert_int_equal(quotas.by_key.count, 0);
    net_quotas_leave(&quotas, &local);
    net_quotas_deinit(&quotas);
}

/* A /32 has more networks than there is memory: those seen last are remembered. */
static void many_addresses_take_so_much_memory_and_no_more(void **state)
{
    static const mail_limits limits = {.client_connections = {5, MAIL_DAY}};
    mail_ip from = ip("2001:db8::1");
    net_quotas quotas;
    net_guest guest;
    net_limit limit;

    (void)state;
    assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_OK);
    for (unsigned i = 0; i < 200000; i++) {
        from.bytes[5] = (uint8_t)(i >> 16);
        from.bytes[6] = (uint8_t)(i >> 8);
        from.bytes[7] = (uint8_t)i;
        assert_int_equal(net_quotas_enter(&quotas, &from, i, &guest, &limit), MAIL_OK);
        net_quotas_leave(&quotas, &guest);
        assert_true(quotas.by_key.count < 65536 + 10);
    }
    assert_int_equal(sizeof(net_usage) <= 72, 1); /* under 5 MB of them, as is said */
    net_quotas_deinit(&quotas);
}

static void refuses_bad_rates(void **state)
{
    static const mail_limits limits = {.client_messages = {2, MAIL_RATE_DEPTH_MAX}};
    net_quotas quotas;

    (void)state;
    assert_int_equal(net_quotas_init(&quotas, NULL, &limits), MAIL_EINVAL);
    net_quotas_deinit(&quotas);
}

static void counts_the_limits_that_were_met(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        net_limit_measure measure;
        mail_metrics *metrics;
        int code;

        if (mail_metrics_create(&metrics, &walk.mem) != MAIL_OK) {
            continue;
        }
        code = net_limit_measure_init(&measure, metrics);
        if (code == MAIL_OK) {
            mail_metric_count(measure.met[NET_LIMIT_PROXY], 1);
            assert_int_equal(mail_metric_value(measure.met[NET_LIMIT_PROXY]), 1);
            assert_int_equal(mail_metric_value(measure.met[NET_LIMIT_MESSAGES]), 0);
            assert_null(measure.met[NET_LIMIT_NONE]);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
        }
        mail_metrics_destroy(metrics);
    }
    for (net_limit limit = NET_LIMIT_NONE; limit < NET_LIMITS; limit++) {
        assert_non_null(net_limit_text(limit));
    }
}

static void fails_cleanly_without_memory(void **state)
{
    static const mail_limits limits = {0};

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_ip from = ip("192.0.2.1");
        net_quotas quotas;
        net_guest guest;
        net_limit limit;

        assert_int_equal(net_quotas_init(&quotas, &walk.mem, &limits), MAIL_OK);
        if (net_quotas_enter(&quotas, &from, 0, &guest, &limit) == MAIL_OK) {
            assert_int_equal(limit, NET_LIMIT_NONE);
            net_quotas_log_in(&quotas, &guest, MAIL_SPAN("anna"));
            assert_true(net_quotas_take(&quotas, &guest, NET_MESSAGES, 0));
            net_quotas_leave(&quotas, &guest);
        }
        net_quotas_deinit(&quotas);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_sessions_by_client_and_by_network),
        cmocka_unit_test(counts_connections_beyond_a_session_and_not_for_ever),
        cmocka_unit_test(an_account_is_counted_wherever_it_comes_from),
        cmocka_unit_test(whoever_is_not_counted_has_no_limit),
        cmocka_unit_test(many_addresses_take_so_much_memory_and_no_more),
        cmocka_unit_test(refuses_bad_rates),
        cmocka_unit_test(counts_the_limits_that_were_met),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
