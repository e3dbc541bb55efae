/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/sink.h>

static void lends_a_span_until_it_is_used_up(void **state)
{
    mail_source_span source;
    mail_span span;

    (void)state;
    mail_source_span_init(&source, MAIL_SPAN("hello"));
    assert_int_equal(mail_source_peek(&source.source, &span), MAIL_OK);
    assert_span_equal(span, "hello");
    mail_source_drop(&source.source, 3);
    assert_int_equal(mail_source_peek(&source.source, &span), MAIL_OK);
    assert_span_equal(span, "lo");
    mail_source_drop(&source.source, 2);
    assert_int_equal(mail_source_peek(&source.source, &span), MAIL_OK);
    assert_int_equal(span.length, 0);
    mail_source_close(&source.source);
}

static void keeps_what_is_written_up_to_its_limit(void **state)
{
    mail_sink_memory sink;

    (void)state;
    mail_sink_memory_init(&sink, NULL, 6);
    assert_int_equal(mail_sink_room(&sink.sink), 6);
    assert_int_equal(mail_sink_write(&sink.sink, MAIL_SPAN("abcd")), MAIL_OK);
    assert_int_equal(mail_sink_room(&sink.sink), 2);
    assert_int_equal(mail_sink_write(&sink.sink, MAIL_SPAN("efg")), MAIL_ELIMIT);
    assert_int_equal(mail_sink_write(&sink.sink, MAIL_SPAN("ef")), MAIL_OK);
    assert_true(mail_sink_room(&sink.sink) > 0);
    assert_false(mail_sink_memory_finished(&sink));
    assert_int_equal(mail_sink_finish(&sink.sink, NULL, NULL), MAIL_OK);
    assert_true(mail_sink_memory_finished(&sink));
    assert_span_equal(mail_sink_memory_bytes(&sink), "abcdef");
    mail_sink_memory_deinit(&sink);
}

static void survives_every_failed_allocation(void **state)
{
    static char big[5000];

    (void)state;
    MAIL_TEST_WALK(walk) {
        mail_sink_memory sink;
        int code;

        mail_sink_memory_init(&sink, &walk.mem, 1 << 20);
        code = mail_sink_write(&sink.sink, MAIL_SPAN("x"));
        if (code == MAIL_OK) {
            code = mail_sink_write(&sink.sink, mail_span_of(big, sizeof(big)));
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_sink_abort(&sink.sink);
        mail_sink_memory_deinit(&sink);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lends_a_span_until_it_is_used_up),
        cmocka_unit_test(keeps_what_is_written_up_to_its_limit),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
