/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "msg/recipients.h"

static int add_many(mail_envelope *envelope, unsigned count, unsigned distinct)
{
    recipients rc;
    int code = recipients_init(&rc, envelope);

    for (unsigned i = 0; i < count && code == MAIL_OK; i++) {
        char address[32];
        bool added;

        snprintf(address, sizeof(address), "a%u@b", i % distinct);
        code = recipients_add(&rc, mail_span_text(address), &added);
        if (code == MAIL_OK) {
            assert_int_equal(added, i < distinct);
        }
    }
    recipients_deinit(&rc);
    return code;
}

static void adds_each_address_once(void **state)
{
    mail_envelope envelope;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(add_many(&envelope, 30000, 10000), MAIL_OK);
    assert_int_equal(mail_envelope_count(&envelope), 10000);
    assert_span_equal(mail_envelope_recipient(&envelope, 9999).address, "a9999@b");
    mail_envelope_deinit(&envelope);
}

static void knows_what_was_there_before(void **state)
{
    mail_recipient rcpt = {.address = MAIL_SPAN("x@y")};
    mail_envelope envelope;
    recipients rc;
    bool added;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
    assert_int_equal(recipients_init(&rc, &envelope), MAIL_OK);
    assert_int_equal(recipients_add(&rc, MAIL_SPAN("x@y"), &added), MAIL_OK);
    assert_false(added);
    assert_int_equal(recipients_add(&rc, MAIL_SPAN("X@y"), &added), MAIL_OK);
    assert_true(added);
    recipients_deinit(&rc);
    mail_envelope_deinit(&envelope);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_envelope envelope;
        int code;

        mail_envelope_init(&envelope, &walk.mem);
        code = add_many(&envelope, 100, 100);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        mail_envelope_deinit(&envelope);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_each_address_once),
        cmocka_unit_test(knows_what_was_there_before),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
