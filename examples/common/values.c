/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include <mail/log.h>
#include <mail/resolver.h>

/* What a suffix multiplies with; the empty one comes first. */
typedef struct unit {
    const char *suffix;
    uint64_t factor;
} unit;

static const unit *find_unit(const unit *units, size_t count, const char *suffix)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].suffix, suffix) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* Digits and a unit, nothing else: no sign, no blank, no wrapping round. */
static bool read_number(const char *value, const unit *units, size_t count, uint64_t max,
                        uint64_t *out)
{
    const unit *found;
    uint64_t n = 0;
    const char *at = value;

    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    found = at == value ? NULL : find_unit(units, count, at);
    if (found == NULL || n > max / found->factor) {
        return false;
    }
    *out = n * found->factor;
    return true;
}

static const unit plain[] = {{"", 1}};

int option_set_switch(void *field, const char *value, mail_error *err)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};

    for (size_t i = 0; i < MAIL_COUNT(words); i++) {
        if (strcmp(value, words[i].word) == 0) {
            *(bool *)field = words[i].on;
            return MAIL_OK;
        }
    }
    return mail_error_set(err, MAIL_EINVAL, "\"%s\" is neither yes nor no", value);
}

int option_set_text(void *field, const char *value, mail_error *err)
{
    if (*value == '\0') {
        return mail_error_set(err, MAIL_EINVAL, "it must not be empty");
    }
    *(const char **)field = value;
    return MAIL_OK;
}

static int no_memory(mail_error *err)
{
    return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
}

int option_set_texts(void *field, const char *value, mail_error *err)
{
    option_texts *texts = field;
    const char **items;

    if (*value == '\0') {
        return mail_error_set(err, MAIL_EINVAL, "it must not be empty");
    }
    items = realloc(texts->items, (texts->count + 1) * sizeof(*items));
    if (items == NULL) {
        return no_memory(err);
    }
    texts->items = items;
    texts->items[texts->count++] = value;
    return MAIL_OK;
}

void option_texts_deinit(option_texts *texts)
{
    free(texts->items);
    *texts = (option_texts){0};
}

static int add_endpoint(option_endpoints *endpoints, const mail_endpoint *at, mail_error *err)
{
    mail_endpoint *items =
        realloc(endpoints->items, (endpoints->count + 1) * sizeof(*endpoints->items));

    if (items == NULL) {
        return no_memory(err);
    }
    endpoints->items = items;
    endpoints->items[endpoints->count++] = *at;
    return MAIL_OK;
}

int option_set_endpoints(void *field, const char *value, mail_error *err)
{
    mail_endpoint at;

    if (mail_endpoint_parse(mail_span_text(value), &at) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL,
                              "\"%s\" is no address such as 127.0.0.1:9100 or [::1]:9100", value);
    }
    return add_endpoint(field, &at, err);
}

int option_set_resolvers(void *field, const char *value, mail_error *err)
{
    mail_endpoint at;

    if (mail_endpoint_parse_peer(mail_span_text(value), MAIL_RESOLVER_PORT, &at) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL,
                              "\"%s\" is no address such as 192.0.2.1 or 192.0.2.1:5353", value);
    }
    return add_endpoint(field, &at, err);
}

void option_endpoints_deinit(option_endpoints *endpoints)
{
    free(endpoints->items);
    *endpoints = (option_endpoints){0};
}

int option_set_networks(void *field, const char *value, mail_error *err)
{
    option_networks *networks = field;
    mail_network *items;
    mail_network network;

    if (mail_network_parse(mail_span_text(value), &network) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no network such as 192.0.2.0/24", value);
    }
    items = realloc(networks->items, (networks->count + 1) * sizeof(*items));
    if (items == NULL) {
        return no_memory(err);
    }
    networks->items = items;
    networks->items[networks->count++] = network;
    return MAIL_OK;
}

void option_networks_deinit(option_networks *networks)
{
    free(networks->items);
    *networks = (option_networks){0};
}

int option_set_hostname(void *field, const char *value, mail_error *err)
{
    char name[MAIL_DOMAIN_SIZE];

    if (mail_domain_to_ascii(mail_span_text(value), name) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no domain name", value);
    }
    *(const char **)field = value;
    return MAIL_OK;
}

int option_set_log_level(void *field, const char *value, mail_error *err)
{
    for (mail_log_level level = MAIL_LOG_ERROR; level <= MAIL_LOG_DEBUG; level++) {
        if (strcmp(value, mail_log_level_name(level)) == 0) {
            *(mail_log_level *)field = level;
            return MAIL_OK;
        }
    }
    return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no level: error, warn, info or debug",
                          value);
}

int option_set_log_format(void *field, const char *value, mail_error *err)
{
    if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is neither text nor json", value);
    }
    *(mail_log_format *)field = *value == 't' ? MAIL_LOG_TEXT : MAIL_LOG_JSON;
    return MAIL_OK;
}

int option_set_mailbox_format(void *field, const char *value, mail_error *err)
{
    (void)field;
    if (strcmp(value, "maildir") != 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is not maildir", value);
    }
    return MAIL_OK;
}

int option_set_count(void *field, const char *value, mail_error *err)
{
    uint64_t n;

    if (!read_number(value, plain, MAIL_COUNT(plain), UINT32_MAX, &n) || n == 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no number from 1 on", value);
    }
    *(uint32_t *)field = (uint32_t)n;
    return MAIL_OK;
}

int option_set_port(void *field, const char *value, mail_error *err)
{
    uint64_t n;

    if (!read_number(value, plain, MAIL_COUNT(plain), UINT16_MAX, &n) || n == 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no port from 1 to 65535", value);
    }
    *(uint16_t *)field = (uint16_t)n;
    return MAIL_OK;
}

int option_set_size(void *field, const char *value, mail_error *err)
{
    static const unit units[] = {{"", 1},        {"k", 1 << 10}, {"K", 1 << 10}, {"m", 1 << 20},
                                 {"M", 1 << 20}, {"g", 1 << 30}, {"G", 1 << 30}};
    uint64_t n;

    if (!read_number(value, units, MAIL_COUNT(units), INT64_MAX, &n) || n == 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no size such as 52428800 or 50M", value);
    }
    *(uint64_t *)field = n;
    return MAIL_OK;
}

/* A century is more than anybody means, and leaves sums of instants far from overflow. */
#define DURATION_MAX (36500 * MAIL_DAY)

static bool read_duration(const char *value, mail_duration *out)
{
    static const unit units[] = {{"", MAIL_SECOND},
                                 {"s", MAIL_SECOND},
                                 {"m", MAIL_MINUTE},
                                 {"h", MAIL_HOUR},
                                 {"d", MAIL_DAY}};
    uint64_t n;

    if (!read_number(value, units, MAIL_COUNT(units), DURATION_MAX, &n) || n == 0) {
        return false;
    }
    *out = (mail_duration)n;
    return true;
}

int option_set_duration(void *field, const char *value, mail_error *err)
{
    if (!read_duration(value, field)) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no time such as 90, 5m, 4h or 5d",
                              value);
    }
    return MAIL_OK;
}

/* `N/TIME`: so many at once, and as many again in that time. */
int option_set_rate(void *field, const char *value, mail_error *err)
{
    mail_rate_options *rate = field;
    const char *slash = strchr(value, '/');
    char count[16] = "";
    mail_duration time;
    mail_rate trial;

    if (strcmp(value, "none") == 0) {
        *rate = (mail_rate_options){.interval = -1};
        return MAIL_OK;
    }
    if (slash != NULL && (size_t)(slash - value) < sizeof(count)) {
        memcpy(count, value, (size_t)(slash - value));
    }
    if (option_set_count(&rate->burst, count, NULL) != MAIL_OK ||
        !read_duration(slash + 1, &time) || time < rate->burst) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no rate such as 600/1m or 5000/1h",
                              value);
    }
    rate->interval = time / rate->burst;
    if (mail_rate_init(&trial, rate) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is a rate of more than a year", value);
    }
    return MAIL_OK;
}

int option_set_durations(void *field, const char *value, mail_error *err)
{
    option_durations list = {.count = 0};
    const char *at = value;

    for (;;) {
        size_t length = strcspn(at, ",");
        char item[32];

        if (length >= sizeof(item) || list.count == OPTION_DURATIONS_MAX) {
            return mail_error_set(err, MAIL_EINVAL, "it is too long");
        }
        memcpy(item, at, length);
        item[length] = '\0';
        if (!read_duration(item, &list.items[list.count++])) {
            return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no time such as 90, 5m, 4h or 5d",
                                  item);
        }
        if (at[length] == '\0') {
            break;
        }
        at += length + 1;
    }
    *(option_durations *)field = list;
    return MAIL_OK;
}
