/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "dns/answer.h"
#include "dns/cache.h"

static mail_dns_answer *make(mail_dns_status status, mail_dns_type type, uint32_t ttl,
                             const mail_mem *mem)
{
    const mail_dns_record records[] = {{.host = "mx.example"}};
    mail_dns_answer from = {.status = status, .type = type, .ttl = ttl, .name = "a.example"};
    mail_dns_answer *answer = NULL;

    if (status == MAIL_DNS_FOUND) {
        from.records = records;
        from.count = 1;
    }
    (void)dns_answer_copy(&answer, &from, mem);
    return answer;
}

static void store(dns_cache *cache, const char *name, mail_dns_status status, uint32_t ttl,
                  mail_time now)
{
    mail_dns_answer *answer = make(status, MAIL_DNS_MX, ttl, NULL);

    assert_non_null(answer);
    dns_cache_limit_ttl(cache, answer);
    dns_cache_store(cache, name, answer, now);
}

static bool is_kept(dns_cache *cache, const char *name, mail_time now)
{
    mail_dns_answer view;

    return dns_cache_find(cache, name, MAIL_DNS_MX, now, &view);
}

static void keeps_an_answer_for_its_time(void **state)
{
    mail_dns_answer view;
    dns_cache *cache;

    (void)state;
    assert_int_equal(dns_cache_create(&cache, &(dns_cache_options){0}), MAIL_OK);
    assert_false(is_kept(cache, "a.example", 0));
    store(cache, "a.example", MAIL_DNS_FOUND, 60, 7 * MAIL_SECOND);
    assert_true(dns_cache_find(cache, "a.example", MAIL_DNS_MX, 57 * MAIL_SECOND + 1, &view));
    assert_int_equal(view.ttl, 10);
    assert_int_equal(view.count, 1);
    assert_string_equal(view.records[0].host, "mx.example");
    assert_false(dns_cache_find(cache, "a.example", MAIL_DNS_A, 0, &view));
    assert_false(is_kept(cache, "b.example", 0));
    assert_true(is_kept(cache, "a.example", 67 * MAIL_SECOND - 1));
    assert_false(is_kept(cache, "a.example", 67 * MAIL_SECOND));
    assert_int_equal(dns_cache_count(cache), 0);
    dns_cache_destroy(cache);
}

/* MX-015. */
static void bounds_the_time_an_answer_holds(void **state)
{
    static const struct {
        const char *name;
        mail_dns_status status;
        uint32_t ttl;
        uint32_t want; /* 0: not kept */
    } cases[] = {
        {"within the bounds", MAIL_DNS_FOUND, 100, 100},
        {"too short", MAIL_DNS_FOUND, 0, 20},
        {"too long", MAIL_DNS_FOUND, INT32_MAX, 2000},
        {"an alias", MAIL_DNS_ALIAS, INT32_MAX, 2000},
        {"no data", MAIL_DNS_NODATA, 100, 100},
        {"no name, too short", MAIL_DNS_NXDOMAIN, 1, 20},
        {"no name, too long", MAIL_DNS_NXDOMAIN, 1999, 200},
        {"no data and no SOA", MAIL_DNS_NODATA, 0, 0},
        {"no name and no SOA", MAIL_DNS_NXDOMAIN, 0, 0},
        {"a failure", MAIL_DNS_FAILED, 100, 0},
    };
    dns_cache *cache;

    (void)state;
    assert_int_equal(
        dns_cache_create(
            &cache, &(dns_cache_options){.ttl_min = 20, .ttl_max = 2000, .negative_ttl_max = 200}),
        MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_dns_answer view = {.ttl = 0};

        mail_test_case(cases[i].name);
        store(cache, "a.example", cases[i].status, cases[i].ttl, 0);
        assert_int_equal(dns_cache_find(cache, "a.example", MAIL_DNS_MX, 0, &view),
                         cases[i].want > 0);
        assert_int_equal(view.ttl, cases[i].want);
    }
    dns_cache_destroy(cache);
    assert_int_equal(dns_cache_create(&cache, &(dns_cache_options){.ttl_min = 400}), MAIL_EINVAL);
    assert_int_equal(dns_cache_create(&cache, &(dns_cache_options){.ttl_max = 4}), MAIL_EINVAL);
}

static void forgets_first_what_was_not_used_for_longest(void **state)
{
    dns_cache *cache;

    (void)state;
    assert_int_equal(dns_cache_create(&cache, &(dns_cache_options){.entries = 3}), MAIL_OK);
    store(cache, "a", MAIL_DNS_FOUND, 60, 0);
    store(cache, "b", MAIL_DNS_FOUND, 60, 0);
    store(cache, "c", MAIL_DNS_FOUND, 60, 0);
    assert_true(is_kept(cache, "a", 0));
    store(cache, "d", MAIL_DNS_NODATA, 60, 0);
    assert_false(is_kept(cache, "b", 0));
    assert_true(is_kept(cache, "a", 0));
    assert_true(is_kept(cache, "c", 0));
    assert_true(is_kept(cache, "d", 0));
    store(cache, "d", MAIL_DNS_FOUND, 60, 0);
    assert_int_equal(dns_cache_count(cache), 3);
    dns_cache_destroy(cache);
}

static void stays_within_its_memory(void **state)
{
    static char text[16000];
    const mail_dns_record record = {.text = {text, sizeof(text)}};
    mail_test_walk mem;
    dns_cache *cache;

    (void)state;
    mail_test_mem_init(&mem);
    assert_int_equal(dns_cache_create(&cache, &(dns_cache_options){.mem = &mem.mem, .entries = 40}),
                     MAIL_OK);
    for (unsigned i = 0; i < 40; i++) {
        mail_dns_answer from = {.status = MAIL_DNS_FOUND,
                                .type = MAIL_DNS_TXT,
                                .ttl = 60,
                                .name = "a",
                                .records = &record,
                                .count = 1};
        char name[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
        mail_dns_answer *answer;

        assert_int_equal(dns_answer_copy(&answer, &from, &mem.mem), MAIL_OK);
        dns_cache_store(cache, name, answer, 0);
        assert_true(mem.bytes < 42 * 1024);
    }
    assert_int_equal(dns_cache_count(cache), 2);
    dns_cache_destroy(cache);
    mail_test_mem_check(&mem);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_dns_answer *answer;
        dns_cache *cache;

        if (dns_cache_create(&cache, &(dns_cache_options){.mem = &walk.mem}) != MAIL_OK) {
            assert_true(walk.failed);
            continue;
        }
        answer = make(MAIL_DNS_FOUND, MAIL_DNS_MX, 60, &walk.mem);
        if (answer != NULL) {
            dns_cache_store(cache, "a", answer, 0);
            assert_int_equal(is_kept(cache, "a", 0), !walk.failed);
        }
        dns_cache_destroy(cache);
    }
    dns_cache_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_an_answer_for_its_time),
        cmocka_unit_test(bounds_the_time_an_answer_holds),
        cmocka_unit_test(forgets_first_what_was_not_used_for_longest),
        cmocka_unit_test(stays_within_its_memory),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
