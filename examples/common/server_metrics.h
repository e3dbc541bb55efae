/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_SERVER_METRICS_H
#define EXAMPLES_COMMON_SERVER_METRICS_H

#include <mail/metrics_server.h>

#include "options.h"
#include "server.h"
#include "tls_files.h"

/* Numbers about a server, and where they are shown. A zeroed one counts nothing. */
typedef struct server_metrics {
    mail_metrics *registry; /* NULL: nobody looks */
    mail_metrics_server **servers;
    size_t count;
} server_metrics;

/* For so many places to show them at; none: nothing is counted. MAIL_ENOMEM. */
int server_metrics_make(server_metrics *metrics, size_t count);

/* Shows them at `at`, as many places, and says so in `ready`. As mail_metrics_server_create. */
int server_metrics_serve(server_metrics *metrics, mail_loop *loop, const option_endpoints *at,
                         server_ready *ready, mail_error *err);

/*
 * Shows until when the certificates of `context`, loaded from `files`, are valid; NULL: there are
 * none. When others come into use all are forgotten first. MAIL_ENOMEM.
 */
int server_metrics_add_certificates(server_metrics *metrics, const tls_files *files,
                                    const mail_tls_context *context);
void server_metrics_forget_certificates(server_metrics *metrics);

/* Nobody is shown anything any more; while the loop is there. */
void server_metrics_stop(server_metrics *metrics);

/* Once nobody counts any more. */
void server_metrics_deinit(server_metrics *metrics);

#endif
