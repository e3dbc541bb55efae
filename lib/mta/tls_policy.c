/* SPDX-License-Identifier: MIT */
#include <mail/tls_policy.h>

#include "base/list.h"
#include "base/mem.h"
#include "mta/pattern.h"

typedef struct policy {
    list link;
    domain_pattern pattern;
    mail_tls_level level;
} policy;

struct mail_tls_policy_table {
    const mail_mem *mem;
    list policies;
};

static const char *const level_names[] = {"may", "none", "require", "verify"};

const char *mail_tls_level_name(mail_tls_level level)
{
    return level_names[level];
}

int mail_tls_level_parse(mail_span name, mail_tls_level *out)
{
    for (size_t i = 0; i < MAIL_COUNT(level_names); i++) {
        if (mail_span_equal(name, mail_span_text(level_names[i]))) {
            *out = (mail_tls_level)i;
            return MAIL_OK;
        }
    }
    return MAIL_EINVAL;
}

int mail_tls_policy_table_create(mail_tls_policy_table **out, const mail_mem *mem)
{
    mail_tls_policy_table *table = mem_alloc(mem, sizeof(*table));

    if (table == NULL) {
        return MAIL_ENOMEM;
    }
    table->mem = mem;
    list_init(&table->policies);
    *out = table;
    return MAIL_OK;
}

void mail_tls_policy_table_destroy(mail_tls_policy_table *table)
{
    list *link;

    if (table == NULL) {
        return;
    }
    while ((link = list_pop_front(&table->policies)) != NULL) {
        mem_free(table->mem, LIST_OWNER(link, policy, link), sizeof(policy));
    }
    mem_free(table->mem, table, sizeof(*table));
}

int mail_tls_policy_table_add(mail_tls_policy_table *table, mail_span rule, mail_error *err)
{
    policy *pl = mem_alloc(table->mem, sizeof(*pl));
    int code;

    if (pl == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = domain_pattern_take(&pl->pattern, &rule, "a TLS policy is PATTERN=LEVEL", err);
    if (code == MAIL_OK) {
        code = mail_tls_level_parse(rule, &pl->level);
        if (code != MAIL_OK) {
            mail_error_set(err, code, "the level must be none, may, require or verify");
        }
    }
    if (code != MAIL_OK) {
        mem_free(table->mem, pl, sizeof(*pl));
        return code;
    }
    list_push_back(&table->policies, &pl->link);
    return MAIL_OK;
}

mail_tls_level mail_tls_policy_table_find(const mail_tls_policy_table *table, mail_span domain)
{
    domain_form form;

    domain_form_make(&form, domain);
    for (const list *link = table->policies.next; link != &table->policies; link = link->next) {
        const policy *pl = LIST_OWNER(link, policy, link);

        if (domain_pattern_matches(&pl->pattern, &form)) {
            return pl->level;
        }
    }
    return MAIL_TLS_LEVEL_MAY;
}
