/* SPDX-License-Identifier: MIT */
#include "sasl/wire.h"

#include <mail/encode.h>

unsigned sasl_offered(const sasl_offer *offer)
{
    unsigned bits = offer->allowed;

    for (unsigned i = 0; i < MAIL_SASL_MECHANISMS; i++) {
        if (mail_sasl_mechanism_is_plain_text((mail_sasl_mechanism)i) && !offer->is_private &&
            !offer->in_clear) {
            bits &= ~(1U << i);
        }
    }
    if (!offer->has_binding) {
        bits &= ~(1U << MAIL_SASL_SCRAM_SHA_256_PLUS);
    }
    return offer->has_identity ? bits : bits & ~(1U << MAIL_SASL_EXTERNAL);
}

int sasl_challenge_append(const mail_sasl_server *srv, mail_span prefix, buffer *out)
{
    mail_span message = mail_sasl_server_out(srv);
    char *to = buffer_space(out, prefix.length + MAIL_BASE64_SIZE(message.length) + 2);
    size_t length;

    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(to, prefix.data, prefix.length);
    length = prefix.length + mail_base64_encode(message, to + prefix.length);
    memcpy(to + length, "\r\n", 2);
    buffer_added(out, length + 2);
    return MAIL_OK;
}

bool sasl_step_base64(mail_sasl_server *srv, mail_span text, mail_sasl_step *step)
{
    char decoded[SASL_LINE_MAX / 4 * 3 + 3];
    mail_span message;
    size_t length;

    /* RFC 4954, section 4, has it for the first message; curl says it later on too. */
    if (mail_span_equal(text, MAIL_SPAN("="))) {
        text.length = 0;
    }
    if (text.length > SASL_LINE_MAX || mail_base64_decode(text, decoded, &length) != MAIL_OK) {
        return false;
    }
    message = mail_span_of(decoded, length);
    *step = mail_sasl_server_step(srv, &message);
    explicit_bzero(decoded, length);
    return true;
}
