/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_PATTERN_H
#define LIB_MTA_PATTERN_H

#include <mail/address.h>
#include <mail/base.h>

typedef enum domain_pattern_kind {
    DOMAIN_EXACT,
    DOMAIN_BELOW, /* `.domain` */
    DOMAIN_ANY    /* `*` */
} domain_pattern_kind;

/* Which recipient domains a rule is for. */
typedef struct domain_pattern {
    domain_pattern_kind kind;
    char text[MAIL_DOMAIN_SIZE]; /* canonical; without the dot of DOMAIN_BELOW */
    size_t length;
} domain_pattern;

/*
 * Cuts `PATTERN=` off `rule` and parses it. PATTERN is a domain (or address literal), `.domain` (all
 * below it, not itself) or `*`. MAIL_EINVAL, with the reason in `err`: a rule without `=` is no
 * `form`, such as "a route is PATTERN=NEXTHOP".
 */
int domain_pattern_take(domain_pattern *pattern, mail_span *rule, const char *form,
                        mail_error *err);

/* The form in which patterns see a domain; any, and none, has one. */
typedef struct domain_form {
    char text[MAIL_DOMAIN_SIZE];
    size_t length;
} domain_form;

void domain_form_make(domain_form *form, mail_span domain);

bool domain_pattern_matches(const domain_pattern *pattern, const domain_form *form);

#endif
