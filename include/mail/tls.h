/* SPDX-License-Identifier: MIT */
#ifndef MAIL_TLS_H
#define MAIL_TLS_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What TLS sessions share: certificates, trust, versions and ciphers, the keys of session
 * tickets. Reference-counted, so that a new one can take its place while sessions go on with the
 * old (SIGHUP); never changed once made, so that threads may share it.
 */
typedef struct mail_tls_context mail_tls_context;

/** A certificate chain and its key, both PEM. */
typedef struct mail_tls_pair {
    mail_span certificates; /* the host's own first */
    mail_span key;
} mail_tls_pair;

typedef struct mail_tls_context_options {
    size_t size; /* MAIL_TLS_CONTEXT_OPTIONS_INIT */
    const mail_tls_pair *pairs; /* a server needs one; the first serves unknown names */
    size_t pair_count;
    mail_span trust;         /* PEM: whom to believe; empty: the system's list, read when needed */
    bool no_trust;           /* believe nobody: PKIX verification fails, pins still work */
    const char *priority;    /* GnuTLS's; default: its NORMAL of TLS 1.3 and 1.2, cheapest first */
    bool ask_client_certificate; /* a server asks, and goes on without one */
    bool no_tickets;         /* no resumption */
} mail_tls_context_options;

#define MAIL_TLS_CONTEXT_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_tls_context_options)                                                   \
    }

/**
 * Errors: MAIL_EINVAL for a bad certificate, key, priority or a key that does not fit, with
 * the reason in `err`; MAIL_ENOMEM.
 */
MAIL_API int mail_tls_context_create(mail_tls_context **out, const mail_tls_context_options *opts,
                                     mail_error *err);

/**
 * Whether the system's list of whom to believe is still to be read: it is when the first peer is
 * verified by it, or at once by a server that asks for certificates. It takes some 20 ms: a loop that
 * must not stand still has a worker read it before, as mail_smtp_connection does. Thread-safe.
 */
MAIL_API bool mail_tls_context_awaits_trust(const mail_tls_context *context);

/** Reads it, unless that is done; who comes meanwhile waits. Blocks on files. Thread-safe. */
MAIL_API void mail_tls_context_read_trust(mail_tls_context *context);

/** How many certificates it has to show. */
MAIL_API size_t mail_tls_context_pair_count(const mail_tls_context *context);

/** The time in which all of pair `index`'s chain is valid; an empty one if there is none such. */
MAIL_API void mail_tls_context_validity(const mail_tls_context *context, size_t index,
                                        mail_wall *from, mail_wall *until);

/** One more user of it. Thread-safe. */
MAIL_API mail_tls_context *mail_tls_context_ref(mail_tls_context *context);

/** One user less; the last one frees it. NULL does nothing. Thread-safe. */
MAIL_API void mail_tls_context_unref(mail_tls_context *context);

/**
 * One TLS session, either end, over memory: bytes of the wire in and out on one side, plain bytes
 * on the other. It touches no socket and reads no clock.
 *
 *     wire:  feed -> event           out, sent
 *     plain: plain, drop             room, write
 */
typedef struct mail_tls mail_tls;

/** What a call has come to. */
typedef enum mail_tls_event {
    MAIL_TLS_NONE,
    MAIL_TLS_VERIFY,     /* question: is the peer who it should be? mail_tls_answer */
    MAIL_TLS_READY,      /* the handshake is done */
    MAIL_TLS_PLAIN,      /* there are plain bytes */
    MAIL_TLS_END,        /* the peer has said that it sends no more */
    MAIL_TLS_FAILED      /* send `out`, then close; mail_tls_failure says why */
} mail_tls_event;

/** How the peer's certificate is judged before MAIL_TLS_READY. */
typedef enum mail_tls_verification {
    MAIL_TLS_VERIFY_NONE, /* any, or none */
    MAIL_TLS_VERIFY_PKIX, /* a chain to the trust, in its time, for `name` (RFC 6125: SAN only) */
    MAIL_TLS_VERIFY_PIN,  /* the SHA-256 of its public key (SPKI) is one of `pins` */
    MAIL_TLS_VERIFY_ASK   /* MAIL_TLS_VERIFY is asked; the answer may take time */
} mail_tls_verification;

typedef struct mail_tls_options {
    size_t size; /* MAIL_TLS_OPTIONS_INIT */
    const mail_mem *mem;
    bool server;
    mail_tls_verification verification; /* of the peer, by either end */
    bool is_lenient;         /* a peer that is not verified is only said to be so, in the facts */
    mail_span name; /* client: the peer's name (A-labels), sent as SNI and verified, or its IP
                       address, only verified; copied */
    const uint8_t (*pins)[32]; /* copied */
    size_t pin_count;        /* at most 8 */
    mail_span resume;        /* client: what mail_tls_resumption gave; copied */
    bool no_certificate;     /* client: shows none of the context's, even if it is asked to */
} mail_tls_options;

#define MAIL_TLS_OPTIONS_INIT                                                                      \
    {                                                                                              \
        .size = sizeof(mail_tls_options)                                                           \
    }

/**
 * Begins a session. A client's first bytes are in `out` at once.
 *
 * Ownership: keeps a reference of `context`. Errors: MAIL_EINVAL for a bad name; MAIL_ENOMEM.
 */
MAIL_API int mail_tls_create(mail_tls **out, mail_tls_context *context,
                             const mail_tls_options *opts);
MAIL_API void mail_tls_destroy(mail_tls *tls);

/**
 * Takes wire bytes up to the first event; call again, with what is left, until MAIL_TLS_NONE. While
 * a question is open or plain bytes lie there, nothing is taken. A peer that sends more than 128 KiB
 * (a client that is asked for no certificate: 32 KiB) of which nothing is for the caller has failed.
 */
MAIL_API mail_tls_event mail_tls_feed(mail_tls *tls, mail_span in, size_t *used);

/**
 * Whether `feed` may take milliseconds, which a loop with other sessions had better leave to a
 * worker: a server's handshake is on, and it has a key that is slow to sign (RSA). Until such a
 * `feed` has returned, nothing else may be asked of the session.
 */
MAIL_API bool mail_tls_is_slow(const mail_tls *tls);

/**
 * The wire has ended. MAIL_TLS_END only if the peer had said so before: a cut is
 * MAIL_TLS_FAILED, and what came before it must not count as whole. MAIL_TLS_NONE while plain bytes
 * lie there: call again once they are dropped.
 */
MAIL_API mail_tls_event mail_tls_eof(mail_tls *tls);

/** Answers MAIL_TLS_VERIFY; feed (if only nothing) afterwards. */
MAIL_API void mail_tls_answer(mail_tls *tls, bool accept);

/** Wire bytes to send. Ownership: lends until the next call of anything. */
MAIL_API mail_span mail_tls_out(const mail_tls *tls);
/** Says that the first `n` bytes of `out` are on their way. */
MAIL_API void mail_tls_sent(mail_tls *tls, size_t n);

/** Plain bytes that have come. Ownership: lends until the next `drop` or `feed`. */
MAIL_API mail_span mail_tls_plain(const mail_tls *tls);
/** Says that the first `n` plain bytes are done with. */
MAIL_API void mail_tls_drop(mail_tls *tls, size_t n);

/** How many plain bytes the next write may have: 0 before MAIL_TLS_READY and while `out` is full. */
MAIL_API size_t mail_tls_room(const mail_tls *tls);

/** Encrypts `bytes`, at most the room. Errors: MAIL_ENOMEM, MAIL_EPROTO: the session has failed. */
MAIL_API int mail_tls_write(mail_tls *tls, mail_span bytes);

/** Says to the peer that no more will come; it goes to `out`. */
MAIL_API void mail_tls_close(mail_tls *tls);

/** Why it failed: one line, without the peer's words. Empty if it has not. Lends until destroy. */
MAIL_API mail_span mail_tls_failure(const mail_tls *tls);

/** What was agreed on; meaningful from MAIL_TLS_VERIFY on. Texts are static or lend until destroy. */
typedef struct mail_tls_facts {
    const char *version; /* `TLS1.3` */
    const char *cipher;  /* `TLS_AES_256_GCM_SHA384` */
    unsigned cipher_bits;
    const char *server_name; /* the SNI, either end; empty: none */
    bool resumed;
    bool has_peer_certificate;
    bool is_verified;        /* by PKIX, pin or answer, as asked for */
    const char *doubt;       /* why not, if it was tried; else empty */
    uint8_t peer_pin[32];    /* SHA-256 of the peer's public key, if it has a certificate */
} mail_tls_facts;

/** What was agreed on so far. */
MAIL_API void mail_tls_facts_read(const mail_tls *tls, mail_tls_facts *out);

/**
 * The peer's certificate `index` of its chain, DER: for verifiers of one's own (DANE).
 * Empty: there is none. Ownership: lends until destroy.
 */
MAIL_API mail_span mail_tls_peer_certificate(const mail_tls *tls, size_t index);

/**
 * A client's key to resume this session later, `*length` octets of at most `size`. It grows with the
 * peer's certificates: see MAIL_TLS_RESUMPTION_SIZE. Who is resumed is verified like any other.
 * TLS 1.3 has it only once plain bytes have come. Errors: MAIL_ENOENT none yet; MAIL_ELIMIT.
 */
MAIL_API int mail_tls_resumption(const mail_tls *tls, void *out, size_t size, size_t *length);

/** Room for any key that is worth keeping. */
#define MAIL_TLS_RESUMPTION_SIZE 16384

/**
 * Keys to resume sessions with, kept in memory for a client, each by what it was made for. Belongs
 * to one thread.
 */
typedef struct mail_tls_cache mail_tls_cache;

typedef struct mail_tls_cache_options {
    size_t size; /* MAIL_TLS_CACHE_OPTIONS_INIT */
    const mail_mem *mem;
    uint32_t max_entries;   /* the oldest goes first; default 1000 */
    mail_duration lifetime; /* default 1 h */
} mail_tls_cache_options;

#define MAIL_TLS_CACHE_OPTIONS_INIT                                                                \
    {                                                                                              \
        .size = sizeof(mail_tls_cache_options)                                                     \
    }

/** Errors: MAIL_ENOMEM. */
MAIL_API int mail_tls_cache_create(mail_tls_cache **out, const mail_tls_cache_options *opts);
MAIL_API void mail_tls_cache_destroy(mail_tls_cache *cache);

/** Forgets all: another context, or other demands, are in force. */
MAIL_API void mail_tls_cache_clear(mail_tls_cache *cache);

/**
 * Keeps `session` (what mail_tls_resumption gave) for `key`, which names the host and what is
 * demanded of it, in place of what was kept for it. Without memory it does not.
 *
 * Ownership: copies.
 */
MAIL_API void mail_tls_cache_put(mail_tls_cache *cache, mail_time now, mail_span key,
                                 mail_span session);

/**
 * Takes what is kept for `key`: it resumes one session, so that nobody who reads along can tell
 * two by it (RFC 8446, appendix C.4). Errors: MAIL_ENOENT, also for what is too old or too long.
 */
MAIL_API int mail_tls_cache_take(mail_tls_cache *cache, mail_time now, mail_span key, void *out,
                                 size_t size, size_t *length);

/** The length of a tls-exporter channel binding (RFC 9266). */
#define MAIL_TLS_BINDING_SIZE 32

/** The longest address in a certificate that mail_tls_peer_address gives, final NUL included. */
#define MAIL_TLS_ADDRESS_SIZE 321

/**
 * For a server that asks for certificates: the e-mail address in the peer's (subjectAltName), if
 * its chain leads to the context's trust, now and for clients. Who shows it may well be let in as that
 * user (SASL EXTERNAL).
 *
 * Errors: MAIL_ENOENT: none shown, not to be believed, or without an address; `err` says which.
 */
MAIL_API int mail_tls_peer_address(const mail_tls *tls, char out[MAIL_TLS_ADDRESS_SIZE],
                                   mail_error *err);

/** Writes the session's tls-exporter binding, for SCRAM-…-PLUS. Errors: MAIL_ENOENT before it is ready. */
MAIL_API int mail_tls_binding(const mail_tls *tls, uint8_t out[MAIL_TLS_BINDING_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
