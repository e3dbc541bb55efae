/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_CONFIG_FILE_H
#define EXAMPLES_COMMON_CONFIG_FILE_H

#include <mail/base.h>

/*
 * An INI file without sections: one `key = value` a line, comments on lines of their own
 * that begin with # or ;.
 */

/* Loads a file of at most 4 MiB as text that is free()d by the caller. */
int config_file_load(const char *path, char **text, mail_error *err);

/* Where reading stands; the text is cut up on the way. */
typedef struct config_cursor {
    char *rest; /* NULL: the end */
    unsigned number;
} config_cursor;

typedef struct config_line {
    unsigned number; /* from 1 */
    const char *key;
    const char *value; /* NULL: there is no = */
} config_line;

/* The next line that says something; false: none is left. */
bool config_file_next(config_cursor *cursor, config_line *line);

#endif
