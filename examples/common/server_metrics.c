/* SPDX-License-Identifier: MIT */
#include "server_metrics.h"

#include <stdlib.h>
#include <string.h>

#define EXPIRY "libmail_certificate_expiry_timestamp_seconds"

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

/* A path may hold what would end the label. */
static char *label_of(const char *path)
{
    char *label = strdup(path);

    for (char *c = label; c != NULL && *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 127 || *c == '"' || *c == '\\' ? '?' : *c;
    }
    return label;
}

static int add_certificate(server_metrics *metrics, const char *path, mail_wall until)
{
    mail_metric_about about = {
        .kind = MAIL_METRIC_GAUGE,
        .name = EXPIRY,
        .help = "Until when a certificate in use is valid, in seconds since 1970.",
        .label = "file",
    };
    char *label = label_of(path);
    mail_metric *metric = NULL;
    int code = MAIL_ENOMEM;

    if (label != NULL) {
        about.value = label;
        code = mail_metrics_add(metrics->registry, &about, &metric);
    }
    mail_metric_set(metric, until > 0 ? (uint64_t)until : 0);
    free(label);
    return code;
}

int server_metrics_add_certificates(server_metrics *metrics, const tls_files *files,
                                    const mail_tls_context *context)
{
    size_t count = context != NULL ? mail_tls_context_pair_count(context) : 0;
    int code = MAIL_OK;

    for (size_t i = 0; i < count && code == MAIL_OK; i++) {
        mail_wall from;
        mail_wall until;

        mail_tls_context_validity(context, i, &from, &until);
        code = add_certificate(metrics, files->certificates.items[i], until);
    }
    return code;
}

void server_metrics_forget_certificates(server_metrics *metrics)
{
    mail_metrics_remove(metrics->registry, EXPIRY);
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
