/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SASL_H
#define MAIL_SASL_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The mechanisms, best first: the order in which a client prefers them. */
typedef enum mail_sasl_mechanism {
    MAIL_SASL_NONE,
    MAIL_SASL_EXTERNAL,           /* RFC 4422: who the client's certificate says */
    MAIL_SASL_SCRAM_SHA_256_PLUS, /* RFC 7677, bound to the TLS session by tls-exporter */
    MAIL_SASL_SCRAM_SHA_256,
    MAIL_SASL_SCRAM_SHA_1, /* RFC 5802 */
    MAIL_SASL_OAUTHBEARER, /* RFC 7628 */
    MAIL_SASL_XOAUTH2,
    MAIL_SASL_PLAIN, /* RFC 4616 */
    MAIL_SASL_LOGIN,
    MAIL_SASL_CRAM_MD5 /* RFC 2195: weak, never chosen unless asked for */
} mail_sasl_mechanism;

#define MAIL_SASL_MECHANISMS (MAIL_SASL_CRAM_MD5 + 1)

/** `PLAIN`, `SCRAM-SHA-256` …; NULL for MAIL_SASL_NONE. */
MAIL_API const char *mail_sasl_mechanism_name(mail_sasl_mechanism mechanism);

/** The mechanism of that name, in any case; MAIL_SASL_NONE if it is none of ours. */
MAIL_API mail_sasl_mechanism mail_sasl_mechanism_parse(mail_span name);

/** What the names of all mechanisms need, final NUL included. */
#define MAIL_SASL_MECHANISMS_SIZE 128

/** Writes the names of `mechanisms` (bits 1 << mechanism), best first, a blank between; its length. */
MAIL_API size_t mail_sasl_mechanisms_print(unsigned mechanisms,
                                           char out[MAIL_SASL_MECHANISMS_SIZE]);

/** Whether it shows a secret to whoever can read along: only inside TLS. */
MAIL_API bool mail_sasl_mechanism_is_plain_text(mail_sasl_mechanism mechanism);

/** The longest message of an exchange, before base64. */
#define MAIL_SASL_MESSAGE_MAX 8192

/** The longest name of a user. */
#define MAIL_SASL_NAME_MAX 320

/** What a step has led to. */
typedef enum mail_sasl_step {
    MAIL_SASL_CONTINUE, /* send `out`, which may be empty, and step with what comes back */
    MAIL_SASL_ASK,      /* server: the question is open */
    MAIL_SASL_OK, /* server: authenticated. Client: nothing more to say; see `…_is_satisfied` */
    MAIL_SASL_FAILED /* malformed, refused, or not who it should be */
} mail_sasl_step;

/** What a SCRAM server keeps instead of a password (RFC 5802, section 3). */
typedef struct mail_sasl_verifier {
    mail_sasl_mechanism mechanism; /* MAIL_SASL_SCRAM_SHA_1 or MAIL_SASL_SCRAM_SHA_256 */
    uint32_t iterations;
    uint8_t salt[64];
    size_t salt_length;
    uint8_t stored_key[32]; /* 20 octets for SHA-1 */
    uint8_t server_key[32];
} mail_sasl_verifier;

/**
 * Makes a verifier of a password: slow on purpose (a millisecond for 4,096 iterations), for a
 * worker thread. `salt` at most 64 octets.
 *
 * Errors: MAIL_EINVAL for another mechanism, no iterations or a bad salt; MAIL_ENOMEM.
 */
MAIL_API int mail_sasl_verifier_derive(mail_sasl_mechanism mechanism, mail_span password,
                                       mail_span salt, uint32_t iterations,
                                       mail_sasl_verifier *out);

/** Whether `password` is the one that the verifier was made of. As slow as making it. */
MAIL_API bool mail_sasl_verifier_matches(const mail_sasl_verifier *verifier, mail_span password);

/** Parses `iterations,salt,storedkey,serverkey`, the last three in base64. Errors: MAIL_EINVAL. */
MAIL_API int mail_sasl_verifier_parse(mail_span text, mail_sasl_mechanism mechanism,
                                      mail_sasl_verifier *out);

/** The server's half of one exchange. It touches no accounts: it asks. */
typedef struct mail_sasl_server mail_sasl_server;

typedef struct mail_sasl_server_options {
    size_t size; /* MAIL_SASL_SERVER_OPTIONS_INIT */
    const mail_mem *mem;
    mail_sasl_mechanism mechanism;
    mail_span binding;    /* the TLS session's tls-exporter; required for -PLUS; copied */
    bool offers_plus;     /* -PLUS was offered: a client that says otherwise is being lied to */
    mail_span identity;   /* EXTERNAL: who the certificate names; copied */
    mail_span hostname;   /* CRAM-MD5's challenge; copied */
    uint8_t disguise[32]; /* a server's lasting secret: unknown users get salts made of it */
    const struct mail_random *random; /* private to libmail's tests */
} mail_sasl_server_options;

#define MAIL_SASL_SERVER_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_sasl_server_options)                                                   \
    }

/** Errors: MAIL_EINVAL for a mechanism without what it needs; MAIL_ENOMEM. */
MAIL_API int mail_sasl_server_create(mail_sasl_server **out, const mail_sasl_server_options *opts);

/** Wipes and frees. */
MAIL_API void mail_sasl_server_destroy(mail_sasl_server *srv);

/** Takes the client's message, decoded; NULL: it has sent no initial response. */
MAIL_API mail_sasl_step mail_sasl_server_step(mail_sasl_server *srv, const mail_span *in);

/** What to send after MAIL_SASL_CONTINUE. Ownership: lends until the next step. */
MAIL_API mail_span mail_sasl_server_out(const mail_sasl_server *srv);

/** What a server must know to go on. Texts lend until the answer. */
typedef struct mail_sasl_question {
    mail_sasl_mechanism mechanism;
    mail_span user;     /* who wants in; empty with a token that does not say */
    mail_span authzid;  /* as whom to act; empty: as oneself */
    mail_span password; /* PLAIN, LOGIN */
    mail_span token;    /* OAUTHBEARER, XOAUTH2 */
} mail_sasl_question;

/** The open question. Ownership: lends until the answer. */
MAIL_API const mail_sasl_question *mail_sasl_server_question(const mail_sasl_server *srv);

/** What is answered. */
typedef enum mail_sasl_answer_kind {
    MAIL_SASL_REFUSE, /* no such user, wrong password, not now: all the same to the client */
    MAIL_SASL_ACCEPT, /* not for SCRAM and CRAM-MD5, which need one of the next two */
    MAIL_SASL_PASSWORD, /* this is the password: compare. Blocks for SCRAM: see mail_sasl_verifier_derive */
    MAIL_SASL_VERIFIER /* compare with this */
} mail_sasl_answer_kind;

/** The answer to a question. Its texts are needed only for the call. */
typedef struct mail_sasl_answer {
    mail_sasl_answer_kind kind;
    mail_span password;
    const mail_sasl_verifier *verifier;
    mail_span user; /* ACCEPT: as whom, if not as the question says, which a token may not do */
} mail_sasl_answer;

/** Answers the open question; what follows is as after a step. */
MAIL_API mail_sasl_step mail_sasl_server_answer(mail_sasl_server *srv,
                                                const mail_sasl_answer *answer);

/** Whether MAIL_SASL_FAILED came of a lack of memory: it says nothing of the client. */
MAIL_API bool mail_sasl_server_is_starved(const mail_sasl_server *srv);

/** After MAIL_SASL_OK: as whom the client may act. Ownership: lends until destroy. */
MAIL_API mail_span mail_sasl_server_user(const mail_sasl_server *srv);

/** The client's half of one exchange. */
typedef struct mail_sasl_client mail_sasl_client;

typedef struct mail_sasl_client_options {
    size_t size; /* MAIL_SASL_CLIENT_OPTIONS_INIT */
    const mail_mem *mem;
    mail_sasl_mechanism mechanism;
    mail_span user;
    mail_span authzid; /* empty: oneself */
    mail_span password;
    mail_span token; /* OAUTHBEARER, XOAUTH2 */
    mail_span host;  /* OAUTHBEARER, optional */
    uint16_t port;
    mail_span binding; /* the TLS session's tls-exporter; empty: none */
    /* By the server; if -PLUS was not though we could, the server is told (RFC 5802, section 6). */
    bool plus_was_offered;
    uint32_t max_iterations;          /* a server may ask for; default 1,000,000 */
    const struct mail_random *random; /* private to libmail's tests */
} mail_sasl_client_options;

#define MAIL_SASL_CLIENT_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_sasl_client_options)                                                   \
    }

/**
 * The best mechanism that the server offers (`offered`: names with blanks between), that the options
 * have the means for, and that is in `allowed` (bits 1 << mechanism; 0: all but CRAM-MD5).
 * Without `is_private` (TLS) nothing that shows a secret. MAIL_SASL_NONE: there is none.
 */
MAIL_API mail_sasl_mechanism mail_sasl_client_choose(const mail_sasl_client_options *opts,
                                                     mail_span offered, unsigned allowed,
                                                     bool is_private);

/** Ownership: copies. Errors: MAIL_EINVAL for missing or impossible means; MAIL_ENOMEM. */
MAIL_API int mail_sasl_client_create(mail_sasl_client **out, const mail_sasl_client_options *opts);

/** Wipes and frees. */
MAIL_API void mail_sasl_client_destroy(mail_sasl_client *cl);

/** Whether the mechanism begins with a message of the client: then step with NULL first. */
MAIL_API bool mail_sasl_client_speaks_first(const mail_sasl_client *cl);

/** Takes the server's challenge, decoded (NULL: none yet); MAIL_SASL_CONTINUE or MAIL_SASL_FAILED. */
MAIL_API mail_sasl_step mail_sasl_client_step(mail_sasl_client *cl, const mail_span *in);

/** What to send. Ownership: lends until the next step. */
MAIL_API mail_span mail_sasl_client_out(const mail_sasl_client *cl);

/**
 * Whether a success reply may be believed now: for SCRAM only once the server has proved that it knows
 * the password too.
 */
MAIL_API bool mail_sasl_client_is_satisfied(const mail_sasl_client *cl);

/** Whether MAIL_SASL_FAILED came of a lack of memory: it says nothing of the server. */
MAIL_API bool mail_sasl_client_is_starved(const mail_sasl_client *cl);

/** The error of an OAuth server (JSON, cleaned); empty: none. Ownership: lends until destroy. */
MAIL_API mail_span mail_sasl_client_error(const mail_sasl_client *cl);

#ifdef __cplusplus
}
#endif

#endif
