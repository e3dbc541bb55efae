/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_SERVER_OPTIONS_H
#define EXAMPLES_COMMON_SERVER_OPTIONS_H

#include <mail/limits.h>
#include <mail/log.h>

#include "confine.h"
#include "options.h"
#include "tls_files.h"

/* What every server can be told, a member an option: part of its configuration. */
typedef struct server_options {
    tls_files tls;
    option_networks proxy_from;
    option_endpoints metrics; /* where they are shown */
    mail_limits limits;
    mail_duration session_timeout;
    confine_options confine;
    mail_log_level log_level;
    mail_log_format log_format;
    mail_duration drain;
} server_options;

/* Defaults that are not "nothing". */
#define SERVER_OPTIONS_INIT                                                                        \
    {                                                                                              \
        .log_level = MAIL_LOG_INFO, .drain = 10 * MAIL_SECOND                                      \
    }

/* The rows for a table of options; `at` is the offset of the struct in the configuration. */
option_group server_option_group(size_t at);

void server_options_deinit(server_options *options);

#endif
