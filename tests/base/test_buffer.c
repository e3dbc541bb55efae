/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/buffer.h"

static void keeps_bytes_in_order_while_both_ends_move(void **state)
{
    mail_test_walk mem;
    buffer buf;

    (void)state;
    mail_test_mem_init(&mem);
    buffer_init(&buf, &mem.mem, 4096);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(buffer_printf(&buf, "%04u", i), MAIL_OK);
        if (buffer_length(&buf) > 400) {
            char want[5];

            snprintf(want, sizeof(want), "%04u", i - 100);
            assert_memory_equal(buffer_bytes(&buf).data, want, 4);
            buffer_consume(&buf, 4);
        }
    }
    buffer_deinit(&buf);
    mail_test_mem_check(&mem);
}

static void refuses_what_passes_its_limit_and_takes_the_rest(void **state)
{
    buffer buf;

    (void)state;
    buffer_init(&buf, NULL, 8);
    assert_int_equal(buffer_append(&buf, MAIL_SPAN("12345")), MAIL_OK);
    assert_int_equal(buffer_append(&buf, MAIL_SPAN("6789")), MAIL_ELIMIT);
    assert_int_equal(buffer_append(&buf, MAIL_SPAN("678")), MAIL_OK);
    assert_int_equal(buffer_room(&buf), 0);
    assert_span_equal(buffer_bytes(&buf), "12345678");
    buffer_consume(&buf, 3);
    assert_int_equal(buffer_append(&buf, MAIL_SPAN("abc")), MAIL_OK);
    assert_span_equal(buffer_bytes(&buf), "45678abc");
    assert_int_equal(buffer_append(&buf, MAIL_SPAN("")), MAIL_OK);
    buffer_deinit(&buf);
}

static void lends_nothing_before_it_holds_anything(void **state)
{
    buffer buf;

    (void)state;
    buffer_init(&buf, NULL, 10);
    assert_null(buffer_bytes(&buf).data);
    assert_int_equal(buffer_bytes(&buf).length, 0);
    buffer_deinit(&buf);
}

static void gives_a_grown_block_back(void **state)
{
    mail_test_walk mem;
    buffer buf;

    (void)state;
    mail_test_mem_init(&mem);
    buffer_init(&buf, &mem.mem, 1 << 20);
    assert_non_null(buffer_space(&buf, 100));
    buffer_clear(&buf, 512);
    assert_int_equal(mem.blocks, 1);
    assert_non_null(buffer_space(&buf, 5000));
    buffer_clear(&buf, 512);
    assert_int_equal(mem.blocks, 0);
    buffer_deinit(&buf);
}

/* Memory that looks for SECRET in what is given back. */
#define SECRET "pencil"

static void *looking_resize(void *arg, void *old, size_t old_size, size_t size)
{
    void *block = size > 0 ? malloc(size) : NULL;

    if (old != NULL) {
        *(unsigned *)arg += memmem(old, old_size, SECRET, strlen(SECRET)) != NULL;
        if (block != NULL) {
            memcpy(block, old, old_size < size ? old_size : size);
        }
        free(old);
    }
    return block;
}

static void wipes_what_is_secret_also_when_it_grows(void **state)
{
    (void)state;
    for (int is_secret = 0; is_secret < 2; is_secret++) {
        unsigned found = 0;
        mail_mem mem = {looking_resize, &found};
        char more[5000] = "";
        buffer buf;

        buffer_init(&buf, &mem, 100000);
        buf.is_secret = is_secret;
        for (int round = 0; round < 2; round++) { /* as secret as before, once it is empty */
            assert_int_equal(buffer_append(&buf, MAIL_SPAN(SECRET)), MAIL_OK);
            assert_int_equal(buffer_append(&buf, mail_span_of(more, sizeof(more))), MAIL_OK);
            assert_memory_equal(buffer_bytes(&buf).data, SECRET, strlen(SECRET));
            buffer_clear(&buf, 0);
        }
        assert_int_equal(buffer_append(&buf, MAIL_SPAN(SECRET)), MAIL_OK);
        buffer_deinit(&buf);
        assert_int_equal(found, is_secret ? 0 : 5);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        buffer buf;
        int code;

        buffer_init(&buf, &walk.mem, 1 << 20);
        code = buffer_append(&buf, MAIL_SPAN("first"));
        if (code == MAIL_OK) {
            code = buffer_printf(&buf, "%1000d", 1);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        buffer_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_bytes_in_order_while_both_ends_move),
        cmocka_unit_test(refuses_what_passes_its_limit_and_takes_the_rest),
        cmocka_unit_test(lends_nothing_before_it_holds_anything),
        cmocka_unit_test(gives_a_grown_block_back),
        cmocka_unit_test(wipes_what_is_secret_also_when_it_grows),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
