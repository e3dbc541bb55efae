/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <mail/drop.h>
#include <mail/operator.h>
#include <mail/version.h>

#include "exit_code.h"
#include "mailq.h"

/* mail-queue: shows and changes what waits in a spool. */

typedef struct settings {
    const char *spool;
    bool json;
    mail_queue_selector which;
} settings;

static const char usage[] =
    "usage: mail-queue [--spool DIR] [--json] COMMAND [SELECTION]\n"
    "\n"
    "  list [SELECTION]    show messages (all)\n"
    "  mailq               show all as Postfix's mailq does\n"
    "  show ID...          show these messages\n"
    "  body ID             write the message as it will be sent\n"
    "  retry SELECTION     try again now\n"
    "  hold SELECTION      don't try until released\n"
    "  release SELECTION   undo hold\n"
    "  remove SELECTION    delete, without a report to anybody\n"
    "  check               read everything and compare checksums\n"
    "  stats               print the queue's numbers\n"
    "\n"
    "SELECTION: ID..., --domain DOMAIN (of recipients), --sender ADDRESS (<> for none), --all\n"
    "\n"
    "  --spool DIR         which queue ($LIBMAIL_SPOOL, " MAIL_SYSTEM_SPOOL ", the user's own)\n"
    "  --json              print one JSON object a line\n"
    "  --help, --version   print this or the version, and exit\n";

static int fail(const mail_error *err)
{
    fprintf(stderr, "mail-queue: %s\n", err->text);
    return err->code == MAIL_EINVAL ? EX_USAGE : exit_code_of_error(err->code);
}

static bool is_empty(const mail_queue_selector *which)
{
    return !which->all && which->id_count == 0 && which->domain.length == 0 &&
           which->sender.length == 0;
}

static int run_list(settings *set, const char *command)
{
    mail_queue_format format = set->json ? MAIL_QUEUE_JSON : MAIL_QUEUE_TABLE;
    bool is_show = strcmp(command, "show") == 0;
    mail_error err = {0};
    uint64_t count = 0;
    int code;

    if (is_show && set->which.id_count == 0) {
        fputs("mail-queue: show which message? See mail-queue --help\n", stderr);
        return EX_USAGE;
    }
    set->which.all = is_empty(&set->which) || set->which.all;
    code = mailq_list(set->spool, &set->which, format, &count, &err);
    if (code != MAIL_OK) {
        return fail(&err);
    }
    if (is_show && count < set->which.id_count) {
        fputs("mail-queue: not all of these messages are in the queue\n", stderr);
        return EX_NOINPUT;
    }
    return EX_OK;
}

static int run_mailq(settings *set, const char *command)
{
    mail_error err = {0};

    (void)command;
    return mailq_print(set->spool, &err) != MAIL_OK ? fail(&err) : EX_OK;
}

static int run_body(settings *set, const char *command)
{
    mail_error err = {0};
    mail_operator *op;
    file_sink out;
    int code;

    (void)command;
    if (set->which.id_count != 1) {
        fputs("mail-queue: the body of which message? See mail-queue --help\n", stderr);
        return EX_USAGE;
    }
    file_sink_init(&out, stdout);
    code = mail_operator_open(&op, set->spool, false, NULL, &err);
    if (code != MAIL_OK) {
        return fail(&err);
    }
    code = mail_operator_body(op, set->which.ids[0], &out.sink, &err);
    mail_operator_close(op);
    if (code == MAIL_OK && mail_sink_finish(&out.sink, NULL, NULL) != MAIL_OK) {
        code = mail_error_set(&err, MAIL_EIO, "cannot write to standard output");
    }
    return code != MAIL_OK ? fail(&err) : EX_OK;
}

static int run_change(settings *set, const char *command)
{
    static const struct {
        const char *name;
        const char *done;
    } actions[] = {
        [MAIL_OPERATOR_HOLD] = {"hold", "held"},
        [MAIL_OPERATOR_RELEASE] = {"release", "released"},
        [MAIL_OPERATOR_RETRY] = {"retry", "to be tried now"},
        [MAIL_OPERATOR_REMOVE] = {"remove", "removed"},
    };
    mail_error err = {0};
    mail_operator *op;
    size_t action = 0;
    int64_t changed;

    while (strcmp(command, actions[action].name) != 0) {
        action++;
    }
    if (is_empty(&set->which)) {
        fprintf(stderr, "mail-queue: %s which messages? See mail-queue --help\n", command);
        return EX_USAGE;
    }
    if (mail_operator_open(&op, set->spool, true, NULL, &err) != MAIL_OK) {
        return fail(&err);
    }
    changed = mail_operator_change(op, (mail_operator_action)action, &set->which, &err);
    mail_operator_close(op);
    if (changed < 0) {
        return fail(&err);
    }
    if (set->json) {
        printf("{\"action\":\"%s\",\"messages\":%" PRId64 "}\n", command, changed);
    } else {
        printf("%" PRId64 " message%s %s\n", changed, changed == 1 ? "" : "s",
               actions[action].done);
    }
    return EX_OK;
}

static int run_stats(settings *set, const char *command)
{
    mail_error err = {0};
    mail_queue_stats stats;
    mail_operator *op;
    int code = mail_operator_open(&op, set->spool, false, NULL, &err);

    (void)command;
    if (code == MAIL_OK) {
        code = mail_operator_stats(op, &stats, &err);
        mail_operator_close(op);
    }
    if (code != MAIL_OK) {
        return fail(&err);
    }
    for (size_t i = 0; mail_queue_stats_name(i) != NULL; i++) {
        uint64_t value = mail_queue_stats_value(&stats, i);

        if (set->json) {
            printf("%s\"%s\":%" PRIu64, i == 0 ? "{" : ",", mail_queue_stats_name(i), value);
        } else {
            printf("%-16s %" PRIu64 "\n", mail_queue_stats_name(i), value);
        }
    }
    fputs(set->json ? "}\n" : "", stdout);
    return EX_OK;
}

static void print_fault(const char *fault, void *arg)
{
    (void)arg;
    fprintf(stderr, "mail-queue: %s\n", fault);
}

static int run_check(settings *set, const char *command)
{
    mail_error err = {0};
    mail_queue_check found;

    (void)command;
    if (mail_operator_check(set->spool, NULL, print_fault, NULL, &found, &err) != MAIL_OK) {
        return fail(&err);
    }
    printf(set->json ? "{\"messages\":%" PRIu64 ",\"octets\":%" PRIu64 ",\"damaged\":%" PRIu64 "}\n"
                     : "%" PRIu64 " messages, %" PRIu64 " octets, %" PRIu64 " damaged\n",
           found.messages, found.octets, found.damaged);
    return found.damaged > 0 ? EX_DATAERR : EX_OK;
}

static const struct command {
    const char *name;
    int (*run)(settings *set, const char *command);
} commands[] = {
    {"list", run_list},    {"show", run_list},   {"mailq", run_mailq},    {"body", run_body},
    {"retry", run_change}, {"hold", run_change}, {"release", run_change}, {"remove", run_change},
    {"check", run_check},  {"stats", run_stats},
};

/* -1: go on; else the exit status. getopt_long words its own complaints, in one line. */
static int parse_options(settings *set, int argc, char **argv)
{
    static const struct option options[] = {
        {"spool", required_argument, NULL, 's'},  {"json", no_argument, NULL, 'j'},
        {"domain", required_argument, NULL, 'd'}, {"sender", required_argument, NULL, 'f'},
        {"all", no_argument, NULL, 'a'},          {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            return -1;
        case 's':
            set->spool = optarg;
            break;
        case 'j':
            set->json = true;
            break;
        case 'd':
            set->which.domain = mail_span_text(optarg);
            break;
        case 'f':
            set->which.sender = mail_span_text(optarg[0] != '\0' ? optarg : "<>");
            break;
        case 'a':
            set->which.all = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EX_OK;
        case 'v':
            puts("mail-queue (libmail) " MAIL_VERSION);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
}

/* Words behind the command are ids; there is no meaning to `--all` together with a choice. */
static int run(settings *set, char **words, size_t count)
{
    bool had_all = set->which.all;

    set->which.all = false;
    set->which.ids = (const char *const *)(words + 1);
    set->which.id_count = count - 1;
    if (had_all && !is_empty(&set->which)) {
        fputs("mail-queue: --all, or which? See mail-queue --help\n", stderr);
        return EX_USAGE;
    }
    set->which.all = had_all;
    for (size_t i = 0; i < MAIL_COUNT(commands); i++) {
        if (strcmp(words[0], commands[i].name) == 0) {
            int code = commands[i].run(set, words[0]);

            if (fflush(stdout) != 0 || ferror(stdout)) {
                perror("mail-queue: standard output");
                return EX_IOERR;
            }
            return code;
        }
    }
    fprintf(stderr, "mail-queue: no such command: %.60s. See mail-queue --help\n", words[0]);
    return EX_USAGE;
}

int main(int argc, char **argv)
{
    char spool[MAIL_SPOOL_PATH_SIZE];
    settings set = {.json = false};
    int code = parse_options(&set, argc, argv);
    mail_error err = {0};

    if (code >= 0) {
        return code;
    }
    if (optind == argc) {
        fputs("mail-queue: what? See mail-queue --help\n", stderr);
        return EX_USAGE;
    }
    if (mail_spool_find(spool, set.spool, &err) != MAIL_OK) {
        return fail(&err);
    }
    set.spool = spool;
    return run(&set, argv + optind, (size_t)(argc - optind));
}
