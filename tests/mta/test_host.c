/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "mta/host.h"

static const hash_seed seed = {1, 2};

static mail_endpoint endpoint_of(const char *text)
{
    mail_endpoint at;

    assert_int_equal(mail_endpoint_parse(mail_span_text(text), &at), MAIL_OK);
    return at;
}

/* QR-004 */
static void leaves_a_failed_host_alone_for_longer_each_time(void **state)
{
    const mail_reply reply = MAIL_REPLY(451, 4, 4, 1, "Connection refused");
    const mail_endpoint at = endpoint_of("192.0.2.1:25");
    mail_time now = 1000 * MAIL_SECOND;
    mail_duration before = 0;
    host_book book;
    host *hst;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, 16 * MAIL_MINUTE);
    hst = host_use(&book, &at, 0, now);
    assert_false(host_is_down(hst, now));
    for (int i = 0; i < 8; i++) {
        mail_duration most = MAIL_MINUTE << (i < 4 ? i : 4);
        mail_duration down;

        host_failed(&book, hst, &reply, true, now);
        down = hst->down_until - now;
        assert_true(down <= most && down >= most / 4 * 3);
        assert_true(i > 4 || down >= before * 3 / 2);
        before = down;
        now = hst->down_until;
        assert_false(host_is_down(hst, now));
    }
    assert_span_equal(hst->reply.text, "Connection refused");
    host_worked(hst);
    host_failed(&book, hst, &reply, true, now);
    assert_true(hst->down_until - now <= MAIL_MINUTE);
    host_drop(&book, hst);
    host_book_deinit(&book);
}

static void counts_failures_at_the_same_time_once(void **state)
{
    const mail_reply reply = MAIL_REPLY(451, 4, 4, 1, "Connection refused");
    const mail_endpoint at = endpoint_of("192.0.2.1:25");
    host_book book;
    host *hst;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    hst = host_use(&book, &at, 0, 0);
    for (int i = 0; i < 10; i++) {
        host_failed(&book, hst, &reply, true, 0);
    }
    assert_int_equal(hst->failures, 1);
    assert_true(hst->down_until <= MAIL_MINUTE);
    host_drop(&book, hst);
    host_book_deinit(&book);
}

static void knows_a_place_again_as_long_as_it_has_something_to_tell(void **state)
{
    const mail_reply reply = {.code = 421};
    const mail_endpoint one = endpoint_of("192.0.2.1:25");
    const mail_endpoint other = endpoint_of("192.0.2.1:26");
    const mail_endpoint six = endpoint_of("[2001:db8::1]:25");
    host_book book;
    host *a;
    host *b;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    a = host_use(&book, &one, 0, 0);
    b = host_use(&book, &one, 0, 0);
    assert_ptr_equal(a, b);
    host_drop(&book, b);
    b = host_use(&book, &other, 0, 0);
    assert_ptr_not_equal(a, b);
    host_drop(&book, b);
    b = host_use(&book, &six, 0, 0);
    assert_ptr_not_equal(a, b);
    host_drop(&book, b);
    b = host_use_path(&book, "/run/lmtp", 0);
    assert_ptr_not_equal(a, b);
    host_drop(&book, b);

    host_failed(&book, a, &reply, true, 0);
    host_drop(&book, a);
    assert_int_equal(book.hosts.count, 1);
    a = host_use(&book, &one, 0, 0);
    assert_true(host_is_down(a, 0));
    host_worked(a);
    host_drop(&book, a);
    assert_int_equal(book.hosts.count, 0);
    host_book_deinit(&book);
}

static void forgets_the_oldest_of_too_many(void **state)
{
    const mail_reply reply = MAIL_REPLY(451, 4, 4, 1, "No");
    mail_endpoint at = endpoint_of("10.0.0.0:25");
    host_book book;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    for (int i = 0; i < 10000; i++) {
        mail_time now = i * MAIL_SECOND;
        host *hst;

        at.ip.bytes[2] = (uint8_t)(i >> 8);
        at.ip.bytes[3] = (uint8_t)i;
        hst = host_use(&book, &at, 0, now);
        host_failed(&book, hst, &reply, true, now);
        host_drop(&book, hst);
        assert_true(book.hosts.count <= 4096);
    }
    host_book_deinit(&book);
}

static void use_and_fail(host_book *book, unsigned number, mail_time now)
{
    const mail_reply reply = {.code = 451};
    mail_endpoint at = {.ip = {.family = 4, .bytes = {10}}, .port = 25};
    host *hst;

    at.ip.bytes[1] = (uint8_t)(number >> 16);
    at.ip.bytes[2] = (uint8_t)(number >> 8);
    at.ip.bytes[3] = (uint8_t)number;
    hst = host_use(book, &at, 0, now);
    host_failed(book, hst, &reply, true, now);
    host_drop(book, hst);
}

/* To look through all of them for each new one would take minutes. */
static void remembers_a_hundred_thousand_that_are_down(void **state)
{
    host_book book;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    for (unsigned i = 0; i < 100000; i++) {
        use_and_fail(&book, i, 0);
    }
    assert_int_equal(book.hosts.count, 100000);
    for (unsigned i = 100000; i < 200000; i++) {
        use_and_fail(&book, i, MAIL_HOUR);
    }
    assert_in_range(book.hosts.count, 1, 150000); /* those that were down first are forgotten */
    host_book_deinit(&book);
}

static void survives_every_failed_allocation(void **state)
{
    const mail_endpoint at = endpoint_of("192.0.2.1:25");

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        host_book book;
        host *hst;

        host_book_init(&book, &walk.mem, &seed, MAIL_MINUTE, MAIL_HOUR);
        hst = host_use(&book, &at, 0, 0);
        assert_int_equal(hst == NULL, walk.failed);
        if (hst != NULL) {
            host_drop(&book, hst);
        }
        host_book_deinit(&book);
    }
}

/* Who must have TLS may find a host useless that is good enough for others. */
static void tells_those_apart_who_ask_for_more(void **state)
{
    const mail_reply reply = MAIL_REPLY(451, 4, 7, 5, "certificate: expired");
    const mail_endpoint at = endpoint_of("192.0.2.1:25");
    host_book book;
    host *may;
    host *verify;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    may = host_use(&book, &at, 0, 0);
    verify = host_use(&book, &at, 3, 0);
    assert_ptr_not_equal(may, verify);
    host_failed(&book, verify, &reply, true, 0);
    assert_true(host_is_down(verify, 1));
    assert_false(host_is_down(may, 1));
    host_drop(&book, may);
    host_drop(&book, verify);
    host_book_deinit(&book);
}

static void remembers_whose_tls_does_not_work(void **state)
{
    const mail_endpoint at = endpoint_of("192.0.2.1:25");
    host_book book;
    host *hst;

    (void)state;
    host_book_init(&book, NULL, &seed, MAIL_MINUTE, MAIL_HOUR);
    hst = host_use(&book, &at, 0, 0);
    host_spare_tls(hst, MAIL_HOUR);
    host_drop(&book, hst);
    assert_ptr_equal(host_use(&book, &at, 0, 1), hst);
    assert_int_equal(hst->clear_until, MAIL_HOUR);
    host_drop(&book, hst);
    host_book_deinit(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_a_failed_host_alone_for_longer_each_time),
        cmocka_unit_test(counts_failures_at_the_same_time_once),
        cmocka_unit_test(knows_a_place_again_as_long_as_it_has_something_to_tell),
        cmocka_unit_test(forgets_the_oldest_of_too_many),
        cmocka_unit_test(remembers_a_hundred_thousand_that_are_down),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(tells_those_apart_who_ask_for_more),
        cmocka_unit_test(remembers_whose_tls_does_not_work),
    };

    return mail_test_run(tests);
}
