/* SPDX-License-Identifier: MIT */
#include "net/party.h"

#include <stdlib.h>

#include "net/guest.h"
#include "net/pop3_kit.h"
#include "support/certs.h"

/*
 * Memory that looks at what is given back: no password may be in it, in whatever form, for the
 * next owner of the block to find.
 */
typedef struct watched {
    mail_mem mem;
    const char *secrets[4];
    size_t found;
} watched;

static void look_at(watched *wd, const char *block, size_t size)
{
    for (size_t i = 0; i < MAIL_COUNT(wd->secrets) && wd->secrets[i] != NULL; i++) {
        if (memmem(block, size, wd->secrets[i], strlen(wd->secrets[i])) != NULL) {
            print_error("a block of %zu octets holds %s\n", size, wd->secrets[i]);
            wd->found++;
        }
    }
}

static void *watched_resize(void *arg, void *old, size_t old_size, size_t size)
{
    void *block = size > 0 ? malloc(size) : NULL;

    if (old != NULL) {
        look_at(arg, old, old_size);
        if (block != NULL) {
            memcpy(block, old, old_size < size ? old_size : size);
        }
        free(old);
    }
    return block;
}

static void watch_for(watched *wd, const char *a, const char *b)
{
    *wd = (watched){.mem = {watched_resize, wd}, .secrets = {a, b}};
}

#define PLAIN "AGFubmEAcGVuY2ls" /* NUL anna NUL pencil */

static void leaves_no_password_of_smtp_in_memory(void **state)
{
    static const struct {
        const char *name;
        const char *pieces[4];
    } cases[] = {
        {"at once", {"AUTH PLAIN " PLAIN "\r\n"}},
        {"in pieces", {"AUTH PLAIN AGFubm", "EAcGVu", "Y2ls\r\n"}},
        {"after a challenge", {"AUTH PLAIN\r\n", "AGFubmEAcGVu", "Y2ls\r\n"}},
        {"with more behind it", {"AUTH PLAIN " PLAIN "\r\nNOOP\r\n"}},
    };
    mail_smtp_server_options engine = {.size = sizeof(engine), .hostname = MAIL_SPAN("mx.example")};

    (void)state;
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
    engine.auth_in_clear = true;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            watched wd;
            world w;
            party p;
            int fd;

            mail_test_case(cases[i].name);
            watch_for(&wd, "pencil", "AcGVu"); /* half of it is half too much */
            assert_int_equal(world_open(&w, kind, NULL), MAIL_OK);
            assert_int_equal(party_open(&p, &w, &wd.mem, &engine, NULL), MAIL_OK);
            fd = guest_open(&p);
            guest_hears(&p, fd, "220");
            guest_asks(&p, fd, "EHLO client.example\r\n", "250");
            for (size_t j = 0; cases[i].pieces[j] != NULL; j++) {
                guest_says(&p, fd, cases[i].pieces[j]);
                world_idle(&w);
                if (strcmp(cases[i].pieces[j], "AUTH PLAIN\r\n") == 0) {
                    guest_hears(&p, fd, "334");
                }
            }
            guest_hears(&p, fd, "235");
            guest_asks(&p, fd, "QUIT\r\n", i == 3 ? "250" : "221");
            close(fd);
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            party_close(&p);
            assert_int_equal(wd.found, 0);
            world_close(&w);
        }
    }
}

/* POP3, where PASS is a line of its own. */
static void leaves_no_password_of_pop3_in_memory(void **state)
{
    static const struct {
        const char *name;
        const char *pieces[4];
    } cases[] = {
        {"USER and PASS at once", {"USER anna\r\nPASS pencil\r\n"}},
        {"PASS in pieces", {"USER anna\r\n", "PASS pen", "cil\r\n"}},
        {"AUTH at once", {"AUTH PLAIN " PLAIN "\r\n"}},
        {"AUTH in pieces", {"AUTH PLAIN AGFubm", "EAcGVu", "Y2ls\r\n"}},
        {"AUTH after a challenge", {"AUTH PLAIN\r\n", "AGFubmEAcGVu", "Y2ls\r\n"}},
        {"with more behind it", {"USER anna\r\nPASS pencil\r\nNOOP\r\n"}},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases) * WORLD_LOOPS; i++) {
        const char *const *pieces = cases[i / WORLD_LOOPS].pieces;
        fixture fx = {.engine = {.auth_in_clear = true}};
        watched wd;
        int fd;

        mail_test_case(cases[i / WORLD_LOOPS].name);
        watch_for(&wd, "pencil", "AcGVu");
        wd.secrets[2] = "PASS pen";
        assert_int_equal(world_open(&fx.w, (int)(i % WORLD_LOOPS), NULL), MAIL_OK);
        assert_int_equal(mail_memory_store_create(&fx.store, NULL), MAIL_OK);
        assert_int_equal(mail_accounts_parse(&fx.accounts, MAIL_SPAN("anna:{PLAIN}pencil"), "users",
                                             &wd.mem, NULL),
                         MAIL_OK);
        assert_int_equal(open_service(&fx, &wd.mem, &(mail_pop3_service_options){0}), MAIL_OK);
        fd = dial(&fx);
        expect(&fx, fd, GREETING);
        for (size_t j = 0; pieces[j] != NULL; j++) {
            say(fd, pieces[j]);
            world_idle(&fx.w);
            if (strcmp(pieces[j], "AUTH PLAIN\r\n") == 0) {
                expect(&fx, fd, "+ \r\n");
            } else if (strncmp(pieces[j], "USER", 4) == 0) {
                expect(&fx, fd, USER_OK);
            }
        }
        expect(&fx, fd, "+OK 0 messages (0 octets)\r\n");
        close(fd);
        tear_down(&fx);
        assert_int_equal(wd.found, 0);
    }
}

/* What TLS gives out in the clear is kept in memory of its own until a line is whole. */
static void leaves_no_password_of_tls_in_memory(void **state)
{
    static const struct {
        const char *name;
        const char *pieces[4];
    } cases[] = {
        {"at once", {"AUTH PLAIN " PLAIN "\r\n"}},
        {"in pieces", {"AUTH PLAIN AGFubm", "EAcGVu", "Y2ls\r\n"}},
        {"with more behind it", {"AUTH PLAIN " PLAIN "\r\nNOOP\r\n"}},
    };
    static const mail_test_cert_options named = {.dns_name = "mx.example"};
    mail_tls_context *client = mail_test_tls_context(NULL, NULL);
    mail_tls_context *server;
    mail_test_cert cert;

    (void)state;
    mail_test_cert_make(&cert, &named);
    server = mail_test_tls_context(&cert, NULL);
    for (size_t i = 0; i < MAIL_COUNT(cases) * WORLD_LOOPS; i++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        const char *const *pieces = cases[i / WORLD_LOOPS].pieces;
        watched wd;
        guest g;
        world w;
        party p;
        int fd;

        mail_test_case(cases[i / WORLD_LOOPS].name);
        watch_for(&wd, "pencil", "AcGVu");
        assert_int_equal(world_open(&w, (int)(i % WORLD_LOOPS), NULL), MAIL_OK);
        engine.hostname = MAIL_SPAN("mx.example");
        engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN;
        engine.starttls = true;
        assert_int_equal(party_open(&p, &w, &wd.mem, &engine, NULL), MAIL_OK);
        mail_smtp_service_set_tls(p.service, server);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_asks(&p, fd, "EHLO client.example\r\n", "250");
        guest_asks(&p, fd, "STARTTLS\r\n", "220");
        guest_begin_tls(&g, &w, fd, client);
        guest_shakes_hands(&g);
        guest_asks_in_tls(&g, "EHLO client.example\r\n", "250");
        for (size_t j = 0; pieces[j] != NULL; j++) {
            guest_says_in_tls(&g, pieces[j]);
            world_idle(&w);
        }
        guest_hears_in_tls(&g, "235");
        guest_asks_in_tls(&g, "QUIT\r\n", i / WORLD_LOOPS == 2 ? "250" : "221");
        guest_close(&g);
        world_until(&w, mail_smtp_service_sessions(p.service) == 0);
        party_close(&p);
        assert_int_equal(wd.found, 0);
        world_close(&w);
    }
    mail_tls_context_unref(server);
    mail_tls_context_unref(client);
    mail_test_cert_free(&cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_no_password_of_smtp_in_memory),
        cmocka_unit_test(leaves_no_password_of_pop3_in_memory),
        cmocka_unit_test(leaves_no_password_of_tls_in_memory),
    };

    return mail_test_run(tests);
}
