/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LOG_H
#define MAIL_LOG_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much a line matters. */
typedef enum mail_log_level {
    MAIL_LOG_ERROR, /* somebody must act */
    MAIL_LOG_WARN,  /* somebody should look */
    MAIL_LOG_INFO,  /* one line for each message and step */
    MAIL_LOG_DEBUG
} mail_log_level;

/** `error`, `warn`, `info` or `debug`. */
MAIL_API const char *mail_log_level_name(mail_log_level level);

/** One named value of a log line, such as `queue_id` and `4Yf0…`. */
typedef struct mail_log_field {
    const char *key; /* lower case, underscores */
    mail_span value; /* any bytes: whoever prints it must escape it */
} mail_log_field;

/**
 * Takes one log line: what happened, as a fixed text, and its values. Called on
 * whatever thread it happened; must not call back into the library.
 */
typedef void mail_log_fn(mail_log_level level, const char *what, const mail_log_field *fields,
                         size_t count, void *arg);

/** Where log lines go. A NULL `const mail_log *` anywhere: nowhere. */
typedef struct mail_log {
    mail_log_fn *write;
    void *arg;
    mail_log_level level; /* lines above it are not even formed; zero: errors only */
} mail_log;

/** Writes a line if `log` wants this level. */
MAIL_API void mail_log_line(const mail_log *log, mail_log_level level, const char *what,
                            const mail_log_field *fields, size_t count);

/** How a line is written. */
typedef enum mail_log_format {
    MAIL_LOG_TEXT,
    MAIL_LOG_JSON
} mail_log_format;

/**
 * Formats a line, newline included, into `out` of `size` bytes: `what key=value
 * key="value with blanks"` or one JSON object with `time`, `level`, `event` and
 * the fields. In JSON the values of `delay`, `messages`, `offset`, `recipients`, `removed`,
 * `retrieved`, `size`, `tries` and `uid` are numbers, and `delays` is a list of numbers (seconds), all
 * others strings. Control characters and broken UTF-8 are escaped; a line that does
 * not fit is cut and still well formed. Returns its length.
 */
MAIL_API size_t mail_log_print(mail_log_format format, mail_wall now, mail_log_level level,
                               const char *what, const mail_log_field *fields, size_t count,
                               char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
