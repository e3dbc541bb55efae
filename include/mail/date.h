/* SPDX-License-Identifier: MIT */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a date as text needs, final NUL included. */
#define MAIL_DATE_SIZE 32

/**
 * Writes `Sun, 22 Nov 2026 00:40:08 +0100` and returns its length. The years are
 * those from 1 to 9999; what lies outside becomes the nearest instant inside.
 *
 * `zone` is the distance from UTC in minutes, between -5999 and 5999.
 * RFC: 5322, section 3.3.
 */
MAIL_API size_t mail_date_print(mail_wall when, int zone, char out[MAIL_DATE_SIZE]);

/** Writes `Sun Nov 22 00:40:08 2026`, UTC, as mbox has it (RFC 4155), and returns its length. */
MAIL_API size_t mail_date_print_asctime(mail_wall when, char out[MAIL_DATE_SIZE]);

/**
 * Reads the date of a header, comments, folds and obsolete forms included: years of
 * two and three digits, zones by name. `zone` may be NULL.
 *
 * Errors: MAIL_EINVAL. RFC: 5322, sections 3.3 and 4.3.
 */
MAIL_API int mail_date_parse(mail_span text, mail_wall *when, int *zone);

#ifdef __cplusplus
}
#endif

#endif
