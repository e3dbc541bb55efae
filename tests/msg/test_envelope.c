/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/envelope.h>

static int fill(mail_envelope *envelope, size_t count)
{
    int code = mail_envelope_set_sender(envelope, MAIL_SPAN("s@x"), MAIL_SPAN("id"));

    for (size_t i = 0; i < count && code == MAIL_OK; i++) {
        char address[32];
        mail_recipient rcpt = {.orcpt = MAIL_SPAN("rfc822;o@x"), .notify = MAIL_NOTIFY_DELAY};

        snprintf(address, sizeof(address), "r%zu@x", i);
        rcpt.address = mail_span_text(address);
        code = mail_envelope_add(envelope, &rcpt);
    }
    envelope->smtputf8 = true;
    envelope->ret = MAIL_RET_HDRS;
    return code;
}

static void check(const mail_envelope *envelope, size_t count)
{
    assert_span_equal(mail_envelope_sender(envelope), "s@x");
    assert_span_equal(mail_envelope_envid(envelope), "id");
    assert_int_equal(mail_envelope_count(envelope), count);
    assert_true(envelope->smtputf8);
    assert_int_equal(envelope->ret, MAIL_RET_HDRS);
    for (size_t i = 0; i < count; i++) {
        mail_recipient rcpt = mail_envelope_recipient(envelope, i);
        char address[32];

        snprintf(address, sizeof(address), "r%zu@x", i);
        assert_span_equal(rcpt.address, address);
        assert_span_equal(rcpt.orcpt, "rfc822;o@x");
        assert_int_equal(rcpt.notify, MAIL_NOTIFY_DELAY);
    }
}

static void keeps_what_it_is_given(void **state)
{
    mail_test_walk mem;
    mail_envelope envelope;

    (void)state;
    mail_test_mem_init(&mem);
    mail_envelope_init(&envelope, &mem.mem);
    assert_int_equal(mail_envelope_sender(&envelope).length, 0);
    assert_int_equal(mail_envelope_envid(&envelope).length, 0);
    assert_int_equal(fill(&envelope, 1000), MAIL_OK);
    check(&envelope, 1000);
    mail_envelope_deinit(&envelope);
    mail_test_mem_check(&mem);
}

static void forgets_recipients_from_one_on(void **state)
{
    const mail_recipient more = {.address = MAIL_SPAN("r3@x"),
                                 .orcpt = MAIL_SPAN("rfc822;o@x"),
                                 .notify = MAIL_NOTIFY_DELAY};
    mail_envelope envelope;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(fill(&envelope, 10), MAIL_OK);
    mail_envelope_truncate(&envelope, 10);
    check(&envelope, 10);
    mail_envelope_truncate(&envelope, 3);
    check(&envelope, 3);
    assert_int_equal(mail_envelope_add(&envelope, &more), MAIL_OK);
    check(&envelope, 4);
    mail_envelope_truncate(&envelope, 0);
    check(&envelope, 0);
    mail_envelope_deinit(&envelope);
}

static void is_empty_after_a_reset_and_keeps_little(void **state)
{
    mail_test_walk mem;
    mail_envelope envelope;

    (void)state;
    mail_test_mem_init(&mem);
    mail_envelope_init(&envelope, &mem.mem);
    assert_int_equal(fill(&envelope, 1000), MAIL_OK);
    mail_envelope_reset(&envelope);
    assert_int_equal(mem.blocks, 0);
    assert_int_equal(fill(&envelope, 3), MAIL_OK);
    mail_envelope_reset(&envelope);
    assert_int_equal(mem.blocks, 2);
    assert_int_equal(mail_envelope_count(&envelope), 0);
    assert_int_equal(mail_envelope_sender(&envelope).length, 0);
    assert_false(envelope.smtputf8);
    mem.count = 0;
    assert_int_equal(fill(&envelope, 3), MAIL_OK);
    assert_int_equal(mem.count, 0);
    check(&envelope, 3);
    mail_envelope_deinit(&envelope);
    mail_envelope_deinit(&envelope);
    mail_test_mem_check(&mem);
}

static void takes_the_null_sender_and_a_second_one(void **state)
{
    mail_envelope envelope;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, MAIL_SPAN("a@b"), MAIL_SPAN("x")),
                     MAIL_OK);
    assert_int_equal(mail_envelope_set_sender(&envelope, MAIL_SPAN(""), MAIL_SPAN("")), MAIL_OK);
    assert_int_equal(mail_envelope_sender(&envelope).length, 0);
    assert_int_equal(mail_envelope_envid(&envelope).length, 0);
    mail_envelope_deinit(&envelope);
}

static void refuses_texts_no_protocol_carries(void **state)
{
    static char text[UINT16_MAX + 1];
    mail_span big = {text, sizeof(text)};
    mail_envelope envelope;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, big, MAIL_SPAN("")), MAIL_ELIMIT);
    assert_int_equal(mail_envelope_set_sender(&envelope, MAIL_SPAN(""), big), MAIL_ELIMIT);
    assert_int_equal(mail_envelope_add(&envelope, &(mail_recipient){.address = big}), MAIL_ELIMIT);
    assert_int_equal(mail_envelope_add(&envelope, &(mail_recipient){.orcpt = big}), MAIL_ELIMIT);
    assert_int_equal(mail_envelope_count(&envelope), 0);
    mail_envelope_deinit(&envelope);
}

static void copies_all_or_nothing(void **state)
{
    mail_envelope from;

    (void)state;
    mail_envelope_init(&from, NULL);
    assert_int_equal(fill(&from, 100), MAIL_OK);
    MAIL_TEST_WALK(walk)
    {
        mail_envelope to;
        int code;

        mail_envelope_init(&to, &walk.mem);
        code = mail_envelope_copy(&to, &from);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (code == MAIL_OK) {
            check(&to, 100);
        } else {
            assert_int_equal(mail_envelope_count(&to), 0);
            assert_int_equal(mail_envelope_sender(&to).length, 0);
        }
        mail_envelope_deinit(&to);
    }
    mail_envelope_deinit(&from);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_envelope envelope;
        int code;

        mail_envelope_init(&envelope, &walk.mem);
        code = fill(&envelope, 20);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_envelope_deinit(&envelope);
    }
}

static void divides_canonical_addresses(void **state)
{
    static const struct {
        const char *address;
        const char *local;
        const char *domain;
    } rows[] = {
        {"a@b.c", "a", "b.c"}, {"\"a@b\"@c", "\"a@b\"", "c"},       {"\"a@b\"", "\"a@b\"", ""},
        {"root", "root", ""},  {"a@[IPv6:::1]", "a", "[IPv6:::1]"}, {"", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_test_case(rows[i].address);
        assert_span_equal(mail_address_local(mail_span_text(rows[i].address)), rows[i].local);
        assert_span_equal(mail_address_domain(mail_span_text(rows[i].address)), rows[i].domain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_it_is_given),
        cmocka_unit_test(forgets_recipients_from_one_on),
        cmocka_unit_test(is_empty_after_a_reset_and_keeps_little),
        cmocka_unit_test(takes_the_null_sender_and_a_second_one),
        cmocka_unit_test(refuses_texts_no_protocol_carries),
        cmocka_unit_test(copies_all_or_nothing),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(divides_canonical_addresses),
    };

    return mail_test_run(tests);
}
