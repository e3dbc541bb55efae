/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "base/octets.h"

#define LONGEST 300

/* What the words of the header say, an octet at a time. */
static octets_sight look_slowly(mail_span bytes, char before)
{
    octets_sight sight = {0};

    for (size_t i = 0; i < bytes.length; i++) {
        char c = bytes.data[i];

        sight.has_8bit |= (unsigned char)c > 127;
        sight.has_nul |= c == '\0';
        sight.has_bare |= (before == '\r') != (c == '\n');
        before = c;
    }
    return sight;
}

/* How many octets there are before the first lone CR or LF and the first dot behind an LF. */
static size_t plain_slowly(mail_span bytes)
{
    char before = '\0';

    for (size_t i = 0; i < bytes.length; i++) {
        char c = bytes.data[i];

        if ((before == '\r') != (c == '\n')) {
            return before == '\r' ? i - 1 : i;
        }
        if (before == '\n' && c == '.') {
            return i;
        }
        before = c;
    }
    return bytes.length;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

/* Lines of text, sound until the octet at `odd` becomes something else. */
static mail_span text_of(char *text, uint32_t *state, size_t odd)
{
    static const char oddities[] = {'\r', '\n', '.', '\0', '\xe9', 'x'};
    size_t length = next(state) % LONGEST;
    size_t line = 1 + next(state) % 90;

    for (size_t i = 0; i < length; i++) {
        size_t at = i % (line + 2);

        text[i] = at == line ? '\r' : at == line + 1 ? '\n' : 'a';
    }
    if (odd < length) {
        text[odd] = oddities[next(state) % sizeof(oddities)];
    }
    return mail_span_of(text, length);
}

static void sees_what_each_octet_tells(void **state)
{
    static const char before[] = {'\0', '\r', '\n'};
    uint32_t chance = 1;
    char text[LONGEST];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        mail_span bytes = text_of(text, &chance, next(&chance) % LONGEST);
        char c = before[next(&chance) % sizeof(before)];
        octets_sight want = look_slowly(bytes, c);
        octets_sight sight = {0};

        octets_look(bytes, c, &sight);
        assert_int_equal(sight.has_8bit, want.has_8bit);
        assert_int_equal(sight.has_nul, want.has_nul);
        assert_int_equal(sight.has_bare, want.has_bare);
    }
}

static void never_calls_plain_what_is_not(void **state)
{
    uint32_t chance = 2;
    char text[LONGEST];
    size_t found = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        mail_span bytes = text_of(text, &chance, next(&chance) % LONGEST);
        size_t length = octets_plain(bytes);

        assert_true(length <= plain_slowly(bytes));
        assert_true(length == 0 || text[length - 1] != '\r');
        found += length;
    }
    assert_true(found > 20000 * 40); /* or it would be of no use */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_what_each_octet_tells),
        cmocka_unit_test(never_calls_plain_what_is_not),
    };

    return mail_test_run(tests);
}
