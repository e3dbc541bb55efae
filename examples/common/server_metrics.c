/* SPDX-License-Identifier: MIT */
#include "server_metrics.h"

#include <stdlib.h>

int server_metrics_make(server_metrics *metrics, size_t count)
{
    if (count == 0) {
        return MAIL_OK;
    }
    metrics->servers = calloc(count, sizeof(mail_metrics_server *));
    if (metrics->servers == NULL) {
        return MAIL_ENOMEM;
    }
    metrics->count = count;
    return mail_metrics_create(&metrics->registry, NULL);
}

int server_metrics_serve(server_metrics *metrics, mail_loop *loop, const option_endpoints *at,
                         server_ready *ready, mail_error *err)
{
    mail_metrics_server_options opts = MAIL_METRICS_SERVER_OPTIONS_INIT;
    int code = MAIL_OK;

    opts.metrics = metrics->registry;
    for (size_t i = 0; i < metrics->count && code == MAIL_OK; i++) {
        mail_endpoint bound;

        code = mail_metrics_server_create(&metrics->servers[i], loop, &opts, &at->items[i], &bound,
                                          err);
        if (code == MAIL_OK) {
            server_ready_add_endpoint(ready, "metrics", &bound);
        }
    }
    return code;
}

void server_metrics_stop(server_metrics *metrics)
{
    for (size_t i = 0; i < metrics->count; i++) {
        mail_metrics_server_destroy(metrics->servers[i]);
    }
    free(metrics->servers);
    metrics->servers = NULL;
    metrics->count = 0;
}

void server_metrics_deinit(server_metrics *metrics)
{
    mail_metrics_destroy(metrics->registry);
    metrics->registry = NULL;
}
