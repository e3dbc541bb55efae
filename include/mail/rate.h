/* SPDX-License-Identifier: MIT */
#ifndef MAIL_RATE_H
#define MAIL_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest time a bucket may take to fill. */
#define MAIL_RATE_DEPTH_MAX (366 * MAIL_DAY)

/**
 * Limits how often something may happen: a bucket of `burst` tokens that
 * regains one token every `interval`.
 *
 * A bucket reads no clock. The caller passes `now`, so a test can jump hours
 * and one reading of the clock can serve a whole round of events.
 */
typedef struct mail_rate {
    mail_time full_at;      /* private: when the bucket is full again */
    mail_duration interval; /* private */
    mail_duration depth;    /* private: time an empty bucket takes to fill */
} mail_rate;

typedef struct mail_rate_options {
    uint32_t burst;         /* tokens; default 1 */
    mail_duration interval; /* nanoseconds per token; required */
} mail_rate_options;

/**
 * Sets up a full bucket. There is nothing to deinit.
 *
 * Errors: MAIL_EINVAL when `interval` is not positive, or when `burst` times
 * `interval` passes MAIL_RATE_DEPTH_MAX.
 */
MAIL_API int mail_rate_init(mail_rate *rate, const mail_rate_options *opts);

/** Takes `n` tokens, at most `burst`, or none; says whether it took them. */
MAIL_API bool mail_rate_take(mail_rate *rate, mail_time now, uint32_t n);

/** Puts back `n` tokens that were taken. What would be too many is lost. */
MAIL_API void mail_rate_give(mail_rate *rate, mail_time now, uint32_t n);

/** When `n` tokens, at most `burst`, can be taken; `now` if they can already. */
MAIL_API mail_time mail_rate_ready_at(const mail_rate *rate, mail_time now, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
