/* SPDX-License-Identifier: MIT */
#include "options_help.h"

#include <string.h>

#define COLUMN 30
#define WIDTH  80

/* Words from COLUMN on, the pen now standing at `column`. */
static void print_wrapped(FILE *out, const char *words, int column)
{
    while (*words != '\0') {
        int length = (int)strcspn(words, " ");

        if (column > COLUMN && column + 1 + length > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column < COLUMN) {
            fprintf(out, "%*s", COLUMN - column, "");
            column = COLUMN;
        } else {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", length, words);
        column += length;
        words += length;
        words += strspn(words, " ");
    }
    fputc('\n', out);
}

static void print_row(const option_row *row, FILE *out)
{
    int column = fprintf(out, "  --%s%s%s", row->name, row->argument != NULL ? " " : "",
                         row->argument != NULL ? row->argument : "");

    if (column >= COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    print_wrapped(out, row->help, column);
}

/* Cuts off the next of the names; NULL: there is none. */
static const char *cut_name(const char **names, size_t *length)
{
    const char *name = *names + strspn(*names, " ");

    *length = strcspn(name, " ");
    *names = name + *length;
    return *length > 0 ? name : NULL;
}

static bool is_called(const option_row *row, const char *name, size_t length)
{
    return strlen(row->name) == length && memcmp(row->name, name, length) == 0;
}

static bool is_about(const option_subject *subject, const option_row *row)
{
    const char *names = subject->names;
    const char *name;
    size_t length;

    while ((name = cut_name(&names, &length)) != NULL) {
        if (is_called(row, name, length)) {
            return true;
        }
    }
    return false;
}

/* What nobody has thought of a subject for. */
static void print_others(const option_table *table, const option_row *rows, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        bool is_told = false;

        for (size_t k = 0; k < table->subject_count; k++) {
            is_told = is_told || is_about(&table->subjects[k], &rows[i]);
        }
        if (!is_told) {
            print_row(&rows[i], out);
        }
    }
}

static void print_subject(const option_subject *subject, const option_row *rows, size_t count,
                          FILE *out)
{
    const char *names = subject->names;
    const char *name;
    size_t length;

    fprintf(out, "\n%s:\n", subject->heading);
    while ((name = cut_name(&names, &length)) != NULL) {
        for (size_t i = 0; i < count; i++) {
            if (is_called(&rows[i], name, length)) {
                print_row(&rows[i], out);
            }
        }
    }
}

void options_help(const option_table *table, const option_row *rows, size_t count, FILE *out)
{
    static const option_row config = {
        "config", "FILE", "read options from FILE, one `name = value` a line", NULL, 0, false};
    static const option_row help = {"help", NULL, "print this and exit", NULL, 0, false};
    static const option_row version = {"version", NULL, "print the version and exit",
                                       NULL,      0,    false};

    fprintf(out, "Usage: %s [OPTION]...\n%s\n\n", table->program, table->summary);
    print_row(&config, out);
    print_others(table, rows, count, out);
    for (size_t k = 0; k < table->subject_count; k++) {
        print_subject(&table->subjects[k], rows, count, out);
    }
    print_row(&help, out);
    print_row(&version, out);
}
