/* SPDX-License-Identifier: MIT */
#include "mta/credentials.h"

#include "net/world.h"

static mail_credentials_table *table_of(const mail_mem *mem)
{
    mail_credentials_table *table = NULL;

    assert_int_equal(mail_credentials_table_create(&table, mem), MAIL_OK);
    return table;
}

static void reads_rules(void **state)
{
    static const struct {
        const char *rule;
        const char *host;
        uint16_t port;
        const char *user;
        mail_tls_level needs;
        bool is_token;
        secret_kind kind;
        const char *place;
    } cases[] = {
        {"Smart.example:587=ann@b.example,file:/etc/secret", "smart.example", 587, "ann@b.example",
         MAIL_TLS_LEVEL_VERIFY, false, SECRET_FILE, "/etc/secret"},
        {"127.0.0.1:25=ann,clear,command:pass show mail, now", "127.0.0.1", 25, "ann",
         MAIL_TLS_LEVEL_NONE, false, SECRET_COMMAND, "pass show mail, now"},
        {"[::1]:465=ann,unverified,token-command:a=b", "::1", 465, "ann", MAIL_TLS_LEVEL_REQUIRE,
         true, SECRET_COMMAND, "a=b"},
        {"s.example:25=ann,token-file:x", "s.example", 25, "ann", MAIL_TLS_LEVEL_VERIFY, true,
         SECRET_FILE, "x"},
        {"s.example:25=ann,file:certificate", "s.example", 25, "ann", MAIL_TLS_LEVEL_VERIFY, false,
         SECRET_FILE, "certificate"},
        {"s.example:25=ann@b.example,certificate", "s.example", 25, "ann@b.example",
         MAIL_TLS_LEVEL_VERIFY, false, SECRET_GIVEN, ""},
        {"s.example:25=,unverified,certificate", "s.example", 25, "", MAIL_TLS_LEVEL_REQUIRE, false,
         SECRET_GIVEN, ""},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_credentials_table *table = table_of(NULL);
        bool is_certificate = cases[i].kind == SECRET_GIVEN;
        const credential *who;

        mail_test_case(cases[i].rule);
        assert_int_equal(mail_credentials_table_add(table, mail_span_text(cases[i].rule), NULL),
                         MAIL_OK);
        assert_null(credentials_find(table, cases[i].host, 1));
        assert_null(credentials_find(table, "other.example", cases[i].port));
        who = credentials_find(table, cases[i].host, cases[i].port);
        assert_non_null(who);
        assert_string_equal(who->user, cases[i].user);
        assert_int_equal(who->needs, cases[i].needs);
        assert_int_equal(who->is_token, cases[i].is_token);
        assert_int_equal(who->place.kind, cases[i].kind);
        assert_string_equal(who->place.text, cases[i].place);
        assert_int_equal(who->is_certificate, is_certificate);
        assert_int_equal(mail_credentials_table_needs_certificate(table), is_certificate);
        mail_credentials_table_destroy(table);
    }
}

static void refuses_bad_rules_with_a_reason(void **state)
{
    static const struct {
        const char *rule;
        const char *why;
    } cases[] = {
        {"", "credentials are HOST:PORT=USER,SOURCE"},
        {"s.example:25", "credentials are HOST:PORT=USER,SOURCE"},
        {"s.example:25=ann", "credentials are HOST:PORT=USER,SOURCE"},
        {"mx=ann,file:x", "the next hop is not HOST:PORT"},
        {"a.example:25,b.example:25=ann,file:x", "the next hop is not HOST:PORT"},
        {"lmtp:a.example:24=ann,file:x", "the next hop is not HOST:PORT"},
        {"s.example:0=ann,file:x", "the next hop has no port from 1 to 65535"},
        {"s.example:25=,file:x", "the user's name is missing, too long or odd"},
        {"s.example:25=ann,secret", "the secret must come from file:PATH, command:COMMAND, "
                                    "token-file:PATH, token-command:COMMAND or certificate"},
        {"s.example:25=ann,clear,certificate", "a certificate is shown in TLS alone"},
        {"s.example:25=ann,token-certificate",
         "the secret must come from file:PATH, command:COMMAND, token-file:PATH, "
         "token-command:COMMAND or certificate"},
        {"s.example:25=ann,file:", "it is not said where the secret is"},
    };
    mail_credentials_table *table = table_of(NULL);

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err;

        mail_test_case(cases[i].rule);
        assert_int_equal(mail_credentials_table_add(table, mail_span_text(cases[i].rule), &err),
                         MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].why);
    }
    mail_credentials_table_destroy(table);
}

static void takes_a_password_itself(void **state)
{
    mail_credentials_table *table = table_of(NULL);
    const credential *who;

    (void)state;
    assert_int_equal(mail_credentials_table_add_password(table, MAIL_SPAN("s.example:25"),
                                                         MAIL_SPAN("ann"), MAIL_SPAN("pencil"),
                                                         NULL),
                     MAIL_OK);
    who = credentials_find(table, "s.example", 25);
    assert_int_equal(who->needs, MAIL_TLS_LEVEL_VERIFY);
    assert_int_equal(who->place.kind, SECRET_GIVEN);
    assert_string_equal(who->place.text, "pencil");
    mail_credentials_table_destroy(table);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_credentials_table *table;

        if (mail_credentials_table_create(&table, &walk.mem) == MAIL_OK) {
            (void)mail_credentials_table_add(table, MAIL_SPAN("s.example:25=ann,file:x"), NULL);
            (void)mail_credentials_table_add_password(table, MAIL_SPAN("s.example:25"),
                                                      MAIL_SPAN("ann"), MAIL_SPAN("pencil"), NULL);
            mail_credentials_table_destroy(table);
        }
    }
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
}

/* QR-018: of a file, the first line, whatever its end. */
static void reads_the_first_line_of_a_file(void **state)
{
    static char large[SECRET_SIZE + 1];
    static const struct {
        const char *name;
        const char *text;
        const char *secret; /* NULL: an error */
    } cases[] = {
        {"a line", "pencil\n", "pencil"},
        {"without an end", "pencil", "pencil"},
        {"from elsewhere", "pencil\r\n", "pencil"},
        {"more lines", "pencil\ncrayon\n", "pencil"},
        {"with blanks", " pen cil \n", " pen cil "},
        {"empty", "", NULL},
        {"an empty line", "\npencil\n", NULL},
        {"too long", large, NULL},
    };
    char *dir = mail_test_make_dir();
    char path[200];

    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    snprintf(path, sizeof(path), "%s/secret", dir);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const secret_place place = {SECRET_FILE, path};
        char secret[SECRET_SIZE];
        size_t length = 0;
        mail_error why;
        int code;

        mail_test_case(cases[i].name);
        write_file(path, cases[i].text, strlen(cases[i].text));
        code = secret_read(&place, secret, &length, MAIL_SECOND, NULL, &why);
        assert_int_equal(code == MAIL_OK, cases[i].secret != NULL);
        if (code == MAIL_OK) {
            assert_span_equal(mail_span_of(secret, length), cases[i].secret);
        }
    }
    mail_test_remove_dir(dir);
}

static void reads_the_first_line_of_a_command(void **state)
{
    static const struct {
        const char *command;
        const char *secret;
        const char *why;
    } cases[] = {
        {"echo pencil", "pencil", NULL},
        {"printf 'pencil\\ncrayon\\n'", "pencil", NULL},
        {"cat; echo pencil", "pencil", NULL}, /* nothing is to be read there */
        {"true", NULL, "the secret is empty"},
        {"echo pencil; exit 3", NULL, "the command failed with 3"},
        {"kill -9 $$", NULL, "the command failed with -9"},
        {"no-such-command-anywhere 2>&-", NULL, "the command failed with 127"},
        {"head -c 100000 /dev/zero", NULL, "the command prints more than 4095 octets"},
        {"sleep 100 & sleep 100", NULL, "the command took too long"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        const secret_place place = {SECRET_COMMAND, cases[i].command};
        bool is_slow = strncmp(cases[i].command, "sleep", 5) == 0;
        char secret[SECRET_SIZE];
        size_t length = 0;
        mail_error why;
        int code;

        mail_test_case(cases[i].command);
        code = secret_read(&place, secret, &length, is_slow ? 50 * MAIL_MILLISECOND : MAIL_MINUTE,
                           NULL, &why);
        if (cases[i].secret != NULL) {
            assert_int_equal(code, MAIL_OK);
            assert_span_equal(mail_span_of(secret, length), cases[i].secret);
        } else {
            assert_int_not_equal(code, MAIL_OK);
            assert_string_equal(why.text, cases[i].why);
        }
    }
}

static void tells_what_file_is_missing(void **state)
{
    const secret_place place = {SECRET_FILE, "/nonexistent/secret"};
    char secret[SECRET_SIZE];
    size_t length;
    mail_error why;

    (void)state;
    assert_int_equal(secret_read(&place, secret, &length, MAIL_SECOND, NULL, &why), MAIL_ESYS);
    assert_string_equal(why.text, "/nonexistent/secret: No such file or directory");
}

typedef struct answer {
    unsigned count;
    int code;
    char secret[100];
} answer;

static void on_secret(int code, mail_span secret, const char *why, void *arg)
{
    answer *an = arg;

    (void)why;
    an->count++;
    an->code = code;
    snprintf(an->secret, sizeof(an->secret), "%.*s", (int)secret.length, secret.data);
}

/* Who goes does not wait for a command that hangs. */
static void ends_a_command_that_nobody_waits_for(void **state)
{
    const secret_place place = {SECRET_COMMAND, "sleep 1000"};
    mail_test_walk mem;
    secret_lookup *lookup;
    answer never = {0};
    world w;

    (void)state;
    mail_test_mem_init(&mem);
    world_open(&w, WORLD_POLL, NULL);
    assert_int_equal(secret_look_up(&lookup, w.loop, &mem.mem, &place, on_secret, &never), MAIL_OK);
    world_step(&w);
    secret_cancel(lookup);
    world_until(&w, mem.bytes == 0);
    assert_int_equal(never.count, 0);
    world_close(&w);
}

static void looks_up_on_a_worker(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char command[] = "echo pencil";
        const secret_place place = {SECRET_COMMAND, command};
        secret_lookup *kept;
        secret_lookup *cancelled;
        answer an = {0};
        answer never = {0};
        mail_test_walk mem;
        world w;

        mail_test_mem_init(&mem);
        world_open(&w, kind, NULL);
        assert_int_equal(secret_look_up(&kept, w.loop, &mem.mem, &place, on_secret, &an), MAIL_OK);
        assert_int_equal(secret_look_up(&cancelled, w.loop, &mem.mem, &place, on_secret, &never),
                         MAIL_OK);
        memset(command, 'x', sizeof(command) - 1); /* it was copied */
        secret_cancel(cancelled);
        assert_int_equal(an.count, 0);
        world_until(&w, an.count == 1 && mem.bytes == 0);
        assert_int_equal(an.code, MAIL_OK);
        assert_string_equal(an.secret, "pencil");
        assert_int_equal(never.count, 0);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rules),
        cmocka_unit_test(refuses_bad_rules_with_a_reason),
        cmocka_unit_test(takes_a_password_itself),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(reads_the_first_line_of_a_file),
        cmocka_unit_test(reads_the_first_line_of_a_command),
        cmocka_unit_test(tells_what_file_is_missing),
        cmocka_unit_test(looks_up_on_a_worker),
        cmocka_unit_test(ends_a_command_that_nobody_waits_for),
    };

    return mail_test_run(tests);
}
