/* SPDX-License-Identifier: MIT */
#ifndef TESTS_DNS_FAKE_ZONE_H
#define TESTS_DNS_FAKE_ZONE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mail/dns.h>

/*
 * The contents of a whole DNS in one text, records divided by `;`:
 *
 *     a.example MX 10 mx.a.example; mx.a.example A 9.9.9.9; b.example CNAME a.example
 *
 * Further words in the type's place: EXISTS (the name has no records), FAIL or
 * FAIL-A, FAIL-AAAA, FAIL-MX (no answer), ALIAS (a CNAME that the server does not
 * follow), BAD-MX (a target that is no host name). A name that nothing is said of
 * does not exist. The TTL is 300, or what a record `name TTL seconds` says.
 */
enum {
    FAKE_RECORDS_MAX = 200
};

typedef struct fake_answer {
    mail_dns_answer answer;
    char name[MAIL_DOMAIN_SIZE];
    mail_dns_record records[FAKE_RECORDS_MAX];
    char hosts[FAKE_RECORDS_MAX][MAIL_DOMAIN_SIZE];
} fake_answer;

typedef struct fake_line {
    char owner[MAIL_DOMAIN_SIZE];
    char type[16];
    char words[2][MAIL_DOMAIN_SIZE];
} fake_line;

/* Reads one record and returns what follows it, NULL at the end. */
static inline const char *fake_next(const char *zone, fake_line *line)
{
    char text[1024];
    size_t length;

    zone += strspn(zone, "; ");
    length = strcspn(zone, ";");
    if (length == 0) {
        return NULL;
    }
    snprintf(text, sizeof(text), "%.*s", (int)length, zone);
    memset(line, 0, sizeof(*line));
    sscanf(text, "%255s %15s %255s %255s", line->owner, line->type, line->words[0], line->words[1]);
    return zone + length;
}

static inline void fake_take(fake_answer *fake, const fake_line *line)
{
    mail_dns_record *record = &fake->records[fake->answer.count];

    memset(record, 0, sizeof(*record));
    if (fake->answer.type == MAIL_DNS_MX) {
        char *host = fake->hosts[fake->answer.count];

        snprintf(host, MAIL_DOMAIN_SIZE, "%s", strcmp(line->type, "MX") == 0 ? line->words[1] : "");
        record->preference = (uint16_t)atoi(line->words[0]);
        record->host = host;
    } else {
        (void)mail_ip_parse(mail_span_text(line->words[0]), &record->ip);
    }
    fake->answer.status = MAIL_DNS_FOUND;
    fake->answer.count++;
}

/* Reads what is said of fake->name; true when it is an alias to be followed. */
static inline bool fake_visit(fake_answer *fake, const char *zone)
{
    const char *wanted = mail_dns_type_name(fake->answer.type);
    char target[MAIL_DOMAIN_SIZE] = "";
    fake_line line;

    fake->answer.status = MAIL_DNS_NXDOMAIN;
    while ((zone = fake_next(zone, &line)) != NULL) {
        if (strcmp(line.owner, fake->name) != 0) {
            continue;
        }
        if (fake->answer.status == MAIL_DNS_NXDOMAIN) {
            fake->answer.status = MAIL_DNS_NODATA;
        }
        if (strcmp(line.type, wanted) == 0 ||
            (strcmp(line.type, "BAD-MX") == 0 && fake->answer.type == MAIL_DNS_MX)) {
            fake_take(fake, &line);
        } else if (strcmp(line.type, "TTL") == 0) {
            fake->answer.ttl = (uint32_t)atoi(line.words[0]);
        } else if (strcmp(line.type, "CNAME") == 0 || strcmp(line.type, "ALIAS") == 0) {
            snprintf(target, sizeof(target), "%s", line.words[0]);
            fake->answer.aliases++;
            fake->answer.status = MAIL_DNS_ALIAS;
        } else if (strcmp(line.type, "FAIL") == 0 ||
                   (strncmp(line.type, "FAIL-", 5) == 0 && strcmp(line.type + 5, wanted) == 0)) {
            fake->answer.status = MAIL_DNS_FAILED;
            fake->answer.reason = "the server failed (SERVFAIL)";
            return false;
        }
        if (strcmp(line.type, "ALIAS") == 0) {
            snprintf(fake->name, sizeof(fake->name), "%s", target);
            return false;
        }
    }
    if (target[0] == '\0') {
        return false;
    }
    snprintf(fake->name, sizeof(fake->name), "%s", target);
    return true;
}

/* The answer to one question, as a resolver would give it. */
static inline void fake_ask(fake_answer *fake, const char *zone, const char *name,
                            mail_dns_type type)
{
    fake->answer = (mail_dns_answer){.type = type, .ttl = 300};
    snprintf(fake->name, sizeof(fake->name), "%s", name);
    while (fake_visit(fake, zone)) {
        if (fake->answer.aliases > 8) {
            fake->answer.status = MAIL_DNS_FAILED;
            fake->answer.reason = "a loop of aliases";
            break;
        }
    }
    fake->answer.name = fake->name;
    fake->answer.records = fake->records;
}

#endif
