/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/header.h>

/* Everything that a value holds, as one text: `address(display) `, `!` for an error, + in a group. */
static void read_all(mail_span value, unsigned flags, char *out, size_t size)
{
    mail_address_reader reader;
    mail_address mailbox;
    size_t n = 0;
    int code;

    out[0] = '\0';
    mail_address_reader_init(&reader, value, flags);
    while ((code = mail_address_reader_next(&reader, &mailbox)) != MAIL_ENOENT && n < size) {
        if (code != MAIL_OK) {
            n += (size_t)snprintf(out + n, size - n, "! ");
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "%s%s", mailbox.in_group ? "+" : "",
                              mailbox.path.length > 0 ? mailbox.path.text : "null");
        if (mailbox.display.length > 0) {
            n += (size_t)snprintf(out + n, size - n, "(%.*s)", (int)mailbox.display.length,
                                  mailbox.display.data);
        }
        n += (size_t)snprintf(out + n, size - n, " ");
    }
}

/* MF-006, MF-007 */
static void reads_mailboxes_in_all_forms(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        const char *want;
    } rows[] = {
        {"one", "a@b", "a@b "},
        {"blanks and folds", " \r\n\ta@b \r\n ", "a@b "},
        {"several", "a@b, c@d,e@f", "a@b c@d e@f "},
        {"brackets", "<a@b>", "a@b "},
        {"display name", "John Doe <a@b>", "a@b(John Doe) "},
        {"quoted display name", "\"Doe, John\" <a@b>", "a@b(\"Doe, John\") "},
        {"dot in the display name", "John Q. Public <a@b>", "a@b(John Q. Public) "},
        {"address as display name", "x@y <a@b>", "a@b(x@y) "},
        {"brackets in the display name", "[list] x <a@b>", "a@b([list] x) "},
        {"comment as display name", "a@b (John Doe)", "a@b(John Doe) "},
        {"comment before", "(John) a@b", "a@b(John) "},
        {"comments everywhere", "(x) a(y)@(z)b(v), c@d", "a@b(v) c@d "},
        {"nested comment", "a@b (x (y) z)", "a@b(x (y) z) "},
        {"comma and at in a comment", "a@b (x, c@d)", "a@b(x, c@d) "},
        {"escaped parenthesis", "a@b (x \\) y)", "a@b(x \\) y) "},
        {"blanks round dots and at", "a . b @ c . d", "a.b@c.d "},
        {"quoted local part", "\"a b\"@c", "\"a b\"@c "},
        {"at in a quoted local part", "\"a@b\"@c", "\"a@b\"@c "},
        {"brackets in quotes", "\"<x@y>\" <a@b>", "a@b(\"<x@y>\") "},
        {"literal", "<a@[127.0.0.1]>", "a@[127.0.0.1] "},
        {"route", "X <@a,@b:c@d>", "c@d(X) "},
        {"group", "g: a@b, c@d;, e@f", "+a@b +c@d e@f "},
        {"empty group", "undisclosed-recipients:;", ""},
        {"empty group, blanks", "undisclosed recipients: ;", ""},
        {"group without end", "g: a@b", "+a@b "},
        {"two groups", "g:a@b; h:c@d;", "+a@b +c@d "},
        {"group in a group", "g: h: a@b;", "! "},
        {"empty elements", ",, a@b,,c@d,", "a@b c@d "},
        {"semicolon as comma", "a@b; c@d", "a@b c@d "},
        {"encoded word", "=?utf-8?q?a=2Cb?= <a@b>", "a@b(=?utf-8?q?a=2Cb?=) "},
        {"encoded word as local part", "=?x?q?a?=@b", "=?x?q?a?=@b "},
        {"UTF-8 display name", "J\303\266rg <a@b>", "a@b(J\303\266rg) "},
        {"UTF-8 address", "\303\274@b", "! "},
        {"a name alone", "root, a@b", "! a@b "},
        {"null", "<>", "! "},
        {"two words", "a b@c, d@e", "! d@e "},
        {"two addresses without a comma", "<a@b> <c@d>, e@f", "! e@f "},
        {"text behind", "<a@b> x, c@d", "! c@d "},
        {"bracket without end", "<a@b, c@d", "! "},
        {"comma in brackets", "<a@b,c@d>", "! "},
        {"quotes without end", "\"a, b@c", "! "},
        {"comment without end", "a@b (x, c@d", "! "},
        {"comment without end first", "(x, c@d", "! "},
        {"literal without end", "a@[1.2.3.4, c@d", "! "},
        {"too many brackets", "<<a@b>>", "! "},
        {"fold in quotes", "\"a\r\n b\"@c", "\"a b\"@c "},
        {"CR in an address", "a\rb@c", "! "},
        {"line end in brackets", "<a@b\r\n>", "a@b "},
        {"backslash last", "\"a\\", "! "},
        {"nothing", "", ""},
        {"only a comment", "(x)", ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char got[400];

        mail_test_case(rows[i].name);
        read_all(mail_span_text(rows[i].in), 0, got, sizeof(got));
        assert_string_equal(got, rows[i].want);
    }
}

static void lets_through_what_the_flags_allow(void **state)
{
    char got[200];

    (void)state;
    read_all(MAIL_SPAN("root, <>, \303\274@\303\274.de, <a b>"),
             MAIL_PATH_BARE | MAIL_PATH_NULL | MAIL_PATH_UTF8, got, sizeof(got));
    assert_string_equal(got, "root null \303\274@\303\274.de ! ");
}

/* What another reader could take for other mailboxes is none. */
static void takes_strictly_what_all_read_alike(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        const char *want;
    } rows[] = {
        {"several", " a@b,\r\n c@d ", "a@b c@d "},
        {"a name alone", "root", "root "},
        {"display name", "John Q. Public <a@b>", "a@b(John Q. Public) "},
        {"quoted display name", "\"x@y, z:\" <a@b>", "a@b(\"x@y, z:\") "},
        {"folded display name", "\"x\r\n y\"\r\n <a@b>", "a@b(\"x\r\n y\") "},
        {"comments round it", "x (v) <(x) a@b (y)> (z), a@b (x@y)", "a@b(x (v)) a@b(x@y) "},
        {"quoted local part", "\"a b\"@c", "\"a b\"@c "},
        {"literal", "<a@[127.0.0.1]>", "a@[127.0.0.1] "},
        {"empty elements", ", a@b,,", "a@b "},
        {"address as display name", "x@y <a@b>, c@d", "! c@d "},
        {"the same address as display name", "a@b <a@b>, c@d", "a@b(a@b) c@d "},
        {"the same between comments", "(x) a@b (y) < a@b > (z)", "a@b(a@b (y)) "},
        {"the same with a quoted local part", "\"a b\"@c <\"a b\"@c>", "\"a b\"@c(\"a b\"@c) "},
        {"the same in other case", "A@b <a@b>, c@d", "! c@d "},
        {"the same with a blank inside", "a @b <a@b>, c@d", "! c@d "},
        {"the same with a comment inside", "a(x)@b <a@b>, c@d", "! c@d "},
        {"a blank inside both", "a @b <a @b>, c@d", "! c@d "},
        {"the same, folded", "a@\r\n b <a@b>, c@d", "! c@d "},
        {"the same and more", "a@b x <a@b>, c@d", "! c@d "},
        {"the same behind a name", "x a@b <a@b>, c@d", "! c@d "},
        {"the same twice", "a@b a@b <a@b>, c@d", "! c@d "},
        {"the same, its end cut", "a@b <a@b.c>, c@d", "! c@d "},
        {"the same, its start cut", "b@c <a.b@c>, c@d", "! c@d "},
        {"the same route", "@a:b@c <@a:b@c>, c@d", "! c@d "},
        {"the same domain alone", "@b <@b>, c@d", "! c@d "},
        {"the same literal alone", "[x] <[x]>, c@d", "! c@d "},
        {"nothing but an at in brackets", "@ <@>, c@d", "! c@d "},
        {"brackets in the display name", "[x] <a@b>, c@d", "! c@d "},
        {"closing bracket", "x> <a@b>, c@d", "! c@d "},
        {"backslash", "\\x <a@b>, c@d", "! c@d "},
        {"group", "g: a@b;, c@d", "g ! c@d "},
        {"group with an address for a name", "x@y: a@b;", "x@y ! "},
        {"empty group", "g:;", "g ! "},
        {"empty group behind", "a@b, g g:;", "a@b ! "},
        {"nameless group", ":a@b;, c@d", "! c@d "},
        {"route", "<@a:c@d>, e@f", "! e@f "},
        {"bare route", "@a:c@d, e@f", "! e@f "},
        {"blank behind a dot", "x. a@b, c@d", "! c@d "},
        {"blank before the at", "a @b, c@d", "! c@d "},
        {"blank in brackets", "<x. a@b>, c@d", "! c@d "},
        {"fold inside", "a@b.\r\n c, d@e", "! d@e "},
        {"fold in a quoted local part", "\"a\r\n b\"@c, d@e", "! d@e "},
        {"comment inside", "x(,)@b, c@d", "! c@d "},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char got[400];

        mail_test_case(rows[i].name);
        read_all(mail_span_text(rows[i].in), MAIL_PATH_BARE | MAIL_ADDRESS_STRICT, got,
                 sizeof(got));
        assert_string_equal(got, rows[i].want);
    }
}

static void says_where_an_address_stands(void **state)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        {"root", "root"},           {" (x) root (y) ", "root"},
        {"X < root > (y)", "root"}, {"\"a b\" @ c", "\"a b\" @ c"},
        {"<@a:b@c>", "@a:b@c"},     {"<>", ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_address_reader reader;
        mail_address mailbox;

        mail_test_case(rows[i].in);
        mail_address_reader_init(&reader, mail_span_text(rows[i].in),
                                 MAIL_PATH_BARE | MAIL_PATH_NULL);
        assert_int_equal(mail_address_reader_next(&reader, &mailbox), MAIL_OK);
        assert_span_equal(mailbox.written, rows[i].want);
    }
}

static void refuses_nul_and_addresses_without_end(void **state)
{
    static char text[5000];
    char got[200];

    (void)state;
    read_all(mail_span_of("a\0@b, c@d", 9), 0, got, sizeof(got));
    assert_string_equal(got, "! c@d ");
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 7, "@b, c@d", 7);
    read_all(mail_span_of(text, sizeof(text)), 0, got, sizeof(got));
    assert_string_equal(got, "! c@d ");
    text[0] = '<';
    text[4000] = '>';
    read_all(mail_span_of(text, sizeof(text)), 0, got, sizeof(got));
    assert_string_equal(got, "! c@d ");
    memcpy(text, "<a@b>", 5);
    text[4000] = 'a';
    read_all(mail_span_of(text, sizeof(text)), 0, got, sizeof(got));
    assert_string_equal(got, "! c@d ");
}

/* Would take minutes if any of these were quadratic. */
static void stays_linear_on_what_never_ends(void **state)
{
    static char text[1 << 20];
    static const char *const pieces[] = {"(", "\"", "<",  "[",   ",",  ":",
                                         ";", "a:", "\\", "(\"", "<(", "a "};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(pieces); i++) {
        mail_address_reader reader;
        mail_address mailbox;
        size_t length = strlen(pieces[i]);

        mail_test_case(pieces[i]);
        for (size_t at = 0; at + length <= sizeof(text); at += length) {
            memcpy(text + at, pieces[i], length);
        }
        mail_address_reader_init(&reader, mail_span_of(text, sizeof(text)), 0);
        while (mail_address_reader_next(&reader, &mailbox) != MAIL_ENOENT) {
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_mailboxes_in_all_forms),
        cmocka_unit_test(lets_through_what_the_flags_allow),
        cmocka_unit_test(takes_strictly_what_all_read_alike),
        cmocka_unit_test(says_where_an_address_stands),
        cmocka_unit_test(refuses_nul_and_addresses_without_end),
        cmocka_unit_test(stays_linear_on_what_never_ends),
    };

    return mail_test_run(tests);
}
