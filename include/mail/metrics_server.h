/* SPDX-License-Identifier: MIT */
#ifndef MAIL_METRICS_SERVER_H
#define MAIL_METRICS_SERVER_H

#include <mail/address.h>
#include <mail/loop.h>
#include <mail/metrics.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Shows a registry to whoever asks by HTTP: GET /metrics, and nothing else. One request a
 * connection, at most 8 KiB long, and no more than ten seconds for it.
 *
 * It asks for no password: listen where only those can connect that may read the numbers.
 */
typedef struct mail_metrics_server mail_metrics_server;

typedef struct mail_metrics_server_options {
    size_t size; /* MAIL_METRICS_SERVER_OPTIONS_INIT */
    const mail_mem *mem;
    mail_metrics *metrics;  /* required; borrowed until destroy */
    uint32_t max_connections; /* default 16; one more is closed at once */
    const struct mail_sockets *sockets; /* private to libmail's tests */
} mail_metrics_server_options;

#define MAIL_METRICS_SERVER_OPTIONS_INIT                                                           \
    {                                                                                              \
        .size = sizeof(mail_metrics_server_options)                                                \
    }

/**
 * Listens at `at`, whose port 0 takes a free one; `bound` (optional) is what it got.
 * Errors: MAIL_EINVAL, MAIL_EBUSY, MAIL_EPERM, MAIL_ENOMEM, MAIL_ESYS; `err` says it in one line.
 */
MAIL_API int mail_metrics_server_create(mail_metrics_server **out, mail_loop *loop,
                                        const mail_metrics_server_options *opts,
                                        const mail_endpoint *at, mail_endpoint *bound,
                                        mail_error *err);

/** Cuts all connections off and stops listening. */
MAIL_API void mail_metrics_server_destroy(mail_metrics_server *server);

#ifdef __cplusplus
}
#endif

#endif
