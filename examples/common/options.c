/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config_file.h"
#include "options_help.h"

/* One reading of command line and file. */
typedef struct reading {
    const option_table *table;
    option_row *rows; /* of all groups, their fields counted from `config` on */
    size_t count;
    void *config;
    bool *given; /* a row each: it stood on the command line */
    const char *file;
    FILE *err;
} reading;

/* What getopt_long returns: rows from FIRST_ROW on. Letters would be short options. */
enum {
    CONFIG = 256,
    HELP,
    VERSION,
    FIRST_ROW
};

static int complain(const reading *rd, int exit_code, const char *format, ...) MAIL_PRINTF(3, 4);

static int complain(const reading *rd, int exit_code, const char *format, ...)
{
    va_list args;

    fprintf(rd->err, "%s: ", rd->table->program);
    va_start(args, format);
    vfprintf(rd->err, format, args);
    va_end(args);
    fputc('\n', rd->err);
    return exit_code;
}

static int set_field(const reading *rd, const option_row *row, const char *value, mail_error *err)
{
    return row->set((char *)rd->config + row->field, value, err);
}

static int exit_code_of(int code, int otherwise)
{
    return code == MAIL_ENOMEM ? EX_OSERR : otherwise;
}

static size_t find_row(const reading *rd, const char *name)
{
    size_t i = 0;

    while (i < rd->count && strcmp(rd->rows[i].name, name) != 0) {
        i++;
    }
    return i;
}

static int complain_line(const reading *rd, const config_line *line, const char *reason)
{
    return complain(rd, EX_CONFIG, "%s:%u: %s: %s", rd->file, line->number, line->key, reason);
}

static int take_line(const reading *rd, const config_line *line, bool *seen)
{
    size_t i = find_row(rd, line->key);
    const option_row *row = &rd->rows[i];
    const char *value = line->value;
    mail_error err;

    if (i == rd->count) {
        return complain_line(rd, line,
                             value != NULL ? "no such key" : "neither a key nor `name = value`");
    }
    if (value == NULL && row->argument != NULL) {
        return complain_line(rd, line, "no value");
    }
    if (seen[i] && !row->repeatable) {
        return complain_line(rd, line, "stands there twice");
    }
    seen[i] = true;
    if (!rd->given[i] && set_field(rd, row, value != NULL ? value : "yes", &err) != MAIL_OK) {
        return complain_line(rd, line, err.text);
    }
    return OPTIONS_GO;
}

static int read_file(const reading *rd, char **text)
{
    bool *seen = calloc(rd->count, sizeof(*seen));
    config_cursor cursor;
    config_line line;
    mail_error err;
    int code = OPTIONS_GO;

    if (seen == NULL) {
        return complain(rd, EX_OSERR, "%s", mail_strerror(MAIL_ENOMEM));
    }
    if (config_file_load(rd->file, text, &err) != MAIL_OK) {
        code = complain(rd, EX_CONFIG, "%s: %s", rd->file, err.text);
    } else {
        cursor = (config_cursor){.rest = *text};
        while (code == OPTIONS_GO && config_file_next(&cursor, &line)) {
            code = take_line(rd, &line, seen);
        }
    }
    free(seen);
    return code;
}

static struct option *make_getopt_table(const reading *rd)
{
    struct option *all = calloc(rd->count + 4, sizeof(*all));

    if (all == NULL) {
        return NULL;
    }
    all[0] = (struct option){"config", required_argument, NULL, CONFIG};
    all[1] = (struct option){"help", no_argument, NULL, HELP};
    all[2] = (struct option){"version", no_argument, NULL, VERSION};
    for (size_t i = 0; i < rd->count; i++) {
        const option_row *row = &rd->rows[i];

        all[3 + i] = (struct option){row->name, row->argument != NULL, NULL, FIRST_ROW + (int)i};
    }
    return all;
}

/* Two rounds, as the file lies between them: MARK notes what is given, SET sets it. */
typedef enum reading_pass {
    MARK,
    SET
} reading_pass;

static int take_option(reading *rd, reading_pass pass, int which, FILE *out)
{
    mail_error err;
    int code;

    switch (which) {
    case CONFIG:
        rd->file = optarg;
        return OPTIONS_GO;
    case HELP:
        options_help(rd->table, rd->rows, rd->count, out);
        return EX_OK;
    case VERSION:
        fprintf(out, "%s %s\n", rd->table->program, rd->table->version);
        return EX_OK;
    default:
        break;
    }
    which -= FIRST_ROW;
    if (pass == MARK) {
        rd->given[which] = true;
        return OPTIONS_GO;
    }
    code = set_field(rd, &rd->rows[which], optarg != NULL ? optarg : "yes", &err);
    if (code != MAIL_OK) {
        return complain(rd, exit_code_of(code, EX_USAGE), "--%s: %s", rd->rows[which].name,
                        err.text);
    }
    return OPTIONS_GO;
}

static int bad_option(const reading *rd, const struct option *all, int found, const char *word)
{
    if (found == ':') {
        return complain(rd, EX_USAGE, "%s needs an argument", word);
    }
    if (optopt > 0 && optopt < CONFIG) {
        return complain(rd, EX_USAGE, "unknown option -%c", optopt);
    }
    for (; optopt != 0 && all->name != NULL; all++) {
        if (all->val == optopt) {
            return complain(rd, EX_USAGE, "--%s takes no argument", all->name);
        }
    }
    return complain(rd, EX_USAGE, "unknown option %s", word);
}

static int read_arguments(reading *rd, reading_pass pass, int argc, char **argv,
                          const struct option *all, FILE *out)
{
    optind = 0; /* the GNU way to begin anew */
    opterr = 0;
    for (;;) {
        int found = getopt_long(argc, argv, "+:", all, NULL);
        int code;

        if (found == -1) {
            break;
        }
        if (found == '?' || found == ':') {
            return bad_option(rd, all, found, argv[optind - 1]);
        }
        code = take_option(rd, pass, found, out);
        if (code != OPTIONS_GO) {
            return code;
        }
    }
    if (optind < argc) {
        return complain(rd, EX_USAGE, "unexpected argument %s", argv[optind]);
    }
    return OPTIONS_GO;
}

static int read_all(reading *rd, int argc, char **argv, const struct option *all, char **text,
                    FILE *out)
{
    int code = read_arguments(rd, MARK, argc, argv, all, out);

    if (code == OPTIONS_GO && rd->file != NULL) {
        code = read_file(rd, text);
    }
    return code == OPTIONS_GO ? read_arguments(rd, SET, argc, argv, all, out) : code;
}

static option_row *gather_rows(const option_table *table, size_t *count)
{
    const option_group *groups = table->groups;
    option_row *rows = calloc(groups[0].count + groups[1].count, sizeof(*rows));

    *count = 0;
    for (size_t i = 0; rows != NULL && i < MAIL_COUNT(table->groups); i++) {
        for (size_t j = 0; j < groups[i].count; j++) {
            rows[*count] = groups[i].rows[j];
            rows[(*count)++].field += groups[i].at;
        }
    }
    return rows;
}

int options_read(const option_table *table, int argc, char **argv, void *config, char **text,
                 const char **path, FILE *out, FILE *err)
{
    reading rd = {.table = table, .config = config, .err = err};
    struct option *all;
    int code;

    *text = NULL;
    rd.rows = gather_rows(table, &rd.count);
    rd.given = calloc(rd.count, sizeof(*rd.given));
    all = make_getopt_table(&rd);
    if (rd.rows == NULL || rd.given == NULL || all == NULL) {
        code = complain(&rd, EX_OSERR, "%s", mail_strerror(MAIL_ENOMEM));
    } else {
        code = read_all(&rd, argc, argv, all, text, out);
    }
    *path = rd.file;
    free(rd.rows);
    free(rd.given);
    free(all);
    return code;
}
