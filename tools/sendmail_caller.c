/* SPDX-License-Identifier: MIT */
#include "sendmail_caller.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void read_mailname(sendmail_caller *who)
{
    FILE *file = fopen("/etc/mailname", "re");

    if (file != NULL) {
        if (fgets(who->hostname, sizeof(who->hostname), file) == NULL) {
            who->hostname[0] = '\0';
        }
        who->hostname[strcspn(who->hostname, " \t\r\n")] = '\0';
        fclose(file);
    }
    if (who->hostname[0] == '\0' && gethostname(who->hostname, sizeof(who->hostname) - 1) < 0) {
        strcpy(who->hostname, "localhost");
    }
}

/* The name in the user database up to the first comma, an & standing for the login name. */
static void copy_gecos(sendmail_caller *who, const char *gecos)
{
    size_t length = strcspn(gecos, ",&");

    if (length < sizeof(who->full_name)) {
        memcpy(who->full_name, gecos, length);
        who->full_name[length] = '\0';
    }
}

void sendmail_identify(sendmail_caller *who, const sendmail_options *opts)
{
    const struct passwd *entry = getpwuid(getuid());
    const char *name = getenv("NAME");

    *who = (sendmail_caller){.hostname = ""};
    read_mailname(who);
    snprintf(who->user, sizeof(who->user), "%s", entry != NULL ? entry->pw_name : "nobody");
    snprintf(who->address, sizeof(who->address), "%s@%s", who->user, who->hostname);
    if (entry != NULL && entry->pw_gecos != NULL) {
        copy_gecos(who, entry->pw_gecos);
    }
    if (opts->full_name != NULL || name != NULL) {
        snprintf(who->full_name, sizeof(who->full_name), "%s",
                 opts->full_name != NULL ? opts->full_name : name);
    }
}

mail_submission sendmail_submission(const sendmail_caller *who)
{
    mail_submission submission = {
        .hostname = mail_span_text(who->hostname),
        .from = mail_span_text(who->address),
        .from_name = mail_span_text(who->full_name),
        .when = time(NULL),
    };
    time_t now = (time_t)submission.when;
    struct tm local;

    localtime_r(&now, &local);
    submission.zone = (int)(local.tm_gmtoff / 60);
    return submission;
}
