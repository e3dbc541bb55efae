/* SPDX-License-Identifier: MIT */
#include <mail/metrics.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/ascii.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/mem.h"

/* The upper bounds of a histogram's buckets, in seconds: from a quick hop to giving up. */
static const uint32_t bounds[] = {1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 432000};

struct mail_metric {
    list link; /* those of a family stand together */
    mail_metric_kind kind;
    char *name;
    char *help;
    char *label; /* NULL: none */
    char *text;  /* of the label */
    uint64_t value;
    uint64_t sum_ms; /* of a histogram */
    uint64_t buckets[MAIL_COUNT(bounds)];
};

typedef struct asked {
    list link;
    void (*fn)(void *arg);
    void *arg;
} asked;

struct mail_metrics {
    const mail_mem *mem;
    list all;
    list asked;
};

int mail_metrics_create(mail_metrics **out, const mail_mem *mem)
{
    mail_metrics *metrics = mem_alloc(mem, sizeof(*metrics));

    if (metrics == NULL) {
        return MAIL_ENOMEM;
    }
    metrics->mem = mem;
    list_init(&metrics->all);
    list_init(&metrics->asked);
    *out = metrics;
    return MAIL_OK;
}

static void free_text(const mail_mem *mem, char *text)
{
    mem_free(mem, text, text != NULL ? strlen(text) + 1 : 0);
}

static void free_metric(const mail_mem *mem, mail_metric *metric)
{
    free_text(mem, metric->name);
    free_text(mem, metric->help);
    free_text(mem, metric->label);
    free_text(mem, metric->text);
    mem_free(mem, metric, sizeof(*metric));
}

void mail_metrics_destroy(mail_metrics *metrics)
{
    list *link;

    if (metrics == NULL) {
        return;
    }
    while ((link = list_pop_front(&metrics->all)) != NULL) {
        free_metric(metrics->mem, LIST_OWNER(link, mail_metric, link));
    }
    while ((link = list_pop_front(&metrics->asked)) != NULL) {
        mem_free(metrics->mem, LIST_OWNER(link, asked, link), sizeof(asked));
    }
    mem_free(metrics->mem, metrics, sizeof(*metrics));
}

static bool is_name(const char *name)
{
    if (name == NULL || ascii_is_digit(name[0]) || name[0] == '\0') {
        return false;
    }
    for (; *name != '\0'; name++) {
        if (!ascii_is_alpha(*name) && !ascii_is_digit(*name) && *name != '_') {
            return false;
        }
    }
    return true;
}

/* What is written between quotes or to the end of a line must not end it. */
static bool is_line(const char *text)
{
    if (text == NULL) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (ascii_is_control(*text) || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

static bool is_good(const mail_metric_about *about)
{
    return is_name(about->name) && is_line(about->help) &&
           (about->label == NULL || (is_name(about->label) && is_line(about->value)));
}

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The metric, or else the last one of its family; NULL: there is none of that name. */
static mail_metric *find(const mail_metrics *metrics, const mail_metric_about *about, bool *is_it)
{
    mail_metric *last = NULL;

    *is_it = false;
    for (list *at = metrics->all.next; at != &metrics->all && !*is_it; at = at->next) {
        mail_metric *metric = LIST_OWNER(at, mail_metric, link);

        if (strcmp(metric->name, about->name) == 0) {
            last = metric;
            *is_it = is_same(metric->label, about->label) &&
                     (about->label == NULL || is_same(metric->text, about->value));
        }
    }
    return last;
}

static mail_metric *make(const mail_mem *mem, const mail_metric_about *about)
{
    mail_metric *metric = mem_alloc(mem, sizeof(*metric));

    if (metric == NULL) {
        return NULL;
    }
    metric->kind = about->kind;
    metric->name = mem_text(mem, mail_span_text(about->name));
    metric->help = mem_text(mem, mail_span_text(about->help));
    if (about->label != NULL) {
        metric->label = mem_text(mem, mail_span_text(about->label));
        metric->text = mem_text(mem, mail_span_text(about->value));
    }
    if (metric->name == NULL || metric->help == NULL ||
        (about->label != NULL && (metric->label == NULL || metric->text == NULL))) {
        free_metric(mem, metric);
        return NULL;
    }
    return metric;
}

int mail_metrics_add(mail_metrics *metrics, const mail_metric_about *about, mail_metric **out)
{
    mail_metric *metric;
    mail_metric *last;
    bool is_there;

    *out = NULL;
    if (metrics == NULL) {
        return MAIL_OK;
    }
    if (!is_good(about)) {
        return MAIL_EINVAL;
    }
    last = find(metrics, about, &is_there);
    if (last != NULL && last->kind != about->kind) {
        return MAIL_EINVAL;
    }
    if (is_there) {
        *out = last;
        return MAIL_OK;
    }
    metric = make(metrics->mem, about);
    if (metric == NULL) {
        return MAIL_ENOMEM;
    }
    list_insert_before(&metric->link, last != NULL ? last->link.next : &metrics->all);
    *out = metric;
    return MAIL_OK;
}

void mail_metrics_remove(mail_metrics *metrics, const char *name)
{
    list *at = metrics != NULL ? metrics->all.next : NULL;

    while (metrics != NULL && at != &metrics->all) {
        mail_metric *metric = LIST_OWNER(at, mail_metric, link);

        at = at->next;
        if (strcmp(metric->name, name) == 0) {
            list_remove(&metric->link);
            free_metric(metrics->mem, metric);
        }
    }
}

void mail_metric_count(mail_metric *metric, uint64_t n)
{
    if (metric != NULL) {
        metric->value += n;
    }
}

void mail_metric_set(mail_metric *metric, uint64_t value)
{
    if (metric != NULL) {
        metric->value = value;
    }
}

void mail_metric_observe(mail_metric *metric, mail_duration duration)
{
    if (metric == NULL) {
        return;
    }
    duration = duration > 0 ? duration : 0;
    metric->value++;
    metric->sum_ms += (uint64_t)(duration / MAIL_MILLISECOND);
    for (size_t i = 0; i < MAIL_COUNT(bounds); i++) {
        metric->buckets[i] += duration <= bounds[i] * MAIL_SECOND ? 1 : 0;
    }
}

uint64_t mail_metric_value(const mail_metric *metric)
{
    return metric != NULL ? metric->value : 0;
}

int mail_metrics_ask(mail_metrics *metrics, void (*fn)(void *arg), void *arg)
{
    asked *ask;

    if (metrics == NULL) {
        return MAIL_OK;
    }
    ask = mem_alloc(metrics->mem, sizeof(*ask));
    if (ask == NULL) {
        return MAIL_ENOMEM;
    }
    ask->fn = fn;
    ask->arg = arg;
    list_push_back(&metrics->asked, &ask->link);
    return MAIL_OK;
}

void mail_metrics_forget(mail_metrics *metrics, void *arg)
{
    list *at = metrics != NULL ? metrics->asked.next : NULL;

    while (metrics != NULL && at != &metrics->asked) {
        asked *ask = LIST_OWNER(at, asked, link);

        at = at->next;
        if (ask->arg == arg) {
            list_remove(&ask->link);
            mem_free(metrics->mem, ask, sizeof(*ask));
        }
    }
}

static int put_head(const mail_metric *metric, buffer *out)
{
    static const char *const kinds[] = {
        [MAIL_METRIC_COUNTER] = "counter",
        [MAIL_METRIC_GAUGE] = "gauge",
        [MAIL_METRIC_HISTOGRAM] = "histogram",
    };

    return buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                         metric->name, kinds[metric->kind]);
}

static int put_number(const mail_metric *metric, buffer *out)
{
    if (metric->label == NULL) {
        return buffer_printf(out, "%s %" PRIu64 "\n", metric->name, metric->value);
    }
    return buffer_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", metric->name, metric->label,
                         metric->text, metric->value);
}

/* The labels of a histogram's line stand before its own `le`. */
static int put_histogram(const mail_metric *metric, buffer *out)
{
    char label[256] = "";
    char alone[260] = "";
    int code = MAIL_OK;

    if (metric->label != NULL) {
        snprintf(label, sizeof(label), "%.100s=\"%.100s\",", metric->label, metric->text);
        snprintf(alone, sizeof(alone), "{%.*s}", (int)strlen(label) - 1, label);
    }
    for (size_t i = 0; i < MAIL_COUNT(bounds) && code == MAIL_OK; i++) {
        code = buffer_printf(out, "%s_bucket{%sle=\"%" PRIu32 "\"} %" PRIu64 "\n", metric->name,
                             label, bounds[i], metric->buckets[i]);
    }
    return code == MAIL_OK ? buffer_printf(out,
                                           "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n%s_sum%s %" PRIu64
                                           ".%03u\n%s_count%s %" PRIu64 "\n",
                                           metric->name, label, metric->value, metric->name, alone,
                                           metric->sum_ms / 1000, (unsigned)(metric->sum_ms % 1000),
                                           metric->name, alone, metric->value)
                           : code;
}

static int put_all(const mail_metrics *metrics, buffer *out)
{
    const char *family = "";
    int code = MAIL_OK;

    for (list *at = metrics->all.next; at != &metrics->all && code == MAIL_OK; at = at->next) {
        const mail_metric *metric = LIST_OWNER(at, mail_metric, link);

        if (strcmp(family, metric->name) != 0) {
            code = put_head(metric, out);
            family = metric->name;
        }
        if (code == MAIL_OK) {
            code = metric->kind == MAIL_METRIC_HISTOGRAM ? put_histogram(metric, out)
                                                         : put_number(metric, out);
        }
    }
    return code;
}

int mail_metrics_print(mail_metrics *metrics, mail_sink *out)
{
    buffer text;
    int code;

    for (list *at = metrics->asked.next; at != &metrics->asked; at = at->next) {
        const asked *ask = LIST_OWNER(at, asked, link);

        ask->fn(ask->arg);
    }
    buffer_init(&text, metrics->mem, SIZE_MAX / 2);
    code = put_all(metrics, &text);
    if (code == MAIL_OK && buffer_length(&text) > mail_sink_room(out)) {
        code = MAIL_ELIMIT;
    }
    if (code == MAIL_OK) {
        code = mail_sink_write(out, buffer_bytes(&text));
    }
    buffer_deinit(&text);
    return code;
}
