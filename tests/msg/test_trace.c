/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/header.h>
#include <mail/trace.h>

static mail_received ordinary(void)
{
    mail_received received = {
        .helo = MAIL_SPAN("client.example"),
        .by = MAIL_SPAN("mx.example"),
        .with = MAIL_WITH_ESMTP,
        .id = MAIL_SPAN("4Yf0abc"),
        .address = MAIL_SPAN("a@b.example"),
        .when = 1795308008,
        .zone = 60,
    };

    assert_int_equal(mail_ip_parse(MAIL_SPAN("192.0.2.1"), &received.peer), MAIL_OK);
    return received;
}

/* SS-033, SS-034, SS-035 */
static void writes_who_sent_what_to_whom_and_when(void **state)
{
    mail_received received = ordinary();
    char out[MAIL_TRACE_SIZE];
    size_t n;

    (void)state;
    n = mail_received_write(&received, out);
    assert_int_equal(n, strlen(out));
    assert_string_equal(out, "Received: from client.example ([192.0.2.1])\r\n"
                             "\tby mx.example with ESMTP id 4Yf0abc\r\n"
                             "\tfor <a@b.example>;\r\n"
                             "\tSun, 22 Nov 2026 01:40:08 +0100\r\n");
    received.address = MAIL_SPAN("");
    received.with |= MAIL_WITH_TLS | MAIL_WITH_AUTH;
    mail_ip_parse(MAIL_SPAN("2001:db8::1"), &received.peer);
    mail_received_write(&received, out);
    assert_string_equal(out, "Received: from client.example ([IPv6:2001:db8::1])\r\n"
                             "\tby mx.example with ESMTPSA id 4Yf0abc;\r\n"
                             "\tSun, 22 Nov 2026 01:40:08 +0100\r\n");
    received.peer.family = 0;
    received.id = MAIL_SPAN("");
    mail_received_write(&received, out);
    assert_string_equal(out, "Received: by mx.example;\r\n\tSun, 22 Nov 2026 01:40:08 +0100\r\n");
}

/* SS-033, SX-027 */
static void names_the_protocol_as_registered(void **state)
{
    static const struct {
        unsigned with;
        const char *want;
    } rows[] = {
        {0, "SMTP"},
        {MAIL_WITH_TLS, "SMTP"},
        {MAIL_WITH_ESMTP, "ESMTP"},
        {MAIL_WITH_ESMTP | MAIL_WITH_TLS, "ESMTPS"},
        {MAIL_WITH_ESMTP | MAIL_WITH_AUTH, "ESMTPA"},
        {MAIL_WITH_ESMTP | MAIL_WITH_TLS | MAIL_WITH_AUTH, "ESMTPSA"},
        {MAIL_WITH_LMTP, "LMTP"},
        {MAIL_WITH_LMTP | MAIL_WITH_TLS | MAIL_WITH_AUTH, "LMTPSA"},
        {MAIL_WITH_ESMTP | MAIL_WITH_UTF8, "UTF8SMTP"},
        {MAIL_WITH_ESMTP | MAIL_WITH_UTF8 | MAIL_WITH_TLS, "UTF8SMTPS"},
        {MAIL_WITH_LMTP | MAIL_WITH_UTF8 | MAIL_WITH_AUTH, "UTF8LMTPA"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        assert_string_equal(mail_with_name(rows[i].with), rows[i].want);
    }
}

/* One field, no line past 998 octets, no control character but its folds. */
static void check_harmless(mail_span field)
{
    mail_header_reader reader;
    mail_field got;

    mail_header_reader_init(&reader, field);
    assert_int_equal(mail_header_reader_next(&reader, &got), MAIL_OK);
    assert_int_equal(got.raw.length, field.length);
    while (field.length > 0) {
        const char *end = memchr(field.data, '\n', field.length);
        size_t n;

        assert_non_null(end);
        n = (size_t)(end - field.data);
        assert_true(n >= 1 && n <= 999 && end[-1] == '\r');
        for (size_t i = 0; i + 1 < n; i++) {
            assert_true((unsigned char)field.data[i] >= ' ' || (i == 0 && field.data[i] == '\t'));
        }
        field = mail_span_from(field, n + 1);
    }
}

/* SS-015, SC-033 */
static void lets_no_text_add_anything(void **state)
{
    static const char *const texts[] = {
        "x\r\nX: y", "x\ny", "x\ry", "x) by (y", "x; y", "\033[2J", "\303\274", "a b", "\177", "",
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(texts); i++) {
        mail_received received = ordinary();
        char out[MAIL_TRACE_SIZE];
        size_t n;

        mail_test_case(texts[i]);
        received.helo = received.by = received.id = received.address = mail_span_text(texts[i]);
        n = mail_received_write(&received, out);
        check_harmless(mail_span_of(out, n));
        assert_null(strstr(out, "for"));
        assert_null(strchr(out, '\033'));
        n = mail_return_path_write(mail_span_text(texts[i]), out);
        check_harmless(mail_span_of(out, n));
        n = mail_delivered_to_write(mail_span_text(texts[i]), out);
        check_harmless(mail_span_of(out, n));
    }
}

static void cuts_what_is_too_long(void **state)
{
    static char text[5000];
    mail_received received = ordinary();
    mail_span big = {text, sizeof(text)};
    char out[MAIL_TRACE_SIZE];

    (void)state;
    memset(text, 'a', sizeof(text));
    received.helo = received.by = received.id = received.address = big;
    check_harmless(mail_span_of(out, mail_received_write(&received, out)));
    check_harmless(mail_span_of(out, mail_return_path_write(big, out)));
    check_harmless(mail_span_of(out, mail_delivered_to_write(big, out)));
}

/* SX-027: UTF-8 appears only where the message was declared to hold it. */
static void shows_utf8_addresses_only_in_utf8_messages(void **state)
{
    mail_received received = ordinary();
    char out[MAIL_TRACE_SIZE];

    (void)state;
    received.address = MAIL_SPAN("\303\274@b.example");
    mail_received_write(&received, out);
    assert_null(strstr(out, "for"));
    received.with |= MAIL_WITH_UTF8;
    mail_received_write(&received, out);
    assert_non_null(strstr(out, "with UTF8SMTP id"));
    assert_non_null(strstr(out, "for <\303\274@b.example>;"));
}

/* SS-036 */
static void writes_the_fields_of_final_delivery(void **state)
{
    char out[MAIL_TRACE_SIZE];

    (void)state;
    assert_int_equal(mail_return_path_write(MAIL_SPAN("a@b"), out), 20);
    assert_string_equal(out, "Return-Path: <a@b>\r\n");
    mail_return_path_write(MAIL_SPAN(""), out);
    assert_string_equal(out, "Return-Path: <>\r\n");
    mail_delivered_to_write(MAIL_SPAN("a@b"), out);
    assert_string_equal(out, "Delivered-To: a@b\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_who_sent_what_to_whom_and_when),
        cmocka_unit_test(names_the_protocol_as_registered),
        cmocka_unit_test(lets_no_text_add_anything),
        cmocka_unit_test(cuts_what_is_too_long),
        cmocka_unit_test(shows_utf8_addresses_only_in_utf8_messages),
        cmocka_unit_test(writes_the_fields_of_final_delivery),
    };

    return mail_test_run(tests);
}
