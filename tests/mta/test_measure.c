/* SPDX-License-Identifier: MIT */
#include "mta/kit.h"

#include "mta/measure.h"

static void sorts_refusals_by_what_they_are_about(void **state)
{
    static const struct {
        const char *name;
        mail_reply reply;
        size_t offset;
    } cases[] = {
        {"unknown user", {550, {5, 1, 1}, {NULL, 0}}, offsetof(receive_measure, recipient)},
        {"relaying", {550, {5, 7, 1}, {NULL, 0}}, offsetof(receive_measure, policy)},
        {"full disk", {452, {4, 3, 1}, {NULL, 0}}, offsetof(receive_measure, later)},
        {"later, of a user", {450, {4, 1, 1}, {NULL, 0}}, offsetof(receive_measure, later)},
        {"syntax", {501, {5, 5, 4}, {NULL, 0}}, offsetof(receive_measure, protocol)},
        {"no status", {500, {0, 0, 0}, {NULL, 0}}, offsetof(receive_measure, protocol)},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        receive_measure measure;
        mail_metrics *metrics;
        mail_metric *metric;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
        assert_int_equal(receive_measure_init(&measure, metrics), MAIL_OK);
        receive_measure_refusal(&measure, &cases[i].reply);
        memcpy(&metric, (char *)&measure + cases[i].offset, sizeof(metric));
        assert_int_equal(mail_metric_value(metric), 1);
        mail_metrics_destroy(metrics);
    }
}

static char *scrape(mail_metrics *metrics)
{
    mail_sink_memory out;
    mail_span text;
    char *copy;

    mail_sink_memory_init(&out, NULL, 1 << 20);
    assert_int_equal(mail_metrics_print(metrics, &out.sink), MAIL_OK);
    text = mail_sink_memory_bytes(&out);
    copy = strndup(text.data, text.length);
    assert_non_null(copy);
    mail_sink_memory_deinit(&out);
    return copy;
}

static void counts_what_the_front_does(void **state)
{
    static const char *const wanted[] = {
        "\nlibmail_sessions_total 1\n",
        "\nlibmail_sessions_open 1\n",
        "\nlibmail_accepted_total 1\n",
        "\nlibmail_accepted_bytes_total 22\n",
        "\nlibmail_not_accepted_total 0\n",
        "\nlibmail_refused_total{reason=\"policy\"} 1\n",
        "\nlibmail_refused_total{reason=\"protocol\"} 1\n",
    };
    static const mail_span domains[] = {{"example.org", 11}};
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    mail_metrics *metrics;
    char *text;
    kit k;
    int fd;

    (void)state;
    assert_int_equal(mail_metrics_create(&metrics, NULL), MAIL_OK);
    opts.local_domains = domains;
    opts.local_count = 1;
    opts.metrics = metrics;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    fd = kit_greet(&k, &k.at);
    kit_asks(&k, fd, "FROBNICATE\r\n", "500");
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<bob@elsewhere.example>\r\n", "550 5.7.1");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, "Subject: hi\r\n\r\n..dots\r\n.\r\n", "250");
    text = scrape(metrics);
    for (size_t i = 0; i < MAIL_COUNT(wanted); i++) {
        if (strstr(text, wanted[i]) == NULL) {
            fail_msg("no%sin%s", wanted[i], text);
        }
    }
    free(text);
    close(fd);
    kit_close(&k);
    text = scrape(metrics); /* nobody is asked who has gone */
    free(text);
    mail_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_refusals_by_what_they_are_about),
        cmocka_unit_test(counts_what_the_front_does),
    };

    return mail_test_run(tests);
}
