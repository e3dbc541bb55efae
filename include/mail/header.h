/* SPDX-License-Identifier: MIT */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What one pass over the bytes of a message finds out about it, in slices of any
 * size: where the header ends, how often it was received before, what a peer must
 * be able to take.
 *
 * It allocates nothing, refuses nothing and costs a fraction of a copy.
 */
typedef struct mail_scan {
    uint64_t size;        /* octets so far */
    uint64_t header_size; /* octets of the header so far, with the empty line once it came */
    uint32_t received;    /* Received fields (RFC 5321, section 6.3) */
    bool in_body;         /* the empty line has come */
    bool has_8bit;        /* octets above 127, anywhere */
    bool has_8bit_header; /* octets above 127 in the header */
    bool has_bad_utf8_header; /* and they are not UTF-8: no SMTPUTF8 makes them good */
    bool has_nul;
    bool has_bare_cr;
    bool has_bare_lf;
    bool after_cr;     /* private */
    uint8_t line;      /* private: how the present header line began */
    uint8_t matched;   /* private: letters of `Received` seen in it */
    uint8_t utf8_left; /* private: octets that the present character still needs */
    uint8_t utf8_low;  /* private: least value of the next one */
    uint8_t utf8_high; /* private: greatest */
} mail_scan;

/** Begins with an empty message. */
MAIL_API void mail_scan_init(mail_scan *scan);

/** Takes the next bytes of the message, in wire form or as a file has them. */
MAIL_API void mail_scan_feed(mail_scan *scan, mail_span bytes);

/** The message is whole: judges what hung in the air. */
MAIL_API void mail_scan_end(mail_scan *scan);

/** The header holds UTF-8 and so needs SMTPUTF8 (RFC 6531, section 3.6). */
static inline bool mail_scan_needs_smtputf8(const mail_scan *scan)
{
    return scan->has_8bit_header && !scan->has_bad_utf8_header;
}

/** One field of a header, as it stands there. All spans lie in the header that was read. */
typedef struct mail_field {
    mail_span raw;   /* all of it, its last line end included */
    mail_span name;  /* without the blanks that some put before the colon */
    mail_span value; /* what follows the colon, folds included, without the last line end */
    size_t offset;   /* of `raw` in the header */
} mail_field;

/** More fields than this are not read: nobody means well with so many. */
#define MAIL_HEADER_MAX_FIELDS 10000

/**
 * Reads the header at the start of a message in memory, field by field, in one
 * pass. Lines may end with CRLF or LF; obsolete syntax is understood.
 */
typedef struct mail_header_reader {
    mail_span text;  /* private */
    size_t offset;   /* private: of what is not read yet */
    unsigned fields; /* private: how many were read */
} mail_header_reader;

/** Ownership: borrows `message` until the last use of the reader and its fields. */
MAIL_API void mail_header_reader_init(mail_header_reader *reader, mail_span message);

/**
 * Reads the next field. The header ends at an empty line, at the end of `message`,
 * and where a line is no field: the body then begins there.
 *
 * Errors: MAIL_ENOENT at the end of the header; MAIL_ELIMIT past MAIL_HEADER_MAX_FIELDS.
 */
MAIL_API int mail_header_reader_next(mail_header_reader *reader, mail_field *field);

/** Where the body begins, behind the empty line if there is one. Only after MAIL_ENOENT. */
MAIL_API size_t mail_header_reader_body(const mail_header_reader *reader);

/**
 * The first field of that name, in any case, in the header of `message`.
 * Errors: MAIL_ENOENT, MAIL_ELIMIT.
 */
MAIL_API int mail_header_find(mail_span message, mail_span name, mail_field *field);

/**
 * Writes a value on one line: line ends go, blanks at both ends too (RFC 5322,
 * section 2.2.3). `out` has room for `value.length` bytes. Returns the length.
 */
MAIL_API size_t mail_header_unfold(mail_span value, char *out);

/** A mailbox in an address field. */
typedef struct mail_address {
    mail_path path;
    mail_span display; /* display name, or the comment that serves as one, as written */
    mail_span written; /* the address as written, its brackets and what surrounds it left out */
    bool in_group;     /* a member of a group (RFC 5322, section 3.4) */
} mail_address;

/**
 * Reads the value of an address field (From, To, Cc …), mailbox by mailbox, in one
 * pass: groups, comments, quoted strings, routes, obsolete forms. Encoded words are left
 * alone: never part of an address.
 */
typedef struct mail_address_reader {
    mail_span rest; /* private */
    unsigned flags; /* private */
    bool in_group;  /* private */
} mail_address_reader;

/** A flag of the reader beside those of MAIL_PATH_…. */
enum {
    /**
     * Only what every reader of mail takes for the same mailboxes; all else is MAIL_EINVAL: groups
     * (their names too), routes, addresses with blanks or comments inside, display names with an @
     * or another special outside quotes unless the same address follows, octet for octet.
     */
    MAIL_ADDRESS_STRICT = 0x100
};

/**
 * `flags`: MAIL_PATH_…, MAIL_ADDRESS_STRICT.
 *
 * Ownership: borrows `value` until the last use of the reader.
 */
MAIL_API void mail_address_reader_init(mail_address_reader *reader, mail_span value,
                                       unsigned flags);

/**
 * Reads the next mailbox. Empty places between commas are passed over.
 *
 * Errors: MAIL_ENOENT at the end; MAIL_EINVAL or MAIL_ELIMIT for what is no address, after
 * which the reader goes on behind the next comma; MAIL_ENOMEM as mail_path_parse.
 */
MAIL_API int mail_address_reader_next(mail_address_reader *reader, mail_address *mailbox);

#ifdef __cplusplus
}
#endif

#endif
