/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_WORLD_PLAY_H
#define EXAMPLES_WORLD_PLAY_H

#include <stdio.h>

#include "world/story.h"

/*
 * Plays a story from its beginning to its end in a simulated world, and tells on `out` what
 * happens. The same story and seed are told the same, to the octet. MAIL_EINVAL for a message that cannot be
 * composed (`err` says `SOURCE:LINE: why`), MAIL_ENOMEM.
 */
int play_story(const story *st, const char *source, FILE *out, mail_error *err);

#endif
