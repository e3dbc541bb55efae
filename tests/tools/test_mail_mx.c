/* SPDX-License-Identifier: MIT */
#include "net/fake_dns.h"

#include <libgen.h>
#include <sys/wait.h>

#include <mail/loop_poll.h>

static const char zone[] =
    "a.example MX 20 mx2.example; a.example MX 10 mx1.example; mx1.example A 9.9.9.1;"
    "mx1.example AAAA 2600::1; mx2.example CNAME mx3.example; mx3.example A 9.9.9.2;"
    "b.example A 9.9.9.3; null.example MX 0 .; dead.example FAIL; lan.example A 10.0.0.1;"
    "xn--bcher-kva.example A 9.9.9.4";

/* The program run against a fake server: what it wrote, to either stream, and its exit status. */
typedef struct run {
    mail_loop_poll *poll;
    mail_loop *loop;
    fake_dns dns;
    int output;
    mail_watch *watch;
    bool done;
    size_t length;
    char text[8192];
} run;

static void on_output(unsigned events, void *arg)
{
    run *r = arg;
    ssize_t n = read(r->output, r->text + r->length, sizeof(r->text) - 1 - r->length);

    (void)events;
    if (n > 0) {
        r->length += (size_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        r->done = true;
        r->loop->ops->watch_set(r->watch, 0);
    }
}

/* build/tests/test_tools_mail_mx -> build/tools/mail-mx */
static void find_program(char *path, size_t size)
{
    char own[4096];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

    assert_true(length > 0);
    own[length] = '\0';
    snprintf(path, size, "%s/../tools/mail-mx", dirname(own));
}

static pid_t start(run *r, char **argv)
{
    char program[4200];
    int ends[2];
    pid_t child;

    find_program(program, sizeof(program));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execv(program, argv);
        _exit(127);
    }
    close(ends[1]);
    r->output = ends[0];
    fcntl(r->output, F_SETFL, O_NONBLOCK);
    return child;
}

/* Runs the program with `words`, divided by blanks, SERVER being the fake one's address. */
static int run_program(run *r, const char *words)
{
    char server[MAIL_IP_TEXT_SIZE];
    char copy[512];
    char *argv[16] = {"mail-mx"};
    size_t argc = 1;
    pid_t child;
    int status;

    mail_endpoint_print(&r->dns.at, server);
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc + 1 < MAIL_COUNT(argv));
        argv[argc++] = strcmp(word, "SERVER") == 0 ? server : word;
    }
    r->done = false;
    r->length = 0;
    child = start(r, argv);
    assert_int_equal(r->loop->ops->watch(r->loop, r->output, on_output, r, &r->watch), MAIL_OK);
    r->loop->ops->watch_set(r->watch, MAIL_READABLE);
    while (!r->done) {
        assert_int_equal(mail_loop_poll_run_once(r->poll, MAIL_SECOND), MAIL_OK);
    }
    r->loop->ops->unwatch(r->watch);
    close(r->output);
    r->text[r->length] = '\0';
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void run_begin(run *r)
{
    *r = (run){.done = false};
    assert_int_equal(mail_loop_poll_create(&r->poll, NULL), MAIL_OK);
    r->loop = mail_loop_poll_loop(r->poll);
    fake_dns_start(&r->dns, r->loop, zone, 0);
}

static void run_end(run *r)
{
    fake_dns_stop(&r->dns);
    mail_loop_poll_destroy(r->poll);
}

static void prints_the_plan_of_each_domain(void **state)
{
    static const struct {
        const char *words;
        int status;
        const char *output;
    } cases[] = {
        {"a.example", 0,
         "a.example:\n"
         "     10 mx1.example 2600::1 9.9.9.1 (TTL 300)\n"
         "     20 mx2.example 9.9.9.2 (TTL 300)\n"
         "  fault: mx2.example: an alias, which the target of an MX record must not be\n"},
        {"b.example", 0,
         "b.example: no MX record, its own address\n"
         "      0 b.example 9.9.9.3 (TTL 60)\n"},
        {"b\303\274cher.example", 0,
         "xn--bcher-kva.example: no MX record, its own address\n"
         "      0 xn--bcher-kva.example 9.9.9.4 (TTL 60)\n"},
        {"none.example", 68, "none.example: 550 5.1.2 No such domain: none.example\n"},
        {"null.example", 68, "null.example: 556 5.1.10 null.example accepts no mail (null MX)\n"},
        {"dead.example", 75,
         "dead.example: 451 4.4.3 Can't look up dead.example: the server failed (SERVFAIL)\n"},
        {"null.example dead.example", 75,
         "null.example: 556 5.1.10 null.example accepts no mail (null MX)\n"
         "dead.example: 451 4.4.3 Can't look up dead.example: the server failed (SERVFAIL)\n"},
        {"lan.example", 0,
         "lan.example: no MX record, its own address\n"
         "      0 lan.example 10.0.0.1 (TTL 60)\n"
         "  fault: lan.example: 10.0.0.1 is no public address:"
         " not used without --allow-private-mx\n"},
        {"--allow-private-mx lan.example", 0,
         "lan.example: no MX record, its own address\n"
         "      0 lan.example 10.0.0.1 (TTL 60)\n"},
        {"x\033[2J\377", 68, "x?[2J?: 550 5.1.2 Not the name of a domain\n"},
        {"--json a.example", 0,
         "{\"domain\":\"a.example\",\"implicit\":false,\"hosts\":["
         "{\"name\":\"mx1.example\",\"preference\":10,\"ttl\":300,"
         "\"addresses\":[\"2600::1\",\"9.9.9.1\"]},"
         "{\"name\":\"mx2.example\",\"preference\":20,\"ttl\":300,\"addresses\":[\"9.9.9.2\"]}],"
         "\"faults\":[\"mx2.example: an alias, which the target of an MX record must not be\"]}\n"},
        {"--json none.example a\"b\\c", 68,
         "{\"domain\":\"none.example\",\"code\":550,\"status\":\"5.1.2\","
         "\"reason\":\"No such domain: none.example\",\"implicit\":false,\"hosts\":[],"
         "\"faults\":[]}\n"
         "{\"domain\":\"a\\\"b\\\\c\",\"code\":550,\"status\":\"5.1.2\","
         "\"reason\":\"Not the name of a domain\",\"implicit\":false,\"hosts\":[],"
         "\"faults\":[]}\n"},
    };
    static run r;

    (void)state;
    run_begin(&r);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char words[256];

        mail_test_case(cases[i].words);
        snprintf(words, sizeof(words), "--resolver SERVER %s", cases[i].words);
        assert_int_equal(run_program(&r, words), cases[i].status);
        assert_string_equal(r.text, cases[i].output);
    }
    run_end(&r);
}

static void says_what_is_wrong_in_one_line(void **state)
{
    static const char *const cases[] = {
        "",
        "--json",
        "--nonsense a.example",
        "--resolver",
        "--resolver nowhere a.example",
        "--resolver 127.0.0.1:0 a.example",
        ("--resolver=1.1.1.1 --resolver=1.1.1.2 --resolver=1.1.1.3 --resolver=1.1.1.4 "
         "--resolver=1.1.1.5 --resolver=1.1.1.6 --resolver=::7 --resolver=::8 --resolver=::9 a.test"),
        "--json=yes a.example",
    };
    static run r;

    (void)state;
    run_begin(&r);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i]);
        assert_int_equal(run_program(&r, cases[i]), 64);
        assert_ptr_equal(strchr(r.text, '\n'), r.text + r.length - 1);
        assert_non_null(strstr(r.text, "mail-mx: "));
    }
    run_end(&r);
}

static void helps_and_names_its_version(void **state)
{
    static run r;

    (void)state;
    run_begin(&r);
    assert_int_equal(run_program(&r, "--help"), 0);
    assert_memory_equal(r.text, "usage: mail-mx ", 15);
    assert_int_equal(run_program(&r, "--version"), 0);
    assert_memory_equal(r.text, "mail-mx (libmail) ", 18);
    run_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_plan_of_each_domain),
        cmocka_unit_test(says_what_is_wrong_in_one_line),
        cmocka_unit_test(helps_and_names_its_version),
    };

    return mail_test_run(tests);
}
