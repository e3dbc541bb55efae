/* SPDX-License-Identifier: MIT */
#ifndef LIB_SASL_TEXT_H
#define LIB_SASL_TEXT_H

#include <mail/sasl.h>

/* A name of a user, ours to keep. */
typedef struct sasl_name {
    char text[MAIL_SASL_NAME_MAX];
    size_t length;
} sasl_name;

static inline mail_span sasl_name_text(const sasl_name *name)
{
    return mail_span_of(name->text, name->length);
}

/* Takes well-formed UTF-8 without NUL, not too long. */
bool sasl_name_set(sasl_name *name, mail_span text);

/* The same from a saslname of RFC 5802, section 5.1: `=2C` a comma, `=3D` an equals sign. */
bool sasl_name_decode(sasl_name *name, mail_span text);

/* Writes `name` as a saslname to `out`, which has room for three times its length. */
size_t sasl_name_encode(mail_span name, char *out);

/* The gs2 header of RFC 5801, section 4, at the start of a message. */
typedef struct sasl_gs2 {
    char flag;         /* n, y or p */
    mail_span binding; /* with p: the name of its type */
    sasl_name authzid;
    mail_span text; /* all of it, both commas included */
} sasl_gs2;

/* Reads it and moves `message` past it. */
bool sasl_gs2_parse(sasl_gs2 *gs2, mail_span *message);

#endif
