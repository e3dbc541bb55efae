/* SPDX-License-Identifier: MIT */
#include "party.h"

#include <mail/listen.h>

static const mail_smtp_server_options plain_engine = {
    .size = sizeof(plain_engine),
    .hostname = {"mx.example", 10},
};

static void a_service_takes_a_socket_that_listens_already(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_endpoint checked;
        world w;
        party p;
        int listener;
        int fd;

        party_begin(&p, &w, kind);
        assert_int_equal(mail_listen_open(&listener, &loopback, &p.at, NULL), MAIL_OK);
        assert_int_equal(mail_listen_check(listener, &checked), MAIL_OK);
        assert_true(mail_ip_equal(&checked.ip, &loopback.ip) && checked.port == p.at.port);
        assert_int_equal(
            mail_smtp_service_listen_fd(p.service, listener, &plain_engine, NULL, NULL), MAIL_OK);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_asks(&p, fd, "QUIT\r\n", "221");
        guest_hears_the_end(&p, fd);
        party_end(&p);
    }
}

/* And whatever becomes of it, nobody else has to close it. */
static void a_socket_is_the_services_also_when_it_fails(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options bad = plain_engine;
        mail_error err;
        world w;
        party p;
        int listener;

        bad.hostname = MAIL_SPAN("");
        party_begin(&p, &w, kind);
        assert_int_equal(mail_listen_open(&listener, &loopback, NULL, NULL), MAIL_OK);
        assert_int_equal(mail_smtp_service_listen_fd(p.service, listener, &bad, NULL, &err),
                         MAIL_EINVAL);
        party_end(&p);
    }
}

static void says_why_it_cannot_listen(void **state)
{
    mail_endpoint at;
    mail_error err;
    int first;
    int second;

    (void)state;
    assert_int_equal(mail_listen_open(&first, &loopback, &at, &err), MAIL_OK);
    assert_int_equal(mail_listen_open(&second, &at, NULL, &err), MAIL_EBUSY);
    assert_non_null(strstr(err.text, "127.0.0.1:"));
    close(first);
    assert_int_equal(mail_listen_open_unix(&first, "no/such/folder", &err), MAIL_ENOENT);
    assert_non_null(strstr(err.text, "no/such/folder"));
}

static void knows_what_is_no_listening_socket(void **state)
{
    mail_endpoint at;
    int ends[2];
    int fd;

    (void)state;
    assert_int_equal(mail_listen_check(-1, &at), MAIL_EINVAL);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(mail_listen_check(fd, &at), MAIL_EINVAL);
    close(fd);
    world_pair(&ends[0], &ends[1]);
    assert_int_equal(mail_listen_check(ends[0], &at), MAIL_EINVAL);
    close(ends[0]);
    close(ends[1]);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(mail_listen_check(fd, &at), MAIL_EINVAL);
    close(fd);
}

static void a_unix_socket_has_no_address(void **state)
{
    char *dir = mail_test_make_dir();
    mail_endpoint at = loopback;
    char path[256];
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/socket", dir);
    assert_int_equal(mail_listen_open_unix(&fd, path, NULL), MAIL_OK);
    assert_int_equal(mail_listen_check(fd, &at), MAIL_OK);
    assert_int_equal(at.ip.family, 0);
    close(fd);
    mail_test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_takes_a_socket_that_listens_already),
        cmocka_unit_test(a_socket_is_the_services_also_when_it_fails),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(knows_what_is_no_listening_socket),
        cmocka_unit_test(a_unix_socket_has_no_address),
    };

    return mail_test_run(tests);
}
