/* SPDX-License-Identifier: MIT */
#include "mta/domain_set.h"

#include <stdlib.h>

#include <mail/address.h>

#include "base/ascii.h"
#include "base/mem.h"

static int canonical(mail_span domain, char out[MAIL_DOMAIN_SIZE])
{
    mail_ip ip;

    if (mail_ip_parse_literal(domain, &ip) == MAIL_OK) {
        out[mail_ip_print_literal(&ip, out)] = '\0';
        return MAIL_OK;
    }
    return mail_domain_to_ascii(domain, out);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int domain_set_init(domain_set *set, const mail_span *domains, size_t count, const mail_mem *mem)
{
    *set = (domain_set){.mem = mem, .capacity = count};
    if (count == 0) {
        return MAIL_OK;
    }
    set->names = mem_alloc(mem, count * sizeof(*set->names));
    if (set->names == NULL) {
        return MAIL_ENOMEM;
    }
    for (; set->count < count; set->count++) {
        char name[MAIL_DOMAIN_SIZE];
        int code = canonical(domains[set->count], name);

        if (code != MAIL_OK) {
            return code;
        }
        set->names[set->count] = mem_text(mem, mail_span_text(name));
        if (set->names[set->count] == NULL) {
            return MAIL_ENOMEM;
        }
    }
    qsort(set->names, count, sizeof(*set->names), compare);
    return MAIL_OK;
}

void domain_set_deinit(domain_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        mem_free(set->mem, set->names[i], strlen(set->names[i]) + 1);
    }
    mem_free(set->mem, set->names, set->capacity * sizeof(*set->names));
    *set = (domain_set){.mem = set->mem};
}

bool domain_set_has(const domain_set *set, mail_span domain)
{
    char name[MAIL_DOMAIN_SIZE];
    const char *key = name;

    return domain.length > 0 && set->count > 0 && canonical(domain, name) == MAIL_OK &&
           bsearch(&key, set->names, set->count, sizeof(*set->names), compare) != NULL;
}
