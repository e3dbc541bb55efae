/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_WORLD_ZONE_H
#define EXAMPLES_WORLD_ZONE_H

#include "world/story.h"

/* What the longest story needs. */
#define ZONE_SIZE ((size_t)256 << 10)

/*
 * Writes what the DNS of a story says, as the simulated server has it: the story's MX records,
 * for a domain without one its own host's, and the hosts' addresses. Names for which `fails`
 * says true have no answer but SERVFAIL.
 */
void zone_write(const story *st, bool (*fails)(const char *name, void *arg), void *arg,
                char out[ZONE_SIZE]);

/* The address of a host. */
mail_ip zone_address(size_t host);

/* Whether `name` is `domain` or lies below it. */
bool zone_is_below(const char *name, const char *domain);

#endif
