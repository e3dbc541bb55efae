/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "net/clients.h"

static mail_ip ip(const char *text)
{
    mail_ip out;

    assert_int_equal(mail_ip_parse(mail_span_text(text), &out), MAIL_OK);
    return out;
}

static net_client *enter(net_clients *clients, const char *address, mail_time now)
{
    mail_ip from = ip(address);
    net_client *client = NULL;

    assert_int_equal(net_clients_enter(clients, &from, now, 2, &client), MAIL_OK);
    return client;
}

static void counts_sessions_by_host(void **state)
{
    net_clients clients;
    net_client *a;
    net_client *b;
    mail_ip from = ip("192.0.2.1");

    (void)state;
    net_clients_init(&clients, NULL, 1, MAIL_SECOND);
    a = enter(&clients, "192.0.2.1", 0);
    assert_ptr_equal(enter(&clients, "192.0.2.1", 0), a);
    assert_int_equal(net_clients_enter(&clients, &from, 0, 2, &b), MAIL_ELIMIT);
    b = enter(&clients, "2001:db8::1", 0);
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(enter(&clients, "2001:db8::ffff:1", 0), b); /* the same /64 */
    net_clients_leave(&clients, a);
    assert_ptr_equal(enter(&clients, "192.0.2.1", 0), a);
    net_clients_leave(&clients, a);
    net_clients_leave(&clients, a);
    net_clients_leave(&clients, b);
    net_clients_leave(&clients, b);
    net_clients_deinit(&clients);
}

/* PO-023 */
static void remembers_failures_beyond_a_session_and_not_for_ever(void **state)
{
    net_clients clients;
    net_client *a;

    (void)state;
    net_clients_init(&clients, NULL, 2, MAIL_SECOND);
    a = enter(&clients, "192.0.2.1", 0);
    assert_false(net_client_is_barred(a, 0));
    net_client_failed(a, 0);
    assert_false(net_client_is_barred(a, 0));
    net_client_failed(a, 0);
    net_client_failed(a, 0);
    assert_true(net_client_is_barred(a, 0));
    net_clients_leave(&clients, a);
    net_clients_leave(&clients, enter(&clients, "192.0.2.2", 0));
    a = enter(&clients, "192.0.2.1", MAIL_SECOND - 1);
    assert_true(net_client_is_barred(a, MAIL_SECOND - 1));
    assert_false(net_client_is_barred(a, MAIL_SECOND));
    net_clients_leave(&clients, a);
    for (int i = 3; i < 100; i++) {
        char text[16];

        snprintf(text, sizeof(text), "192.0.2.%d", i);
        net_clients_leave(&clients, enter(&clients, text, MAIL_HOUR));
        assert_true(clients.by_address.count <= 3);
    }
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

        net_clients_init(&clients, &walk.mem, 1, MAIL_SECOND);
        code = net_clients_enter(&clients, &from, 0, 2, &client);
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
        cmocka_unit_test(remembers_failures_beyond_a_session_and_not_for_ever),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
