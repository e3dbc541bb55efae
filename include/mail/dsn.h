/* SPDX-License-Identifier: MIT */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/reply.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What became of a recipient. RFC: 3464, section 2.3.3. */
typedef enum mail_dsn_action {
    MAIL_DSN_FAILED,
    MAIL_DSN_DELAYED,
    MAIL_DSN_DELIVERED, /* into a mailbox */
    MAIL_DSN_RELAYED,   /* to a host that sends no reports */
    MAIL_DSN_EXPANDED   /* to the members of a list */
} mail_dsn_action;

/** `failed`, `delayed`, `delivered`, `relayed`, `expanded`. */
MAIL_API const char *mail_dsn_action_name(mail_dsn_action action);

/** Whether a recipient's NOTIFY asks for a report of `action`. RFC: 3461, sections 4.1 and 5.2. */
MAIL_API bool mail_dsn_is_wanted(uint8_t notify, mail_dsn_action action);

/** One recipient of the message that a report tells of. */
typedef struct mail_dsn_recipient {
    mail_span address; /* canonical; the one the sender may know of (RFC 3461, section 5.2.7.4) */
    mail_span orcpt;   /* `type;address` in xtext; empty: none */
    mail_dsn_action action;
    bool has_expired;       /* FAILED because it was tried for too long */
    mail_reply reply;       /* what decided, whose status is told in the class of `action` */
    mail_span remote_mta;   /* the host that gave the reply; empty: this one */
    mail_wall last_attempt; /* 0: now */
    mail_wall retry_until;  /* DELAYED: 0: not known */
} mail_dsn_recipient;

/** A report to be written (RFC 3464, RFC 6522, RFC 6533). */
typedef struct mail_dsn {
    mail_span hostname; /* of the reporting MTA; required */
    mail_span sender;   /* envelope sender of the message, who gets the report; required */
    mail_span envid;    /* decoded; empty: none */
    mail_span queue_id; /* of the message; empty: none */
    mail_wall arrival;  /* 0: not known */
    mail_wall when;
    int zone; /* minutes from UTC */
    mail_ret ret;
    bool smtputf8; /* the message was sent with SMTPUTF8: its sender reads UTF-8 reports */
    const mail_dsn_recipient *recipients;
    size_t count;           /* at least 1 */
    uint64_t original_size; /* octets of the message; 0 (not known): only its header comes back */
    bool original_has_8bit;
    bool original_has_nul; /* binary, or bare CR or LF: nothing comes back */
    bool original_has_utf8_header;
    uint64_t max_original_bytes;      /* of a message that comes back whole; default 256 KiB */
    const struct mail_random *random; /* private to libmail's tests; NULL: the system's */
} mail_dsn;

/**
 * Fills the envelope of the report: null sender, the sender of the message as recipient who wants no
 * report, what the content needs. Errors: MAIL_EINVAL where mail_dsn_open gives it; MAIL_ENOMEM.
 */
MAIL_API int mail_dsn_address(const mail_dsn *dsn, mail_envelope *envelope);

/**
 * Opens the report as a source: wire form, written piece by piece as it is read, whatever the
 * number of recipients and the size of the message. Once open it allocates nothing.
 *
 * `original` is the message, NULL to bring nothing back.
 *
 * Ownership: copies `*dsn` but borrows all that it points to until the source is closed; takes
 * `original`, which is closed with the source; gives `*out`.
 * Errors: MAIL_EINVAL for a sender that is null (a report never answers a report) or no
 * address, a bad hostname or no recipient; MAIL_ENOMEM.
 */
MAIL_API int mail_dsn_open(mail_source **out, const mail_dsn *dsn, mail_source *original,
                           const mail_mem *mem);

/** In which form a report was written. */
typedef enum mail_dsn_kind {
    MAIL_DSN_KIND_NONE,     /* this is no report, or one of nobody that is known here */
    MAIL_DSN_KIND_STANDARD, /* RFC 3464, RFC 6533 */
    MAIL_DSN_KIND_QSBMF,    /* qmail's */
    MAIL_DSN_KIND_EXIM,     /* the plain texts of Exim, … */
    MAIL_DSN_KIND_DMA,      /* … of the DragonFly Mail Agent, … */
    MAIL_DSN_KIND_EXCHANGE  /* … and of Exchange */
} mail_dsn_kind;

/** `none`, `rfc3464`, `qsbmf`, `exim`, `dma`, `exchange`. */
MAIL_API const char *mail_dsn_kind_name(mail_dsn_kind kind);

/** What a report tells of one recipient. Nobody vouches for it. Each text is on one line, cleaned. */
typedef struct mail_dsn_told {
    mail_span address; /* as it is written there; a name where a report gives no more */
    mail_dsn_action action;
    uint16_t status[3];   /* all zero: not told */
    mail_span diagnostic; /* why; empty: not told */
    mail_span remote_mta; /* who said so; empty: not told */
} mail_dsn_told;

/** Reads a report that somebody sent. On the stack, nothing to deinit. */
typedef struct mail_dsn_reader {
    mail_dsn_kind kind;
    mail_dsn_action action; /* private, as is all below */
    mail_span text;         /* what is left of it */
    char address[512];
    char host[260];
    char words[1024];
} mail_dsn_reader;

/**
 * Looks at a whole message (header, empty line, body; CRLF or LF) and says what kind of report it is.
 * Parts in base64 or quoted-printable are read as they are.
 *
 * Ownership: borrows `message` until the last use of the reader.
 */
MAIL_API mail_dsn_kind mail_dsn_reader_init(mail_dsn_reader *reader, mail_span message);

/**
 * The next recipient. Ownership: its texts lend until the next call.
 *
 * Errors: MAIL_ENOENT: there is none.
 */
MAIL_API int mail_dsn_reader_next(mail_dsn_reader *reader, mail_dsn_told *told);

#ifdef __cplusplus
}
#endif

#endif
