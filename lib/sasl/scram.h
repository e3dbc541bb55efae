/* SPDX-License-Identifier: MIT */
#ifndef LIB_SASL_SCRAM_H
#define LIB_SASL_SCRAM_H

#include <mail/sasl.h>

/* RFC 5802, section 3: the sums that both halves of SCRAM do. */

#define SCRAM_KEY_MAX 32

/* Of the hash: 20 or 32. */
size_t scram_key_length(mail_sasl_mechanism mechanism);

/* SCRAM-SHA-1 or SCRAM-SHA-256 also for their -PLUS forms. */
mail_sasl_mechanism scram_base(mail_sasl_mechanism mechanism);

bool scram_is(mail_sasl_mechanism mechanism);

/* Whether a password has a normal form (RFC 8265, section 4): UTF-8 without what can't be typed. */
bool sasl_password_is_good(mail_span password);

/* SaltedPassword := Hi(Normalize(password), salt, i). Slow. */
int scram_salt_password(mail_sasl_mechanism mechanism, mail_span password, mail_span salt,
                        uint32_t iterations, uint8_t out[SCRAM_KEY_MAX]);

/* HMAC(key, text), key of the hash's length. */
void scram_hmac(mail_sasl_mechanism mechanism, const uint8_t *key, mail_span text,
                uint8_t out[SCRAM_KEY_MAX]);

void scram_hash(mail_sasl_mechanism mechanism, const uint8_t *in, uint8_t out[SCRAM_KEY_MAX]);

/* The attribute `name` at the start of `text`, which moves past it and its comma. */
bool scram_attribute(mail_span *text, char name, mail_span *value);

/* A nonce: printable ASCII without commas. */
#define SCRAM_NONCE_LENGTH 24
void scram_make_nonce(const struct mail_random *random, char out[SCRAM_NONCE_LENGTH]);

/* The c= value: gs2 header and, with a binding, its octets, in base64 (`out` of 512). */
size_t scram_channel(mail_span gs2_header, mail_span binding, char *out);

/* Equal, in a time that tells nothing. */
bool sasl_equal(const void *a, const void *b, size_t length);

#endif
