/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <unistd.h>

#include <mail/log.h>

#include "common/options.h"

typedef struct shared {
    mail_log_level level;
    mail_log_format format;
} shared;

typedef struct config {
    bool check;
    const char *spool;
    option_texts listen;
    uint32_t sessions;
    uint16_t port;
    uint64_t size;
    mail_duration idle;
    option_durations retry;
    option_endpoints resolver;
    const char *hostname;
    shared shared;
} config;

#define FIELD(member) offsetof(config, member)

static const option_row rows[] = {
    {"check", NULL, "read everything", option_set_switch, FIELD(check), false},
    {"spool", "DIR", "where the queue lies", option_set_text, FIELD(spool), false},
    {"listen", "ADDR", "where to listen; may be repeated", option_set_texts, FIELD(listen), true},
    {"max-sessions", "N", "sessions", option_set_count, FIELD(sessions), false},
    {"smtp-port", "N", "port", option_set_port, FIELD(port), false},
    {"size", "BYTES", "octets", option_set_size, FIELD(size), false},
    {"idle", "SECONDS", "longest wait", option_set_duration, FIELD(idle), false},
    {"retry", "LIST", "a help text that is so long that it has to be wrapped and goes on below",
     option_set_durations, FIELD(retry), false},
    {"resolver", "ADDR", "servers", option_set_resolvers, FIELD(resolver), true},
    {"hostname", "NAME", "name", option_set_hostname, FIELD(hostname), false},
};

/* What another program has too, in a struct of its own. */
static const option_row shared_rows[] = {
    {"log-level", "LEVEL", "level", option_set_log_level, offsetof(shared, level), false},
    {"log-format", "FORMAT", "format", option_set_log_format, offsetof(shared, format), false},
};

static const option_table table = {
    .program = "relay",
    .version = "1.2.3",
    .summary = "A relay.",
    .groups = {{rows, MAIL_COUNT(rows), 0}, {shared_rows, MAIL_COUNT(shared_rows), FIELD(shared)}},
};

/* One run of options_read, with what it printed. */
typedef struct run {
    config config;
    char *text;
    const char *path;
    char *out;
    char *err;
    int code;
} run;

#define ARGS_MAX 16

static void start(run *r, const option_table *options, const char *const *args)
{
    char *argv[ARGS_MAX + 2] = {(char *)"relay"};
    size_t out_size;
    size_t err_size;
    FILE *out = open_memstream(&r->out, &out_size);
    FILE *err = open_memstream(&r->err, &err_size);
    int argc = 1;

    while (args[argc - 1] != NULL) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    r->config = (config){.spool = "./spool"};
    r->code = options_read(options, argc, argv, &r->config, &r->text, &r->path, out, err);
    fclose(out);
    fclose(err);
}

static void end(run *r)
{
    option_texts_deinit(&r->config.listen);
    option_endpoints_deinit(&r->config.resolver);
    free(r->text);
    free(r->out);
    free(r->err);
}

#define START(r, ...) start((r), &table, (const char *const[]){__VA_ARGS__, NULL})

static void takes_options_as_getopt_long_does(void **state)
{
    run r;

    (void)state;
    START(&r, "--spool", "/a", "--listen=x:1", "--check", "--listen", "y:2", "--max-s", "7",
          "--spool=/b");
    assert_string_equal(r.err, "");
    assert_int_equal(r.code, OPTIONS_GO);
    assert_true(r.config.check);
    assert_string_equal(r.config.spool, "/b");
    assert_int_equal(r.config.listen.count, 2);
    assert_string_equal(r.config.listen.items[0], "x:1");
    assert_string_equal(r.config.listen.items[1], "y:2");
    assert_int_equal(r.config.sessions, 7);
    end(&r);
}

static void refuses_a_bad_command_line_in_one_line_with_64(void **state)
{
    static const struct {
        const char *name;
        const char *args[4];
        const char *err;
    } cases[] = {
        {"unknown", {"--nonsense"}, "relay: unknown option --nonsense\n"},
        {"ambiguous", {"--s"}, "relay: unknown option --s\n"},
        {"short", {"-x"}, "relay: unknown option -x\n"},
        {"no argument", {"--spool"}, "relay: --spool needs an argument\n"},
        {"an argument too many", {"--check=no"}, "relay: --check takes no argument\n"},
        {"a word", {"word"}, "relay: unexpected argument word\n"},
        {"a word behind", {"--check", "--", "word"}, "relay: unexpected argument word\n"},
        {"empty", {"--spool", ""}, "relay: --spool: it must not be empty\n"},
        {"bad value",
         {"--size", "1X"},
         "relay: --size: \"1X\" is no size such as 52428800 or 50M\n"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        run r;

        mail_test_case(cases[i].name);
        start(&r, &table, cases[i].args);
        assert_string_equal(r.err, cases[i].err);
        assert_string_equal(r.out, "");
        assert_int_equal(r.code, 64);
        end(&r);
    }
}

static void prints_help_and_version_and_exits_with_0(void **state)
{
    run r;

    (void)state;
    START(&r, "--version", "--nonsense");
    assert_string_equal(r.out, "relay 1.2.3\n");
    assert_int_equal(r.code, 0);
    end(&r);

    START(&r, "--help");
    assert_int_equal(r.code, 0);
    assert_string_equal(
        r.out, "Usage: relay [OPTION]...\n"
               "A relay.\n"
               "\n"
               "  --config FILE               read options from FILE, one `name = value` a line\n"
               "  --check                     read everything\n"
               "  --spool DIR                 where the queue lies\n"
               "  --listen ADDR               where to listen; may be repeated\n"
               "  --max-sessions N            sessions\n"
               "  --smtp-port N               port\n"
               "  --size BYTES                octets\n"
               "  --idle SECONDS              longest wait\n"
               "  --retry LIST                a help text that is so long that it has to be\n"
               "                              wrapped and goes on below\n"
               "  --resolver ADDR             servers\n"
               "  --hostname NAME             name\n"
               "  --log-level LEVEL           level\n"
               "  --log-format FORMAT         format\n"
               "  --help                      print this and exit\n"
               "  --version                   print the version and exit\n");
    end(&r);
}

static void prints_help_by_subject(void **state)
{
    static const option_subject subjects[] = {
        {"Listening", "hostname listen max-sessions smtp-port idle"},
        {"The rest", "log-format log-level spool  check resolver"},
    };
    option_table by_subject = table;
    run r;

    (void)state;
    by_subject.subjects = subjects;
    by_subject.subject_count = MAIL_COUNT(subjects);
    start(&r, &by_subject, (const char *const[]){"--help", NULL});
    assert_int_equal(r.code, 0);
    assert_string_equal(
        r.out, "Usage: relay [OPTION]...\n"
               "A relay.\n"
               "\n"
               "  --config FILE               read options from FILE, one `name = value` a line\n"
               "  --size BYTES                octets\n"
               "  --retry LIST                a help text that is so long that it has to be\n"
               "                              wrapped and goes on below\n"
               "\n"
               "Listening:\n"
               "  --hostname NAME             name\n"
               "  --listen ADDR               where to listen; may be repeated\n"
               "  --max-sessions N            sessions\n"
               "  --smtp-port N               port\n"
               "  --idle SECONDS              longest wait\n"
               "\n"
               "The rest:\n"
               "  --log-format FORMAT         format\n"
               "  --log-level LEVEL           level\n"
               "  --spool DIR                 where the queue lies\n"
               "  --check                     read everything\n"
               "  --resolver ADDR             servers\n"
               "  --help                      print this and exit\n"
               "  --version                   print the version and exit\n");
    end(&r);
}

static void reads_values(void **state)
{
    static const struct {
        const char *option;
        const char *value;
        int64_t want; /* -1: refused */
    } cases[] = {
        {"--size", "52428800", 52428800},
        {"--size", "1k", 1024},
        {"--size", "50M", 50 << 20},
        {"--size", "2G", INT64_C(2) << 30},
        {"--size", "0", -1},
        {"--size", "", -1},
        {"--size", "M", -1},
        {"--size", "-1", -1},
        {"--size", "+1", -1},
        {"--size", " 1", -1},
        {"--size", "1 ", -1},
        {"--size", "1kk", -1},
        {"--size", "0x10", -1},
        {"--size", "9223372036854775807", INT64_MAX},
        {"--size", "9223372036854775808", -1},
        {"--size", "18446744073709551617", -1},
        {"--size", "9007199254740992G", -1},
        {"--idle", "300", 300 * MAIL_SECOND},
        {"--idle", "90s", 90 * MAIL_SECOND},
        {"--idle", "5m", 5 * MAIL_MINUTE},
        {"--idle", "4h", 4 * MAIL_HOUR},
        {"--idle", "5d", 5 * MAIL_DAY},
        {"--idle", "0", -1},
        {"--idle", "5w", -1},
        {"--idle", "36501d", -1},
        {"--smtp-port", "65535", 65535},
        {"--smtp-port", "65536", -1},
        {"--smtp-port", "0", -1},
        {"--max-sessions", "4294967295", 4294967295},
        {"--max-sessions", "4294967296", -1},
        {"--max-sessions", "0", -1},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        run r;
        int64_t got;

        mail_test_case(cases[i].value);
        START(&r, cases[i].option, cases[i].value);
        got = (int64_t)r.config.size + r.config.idle + r.config.port + r.config.sessions;
        assert_int_equal(r.code, cases[i].want < 0 ? 64 : OPTIONS_GO);
        assert_int_equal(got, cases[i].want < 0 ? 0 : cases[i].want);
        end(&r);
    }
}

static void reads_lists_of_times(void **state)
{
    static const char *const bad[] = {"", ",", "5m,", ",5m", "5m,,5m", "5m;10m", "x"};
    run r;

    (void)state;
    START(&r, "--retry", "5m,10m,1h");
    assert_int_equal(r.code, OPTIONS_GO);
    assert_int_equal(r.config.retry.count, 3);
    assert_int_equal(r.config.retry.items[0], 5 * MAIL_MINUTE);
    assert_int_equal(r.config.retry.items[2], MAIL_HOUR);
    end(&r);
    for (size_t i = 0; i < MAIL_COUNT(bad); i++) {
        mail_test_case(bad[i]);
        START(&r, "--retry", bad[i]);
        assert_int_equal(r.code, 64);
        assert_int_equal(r.config.retry.count, 0);
        end(&r);
    }
}

static void reads_names_and_addresses(void **state)
{
    static const struct {
        const char *option;
        const char *value;
        bool good;
    } cases[] = {
        {"--resolver", "127.0.0.1:53", true},
        {"--resolver", "[::1]:53", true},
        {"--resolver", "localhost:53", false},
        {"--resolver", "127.0.0.1", true},
        {"--resolver", "[::1]", true},
        {"--resolver", "::1", true},
        {"--resolver", "127.0.0.1:0", false},
        {"--resolver", "[::1", false},
        {"--hostname", "mx.example.org", true},
        {"--hostname", "mx example", false},
        {"--hostname", "", false},
        {"--log-level", "error", true},
        {"--log-level", "debug", true},
        {"--log-level", "loud", false},
        {"--log-format", "json", true},
        {"--log-format", "text", true},
        {"--log-format", "xml", false},
    };
    run r;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].value);
        START(&r, cases[i].option, cases[i].value);
        assert_int_equal(r.code, cases[i].good ? OPTIONS_GO : 64);
        end(&r);
    }
    START(&r, "--resolver", "127.0.0.1:53", "--resolver", "[::1]:54", "--log-level", "warn",
          "--log-format", "json");
    assert_int_equal(r.config.resolver.count, 2);
    assert_int_equal(r.config.resolver.items[1].port, 54);
    assert_int_equal(r.config.shared.level, MAIL_LOG_WARN);
    assert_int_equal(r.config.shared.format, MAIL_LOG_JSON);
    end(&r);
}

/* A file of that content in a folder of its own; both paths in one string each. */
static char *write_file(const char *dir, const char *content, size_t length)
{
    char *path;
    FILE *file;

    assert_true(asprintf(&path, "%s/conf", dir) > 0);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void reads_the_file_and_lets_the_command_line_win(void **state)
{
    static const char content[] = "# a comment\n"
                                  "\r\n"
                                  "   ; another\n"
                                  "spool = /from file \r\n"
                                  "\tlisten=a:1\n"
                                  "listen = b:2\n"
                                  "idle = 5m\n"
                                  "check\n"
                                  "retry = 1m";
    char *dir = mail_test_make_dir();
    char *path = write_file(dir, content, strlen(content));
    run r;

    (void)state;
    START(&r, "--config", path);
    assert_string_equal(r.err, "");
    assert_int_equal(r.code, OPTIONS_GO);
    assert_string_equal(r.config.spool, "/from file");
    assert_int_equal(r.config.listen.count, 2);
    assert_string_equal(r.config.listen.items[1], "b:2");
    assert_int_equal(r.config.idle, 5 * MAIL_MINUTE);
    assert_int_equal(r.config.retry.items[0], MAIL_MINUTE);
    assert_true(r.config.check);
    end(&r);

    START(&r, "--listen", "c:3", "--config", path, "--spool", "/mine");
    assert_int_equal(r.code, OPTIONS_GO);
    assert_string_equal(r.config.spool, "/mine");
    assert_int_equal(r.config.listen.count, 1);
    assert_string_equal(r.config.listen.items[0], "c:3");
    assert_int_equal(r.config.idle, 5 * MAIL_MINUTE);
    end(&r);
    free(path);
    mail_test_remove_dir(dir);
}

static void refuses_a_bad_file_with_file_line_and_reason(void **state)
{
    static const struct {
        const char *name;
        const char *content;
        size_t length;
        const char *want; /* behind the path */
    } cases[] = {
#define CONTENT(text) text, sizeof(text) - 1
        {"unknown key", CONTENT("\nspul = x\n"), ":2: spul: no such key\n"},
        {"section", CONTENT("[relay]\n"), ":1: [relay]: neither a key nor `name = value`\n"},
        {"no sign between", CONTENT("spool x\n"),
         ":1: spool x: neither a key nor `name = value`\n"},
        {"built in", CONTENT("config = x\n"), ":1: config: no such key\n"},
        {"no key", CONTENT("= x\n"), ":1: : no such key\n"},
        {"no value", CONTENT("spool\n"), ":1: spool: no value\n"},
        {"empty value", CONTENT("spool =\n"), ":1: spool: it must not be empty\n"},
        {"twice", CONTENT("idle = 1\nidle = 2\n"), ":2: idle: stands there twice\n"},
        {"bad value", CONTENT("#\n#\nsmtp-port = many"),
         ":3: smtp-port: \"many\" is no port from 1 to 65535\n"},
        {"bad switch", CONTENT("check = maybe"), ":1: check: \"maybe\" is neither yes nor no\n"},
        {"a NUL", CONTENT("spool = \0x\n"), ": it holds a NUL and is no text\n"},
    };
    char *dir = mail_test_make_dir();

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char *path = write_file(dir, cases[i].content, cases[i].length);
        char want[512];
        run r;

        mail_test_case(cases[i].name);
        START(&r, "--config", path);
        snprintf(want, sizeof(want), "relay: %s%s", path, cases[i].want);
        assert_string_equal(r.err, want);
        assert_int_equal(r.code, 78);
        end(&r);
        free(path);
    }
    mail_test_remove_dir(dir);
}

static void refuses_a_file_that_it_cannot_read(void **state)
{
    char *dir = mail_test_make_dir();
    char *missing;
    run r;

    (void)state;
    assert_true(asprintf(&missing, "%s/none", dir) > 0);
    START(&r, "--config", missing);
    assert_non_null(strstr(r.err, "/none: No such file or directory\n"));
    assert_int_equal(r.code, 78);
    end(&r);
    START(&r, "--config", dir);
    assert_non_null(strstr(r.err, ": Is a directory\n"));
    assert_int_equal(r.code, 78);
    end(&r);
    free(missing);
    mail_test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_options_as_getopt_long_does),
        cmocka_unit_test(refuses_a_bad_command_line_in_one_line_with_64),
        cmocka_unit_test(prints_help_and_version_and_exits_with_0),
        cmocka_unit_test(prints_help_by_subject),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(reads_lists_of_times),
        cmocka_unit_test(reads_names_and_addresses),
        cmocka_unit_test(reads_the_file_and_lets_the_command_line_win),
        cmocka_unit_test(refuses_a_bad_file_with_file_line_and_reason),
        cmocka_unit_test(refuses_a_file_that_it_cannot_read),
    };

    return mail_test_run(tests);
}
