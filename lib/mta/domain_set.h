/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DOMAIN_SET_H
#define LIB_MTA_DOMAIN_SET_H

#include <mail/base.h>

/* The domains that are ours, in DNS form (address literals as they are), in order. */
typedef struct domain_set {
    const mail_mem *mem;
    char **names;
    size_t count;
    size_t capacity;
} domain_set;

/* MAIL_EINVAL for what is no domain; MAIL_ENOMEM. Deinit it in any case. */
int domain_set_init(domain_set *set, const mail_span *domains, size_t count, const mail_mem *mem);
void domain_set_deinit(domain_set *set);

/* In any form; the empty one is in no set. */
bool domain_set_has(const domain_set *set, mail_span domain);

#endif
