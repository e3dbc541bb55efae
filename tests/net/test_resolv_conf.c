/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/resolv_conf.h"

static void describe(const mail_endpoint *servers, size_t count, char *out, size_t size)
{
    size_t length = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char text[MAIL_IP_TEXT_SIZE];

        mail_endpoint_print(&servers[i], text);
        length += (size_t)snprintf(out + length, size - length, "%s%s", i > 0 ? " " : "", text);
    }
}

static void takes_the_nameserver_lines(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        const char *want;
    } cases[] = {
        {"one", "nameserver 9.9.9.9\n", "9.9.9.9:53"},
        {"no final line end", "nameserver 9.9.9.9", "9.9.9.9:53"},
        {"tabs, blanks and CR", " \tnameserver\t 9.9.9.9 \r\n", "9.9.9.9:53"},
        {"IPv6", "nameserver 2620:fe::fe\n", "[2620:fe::fe]:53"},
        {"a zone by number", "nameserver fe80::1%7\n", "[fe80::1%7]:53"},
        {"a zone by name", "nameserver fe80::1%lo\n", "[fe80::1%1]:53"},
        {"a zone that is not there", "nameserver fe80::1%nosuchif0\n", ""},
        {"a zone for IPv4", "nameserver 9.9.9.9%lo\n", ""},
        {"as many as there is room for",
         "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
         "1.1.1.1:53 1.1.1.2:53 1.1.1.3:53"},
        {"other lines",
         "# nameserver 1.1.1.1\nsearch a.example\noptions rotate\nnameservers 2.2.2.2\n"
         "nameserver 9.9.9.9 # ours\n",
         "9.9.9.9:53"},
        {"no address", "nameserver\nnameserver one.one.one.one\nnameserver 9.9.9\n", ""},
        {"nothing", "", ""},
    };
    mail_endpoint servers[3];
    char text[256];

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        describe(servers, resolv_conf_parse(mail_span_text(cases[i].text), servers, 3), text,
                 sizeof(text));
        assert_string_equal(text, cases[i].want);
    }
}

static void reads_a_file_or_asks_this_host(void **state)
{
    mail_endpoint servers[3];
    char *dir = mail_test_make_dir();
    char path[512];
    char text[256];
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/resolv.conf", dir);
    describe(servers, resolv_conf_load(path, servers, 3), text, sizeof(text));
    assert_string_equal(text, "127.0.0.1:53");
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("nameserver 9.9.9.9\n", file);
    fclose(file);
    describe(servers, resolv_conf_load(path, servers, 3), text, sizeof(text));
    assert_string_equal(text, "9.9.9.9:53");
    describe(servers, resolv_conf_load(dir, servers, 3), text, sizeof(text));
    assert_string_equal(text, "127.0.0.1:53");
    mail_test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_nameserver_lines),
        cmocka_unit_test(reads_a_file_or_asks_this_host),
    };

    return mail_test_run(tests);
}
