/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* 192.0.2.1:4660 to 192.0.2.9:25. */
#define BLOCK4 "\xc0\0\2\1\xc0\0\2\x09\x12\x34\0\x19"

/* [2001:db8::1]:4660 to [2001:db8::9]:25. */
#define V6(last) "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0" last
#define BLOCK6   V6("\1") V6("\x09") "\x12\x34\0\x19"

#define MAPPED(a, b, c, d) "\0\0\0\0\0\0\0\0\0\0\xff\xff" a b c d

static void check_whole(mail_span in, size_t want_used, const char *want)
{
    char text[MAIL_IP_TEXT_SIZE] = "";
    mail_endpoint client;
    size_t used;

    assert_int_equal(net_proxy_parse(in, &used, &client), MAIL_OK);
    assert_int_equal(used, want_used);
    if (client.ip.family != 0) {
        mail_endpoint_print(&client, text);
    }
    assert_string_equal(text, want);
}

/* SX-040: however it comes, it is read once it is whole, and no octet behind it is touched. */
static void says_where_a_connection_comes_from(void **state)
{
    const struct {
        const char *name;
        mail_span header;
        const char *want; /* empty: the proxy itself */
    } cases[] = {
        {"TCP4", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 4660 25\r\n"), "192.0.2.1:4660"},
        {"TCP6", MAIL_SPAN("PROXY TCP6 2001:db8::1 2001:db8::9 4660 25\r\n"), "[2001:db8::1]:4660"},
        {"the longest line of TCP6",
         MAIL_SPAN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"mapped", MAIL_SPAN("PROXY TCP6 ::ffff:192.0.2.1 ::1 0 25\r\n"), "192.0.2.1:0"},
        {"UNKNOWN", MAIL_SPAN("PROXY UNKNOWN\r\n"), ""},
        {"UNKNOWN with more", MAIL_SPAN("PROXY UNKNOWN ff ff 1 2 what not\r\n"), ""},
        {"LOCAL", MAIL_SPAN(SIGNATURE "\x20\0\0\0"), ""},
        {"LOCAL, addresses not meant", MAIL_SPAN(SIGNATURE "\x20\x11\0\x0c" BLOCK4), ""},
        {"version 2, IPv4", MAIL_SPAN(SIGNATURE "\x21\x11\0\x0c" BLOCK4), "192.0.2.1:4660"},
        {"version 2, IPv6", MAIL_SPAN(SIGNATURE "\x21\x21\0\x24" BLOCK6), "[2001:db8::1]:4660"},
        {"version 2, mapped",
         MAIL_SPAN(SIGNATURE "\x21\x21\0\x24" MAPPED("\xc0", "\0", "\2", "\1")
                       V6("\x09") "\0\1\0\2"),
         "192.0.2.1:1"},
        {"with TLVs", MAIL_SPAN(SIGNATURE "\x21\x11\0\x11" BLOCK4 "\4\0\2xy"), "192.0.2.1:4660"},
        {"unspecified", MAIL_SPAN(SIGNATURE "\x21\0\0\3abc"), ""},
        {"a unix socket of the proxy's", MAIL_SPAN(SIGNATURE "\x21\x31\0\0"), ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char more[256];
        size_t length = cases[i].header.length;
        mail_endpoint client;
        size_t used;

        mail_test_case(cases[i].name);
        check_whole(cases[i].header, length, cases[i].want);
        memcpy(more, cases[i].header.data, length);
        memcpy(more + length, "EHLO x\r\n", 8);
        check_whole(mail_span_of(more, length + 8), length, cases[i].want);
        for (size_t cut = 0; cut < length; cut++) {
            assert_int_equal(net_proxy_parse(mail_span_first(cases[i].header, cut), &used, &client),
                             MAIL_EAGAIN);
            assert_int_equal(used, 0);
        }
    }
}

/* SX-040 */
static void refuses_what_is_no_good_header(void **state)
{
    static const char long_line[NET_PROXY_MAX] = "PROXY UNKNOWN ";
    const struct {
        const char *name;
        mail_span header;
        int want;
    } cases[] = {
        {"a command", MAIL_SPAN("EHLO x\r\n"), MAIL_EINVAL},
        {"TLS", MAIL_SPAN("\x16\3\1"), MAIL_EINVAL},
        {"small letters", MAIL_SPAN("proxy TCP4"), MAIL_EINVAL},
        {"no kind", MAIL_SPAN("PROXY \r\n"), MAIL_EINVAL},
        {"another kind", MAIL_SPAN("PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n"), MAIL_EINVAL},
        {"two blanks", MAIL_SPAN("PROXY  TCP4 192.0.2.1 192.0.2.9 1 2\r\n"), MAIL_EINVAL},
        {"a blank at the end", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1 2 \r\n"), MAIL_EINVAL},
        {"a word too many", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1 2 3\r\n"), MAIL_EINVAL},
        {"a word too few", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1\r\n"), MAIL_EINVAL},
        {"no address", MAIL_SPAN("PROXY TCP4 192.0.2 192.0.2.9 1 2\r\n"), MAIL_EINVAL},
        {"IPv6 in TCP4", MAIL_SPAN("PROXY TCP4 ::1 ::1 1 2\r\n"), MAIL_EINVAL},
        {"IPv4 in TCP6", MAIL_SPAN("PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n"), MAIL_EINVAL},
        {"a zone", MAIL_SPAN("PROXY TCP6 fe80::1%2 ::1 1 2\r\n"), MAIL_EINVAL},
        {"a NUL in the address", MAIL_SPAN("PROXY TCP4 192.0.2.1\0 192.0.2.9 1 2\r\n"),
         MAIL_EINVAL},
        {"from nowhere", MAIL_SPAN("PROXY TCP4 0.0.0.0 192.0.2.9 1 2\r\n"), MAIL_EINVAL},
        {"a port too high", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 65536 2\r\n"), MAIL_EINVAL},
        {"a port below zero", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 -1 2\r\n"), MAIL_EINVAL},
        {"an octal port", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 010 2\r\n"), MAIL_EINVAL},
        {"a port of no digits", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9  2\r\n"), MAIL_EINVAL},
        {"a bare LF", MAIL_SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\n\r\n"), MAIL_EINVAL},
        {"no end", {long_line, 108}, MAIL_EINVAL},
        {"a broken signature", MAIL_SPAN("\r\n\r\n\0\r\nQUIT\r"), MAIL_EINVAL},
        {"version 1 in version 2", MAIL_SPAN(SIGNATURE "\x11\x11\0\x0c" BLOCK4), MAIL_EINVAL},
        {"version 3", MAIL_SPAN(SIGNATURE "\x31\x11\0\x0c" BLOCK4), MAIL_EINVAL},
        {"another command", MAIL_SPAN(SIGNATURE "\x22\x11\0\x0c" BLOCK4), MAIL_EINVAL},
        {"datagrams", MAIL_SPAN(SIGNATURE "\x21\x12\0\x0c" BLOCK4), MAIL_EINVAL},
        {"another family", MAIL_SPAN(SIGNATURE "\x21\x41\0\x0c" BLOCK4), MAIL_EINVAL},
        {"too short for IPv4", MAIL_SPAN(SIGNATURE "\x21\x11\0\x0b" BLOCK4), MAIL_EINVAL},
        {"too short for IPv6", MAIL_SPAN(SIGNATURE "\x21\x21\0\x0c" BLOCK4), MAIL_EINVAL},
        {"from nowhere, version 2", MAIL_SPAN(SIGNATURE "\x21\x11\0\x0c\0\0\0\0" BLOCK4),
         MAIL_EINVAL},
        {"the longest length", MAIL_SPAN(SIGNATURE "\x21\x11\xff\xff"), MAIL_ELIMIT},
        {"LOCAL is no way round it", MAIL_SPAN(SIGNATURE "\x20\x11\x10\0"), MAIL_ELIMIT},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_endpoint client;
        size_t used;

        mail_test_case(cases[i].name);
        assert_int_equal(net_proxy_parse(cases[i].header, &used, &client), cases[i].want);
    }
}

static void knows_a_second_one(void **state)
{
    (void)state;
    assert_true(net_proxy_is_header(MAIL_SPAN("PROXY TCP4")));
    assert_true(net_proxy_is_header(MAIL_SPAN(SIGNATURE "\x21")));
    assert_false(net_proxy_is_header(MAIL_SPAN("")));
    assert_false(net_proxy_is_header(MAIL_SPAN("PROX")));
    assert_false(net_proxy_is_header(MAIL_SPAN("EHLO PROXY ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_where_a_connection_comes_from),
        cmocka_unit_test(refuses_what_is_no_good_header),
        cmocka_unit_test(knows_a_second_one),
    };

    return mail_test_run(tests);
}
