/* SPDX-License-Identifier: MIT */
#include "mta/pattern.h"

#include "base/ascii.h"

/*
 * The form in which domains are compared: DNS form, or for an address literal its text in
 * lower case. What is neither matches `*` alone.
 */
static int canonical_domain(mail_span domain, char out[MAIL_DOMAIN_SIZE], size_t *length)
{
    int code;

    if (domain.length > 2 && domain.length < MAIL_DOMAIN_SIZE && domain.data[0] == '[' &&
        domain.data[domain.length - 1] == ']') {
        for (size_t i = 0; i < domain.length; i++) {
            out[i] = ascii_lower(domain.data[i]);
        }
        *length = domain.length;
        return MAIL_OK;
    }
    code = mail_domain_to_ascii(domain, out);
    if (code == MAIL_OK) {
        *length = strlen(out);
    }
    return code;
}

static int parse(domain_pattern *pattern, mail_span text, mail_error *err)
{
    *pattern = (domain_pattern){.kind = DOMAIN_EXACT};
    if (mail_span_equal(text, MAIL_SPAN("*"))) {
        pattern->kind = DOMAIN_ANY;
        return MAIL_OK;
    }
    if (text.length > 0 && text.data[0] == '.') {
        pattern->kind = DOMAIN_BELOW;
        text = mail_span_from(text, 1);
    }
    if (canonical_domain(text, pattern->text, &pattern->length) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "the pattern is no domain, .domain or *");
    }
    return MAIL_OK;
}

int domain_pattern_take(domain_pattern *pattern, mail_span *rule, const char *form, mail_error *err)
{
    const char *equals = rule->length > 0 ? memchr(rule->data, '=', rule->length) : NULL;
    mail_span text;

    if (equals == NULL) {
        return mail_error_set(err, MAIL_EINVAL, "%s", form);
    }
    text = mail_span_first(*rule, (size_t)(equals - rule->data));
    *rule = mail_span_from(*rule, text.length + 1);
    return parse(pattern, text, err);
}

void domain_form_make(domain_form *form, mail_span domain)
{
    if (canonical_domain(domain, form->text, &form->length) != MAIL_OK) {
        form->length = 0;
    }
}

bool domain_pattern_matches(const domain_pattern *pattern, const domain_form *form)
{
    size_t before = form->length - pattern->length;

    switch (pattern->kind) {
    case DOMAIN_ANY:
        return true;
    case DOMAIN_EXACT:
        return form->length == pattern->length &&
               memcmp(form->text, pattern->text, pattern->length) == 0;
    case DOMAIN_BELOW:
        return form->length > pattern->length + 1 && form->text[before - 1] == '.' &&
               memcmp(form->text + before, pattern->text, pattern->length) == 0;
    }
    return false;
}
