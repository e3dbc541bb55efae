/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "common/server_metrics.h"
#include "support/certs.h"

static void print(const server_metrics *metrics, char *out, size_t size)
{
    mail_sink_memory text;
    mail_span bytes;

    mail_sink_memory_init(&text, NULL, size - 1);
    assert_int_equal(mail_metrics_print(metrics->registry, &text.sink), MAIL_OK);
    bytes = mail_sink_memory_bytes(&text);
    snprintf(out, size, "%.*s", (int)bytes.length, bytes.length > 0 ? bytes.data : "");
    mail_sink_memory_deinit(&text);
}

/* Whatever its file is called. */
static void shows_until_when_a_certificate_is_valid(void **state)
{
    const mail_test_cert_options how = {.dns_name = "mx.example", .until = 1000};
    const char *path = "a\"b\\c\nd.pem";
    const tls_files files = {.certificates = {&path, 1}};
    server_metrics metrics = {.registry = NULL};
    mail_tls_context *context;
    mail_test_cert cert;
    mail_wall from;
    mail_wall until;
    char want[300];
    char got[1000];

    (void)state;
    mail_test_cert_make(&cert, &how);
    context = mail_test_tls_context(&cert, NULL);
    mail_tls_context_validity(context, 0, &from, &until);
    assert_int_equal(server_metrics_make(&metrics, 1), MAIL_OK);
    assert_int_equal(server_metrics_add_certificates(&metrics, &files, context), MAIL_OK);
    snprintf(
        want, sizeof(want),
        "# HELP libmail_certificate_expiry_timestamp_seconds Until when a certificate in use is "
        "valid, in seconds since 1970.\n"
        "# TYPE libmail_certificate_expiry_timestamp_seconds gauge\n"
        "libmail_certificate_expiry_timestamp_seconds{file=\"a?b?c?d.pem\"} %lld\n",
        (long long)until);
    print(&metrics, got, sizeof(got));
    assert_string_equal(got, want);
    server_metrics_forget_certificates(&metrics);
    print(&metrics, got, sizeof(got));
    assert_string_equal(got, "");
    server_metrics_stop(&metrics);
    server_metrics_deinit(&metrics);
    mail_tls_context_unref(context);
    mail_test_cert_free(&cert);
}

static void shows_nothing_where_nobody_looks(void **state)
{
    const char *path = "mx.pem";
    const tls_files files = {.certificates = {&path, 1}};
    server_metrics metrics = {.registry = NULL};
    mail_test_cert_options how = {.dns_name = "mx.example"};
    mail_tls_context *context;
    mail_test_cert cert;

    (void)state;
    mail_test_cert_make(&cert, &how);
    context = mail_test_tls_context(&cert, NULL);
    assert_int_equal(server_metrics_make(&metrics, 0), MAIL_OK);
    assert_int_equal(server_metrics_add_certificates(&metrics, &files, context), MAIL_OK);
    assert_int_equal(server_metrics_add_certificates(&metrics, &files, NULL), MAIL_OK);
    server_metrics_forget_certificates(&metrics);
    server_metrics_stop(&metrics);
    server_metrics_deinit(&metrics);
    mail_tls_context_unref(context);
    mail_test_cert_free(&cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_until_when_a_certificate_is_valid),
        cmocka_unit_test(shows_nothing_where_nobody_looks),
    };

    return mail_test_run(tests);
}
