/* SPDX-License-Identifier: MIT */
#ifndef MAIL_COMPOSE_H
#define MAIL_COMPOSE_H

#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Turns text with LF, CRLF or both for line ends into wire form, in slices. Only LF and CRLF
 * end a line: a CR without LF stays what it is, and is reported.
 */
typedef struct mail_newlines {
    bool dot_ends; /* set after init: a line of one dot ends the text (sendmail without -i) */
    bool ended;    /* that line has come */
    bool has_bare_cr;
    uint8_t held; /* private: what the last slice ended with */
} mail_newlines;

MAIL_API void mail_newlines_init(mail_newlines *newlines);

/**
 * Converts `*used` bytes of `in` into at most `size` (at least 4) bytes of `out`, and returns how
 * many were written. Uses all of `in` where `size` is twice its length and 4 more.
 */
MAIL_API size_t mail_newlines_convert(mail_newlines *newlines, mail_span in, size_t *used,
                                      char *out, size_t size);

/** The text is over: writes the line end that it lacks, and what was held back; at most 4 bytes. */
MAIL_API size_t mail_newlines_end(mail_newlines *newlines, char out[4]);

/** What is added to a message on its way in. */
typedef struct mail_submission {
    mail_span hostname;  /* completes addresses without a domain, and Message-ID; required */
    mail_span from;      /* canonical address for From and Sender where they are missing */
    mail_span from_name; /* its display name, UTF-8; empty: none */
    mail_wall when;
    int zone;                        /* minutes from UTC */
    uint8_t notify; /* MAIL_NOTIFY_… of the recipients that are found in the header */
    const struct mail_random *random; /* private to libmail's tests; NULL: the system's */
} mail_submission;

/** What became of a header. */
typedef struct mail_submitted {
    size_t body;              /* where the body begins in the message */
    size_t recipients;        /* found in To, Cc and Bcc, and added to the envelope */
    size_t unusable;          /* addresses there that are none */
    mail_span first_unusable; /* the field in which the first of them is, in the message */
} mail_submitted;

/**
 * Completes the header at the start of `message`, which holds it whole, as a submission
 * service does (RFC 6409, section 8), and writes it with its empty line to `out`.
 *
 * Line ends become CRLF; lines past 998 octets are folded; a first line `From ` of a mailbox
 * file, Return-Path and Bcc go. Date, Message-ID and From are added where missing, `To:
 * undisclosed-recipients:;` where there is no recipient field, Sender where From has several
 * mailboxes; addresses without a domain get ours. In a message that was resent (RFC 5322,
 * section 3.6.6) the first set of Resent- fields is completed instead. A message without a
 * header gets one.
 *
 * `envelope`, unless NULL, gets a recipient for each address in To, Cc and Bcc (or those of
 * the first Resent- set), each address once.
 *
 * Errors: MAIL_EINVAL for NUL or a bare CR in the header, or a bad `submission`; MAIL_ELIMIT
 * past the limits of `out`, of the header reader or of the envelope; MAIL_ENOMEM. `out` is then
 * of no use. `err` says more.
 */
MAIL_API int mail_submission_complete(const mail_submission *submission, mail_span message,
                                      mail_sink_memory *out, mail_envelope *envelope,
                                      mail_submitted *submitted, mail_error *err);

/** A header field that is set by name. */
typedef struct mail_draft_field {
    const char *name;
    const char *value; /* UTF-8, one line */
} mail_draft_field;

/** A plain message to be written. Texts are UTF-8; NULL where there is none. */
typedef struct mail_draft {
    const char *from; /* `a@b` or `Name <a@b>`; required */
    const char *to;   /* addresses with commas between; at least one of to, cc, bcc */
    const char *cc;
    const char *bcc;  /* recipients that the message does not name */
    const char *reply_to;
    const char *subject;
    const char *text; /* LF or CRLF line ends */
    const mail_draft_field *fields; /* further ones */
    size_t field_count;
} mail_draft;

/**
 * Writes a message: header, and `text` as text/plain in UTF-8, encoded where it must be so that
 * any host can carry it. `envelope` gets sender and recipients. What cannot be taken literally
 * is refused, never repaired: no value can add a field or a recipient.
 *
 * Of `submission` the hostname, time and zone are used.
 *
 * Errors: MAIL_EINVAL with `err` naming the field: a line end or NUL in a value, text that is
 * not UTF-8, an address that is none, no recipient; MAIL_ELIMIT past the limit of `out`;
 * MAIL_ENOMEM.
 */
MAIL_API int mail_draft_compose(const mail_draft *draft, const mail_submission *submission,
                                mail_sink_memory *out, mail_envelope *envelope, mail_error *err);

#ifdef __cplusplus
}
#endif

#endif
