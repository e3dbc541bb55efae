/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "queue/head.h"

static void fill(mail_envelope *envelope)
{
    mail_recipient one = {MAIL_SPAN("one@a.example"), MAIL_SPAN("rfc822;one@a.example"),
                          MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY, MAIL_RECIPIENT_HIDDEN};
    mail_recipient two = {.address = MAIL_SPAN("two@b.example")};

    mail_envelope_init(envelope, NULL);
    assert_int_equal(
        mail_envelope_set_sender(envelope, MAIL_SPAN("from@x.example"), MAIL_SPAN("env 1")),
        MAIL_OK);
    assert_int_equal(mail_envelope_add(envelope, &one), MAIL_OK);
    assert_int_equal(mail_envelope_add(envelope, &two), MAIL_OK);
    envelope->ret = MAIL_RET_HDRS;
    envelope->body = MAIL_BODY_8BITMIME;
}

static void keeps_an_envelope_whole(void **state)
{
    queue_head head = {.flags = QUEUE_HEAD_8BIT | QUEUE_HEAD_SMTPUTF8,
                       .size = 12345678901,
                       .tick = 99,
                       .body_crc = 0x11223344,
                       .arrival = 1700000000};
    mail_recipient recipient;
    mail_envelope envelope;
    queue_head back;
    char data[512];
    size_t length;

    (void)state;
    fill(&envelope);
    length = queue_head_length(&envelope);
    assert_in_range(length, 1, sizeof(data));
    queue_head_write(&head, &envelope, data);
    assert_true(queue_head_read(mail_span_of(data, length), &back));
    assert_int_equal(back.count, 2);
    assert_int_equal(back.flags, head.flags);
    assert_int_equal(back.ret, MAIL_RET_HDRS);
    assert_int_equal(back.body, MAIL_BODY_8BITMIME);
    assert_int_equal(back.size, head.size);
    assert_int_equal(back.tick, 99);
    assert_int_equal(back.body_crc, 0x11223344);
    assert_int_equal(back.arrival, 1700000000);
    assert_span_equal(back.sender, "from@x.example");
    assert_span_equal(back.envid, "env 1");
    assert_true(queue_head_next(&back, &recipient));
    assert_span_equal(recipient.address, "one@a.example");
    assert_span_equal(recipient.orcpt, "rfc822;one@a.example");
    assert_int_equal(recipient.notify, MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY);
    assert_int_equal(recipient.role, MAIL_RECIPIENT_HIDDEN);
    assert_true(queue_head_next(&back, &recipient));
    assert_span_equal(recipient.address, "two@b.example");
    assert_int_equal(back.recipients.left, 0);
    assert_false(queue_head_next(&back, &recipient));
    mail_envelope_deinit(&envelope);
}

static void refuses_a_head_cut_anywhere(void **state)
{
    queue_head head = {.size = 1};
    mail_envelope envelope;
    char data[512];
    size_t length;

    (void)state;
    fill(&envelope);
    length = queue_head_length(&envelope);
    queue_head_write(&head, &envelope, data);
    for (size_t cut = 0; cut < length; cut++) {
        mail_recipient recipient;
        queue_head back;
        bool is_whole = queue_head_read(mail_span_of(data, cut), &back);

        for (unsigned i = 0; is_whole && i < back.count; i++) {
            is_whole = queue_head_next(&back, &recipient);
        }
        assert_false(is_whole);
    }
    mail_envelope_deinit(&envelope);
}

static void keeps_outcomes(void **state)
{
    queue_outcome first = {
        .index = 3, .flags = QUEUE_HELD | QUEUE_WARNED | QUEUE_EXPIRED, .attempts = 9, .due = 1234};
    queue_outcome second = {.index = 4, .flags = QUEUE_DONE, .reply = MAIL_SPAN("250 Ok")};
    queue_outcome back;
    char data[128];
    wire_writer to = {data};
    wire_reader from;

    (void)state;
    queue_outcome_write(&first, &to);
    queue_outcome_write(&second, &to);
    from = wire_reader_of(mail_span_of(data, (size_t)(to.at - data)));
    assert_true(queue_outcome_next(&from, &back));
    assert_int_equal(back.index, 3);
    assert_int_equal(back.flags, QUEUE_HELD | QUEUE_WARNED | QUEUE_EXPIRED);
    assert_int_equal(back.attempts, 9);
    assert_int_equal(back.due, 1234);
    assert_int_equal(back.reply.length, 0);
    assert_true(queue_outcome_next(&from, &back));
    assert_int_equal(back.index, 4);
    assert_span_equal(back.reply, "250 Ok");
    assert_false(queue_outcome_next(&from, &back));
    assert_false(from.bad);
    from = wire_reader_of(mail_span_of(data, (size_t)(to.at - data) - 1));
    assert_true(queue_outcome_next(&from, &back));
    assert_false(queue_outcome_next(&from, &back));
    assert_true(from.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_an_envelope_whole),
        cmocka_unit_test(refuses_a_head_cut_anywhere),
        cmocka_unit_test(keeps_outcomes),
    };

    return mail_test_run(tests);
}
