/* SPDX-License-Identifier: MIT */
#include <mail/mx.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

/*
 * A plan that is told whatever the input says, answers that contradict each other
 * included: it must come to a verdict that keeps its promises.
 */

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define RECORDS_MAX   40
#define QUESTIONS_MAX 1000

typedef struct input {
    const uint8_t *data;
    size_t size;
    uint64_t chance;
} input;

/* Zeros behind the end. */
static unsigned next(input *in)
{
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

/* Chance goes on behind the end: who draws until a number suits must get one some time. */
static void fill(void *arg, void *to, size_t size)
{
    input *in = arg;

    for (size_t i = 0; i < size; i++) {
        in->chance = in->chance * 6364136223846793005U + 1442695040888963407U + next(in);
        ((unsigned char *)to)[i] = (unsigned char)(in->chance >> 56);
    }
}

static const char *next_name(input *in)
{
    static const char *const names[] = {"a.example",  "mx1.example", "mx2.example", "mx3.example",
                                        "us.example", "localhost",   ".",           "",
                                        "9.9.9.9",    "x",           "b.example",   "c.example"};

    return names[next(in) % MAIL_COUNT(names)];
}

/* Names that an alias may lead to: those that an answer has been checked to hold. */
static const char *next_clean_name(input *in)
{
    const char *name = next_name(in);

    return name[0] != '\0' && strcmp(name, ".") != 0 ? name : "d.example";
}

static mail_ip next_ip(input *in)
{
    mail_ip ip = {.family = next(in) % 2 == 0 ? 4 : 6};
    unsigned kind = next(in);

    ip.bytes[0] = kind % 4 == 0 ? 127 : 9; /* some private, some ours: 9.9.9.9 */
    memset(ip.bytes + 1, 9, 2);
    ip.bytes[3] = (unsigned char)next(in);
    return ip;
}

static void make_answer(input *in, mail_dns_type type, mail_dns_answer *answer,
                        mail_dns_record records[RECORDS_MAX])
{
    static const mail_dns_status statuses[] = {MAIL_DNS_FOUND,  MAIL_DNS_FOUND,    MAIL_DNS_FOUND,
                                               MAIL_DNS_NODATA, MAIL_DNS_NXDOMAIN, MAIL_DNS_ALIAS,
                                               MAIL_DNS_FAILED};

    *answer = (mail_dns_answer){
        .status = statuses[next(in) % MAIL_COUNT(statuses)],
        .type = type,
        .ttl = next(in),
        .aliases = next(in) % 4,
        .name = next_clean_name(in),
        .records = records,
        .reason = "a reason",
    };
    if (answer->status == MAIL_DNS_ALIAS && answer->aliases == 0) {
        answer->aliases = 1;
    }
    if (answer->status != MAIL_DNS_FOUND) {
        return;
    }
    answer->count = 1 + next(in) % RECORDS_MAX;
    for (size_t i = 0; i < answer->count; i++) {
        records[i] = (mail_dns_record){
            .ip = next_ip(in),
            .preference = (uint16_t)(next(in) % 4),
            .host = next_name(in),
        };
    }
}

static void check_verdict(const mail_mx_verdict *verdict, const mail_mx_options *opts)
{
    REQUIRE((verdict->reply.code == 0) == (verdict->host_count > 0));
    REQUIRE(verdict->reply.code == 0 || verdict->reply.code / 100 == verdict->reply.status[0]);
    REQUIRE(verdict->reply.code == 0 || verdict->reply.text.length > 0);
    REQUIRE(verdict->host_count <= opts->max_hosts);
    REQUIRE(verdict->has_faults == (verdict->faults.length > 0));
    for (size_t i = 0; i < verdict->host_count; i++) {
        const mail_mx_host *host = &verdict->hosts[i];

        REQUIRE(i == 0 || host->preference >= host[-1].preference);
        REQUIRE(host->address_count > 0 && host->address_count <= opts->max_addresses);
        REQUIRE(opts->is_host || strcmp(host->name, "us.example") != 0);
        for (size_t j = 0; j < host->address_count; j++) {
            REQUIRE(opts->is_host || opts->allow_private ||
                    !mail_ip_is_private(&host->addresses[j]));
            REQUIRE(opts->is_host || !mail_ip_equal(&host->addresses[j], &opts->own_addresses->ip));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mail_endpoint own = {.ip = {4, {9, 9, 9, 9}, 0}};
    input in = {data, size, 0};
    const mail_random random = {fill, &in};
    mail_mx_options opts = MAIL_MX_OPTIONS_INIT;
    mail_dns_record records[RECORDS_MAX];
    mail_mx_plan *plan;
    unsigned questions = 0;

    opts.is_host = next(&in) % 8 == 0;
    opts.allow_private = next(&in) % 2 == 0;
    opts.max_hosts = 1 + next(&in) % 5;
    opts.max_addresses = 1 + next(&in) % 3;
    opts.own_hostname = MAIL_SPAN("us.example");
    opts.own_addresses = &own;
    opts.own_address_count = 1;
    opts.random = &random;
    REQUIRE(mail_mx_plan_create(&plan, mail_span_text(next_name(&in)), &opts) == MAIL_OK);
    while (mail_mx_plan_verdict(plan) == NULL) {
        mail_dns_answer answer;
        mail_mx_need need;

        REQUIRE(mail_mx_plan_next(plan, &need));
        REQUIRE(++questions < QUESTIONS_MAX);
        make_answer(&in, need.type, &answer, records);
        REQUIRE(mail_mx_plan_tell(plan, need.number, &answer) == MAIL_OK);
    }
    check_verdict(mail_mx_plan_verdict(plan), &opts);
    mail_mx_plan_destroy(plan);
    return 0;
}
