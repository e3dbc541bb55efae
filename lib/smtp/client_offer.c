/* SPDX-License-Identifier: MIT */
#include "smtp/client.h"

#include "base/ascii.h"

/* The next word of `line`, which is cut off; empty at its end. */
static mail_span next_word(mail_span *line)
{
    size_t from = 0;
    size_t to;
    mail_span word;

    while (from < line->length && line->data[from] == ' ') {
        from++;
    }
    to = from;
    while (to < line->length && line->data[to] != ' ') {
        to++;
    }
    word = mail_span_of(line->data + from, to - from);
    *line = mail_span_from(*line, to);
    return word;
}

/* False unless `text` is a decimal number; one too large for 64 bits counts as the largest. */
static bool parse_number(mail_span text, uint64_t *out)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.length; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');

        if (!ascii_is_digit(text.data[i])) {
            return false;
        }
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
    }
    *out = number;
    return text.length > 0;
}

/* RFC 1870, section 4: no number, or 0, is no limit. */
static void on_size(mail_smtp_offer *offer, mail_span arguments)
{
    uint64_t number;

    if (parse_number(next_word(&arguments), &number)) {
        offer->max_size = number;
    }
}

/* One `NAME=value` of LIMITS; names unknown and values that break the rules are as not there. */
static void on_limit(mail_smtp_offer *offer, mail_span limit)
{
    const char *equals = memchr(limit.data, '=', limit.length);
    uint64_t number;
    mail_span name;
    mail_span value;

    if (equals == NULL) {
        return;
    }
    name = mail_span_first(limit, (size_t)(equals - limit.data));
    value = mail_span_from(limit, name.length + 1);
    /* RFC 9422, section 4: a positive number without leading zeros. */
    if (!parse_number(value, &number) || value.data[0] == '0') {
        return;
    }
    if (number > UINT32_MAX) {
        number = UINT32_MAX;
    }
    if (mail_span_equal_nocase(name, MAIL_SPAN("RCPTMAX"))) {
        offer->rcpt_max = (uint32_t)number;
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("RCPTDOMAINMAX"))) {
        offer->rcpt_domain_max = (uint32_t)number;
    } else if (mail_span_equal_nocase(name, MAIL_SPAN("MAILMAX"))) {
        offer->mail_max = (uint32_t)number;
    }
}

static void on_limits(mail_smtp_offer *offer, mail_span arguments)
{
    mail_span limit;

    while ((limit = next_word(&arguments)).length > 0) {
        on_limit(offer, limit);
    }
}

/* RFC 4954, section 3. Mechanisms that are none of ours are as not there. */
static void on_auth(mail_smtp_offer *offer, mail_span arguments)
{
    mail_span name;

    while ((name = next_word(&arguments)).length > 0) {
        offer->auth |= 1U << mail_sasl_mechanism_parse(name);
    }
    offer->auth &= ~(1U << MAIL_SASL_NONE);
}

#define FLAG(member) offsetof(mail_smtp_offer, member)

static const struct keyword {
    const char *name;
    size_t flag; /* the bool that it sets */
    void (*run)(mail_smtp_offer *offer, mail_span arguments);
} keywords[] = {
    {"8BITMIME", FLAG(eightbit), NULL},            /* RFC 6152 */
    {"AUTH", FLAG(esmtp), on_auth},                /* RFC 4954; has no bool of its own */
    {"BINARYMIME", FLAG(binary), NULL},            /* RFC 3030 */
    {"CHUNKING", FLAG(chunking), NULL},            /* RFC 3030 */
    {"DSN", FLAG(dsn), NULL},                      /* RFC 3461 */
    {"ENHANCEDSTATUSCODES", FLAG(enhanced), NULL}, /* RFC 2034 */
    {"LIMITS", FLAG(esmtp), on_limits},            /* RFC 9422; has no bool of its own */
    {"PIPELINING", FLAG(pipelining), NULL},        /* RFC 2920 */
    {"REQUIRETLS", FLAG(requiretls), NULL},        /* RFC 8689 */
    {"SIZE", FLAG(size), on_size},                 /* RFC 1870 */
    {"SMTPUTF8", FLAG(smtputf8), NULL},            /* RFC 6531 */
    {"STARTTLS", FLAG(starttls), NULL},            /* RFC 3207 */
};

static void run(const struct keyword *keyword, mail_smtp_offer *offer, mail_span arguments)
{
    *(bool *)((char *)offer + keyword->flag) = true;
    if (keyword->run != NULL) {
        keyword->run(offer, arguments);
    }
}

void smtp_offer_line(mail_smtp_offer *offer, mail_span line)
{
    mail_span name;

    if (!offer->esmtp) {
        offer->esmtp = true; /* the line that names the host */
        return;
    }
    name = next_word(&line);
    for (size_t i = 0; i < MAIL_COUNT(keywords); i++) {
        if (mail_span_equal_nocase(name, mail_span_text(keywords[i].name))) {
            run(&keywords[i], offer, line);
            return;
        }
    }
}
