/* SPDX-License-Identifier: MIT */
#include "sendmail_rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

/* To go on with rights that should be gone would be worse than to fail. */
static void check(int result)
{
    if (result != 0) {
        perror("sendmail: group");
        exit(EX_OSERR);
    }
}

void sendmail_rights_take(void)
{
    gid_t real;
    gid_t effective;
    gid_t saved;

    check(getresgid(&real, &effective, &saved));
    check(setegid(saved));
}

void sendmail_rights_leave(void)
{
    check(setegid(getgid()));
}

void sendmail_rights_drop(void)
{
    gid_t group = getgid();

    check(setresgid(group, group, group));
}
