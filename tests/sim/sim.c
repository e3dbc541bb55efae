/* SPDX-License-Identifier: MIT */
#include "sim/story.h"

#include <inttypes.h>

#include "support/certs.h"
#include "support/support.h"

#define USAGE                                                                                      \
    "usage: sim [--seed N | --fresh] [--seeds COUNT] [--hosts H] [--days D] [--messages M]\n"      \
    "           [--faults BITS] [--tls] [--twice] [--trace]\n"                                     \
    "  --fresh        begin with a seed that nobody has seen, or with MAIL_SIM_SEED\n"             \
    "  --faults BITS  1 net, 2 DNS, 4 peers, 8 disks, 16 crashes, 32 clocks, 64 memory,\n"         \
    "                 128 operators (255)\n"                                                       \
    "  --tls          hosts speak TLS to each other, and no story can be told again\n"             \
    "  --twice        play each seed again, which must tell the same story\n"                      \
    "  --trace        print the story\n"

typedef struct command {
    story_options story;
    uint64_t seeds;
    bool twice;
    bool tls;
} command;

static command given;

static void print_line(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

static uint64_t fresh_seed(void)
{
    const char *given_seed = getenv("MAIL_SIM_SEED");

    return given_seed != NULL ? strtoull(given_seed, NULL, 10) : random_below(NULL, UINT32_MAX);
}

static bool read_switch(const char *name)
{
    if (strcmp(name, "--trace") == 0) {
        given.story.trace = print_line;
    } else if (strcmp(name, "--twice") == 0) {
        given.twice = true;
    } else if (strcmp(name, "--tls") == 0) {
        given.tls = true;
    } else if (strcmp(name, "--fresh") == 0) {
        given.story.seed = fresh_seed();
    } else {
        return false;
    }
    return true;
}

static bool read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (read_switch(argv[i])) {
            continue;
        }
        if (value == NULL) {
            return false;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            given.story.seed = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0) {
            given.seeds = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--hosts") == 0) {
            given.story.hosts = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--days") == 0) {
            given.story.length = (mail_duration)(strtod(value, NULL) * (double)MAIL_DAY);
        } else if (strcmp(argv[i], "--messages") == 0) {
            given.story.messages = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--faults") == 0) {
            given.story.faults = (unsigned)strtoul(value, NULL, 10);
        } else {
            return false;
        }
        i++;
    }
    return given.story.hosts > 0 && given.story.hosts <= STORY_HOSTS && given.story.messages > 0 &&
           given.story.length > 0 && !(given.tls && given.twice);
}

static void print_result(const story_result *r)
{
    printf("seed %" PRIu64
           ": delivered %u reported %u dropped %u vanished %u twice %u; crashes %u starved %u; "
           "read %u removed %u; operators changed %u; by TLS %u; %.1f h, %" PRIu64
           " steps, trace %016" PRIx64 "\n",
           given.story.seed, r->delivered, r->reported, r->dropped, r->vanished, r->duplicates,
           r->crashes, r->starved, r->fetched, r->removed, r->changed, r->encrypted,
           (double)r->took / (double)MAIL_HOUR, r->steps, r->trace_sum);
}

static void begin_tls(void)
{
    const mail_test_cert_options nobody = {.dns_name = "nobody.example"};
    mail_test_cert cert;

    if (given.tls) {
        mail_test_cert_make(&cert, &nobody);
        given.story.tls = mail_test_tls_context(&cert, NULL);
        mail_test_cert_free(&cert);
    }
}

static void every_promise_is_kept(void **state)
{
    (void)state;
    begin_tls();
    for (uint64_t i = 0; i < given.seeds; i++, given.story.seed++) {
        char name[200];
        story_result result;
        story_result again;

        snprintf(name, sizeof(name),
                 "replay: tests/sim/run --seed %" PRIu64
                 " --hosts %u --days %g --messages %u --faults %u%s",
                 given.story.seed, given.story.hosts, (double)given.story.length / (double)MAIL_DAY,
                 given.story.messages, given.story.faults, given.tls ? " --tls" : "");
        mail_test_case(name);
        (void)fflush(stdout); /* whatever comes, it is known of which world */
        story_play(&given.story, &result);
        print_result(&result);
        assert_true(!given.tls || result.encrypted > 0 || given.story.hosts == 1);
        if (given.twice) {
            story_play(&given.story, &again);
            assert_true(again.trace_sum == result.trace_sum && again.steps == result.steps);
        }
    }
    mail_tls_context_unref(given.story.tls);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_is_kept),
    };

    given.seeds = 1;
    given.story = (story_options){
        .seed = 1, .hosts = 3, .messages = 200, .length = MAIL_DAY, .faults = STORY_ALL};
    if (!read_options(argc, argv)) {
        fputs(USAGE, stderr);
        return 64;
    }
    return mail_test_run(tests);
}
