/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/metrics.h>

static const mail_metric_about good = {MAIL_METRIC_COUNTER, "tries_total", "Tries.", "how", "well"};
static const mail_metric_about bad = {MAIL_METRIC_COUNTER, "tries_total", "Tries.", "how", "badly"};
static const mail_metric_about depth = {MAIL_METRIC_GAUGE, "depth", "How deep.", NULL, NULL};
static const mail_metric_about delay = {MAIL_METRIC_HISTOGRAM, "delay_seconds", "How long.", NULL,
                                        NULL};
static const mail_metric_about far = {MAIL_METRIC_HISTOGRAM, "far_seconds", "How far.", "to", "x"};

static void assert_print(mail_metrics *metrics, const char *want)
{
    mail_sink_memory out;

    mail_sink_memory_init(&out, NULL, 1 << 20);
    assert_int_equal(mail_metrics_print(metrics, &out.sink), MAIL_OK);
    assert_span_equal(mail_sink_memory_bytes(&out), want);
    mail_sink_memory_deinit(&out);
}

static void writes_families_together(void **state)
{
    mail_metrics *metrics;
    mail_metric *a;
    mail_metric *b;
    mail_metric *c;
    mail_metric *again;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    assert_print(metrics, "");
    assert_int_equal(mail_metrics_add(metrics, &good, &a), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &depth, &c), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &bad, &b), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &good, &again), MAIL_OK);
    assert_ptr_equal(a, again);
    mail_metric_count(a, 2);
    mail_metric_count(again, 1);
    mail_metric_set(c, UINT64_MAX);
    assert_print(metrics, "# HELP tries_total Tries.\n"
                          "# TYPE tries_total counter\n"
                          "tries_total{how=\"well\"} 3\n"
                          "tries_total{how=\"badly\"} 0\n"
                          "# HELP depth How deep.\n"
                          "# TYPE depth gauge\n"
                          "depth 18446744073709551615\n");
    mail_metrics_destroy(metrics);
}

static void removes_a_family(void **state)
{
    mail_metrics *metrics;
    mail_metric *metric;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &good, &metric), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &depth, &metric), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &bad, &metric), MAIL_OK);
    mail_metrics_remove(metrics, "tries_total");
    mail_metrics_remove(metrics, "tries");
    assert_print(metrics, "# HELP depth How deep.\n# TYPE depth gauge\ndepth 0\n");
    assert_int_equal(mail_metrics_add(metrics, &bad, &metric), MAIL_OK);
    mail_metrics_remove(metrics, "depth");
    assert_print(metrics, "# HELP tries_total Tries.\n# TYPE tries_total counter\n"
                          "tries_total{how=\"badly\"} 0\n");
    mail_metrics_destroy(metrics);
}

static void sorts_durations_into_buckets(void **state)
{
    mail_metrics *metrics;
    mail_metric *metric;
    mail_metric *labelled;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &delay, &metric), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &far, &labelled), MAIL_OK);
    mail_metric_observe(metric, -5 * MAIL_SECOND);
    mail_metric_observe(metric, MAIL_SECOND);
    mail_metric_observe(metric, MAIL_SECOND + 1);
    mail_metric_observe(metric, 1500 * MAIL_MILLISECOND);
    mail_metric_observe(metric, 30 * MAIL_DAY);
    assert_int_equal(mail_metric_value(metric), 5);
    assert_print(metrics, "# HELP delay_seconds How long.\n"
                          "# TYPE delay_seconds histogram\n"
                          "delay_seconds_bucket{le=\"1\"} 2\n"
                          "delay_seconds_bucket{le=\"5\"} 4\n"
                          "delay_seconds_bucket{le=\"15\"} 4\n"
                          "delay_seconds_bucket{le=\"60\"} 4\n"
                          "delay_seconds_bucket{le=\"300\"} 4\n"
                          "delay_seconds_bucket{le=\"900\"} 4\n"
                          "delay_seconds_bucket{le=\"3600\"} 4\n"
                          "delay_seconds_bucket{le=\"14400\"} 4\n"
                          "delay_seconds_bucket{le=\"86400\"} 4\n"
                          "delay_seconds_bucket{le=\"432000\"} 4\n"
                          "delay_seconds_bucket{le=\"+Inf\"} 5\n"
                          "delay_seconds_sum 2592003.500\n"
                          "delay_seconds_count 5\n"
                          "# HELP far_seconds How far.\n"
                          "# TYPE far_seconds histogram\n"
                          "far_seconds_bucket{to=\"x\",le=\"1\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"5\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"15\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"60\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"300\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"900\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"3600\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"14400\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"86400\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"432000\"} 0\n"
                          "far_seconds_bucket{to=\"x\",le=\"+Inf\"} 0\n"
                          "far_seconds_sum{to=\"x\"} 0.000\n"
                          "far_seconds_count{to=\"x\"} 0\n");
    mail_metrics_destroy(metrics);
}

static void refuses_what_would_break_the_text(void **state)
{
    static const struct {
        const char *name;
        mail_metric_about about;
    } cases[] = {
        {"no name", {MAIL_METRIC_GAUGE, NULL, "x", NULL, NULL}},
        {"empty name", {MAIL_METRIC_GAUGE, "", "x", NULL, NULL}},
        {"digit first", {MAIL_METRIC_GAUGE, "1a", "x", NULL, NULL}},
        {"blank in a name", {MAIL_METRIC_GAUGE, "a b", "x", NULL, NULL}},
        {"no help", {MAIL_METRIC_GAUGE, "a", NULL, NULL, NULL}},
        {"two lines of help", {MAIL_METRIC_GAUGE, "a", "x\ny", NULL, NULL}},
        {"bad label", {MAIL_METRIC_GAUGE, "a", "x", "l=", "v"}},
        {"no value", {MAIL_METRIC_GAUGE, "a", "x", "l", NULL}},
        {"quote in a value", {MAIL_METRIC_GAUGE, "a", "x", "l", "v\"} 1"}},
        {"another kind", {MAIL_METRIC_GAUGE, "tries_total", "Tries.", "how", "so"}},
    };
    mail_metrics *metrics;
    mail_metric *metric;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &good, &metric), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        assert_int_equal(mail_metrics_add(metrics, &cases[i].about, &metric), MAIL_EINVAL);
        assert_null(metric);
    }
    mail_metrics_destroy(metrics);
}

static void does_nothing_without_a_registry(void **state)
{
    mail_metric *metric;

    (void)state;
    assert_int_equal(mail_metrics_add(NULL, &good, &metric), MAIL_OK);
    assert_null(metric);
    mail_metric_count(metric, 1);
    mail_metric_set(metric, 1);
    mail_metric_observe(metric, 1);
    assert_int_equal(mail_metric_value(metric), 0);
    assert_int_equal(mail_metrics_ask(NULL, NULL, NULL), MAIL_OK);
    mail_metrics_forget(NULL, NULL);
    mail_metrics_remove(NULL, "depth");
    mail_metrics_destroy(NULL);
}

static void deepen(void *arg)
{
    mail_metric *metric = arg;

    mail_metric_set(metric, mail_metric_value(metric) + 1);
}

static void asks_before_it_writes(void **state)
{
    mail_metrics *metrics;
    mail_metric *metric;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    assert_int_equal(mail_metrics_add(metrics, &depth, &metric), MAIL_OK);
    assert_int_equal(mail_metrics_ask(metrics, deepen, metric), MAIL_OK);
    assert_int_equal(mail_metrics_ask(metrics, deepen, metric), MAIL_OK);
    assert_print(metrics, "# HELP depth How deep.\n# TYPE depth gauge\ndepth 2\n");
    mail_metrics_forget(metrics, metric);
    assert_print(metrics, "# HELP depth How deep.\n# TYPE depth gauge\ndepth 2\n");
    assert_int_equal(mail_metrics_ask(metrics, deepen, metric), MAIL_OK);
    mail_metrics_destroy(metrics);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_metrics *metrics = NULL;
        mail_sink_memory out;
        mail_metric *metric;
        int code = mail_metrics_create(&metrics, &walk.mem);

        mail_sink_memory_init(&out, NULL, 1 << 20);
        if (code == MAIL_OK) {
            code = mail_metrics_add(metrics, &good, &metric);
        }
        if (code == MAIL_OK) {
            code = mail_metrics_ask(metrics, deepen, metric);
        }
        if (code == MAIL_OK) {
            code = mail_metrics_print(metrics, &out.sink);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_metrics_destroy(metrics);
        mail_sink_memory_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_families_together),
        cmocka_unit_test(removes_a_family),
        cmocka_unit_test(sorts_durations_into_buckets),
        cmocka_unit_test(refuses_what_would_break_the_text),
        cmocka_unit_test(does_nothing_without_a_registry),
        cmocka_unit_test(asks_before_it_writes),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
