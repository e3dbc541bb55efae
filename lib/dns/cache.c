/* SPDX-License-Identifier: MIT */
#include "dns/cache.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/table.h"

#define DEFAULT_ENTRIES          10000
#define DEFAULT_TTL_MIN          5
#define DEFAULT_TTL_MAX          86400
#define DEFAULT_NEGATIVE_TTL_MAX 300
#define BYTES_PER_ENTRY          1024

typedef struct entry {
    table_entry in_table;
    list in_use; /* most recently used first */
    mail_time expires;
    mail_dns_answer *answer;
    char name[]; /* that was asked for */
} entry;

struct dns_cache {
    const mail_mem *mem;
    hash_seed seed;
    uint32_t ttl_min;
    uint32_t ttl_max;
    uint32_t negative_ttl_max;
    size_t entries_max;
    size_t bytes_max;
    size_t bytes; /* of entries and answers */
    table by_key;
    list in_use;
};

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

int dns_cache_create(dns_cache **out, const dns_cache_options *opts)
{
    dns_cache *cache;
    uint32_t ttl_min = or_default(opts->ttl_min, DEFAULT_TTL_MIN);
    uint32_t ttl_max = or_default(opts->ttl_max, DEFAULT_TTL_MAX);
    uint32_t negative_ttl_max = or_default(opts->negative_ttl_max, DEFAULT_NEGATIVE_TTL_MAX);

    if (ttl_min > ttl_max || ttl_min > negative_ttl_max) {
        return MAIL_EINVAL;
    }
    cache = mem_alloc(opts->mem, sizeof(*cache));
    if (cache == NULL) {
        return MAIL_ENOMEM;
    }
    cache->mem = opts->mem;
    cache->ttl_min = ttl_min;
    cache->ttl_max = ttl_max;
    cache->negative_ttl_max = negative_ttl_max;
    cache->entries_max = or_default(opts->entries, DEFAULT_ENTRIES);
    cache->bytes_max = cache->entries_max * BYTES_PER_ENTRY;
    random_fill(opts->random, &cache->seed, sizeof(cache->seed));
    table_init(&cache->by_key, opts->mem);
    list_init(&cache->in_use);
    *out = cache;
    return MAIL_OK;
}

static size_t entry_size(const entry *en)
{
    return sizeof(*en) + strlen(en->name) + 1;
}

static void drop(dns_cache *cache, entry *en)
{
    table_remove(&cache->by_key, &en->in_table);
    list_remove(&en->in_use);
    cache->bytes -= entry_size(en) + en->answer->size;
    mail_dns_answer_destroy(en->answer);
    mem_free(cache->mem, en, entry_size(en));
}

static entry *least_used(const dns_cache *cache)
{
    return LIST_OWNER(cache->in_use.prev, entry, in_use);
}

void dns_cache_destroy(dns_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    while (!list_is_empty(&cache->in_use)) {
        drop(cache, least_used(cache));
    }
    table_deinit(&cache->by_key);
    mem_free(cache->mem, cache, sizeof(*cache));
}

void dns_cache_limit_ttl(const dns_cache *cache, mail_dns_answer *answer)
{
    bool negative = answer->status == MAIL_DNS_NODATA || answer->status == MAIL_DNS_NXDOMAIN;
    uint32_t max = negative ? cache->negative_ttl_max : cache->ttl_max;

    /* RFC 2308, section 5: a negative answer without SOA should not be kept. */
    if (answer->status == MAIL_DNS_FAILED || (negative && answer->ttl == 0)) {
        return;
    }
    if (answer->ttl < cache->ttl_min) {
        answer->ttl = cache->ttl_min;
    } else if (answer->ttl > max) {
        answer->ttl = max;
    }
}

/* The type is mixed in behind the hash, so that equal names do not share a chain. */
static uint64_t key_hash(const dns_cache *cache, const char *name, mail_dns_type type)
{
    return hash_bytes(&cache->seed, mail_span_text(name)) ^ (uint64_t)type << 8;
}

static entry *find(const dns_cache *cache, const char *name, mail_dns_type type)
{
    uint64_t hash = key_hash(cache, name, type);

    for (table_entry *te = table_first(&cache->by_key, hash); te != NULL; te = table_next(te)) {
        entry *en = LIST_OWNER(te, entry, in_table);

        if (en->answer->type == type && strcmp(en->name, name) == 0) {
            return en;
        }
    }
    return NULL;
}

static bool insert(dns_cache *cache, const char *name, mail_dns_answer *answer, mail_time now)
{
    size_t size = sizeof(entry) + strlen(name) + 1;
    entry *en = mem_alloc(cache->mem, size);

    if (en == NULL) {
        return false;
    }
    if (table_insert(&cache->by_key, &en->in_table, key_hash(cache, name, answer->type)) !=
        MAIL_OK) {
        mem_free(cache->mem, en, size);
        return false;
    }
    memcpy(en->name, name, strlen(name) + 1);
    en->answer = answer;
    en->expires = now + (mail_duration)answer->ttl * MAIL_SECOND;
    list_push_front(&cache->in_use, &en->in_use);
    cache->bytes += size + answer->size;
    return true;
}

void dns_cache_store(dns_cache *cache, const char *name, mail_dns_answer *answer, mail_time now)
{
    entry *old = find(cache, name, answer->type);

    if (old != NULL) {
        drop(cache, old);
    }
    if (answer->status == MAIL_DNS_FAILED || answer->ttl == 0 ||
        !insert(cache, name, answer, now)) {
        mail_dns_answer_destroy(answer);
        return;
    }
    while (cache->by_key.count > cache->entries_max ||
           (cache->bytes > cache->bytes_max && cache->by_key.count > 1)) {
        drop(cache, least_used(cache));
    }
}

bool dns_cache_find(dns_cache *cache, const char *name, mail_dns_type type, mail_time now,
                    mail_dns_answer *view)
{
    entry *en = find(cache, name, type);

    if (en == NULL) {
        return false;
    }
    if (en->expires <= now) {
        drop(cache, en);
        return false;
    }
    list_remove(&en->in_use);
    list_push_front(&cache->in_use, &en->in_use);
    *view = *en->answer;
    view->ttl = (uint32_t)((en->expires - now + MAIL_SECOND - 1) / MAIL_SECOND);
    return true;
}

size_t dns_cache_count(const dns_cache *cache)
{
    return cache->by_key.count;
}
