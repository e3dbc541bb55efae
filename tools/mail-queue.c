/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <mail/address.h>
#include <mail/drop.h>
#include <mail/operator.h>
#include <mail/version.h>

#include "exit_code.h"
#include "mailq.h"
#include "standard_files.h"

/* mail-queue: shows and changes what waits in a spool. */

typedef struct settings {
    const char *spool;
    bool json;
    mail_queue_selector which;
    mail_path sender;
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
    "  expire SELECTION    try once more, and return to the sender what fails\n"
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

static int tell_missing(const mail_queue_selector *which, const bool *found)
{
    mail_error err;
    int code = EX_OK;

    for (size_t i = 0; i < which->id_count; i++) {
        if (!found[i]) {
            mail_error_set(&err, MAIL_ENOENT, "%.60s: no such message", which->ids[i]);
            code = fail(&err);
        }
    }
    return code;
}

/* Tells of each id that there is no message of. */
static int find_missing(mail_operator *op, const mail_queue_selector *which)
{
    bool *found = calloc(which->id_count + 1, sizeof(*found));
    mail_error err;
    int code;

    if (found == NULL) {
        mail_error_set(&err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
        return fail(&err);
    }
    code = mail_operator_find(op, which->ids, which->id_count, found, &err);
    code = code == MAIL_OK ? tell_missing(which, found) : fail(&err);
    free(found);
    return code;
}

static int run_list(settings *set, const char *command)
{
    mail_queue_format format = set->json ? MAIL_QUEUE_JSON : MAIL_QUEUE_TABLE;
    mail_error err = {0};
    mail_operator *op;
    int missing;
    int code;

    (void)command;
    set->which.all = is_empty(&set->which) || set->which.all;
    if (mail_operator_open(&op, set->spool, false, NULL, &err) != MAIL_OK) {
        return fail(&err);
    }
    missing = find_missing(op, &set->which);
    code = mailq_list(op, &set->which, format, &err);
    mail_operator_close(op);
    return code != MAIL_OK ? fail(&err) : missing;
}

static int run_mailq(settings *set, const char *command)
{
    mail_error err = {0};

    (void)command;
    return mailq_print(set->spool, set->json ? MAIL_QUEUE_JSON : MAIL_QUEUE_MAILQ, &err) != MAIL_OK
               ? fail(&err)
               : EX_OK;
}

static int run_body(settings *set, const char *command)
{
    mail_error err = {0};
    mail_operator *op;
    file_sink out;
    int code;

    (void)command;
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
        [MAIL_OPERATOR_EXPIRE] = {"expire", "to be tried for the last time"},
        [MAIL_OPERATOR_REMOVE] = {"remove", "removed"},
    };
    mail_error err = {0};
    mail_operator *op;
    size_t action = 0;
    int64_t changed;
    int missing;

    while (strcmp(command, actions[action].name) != 0) {
        action++;
    }
    if (mail_operator_open(&op, set->spool, true, NULL, &err) != MAIL_OK) {
        return fail(&err);
    }
    missing = find_missing(op, &set->which);
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
    return missing;
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
    if (set->json) {
        printf("{\"messages\":%" PRIu64 ",\"octets\":%" PRIu64 ",\"damaged\":%" PRIu64 "}\n",
               found.messages, found.octets, found.damaged);
    } else {
        printf("%" PRIu64 " message%s, %" PRIu64 " octets, %" PRIu64 " damaged\n", found.messages,
               found.messages == 1 ? "" : "s", found.octets, found.damaged);
    }
    return found.damaged > 0 ? EX_DATAERR : EX_OK;
}

/* What stands behind a command. */
typedef enum argument {
    NOTHING,
    ONE_ID,
    IDS,
    ANY_SELECTION, /* all without one */
    A_SELECTION
} argument;

static const struct command {
    const char *name;
    int (*run)(settings *set, const char *command);
    argument argument;
} commands[] = {
    {"list", run_list, ANY_SELECTION},    {"show", run_list, IDS},
    {"mailq", run_mailq, NOTHING},        {"body", run_body, ONE_ID},
    {"retry", run_change, A_SELECTION},   {"hold", run_change, A_SELECTION},
    {"release", run_change, A_SELECTION}, {"expire", run_change, A_SELECTION},
    {"remove", run_change, A_SELECTION},  {"check", run_check, NOTHING},
    {"stats", run_stats, NOTHING},
};

static int complain(const char *what, const char *why)
{
    mail_error err;

    mail_error_set(&err, MAIL_EINVAL, "%.100s: %s", what, why);
    return fail(&err);
}

static int set_domain(settings *set, const char *text)
{
    char ascii[MAIL_DOMAIN_SIZE];
    mail_ip ip;

    set->which.domain = mail_span_text(text);
    return mail_domain_to_ascii(set->which.domain, ascii) == MAIL_OK ||
                   mail_ip_parse_literal(set->which.domain, &ip) == MAIL_OK
               ? -1
               : complain("--domain", "that is no domain");
}

/* With or without brackets; nothing at all, or nothing between them, is the null sender. */
static int set_sender(settings *set, const char *text)
{
    mail_span address = mail_span_text(text);

    if (address.length >= 2 && text[0] == '<' && text[address.length - 1] == '>') {
        address = mail_span_of(text + 1, address.length - 2);
    }
    if (address.length == 0) {
        set->which.sender = MAIL_SPAN("<>");
        return -1;
    }
    if (mail_path_from_text(address, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &set->sender) != MAIL_OK) {
        return complain("--sender", "that is no address");
    }
    set->which.sender = mail_path_text(&set->sender);
    return -1;
}

static int set_spool(settings *set, const char *text)
{
    set->spool = text;
    return *text != '\0' ? -1 : complain("--spool", "the name is empty");
}

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
        int code = -1;

        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            return -1;
        case 's':
            code = set_spool(set, optarg);
            break;
        case 'j':
            set->json = true;
            break;
        case 'd':
            code = set_domain(set, optarg);
            break;
        case 'f':
            code = set_sender(set, optarg);
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
        if (code >= 0) {
            return code;
        }
    }
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < MAIL_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* What is wrong with what stands behind a command; NULL: nothing. */
static const char *fault_of(const settings *set, argument takes)
{
    const mail_queue_selector *which = &set->which;
    bool has_choice = which->domain.length > 0 || which->sender.length > 0;
    bool has_any = has_choice || which->id_count > 0;

    if (which->all && has_any) {
        return "either --all or ids, --domain and --sender";
    }
    switch (takes) {
    case NOTHING:
        return has_any || which->all ? "it takes no selection" : NULL;
    case ONE_ID:
        return which->id_count != 1 || has_choice || which->all ? "it needs one id" : NULL;
    case IDS:
        return which->id_count == 0 || has_choice || which->all ? "it needs ids" : NULL;
    case ANY_SELECTION:
        return NULL;
    case A_SELECTION:
        return has_any || which->all ? NULL
                                     : "which messages? give ids, --domain, --sender or --all";
    }
    return NULL;
}

/* Words behind the command are ids. */
static int run(settings *set, char **words, size_t count)
{
    const struct command *command = find_command(words[0]);
    const char *fault;
    int code;

    if (command == NULL) {
        return complain(words[0], "no such command, see mail-queue --help");
    }
    set->which.ids = (const char *const *)(words + 1);
    set->which.id_count = count - 1;
    fault = fault_of(set, command->argument);
    if (fault != NULL) {
        return complain(command->name, fault);
    }
    code = command->run(set, command->name);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != EX_IOERR) { /* which has been told */
        perror("mail-queue: standard output");
        return EX_IOERR;
    }
    return code;
}

int main(int argc, char **argv)
{
    static char name[] = "mail-queue";
    char spool[MAIL_SPOOL_PATH_SIZE];
    settings set = {.json = false};
    mail_error err = {0};
    int code;

    standard_files_open();
    if (argc > 0) {
        argv[0] = name; /* what getopt_long complains as */
    }
    code = parse_options(&set, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (optind == argc) {
        return complain("no command", "see mail-queue --help");
    }
    if (mail_spool_find(set.spool, spool, &err) != MAIL_OK) {
        return fail(&err);
    }
    set.spool = spool;
    return run(&set, argv + optind, (size_t)(argc - optind));
}
