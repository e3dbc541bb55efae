/* SPDX-License-Identifier: MIT */
#include "world/zone.h"

#include <assert.h>
#include <stdio.h>

typedef struct zone {
    const story *story;
    bool (*fails)(const char *name, void *arg);
    void *arg;
    char *out;
    size_t used;
} zone;

/* One record: of a name of at most 255 octets, and so at most 600 long. */
static_assert((STORY_MXS_MAX + STORY_DOMAINS_MAX + STORY_HOSTS_MAX) * 600 < ZONE_SIZE,
              "a zone has room");

mail_ip zone_address(size_t host)
{
    return (mail_ip){4, {10, 0, 0, (unsigned char)(host + 1)}, 0};
}

bool zone_is_below(const char *name, const char *domain)
{
    size_t length = strlen(name);
    size_t tail = strlen(domain);

    return length >= tail && strcmp(name + length - tail, domain) == 0 &&
           (length == tail || name[length - tail - 1] == '.');
}

static void add_record(zone *zn, const char *name, const char *record)
{
    zn->used += (size_t)snprintf(zn->out + zn->used, ZONE_SIZE - zn->used, "%s %s; ", name,
                                 zn->fails(name, zn->arg) ? "FAIL" : record);
}

static void add_mx(zone *zn, const char *domain, unsigned preference, size_t host)
{
    char record[MAIL_DOMAIN_SIZE + 16];

    snprintf(record, sizeof(record), "MX %u %s", preference, zn->story->hosts[host].name);
    add_record(zn, domain, record);
}

static bool has_mx(const story *st, const char *domain)
{
    for (size_t i = 0; i < st->mx_count; i++) {
        if (strcmp(st->mxs[i].domain, domain) == 0) {
            return true;
        }
    }
    return false;
}

void zone_write(const story *st, bool (*fails)(const char *name, void *arg), void *arg,
                char out[ZONE_SIZE])
{
    zone zn = {.story = st, .fails = fails, .arg = arg, .out = out};

    out[0] = '\0';
    for (size_t i = 0; i < st->mx_count; i++) {
        add_mx(&zn, st->mxs[i].domain, st->mxs[i].preference, st->mxs[i].host);
    }
    for (size_t i = 0; i < st->domain_count; i++) {
        if (!has_mx(st, st->domains[i].name)) {
            add_mx(&zn, st->domains[i].name, 10, st->domains[i].host);
        }
    }
    for (size_t i = 0; i < st->host_count; i++) {
        mail_ip ip = zone_address(i);
        char record[MAIL_IP_TEXT_SIZE + 2] = "A ";

        mail_ip_print(&ip, record + 2);
        add_record(&zn, st->hosts[i].name, record);
    }
}
