/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_CLOCK_H
#define LIB_BASE_CLOCK_H

#include <mail/base.h>

#include <time.h>

/* The system's monotonic clock, for whoever has been given no other. */
static inline mail_time clock_monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * MAIL_SECOND + ts.tv_nsec;
}

#endif
