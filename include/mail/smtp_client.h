/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SMTP_CLIENT_H
#define MAIL_SMTP_CLIENT_H

#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/reply.h>
#include <mail/sasl.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The client's half of one SMTP or LMTP session: any number of transactions on
 * one connection, without names, ports or retries.
 *
 *     create -> (out, sent, feed …) -> EV_READY -> begin -> EV_BODY -> write the message into
 *     `body` -> EV_DONE, results per recipient -> begin again, or quit -> EV_CLOSED
 *
 * Where TLS is wanted EV_STARTTLS comes before EV_READY, and where the peer must be told who we
 * are EV_AUTH. The engine does no TLS: its caller puts that between the wire and the engine.
 *
 * Bytes are taken by `feed`; the engine keeps no input and allocates nothing per command.
 */
typedef struct mail_smtp_client mail_smtp_client;

/** What has happened, or what is asked. */
typedef enum mail_smtp_client_event {
    MAIL_SMTP_CLIENT_NONE, /* more input, or room in out */
    MAIL_SMTP_CLIENT_READY, /* greeted and EHLO'd: begin or quit. Also after DONE, once more is possible */
    MAIL_SMTP_CLIENT_BODY,   /* the peer takes the message: write it into mail_smtp_client_body */
    MAIL_SMTP_CLIENT_DONE,   /* the transaction is over: every recipient has its result. It may
                               come while the body is being written: don't finish or abort it then */
    MAIL_SMTP_CLIENT_CLOSED, /* the session is over; see mail_smtp_client_failure. A transaction under
                               way has given DONE before */
    MAIL_SMTP_CLIENT_STARTTLS, /* question: begin the handshake, once `feed` gives NONE with all that
                               was read; then mail_smtp_client_tls_started, or refuse */
    MAIL_SMTP_CLIENT_AUTH      /* question: who are we? mail_smtp_client_authenticate, or refuse */
} mail_smtp_client_event;

/** `ready`, `body` … */
MAIL_API const char *mail_smtp_client_event_name(mail_smtp_client_event event);

/** What became of one recipient in one transaction. */
typedef enum mail_outcome_kind {
    MAIL_OUTCOME_UNTRIED,   /* no verdict: the session ended first (the reply says how), or a
                               limit split it off (code 0) */
    MAIL_OUTCOME_ACCEPTED,  /* the peer took responsibility */
    MAIL_OUTCOME_TRANSIENT, /* refused for now */
    MAIL_OUTCOME_PERMANENT, /* refused for good */
    MAIL_OUTCOME_AMBIGUOUS /* all sent, the final reply lost: retry, it may come twice (RFC 1047) */
} mail_outcome_kind;

/** `untried`, `accepted`, `transient`, `permanent`, `ambiguous`. */
MAIL_API const char *mail_outcome_kind_name(mail_outcome_kind kind);

/** The verdict on one recipient. */
typedef struct mail_outcome {
    mail_outcome_kind kind;
    bool is_local;    /* the verdict is ours (5.6.3, 5.6.7, 5.3.4 …): no remote reply decided */
    mail_reply reply; /* what decided; text lends from the engine until the next begin or destroy */
} mail_outcome;

/** How much TLS a session wants. */
typedef enum mail_smtp_tls {
    MAIL_SMTP_TLS_NONE,    /* none, whatever is offered */
    MAIL_SMTP_TLS_MAY,     /* by STARTTLS where that is offered, else in clear */
    MAIL_SMTP_TLS_REQUIRE, /* by STARTTLS, or there is no transaction */
    MAIL_SMTP_TLS_IMPLICIT /* from the first octet on (RFC 8314): EV_STARTTLS comes at once */
} mail_smtp_tls;

typedef struct mail_smtp_client_options {
    size_t size; /* MAIL_SMTP_CLIENT_OPTIONS_INIT */
    const mail_mem *mem;
    mail_span hostname; /* for EHLO: a domain or address literal; required; copied */
    bool lmtp;
    mail_smtp_tls tls;
    bool authenticates;               /* no transaction without AUTH: EV_AUTH asks who we are */
    bool no_pipelining, no_chunking;  /* as if not offered */
    size_t out_bytes;                 /* what `out` may hold; default 64 KiB, at least 16 KiB */
    mail_duration max_timeout;        /* upper bound for every phase; 0: RFC 5321, 4.5.3.2 */
    const struct mail_random *random; /* private to libmail's tests */
} mail_smtp_client_options;

#define MAIL_SMTP_CLIENT_OPTIONS_INIT                                                              \
    {                                                                                              \
        .size = sizeof(mail_smtp_client_options)                                                   \
    }

/** Awaits the greeting from `now` on. Errors: MAIL_EINVAL for a bad hostname, MAIL_ENOMEM. */
MAIL_API int mail_smtp_client_create(mail_smtp_client **out, const mail_smtp_client_options *opts,
                                     mail_time now);
MAIL_API void mail_smtp_client_destroy(mail_smtp_client *cl);

/** What the peer offered in its reply to EHLO. */
typedef struct mail_smtp_offer {
    bool pipelining, chunking, eightbit, binary, smtputf8, dsn, size, starttls, enhanced;
    bool requiretls;   /* RFC 8689; believed only inside TLS */
    unsigned auth;     /* mechanisms, bits of 1 << mail_sasl_mechanism */
    uint64_t max_size; /* SIZE; 0: no limit given */
    uint32_t rcpt_max; /* LIMITS (RFC 9422); 0: none given */
    uint32_t rcpt_domain_max;
    uint32_t mail_max; /* transactions in one session */
    bool esmtp;        /* false: HELO only */
} mail_smtp_offer;

/** Nothing before it has come. Ownership: lends until destroy. */
MAIL_API const mail_smtp_offer *mail_smtp_client_offer(const mail_smtp_client *cl);

/** Whether EV_STARTTLS is open: the session may have ended after it. */
MAIL_API bool mail_smtp_client_awaits_tls(const mail_smtp_client *cl);

/**
 * Answers EV_STARTTLS: the handshake is done, and all octets from now on go through TLS. What the
 * peer offered in clear is forgotten; EHLO comes again. `binding` is the session's tls-exporter
 * (32 octets), or empty: no SCRAM-…-PLUS. `is_verified`: the peer has proved its name, as a
 * message that asks for REQUIRETLS demands.
 */
MAIL_API void mail_smtp_client_tls_started(mail_smtp_client *cl, mail_time now, mail_span binding,
                                           bool is_verified);

/** Whether EV_AUTH is open: the session may have ended after it. */
MAIL_API bool mail_smtp_client_awaits_credentials(const mail_smtp_client *cl);

/** Who we are. */
typedef struct mail_smtp_credentials {
    mail_span user;
    mail_span authzid;  /* as whom to act; empty: as `user` */
    mail_span password; /* or else */
    mail_span token;    /* for OAUTHBEARER and XOAUTH2; neither: EXTERNAL, by the TLS certificate */
    mail_span host;     /* OAUTHBEARER: the peer's name, and */
    uint16_t port;      /* its port; optional */
    unsigned mechanisms; /* bits of 1 << mail_sasl_mechanism; 0: all but CRAM-MD5 */
    bool in_clear;       /* also those that show the secret to who reads along, without TLS */
} mail_smtp_credentials;

/**
 * Answers EV_AUTH. The best mechanism that the peer offers, that is allowed and that there are the
 * means for is used, once; EV_READY follows, or the end of the session. SCRAM makes the peer prove
 * that it knows the password too, and takes some milliseconds of work, at most 20.
 *
 * Ownership: copies, wipes the copy. The secret is in no text that the engine gives. What comes of
 * it is said by the next `feed`, even of nothing.
 */
MAIL_API void mail_smtp_client_authenticate(mail_smtp_client *cl, mail_time now,
                                            const mail_smtp_credentials *credentials);

/**
 * Answers EV_STARTTLS or EV_AUTH: it can't be. Ends the session, at once or with QUIT, and `why` is
 * its failure.
 */
MAIL_API void mail_smtp_client_refuse(mail_smtp_client *cl, mail_time now, const mail_reply *why);

/** What is known of the message to come. */
typedef struct mail_smtp_content {
    uint64_t size;        /* octets with CRLF line ends; 0: unknown */
    bool has_8bit;        /* octets above 127 */
    bool has_nul;         /* or bare CR or LF, or longer lines: only BINARYMIME carries it */
    bool has_utf8_header; /* RFC 6532: needs SMTPUTF8 */
} mail_smtp_content;

/**
 * Begins a transaction; only after EV_READY. The envelope's recipients are all
 * tried, within LIMITS: those past a limit end as UNTRIED, for the next transaction.
 * `content` NULL: no more is known than the envelope declares. What comes of it is
 * said by the next `feed`, even of nothing.
 *
 * Ownership: borrows `envelope` until EV_DONE.
 * Errors: nothing was begun: MAIL_ENOMEM; MAIL_EINVAL for an address or parameter that
 * could break out of its command or is over any sane length.
 */
MAIL_API int mail_smtp_client_begin(mail_smtp_client *cl, mail_time now,
                                    const mail_envelope *envelope,
                                    const mail_smtp_content *content);

/**
 * Between EV_BODY and its `finish` or `abort`: takes the message, CRLF line ends, dots untouched.
 * Its room is the free space of `out`; `on_room` is never called: look again after `sent` and
 * `feed`. `finish` gives MAIL_OK (the verdict comes as EV_DONE); `abort` ends the session, since
 * a half-sent message can only be cut off. A last line without CRLF gets one.
 *
 * Errors: a NUL, bare CR or LF, unless `has_nul` was said, makes `write` or `finish` fail with
 * MAIL_EINVAL; every recipient then ends as PERMANENT 5.6.0. MAIL_ENOMEM; MAIL_ECONN once the
 * transaction is over. After a failed `write` abort it.
 */
MAIL_API mail_sink *mail_smtp_client_body(mail_smtp_client *cl);

/** After EV_DONE, until the next begin: the result of recipient `index`. */
MAIL_API mail_outcome mail_smtp_client_outcome(const mail_smtp_client *cl, size_t index);

/** Ends the session politely, once no message is under way: QUIT, a short wait for 221, EV_CLOSED. */
MAIL_API void mail_smtp_client_quit(mail_smtp_client *cl, mail_time now);

/**
 * Why no (further) transaction was possible: the greeting or EHLO that refused,
 * the 421, the broken protocol, the time-out. Code 0 after an orderly end.
 */
MAIL_API mail_reply mail_smtp_client_failure(const mail_smtp_client *cl);

/** Whether that is a verdict of ours, not the peer's words. */
MAIL_API bool mail_smtp_client_failure_is_local(const mail_smtp_client *cl);

/**
 * The phase that the session is in or ended in, for the log: `greeting`, `ehlo`, `helo`, `starttls`,
 * `tls`, `auth`, `ready`, `rset`, `mail`, `rcpt`, `data`, `body`, `dot`, `quit`.
 */
MAIL_API const char *mail_smtp_client_phase(const mail_smtp_client *cl);

/**
 * Uses whole lines of `in`, `*used` octets, up to the first event. Offer the unused ones
 * again, more appended, up to 4 KiB at least: a longer line ends the session. Call it
 * again, even with nothing, until it gives EV_NONE; so too after `begin`, and after the
 * body's `finish` or `abort`.
 *
 * Errors: MAIL_ENOMEM: the session has ended for that; EV_DONE and EV_CLOSED follow.
 */
MAIL_API int mail_smtp_client_feed(mail_smtp_client *cl, mail_time now, mail_span in, size_t *used,
                                   mail_smtp_client_event *ev);

/** The peer has closed. Call until EV_CLOSED. Errors: as `feed`. */
MAIL_API int mail_smtp_client_eof(mail_smtp_client *cl, mail_smtp_client_event *ev);

/** Time has passed. Gives EV_NONE before the deadline; call until it does, or EV_CLOSED. Errors: as `feed`. */
MAIL_API int mail_smtp_client_tick(mail_smtp_client *cl, mail_time now, mail_smtp_client_event *ev);

/** Octets to send. Ownership: lends until the next call of anything but `wants`. */
MAIL_API mail_span mail_smtp_client_out(const mail_smtp_client *cl);

/**
 * Says that the first `n` octets of `out` are on their way: before the peer's answer is
 * fed, since a reply to what was not sent is taken for a forgery.
 */
MAIL_API void mail_smtp_client_sent(mail_smtp_client *cl, mail_time now, size_t n);

/** MAIL_WANTS_READ, MAIL_WANTS_WRITE; 0: it is over. */
MAIL_API unsigned mail_smtp_client_wants(const mail_smtp_client *cl);

/**
 * When to call `tick`; MAIL_NEVER while only the caller is waited for. Already past when
 * there is an event to fetch.
 */
MAIL_API mail_time mail_smtp_client_deadline(const mail_smtp_client *cl);

#ifdef __cplusplus
}
#endif

#endif
