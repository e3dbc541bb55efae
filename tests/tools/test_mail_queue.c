/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mail/drop.h>
#include <mail/queue.h>

/* A spool without an owner, and what the program said of it, on either stream. */
typedef struct kit {
    char *spool;
    char ids[3][MAIL_QUEUE_ID_SIZE];
    char text[16384];
} kit;

static void on_finished(int code, void *arg)
{
    *(int *)arg = code;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void put(mail_intake *intake, char *id, const char *from, const char *to)
{
    mail_recipient recipient = {.address = mail_span_text(to)};
    mail_envelope envelope;
    int code = MAIL_EAGAIN;
    int finished;
    mail_sink *sink;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, mail_span_text(from), MAIL_SPAN("")), 0);
    assert_int_equal(mail_envelope_add(&envelope, &recipient), MAIL_OK);
    assert_int_equal(mail_intake_begin(intake, &envelope, 0, id, &sink), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\nbody\r\n")), MAIL_OK);
    finished = mail_sink_finish(sink, on_finished, &code);
    code = finished == MAIL_EAGAIN ? code : finished;
    while (code == MAIL_EAGAIN) {
        mail_intake_poll(intake);
    }
    assert_int_equal(code, MAIL_OK);
}

/* The second message has been tried in vain. */
static void try_one(mail_queue *queue)
{
    const mail_reply reply = MAIL_REPLY(450, 4, 2, 1, "come again \033[1m");
    mail_lane *lane = mail_queue_take_lane(queue);
    mail_lease *lease;

    while (!mail_span_equal(mail_lane_domain(lane), MAIL_SPAN("example.net"))) {
        mail_lane_give_back(lane, MAIL_NEVER);
        lane = mail_queue_take_lane(queue);
        assert_non_null(lane);
    }
    assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
    mail_lease_report(lease, 0, MAIL_QUEUE_RETRY, &reply, false);
    mail_lease_end(lease);
    mail_lane_give_back(lane, 0);
}

static void kit_open(kit *k)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    mail_intake *intake;
    mail_queue *queue;

    memset(k, 0, sizeof(*k));
    k->spool = mail_test_make_dir();
    rmdir(k->spool);
    opts.segment_bytes = 1 << 20;
    assert_int_equal(mail_queue_open(&queue, k->spool, &opts, NULL), MAIL_OK);
    assert_int_equal(mail_intake_open(&intake, queue, ignore, NULL), MAIL_OK);
    put(intake, k->ids[0], "a@client.example", "anna@example.org");
    put(intake, k->ids[1], "", "bob@example.net");
    put(intake, k->ids[2], "b@client.example", "eve@example.org");
    try_one(queue);
    mail_intake_close(intake);
    mail_queue_close(queue);
}

static void kit_close(kit *k)
{
    mail_test_remove_dir(k->spool);
}

/* build/tests/test_tools_mail_queue -> build/tools/mail-queue */
static void find_program(char *path, size_t size)
{
    char own[4096];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

    assert_true(length > 0);
    own[length] = '\0';
    snprintf(path, size, "%s/../tools/mail-queue", dirname(own));
}

static void start(int output, char **argv)
{
    char program[4200];

    find_program(program, sizeof(program));
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    setenv("TZ", "UTC", 1);
    execv(program, argv);
    _exit(127);
}

/* Runs the program with `words`, divided by blanks; its exit status. */
static int run(kit *k, const char *words)
{
    char copy[512];
    char *argv[16] = {"mail-queue", "--spool", k->spool};
    size_t argc = 3;
    size_t length = 0;
    ssize_t n;
    int status;
    int ends[2];
    pid_t child;

    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        start(ends[1], argv);
    }
    close(ends[1]);
    while ((n = read(ends[0], k->text + length, sizeof(k->text) - 1 - length)) > 0) {
        length += (size_t)n;
    }
    k->text[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void has(const kit *k, const char *want)
{
    if (strstr(k->text, want) == NULL) {
        fail_msg("wanted %s in\n%s", want, k->text);
    }
}

static void has_id(const kit *k, const char *before, size_t index, const char *after)
{
    char want[256];

    snprintf(want, sizeof(want), "%s%s%s", before, k->ids[index], after);
    has(k, want);
}

static void lists_in_every_form(void **state)
{
    kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(run(&k, "list"), 0);
    has_id(&k, "", 0, "  20");
    has(&k, "  20 octets  incoming\n    from a@client.example\n    to anna@example.org  tried 0");
    has(&k, "    from MAILER-DAEMON\n    to bob@example.net  tried 1, next in ");
    has(&k, "       450 4.2.1 come again ?[1m\n");
    has(&k, "3 messages, 60 octets\n");
    assert_int_equal(run(&k, "--json list --domain example.net"), 0);
    has_id(&k, "{\"queue_name\":\"deferred\",\"queue_id\":\"", 1, "\",\"arrival_time\":1");
    has(&k, ",\"message_size\":20,\"sender\":\"\",\"recipients\":[{\"address\":\"bob@example.net\","
            "\"delay_reason\":\"450 4.2.1 come again ");
    has(&k, ",\"attempts\":1,\"held\":false}]}\n");
    assert_int_equal(run(&k, "mailq"), 0);
    has(&k, "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n");
    has_id(&k, "", 0, "           20 ");
    has(&k, " a@client.example\n                                               anna@example.org\n"
            "\n");
    has(&k, "(450 4.2.1 come again ?[1m)\n");
    has(&k, "\n-- 0 Kbytes in 3 Requests.\n");
    kit_close(&k);
}

static void shows_and_changes_what_is_selected(void **state)
{
    char words[128];
    kit k;

    (void)state;
    kit_open(&k);
    snprintf(words, sizeof(words), "show %s", k.ids[2]);
    assert_int_equal(run(&k, words), 0);
    has(&k, "from b@client.example");
    assert_null(strstr(k.text, "a@client.example"));
    snprintf(words, sizeof(words), "body %s", k.ids[2]);
    assert_int_equal(run(&k, words), 0);
    assert_string_equal(k.text, "Subject: x\r\n\r\nbody\r\n");
    assert_int_equal(run(&k, "hold --domain example.org"), 0);
    assert_string_equal(k.text, "2 messages held\n");
    assert_int_equal(run(&k, "mailq"), 0);
    has_id(&k, "", 0, "! ");
    assert_int_equal(run(&k, "release --sender a@client.example"), 0);
    assert_string_equal(k.text, "1 message released\n");
    assert_int_equal(run(&k, "--json retry --sender <>"), 0);
    assert_string_equal(k.text, "{\"action\":\"retry\",\"messages\":1}\n");
    assert_int_equal(run(&k, "expire --sender <>"), 0);
    assert_string_equal(k.text, "1 message to be tried for the last time\n");
    assert_int_equal(run(&k, "list"), 0);
    has(&k, "bob@example.net  tried 1, due now");
    assert_int_equal(run(&k, "check"), 0);
    assert_string_equal(k.text, "3 messages, 60 octets, 0 damaged\n");
    assert_int_equal(run(&k, "--json stats"), 0);
    has(&k, "{\"messages\":3,\"recipients\":3,\"held\":1,");
    assert_int_equal(run(&k, "remove --all"), 0);
    assert_string_equal(k.text, "3 messages removed\n");
    assert_int_equal(run(&k, "mailq"), 0);
    assert_string_equal(k.text, "Mail queue is empty\n");
    kit_close(&k);
}

static void refuses_what_makes_no_sense(void **state)
{
    static const struct {
        const char *name;
        const char *words;
        int exit_code;
        const char *text;
    } cases[] = {
        {"no command", "", 64, "mail-queue: no command: see mail-queue --help\n"},
        {"unknown command", "frobnicate", 64, "mail-queue: frobnicate: no such command"},
        {"unknown option", "--frobnicate list", 64, "mail-queue: unrecognized option"},
        {"nothing selected", "remove", 64, "mail-queue: remove: which messages? give ids, "},
        {"both", "remove --all --domain x", 64, "mail-queue: remove: either --all or ids, "},
        {"both, with an id", "hold --all 06HZ2V0000000", 64, "mail-queue: hold: either --all or"},
        {"no id", "body", 64, "mail-queue: body: it needs one id"},
        {"two ids", "body 06HZ2V0000000 06HZ2V0000001", 64, "mail-queue: body: it needs one id"},
        {"body of a domain", "body --domain x", 64, "mail-queue: body: it needs one id"},
        {"nothing to show", "show", 64, "mail-queue: show: it needs ids"},
        {"to show all", "show --all", 64, "mail-queue: show: it needs ids"},
        {"check what", "check 06HZ2V0000000", 64, "mail-queue: check: it takes no selection"},
        {"stats of what", "stats --all", 64, "mail-queue: stats: it takes no selection"},
        {"mailq of what", "mailq --domain x", 64, "mail-queue: mailq: it takes no selection"},
        {"no domain", "list --domain", 64, "mail-queue: option '--domain' requires an argument"},
        {"an empty domain", "list --domain=", 64, "mail-queue: --domain: that is no domain"},
        {"a bad domain", "list --domain a@b.example", 64,
         "mail-queue: --domain: that is no domain"},
        {"a bad sender", "list --sender a@", 64, "mail-queue: --sender: that is no address"},
        {"an empty spool", "list --spool=", 64, "mail-queue: --spool: the name is empty"},
        {"unknown id", "body 06HZ2V0000000", 66, "mail-queue: 06HZ2V0000000: no such message\n"},
        {"unknown id to show", "show 06HZ2V0000000", 66, "mail-queue: 06HZ2V0000000: no such"},
        {"no id at all", "list NOPE", 66, "mail-queue: NOPE: no such message\n"},
        {"not even a word", "list ../spool", 66, "mail-queue: ../spool: no such message\n"},
        {"no id for a terminal", "list a\033[2J", 66, "mail-queue: a?[2J: no such message\n"},
        {"unknown id to hold", "hold NOPE", 66,
         "mail-queue: NOPE: no such message\n0 messages held"},
        {"unknown id to remove", "remove NOPE", 66,
         "mail-queue: NOPE: no such message\n0 messages"},
        {"help", "--help", 0, "usage: mail-queue"},
        {"version", "--version", 0, "mail-queue (libmail)"},
    };
    kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        assert_int_equal(run(&k, cases[i].words), cases[i].exit_code);
        has(&k, cases[i].text);
    }
    kit_close(&k);
}

static void write_at(const kit *k, const char *name, long at, const char *bytes, size_t length)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", k->spool, name);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), length);
    close(fd);
}

static void says_what_is_wrong_with_a_spool(void **state)
{
    static const struct {
        const char *name;
        long at; /* in the file `spool` */
        const char *bytes;
        size_t length;
        int exit_code;
        const char *text;
    } cases[] = {
        {"foreign", 0, "something", 8, 77, "none of libmail's"},
        {"newer", 8, "\x7f", 1, 78, "newer version"},
        {"damaged", 20, "\x55\xaa\x55", 3, 65, "damaged"},
    };
    static const char *const commands[] = {"list", "check", "hold --all", "stats", "mailq"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        kit k;

        mail_test_case(cases[i].name);
        kit_open(&k);
        write_at(&k, "spool", cases[i].at, cases[i].bytes, cases[i].length);
        for (size_t j = 0; j < MAIL_COUNT(commands); j++) {
            assert_int_equal(run(&k, commands[j]), cases[i].exit_code);
            has(&k, cases[i].text);
            assert_ptr_equal(strchr(k.text, '\n'), k.text + strlen(k.text) - 1); /* one line */
        }
        kit_close(&k);
    }
}

static void makes_no_spool_where_there_is_none(void **state)
{
    struct stat st;
    kit k = {.spool = mail_test_make_dir()};

    (void)state;
    assert_int_equal(run(&k, "hold --all"), 66);
    has(&k, "there is no spool\n");
    assert_int_equal(run(&k, "mailq"), 0);
    assert_string_equal(k.text, "Mail queue is empty\n");
    assert_int_equal(rmdir(k.spool), 0); /* it is still empty */
    assert_int_equal(run(&k, "remove --all"), 66);
    assert_int_equal(stat(k.spool, &st), -1);
    free(k.spool);
}

/* A message of two recipients that no owner of the spool has taken; its name goes to `name`. */
static void drop_one(const kit *k, char name[MAIL_DROP_NAME_SIZE])
{
    mail_source_span body;
    mail_envelope envelope;

    mail_source_span_init(&body, MAIL_SPAN("Subject: x\r\n\r\nbody\r\n"));
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(
        mail_envelope_set_sender(&envelope, MAIL_SPAN("c@client.example"), MAIL_SPAN("")), MAIL_OK);
    for (int i = 0; i < 2; i++) {
        mail_recipient to = {.address = i == 0 ? MAIL_SPAN("carl@example.org") : MAIL_SPAN("dora")};

        assert_int_equal(mail_envelope_add(&envelope, &to), MAIL_OK);
    }
    assert_int_equal(mail_drop_write(k->spool, &envelope, &body.source, NULL, name, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);
}

/* The id of a file. */
static void cut_name(char *name)
{
    name[strlen(name) - strlen(".mail")] = '\0';
}

static void lists_what_was_only_dropped(void **state)
{
    char name[MAIL_DROP_NAME_SIZE];
    char want[256];
    kit k = {.spool = mail_test_make_dir()};

    (void)state;
    drop_one(&k, name);
    cut_name(name);
    assert_int_equal(run(&k, "list"), 0);
    snprintf(want, sizeof(want), "%s  ", name);
    has(&k, want);
    has(&k, "  20 octets  maildrop\n    from c@client.example\n    to carl@example.org  tried 0");
    has(&k, "    to dora  tried 0, due now\n1 message, 20 octets\n");
    assert_int_equal(run(&k, "mailq"), 0);
    snprintf(want, sizeof(want), "\n%s       20 ", name);
    has(&k, want);
    has(&k, "\n-- 0 Kbytes in 1 Request.\n");
    assert_int_equal(run(&k, "--json list"), 0);
    snprintf(want, sizeof(want), "{\"queue_name\":\"maildrop\",\"queue_id\":\"%s\",\"arr", name);
    has(&k, want);
    assert_int_equal(run(&k, "list --domain example.org"), 0);
    has(&k, name);
    assert_int_equal(run(&k, "list --domain example.net"), 0);
    assert_string_equal(k.text, "");
    kit_close(&k);
}

static void lists_the_queue_before_what_was_dropped(void **state)
{
    char name[MAIL_DROP_NAME_SIZE];
    kit k;

    (void)state;
    kit_open(&k);
    drop_one(&k, name);
    cut_name(name);
    assert_int_equal(run(&k, "list"), 0);
    has(&k, "4 messages, 80 octets\n");
    assert_true(strstr(k.text, name) > strstr(k.text, k.ids[2]));
    assert_int_equal(run(&k, "list --sender c@client.example"), 0);
    has(&k, "1 message, 20 octets\n");
    kit_close(&k);
}

/* Runs `command` with the id. */
static int run_for(kit *k, const char *command, const char *id)
{
    char words[200];

    snprintf(words, sizeof(words), "%s %s", command, id);
    return run(k, words);
}

static bool is_in_drop(const kit *k, const char *id, const char *suffix)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/drop/%s%s", k->spool, id, suffix);
    return access(path, F_OK) == 0;
}

/* Users give their files names, and an operator's terminal and scripts are not theirs. */
static void is_not_deceived_by_the_names_of_files(void **state)
{
    static const struct {
        const char *stem;
        const char *shown;
    } cases[] = {
        {"\033[31mred", "?[31mred"}, {"two\nlines", "two?lines"}, {"a\",\"b", "a?,?b"},
        {"\\u0041", "?u0041"},       {"\xff\xfe", "??"},          {"a b", "a?b"},
    };
    kit k = {.spool = mail_test_make_dir()};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char name[MAIL_DROP_NAME_SIZE];
        char from[4096];
        char to[4096];

        mail_test_case(cases[i].shown);
        drop_one(&k, name);
        snprintf(from, sizeof(from), "%s/drop/%s", k.spool, name);
        snprintf(to, sizeof(to), "%s/drop/%s.mail", k.spool, cases[i].stem);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(run(&k, "list"), 0);
        assert_memory_equal(k.text, cases[i].shown, strlen(cases[i].shown));
        assert_null(strstr(k.text, cases[i].stem));
        assert_int_equal(run(&k, "--json list"), 0);
        assert_null(strstr(k.text, cases[i].stem));
        assert_int_equal(run(&k, "hold --all"), 0);
        assert_true(is_in_drop(&k, cases[i].stem, ".held"));
        snprintf(to, sizeof(to), "%s/drop/%s.held", k.spool, cases[i].stem);
        assert_int_equal(truncate(to, 5), 0);
        assert_int_equal(run(&k, "check"), 65);
        has(&k, cases[i].shown);
        assert_null(strstr(k.text, cases[i].stem));
        assert_int_equal(run(&k, "remove --all"), 0);
        assert_false(is_in_drop(&k, cases[i].stem, ".held"));
    }
    kit_close(&k);
}

/* What has a queued message's id for its name is another message all the same. */
static void tells_files_from_queued_messages_of_the_same_name(void **state)
{
    char name[MAIL_DROP_NAME_SIZE];
    char path[4096];
    char want[4096];
    const char *id;
    kit k;

    (void)state;
    kit_open(&k);
    id = k.ids[0];
    drop_one(&k, name);
    snprintf(path, sizeof(path), "%s/drop/%s", k.spool, name);
    snprintf(want, sizeof(want), "%s/drop/%s.held", k.spool, id);
    assert_int_equal(rename(path, want), 0);
    assert_int_equal(run(&k, "list"), 0);
    snprintf(want, sizeof(want), "\n%s.held  ", id);
    has(&k, want);
    assert_int_equal(run_for(&k, "remove", id), 0);
    has(&k, "1 message removed");
    assert_true(is_in_drop(&k, id, ".held"));
    snprintf(name, sizeof(name), "%s.held", id);
    assert_int_equal(run_for(&k, "release", name), 0);
    assert_true(is_in_drop(&k, id, ".mail"));
    snprintf(name, sizeof(name), "%s.mail", id);
    assert_int_equal(run_for(&k, "remove", name), 0);
    assert_false(is_in_drop(&k, id, ".mail"));
    kit_close(&k);
}

static void changes_what_was_only_dropped(void **state)
{
    for (int has_queue = 0; has_queue < 2; has_queue++) {
        char names[3][MAIL_DROP_NAME_SIZE];
        const char *id = names[0];
        kit k = {.spool = NULL};

        (void)state;
        mail_test_case(has_queue ? "beside a queue" : "alone");
        if (has_queue) {
            kit_open(&k);
        } else {
            k.spool = mail_test_make_dir();
        }
        for (size_t i = 0; i < MAIL_COUNT(names); i++) {
            drop_one(&k, names[i]);
            cut_name(names[i]);
        }
        assert_int_equal(run_for(&k, "body", id), 0);
        assert_string_equal(k.text, "Subject: x\r\n\r\nbody\r\n");
        assert_int_equal(run_for(&k, "hold", id), 0);
        assert_string_equal(k.text, "1 message held\n");
        assert_true(is_in_drop(&k, id, ".held") && !is_in_drop(&k, id, ".mail"));
        assert_int_equal(run_for(&k, "show", id), 0);
        has(&k, "  20 octets  hold\n");
        has(&k, "to dora  tried 0, held\n");
        assert_int_equal(run_for(&k, "hold", id), 0);
        assert_string_equal(k.text, "0 messages held\n");
        assert_int_equal(run(&k, "--json stats"), 0);
        has(&k, ",\"dropped\":3}\n");
        assert_int_equal(run(&k, "check"), 0);
        has(&k, has_queue ? "6 messages, 120 octets, 0 damaged\n"
                          : "3 messages, 60 octets, 0 damaged\n");
        assert_int_equal(run(&k, "retry --sender c@client.example"), 0);
        assert_string_equal(k.text, "2 messages to be tried now\n");
        /* The other recipient is in another domain, and a file is changed as a whole. */
        assert_int_equal(run(&k, "remove --domain example.org"), 0);
        assert_string_equal(k.text, has_queue ? "2 messages removed\n" : "0 messages removed\n");
        assert_int_equal(run(&k, "release --sender c@client.example"), 0);
        assert_string_equal(k.text, "1 message released\n");
        assert_true(is_in_drop(&k, id, ".mail") && !is_in_drop(&k, id, ".held"));
        strcat(names[0], ".mail"); /* as sendmail says it */
        assert_int_equal(run_for(&k, "remove", names[0]), 0);
        assert_string_equal(k.text, "1 message removed\n");
        assert_int_equal(run_for(&k, "show", names[0]), 66);
        assert_int_equal(run(&k, "remove --all"), 0);
        assert_string_equal(k.text, has_queue ? "3 messages removed\n" : "2 messages removed\n");
        assert_int_equal(run(&k, "mailq"), 0);
        assert_string_equal(k.text, "Mail queue is empty\n");
        kit_close(&k);
    }
}

static void tells_of_what_is_damaged_or_set_aside(void **state)
{
    char aside[MAIL_DROP_NAME_SIZE];
    char damaged[MAIL_DROP_NAME_SIZE];
    char path[100];
    char want[300];
    kit k = {.spool = mail_test_make_dir()};

    (void)state;
    drop_one(&k, aside);
    drop_one(&k, damaged);
    assert_int_equal(mail_drop_set_aside(k.spool, aside), MAIL_OK);
    snprintf(path, sizeof(path), "drop/%s", damaged);
    write_at(&k, path, 0, "x", 1);
    assert_int_equal(run(&k, "list"), 0);
    assert_string_equal(k.text, "Mail queue is empty\n"); /* nothing of it can be sent */
    assert_int_equal(run(&k, "check"), 65);
    snprintf(want, sizeof(want), "mail-queue: drop/%s.bad: set aside by the spool's owner", aside);
    has(&k, want);
    snprintf(want, sizeof(want), "mail-queue: drop/%s: ", damaged);
    has(&k, want);
    has(&k, "\n1 message, 0 octets, 2 damaged\n");
    cut_name(aside);
    assert_int_equal(run_for(&k, "remove", aside), 0);
    assert_string_equal(k.text, "1 message removed\n");
    assert_int_equal(run(&k, "remove --all"), 0);
    assert_string_equal(k.text, "1 message removed\n");
    assert_int_equal(run(&k, "check"), 0);
    kit_close(&k);
}

/* Wherever they are, and in one look. */
static void finds_all_ids_of_a_command(void **state)
{
    char names[3][MAIL_DROP_NAME_SIZE];
    char words[400];
    kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        drop_one(&k, names[i]);
    }
    assert_int_equal(mail_drop_set_aside(k.spool, names[2]), MAIL_OK);
    cut_name(names[2]);
    assert_int_equal(run_for(&k, "hold", names[1]), 0);
    snprintf(words, sizeof(words), "show %s %s %s %s", k.ids[1], names[0], names[1], names[2]);
    assert_int_equal(run(&k, words), 0);
    has(&k, "3 messages, ");
    snprintf(words, sizeof(words), "--json hold 06HZ2V0000000 %s %s NOPE %s", names[0], k.ids[0],
             names[2]);
    assert_int_equal(run(&k, words), 66);
    has(&k, "mail-queue: 06HZ2V0000000: no such message\n"
            "mail-queue: NOPE: no such message\n"
            "{\"action\":\"hold\",\"messages\":2}\n");
    kit_close(&k);
}

/* The file that the messages lie in. */
static int open_segment(const kit *k)
{
    char path[4096];
    struct dirent *entry;
    int fd = -1;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/log", k->spool);
    dir = opendir(path);
    assert_non_null(dir);
    while (fd < 0 && (entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, "seg") != NULL) {
            fd = openat(dirfd(dir), entry->d_name, O_RDWR);
        }
    }
    closedir(dir);
    assert_true(fd >= 0);
    return fd;
}

static void finds_damage_and_leaves_it_alone(void **state)
{
    char data[8192];
    const char *body;
    ssize_t n;
    kit k;
    int fd;

    (void)state;
    kit_open(&k);
    fd = open_segment(&k);
    n = pread(fd, data, sizeof(data), 0);
    assert_true(n > 0);
    body = memmem(data, (size_t)n, "body\r\n", 6);
    assert_non_null(body);
    assert_int_equal(pwrite(fd, "B", 1, body - data), 1);
    assert_int_equal(run(&k, "check"), 65);
    has(&k, " damaged\n");
    assert_int_equal(pwrite(fd, "b", 1, body - data), 1);
    close(fd);
    assert_int_equal(run(&k, "check"), 0);
    assert_string_equal(k.text, "3 messages, 60 octets, 0 damaged\n");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_in_every_form),
        cmocka_unit_test(shows_and_changes_what_is_selected),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(says_what_is_wrong_with_a_spool),
        cmocka_unit_test(makes_no_spool_where_there_is_none),
        cmocka_unit_test(lists_what_was_only_dropped),
        cmocka_unit_test(lists_the_queue_before_what_was_dropped),
        cmocka_unit_test(is_not_deceived_by_the_names_of_files),
        cmocka_unit_test(tells_files_from_queued_messages_of_the_same_name),
        cmocka_unit_test(changes_what_was_only_dropped),
        cmocka_unit_test(tells_of_what_is_damaged_or_set_aside),
        cmocka_unit_test(finds_all_ids_of_a_command),
        cmocka_unit_test(finds_damage_and_leaves_it_alone),
    };

    return mail_test_run(tests);
}
