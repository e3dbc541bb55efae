/* SPDX-License-Identifier: MIT */
#include <mail/sasl.h>

#include <stdio.h>

static const struct mechanism {
    const char *name;
    bool plain_text;
} mechanisms[MAIL_SASL_MECHANISMS] = {
    [MAIL_SASL_EXTERNAL] = {"EXTERNAL", false},
    [MAIL_SASL_SCRAM_SHA_256_PLUS] = {"SCRAM-SHA-256-PLUS", false},
    [MAIL_SASL_SCRAM_SHA_256] = {"SCRAM-SHA-256", false},
    [MAIL_SASL_SCRAM_SHA_1] = {"SCRAM-SHA-1", false},
    [MAIL_SASL_OAUTHBEARER] = {"OAUTHBEARER", true},
    [MAIL_SASL_XOAUTH2] = {"XOAUTH2", true},
    [MAIL_SASL_PLAIN] = {"PLAIN", true},
    [MAIL_SASL_LOGIN] = {"LOGIN", true},
    [MAIL_SASL_CRAM_MD5] = {"CRAM-MD5", false},
};

const char *mail_sasl_mechanism_name(mail_sasl_mechanism mechanism)
{
    return mechanisms[mechanism].name;
}

mail_sasl_mechanism mail_sasl_mechanism_parse(mail_span name)
{
    for (unsigned i = MAIL_SASL_NONE + 1; i < MAIL_SASL_MECHANISMS; i++) {
        if (mail_span_equal_nocase(name, mail_span_text(mechanisms[i].name))) {
            return (mail_sasl_mechanism)i;
        }
    }
    return MAIL_SASL_NONE;
}

size_t mail_sasl_mechanisms_print(unsigned bits, char out[MAIL_SASL_MECHANISMS_SIZE])
{
    size_t length = 0;

    out[0] = '\0';
    for (unsigned i = MAIL_SASL_NONE + 1; i < MAIL_SASL_MECHANISMS; i++) {
        if ((bits & 1U << i) != 0) {
            length += (size_t)snprintf(out + length, MAIL_SASL_MECHANISMS_SIZE - length, "%s%s",
                                       length > 0 ? " " : "", mechanisms[i].name);
        }
    }
    return length;
}

bool mail_sasl_mechanism_is_plain_text(mail_sasl_mechanism mechanism)
{
    return mechanisms[mechanism].plain_text;
}

/* Whether the options hold what the mechanism shows or proves. */
static bool has_means(const mail_sasl_client_options *opts, mail_sasl_mechanism mechanism)
{
    switch (mechanism) {
    case MAIL_SASL_NONE:
        return false;
    case MAIL_SASL_EXTERNAL:
        return opts->password.length == 0 && opts->token.length == 0;
    case MAIL_SASL_OAUTHBEARER:
    case MAIL_SASL_XOAUTH2:
        return opts->token.length > 0;
    case MAIL_SASL_SCRAM_SHA_256_PLUS:
        return opts->password.length > 0 && opts->binding.length > 0;
    case MAIL_SASL_SCRAM_SHA_256:
    case MAIL_SASL_SCRAM_SHA_1:
    case MAIL_SASL_PLAIN:
    case MAIL_SASL_LOGIN:
    case MAIL_SASL_CRAM_MD5:
        return opts->password.length > 0;
    }
    return false;
}

/* The bits of what the server offers. */
static unsigned parse_offered(mail_span offered)
{
    unsigned bits = 0;
    size_t at = 0;

    while (at < offered.length) {
        const char *blank = memchr(offered.data + at, ' ', offered.length - at);
        size_t length = blank != NULL ? (size_t)(blank - offered.data) - at : offered.length - at;

        bits |= 1U << mail_sasl_mechanism_parse(mail_span_of(offered.data + at, length));
        at += length + 1;
    }
    return bits;
}

mail_sasl_mechanism mail_sasl_client_choose(const mail_sasl_client_options *opts, mail_span offered,
                                            unsigned allowed, bool is_private)
{
    unsigned bits = parse_offered(offered);

    bits &= allowed != 0 ? allowed : ~(1U << MAIL_SASL_CRAM_MD5);
    for (unsigned i = MAIL_SASL_NONE + 1; i < MAIL_SASL_MECHANISMS; i++) {
        if ((bits & 1U << i) != 0 && has_means(opts, (mail_sasl_mechanism)i) &&
            (is_private || !mechanisms[i].plain_text)) {
            return (mail_sasl_mechanism)i;
        }
    }
    return MAIL_SASL_NONE;
}
