/* SPDX-License-Identifier: MIT */
#include "standard_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

void standard_files_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int how = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

        /* The lowest number that is free is given, and those below are taken. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", how) != fd) {
            exit(EX_OSERR);
        }
    }
}
