/* SPDX-License-Identifier: MIT */
#include "msg/domain.h"

#include <idn2.h>

#include "base/ascii.h"
#include "base/utf8.h"

/* RFC 1035, section 2.3.4, in presentation form: 255 octets less root and first length. */
#define NAME_MAX_LENGTH  253
#define LABEL_MAX_LENGTH 63

static bool is_name_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_';
}

size_t domain_extent(mail_span in, bool utf8)
{
    size_t n = 0;

    while (n < in.length &&
           (is_name_char(in.data[n]) || in.data[n] == '.' || (utf8 && (in.data[n] & 0x80) != 0))) {
        n++;
    }
    return n;
}

/* RFC 1123, section 2.1, and the underscore that is found in practice. */
static bool label_is_good(mail_span label)
{
    return label.length > 0 && label.length <= LABEL_MAX_LENGTH && label.data[0] != '-' &&
           label.data[label.length - 1] != '-';
}

/*
 * A name that ends in a number would be read as an IPv4 address by one program and
 * as a name by the next (RFC 3696, section 2).
 */
static bool last_label_is_good(mail_span label)
{
    if (label.data[0] == '_') {
        return false;
    }
    for (size_t i = 0; i < label.length; i++) {
        if (!ascii_is_digit(label.data[i])) {
            return true;
        }
    }
    return false;
}

/* Writes an ASCII name in lower case, without a NUL. */
static int lower_name(mail_span in, char *out)
{
    size_t start = 0; /* of the label */

    if (in.length > NAME_MAX_LENGTH) {
        return MAIL_ELIMIT;
    }
    for (size_t i = 0; i < in.length; i++) {
        if (in.data[i] == '.') {
            if (!label_is_good(mail_span_of(out + start, i - start))) {
                return MAIL_EINVAL;
            }
            start = i + 1;
        } else if (!is_name_char(in.data[i])) {
            return MAIL_EINVAL;
        }
        out[i] = ascii_lower(in.data[i]);
    }
    if (!label_is_good(mail_span_of(out + start, in.length - start)) ||
        !last_label_is_good(mail_span_of(out + start, in.length - start))) {
        return MAIL_EINVAL;
    }
    return MAIL_OK;
}

static int code_of_idn2(int code)
{
    switch (code) {
    case IDN2_OK:
        return MAIL_OK;
    case IDN2_MALLOC:
        return MAIL_ENOMEM;
    case IDN2_TOO_BIG_DOMAIN:
        return MAIL_ELIMIT;
    default:
        return MAIL_EINVAL;
    }
}

/*
 * RFC 5891, section 5, with the mapping of UTS 46 first, ß and its like kept. What
 * comes out is checked as any other name: the mapping turns full-width forms into
 * ASCII, `@` and `[` among them.
 */
static int to_a_labels(mail_span in, char out[MAIL_DOMAIN_SIZE], size_t *length_out)
{
    char text[4 * MAIL_DOMAIN_SIZE];
    char *ascii = NULL;
    size_t length;
    int code;

    if (in.length >= sizeof(text)) {
        return MAIL_ELIMIT;
    }
    if (memchr(in.data, '\0', in.length) != NULL || !utf8_is_valid(in)) {
        return MAIL_EINVAL;
    }
    memcpy(text, in.data, in.length);
    text[in.length] = '\0';
    code = code_of_idn2(idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL));
    if (code != MAIL_OK) {
        return code;
    }
    length = strlen(ascii);
    code = lower_name(mail_span_of(ascii, length), out);
    idn2_free(ascii);
    if (code == MAIL_OK) {
        out[length] = '\0';
        *length_out = length;
    }
    return code;
}

/* ASCII as `out` already holds it, to U-labels. */
static int to_u_labels(char out[MAIL_DOMAIN_SIZE], size_t *length_out)
{
    char *utf8 = NULL;
    int code = code_of_idn2(idn2_to_unicode_8z8z(out, &utf8, IDN2_NONTRANSITIONAL));

    if (code != MAIL_OK) {
        return code;
    }
    *length_out = strlen(utf8);
    code = *length_out < MAIL_DOMAIN_SIZE ? MAIL_OK : MAIL_ELIMIT;
    if (code == MAIL_OK) {
        memcpy(out, utf8, *length_out + 1);
    }
    idn2_free(utf8);
    return code;
}

int domain_canonical(mail_span in, char out[MAIL_DOMAIN_SIZE], size_t *length_out)
{
    int code;

    if (utf8_is_ascii(in)) {
        *length_out = in.length;
        return lower_name(in, out);
    }
    code = to_a_labels(in, out, length_out);
    return code == MAIL_OK ? to_u_labels(out, length_out) : code;
}

int mail_domain_to_ascii(mail_span domain, char out[MAIL_DOMAIN_SIZE])
{
    size_t length;
    int code;

    if (domain.length > 0 && domain.data[domain.length - 1] == '.') {
        domain.length--;
    }
    if (!utf8_is_ascii(domain)) {
        code = to_a_labels(domain, out, &length);
        return code == MAIL_ELIMIT ? MAIL_EINVAL : code;
    }
    code = lower_name(domain, out);
    if (code != MAIL_OK) {
        return MAIL_EINVAL;
    }
    out[domain.length] = '\0';
    return MAIL_OK;
}
