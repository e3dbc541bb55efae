/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/hash.h"

static void depends_on_every_octet_and_the_seed(void **state)
{
    const hash_seed seed = {1, 2};
    const hash_seed other = {1, 3};
    char text[40] = {0};
    uint64_t plain = hash_bytes(&seed, mail_span_of(text, 33));

    (void)state;
    for (size_t i = 0; i < 33; i++) {
        text[i] = 1;
        assert_true(hash_bytes(&seed, mail_span_of(text, 33)) != plain);
        text[i] = 0;
    }
    assert_true(hash_bytes(&other, mail_span_of(text, 33)) != plain);
    assert_true(hash_bytes(&seed, mail_span_of(text, 32)) != plain);
    assert_true(hash_bytes(&seed, mail_span_of(NULL, 0)) == hash_bytes(&seed, MAIL_SPAN("")));
}

static void can_look_past_case(void **state)
{
    const hash_seed seed = {7, 9};

    (void)state;
    assert_true(hash_bytes_nocase(&seed, MAIL_SPAN("Example.COM")) ==
                hash_bytes_nocase(&seed, MAIL_SPAN("example.com")));
    assert_true(hash_bytes_nocase(&seed, MAIL_SPAN("example.com")) ==
                hash_bytes(&seed, MAIL_SPAN("example.com")));
    assert_true(hash_bytes(&seed, MAIL_SPAN("Example.COM")) !=
                hash_bytes(&seed, MAIL_SPAN("example.com")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depends_on_every_octet_and_the_seed),
        cmocka_unit_test(can_look_past_case),
    };

    return mail_test_run(tests);
}
