/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_OPTIONS_H
#define EXAMPLES_COMMON_OPTIONS_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/rate.h>

#include <stdbool.h>
#include <stdio.h>

/*
 * A server's options from one table. A row is `--name ARGUMENT` on the command line
 * (as getopt_long takes it), a key `name` in the file that `--config` gives, and a line of
 * --help. `--config FILE`, `--help` and `--version` are in every table unasked.
 */

/*
 * Sets the member of the configuration at `field` to `value`, which lives as long as the
 * configuration. MAIL_EINVAL, with the reason in `err`, or MAIL_ENOMEM.
 */
typedef int option_set_fn(void *field, const char *value, mail_error *err);

typedef struct option_row {
    const char *name;
    const char *argument; /* as --help shows it; NULL: a switch, set with "yes" or "no" */
    const char *help;
    option_set_fn *set;
    size_t field;    /* offset of the member in the configuration */
    bool repeatable; /* may stand in the file more than once */
} option_row;

typedef struct option_group {
    const option_row *rows;
    size_t count;
    size_t at; /* offset in the configuration of the struct whose members they set */
} option_group;

/* What --help shows under one heading, whichever groups it is of. */
typedef struct option_subject {
    const char *heading;
    const char *names; /* in the order in which they are shown, blanks between */
} option_subject;

typedef struct option_table {
    const char *program;
    const char *version;
    const char *summary;            /* the first line of --help */
    option_group groups[2];         /* the program's own, and those that others have too, if any */
    const option_subject *subjects; /* what none of them names is shown before the first */
    size_t subject_count;
} option_table;

/* What options_read returns when the program is to go on. */
#define OPTIONS_GO (-1)

/*
 * Fills `config` (already holding its defaults) from the file, then from the command line:
 * what stands there makes the file's lines of that name void. `*text` becomes the file's text
 * into which values may point: free() it with the configuration. `*path` is where the file lies, or NULL.
 *
 * Returns OPTIONS_GO or the exit code: 0 after --help and --version (on `out`), 64 for a bad
 * command line, 78 for a bad file, 71 without memory; one line on `err` then says why.
 */
int options_read(const option_table *table, int argc, char **argv, void *config, char **text,
                 const char **path, FILE *out, FILE *err);

/* What a repeatable option collects. */
typedef struct option_texts {
    const char **items;
    size_t count;
} option_texts;

void option_texts_deinit(option_texts *texts);

typedef struct option_endpoints {
    mail_endpoint *items;
    size_t count;
} option_endpoints;

void option_endpoints_deinit(option_endpoints *endpoints);

/* Setters for members of these types. */
option_set_fn option_set_switch;         /* bool */
option_set_fn option_set_text;           /* const char *: anything but nothing */
option_set_fn option_set_texts;          /* option_texts */
option_set_fn option_set_count;          /* uint32_t, from 1 on */
option_set_fn option_set_port;           /* uint16_t, from 1 on */
option_set_fn option_set_size;           /* uint64_t, octets: 52428800, 50M */
option_set_fn option_set_duration;       /* mail_duration: 90 (seconds), 90s, 5m, 4h, 5d */
option_set_fn option_set_rate;           /* mail_rate_options: 600/1m, none */
option_set_fn option_set_durations;      /* option_durations: 5m,10m,1h */
option_set_fn option_set_networks;       /* option_networks: 192.0.2.0/24, 2001:db8::1 */
option_set_fn option_set_endpoints;      /* option_endpoints: 127.0.0.1:25, [::1]:25 */
option_set_fn option_set_resolvers;      /* option_endpoints: 127.0.0.1, [::1]:5353 */
option_set_fn option_set_hostname;       /* const char *: a domain */
option_set_fn option_set_log_level;      /* mail_log_level */
option_set_fn option_set_log_format;     /* mail_log_format */
option_set_fn option_set_mailbox_format; /* maildir, the only one; keeps nothing */

typedef struct option_networks {
    mail_network *items;
    size_t count;
} option_networks;

void option_networks_deinit(option_networks *networks);

#define OPTION_DURATIONS_MAX 64

typedef struct option_durations {
    mail_duration items[OPTION_DURATIONS_MAX];
    size_t count;
} option_durations;

#endif
