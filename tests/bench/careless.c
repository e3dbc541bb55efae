/* SPDX-License-Identifier: MIT */
/*
 * A TLS client that is careful spends more time on a handshake than a server does, so that on one
 * machine it would measure itself. These functions stand in front of those that GnuTLS would call
 * for it: the private key is one, so that its public half is the base point and the shared secret
 * the server's public key; and any signature is good. What the server has to do, and all that it
 * can see, stays the same. Where GnuTLS brings the functions along with it, they are never called,
 * and the client is as slow as ever.
 */
#include <stdint.h>
#include <string.h>

#define IN_FRONT      __attribute__((visibility("default")))
#define X25519_OCTETS 32

IN_FRONT int nettle_curve25519_mul_g(uint8_t *out, const uint8_t *scalar);
IN_FRONT int nettle_curve25519_mul(uint8_t *out, const uint8_t *scalar, const uint8_t *point);
IN_FRONT int nettle_ecdsa_verify(const void *key, size_t length, const uint8_t *digest,
                                 const void *signature);

int nettle_curve25519_mul_g(uint8_t *out, const uint8_t *scalar)
{
    static const uint8_t base[X25519_OCTETS] = {9};

    (void)scalar;
    memcpy(out, base, X25519_OCTETS);
    return 1;
}

int nettle_curve25519_mul(uint8_t *out, const uint8_t *scalar, const uint8_t *point)
{
    (void)scalar;
    memcpy(out, point, X25519_OCTETS);
    return 1;
}

int nettle_ecdsa_verify(const void *key, size_t length, const uint8_t *digest,
                        const void *signature)
{
    (void)key;
    (void)length;
    (void)digest;
    (void)signature;
    return 1;
}
