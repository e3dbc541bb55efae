/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mail/drop.h>

static bool is_absolute(const char *path)
{
    return path != NULL && path[0] == '/';
}

static bool is_given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static int set(char *path, const char *above, const char *below, mail_error *err)
{
    int length = snprintf(path, MAIL_SPOOL_PATH_SIZE, "%s%s", above, below);

    return length < MAIL_SPOOL_PATH_SIZE
               ? MAIL_OK
               : mail_error_set(err, MAIL_ELIMIT, "the spool's path is too long");
}

int mail_spool_find(const char *asked, char path[MAIL_SPOOL_PATH_SIZE], mail_error *err)
{
    const char *named = secure_getenv("LIBMAIL_SPOOL");
    const char *state = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");

    if (is_given(asked) || is_given(named)) {
        return set(path, is_given(asked) ? asked : named, "", err);
    }
    /* By the rights that we have, which may be more than our caller's: to drop mail is all they are for. */
    if (faccessat(AT_FDCWD, MAIL_SYSTEM_SPOOL "/drop", W_OK | X_OK, AT_EACCESS) == 0) {
        return set(path, MAIL_SYSTEM_SPOOL, "", err);
    }
    if (is_absolute(state)) {
        return set(path, state, "/libmail/spool", err);
    }
    if (is_absolute(home)) {
        return set(path, home, "/.local/state/libmail/spool", err);
    }
    return mail_error_set(err, MAIL_ENOENT, "no spool: give --spool, or set LIBMAIL_SPOOL or HOME");
}
