/* SPDX-License-Identifier: MIT */
/* The front of a relay for its users: AUTH, who may send as whom, headers that are completed. */
#include "mta/kit.h"

#include <mail/encode.h>

#include "support/certs.h"

static const mail_span domains[] = {{"example.org", 11}, {"example.com", 11}};

#define USERS                                                                                      \
    "anna@example.org:{PLAIN}pencil\n"                                                             \
    "bob:{PLAIN}word\n"                                                                            \
    "carl@elsewhere.example:{PLAIN}pen\n"

#define ALIASES                                                                                    \
    "info: anna\n"                                                                                 \
    "team: anna, bob\n"                                                                            \
    "bob@example.com: carl@elsewhere.example\n"                                                    \
    "away: eve@example.net\n"

typedef struct desk {
    kit k;
    mail_accounts *accounts;
    mail_endpoint smtp;
    mail_endpoint submission;
} desk;

static mail_accounts *accounts_of(const char *text)
{
    mail_accounts *accounts;

    assert_int_equal(mail_accounts_parse(&accounts, mail_span_text(text), "users", NULL, NULL),
                     MAIL_OK);
    return accounts;
}

/* Without TLS, so that clients can be played by typing. */
static mail_receive_options desk_options(mail_accounts *accounts)
{
    static mail_login_options quick = MAIL_LOGIN_OPTIONS_INIT;
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;

    quick.delay = 1;
    opts.local_domains = domains;
    opts.local_count = MAIL_COUNT(domains);
    opts.accounts = accounts;
    opts.login = &quick;
    opts.auth_insecure = true;
    opts.engine.error_delay = -1;
    return opts;
}

static void desk_open(desk *d, int kind)
{
    mail_receive_options opts;

    d->accounts = accounts_of(USERS);
    opts = desk_options(d->accounts);
    kit_open(&d->k, kind);
    kit_receive(&d->k, &opts);
    d->smtp = d->k.at;
    assert_int_equal(
        mail_receive_listen(d->k.receive, &loopback, MAIL_RECEIVE_SUBMISSION, &d->submission, NULL),
        MAIL_OK);
    kit_set_aliases(&d->k, ALIASES, domains, MAIL_COUNT(domains));
}

static void desk_close(desk *d)
{
    kit_close(&d->k);
    mail_accounts_unref(d->accounts);
}

static void log_in(kit *k, int fd, const char *user, const char *password, const char *want)
{
    char message[200];
    char line[400] = "AUTH PLAIN ";
    int length = snprintf(message, sizeof(message), "%c%s%c%s", 0, user, 0, password);
    size_t at = strlen(line);

    at += mail_base64_encode(mail_span_of(message, (size_t)length), line + at);
    snprintf(line + at, sizeof(line) - at, "\r\n");
    kit_asks(k, fd, line, want);
}

static int enter(kit *k, const mail_endpoint *at)
{
    int fd = kit_greet(k, at);

    log_in(k, fd, "anna@example.org", "pencil", "235");
    return fd;
}

/* SX-036: RFC 6409, section 4.3. */
static void takes_nothing_before_a_login(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        desk d;
        int fd;

        desk_open(&d, kind);
        fd = kit_greet(&d.k, &d.submission);
        kit_asks(&d.k, fd, "MAIL FROM:<anna@example.org>\r\n", "530 5.7.0");
        log_in(&d.k, fd, "anna@example.org", "wrong", "535 5.7.8");
        kit_asks(&d.k, fd, "MAIL FROM:<anna@example.org>\r\n", "530 5.7.0");
        log_in(&d.k, fd, "anna@example.org", "pencil", "235 2.7.0");
        kit_asks(&d.k, fd, "MAIL FROM:<anna@example.org>\r\n", "250");
        kit_asks(&d.k, fd, "RCPT TO:<eve@example.net>\r\n", "250");
        assert_non_null(strstr(d.k.log, "not authenticated client=127.0.0.1:"));
        assert_non_null(strstr(d.k.log, " authenticated client=127.0.0.1:"));
        close(fd);
        desk_close(&d);
    }
}

static void lets_users_send_as_themselves(void **state)
{
    static const struct {
        const char *name;
        const char *user;
        const char *password;
        const char *sender;
        bool good;
    } cases[] = {
        {"own address", "anna@example.org", "pencil", "anna@example.org", true},
        {"in any case", "ANNA@Example.org", "pencil", "Anna@EXAMPLE.ORG", true},
        {"nobody", "anna@example.org", "pencil", "", true},
        {"an alias", "anna@example.org", "pencil", "info@example.org", true},
        {"the alias in another domain", "anna@example.org", "pencil", "info@example.com", false},
        {"an alias of several", "anna@example.org", "pencil", "team@example.org", true},
        {"another user", "anna@example.org", "pencil", "bob@example.org", false},
        {"another domain", "anna@example.org", "pencil", "anna@example.com", false},
        {"an alias of another", "anna@example.org", "pencil", "away@example.org", false},
        {"a stranger", "anna@example.org", "pencil", "anna@example.net", false},
        {"hidden by quotes", "anna@example.org", "pencil", "\"anna@example.org\"@example.net",
         false},
        {"percent hack", "anna@example.org", "pencil", "anna%example.org@example.net", false},
        {"source route", "anna@example.org", "pencil", "@example.org:anna@example.net", false},
        {"source route home", "anna@example.org", "pencil", "@example.net:anna@example.org", true},
        {"bare name", "bob", "word", "bob@example.org", true},
        {"bare name in each domain", "bob", "word", "bob@example.com", true},
        {"bare name elsewhere", "bob", "word", "bob@example.net", false},
        {"an address abroad", "carl@elsewhere.example", "pen", "carl@elsewhere.example", true},
        {"an alias for abroad", "carl@elsewhere.example", "pen", "bob@example.com", true},
        {"others abroad", "carl@elsewhere.example", "pen", "x@elsewhere.example", false},
    };
    desk d;

    (void)state;
    desk_open(&d, WORLD_POLL);
    for (size_t i = 0; i < 2 * MAIL_COUNT(cases); i++) {
        const mail_endpoint *at = i < MAIL_COUNT(cases) ? &d.submission : &d.smtp;
        size_t n = i % MAIL_COUNT(cases);
        char line[200];
        int fd = kit_greet(&d.k, at);

        mail_test_case(cases[n].name);
        log_in(&d.k, fd, cases[n].user, cases[n].password, "235");
        snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", cases[n].sender);
        kit_asks(&d.k, fd, line, cases[n].good ? "250" : "550 5.7.1");
        close(fd);
    }
    desk_close(&d);
}

/* SX-037: what has no domain is refused, but for the postmaster. */
static void wants_whole_addresses(void **state)
{
    desk d;
    int fd;

    (void)state;
    desk_open(&d, WORLD_POLL);
    fd = enter(&d.k, &d.submission);
    kit_asks(&d.k, fd, "MAIL FROM:<anna>\r\n", "501 5.1.7");
    kit_asks(&d.k, fd, "MAIL FROM:<anna@example.org>\r\n", "250");
    kit_asks(&d.k, fd, "RCPT TO:<bob>\r\n", "501 5.1.3");
    kit_asks(&d.k, fd, "RCPT TO:<postmaster>\r\n", "250");
    close(fd);
    desk_close(&d);
}

/* Sends `content` as anna from `sender`; the message as it was queued, or NULL if `want` is no 250. */
static char *submit(desk *d, const mail_endpoint *at, const char *sender, const char *content,
                    const char *want)
{
    int fd = enter(&d->k, at);
    size_t before = kit_list(&d->k).count;
    char *text = NULL;
    char line[200];

    snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", sender);
    kit_asks(&d->k, fd, line, "250");
    kit_asks(&d->k, fd, "RCPT TO:<eve@example.net>\r\n", "250");
    kit_asks(&d->k, fd, "DATA\r\n", "354");
    kit_says(&d->k, fd, content);
    kit_asks(&d->k, fd, ".\r\n", want);
    if (*want == '2') {
        assert_int_equal(kit_list(&d->k).count, before + 1);
        text = kit_read(&d->k, kit_list(&d->k).id);
    } else {
        assert_int_equal(kit_list(&d->k).count, before);
    }
    close(fd);
    return text;
}

/* SX-036, SS-033, RFC 3848: no name of a user in what others read. */
static void completes_headers_and_tells_how_they_came(void **state)
{
    desk d;
    char *text;

    (void)state;
    desk_open(&d, WORLD_POLL);
    text = submit(
        &d, &d.submission, "info@example.org",
        "Subject: x\r\nTo: eve@example.net, bob\r\nBcc: secret@example.net\r\n\r\nbody\r\n", "250");
    assert_non_null(strstr(text, "\r\n\tby mx.example with ESMTPA id "));
    assert_non_null(strstr(text, "\r\nSubject: x\r\nTo: eve@example.net, bob@example.org\r\n"));
    assert_non_null(strstr(text, "\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"));
    assert_non_null(strstr(text, "\r\nFrom: info@example.org\r\n"));
    assert_non_null(strstr(text, "\r\nMessage-ID: <"));
    assert_non_null(strstr(text, "@example.org>\r\n\r\nbody\r\n"));
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "Sender:"));
    assert_null(strstr(text, "anna"));
    assert_non_null(strstr(d.k.log, " recipients=1 size="));
    assert_non_null(strstr(d.k.log, " user=anna@example.org\n"));
    free(text);

    text = submit(&d, &d.submission, "", "\r\nno header\r\n", "250");
    assert_non_null(strstr(text, "\r\nFrom: anna@example.org\r\nTo: undisclosed-recipients:;\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nno header\r\n"));
    free(text);

    /* SS-048: who comes to the other door is told who may send, and no more. */
    text = submit(&d, &d.smtp, "anna@example.org", "Subject: x\r\n\r\nbody\r\n", "250");
    assert_non_null(strstr(text, "+0000\r\nSubject: x\r\n\r\nbody\r\n"));
    assert_non_null(strstr(text, " with ESMTPA id "));
    free(text);
    desk_close(&d);
}

static void leaves_whole_headers_alone(void **state)
{
    static const char whole[] = "From: \"Anna, the 1st\" <anna@example.org>\r\n"
                                "Date: Mon, 13 Nov 2023 10:00:00 +0100\r\n"
                                "Message-ID: <1@client.example>\r\n"
                                "To: eve@example.net\r\n"
                                "Subject: =?utf-8?q?x?=\r\n =?utf-8?q?y?=\r\n"
                                "DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=x\r\n"
                                "\r\nbody\r\n";
    desk d;
    char *text;

    (void)state;
    desk_open(&d, WORLD_POLL);
    text = submit(&d, &d.submission, "anna@example.org", whole, "250");
    assert_non_null(strstr(text, "+0000\r\nFrom: "));
    assert_string_equal(strstr(text, "From: "), whole);
    free(text);
    desk_close(&d);
}

static void judges_every_author(void **state)
{
    static const struct {
        const char *name;
        const char *header;
        const char *want;
    } cases[] = {
        {"own", "From: anna@example.org\r\n", "250"},
        {"an alias", "From: Info <info@example.org>\r\nSender: anna@example.org\r\n", "250"},
        {"without a domain", "From: anna\r\n", "250"},
        {"two of them", "From: info@example.org, anna@example.org\r\n", "250"},
        {"resent", "Resent-From: anna@example.org\r\nFrom: info@example.org\r\n", "250"},
        {"another", "From: bob@example.org\r\n", "550 5.7.1"},
        {"a stranger", "From: ceo@example.net\r\n", "550 5.7.1"},
        {"a second author", "From: anna@example.org, ceo@example.net\r\n", "550 5.7.1"},
        {"a second field", "From: anna@example.org\r\nFrom: ceo@example.net\r\n", "550 5.7.1"},
        {"in any case", "FROM: ceo@example.net\r\n", "550 5.7.1"},
        {"a blank before the colon", "From : ceo@example.net\r\n", "550 5.7.1"},
        {"folded", "From:\r\n\tCEO\r\n <ceo@example.net>\r\n", "550 5.7.1"},
        {"as a comment", "From: (anna@example.org) ceo@example.net\r\n", "550 5.7.1"},
        {"as a name", "From: \"anna@example.org\" <ceo@example.net>\r\n", "550 5.7.1"},
        {"in a group", "From: all: anna@example.org, ceo@example.net;\r\n", "550 5.7.1"},
        {"by a route", "From: <@example.org:ceo@example.net>\r\n", "550 5.6.0"},
        {"sender", "From: anna@example.org\r\nSender: ceo@example.net\r\n", "550 5.7.1"},
        {"resent by another", "Resent-From: ceo@example.net\r\nFrom: anna@example.org\r\n",
         "550 5.7.1"},
        {"of another, resent", "Resent-From: anna@example.org\r\nFrom: ceo@example.net\r\n",
         "550 5.7.1"},
        {"nonsense", "From: anna@example.org <<>>\r\n", "550 5.6.0"},
        {"nobody", "From:\r\n", "550 5.6.0"},
        {"only a comment", "From: (ceo@example.net)\r\n", "550 5.6.0"},
        {"own, with a comment", "From: anna@example.org (Anna)\r\n", "250"},
        {"as an unquoted name", "From: ceo@example.net <anna@example.org>\r\n", "550 5.6.0"},
        {"own, as an unquoted name", "From: anna@example.org <anna@example.org>\r\n", "250"},
        {"another's, as an unquoted name", "From: ceo@example.net <ceo@example.net>\r\n",
         "550 5.7.1"},
        {"as the name of a group", "From: ceo@example.net: anna@example.org;\r\n", "550 5.7.1"},
        {"as an empty group", "From: anna@example.org, ceo@example.net:;\r\n", "550 5.7.1"},
        {"as a quoted group", "From: \"ceo@example.net\":;, anna@example.org\r\n", "550 5.7.1"},
        {"a route of another", "From: <@example.net:anna@example.org>\r\n", "550 5.6.0"},
        {"a bare route", "From: @example.net:anna@example.org\r\n", "550 5.6.0"},
        {"a blank inside", "From: anna@example .org\r\n", "550 5.6.0"},
        {"hidden by an escaped line end",
         "From: \"x\\\r\n\" <anna@example.org>, \" <ceo@example.net>\" <anna@example.org>\r\n",
         "550 5.6.0"},
        {"a blank line in between", "From: anna@example.org,\r\n \r\n ceo@example.net\r\n",
         "550 5.7.1"},
        {"a second sender", "Sender: anna@example.org\r\nSENDER\t : ceo@example.net\r\n",
         "550 5.7.1"},
        {"resent twice", "Resent-From: anna@example.org\r\nResent-Sender: ceo@example.net\r\n",
         "550 5.7.1"},
    };
    desk d;

    (void)state;
    desk_open(&d, WORLD_POLL);
    for (size_t i = 0; i < 2 * MAIL_COUNT(cases); i++) {
        size_t n = i % MAIL_COUNT(cases);
        char content[300];

        mail_test_case(cases[n].name);
        snprintf(content, sizeof(content), "Subject: x\r\n%s\r\nbody\r\n", cases[n].header);
        free(submit(&d, i < MAIL_COUNT(cases) ? &d.submission : &d.smtp, "anna@example.org",
                    content, cases[n].want));
    }
    assert_non_null(strstr(d.k.log, "reply=\"550 5.7.1 You may not send as that author\" "
                                    "user=anna@example.org"));
    desk_close(&d);
}

/* SS-049: RFC 5321, section 3.3. Whoever only relays leaves them as they are, too. */
static void takes_odd_sets_of_resent_fields(void **state)
{
    static const struct {
        const char *name;
        const char *header;
    } cases[] = {
        {"a date alone", "Resent-Date: Mon, 13 Nov 2023 10:00:00 +0100\r\n"},
        {"a sender alone", "Resent-Sender: anna@example.org\r\n"},
        {"nobody to send it", "Resent-To: eve@example.net\r\nResent-Message-ID: <2@c.example>\r\n"},
        {"no mark of a second set",
         "Resent-From: anna@example.org\r\nResent-To: eve@example.net\r\n"
         "Resent-From: info@example.org\r\n"},
        {"below the rest", "From: anna@example.org\r\nResent-From: anna@example.org\r\n"},
        {"twice what is once", "Resent-Message-ID: <1@c.example>\r\n"
                               "Resent-Message-ID: <2@c.example>\r\n"},
        {"nothing in it", "Resent-To:\r\nResent-Cc:\r\n"},
    };
    desk d;

    (void)state;
    desk_open(&d, WORLD_POLL);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char content[300];
        char *text;

        mail_test_case(cases[i].name);
        snprintf(content, sizeof(content), "%sSubject: x\r\n\r\nbody\r\n", cases[i].header);
        free(submit(&d, &d.submission, "anna@example.org", content, "250"));
        text = submit(&d, &d.smtp, "anna@example.org", content, "250");
        assert_string_equal(strstr(text, "+0000\r\n") + strlen("+0000\r\n"), content);
        free(text);
    }
    desk_close(&d);
}

/* What ends a header for us need not end it for whoever reads it. */
static void lets_no_author_follow_what_ends_the_header(void **state)
{
    static const char hidden[] = "From: anna@example.org\r\nno field\r\nFrom: ceo@example.net\r\n"
                                 "\r\nbody\r\n";
    desk d;
    char *text;

    (void)state;
    desk_open(&d, WORLD_POLL);
    submit(&d, &d.smtp, "anna@example.org", hidden, "550 5.6.0");
    text = submit(&d, &d.submission, "anna@example.org", hidden, "250");
    assert_non_null(strstr(text, ">\r\n\r\nno field\r\nFrom: ceo@example.net\r\n"));
    free(text);
    desk_close(&d);
}

/* Completing takes away the first line of a mailbox file, and must not let in what is below. */
static void judges_what_stands_below_the_line_of_a_mailbox_file(void **state)
{
    static const struct {
        const char *name;
        const char *content;
        const char *want;
    } cases[] = {
        {"another", "From x\r\nFrom: ceo@example.net\r\n\r\nbody\r\n", "550 5.7.1"},
        {"another, resent", "From x\r\nResent-Sender: ceo@example.net\r\n\r\nbody\r\n",
         "550 5.7.1"},
        {"whatever it says",
         "From a ::anna@example.org,;\r\nResent-From:\r\n b.ne (x) \"y\" <anna>;\r\n"
         "Resent-From:\r\n b.net\r\n\r\n",
         "550 5.7.1"},
        {"own", "From x\r\nFrom: anna@example.org\r\n\r\nbody\r\n", "250"},
    };
    desk d;

    (void)state;
    desk_open(&d, WORLD_POLL);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        free(submit(&d, &d.submission, "anna@example.org", cases[i].content, cases[i].want));
        free(submit(&d, &d.smtp, "anna@example.org", cases[i].content, "550 5.6.0"));
    }
    desk_close(&d);
}

static void refuses_headers_that_are_too_long(void **state)
{
    size_t size = 300000;
    char *content = malloc(size + 100);
    desk d;

    (void)state;
    assert_non_null(content);
    for (size_t i = 0; i < size; i += 100) {
        memset(content + i, 'x', 100);
        memcpy(content + i, "X: ", 3);
        memcpy(content + i + 98, "\r\n", 2);
    }
    memcpy(content + size, "\r\nbody\r\n", 9);
    desk_open(&d, WORLD_POLL);
    submit(&d, &d.submission, "anna@example.org", content, "552 5.3.4");
    desk_close(&d);
    free(content);
}

/* Only the header is held: the rest goes through in pieces of any size. */
static void streams_what_follows_the_header(void **state)
{
    size_t size = 3000000;
    char *content = malloc(size + 100);
    char *text;
    size_t at;

    (void)state;
    assert_non_null(content);
    at = (size_t)sprintf(content, "Subject: large\r\n\r\n");
    for (; at + 80 < size; at += 80) {
        memset(content + at, (int)('a' + at / 80 % 26), 78);
        memcpy(content + at + 78, "\r\n", 2);
    }
    content[at] = '\0';
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        desk d;

        desk_open(&d, kind);
        text = submit(&d, &d.submission, "anna@example.org", content, "250");
        assert_string_equal(strstr(text, "\r\n\r\n"), strstr(content, "\r\n\r\n"));
        free(text);
        desk_close(&d);
    }
    free(content);
}

static void knows_the_users_of_now(void **state)
{
    mail_accounts *others = accounts_of("anna@example.org:{PLAIN}new\n");
    desk d;
    int fd;

    (void)state;
    desk_open(&d, WORLD_POLL);
    fd = kit_greet(&d.k, &d.submission);
    log_in(&d.k, fd, "bob", "word", "235");
    kit_asks(&d.k, fd, "MAIL FROM:<bob@example.org>\r\n", "250");
    kit_asks(&d.k, fd, "RSET\r\n", "250");
    mail_receive_set_accounts(d.k.receive, others);
    mail_accounts_unref(others);
    kit_asks(&d.k, fd, "MAIL FROM:<bob@example.org>\r\n", "550 5.7.1");
    close(fd);
    fd = kit_greet(&d.k, &d.submission);
    log_in(&d.k, fd, "anna@example.org", "pencil", "535");
    log_in(&d.k, fd, "anna@example.org", "new", "235");
    close(fd);
    desk_close(&d);
}

static mail_tls_context *make_context(void)
{
    static const mail_test_cert_options named = {.dns_name = "mx.example"};
    mail_tls_context *context;
    mail_test_cert cert;

    mail_test_cert_make(&cert, &named);
    context = mail_test_tls_context(&cert, NULL);
    mail_test_cert_free(&cert);
    return context;
}

/* SX-017: not even that there is AUTH is said in clear. */
static void speaks_of_logins_inside_tls_only(void **state)
{
    mail_tls_context *context = make_context();
    mail_accounts *accounts = accounts_of(USERS);
    mail_receive_options opts = desk_options(accounts);
    mail_endpoint at;
    kit k;

    (void)state;
    opts.auth_insecure = false;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    assert_int_equal(mail_receive_listen(k.receive, &loopback, MAIL_RECEIVE_SUBMISSION, &at, NULL),
                     MAIL_EINVAL);
    mail_receive_set_tls(k.receive, context);
    assert_int_equal(mail_receive_listen(k.receive, &loopback, MAIL_RECEIVE_SUBMISSION, &at, NULL),
                     MAIL_OK);
    for (int i = 0; i < 2; i++) {
        int fd = kit_connect(&k, i == 0 ? &k.at : &at);
        char said[1000] = "";
        size_t length = 0;

        kit_hears(&k, fd, "220");
        kit_says(&k, fd, "EHLO client.example\r\n");
        while (strstr(said, "250 HELP\r\n") == NULL) {
            world_hear(&k.w, fd, 1, said + length++, 1);
        }
        assert_non_null(strstr(said, "250-STARTTLS\r\n"));
        assert_null(strstr(said, "AUTH"));
        log_in(&k, fd, "anna@example.org", "pencil", i == 0 ? "538 5.7.11" : "530 5.7.0");
        kit_asks(&k, fd, "MAIL FROM:<a@b.example>\r\n", i == 0 ? "250" : "530 5.7.0");
        close(fd);
    }
    kit_close(&k);
    mail_accounts_unref(accounts);
    mail_tls_context_unref(context);
}

static void wants_users_and_certificates_where_they_are_needed(void **state)
{
    static const struct {
        const char *name;
        mail_receive_kind kind;
        bool accounts, tls, insecure;
        int want;
    } cases[] = {
        {"submission", MAIL_RECEIVE_SUBMISSION, true, true, false, MAIL_OK},
        {"submission without users", MAIL_RECEIVE_SUBMISSION, false, true, false, MAIL_EINVAL},
        {"submission without TLS", MAIL_RECEIVE_SUBMISSION, true, false, false, MAIL_EINVAL},
        {"submission in clear", MAIL_RECEIVE_SUBMISSION, true, false, true, MAIL_OK},
        {"submissions", MAIL_RECEIVE_SUBMISSIONS, true, true, false, MAIL_OK},
        {"submissions without users", MAIL_RECEIVE_SUBMISSIONS, false, true, false, MAIL_EINVAL},
        {"submissions without TLS", MAIL_RECEIVE_SUBMISSIONS, true, false, true, MAIL_EINVAL},
        {"hosts", MAIL_RECEIVE_SMTP, false, false, false, MAIL_OK},
        {"delivery", MAIL_RECEIVE_LMTP, false, false, false, MAIL_OK},
    };
    mail_tls_context *context = make_context();
    mail_accounts *accounts = accounts_of(USERS);

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_receive_options opts = desk_options(cases[i].accounts ? accounts : NULL);
        mail_error err = {.text = ""};
        mail_endpoint at;
        kit k;

        mail_test_case(cases[i].name);
        opts.auth_insecure = cases[i].insecure;
        opts.login = NULL;
        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        if (cases[i].tls) {
            mail_receive_set_tls(k.receive, context);
        }
        assert_int_equal(mail_receive_listen(k.receive, &loopback, cases[i].kind, &at, &err),
                         cases[i].want);
        assert_int_equal(err.text[0] != '\0', cases[i].want != MAIL_OK);
        kit_close(&k);
    }
    mail_accounts_unref(accounts);
    mail_tls_context_unref(context);
}

static void survives_every_failed_allocation(void **state)
{
    mail_accounts *accounts = accounts_of(USERS);
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    MAIL_TEST_WALK(walk)
    {
        mail_receive_options opts = desk_options(accounts);
        mail_receive *receive = NULL;
        mail_endpoint at;
        int code;

        opts.mem = &walk.mem;
        opts.queue = k.queue;
        opts.hostname = MAIL_SPAN("mx.example");
        code = mail_receive_create(&receive, k.w.loop, &opts);
        if (code == MAIL_OK) {
            code = mail_receive_listen(receive, &loopback, MAIL_RECEIVE_SUBMISSION, &at, NULL);
        }
        if (code == MAIL_OK) {
            bool is_drained = false;
            int fd = kit_connect(&k, &at);

            /* It may end at any point, but it ends. */
            kit_says(&k, fd,
                     "EHLO a\r\nAUTH PLAIN AGFubmFAZXhhbXBsZS5vcmcAcGVuY2ls\r\n"
                     "MAIL FROM:<anna@example.org>\r\nRCPT TO:<eve@example.net>\r\nDATA\r\n"
                     "From: anna@example.org\r\n\r\n.\r\nQUIT\r\n");
            world_until(&k.w, mail_receive_sessions(receive) == 0);
            close(fd);
            mail_receive_drain(receive, kit_drained, &is_drained);
            world_until(&k.w, is_drained);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
        }
        mail_receive_destroy(receive);
    }
    kit_close(&k);
    mail_accounts_unref(accounts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_nothing_before_a_login),
        cmocka_unit_test(lets_users_send_as_themselves),
        cmocka_unit_test(wants_whole_addresses),
        cmocka_unit_test(completes_headers_and_tells_how_they_came),
        cmocka_unit_test(leaves_whole_headers_alone),
        cmocka_unit_test(judges_every_author),
        cmocka_unit_test(takes_odd_sets_of_resent_fields),
        cmocka_unit_test(lets_no_author_follow_what_ends_the_header),
        cmocka_unit_test(judges_what_stands_below_the_line_of_a_mailbox_file),
        cmocka_unit_test(refuses_headers_that_are_too_long),
        cmocka_unit_test(streams_what_follows_the_header),
        cmocka_unit_test(knows_the_users_of_now),
        cmocka_unit_test(speaks_of_logins_inside_tls_only),
        cmocka_unit_test(wants_users_and_certificates_where_they_are_needed),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
