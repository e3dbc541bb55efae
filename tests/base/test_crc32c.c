/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/crc32c.h"

/* RFC 3720, section B.4. */
static void gives_the_published_sums(void **state)
{
    unsigned char data[32];

    (void)state;
    memset(data, 0, sizeof(data));
    assert_int_equal(crc32c(0, data, 32), 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    assert_int_equal(crc32c(0, data, 32), 0x62a8ab43);
    for (unsigned char i = 0; i < 32; i++) {
        data[i] = i;
    }
    assert_int_equal(crc32c(0, data, 32), 0x46dd794e);
    assert_int_equal(crc32c_portable(0, data, 32), 0x46dd794e);
}

static void sums_pieces_as_the_whole(void **state)
{
    const char text[] = "the quick brown fox jumps over the lazy dog, twice and once more";

    (void)state;
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        uint32_t sum = crc32c(crc32c(0, text, cut), text + cut, sizeof(text) - cut);

        assert_int_equal(sum, crc32c_portable(0, text, sizeof(text)));
    }
}

/* Of all lengths about those that are taken at once, from places that are not aligned. */
static void sums_long_runs_as_the_portable_one(void **state)
{
    enum {
        PIECES = 3 * 256
    };
    unsigned char data[3 * PIECES + 16];
    uint32_t noise = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        noise = noise * 1664525 + 1013904223;
        data[i] = (unsigned char)(noise >> 24);
    }
    for (size_t length = PIECES - 9; length <= sizeof(data) - 7; length += 5) {
        const unsigned char *at = data + length % 7;

        assert_int_equal(crc32c(0, at, length), crc32c_portable(0, at, length));
        assert_int_equal(crc32c(noise, at, length), crc32c_portable(noise, at, length));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_sums),
        cmocka_unit_test(sums_pieces_as_the_whole),
        cmocka_unit_test(sums_long_runs_as_the_portable_one),
    };

    return mail_test_run(tests);
}
