/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/clients.h"

static mail_ip ip(const char *text)
{
    mail_ip out;

    assert_int_equal(mail_ip_parse(mail_span_text(text), &out), MAIL_OK);
    return out;
}

static net_client *enter(net_clients *clients, const char *address)
{
    mail_ip from = ip(address);
    net_client *client = NULL;

    assert_int_equal(net_clients_enter(clients, &from, 2, &client), MAIL_OK);
    return client;
}

static void counts_sessions_by_host(void **state)
{
    net_clients clients;
    net_client *a;
    net_client *b;
    mail_ip from = ip("192.0.2.1");

    (void)state;
    net_clients_init(&clients, NULL);
    a = enter(&clients, "192.0.2.1");
    assert_ptr_equal(enter(&clients, "192.0.2.1"), a);
    assert_int_equal(net_clients_enter(&clients, &from, 2, &b), MAIL_ELIMIT);
    b = enter(&clients, "2001:db8::1");
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(enter(&clients, "2001:db8::ffff:1"), b); /* the same /64 */
    net_clients_leave(&clients, a);
    assert_ptr_equal(enter(&clients, "192.0.2.1"), a);
    net_clients_leave(&clients, a);
    net_clients_leave(&clients, a);
    net_clients_leave(&clients, b);
    net_clients_leave(&clients, b);
    net_clients_deinit(&clients);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        net_clients clients;
        net_client *client;
        mail_ip from = ip("192.0.2.1");
        int code;

        net_clients_init(&clients, &walk.mem);
        code = net_clients_enter(&clients, &from, 2, &client);
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (code == MAIL_OK) {
            net_clients_leave(&clients, client);
        }
        net_clients_deinit(&clients);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_sessions_by_host),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
