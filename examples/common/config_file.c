/* SPDX-License-Identifier: MIT */
#include "config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nobody's configuration is longer. */
#define FILE_MAX ((size_t)4 << 20)

static int read_stream(FILE *stream, char *data, size_t *length, mail_error *err)
{
    errno = 0;
    *length = fread(data, 1, FILE_MAX + 1, stream);
    if (ferror(stream)) {
        return mail_error_set(err, MAIL_EIO, "%s", strerror(errno));
    }
    if (*length > FILE_MAX) {
        return mail_error_set(err, MAIL_ELIMIT, "it is too long");
    }
    if (memchr(data, '\0', *length) != NULL) {
        return mail_error_set(err, MAIL_EINVAL, "it holds a NUL and is no text");
    }
    return MAIL_OK;
}

int config_file_load(const char *path, char **text, mail_error *err)
{
    FILE *stream = fopen(path, "re");
    char *data;
    char *fitted;
    size_t length = 0;
    int code;

    if (stream == NULL) {
        return mail_error_set(err, mail_error_from_errno(errno), "%s", strerror(errno));
    }
    data = malloc(FILE_MAX + 1);
    code = data != NULL ? read_stream(stream, data, &length, err)
                        : mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    fclose(stream);
    if (code != MAIL_OK) {
        free(data);
        return code;
    }
    data[length] = '\0';
    fitted = realloc(data, length + 1);
    *text = fitted != NULL ? fitted : data;
    return MAIL_OK;
}

static char *trim(char *text)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && strchr(" \t\r", end[-1]) != NULL) {
        end--;
    }
    *end = '\0';
    return text;
}

/* Cuts off the next line. */
static char *cut_line(config_cursor *cursor)
{
    char *line = cursor->rest;
    char *end = strchr(line, '\n');

    if (end != NULL) {
        *end++ = '\0';
    }
    cursor->rest = end;
    cursor->number++;
    return trim(line);
}

bool config_file_next(config_cursor *cursor, config_line *line)
{
    while (cursor->rest != NULL) {
        char *text = cut_line(cursor);
        char *value;

        if (*text == '\0' || *text == '#' || *text == ';') {
            continue;
        }
        value = strchr(text, '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        *line = (config_line){cursor->number, trim(text), value != NULL ? trim(value) : NULL};
        return true;
    }
    return false;
}
