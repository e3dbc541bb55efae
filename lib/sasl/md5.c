/* SPDX-License-Identifier: MIT */
#include "sasl/md5.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "sasl/scram.h"

#define SUM_SIZE (SASL_MD5_LENGTH / 2)

static bool is_sum(mail_span digest, const uint8_t sum[SUM_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char text[SASL_MD5_LENGTH];

    for (size_t i = 0; i < SUM_SIZE; i++) {
        text[2 * i] = digits[sum[i] >> 4];
        text[2 * i + 1] = digits[sum[i] & 15];
    }
    return digest.length == sizeof(text) && sasl_equal(text, digest.data, sizeof(text));
}

bool sasl_cram_holds(mail_span challenge, mail_span password, mail_span digest)
{
    uint8_t sum[SUM_SIZE];

    return gnutls_hmac_fast(GNUTLS_MAC_MD5, password.data, password.length, challenge.data,
                            challenge.length, sum) == 0 &&
           is_sum(digest, sum);
}

bool sasl_apop_holds(mail_span timestamp, mail_span password, mail_span digest)
{
    uint8_t sum[SUM_SIZE];
    gnutls_hash_hd_t md5;

    if (gnutls_hash_init(&md5, GNUTLS_DIG_MD5) != 0) {
        return false; /* where policy forbids MD5 */
    }
    gnutls_hash(md5, timestamp.data, timestamp.length);
    gnutls_hash(md5, password.data, password.length);
    gnutls_hash_deinit(md5, sum);
    return is_sum(digest, sum);
}
