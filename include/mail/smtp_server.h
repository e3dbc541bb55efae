/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SMTP_SERVER_H
#define MAIL_SMTP_SERVER_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/reply.h>
#include <mail/sasl.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The server's half of one SMTP or LMTP session, as bytes in and bytes out
 * (RFC 5321, RFC 2033 and the extensions named in lib/smtp/README.md).
 *
 * The caller moves bytes and answers questions:
 *
 *     feed bytes -> one event -> (a question? answer it, now or in an hour) -> out, sent
 *
 * The engine keeps no input, calls nothing, reads no clock and, once created,
 * allocates only when `out` outgrows what it has.
 *
 * A transaction begins with a positive answer to EV_MAIL and ends in exactly one way:
 * EV_RESET before a message was begun, EV_ABORT in the middle of one, or EV_END. What
 * is in `out` when an event comes was said before it.
 */
typedef struct mail_smtp_server mail_smtp_server;

/** What has happened, or what is asked. */
typedef enum mail_smtp_event_type {
    MAIL_SMTP_EV_NONE,     /* more input, or an answer, or room in out is needed */
    MAIL_SMTP_EV_CONNECT,  /* question: greet? 220 greets; 4yz or 5yz refuses (RFC 5321, 3.1) */
    MAIL_SMTP_EV_HELO,     /* question: HELO, EHLO or LHLO with `name` */
    MAIL_SMTP_EV_MAIL,     /* question: `path`, `mail` */
    MAIL_SMTP_EV_RCPT,     /* question: `path`, `rcpt` */
    MAIL_SMTP_EV_DATA,     /* question: take a message for the accepted recipients? 354 begins it */
    MAIL_SMTP_EV_BODY,     /* `body`: the next bytes of the message, dots removed */
    MAIL_SMTP_EV_END,      /* question: it is whole. LMTP: one answer a recipient, in order */
    MAIL_SMTP_EV_ABORT,    /* it will not be whole: drop what was taken, and the envelope */
    MAIL_SMTP_EV_RESET,    /* the transaction is over without a message: drop the envelope */
    MAIL_SMTP_EV_VRFY,     /* question: `argument` */
    MAIL_SMTP_EV_EXPN,     /* question: `argument` */
    MAIL_SMTP_EV_STARTTLS, /* question: TLS? 220: see mail_smtp_server_tls_started */
    MAIL_SMTP_EV_AUTH,     /* question: `auth`; see mail_smtp_server_answer_auth */
    MAIL_SMTP_EV_REFUSED,  /* for the log: the engine itself refused a command with `reply` */
    MAIL_SMTP_EV_CLOSE     /* last event: flush out, then close. `reply` is the last one sent */
} mail_smtp_event_type;

/** `CONNECT`, `HELO` …: the name without its prefix. */
MAIL_API const char *mail_smtp_event_name(mail_smtp_event_type type);

/** The parameters of MAIL FROM (all spans lend as the event does). */
typedef struct mail_smtp_mail {
    uint64_t size; /* octets declared with SIZE; 0: not declared */
    mail_body body;
    mail_ret ret;
    mail_span envid; /* decoded; empty: none */
    bool smtputf8;
    bool requiretls; /* to be sent on only over verified TLS (RFC 8689) */
    /* AUTH (RFC 4954, section 5): who is said to have submitted it, in xtext, checked; empty: not
     * said, `<>`, or said by a peer that has not proved who it is. To be believed only of peers
     * that are trusted with it. */
    mail_span auth;
} mail_smtp_mail;

/** The parameters of RCPT TO. */
typedef struct mail_smtp_rcpt {
    mail_span orcpt; /* as received, checked; empty: none */
    uint8_t notify;  /* MAIL_NOTIFY_… */
} mail_smtp_rcpt;

/**
 * What has happened, or what is asked. Spans and pointers lend from the engine
 * and from the bytes fed, until the next call of `feed`, `eof` or `tick`.
 */
typedef struct mail_smtp_event {
    mail_smtp_event_type type;
    mail_span name;                 /* HELO: as received, checked (RFC 5321, 4.1.1.1);
                                     * REFUSED: the verb, such as `MAIL`; empty: none that we know */
    bool esmtp;                     /* HELO: EHLO or LHLO */
    const mail_path *path;          /* MAIL, RCPT; REFUSED: theirs, if it could be read */
    const mail_smtp_mail *mail;     /* MAIL */
    const mail_smtp_rcpt *rcpt;     /* RCPT */
    bool by_bdat;                   /* DATA: chunks, no 354 goes out (RFC 3030) */
    mail_span body;                 /* BODY */
    uint64_t size;                  /* END: octets of the message */
    size_t index;                   /* END in LMTP: which accepted recipient is asked for, from 0 */
    mail_span argument;             /* VRFY, EXPN */
    const mail_sasl_question *auth; /* AUTH; lends until the answer */
    bool is_consequence;            /* REFUSED: only since what came before was refused too: the
                                     * RCPT and DATA that were sent along with a refused MAIL */
    const mail_reply *reply;        /* REFUSED, CLOSE; may be NULL in CLOSE */
} mail_smtp_event;

/** What to do with a CR or LF that is not part of a CRLF in a message (SMTP smuggling). */
typedef enum mail_bare_newline {
    MAIL_BARE_NEWLINE_REJECT,   /* 550 5.6.0 at the first, then close */
    MAIL_BARE_NEWLINE_NORMALISE /* becomes CRLF; never ends the message */
} mail_bare_newline;

/** The longest message that is taken unless the options say otherwise. */
#define MAIL_SMTP_MESSAGE_BYTES ((uint64_t)50 << 20)

typedef struct mail_smtp_server_options {
    size_t size; /* MAIL_SMTP_SERVER_OPTIONS_INIT */
    const mail_mem *mem;
    mail_span hostname; /* ours, in the greeting and replies; required; copied */
    bool lmtp;
    mail_bare_newline bare_newline;
    uint64_t max_message_bytes;    /* default MAIL_SMTP_MESSAGE_BYTES: 50 MiB */
    uint32_t max_recipients;       /* accepted for a message; default 1000, at least 100 */
    uint32_t max_errors;           /* then 421 4.7.0; default 20 */
    uint32_t max_junk;             /* NOOP, RSET, VRFY, HELP … without a message; default 100 */
    mail_duration command_timeout; /* default 5 min (RFC 5321, 4.5.3.2.7); handshakes: 1 at most */
    mail_duration data_timeout;    /* without one byte of message; default 3 min */
    uint32_t min_data_rate;        /* octets a second of a message, after a minute; default 100 */
    bool no_pipelining, no_chunking, no_8bitmime, no_smtputf8, no_dsn, no_vrfy; /* not offered */
    bool expn;                 /* offer EXPN and ask for it */
    bool allow_early_talk;     /* take commands sent before the greeting was; default: 554, close */
    mail_duration error_delay; /* of refusals from the 5th on; default 1 s, negative: none */
    bool starttls;             /* offered, and asked for with EV_STARTTLS, until TLS is on */
    bool implicit_tls; /* TLS from the first octet (RFC 8314): nothing happens before tls_started */
    bool requires_tls; /* till TLS is on: 530 to all but EHLO, NOOP, QUIT and STARTTLS */
    bool requiretls;   /* REQUIRETLS is offered inside TLS, and kept by the embedder (RFC 8689) */
    unsigned auth_mechanisms;  /* bits 1 << mail_sasl_mechanism; 0: no AUTH */
    bool auth_in_clear;        /* also those that show a secret, without TLS */
    bool auth_needs_tls;       /* no mechanism at all without TLS */
    bool requires_auth;        /* submission: 530 5.7.0 to MAIL before AUTH has succeeded */
    uint8_t auth_disguise[32]; /* a lasting secret: unknown users look like known ones (SCRAM) */
    /* Of one session: what passes them is answered 421 4.7.0, between messages. */
    uint32_t max_commands;         /* default 1000000 */
    uint32_t max_refused;          /* recipients for good, without a message; default 100 */
    uint64_t max_session_bytes;    /* from the peer; default 16 GiB */
    mail_duration session_timeout; /* a message under way has as long again; default 6 h */
} mail_smtp_server_options;

/** The longest command line, CRLF included: what a caller's input buffer must at least hold. */
#define MAIL_SMTP_LINE_MAX 2048

/** The same where AUTH is offered: its messages may be longer (RFC 4954, section 4). */
#define MAIL_SMTP_AUTH_LINE_MAX 12290

#define MAIL_SMTP_SERVER_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_smtp_server_options)                                                   \
    }

/**
 * Creates the engine; the first `feed`, even of nothing, asks EV_CONNECT.
 *
 * Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM.
 */
MAIL_API int mail_smtp_server_create(mail_smtp_server **out, const mail_smtp_server_options *opts,
                                     mail_time now);
MAIL_API void mail_smtp_server_destroy(mail_smtp_server *srv);

/**
 * Uses bytes of `in`, `*used` of them, up to the first event. Offer the unused
 * ones again, more appended. With `MAIL_SMTP_EV_NONE` nothing more can be done with them.
 *
 * A `body` is never longer than `in` plus two bytes, so that a caller whose sink has
 * little room feeds less.
 *
 * Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_smtp_server_feed(mail_smtp_server *srv, mail_time now, mail_span in, size_t *used,
                                   mail_smtp_event *ev);

/**
 * The peer has closed. Call until EV_CLOSE: a transaction under way gives EV_ABORT or EV_RESET
 * first. An open question is withdrawn; after EV_END the message is the taker's, to keep or not.
 *
 * A peer that closes only its own half still gets its replies if this is called once `feed` can
 * use no more and no question is open.
 */
MAIL_API int mail_smtp_server_eof(mail_smtp_server *srv, mail_smtp_event *ev);

/**
 * Time has passed. Once the deadline is over, call it until EV_CLOSE, as `eof`. EV_NONE: the
 * session goes on; `out` and `wants` may have changed.
 */
MAIL_API int mail_smtp_server_tick(mail_smtp_server *srv, mail_time now, mail_smtp_event *ev);

/**
 * Says that input is held back on purpose, because its sink has no room: until the
 * next `feed` no deadline comes nearer and the message's average rate stands still.
 */
MAIL_API void mail_smtp_server_pause(mail_smtp_server *srv, mail_time now);

/**
 * Ends the session from our side, with 421 and `text`, as soon as no question
 * is open and no message under way (`force`: at once). EV_CLOSE comes from the next `feed`,
 * even of nothing.
 *
 * Ownership: borrows `text` until EV_CLOSE.
 */
MAIL_API void mail_smtp_server_shutdown(mail_smtp_server *srv, mail_span text, bool force);

/**
 * Answers the open question. `reply` NULL: the ordinary positive answer. The
 * code must fit the question (220 CONNECT, 2yz most, 354 DATA, 4yz and 5yz all).
 * A 421 ends the session. To CONNECT and HELO the text follows our name: `220 name text`.
 *
 * Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_smtp_server_answer(mail_smtp_server *srv, mail_time now, const mail_reply *reply);

/**
 * Answers EV_AUTH. What follows, success, failure or one more message, goes to `out`; a
 * refusal in other words (454 4.7.0: not now) goes through mail_smtp_server_answer.
 *
 * Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_smtp_server_answer_auth(mail_smtp_server *srv, mail_time now,
                                          const mail_sasl_answer *answer);

/** Whether an exchange of AUTH is under way, be it that the peer or the embedder is awaited. */
MAIL_API bool mail_smtp_server_authenticates(const mail_smtp_server *srv);

/**
 * Holds back the refusal that the engine has just given, as for an AUTH that came to nothing, until
 * `when`. Until then it takes no input.
 */
MAIL_API void mail_smtp_server_delay(mail_smtp_server *srv, mail_time when);

/** As whom the peer may act, after AUTH; empty: it has not. Lends until the next call. */
MAIL_API mail_span mail_smtp_server_user(const mail_smtp_server *srv);

/**
 * Whether the peer is to begin a TLS handshake: after a positive answer to EV_STARTTLS, or from the
 * start with `implicit_tls`. Send `out` first. What was read in clear may still be fed: it
 * is dropped, and reported by EV_REFUSED with a reply that is not sent.
 */
MAIL_API bool mail_smtp_server_awaits_tls(const mail_smtp_server *srv);

/**
 * The handshake is done: from now on plain bytes are fed. All that was said before is forgotten.
 * `binding` is the session's tls-exporter (MAIL_TLS_BINDING_SIZE octets), or empty: no -PLUS.
 * `identity` is who the client's certificate, once verified, names: EXTERNAL is offered then; or
 * empty. Both are copied.
 *
 * Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_smtp_server_tls_started(mail_smtp_server *srv, mail_time now, mail_span binding,
                                          mail_span identity);

/** Whether a question is open. */
MAIL_API bool mail_smtp_server_asks(const mail_smtp_server *srv);

/** Bytes to send. Ownership: lends until the next call of anything but `wants`. */
MAIL_API mail_span mail_smtp_server_out(const mail_smtp_server *srv);

/** Says that the first `n` bytes of `out` are on their way. */
MAIL_API void mail_smtp_server_sent(mail_smtp_server *srv, size_t n);

/**
 * What the engine waits for; WRITE means that `out` is not empty, TIME that a reply is
 * delayed. READ with an open EV_CONNECT: feed what comes; nothing of it is used, but the peer has
 * then spoken before its turn. 0: the session is over and `out` empty.
 */
MAIL_API unsigned mail_smtp_server_wants(const mail_smtp_server *srv);

/** When to call `tick`; MAIL_NEVER while only an answer is awaited, and after EV_CLOSE. */
MAIL_API mail_time mail_smtp_server_deadline(const mail_smtp_server *srv);

#ifdef __cplusplus
}
#endif

#endif
