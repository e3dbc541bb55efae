/* SPDX-License-Identifier: MIT */
#ifndef MAIL_POP3_SERVER_H
#define MAIL_POP3_SERVER_H

#include <mail/base.h>
#include <mail/maildrop.h>
#include <mail/sasl.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The server's half of one POP3 session, as bytes in and bytes out (RFC 1939, 2449, 5034; STLS
 * of RFC 2595).
 *
 *     feed bytes -> one event -> (a question? answer it, now or in an hour) -> out, sent
 *
 * The engine keeps no input, calls nothing but the source that `send` is given, reads
 * no clock, and allocates only at login and when `out` outgrows what it has.
 */
typedef struct mail_pop3_server mail_pop3_server;

/** What has happened, or what is asked. */
typedef enum mail_pop3_event_type {
    MAIL_POP3_EV_NONE,    /* more input, an answer, a message or room in out is needed */
    MAIL_POP3_EV_CONNECT, /* question: accept greets */
    /* Question: is the client who it says (`auth`)? answer_auth, or refuse for now. So ask PASS, as
     * by PLAIN, and APOP, as by CRAM-MD5, too. */
    MAIL_POP3_EV_AUTH,
    MAIL_POP3_EV_DENY,    /* question: it is not; refuse, which may well take a while */
    MAIL_POP3_EV_LOGIN,   /* question: it is, and wants the maildrop of `user`; login opens it */
    MAIL_POP3_EV_STLS,    /* question: accept, then shake hands: see awaits_tls */
    MAIL_POP3_EV_DROPPED, /* no question: there was input in clear behind STLS, once */
    MAIL_POP3_EV_MESSAGE, /* question: message `index`, or its first `lines`; accept, then `send` it */
    MAIL_POP3_EV_UPDATE, /* question: the messages in `marks` are to be removed now; accept: they are */
    MAIL_POP3_EV_CLOSE /* last event: flush out, then close. Nothing is removed any more */
} mail_pop3_event_type;

/** `CONNECT`, `LOGIN` …: the name without its prefix. */
MAIL_API const char *mail_pop3_event_name(mail_pop3_event_type type);

/** The whole message, not only the first lines of its body. */
#define MAIL_POP3_ALL_LINES UINT64_MAX

/** Why a session has ended. */
typedef enum mail_pop3_end {
    MAIL_POP3_END_ORDERLY, /* by QUIT, by the peer's closing, by a shutdown or refusal of yours */
    MAIL_POP3_END_LIMIT,   /* it had more errors, wrong logins, commands or time than one may */
    MAIL_POP3_END_SLOW,    /* too long without a command, without a login, or with reading */
    MAIL_POP3_END_FOREIGN  /* it spoke another protocol */
} mail_pop3_end;

/**
 * What has happened, or what is asked. Spans and pointers lend from the engine
 * and from the bytes fed, until the next call of `feed`, `eof` or `tick`.
 */
typedef struct mail_pop3_event {
    mail_pop3_event_type type;
    const mail_sasl_question *auth; /* AUTH; lends until the answer */
    mail_span user;                 /* LOGIN: as whom the client may act; lends until the answer */
    size_t index;                   /* MESSAGE: from 0 */
    uint64_t lines;                 /* MESSAGE: of the body; MAIL_POP3_ALL_LINES: all */
    bool needs_ascii; /* MESSAGE: one with UTF-8 in its header must be refused (MAIL_POP3_UTF8) */
    const uint8_t *marks; /* UPDATE: for mail_mark_is_set; NULL: none. Lends until the answer */
    mail_pop3_end end;    /* CLOSE */
} mail_pop3_event;

/** Why something is refused, as clients understand it (RFC 2449, section 8; RFC 3206). */
typedef enum mail_pop3_code {
    MAIL_POP3_NO_CODE,
    MAIL_POP3_IN_USE,      /* the maildrop is locked by another session */
    MAIL_POP3_LOGIN_DELAY, /* too soon after the last login */
    MAIL_POP3_SYS_TEMP,    /* our trouble; may go away */
    MAIL_POP3_SYS_PERM,    /* our trouble; somebody must act */
    MAIL_POP3_AUTH,        /* the credentials are wrong */
    MAIL_POP3_UTF8         /* the message needs UTF8 (RFC 6856, section 5) */
} mail_pop3_code;

/** `IN-USE`, `SYS/TEMP` …; empty for NO_CODE. */
MAIL_API const char *mail_pop3_code_name(mail_pop3_code code);

typedef struct mail_pop3_server_options {
    size_t size; /* MAIL_POP3_SERVER_OPTIONS_INIT */
    const mail_mem *mem;
    mail_span hostname;       /* in the greeting; required; copied */
    unsigned auth_mechanisms; /* for AUTH, bits 1 << mail_sasl_mechanism; 0: no AUTH */
    bool auth_in_clear; /* passwords without TLS: USER and PASS, mechanisms that show a secret */
    bool apop;          /* weak, and needs the passwords themselves; RFC 1939, section 7 */
    uint8_t auth_disguise[32]; /* a lasting secret: unknown users look like known ones (SCRAM) */
    bool utf8;                 /* offer UTF8 and LANG (RFC 6856); see `needs_ascii` */
    bool stls;                 /* offered, and asked for with EV_STLS, until TLS is on */
    bool implicit_tls; /* TLS from the first octet (RFC 8314): nothing happens before tls_started */
    /* Without a command or anything taken, and till somebody has logged in; default 10 min
     * (RFC 1939, section 3). */
    mail_duration idle_timeout;
    uint32_t max_errors;           /* then the session ends; default 20 */
    uint32_t max_logins;           /* refused, then the session ends; default 3 */
    uint32_t max_commands;         /* then the session ends; default 1000000 */
    mail_duration session_timeout; /* however busy it is; default 6 h */
    uint32_t min_rate; /* octets a second that the peer takes, after a minute; default 100 */
    size_t out_bytes;  /* what `out` may hold; default 64 KiB, at least 4 KiB */
    const struct mail_random *random; /* private to libmail's tests */
} mail_pop3_server_options;

#define MAIL_POP3_SERVER_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_pop3_server_options)                                                   \
    }

/** The longest line of an AUTH exchange, CRLF included: what a caller's input buffer must at least hold. */
#define MAIL_POP3_AUTH_LINE_MAX 12290

/**
 * Creates the engine; the first `feed`, even of nothing, asks EV_CONNECT.
 *
 * Errors: MAIL_EINVAL for bad options, MAIL_ENOMEM.
 */
MAIL_API int mail_pop3_server_create(mail_pop3_server **out, const mail_pop3_server_options *opts,
                                     mail_time now);
MAIL_API void mail_pop3_server_destroy(mail_pop3_server *srv);

/**
 * Uses bytes of `in`, `*used` of them, up to the first event. Offer the unused
 * ones again, more appended, and call again after `sent`. With EV_NONE nothing more
 * can be done with them now.
 *
 * Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_pop3_server_feed(mail_pop3_server *srv, mail_time now, mail_span in, size_t *used,
                                   mail_pop3_event *ev);

/** The peer has closed: gives EV_CLOSE. Nothing is removed (RFC 1939, section 6). */
MAIL_API int mail_pop3_server_eof(mail_pop3_server *srv, mail_pop3_event *ev);

/** Time has passed: gives EV_CLOSE once the deadline is over, else EV_NONE. */
MAIL_API int mail_pop3_server_tick(mail_pop3_server *srv, mail_time now, mail_pop3_event *ev);

/**
 * Ends the session from our side, between two commands (`force`: at once), without removing
 * anything. EV_CLOSE comes from the next `feed`.
 */
MAIL_API void mail_pop3_server_shutdown(mail_pop3_server *srv, bool force);

/** Answers EV_CONNECT, EV_STLS, EV_MESSAGE or EV_UPDATE with yes. Errors: MAIL_ENOMEM. */
MAIL_API int mail_pop3_server_accept(mail_pop3_server *srv, mail_time now);

/**
 * Answers EV_AUTH. What follows is more of the exchange, EV_LOGIN or EV_DENY, from the next `feed`.
 *
 * Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_pop3_server_answer_auth(mail_pop3_server *srv, mail_time now,
                                          const mail_sasl_answer *answer);

/**
 * Whether TLS is to be begun: STLS was accepted, and once `out` is sent all bytes belong to TLS; or
 * `implicit_tls`. What is fed till tls_started was sent in clear: it is dropped, and told once.
 */
MAIL_API bool mail_pop3_server_awaits_tls(const mail_pop3_server *srv);

/**
 * The handshake is done. `binding` is the session's tls-exporter (mail_tls_binding) or empty;
 * `identity` is who the client's certificate, once verified, names, for EXTERNAL, or empty. Both are
 * copied. Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_pop3_server_tls_started(mail_pop3_server *srv, mail_time now, mail_span binding,
                                          mail_span identity);

/**
 * Answers EV_LOGIN with yes: these are the messages of the session, numbered from 1.
 *
 * Ownership: borrows `messages` and their ids until EV_UPDATE, EV_CLOSE or destroy.
 * Errors: MAIL_ENOMEM (destroy the engine).
 */
MAIL_API int mail_pop3_server_login(mail_pop3_server *srv, mail_time now,
                                    const mail_maildrop_message *messages, size_t count);

/**
 * Answers any question with no; `text` (at most 400 octets count, control characters do
 * not) is for a person. A refused EV_CONNECT ends the session, a refused EV_UPDATE too.
 *
 * Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_pop3_server_refuse(mail_pop3_server *srv, mail_time now, mail_pop3_code code,
                                     mail_span text);

/** One more bit of `wants`: bytes of the message that was asked for, by `send`. */
#define MAIL_POP3_WANTS_MESSAGE 8

/**
 * Moves the message on, from `source` (wire form) into `out`, as far as there is room:
 * after an accepted EV_MESSAGE, while `wants` has MAIL_POP3_WANTS_MESSAGE, always
 * the same source. MAIL_OK: it is through, or enough of it for TOP; close the source.
 *
 * Errors: MAIL_EAGAIN: call again after `sent`, or when the source has more. Anything else is
 * the source's failure or MAIL_ENOMEM: since half a message can't be called back, the
 * session is over, and the next `feed` gives EV_CLOSE.
 */
MAIL_API int mail_pop3_server_send(mail_pop3_server *srv, mail_time now, mail_source *source);

/** Bytes to send. Ownership: lends until the next call of anything but `wants`. */
MAIL_API mail_span mail_pop3_server_out(const mail_pop3_server *srv);

/** Says that the first `n` bytes of `out` are on their way. */
MAIL_API void mail_pop3_server_sent(mail_pop3_server *srv, mail_time now, size_t n);

/** What the engine waits for; WRITE means that `out` is not empty. 0: it is over. */
MAIL_API unsigned mail_pop3_server_wants(const mail_pop3_server *srv);

/** When to call `tick`; MAIL_NEVER while only an answer or a source is awaited. */
MAIL_API mail_time mail_pop3_server_deadline(const mail_pop3_server *srv);

#ifdef __cplusplus
}
#endif

#endif
