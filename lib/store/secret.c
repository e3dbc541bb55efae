/* SPDX-License-Identifier: MIT */
#include "store/secret.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/mem.h"

#define SHA_256_SIZE 32

/* More rounds than this are a slip of the pen: they would take minutes. */
#define MAX_ITERATIONS 10000000

/* The longest salt in octets. */
#define SALT_MAX 256

/* What follows {SCRAM-SHA-256} (RFC 5802, section 3; RFC 7677). */
typedef struct scram {
    unsigned iterations;
    unsigned char salt[SALT_MAX];
    size_t salt_length;
    unsigned char stored_key[SHA_256_SIZE];
} scram;

/* Decodes the base64 field at `*text` up to a comma or the end, and moves past it. */
static bool read_base64(const char **text, unsigned char *out, size_t size, size_t *length_out)
{
    size_t length = strcspn(*text, ",");
    gnutls_datum_t in = {(unsigned char *)(uintptr_t)*text, (unsigned)length};
    gnutls_datum_t decoded;
    bool fits;

    *text += length + ((*text)[length] == ',');
    if (length == 0 || gnutls_base64_decode2(&in, &decoded) != 0) {
        return false;
    }
    fits = decoded.size <= size;
    if (fits) {
        memcpy(out, decoded.data, decoded.size);
        *length_out = decoded.size;
    }
    gnutls_free(decoded.data);
    return fits;
}

static bool read_scram(scram *sc, const char *text)
{
    unsigned char server_key[SHA_256_SIZE];
    size_t stored_length = 0;
    size_t server_length = 0;
    char *end;
    unsigned long iterations = ascii_is_digit(*text) ? strtoul(text, &end, 10) : 0;

    if (iterations < 1 || iterations > MAX_ITERATIONS || *end != ',') {
        return false;
    }
    sc->iterations = (unsigned)iterations;
    text = end + 1;
    return read_base64(&text, sc->salt, sizeof(sc->salt), &sc->salt_length) &&
           read_base64(&text, sc->stored_key, sizeof(sc->stored_key), &stored_length) &&
           read_base64(&text, server_key, sizeof(server_key), &server_length) && *text == '\0' &&
           stored_length == SHA_256_SIZE && server_length == SHA_256_SIZE;
}

/* The text behind `prefix`, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static bool parse_scram(secret *out, const char *text, const char **why)
{
    scram sc;

    *out = (secret){SECRET_SCRAM_SHA_256, text};
    *why = "SCRAM-SHA-256 needs iterations,salt,storedkey,serverkey";
    return read_scram(&sc, text);
}

static bool parse_crypt(secret *out, const char *text, const char **why)
{
    int verdict = crypt_checksalt(text);

    *out = (secret){SECRET_CRYPT, text};
    *why = "not a hash that crypt(3) knows here";
    return verdict != CRYPT_SALT_INVALID && verdict != CRYPT_SALT_METHOD_DISABLED;
}

bool secret_parse(secret *out, const char *text, const char **why)
{
    const char *rest;

    if (strcmp(text, "*") == 0) {
        *out = (secret){SECRET_NONE, text};
        return true;
    }
    if ((rest = behind(text, "{PLAIN}")) != NULL) {
        *out = (secret){SECRET_PLAIN, rest};
        *why = "an empty password";
        return *rest != '\0';
    }
    if ((rest = behind(text, "{SCRAM-SHA-256}")) != NULL) {
        return parse_scram(out, rest, why);
    }
    if (*text == '$') {
        return parse_crypt(out, text, why);
    }
    *why = "the secret is neither a crypt(3) hash nor {PLAIN} nor {SCRAM-SHA-256}";
    return false;
}

/* In a time that tells nothing of where they differ. */
static bool is_same(const char *known, const char *given, size_t length)
{
    size_t known_length = strlen(known);
    unsigned difference = known_length != length;

    for (size_t i = 0; i < length; i++) {
        difference |= (unsigned char)(known[known_length > 0 ? i % known_length : 0] ^ given[i]);
    }
    return difference == 0;
}

static int check_crypt(const char *hash, const char *password, const mail_mem *mem)
{
    struct crypt_data *data = mem_alloc(mem, sizeof(*data));
    const char *result;
    bool right;

    if (data == NULL) {
        return MAIL_ENOMEM;
    }
    result = crypt_rn(password, hash, data, sizeof(*data));
    right = result != NULL && is_same(hash, result, strlen(result));
    explicit_bzero(data, sizeof(*data));
    mem_free(mem, data, sizeof(*data));
    return right ? MAIL_OK : MAIL_EPERM;
}

/* RFC 5802, section 3: StoredKey = H(HMAC(SaltedPassword, "Client Key")). */
static int check_scram(const char *text, const char *password, size_t length)
{
    static const char label[] = "Client Key";
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)password, (unsigned)length};
    unsigned char salted[SHA_256_SIZE];
    unsigned char derived[SHA_256_SIZE];
    gnutls_datum_t salt;
    bool right;
    scram sc;

    if (!read_scram(&sc, text)) {
        return MAIL_EPERM;
    }
    salt = (gnutls_datum_t){sc.salt, (unsigned)sc.salt_length};
    right =
        gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &salt, sc.iterations, salted, SHA_256_SIZE) == 0 &&
        gnutls_hmac_fast(GNUTLS_MAC_SHA256, salted, SHA_256_SIZE, label, sizeof(label) - 1,
                         derived) == 0 &&
        gnutls_hash_fast(GNUTLS_DIG_SHA256, derived, SHA_256_SIZE, derived) == 0 &&
        gnutls_memcmp(derived, sc.stored_key, SHA_256_SIZE) == 0;
    explicit_bzero(salted, sizeof(salted));
    return right ? MAIL_OK : MAIL_EPERM;
}

static int check(const secret *se, const char *password, size_t length, const mail_mem *mem)
{
    switch (se->kind) {
    case SECRET_NONE:
        break;
    case SECRET_PLAIN:
        return is_same(se->text, password, length) ? MAIL_OK : MAIL_EPERM;
    case SECRET_CRYPT:
        return check_crypt(se->text, password, mem);
    case SECRET_SCRAM_SHA_256:
        return check_scram(se->text, password, length);
    }
    return MAIL_EPERM;
}

int secret_check(const secret *se, mail_span password, const mail_mem *mem)
{
    char text[SECRET_PASSWORD_MAX + 1] = {0};
    size_t length = password.length < SECRET_PASSWORD_MAX ? password.length : SECRET_PASSWORD_MAX;
    bool whole = length == password.length;
    int code;

    if (length > 0) {
        memcpy(text, password.data, length);
    }
    whole = whole && strlen(text) == length; /* what follows a NUL must not be ignored */
    code = check(se, text, strlen(text), mem);
    explicit_bzero(text, sizeof(text));
    return code == MAIL_OK && !whole ? MAIL_EPERM : code;
}
