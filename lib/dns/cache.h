/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_CACHE_H
#define LIB_DNS_CACHE_H

#include <mail/dns.h>

/*
 * Answers, found again by name and type until their time is over. Bounded in number
 * and in memory; what has not been used for longest goes first. Reads no clock.
 */
typedef struct dns_cache dns_cache;

typedef struct dns_cache_options {
    const mail_mem *mem;
    const struct mail_random *random;
    uint32_t entries;          /* default 10000, with 1 KiB each on average */
    uint32_t ttl_min;          /* seconds; default 5 */
    uint32_t ttl_max;          /* default 86400 */
    uint32_t negative_ttl_max; /* default 300 */
} dns_cache_options;

/* MAIL_ENOMEM; MAIL_EINVAL when a minimum is above its maximum. */
int dns_cache_create(dns_cache **out, const dns_cache_options *opts);
void dns_cache_destroy(dns_cache *cache);

/*
 * Brings an answer's TTL within the bounds: one of a few milliseconds would have us
 * ask without end, one of years could never be corrected. A negative answer without
 * SOA keeps its TTL of 0.
 */
void dns_cache_limit_ttl(const dns_cache *cache, mail_dns_answer *answer);

/*
 * Keeps `answer` for its TTL, instead of what was kept before. Takes it in any case:
 * failures, answers of TTL 0 and those that there is no memory for are destroyed.
 */
void dns_cache_store(dns_cache *cache, const char *name, mail_dns_answer *answer, mail_time now);

/* Copies what is kept to `view`, its TTL being what is left; its parts lend until the next call. */
bool dns_cache_find(dns_cache *cache, const char *name, mail_dns_type type, mail_time now,
                    mail_dns_answer *view);

/* How many answers are kept, those included whose time is over. */
size_t dns_cache_count(const dns_cache *cache);

#endif
