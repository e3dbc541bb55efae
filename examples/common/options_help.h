/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_OPTIONS_HELP_H
#define EXAMPLES_COMMON_OPTIONS_HELP_H

#include "options.h"

/* Writes the text of --help: `rows`, those of all groups, by the subjects of `table`. */
void options_help(const option_table *table, const option_row *rows, size_t count, FILE *out);

#endif
