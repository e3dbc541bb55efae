/* SPDX-License-Identifier: MIT */
#include <mail/tls.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/table.h"

#define ENTRIES_MAX 1000
#define LIFETIME    MAIL_HOUR

/* A key and the session behind it, in one block. */
typedef struct entry {
    table_entry by_key;
    list link; /* in order of their age */
    mail_time expires;
    size_t key_length;
    size_t session_length;
    char bytes[];
} entry;

struct mail_tls_cache {
    const mail_mem *mem;
    hash_seed seed;
    table entries;
    list by_age; /* the oldest first */
    uint32_t max_entries;
    mail_duration lifetime;
};

int mail_tls_cache_create(mail_tls_cache **out, const mail_tls_cache_options *opts)
{
    mail_tls_cache *cache = mem_alloc(opts->mem, sizeof(*cache));

    if (cache == NULL) {
        return MAIL_ENOMEM;
    }
    cache->mem = opts->mem;
    cache->max_entries = opts->max_entries > 0 ? opts->max_entries : ENTRIES_MAX;
    cache->lifetime = opts->lifetime > 0 ? opts->lifetime : LIFETIME;
    random_fill(NULL, &cache->seed, sizeof(cache->seed));
    table_init(&cache->entries, cache->mem);
    list_init(&cache->by_age);
    *out = cache;
    return MAIL_OK;
}

static mail_span key_of(const entry *en)
{
    return mail_span_of(en->bytes, en->key_length);
}

static size_t size_of(const entry *en)
{
    return sizeof(*en) + en->key_length + en->session_length;
}

/* Who reads a session in old memory could read along. */
static void forget(mail_tls_cache *cache, entry *en)
{
    size_t size = size_of(en);

    table_remove(&cache->entries, &en->by_key);
    list_remove(&en->link);
    explicit_bzero(en, size);
    mem_free(cache->mem, en, size);
}

void mail_tls_cache_clear(mail_tls_cache *cache)
{
    while (!list_is_empty(&cache->by_age)) {
        forget(cache, LIST_OWNER(cache->by_age.next, entry, link));
    }
}

void mail_tls_cache_destroy(mail_tls_cache *cache)
{
    if (cache != NULL) {
        mail_tls_cache_clear(cache);
        table_deinit(&cache->entries);
        mem_free(cache->mem, cache, sizeof(*cache));
    }
}

static entry *find(const mail_tls_cache *cache, mail_span key, uint64_t hash)
{
    for (table_entry *e = table_first(&cache->entries, hash); e != NULL; e = table_next(e)) {
        entry *en = LIST_OWNER(e, entry, by_key);

        if (mail_span_equal(key_of(en), key)) {
            return en;
        }
    }
    return NULL;
}

static entry *make(mail_tls_cache *cache, mail_span key, mail_span session)
{
    entry *en = mem_alloc(cache->mem, sizeof(*en) + key.length + session.length);

    if (en != NULL) {
        en->key_length = key.length;
        en->session_length = session.length;
        memcpy(en->bytes, key.data, key.length);
        memcpy(en->bytes + key.length, session.data, session.length);
    }
    return en;
}

void mail_tls_cache_put(mail_tls_cache *cache, mail_time now, mail_span key, mail_span session)
{
    uint64_t hash = hash_bytes(&cache->seed, key);
    entry *old = find(cache, key, hash);
    entry *en = make(cache, key, session);

    if (old != NULL) {
        forget(cache, old);
    }
    if (en == NULL || table_insert(&cache->entries, &en->by_key, hash) != MAIL_OK) {
        mem_free(cache->mem, en, sizeof(*en) + key.length + session.length);
        return; /* the next handshake is a whole one */
    }
    en->expires = now + cache->lifetime;
    list_push_back(&cache->by_age, &en->link);
    if (cache->entries.count > cache->max_entries) {
        forget(cache, LIST_OWNER(cache->by_age.next, entry, link));
    }
}

int mail_tls_cache_take(mail_tls_cache *cache, mail_time now, mail_span key, void *out, size_t size,
                        size_t *length)
{
    entry *en = find(cache, key, hash_bytes(&cache->seed, key));
    int code = MAIL_ENOENT;

    if (en == NULL) {
        return MAIL_ENOENT;
    }
    if (en->expires > now && en->session_length <= size) {
        memcpy(out, en->bytes + en->key_length, en->session_length);
        *length = en->session_length;
        code = MAIL_OK;
    }
    forget(cache, en);
    return code;
}
