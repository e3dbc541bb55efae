/* SPDX-License-Identifier: MIT */
/* AUTH by the service's own accounts. */
#include "party.h"

#include <mail/encode.h>

#define WEAK "anna@example.org:{PLAIN}pencil\nbob:{PLAIN}word\nnobody@example.org:*\n"

/* RFC 7677, section 3. */
#define SCRAM                                                                                      \
    "user:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                           \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"

#define HASHED "carl@example.org:$6$abc$nothingthatanybodyknows\n"

static mail_accounts *accounts_of(const char *text)
{
    mail_accounts *accounts;

    assert_int_equal(mail_accounts_parse(&accounts, mail_span_text(text), "users", NULL, NULL),
                     MAIL_OK);
    return accounts;
}

static mail_smtp_server_options engine_options(void)
{
    mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;

    engine.hostname = MAIL_SPAN("mx.example");
    engine.auth_mechanisms = 1U << MAIL_SASL_PLAIN | 1U << MAIL_SASL_LOGIN |
                             1U << MAIL_SASL_SCRAM_SHA_256 | 1U << MAIL_SASL_CRAM_MD5 |
                             1U << MAIL_SASL_XOAUTH2;
    engine.auth_in_clear = true;
    engine.error_delay = -1;
    return engine;
}

static int login_party_open(party *p, world *w, const mail_mem *mem, const char *users,
                            mail_login_options *login)
{
    mail_login_options quick = MAIL_LOGIN_OPTIONS_INIT;
    mail_smtp_service_options opts = MAIL_SMTP_SERVICE_OPTIONS_INIT;
    mail_smtp_server_options engine = engine_options();
    mail_accounts *accounts = accounts_of(users);
    int code;

    quick.delay = MAIL_MILLISECOND;
    opts.accounts = accounts;
    opts.login = login != NULL ? login : &quick;
    code = party_open(p, w, mem, &engine, &opts);
    mail_accounts_unref(accounts); /* the service has its own hold */
    return code;
}

static int greet(party *p)
{
    int fd = guest_open(p);

    guest_hears(p, fd, "220 mx.example");
    guest_asks(p, fd, "EHLO client.example\r\n", "250");
    return fd;
}

/* All lines of one reply. */
static const char *hear_all(party *p, int fd)
{
    static char text[2000];
    char *line = text;
    size_t length = 0;

    for (;;) {
        world_hear(p->w, fd, 1, text + length, 1);
        length++;
        assert_true(length < sizeof(text));
        text[length] = '\0';
        if (text[length - 1] == '\n') {
            if (line[3] == ' ') {
                return text;
            }
            line = text + length;
        }
    }
}

static const char *plain_of(const char *authzid, const char *user, const char *password)
{
    static char line[300];
    char message[100];
    int length = snprintf(message, sizeof(message), "%s%c%s%c%s", authzid, 0, user, 0, password);
    size_t at = (size_t)snprintf(line, sizeof(line), "AUTH PLAIN ");

    at += mail_base64_encode(mail_span_of(message, (size_t)length), line + at);
    snprintf(line + at, sizeof(line) - at, "\r\n");
    return line;
}

/* SX-015 */
static void knows_users_by_their_passwords(void **state)
{
    static const struct {
        const char *name;
        const char *authzid;
        const char *user;
        const char *password;
        const char *want; /* whom the policy sees; NULL: refused */
    } cases[] = {
        {"address", "", "anna@example.org", "pencil", "anna@example.org"},
        {"any case", "", "ANNA@Example.ORG", "pencil", "anna@example.org"},
        {"bare name", "", "bob", "word", "bob"},
        {"as oneself", "anna@example.org", "anna@example.org", "pencil", "anna@example.org"},
        {"as another", "bob", "anna@example.org", "pencil", NULL},
        {"wrong password", "", "anna@example.org", "pen", NULL},
        {"another's password", "", "anna@example.org", "word", NULL},
        {"no such user", "", "eve@example.org", "pencil", NULL},
        {"no login", "", "nobody@example.org", "*", NULL},
        {"no name", "", " ", "pencil", NULL},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;

        world_open(&w, kind, NULL);
        assert_int_equal(login_party_open(&p, &w, NULL, WEAK, NULL), MAIL_OK);
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            int fd = greet(&p);

            mail_test_case(cases[i].name);
            guest_asks(&p, fd, plain_of(cases[i].authzid, cases[i].user, cases[i].password),
                       cases[i].want != NULL ? "235 2.7.0" : "535 5.7.8");
            guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "250");
            assert_string_equal(p.authenticated, cases[i].want != NULL ? cases[i].want : "");
            close(fd);
            world_until(&w, p.opened == 0);
        }
        assert_null(strstr(p.heard, "AUTH"));
        party_end(&p);
    }
}

/* RFC 5802: the name comes first, the proof in a later line. */
static void knows_users_that_show_no_password(void **state)
{
    static const struct {
        const char *name;
        const char *user;
        const char *password;
        bool good;
    } cases[] = {
        {"right", "user", "pencil", true},
        {"wrong", "user", "pen", false},
        {"unknown", "nobody", "pencil", false},
    };
    world w;
    party p;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    assert_int_equal(login_party_open(&p, &w, NULL, SCRAM, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
        mail_sasl_client *client;
        char line[600] = "AUTH SCRAM-SHA-256 ";
        char challenge[400];
        mail_span in;
        size_t length;
        const char *heard;
        int fd = greet(&p);

        mail_test_case(cases[i].name);
        opts.mechanism = MAIL_SASL_SCRAM_SHA_256;
        opts.user = mail_span_text(cases[i].user);
        opts.password = mail_span_text(cases[i].password);
        assert_int_equal(mail_sasl_client_create(&client, &opts), MAIL_OK);
        assert_int_equal(mail_sasl_client_step(client, NULL), MAIL_SASL_CONTINUE);
        length = strlen(line);
        length += mail_base64_encode(mail_sasl_client_out(client), line + length);
        snprintf(line + length, sizeof(line) - length, "\r\n");
        guest_says(&p, fd, line);
        heard = hear_all(&p, fd);
        assert_int_equal(strncmp(heard, "334 ", 4), 0);
        assert_int_equal(
            mail_base64_decode(mail_span_of(heard + 4, strlen(heard) - 6), challenge, &length),
            MAIL_OK);
        in = mail_span_of(challenge, length);
        assert_int_equal(mail_sasl_client_step(client, &in), MAIL_SASL_CONTINUE);
        length = mail_base64_encode(mail_sasl_client_out(client), line);
        snprintf(line + length, sizeof(line) - length, "\r\n");
        guest_says(&p, fd, line);
        heard = hear_all(&p, fd);
        if (cases[i].good) {
            assert_int_equal(strncmp(heard, "334 ", 4), 0); /* the server's own proof */
            guest_says(&p, fd, "\r\n");
            heard = hear_all(&p, fd);
        }
        assert_int_equal(strncmp(heard, cases[i].good ? "235 2.7.0" : "535 5.7.8", 9), 0);
        guest_asks(&p, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        assert_string_equal(p.authenticated, cases[i].good ? "user" : "");
        mail_sasl_client_destroy(client);
        close(fd);
        world_until(&w, p.opened == 0);
    }
    party_end(&p);
}

/* A client that chooses what can't succeed for its user would not come back for another. */
static void offers_what_suits_all_accounts(void **state)
{
    static const struct {
        const char *name;
        const char *users;
        const char *want;
    } cases[] = {
        {"passwords", WEAK, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5\r\n"},
        {"verifiers", SCRAM, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"},
        {"both", WEAK SCRAM, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"},
        {"hashes", HASHED, "250-AUTH PLAIN LOGIN\r\n"},
        {"all", WEAK SCRAM HASHED, "250-AUTH PLAIN LOGIN\r\n"},
    };
    world w;
    party p;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    assert_int_equal(login_party_open(&p, &w, NULL, WEAK, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_accounts *accounts = accounts_of(cases[i].users);
        int fd;

        mail_test_case(cases[i].name);
        mail_smtp_service_set_accounts(p.service, accounts);
        mail_accounts_unref(accounts);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220 mx.example");
        guest_says(&p, fd, "EHLO client.example\r\n");
        assert_non_null(strstr(hear_all(&p, fd), cases[i].want));
        close(fd);
        world_until(&w, p.opened == 0);
    }
    party_end(&p);
}

static void asks_to_come_later_when_too_many_were_wrong(void **state)
{
    mail_login_options strict = MAIL_LOGIN_OPTIONS_INIT;
    world w;
    party p;
    int fd;

    (void)state;
    strict.delay = 1;
    strict.max_failures = 2;
    strict.includes_loopback = true;
    world_open(&w, WORLD_POLL, NULL);
    assert_int_equal(login_party_open(&p, &w, NULL, WEAK, &strict), MAIL_OK);
    fd = greet(&p);
    guest_asks(&p, fd, plain_of("", "bob", "x"), "535");
    guest_asks(&p, fd, plain_of("", "anna@example.org", "x"), "535");
    guest_asks(&p, fd, plain_of("", "bob", "word"), "454 4.7.0");
    close(fd);
    world_until(&w, p.opened == 0);
    party_end(&p);
}

/* The worker may be at it still: its answer is for nobody. */
static void ends_in_the_middle_of_a_login(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        world w;
        party p;
        int fd;

        world_open(&w, kind, NULL);
        assert_int_equal(login_party_open(&p, &w, NULL, WEAK, NULL), MAIL_OK);
        fd = greet(&p);
        guest_says(&p, fd, plain_of("", "bob", "word"));
        close(fd);
        world_until(&w, p.opened == 0);
        fd = greet(&p);
        guest_says(&p, fd, plain_of("", "bob", "word"));
        mail_smtp_service_drain(p.service, party_drained, &p);
        world_until(&w, p.drained == 1);
        close(fd);
        party_end(&p);
    }
}

static void survives_every_failed_allocation(void **state)
{
    world w;

    (void)state;
    world_open(&w, WORLD_POLL, NULL);
    MAIL_TEST_WALK(walk)
    {
        party p;
        int code = login_party_open(&p, &w, &walk.mem, WEAK, NULL);

        if (code == MAIL_OK) {
            int fd = guest_open(&p);

            char text[200];

            /* It may end at any point, but it ends. */
            snprintf(text, sizeof(text), "EHLO a\r\n%sQUIT\r\n", plain_of("", "bob", "word"));
            guest_says(&p, fd, text);
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            close(fd);
            mail_smtp_service_drain(p.service, party_drained, &p);
            world_until(&w, p.drained == 1);
            mail_smtp_service_destroy(p.service);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
        }
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_users_by_their_passwords),
        cmocka_unit_test(knows_users_that_show_no_password),
        cmocka_unit_test(offers_what_suits_all_accounts),
        cmocka_unit_test(asks_to_come_later_when_too_many_were_wrong),
        cmocka_unit_test(ends_in_the_middle_of_a_login),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
