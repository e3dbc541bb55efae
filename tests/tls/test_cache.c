/* SPDX-License-Identifier: MIT */
#include <mail/tls.h>

#include "support/support.h"

#define START (1000 * MAIL_SECOND)

static mail_tls_cache *create(const mail_mem *mem, uint32_t max_entries)
{
    mail_tls_cache_options opts = MAIL_TLS_CACHE_OPTIONS_INIT;
    mail_tls_cache *cache = NULL;

    opts.mem = mem;
    opts.max_entries = max_entries;
    opts.lifetime = MAIL_MINUTE;
    assert_int_equal(mail_tls_cache_create(&cache, &opts), MAIL_OK);
    return cache;
}

static void put(mail_tls_cache *cache, mail_time now, const char *key, const char *session)
{
    mail_tls_cache_put(cache, now, mail_span_text(key), mail_span_text(session));
}

/* What is kept for `key`, or NULL; it is gone then. */
static const char *take(mail_tls_cache *cache, mail_time now, const char *key)
{
    static char session[20];
    size_t length;

    if (mail_tls_cache_take(cache, now, mail_span_text(key), session, sizeof(session) - 1,
                            &length) != MAIL_OK) {
        return NULL;
    }
    session[length] = '\0';
    return session;
}

static void gives_each_session_once(void **state)
{
    mail_tls_cache *cache = create(NULL, 0);

    (void)state;
    put(cache, START, "mx.example:25 verify", "one");
    put(cache, START, "mx.example:25 may", "two");
    assert_null(take(cache, START, "mx.example:25"));
    assert_string_equal(take(cache, START, "mx.example:25 verify"), "one");
    assert_null(take(cache, START, "mx.example:25 verify"));
    assert_string_equal(take(cache, START, "mx.example:25 may"), "two");
    mail_tls_cache_destroy(cache);
}

static void keeps_the_latest_for_a_key(void **state)
{
    mail_tls_cache *cache = create(NULL, 0);

    (void)state;
    put(cache, START, "a", "old");
    put(cache, START, "a", "new");
    assert_string_equal(take(cache, START, "a"), "new");
    assert_null(take(cache, START, "a"));
    mail_tls_cache_destroy(cache);
}

static void forgets_what_is_old_or_too_much(void **state)
{
    mail_tls_cache *cache = create(NULL, 2);

    (void)state;
    put(cache, START, "a", "1");
    put(cache, START, "b", "2");
    put(cache, START, "c", "3");
    assert_null(take(cache, START, "a"));
    assert_null(take(cache, START + MAIL_MINUTE, "b"));
    assert_string_equal(take(cache, START + MAIL_MINUTE - 1, "c"), "3");
    put(cache, START, "d", "longer than the room for it");
    assert_null(take(cache, START, "d"));
    put(cache, START, "e", "5");
    mail_tls_cache_clear(cache);
    assert_null(take(cache, START, "e"));
    mail_tls_cache_destroy(cache);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_tls_cache_options opts = MAIL_TLS_CACHE_OPTIONS_INIT;
        mail_tls_cache *cache;

        opts.mem = &walk.mem;
        if (mail_tls_cache_create(&cache, &opts) != MAIL_OK) {
            continue;
        }
        put(cache, START, "a", "1");
        put(cache, START, "b", "2");
        put(cache, START, "a", "3");
        (void)take(cache, START, "b");
        mail_tls_cache_destroy(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_each_session_once),
        cmocka_unit_test(keeps_the_latest_for_a_key),
        cmocka_unit_test(forgets_what_is_old_or_too_much),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
