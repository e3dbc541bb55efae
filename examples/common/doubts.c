/* SPDX-License-Identifier: MIT */
#include "doubts.h"

#include <stdio.h>
#include <sys/stat.h>

#include <mail/date.h>

/* Time enough to do something; those that live shorter are renewed in the last third of their life. */
#define SOON ((mail_wall)14 * 24 * 3600)

static void warn(const server_log *log, const char *what, const char *path, const char *why)
{
    const mail_log_field fields[] = {{"file", mail_span_text(path)},
                                     {"reason", mail_span_text(why)}};

    mail_log_line(&log->log, MAIL_LOG_WARN, what, fields, MAIL_COUNT(fields));
}

/* A group may be there for it, as ssl-cert is on Debian. */
void doubt_secret(const server_log *log, const char *path)
{
    struct stat found;

    if (path == NULL || stat(path, &found) != 0 || !S_ISREG(found.st_mode)) {
        return;
    }
    if ((found.st_mode & S_IWOTH) != 0) {
        warn(log, "file not private", path, "everybody may write to it");
    } else if ((found.st_mode & S_IROTH) != 0) {
        warn(log, "file not private", path, "everybody may read it");
    }
}

void doubt_secrets(const server_log *log, const option_texts *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        doubt_secret(log, paths->items[i]);
    }
}

static void warn_of_time(const server_log *log, const char *path, const char *why, mail_wall when)
{
    char date[MAIL_DATE_SIZE];
    char text[MAIL_DATE_SIZE + 40];

    mail_date_print(when, 0, date);
    snprintf(text, sizeof(text), "%s %s", why, date);
    warn(log, "certificate in doubt", path, text);
}

void doubt_certificates(const server_log *log, const tls_files *files,
                        const mail_tls_context *context, mail_wall now)
{
    size_t count = context != NULL ? mail_tls_context_pair_count(context) : 0;

    for (size_t i = 0; i < count; i++) {
        const char *path = files->certificates.items[i];
        mail_wall from;
        mail_wall until;
        mail_wall soon;

        mail_tls_context_validity(context, i, &from, &until);
        soon = (until - from) / 3 < SOON ? (until - from) / 3 : SOON;
        if (now > until) {
            warn_of_time(log, path, "it has expired:", until);
        } else if (now < from) {
            warn_of_time(log, path, "it is not valid before", from);
        } else if (until - now < soon) {
            warn_of_time(log, path, "it expires soon:", until);
        }
    }
}
