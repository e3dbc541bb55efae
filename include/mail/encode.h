/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Octets of base64 that `n` octets become, on one line. */
#define MAIL_BASE64_SIZE(n) (((n) + 2) / 3 * 4)

/** Writes base64 on one line, without a NUL, and returns its length. RFC: 4648, section 4. */
MAIL_API size_t mail_base64_encode(mail_span in, char *out);

/**
 * Decodes base64 into `out`, which has room for 3 octets for each 4 (and may be where
 * `in` is). Strict: padding required, no other character, unused bits zero.
 *
 * Errors: MAIL_EINVAL.
 */
MAIL_API int mail_base64_decode(mail_span in, char *out, size_t *length_out);

/** Octets that `n` octets become at most in quoted-printable. */
#define MAIL_QP_SIZE(n) ((n)*3 + (n)*3 / 72 * 3 + 5)

/**
 * Encodes text, LF or CRLF for its line ends, as quoted-printable with CRLF and lines of
 * at most 76 octets. `From ` and a dot at the start of a line are encoded too, so that
 * no mailbox format and no transport changes them. Returns the length. RFC: 2045, section 6.7.
 */
MAIL_API size_t mail_qp_encode(mail_span in, char *out);

/**
 * Decodes quoted-printable into `out`, which has room for `in.length` octets. What is no
 * code stays as it is. Returns the length.
 */
MAIL_API size_t mail_qp_decode(mail_span in, char *out);

/** Octets that `n` octets of text become at most as encoded words. */
#define MAIL_WORDS_SIZE(n) ((n)*4 + 96)

/**
 * Writes UTF-8 text as encoded words of at most 75 octets, each on a line of its own
 * (RFC 2047), for a field of which `column` octets are written. Returns the length.
 *
 * Errors: 0 when `text` is not UTF-8 or holds a control character.
 */
MAIL_API size_t mail_words_encode(mail_span text, size_t column, char *out);

#ifdef __cplusplus
}
#endif

#endif
