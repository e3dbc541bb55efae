/* SPDX-License-Identifier: MIT */
#ifndef MAIL_TRACE_H
#define MAIL_TRACE_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest field that is written here, final NUL included. */
#define MAIL_TRACE_SIZE 2048

/** How a message came, as the bits that make the word behind `with` (RFC 3848, RFC 6531). */
enum {
    MAIL_WITH_ESMTP = 1, /* EHLO; without it SMTP, whatever else is set but LMTP */
    MAIL_WITH_LMTP = 2,
    MAIL_WITH_TLS = 4,
    MAIL_WITH_AUTH = 8,
    MAIL_WITH_UTF8 = 16
};

/** `SMTP`, `ESMTPSA`, `UTF8LMTPS` …, from MAIL_WITH_… bits. */
MAIL_API const char *mail_with_name(unsigned with);

/** What a Received field tells (RFC 5321, section 4.4). Texts may be hostile: they are cleaned. */
typedef struct mail_received {
    mail_span helo;    /* what the client called itself */
    mail_ip peer;      /* its address; family 0: it came from this host, `with` says nothing */
    mail_span by;      /* our name; required */
    unsigned with;     /* MAIL_WITH_… */
    mail_span id;      /* the queue's; empty: none */
    mail_span address; /* the one recipient (canonical); empty when there are several */
    mail_wall when;
    int zone; /* minutes from UTC */
} mail_received;

/** Writes the folded field with its CRLF, and returns its length. */
MAIL_API size_t mail_received_write(const mail_received *received, char out[MAIL_TRACE_SIZE]);

/** Writes `Return-Path: <a@b>` with its CRLF; an empty address is the null path. Returns its length. */
MAIL_API size_t mail_return_path_write(mail_span address, char out[MAIL_TRACE_SIZE]);

/** Writes `Delivered-To: a@b` with its CRLF, and returns its length. */
MAIL_API size_t mail_delivered_to_write(mail_span address, char out[MAIL_TRACE_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
