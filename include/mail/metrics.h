/* SPDX-License-Identifier: MIT */
#ifndef MAIL_METRICS_H
#define MAIL_METRICS_H

#include <mail/base.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Numbers about a running program, by name: what has been counted, how things stand, how long
 * something took. Written as text that Prometheus and its kin read.
 *
 * A registry and all in it belong to one thread.
 */
typedef struct mail_metrics mail_metrics;

/** One number of a registry, or one histogram. */
typedef struct mail_metric mail_metric;

/** Errors: MAIL_ENOMEM. */
MAIL_API int mail_metrics_create(mail_metrics **out, const mail_mem *mem);

/** Frees it and all its metrics. */
MAIL_API void mail_metrics_destroy(mail_metrics *metrics);

/** What kind of number it is. */
typedef enum mail_metric_kind {
    MAIL_METRIC_COUNTER,  /* goes up only */
    MAIL_METRIC_GAUGE,    /* is set */
    MAIL_METRIC_HISTOGRAM /* of durations */
} mail_metric_kind;

/** What a metric is; all texts are copied. */
typedef struct mail_metric_about {
    mail_metric_kind kind;
    const char *name;   /* letters, digits and `_`; those of a family have the same name */
    const char *help;   /* one line */
    const char *label;  /* what it is of its family, such as `outcome`; NULL: it is the only one */
    const char *value;  /* of the label, such as `delivered` */
} mail_metric_about;

/**
 * Gives the metric that `about` describes, made if it is not there yet; the metrics of a family
 * are made one after the other. In no registry (`metrics` NULL) it gives NULL, on which the functions
 * below do nothing: whoever counts need not ask whether it is wanted.
 *
 * Ownership: lends until it is removed or the registry destroyed.
 * Errors: MAIL_EINVAL for a bad name, or one of another kind; MAIL_ENOMEM.
 */
MAIL_API int mail_metrics_add(mail_metrics *metrics, const mail_metric_about *about,
                              mail_metric **out);

/** Removes all metrics of that name, which nobody may use any more. In no registry it does nothing. */
MAIL_API void mail_metrics_remove(mail_metrics *metrics, const char *name);

/** Counts `n` more. */
MAIL_API void mail_metric_count(mail_metric *metric, uint64_t n);

/** Sets a gauge. */
MAIL_API void mail_metric_set(mail_metric *metric, uint64_t value);

/** Adds one duration to a histogram; below zero it counts as zero. */
MAIL_API void mail_metric_observe(mail_metric *metric, mail_duration duration);

/** What a counter or gauge says; a histogram: how many it has observed. */
MAIL_API uint64_t mail_metric_value(const mail_metric *metric);

/**
 * Calls `fn` before everything is written, to set gauges. Until mail_metrics_forget with the same
 * `arg`; that with a NULL registry does nothing, and neither does this. Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_metrics_ask(mail_metrics *metrics, void (*fn)(void *arg), void *arg);
/** Ends mail_metrics_ask. */
MAIL_API void mail_metrics_forget(mail_metrics *metrics, void *arg);

/**
 * Writes all in the text format of Prometheus, version 0.0.4, into `out`, which it does not end.
 * Errors: of the sink; MAIL_ELIMIT no room; MAIL_ENOMEM.
 */
MAIL_API int mail_metrics_print(mail_metrics *metrics, mail_sink *out);

#ifdef __cplusplus
}
#endif

#endif
