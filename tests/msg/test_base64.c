/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/encode.h>

static void encodes_and_decodes_the_vectors_of_rfc_4648(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\373\377\277", "+/+/"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[16];
        size_t n = mail_base64_encode(mail_span_text(rows[i][0]), out);

        assert_span_equal(mail_span_of(out, n), rows[i][1]);
        assert_int_equal(n, MAIL_BASE64_SIZE(strlen(rows[i][0])));
        assert_int_equal(mail_base64_decode(mail_span_of(out, n), out, &n), MAIL_OK);
        assert_span_equal(mail_span_of(out, n), rows[i][0]);
    }
}

/* SX-013 */
static void refuses_everything_else(void **state)
{
    static const char *const rows[] = {
        "Z",     "Zg",     "Zg=",  "Zg===", "Zh==", "Zm9=", "Z===",     "====", "Zg==Zg==",
        "Zm 9v", "Zm9v\n", "Zm9-", "Zm9_",  "=Zm9", "Z=g=", "Zm9v\r\n", "*",    "\377\377\377\377",
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[16];
        size_t n;

        mail_test_case(rows[i]);
        assert_int_equal(mail_base64_decode(mail_span_text(rows[i]), out, &n), MAIL_EINVAL);
    }
    assert_int_equal(mail_base64_decode(mail_span_of("Zm\0v", 4), (char[4]){0}, &(size_t){0}),
                     MAIL_EINVAL);
}

static void keeps_every_octet(void **state)
{
    char all[256];
    char out[MAIL_BASE64_SIZE(256)];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)(i * 167);
    }
    n = mail_base64_encode(mail_span_of(all, sizeof(all)), out);
    assert_int_equal(mail_base64_decode(mail_span_of(out, n), out, &n), MAIL_OK);
    assert_int_equal(n, sizeof(all));
    assert_memory_equal(out, all, sizeof(all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes_the_vectors_of_rfc_4648),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(keeps_every_octet),
    };

    return mail_test_run(tests);
}
