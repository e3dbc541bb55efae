/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sysexits.h>

#include <mail/mail.h>

#include "common/config_file.h"
#include "world/play.h"
#include "world/story.h"

#define HELP                                                                                       \
    "usage: world [--seed N] STORY\n"                                                              \
    "Plays the mail of several hosts in a simulated world, as the file STORY says, and tells\n"    \
    "what happens to each message. examples/world/README.md describes how to write one.\n"         \
    "\n"                                                                                           \
    "  --seed N     another chance than the story's\n"                                             \
    "  --help       this text\n"                                                                   \
    "  --version    the version of libmail\n"

typedef struct command {
    const char *path;
    uint64_t seed;
    bool has_seed;
} command;

static int usage(const char *why)
{
    fprintf(stderr, "world: %s; --help says how\n", why);
    return EX_USAGE;
}

static bool read_seed(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* -1: go on; or the exit code. */
static int read_command(int argc, char **argv, command *cmd)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            cmd->has_seed = true;
            if (!read_seed(optarg, &cmd->seed)) {
                return usage("--seed wants a number");
            }
            break;
        case 'h':
            fputs(HELP, stdout);
            return EX_OK;
        case 'v':
            puts("world " MAIL_VERSION);
            return EX_OK;
        default:
            return usage("an option that is unknown or lacks its value");
        }
    }
    if (optind + 1 != argc) {
        return usage("one story is wanted");
    }
    cmd->path = argv[optind];
    return -1;
}

static int fail(int exit_code, const char *path, const mail_error *err)
{
    fprintf(stderr, path != NULL ? "world: %s: %s\n" : "world: %s%s\n", path != NULL ? path : "",
            err->text);
    return exit_code;
}

static int play(const command *cmd, const char *text)
{
    story *st = malloc(sizeof(*st));
    mail_error err = {.text = "out of memory"};
    int code = MAIL_ENOMEM;

    if (st != NULL) {
        code = story_read(st, mail_span_text(text), cmd->path, &err);
    }
    if (code == MAIL_OK) {
        st->seed = cmd->has_seed ? cmd->seed : st->seed;
        code = play_story(st, cmd->path, stdout, &err);
    }
    free(st);
    if (code != MAIL_OK) {
        return fail(code == MAIL_ENOMEM ? EX_OSERR : EX_DATAERR, NULL, &err);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? EX_OK : EX_IOERR;
}

int main(int argc, char **argv)
{
    command cmd = {0};
    mail_error err;
    char *text;
    int code = read_command(argc, argv, &cmd);

    if (code >= 0) {
        return code;
    }
    if (config_file_load(cmd.path, &text, &err) != MAIL_OK) {
        return fail(EX_NOINPUT, cmd.path, &err);
    }
    code = play(&cmd, text);
    free(text);
    return code;
}
