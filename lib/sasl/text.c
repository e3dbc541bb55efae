/* SPDX-License-Identifier: MIT */
#include "sasl/text.h"

#include "base/utf8.h"

bool sasl_name_set(sasl_name *name, mail_span text)
{
    if (text.length > sizeof(name->text) || !utf8_is_valid(text) ||
        (text.length > 0 && memchr(text.data, '\0', text.length) != NULL)) {
        return false;
    }
    if (text.length > 0) {
        memcpy(name->text, text.data, text.length);
    }
    name->length = text.length;
    return true;
}

bool sasl_name_decode(sasl_name *name, mail_span text)
{
    char plain[MAIL_SASL_NAME_MAX];
    size_t n = 0;

    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (n == sizeof(plain) || c == ',') {
            return false;
        }
        if (c == '=') {
            mail_span code = mail_span_from(text, i + 1);

            if (code.length >= 2 && memcmp(code.data, "2C", 2) == 0) {
                c = ',';
            } else if (code.length < 2 || memcmp(code.data, "3D", 2) != 0) {
                return false;
            }
            i += 2;
        }
        plain[n++] = c;
    }
    return sasl_name_set(name, mail_span_of(plain, n));
}

size_t sasl_name_encode(mail_span name, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];

        if (c == ',' || c == '=') {
            memcpy(out + n, c == ',' ? "=2C" : "=3D", 3);
            n += 3;
        } else {
            out[n++] = c;
        }
    }
    return n;
}

/* Cuts `text` at the next comma, which must be there, and moves it past that. */
static bool next_part(mail_span *text, mail_span *part)
{
    const char *comma = text->length > 0 ? memchr(text->data, ',', text->length) : NULL;

    if (comma == NULL) {
        return false;
    }
    *part = mail_span_first(*text, (size_t)(comma - text->data));
    *text = mail_span_from(*text, part->length + 1);
    return true;
}

bool sasl_gs2_parse(sasl_gs2 *gs2, mail_span *message)
{
    mail_span rest = *message;
    mail_span flag;
    mail_span authzid;

    *gs2 = (sasl_gs2){.flag = '\0'};
    if (!next_part(&rest, &flag) || !next_part(&rest, &authzid) || flag.length == 0) {
        return false;
    }
    gs2->flag = flag.data[0];
    if (gs2->flag == 'p') {
        if (flag.length < 3 || flag.data[1] != '=') {
            return false;
        }
        gs2->binding = mail_span_from(flag, 2);
    } else if (flag.length != 1 || (gs2->flag != 'n' && gs2->flag != 'y')) {
        return false;
    }
    if (authzid.length > 0 && (authzid.length < 3 || memcmp(authzid.data, "a=", 2) != 0 ||
                               !sasl_name_decode(&gs2->authzid, mail_span_from(authzid, 2)))) {
        return false;
    }
    gs2->text = mail_span_first(*message, message->length - rest.length);
    *message = rest;
    return true;
}
