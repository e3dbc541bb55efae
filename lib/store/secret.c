/* SPDX-License-Identifier: MIT */
#include "store/secret.h"

#include <assert.h>
#include <crypt.h>

#include "base/mem.h"

/* More rounds than this are a slip of the pen: they would take minutes. */
#define MAX_ITERATIONS 10000000

/* The text behind `prefix`, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static bool parse_scram(secret *out, const char *text, const char **why)
{
    mail_sasl_verifier verifier;

    *out = (secret){SECRET_SCRAM_SHA_256, text};
    *why = "SCRAM-SHA-256 needs iterations,salt,storedkey,serverkey";
    return mail_sasl_verifier_parse(mail_span_text(text), MAIL_SASL_SCRAM_SHA_256, &verifier) ==
               MAIL_OK &&
           verifier.iterations <= MAX_ITERATIONS;
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
    if (strcmp(text, "{EXTERNAL}") == 0) {
        *out = (secret){SECRET_EXTERNAL, text};
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
    *why = "the secret is neither a crypt(3) hash nor {PLAIN}, {SCRAM-SHA-256} or {EXTERNAL}";
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

void secret_verifier(const secret *se, mail_sasl_verifier *out)
{
    int code = mail_sasl_verifier_parse(mail_span_text(se->text), MAIL_SASL_SCRAM_SHA_256, out);

    assert(se->kind == SECRET_SCRAM_SHA_256 && code == MAIL_OK);
    (void)code;
}

static int check_scram(const secret *se, const char *password, size_t length)
{
    mail_sasl_verifier verifier;

    secret_verifier(se, &verifier);
    return mail_sasl_verifier_matches(&verifier, mail_span_of(password, length)) ? MAIL_OK
                                                                                 : MAIL_EPERM;
}

static int check(const secret *se, const char *password, size_t length, const mail_mem *mem)
{
    switch (se->kind) {
    case SECRET_NONE:
    case SECRET_EXTERNAL:
        break;
    case SECRET_PLAIN:
        return is_same(se->text, password, length) ? MAIL_OK : MAIL_EPERM;
    case SECRET_CRYPT:
        return check_crypt(se->text, password, mem);
    case SECRET_SCRAM_SHA_256:
        return check_scram(se, password, length);
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
