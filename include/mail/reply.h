/* SPDX-License-Identifier: MIT */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An SMTP reply, ours or a peer's: code, enhanced status code (RFC 3463) and
 * text. Text of several lines is divided by LF, without CR.
 */
typedef struct mail_reply {
    uint16_t code;        /* 200 to 599; 0: no reply at all */
    uint16_t status[3];   /* class, subject, detail; class 0: none */
    mail_span text;       /* without codes */
} mail_reply;

/** A reply with an enhanced code as an initializer, for tables and static ones. */
#define MAIL_REPLY_INIT(code, class, subject, detail, text)                                        \
    {                                                                                              \
        (code), {(class), (subject), (detail)},                                                    \
        {                                                                                          \
            (text), sizeof(text) - 1                                                               \
        }                                                                                          \
    }

/** The same as a value: `MAIL_REPLY(550, 5, 1, 1, "No such user here")`. */
#define MAIL_REPLY(code, class, subject, detail, text)                                             \
    ((mail_reply)MAIL_REPLY_INIT(code, class, subject, detail, text))

/** 2yz: done. */
static inline bool mail_reply_is_positive(const mail_reply *reply)
{
    return reply->code >= 200 && reply->code < 300;
}

/** 4yz: the same may succeed later. */
static inline bool mail_reply_is_transient(const mail_reply *reply)
{
    return reply->code >= 400 && reply->code < 500;
}

/** 5yz: the same will fail again. */
static inline bool mail_reply_is_permanent(const mail_reply *reply)
{
    return reply->code >= 500 && reply->code < 600;
}

/** The longest text that `mail_reply_print` writes, final NUL included. */
#define MAIL_REPLY_TEXT_SIZE 1024

/**
 * Writes `550 5.1.1 No such user here` on one line, control characters and
 * broken UTF-8 made harmless, cut to fit: for logs, reports, records. Returns its length.
 */
MAIL_API size_t mail_reply_print(const mail_reply *reply, char *out, size_t size);

/**
 * Writes the reply as it goes on the wire: as many lines as its text has, each
 * of at most 510 octets and CRLF, with the enhanced code on each when `enhanced`.
 * Longer lines are folded into more; characters other than printable ASCII become `?`.
 *
 * Errors: MAIL_ELIMIT when `size` is too small; `*length_out` is then what it needs.
 */
MAIL_API int mail_reply_write(const mail_reply *reply, bool enhanced, char *out, size_t size,
                              size_t *length_out);

/**
 * Reads a peer's reply, line by line, without allocating: the text goes into the
 * caller's buffer, cut and cleaned. RFC 5321, section 4.2.1.
 */
typedef struct mail_reply_reader {
    char *text;          /* private */
    size_t size;         /* private */
    size_t length;       /* private */
    size_t octets;       /* private: of the whole reply so far */
    uint16_t code;       /* private */
    uint16_t status[3];  /* private */
    unsigned lines;      /* private */
} mail_reply_reader;

/** A reader that keeps text in `text` of `size` bytes. Ownership: borrows until it is done. */
MAIL_API void mail_reply_reader_init(mail_reply_reader *reader, char *text, size_t size);

/**
 * Takes one line without its line end. `*done` is set once the reply is complete
 * and `*reply` filled; the reader is then ready for the next one.
 *
 * Ownership: `reply->text` lends until the next line.
 * Errors: MAIL_EPROTO for what is no reply (also codes that change between
 * lines); MAIL_ELIMIT past 64 KiB in one reply.
 */
MAIL_API int mail_reply_reader_line(mail_reply_reader *reader, mail_span line, mail_reply *reply,
                                    bool *done);

/** Parses a reply that `mail_reply_print` wrote. Errors: MAIL_EINVAL. */
MAIL_API int mail_reply_parse(mail_span text, mail_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
