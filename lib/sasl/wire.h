/* SPDX-License-Identifier: MIT */
#ifndef LIB_SASL_WIRE_H
#define LIB_SASL_WIRE_H

#include <mail/sasl.h>

#include "base/buffer.h"

/* What of AUTH is the same in every protocol (RFC 4954, RFC 5034): names and messages in base64. */

/* The longest line of an exchange, CRLF included: RFC 4954, section 4.3 (12,288 octets and CRLF). */
#define SASL_LINE_MAX 12290

/* What a connection is good for. */
typedef struct sasl_offer {
    unsigned allowed;  /* mechanisms as bits 1 << mechanism */
    bool is_private;   /* inside TLS */
    bool in_clear;     /* mechanisms that show a secret without TLS too */
    bool has_binding;  /* for -PLUS */
    bool has_identity; /* for EXTERNAL */
} sasl_offer;

/* Those of `allowed` that can be offered. */
unsigned sasl_offered(const sasl_offer *offer);

/* Appends `prefix`, what the server says in base64, and CRLF. MAIL_ENOMEM. */
int sasl_challenge_append(const mail_sasl_server *srv, mail_span prefix, buffer *out);

/*
 * Steps with the client's message, which is in base64, or `=` for an empty one. False: it is not, and no
 * step was made.
 */
bool sasl_step_base64(mail_sasl_server *srv, mail_span text, mail_sasl_step *step);

#endif
